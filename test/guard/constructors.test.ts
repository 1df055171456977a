import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SRC = join(__dirname, '..', '..', 'src');

/** What is told to everybody and knows nobody: through it no object reaches another. */
const LEAVES: ReadonlySet<string> = new Set(['Facts']);

interface Made {
  readonly path: string;
  /** The classes of ours that its constructor takes, whole or in part. */
  readonly takes: ReadonlySet<string>;
}

const texts = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path: path.replaceAll('\\', '/'), text: readFileSync(join(SRC, path), 'utf8') }))
  .filter(({ path }) => !path.startsWith('demo/'));

const classes = new Set(texts.flatMap(({ text }) => [...text.matchAll(/^export class (\w+)/gm)].map(([, name = '']) => name)));

/** The text of an interface of a file, those that it extends there included. */
function interfaceText(text: string, name: string): string {
  const [, parents = '', body = ''] = new RegExp(`interface ${name}(?: extends ([\\w, ]+))? \\{\\n([\\s\\S]*?)\\n\\}`).exec(text) ?? [];
  return (
    body +
    parents
      .split(', ')
      .filter(Boolean)
      .map((parent) => interfaceText(text, parent))
      .join('')
  );
}

/** Every class with a constructor that takes something, by its name. */
function constructors(): Map<string, Made> {
  const made = new Map<string, Made>();
  for (const { path, text } of texts)
    for (const [, name = '', body = ''] of text.matchAll(/^export class (\w+)[^{]*\{([\s\S]*?)^\}/gm)) {
      const [, parameters = ''] = /\n {2}constructor\(([\s\S]*?)\) \{/.exec(body) ?? [];
      const named = [...parameters.matchAll(/\b[A-Z]\w*/g)].map(([word]) => word);
      const all = parameters + named.map((word) => interfaceText(text, word)).join('');
      const words = [...all.replace(/\/\*\*[\s\S]*?\*\//g, '').matchAll(/\b[A-Z]\w*/g)].map(([word]) => word);
      made.set(name, { path, takes: new Set(words.filter((word) => classes.has(word) && !LEAVES.has(word) && word !== name)) });
    }
  return made;
}

describe('Constructors', () => {
  const made = constructors();

  test('are found, with what they take', () => {
    expect(made.get('Dispatcher')?.takes).toEqual(new Set(['Attempter', 'Releaser', 'Membership']));
    expect(made.get('Replayer')?.takes).toEqual(new Set(['Database', 'WebhookCache', 'Delivery']));
  });

  test('take nothing that leads back to themselves', () => {
    const circles: string[] = [];
    const done = new Set<string>();
    const walk = (name: string, trail: readonly string[]): void => {
      const start = trail.indexOf(name);
      if (start >= 0) circles.push([...trail.slice(start), name].join(' → '));
      if (start >= 0 || done.has(name)) return;
      for (const next of made.get(name)?.takes ?? []) walk(next, [...trail, name]);
      done.add(name);
    };
    for (const name of made.keys()) walk(name, []);
    expect(circles).toEqual([]);
  });

  test('are called in hub.ts in the order of the flow, and none is handed a way back to an earlier object', () => {
    const hub = texts.find(({ path }) => path === 'hub.ts')?.text ?? '';
    const [, body = ''] = /\n {2}constructor\([\s\S]*?\) \{\n([\s\S]*?)\n {2}\}\n/.exec(hub) ?? [];
    expect(body.match(/\bnew \w+\(/g)?.length).toBeGreaterThan(10);
    expect(body.match(/=>/g)).toBeNull();
    expect(body.match(/\.on\(/g)).toBeNull();
  });
});

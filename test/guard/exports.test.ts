import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '..', '..');

interface Source {
  /** From the root, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly words: ReadonlySet<string>;
}

const sources: readonly Source[] = ['src', 'test', 'migrations'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.[cm]?[jt]sx?$/.test(path))
    .map((path) => `${folder}/${path.replaceAll('\\', '/')}`)
    .map((path) => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      return { path, text, words: new Set(text.match(/\w+/g)) };
    }),
);

/** Values that a file exports. A type may be exported for the sake of a signature; the API's classes are found by their decorators. */
const exportsOf = (text: string) =>
  [...text.matchAll(/^(@\w+.*\n)?export (?:abstract )?(?:async )?(?:class|function\*?|const|let|enum) (\w+)/gm)]
    .filter(([, decorator]) => decorator === undefined)
    .map(([, , name = '']) => name);

test('What a file exports another one uses', () => {
  const unused = sources
    .filter(({ path }) => path.startsWith('src/'))
    .flatMap(({ path, text }) =>
      exportsOf(text)
        .filter((name) => !sources.some((other) => other.path !== path && other.words.has(name)))
        .map((name) => `${path} exports ${name}`),
    );
  expect(unused).toEqual([]);
});

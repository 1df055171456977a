import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { settingLines } from '../../src/config';

const ROOT = join(__dirname, '..', '..');
const RECIPES = join(ROOT, 'src', 'cli', 'recipes');
const [unit = '', dockerfile = '', recipes = ''] = ['livehook.service', 'Dockerfile', 'README.md'].map((name) =>
  readFileSync(join(RECIPES, name), 'utf8'),
);

const { scripts, files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
  files: string[];
};

describe('The recipes for production', () => {
  test('start the hub as npm start does, and end it with the signal that it knows', () => {
    const command = scripts.start?.replace(/^exec node /, '');
    expect(command).toBe('dist/src/main.js serve');
    expect(/^ExecStart=(.*)$/m.exec(unit)?.[1]).toBe(`/usr/bin/node /opt/livehook/${command}`);
    expect(dockerfile).toContain(`CMD ["node", ${JSON.stringify(command?.split(' ')).slice(1, -1).replace(',', ', ')}]`);
    expect(unit).not.toMatch(/^KillSignal=/m);
    expect(dockerfile).not.toContain('STOPSIGNAL');
  });

  test('set only what is a setting', () => {
    const known = new Set(settingLines().flatMap(({ name }) => [name, `${name}_FILE`]));
    const set = [
      ...[...unit.matchAll(/^Environment=(.*)$/gm)].flatMap(([, pairs = '']) => pairs.split(' ').map((pair) => pair.split('=')[0] ?? '')),
      ...[...(/^ENV ((?:.*\\\n)*.*)$/m.exec(dockerfile)?.[1] ?? '').matchAll(/(\w+)=/g)].map(([, name = '']) => name),
      ...[...recipes.matchAll(/\b(LIVEHOOK_[A-Z_]+|DATABASE_URL)\b/g)].map(([name]) => name),
    ];
    expect(set.length).toBeGreaterThan(6);
    expect([...new Set(set)].filter((name) => name !== 'NODE_ENV' && !known.has(name))).toEqual([]);
  });

  test('copy files that a package has', () => {
    const copied = [...dockerfile.matchAll(/^COPY --from=build \/livehook\/(\S+)/gm)].map(([, path = '']) => path);
    expect(copied).toEqual(['package.json', 'node_modules', 'schema', 'dist']);
    for (const path of files.filter((name) => !/[*!]|^dist/.test(name))) expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
  });
});

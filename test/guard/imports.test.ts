import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const SRC = join(__dirname, '..', '..', 'src');

interface SourceFile {
  /** From src, with slashes. */
  readonly path: string;
  readonly text: string;
  /** What it imports: a package by its name, a file by its path from src. */
  readonly imports: readonly { readonly name: string; readonly isTypeOnly: boolean }[];
}

const files: readonly SourceFile[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => read(path.replaceAll('\\', '/')))
  .sort((a, b) => (a.path < b.path ? -1 : 1));

function read(path: string): SourceFile {
  const text = readFileSync(join(SRC, path), 'utf8');
  const imports = [
    ...text.matchAll(
      /^(?:import|export)\s(type\s)?[^'";]*?from\s'([^']+)'|^import\s'([^']+)'|\brequire\('([^']+)'\)|\bimport\('([^']+)'\)/gm,
    ),
  ].map(([line, type, from, bare, required, dynamic]) => {
    const name = from ?? bare ?? required ?? dynamic ?? '';
    const isLocal = name.startsWith('.');
    return {
      name: isLocal ? `${relative(SRC, resolve(SRC, dirname(path), name)).replaceAll('\\', '/')}.ts` : name,
      isTypeOnly: type !== undefined || isOnlyTypes(line),
    };
  });
  return { path, text, imports };
}

/** `import { type A, type B } from …` */
function isOnlyTypes(line: string): boolean {
  const names = /\{([^}]*)\}/
    .exec(line)?.[1]
    ?.split(',')
    .filter((name) => name.trim() !== '');
  return names !== undefined && /^import \{/.test(line) && names.every((name) => /^\s*type\s/.test(name));
}

const folderOf = (path: string) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : path);

/** A record is a row of a table and an object of the API at once. */
const isRecord = ({ text }: SourceFile) => /^@(Entity|ObjectType|InterfaceType|InputType)\(/m.test(text);

/** The files that `isImporting` points out and `isAllowed` does not, with what they import. */
function offenders(isImporting: (name: string) => boolean, isAllowed: (file: SourceFile) => boolean): string[] {
  return files
    .filter((file) => !isAllowed(file))
    .flatMap((file) => file.imports.filter(({ name }) => isImporting(name)).map(({ name }) => `${file.path} imports ${name}`));
}

function mentions(pattern: RegExp, isAllowed: (file: SourceFile) => boolean): string[] {
  return files.filter((file) => !isAllowed(file) && pattern.test(file.text)).map(({ path }) => path);
}

/** A program of its own beside the hub: it talks to one as any client would. */
const isDemo = ({ path }: SourceFile) => path.startsWith('demo/');
/** A package of its own: it runs in the processes of others. */
const isPackage = ({ path }: SourceFile) => path.startsWith('receiver/') || path.startsWith('client/');
const isIn =
  (...folders: string[]) =>
  ({ path }: SourceFile) =>
    folders.includes(folderOf(path));

/**
 * From the top down: a folder, or a file beside the folders, uses only what stands below it. Types may be named from
 * anywhere.
 */
const LAYERS: readonly (readonly string[])[] = [
  ['main.ts'],
  ['cli', 'demo'],
  ['receiver', 'client'],
  ['hub.ts'],
  ['api'],
  ['dashboard', 'observe'],
  ['housekeeping'],
  ['data-source.ts'],
  ['live'],
  ['replay'],
  ['health'],
  ['probes'],
  ['delivery'],
  ['audit'],
  ['events'],
  ['fanout'],
  ['deliveries'],
  ['attempts'],
  ['webhooks'],
  ['applications'],
  ['matching'],
  ['core.ts'],
  ['follow-others.ts'],
  ['facts.ts'],
  ['config.ts'],
  ['net', 'store'],
];

describe('The direction of imports', () => {
  test('has only the store and records know TypeORM', () => {
    expect(
      offenders(
        (name) => name === 'typeorm',
        (file) => isIn('store', 'data-source.ts')(file) || isRecord(file),
      ),
    ).toEqual([]);
  });

  test('has only the API and records know GraphQL', () => {
    const isGraphql = (name: string) => /^(type-graphql|graphql|graphql-.*|@apollo\/.*|@escape\.tech\/.*|graphql\/.*)$/.test(name);
    expect(offenders(isGraphql, (file) => isIn('api')(file) || isRecord(file) || isDemo(file))).toEqual([]);
  });

  test('has only src/observe know Prometheus and OpenTelemetry', () => {
    expect(offenders((name) => /^(prom-client|@opentelemetry\/.*)$/.test(name), isIn('observe'))).toEqual([]);
  });

  test('leads downward, layer by layer', () => {
    const layerOf = (path: string) => {
      const layer = LAYERS.findIndex((folders) => folders.includes(folderOf(path)));
      return layer === -1 && !folderOf(path).endsWith('.ts') ? Number.NaN : layer === -1 ? LAYERS.length : layer;
    };
    const upward = files.flatMap(({ path, imports }) =>
      imports
        .filter(({ name, isTypeOnly }) => !isTypeOnly && name.endsWith('.ts') && !name.startsWith('..'))
        .filter(
          ({ name }) => folderOf(name) !== folderOf(path) && !(layerOf(name) >= layerOf(path) + (layerOf(path) < LAYERS.length ? 1 : 0)),
        )
        .map(({ name }) => `${path} imports ${name}`),
    );
    expect(upward).toEqual([]);
  });

  test('names a layer for each folder', () => {
    expect(
      [...new Set(files.map(({ path }) => folderOf(path)))].filter((folder) => !folder.endsWith('.ts') && !LAYERS.flat().includes(folder)),
    ).toEqual([]);
  });

  test('goes in no circle, but for types', () => {
    const uses = new Map(
      files.map(({ path, imports }) => [
        path,
        imports.filter(({ name, isTypeOnly }) => !isTypeOnly && name.endsWith('.ts')).map(({ name }) => name),
      ]),
    );
    const circles: string[] = [];
    const done = new Set<string>();
    const walk = (path: string, trail: readonly string[]): void => {
      const start = trail.indexOf(path);
      if (start >= 0) circles.push([...trail.slice(start), path].join(' → '));
      if (start >= 0 || done.has(path)) return;
      for (const next of uses.get(path) ?? []) walk(next, [...trail, path]);
      done.add(path);
    };
    for (const { path } of files) walk(path, []);
    expect(circles).toEqual([]);
  });
});

describe('What is passed in', () => {
  test('is the environment: config.ts reads it, and commands hand it over', () => {
    expect(mentions(/\bprocess\.env\b(?!\))/, () => false)).toEqual([]);
    expect(mentions(/\bprocess\.env\b/, isIn('cli'))).toEqual([]);
    for (const { path, text } of files.filter(isIn('cli')))
      for (const [use] of text.matchAll(/.*\bprocess\.env\b.*/g))
        expect([path, use]).toEqual([path, expect.stringContaining('readConfig(process.env)')]);
  });

  test('is time and chance, but where they come from', () => {
    // The browser's scripts are text here and have clocks of their own.
    const isBrowser = ({ path }: SourceFile) => path.startsWith('dashboard/') || path === 'api/graphiql.ts';
    const isAllowed = (file: SourceFile) => file.path === 'clock.ts' || isBrowser(file) || isDemo(file) || isPackage(file);
    // A socket's own time-out counts silence, which no clock can.
    expect(
      mentions(/\b(Date\.now|performance\.now|(?<!stream\.)setTimeout|setInterval)\b|new Date\(\)|from '(node:)?timers/, isAllowed),
    ).toEqual([]);
    // Where a program begins it is named; a default of a constructor or a method would be one that nobody sees.
    expect(mentions(/\bsystemClock\b/, (file) => isAllowed(file) || isIn('cli', 'hub.ts', 'data-source.ts')(file))).toEqual([]);
    // hub.ts names Math.random as the default of what it passes on; ids.ts has better randomness of its own.
    expect(mentions(/\bMath\.random\b/, (file) => isAllowed(file) || file.path === 'hub.ts')).toEqual([]);
  });
});

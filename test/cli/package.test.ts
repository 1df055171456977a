import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { HubProcess } from '../support/hub-process';

const ROOT = resolve(__dirname, '../..');
const FILES = [
  'src',
  'migrations',
  'schema',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'tsconfig.packages.json',
  'ormconfig.ts',
];
const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'LICENSE', 'CONTRIBUTING.md', 'test', 'jest.config.js', '.env.example'];

const run = promisify(execFile);

/** As a fresh clone is, before anything is installed. */
async function clone(folder: string): Promise<void> {
  for (const name of [...FILES, ...DOCUMENTS]) await cp(join(ROOT, name), join(folder, name), { recursive: true });
}

/** What `npm ci --omit=dev` installs, from what is installed here: no registry is asked. */
async function linkDependencies(folder: string): Promise<void> {
  const { dependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { dependencies: Record<string, string> };
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(join(folder, 'node_modules', name)), { recursive: true });
    await symlink(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name));
  }
}

/** Runs `work` in a folder of its own. */
async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'livehook-package-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const environmentOf = (more: Record<string, string> = {}) => ({
  PATH: process.env.PATH ?? '',
  HOME: process.env.HOME ?? '',
  PORT: '0',
  LIVEHOOK_LOG_LEVEL: 'warn',
  ...more,
});

/** Starts a hub with a command, sees that it answers, and stops it. */
async function serveWith(file: string, args: readonly string[], cwd: string, environment = environmentOf()): Promise<void> {
  const child = spawn(file, args, { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} could not be started`);
  try {
    const hub = await HubProcess.listening(child, /listening/);
    expect(await (await fetch(`${hub.url}/readyz`)).json()).toMatchObject({ isReady: true });
    expect((await fetch(`${hub.url}/`)).status).toBe(200);
    expect((await fetch(`${hub.url}/graphql`, { headers: { accept: 'text/html' } })).status).toBe(200);
  } finally {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
    process.kill(-pid, 'SIGTERM'); // npm and npx start the hub as a process of their own
    await ended;
  }
}

test('npm pack of a fresh clone has the build, the contract and the documents, no tests; it serves with npx from an empty folder', async () => {
  await withFolder(async (folder) => {
    const [source, user] = [join(folder, 'source'), join(folder, 'user')];
    await Promise.all([mkdir(source), mkdir(user)]);
    await clone(source);
    await symlink(join(ROOT, 'node_modules'), join(source, 'node_modules'));
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', user], { cwd: source, maxBuffer: 10_000_000 });
    const [packed] = Object.values(JSON.parse(stdout) as Record<string, { filename: string; files: { path: string }[] }>);
    const paths = packed?.files.map(({ path }) => path) ?? [];
    for (const path of [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'schema/schema.graphql',
      'schema/webhook.md',
      'src/observe/README.md',
      'dist/src/main.js',
      'dist/src/events/schema-worker.js',
      'dist/migrations/list.js',
    ])
      expect(paths).toContain(path);
    expect(paths.filter((path) => /(^|\/)test\/|(?<!\.d)\.m?ts$|\.map$|\/demo\/|^\.|\.db|\.key$/.test(path))).toEqual([]);

    await linkDependencies(user);
    const installed = join(user, 'node_modules', 'livehook');
    await mkdir(installed);
    await run('tar', ['-xzf', join(user, packed?.filename ?? ''), '--strip-components=1', '-C', installed]);
    await mkdir(join(user, 'node_modules', '.bin'));
    await symlink('../livehook/dist/src/main.js', join(user, 'node_modules', '.bin', 'livehook'));
    await chmod(join(installed, 'dist/src/main.js'), 0o755); // as npm does
    await writeFile(join(user, 'package.json'), '{}');
    await serveWith('npx', ['--no-install', 'livehook', 'serve'], user);
    expect(await readdir(user)).toContain('livehook.db');
    await importEntries(user);
  });
});

/** `livehook/receiver` and `livehook/client` with import and require, judged by the compiler and run. */
async function importEntries(folder: string): Promise<void> {
  await symlink(join(ROOT, 'node_modules', '@types'), join(folder, 'node_modules', '@types'));
  await writeFile(
    join(folder, 'imports.mts'),
    `import { createRequire } from 'node:module';
import { LivehookClient } from 'livehook/client';
import { verify, WebhookReceiver, WebhookVerificationError } from 'livehook/receiver';
const client = new LivehookClient<{ 'a.b': { n: number } }>({ url: 'http://127.0.0.1:1', key: 'k' });
// @ts-expect-error: a payload of another type
void client.publish({ type: 'a.b', payload: { n: 'one' } }).catch(() => {});
const receiver = new WebhookReceiver<{ 'a.b': { n: number } }>({ secrets: 'whsec_', handlers: { 'a.b': ({ data }) => data.n + 1 } });
// @ts-expect-error: no such type
new WebhookReceiver<{ 'a.b': number }>({ secrets: 'whsec_', handlers: { 'a.c': () => {} } });
try {
  verify('{}', {}, 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
} catch (error) {
  const isSame = createRequire(import.meta.url)('livehook/receiver').WebhookVerificationError === WebhookVerificationError;
  console.log((error as WebhookVerificationError).code, isSame, receiver.maxBodyBytes);
}
process.exit();
`,
  );
  await writeFile(
    join(folder, 'requires.cts'),
    `import receiving = require('livehook/receiver');
import publishing = require('livehook/client');
const code: publishing.LivehookError['code'] = 'x';
console.log(typeof receiving.verify, typeof publishing.LivehookClient, code);
`,
  );
  const tsc = [join(ROOT, 'node_modules/typescript/bin/tsc'), '--module', 'node16', '--target', 'es2022', '--strict', '--types', 'node'];
  await run(process.execPath, [...tsc, 'imports.mts', 'requires.cts'], { cwd: folder });
  const output = async (file: string) => (await run(process.execPath, [file], { cwd: folder, env: environmentOf() })).stdout;
  expect(await output('imports.mjs')).toBe('HEADER_MISSING true 2097152\n');
  expect(await output('requires.cjs')).toBe('function function x\n');
}

test('npm start on a clone without development dependencies has the compiler fetched once, and needs none from then on', async () => {
  await withFolder(async (folder) => {
    const [source, bin] = [join(folder, 'source'), join(folder, 'bin')];
    await Promise.all([mkdir(source), mkdir(bin)]);
    await clone(source);
    await linkDependencies(source);
    // Instead of asking the registry: notes what it is asked for, and compiles with the compiler that is here.
    const asked = join(folder, 'asked');
    const npm = `#!/bin/sh
[ "$1" = exec ] || exec "$REAL_NPM" "$@"
echo "$*" >> '${asked}'
while [ "$1" != -- ]; do shift; done; shift 2
exec "${process.execPath}" '${join(ROOT, 'node_modules/typescript/bin/tsc')}' "$@"
`;
    await writeFile(join(bin, 'npm'), npm, { mode: 0o755 });
    const { stdout: realNpm } = await run('sh', ['-c', 'command -v npm']);
    const environment = environmentOf({ PATH: [bin, process.env.PATH].join(delimiter), REAL_NPM: realNpm.trim() });
    await serveWith('npm', ['start'], source, environment);
    const { devDependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
    const once = `exec --yes --package=typescript@${devDependencies.typescript} -- tsc -p ${join(source, 'tsconfig.build.json')} --noCheck --types \n`;
    expect(await readFile(asked, 'utf8')).toBe(once);

    await serveWith('npm', ['start'], source, environment);
    expect(await readFile(asked, 'utf8')).toBe(once);

    // TypeORM's own command line, from the same clone.
    const typeorm = (command: string) =>
      run(process.execPath, ['node_modules/typeorm/cli.js', command, '-d', 'ormconfig.ts'], {
        cwd: source,
        env: { ...environment, DATABASE_URL: 'sqlite:./other.db' },
      });
    const { stdout: before } = await typeorm('migration:show');
    expect(before).toMatch(/^\[ \] CreateTables1764000000000$/m);
    await typeorm('migration:run');
    const { stdout: after } = await typeorm('migration:show');
    expect(after).toMatch(/^\[X\] \d+ CreateTables1764000000000$/m);
    expect(after).not.toMatch(/^\[ \]/m);

    // A source that is newer than the build is built.
    const now = new Date(Date.now() + 60_000);
    await utimes(join(source, 'src/version.ts'), now, now);
    await run(process.execPath, ['src/cli/build.js'], { cwd: source, env: environment });
    expect((await readFile(asked, 'utf8')).split('\n')).toHaveLength(3);
  });
});

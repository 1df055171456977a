/**
 * Compiles the sources into `dist`, unless what is there is newer than they are. `npm ci` runs it (`prepare`), and so do the
 * scripts that run the hub. Where the compiler was left out (`npm ci --omit=dev`) npm fetches it into its cache, in the
 * version that package.json names, so that nothing of it stays in node_modules. In a package of `npm pack` there are no
 * sources, and nothing to do.
 *
 * `node src/cli/build.js --clean` makes what goes into a package: it removes what was built before, so that no file of it gets
 * in, and adds the types of `livehook/client` and `livehook/receiver`.
 */
const { spawnSync } = require('node:child_process');
const { existsSync, readdirSync, rmSync, statSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const ROOT = join(__dirname, '..', '..');
const CONFIG = join(ROOT, 'tsconfig.build.json');
/** The types of what others import. */
const TYPES = join(ROOT, 'tsconfig.packages.json');
const COMPILER = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
/** Written last: its time is that of a build that came to its end. */
const STAMP = join(ROOT, 'dist', '.built');
/** What the build is made of. */
const INPUTS = ['src', 'migrations', 'tsconfig.json', 'tsconfig.build.json', 'package.json'].map((name) => join(ROOT, name));

function build({ clean = false } = {}) {
  if (!existsSync(CONFIG)) return;
  if (clean) rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  if (isUpToDate()) return;
  succeed(existsSync(COMPILER) ? run(process.execPath, [COMPILER, '-p', CONFIG]) : runFetched());
  if (clean) succeed(run(process.execPath, [COMPILER, '-p', TYPES]));
  writeFileSync(STAMP, '');
}

function succeed({ status, error }) {
  if (status !== 0) throw new Error(`the build failed${error ? `: ${error.message}` : ''}`);
}

/** Without the types of packages that were left out with it, it only translates: `npm run check` judges types. */
function runFetched() {
  const { devDependencies } = require(join(ROOT, 'package.json'));
  process.stderr.write(`there is no compiler here (--omit=dev): fetching typescript ${devDependencies.typescript} for the build\n`);
  const tsc = ['exec', '--yes', `--package=typescript@${devDependencies.typescript}`, '--', 'tsc'];
  return run('npm', [...tsc, '-p', CONFIG, '--noCheck', '--types', '']);
}

/** What it prints goes to standard error: `npm pack --json` has standard output. */
function run(command, parameters) {
  return spawnSync(command, parameters, { cwd: ROOT, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' && command === 'npm' });
}

function isUpToDate() {
  const builtAt = statSync(STAMP, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return INPUTS.every((path) => changedAt(path) < builtAt);
}

/** Of a folder: the newest in it, and when something was added or removed. */
function changedAt(path) {
  const stats = statSync(path);
  const inside = stats.isDirectory() ? readdirSync(path).map((name) => changedAt(join(path, name))) : [];
  return Math.max(stats.mtimeMs, ...inside);
}

module.exports = { build };

if (require.main === module) build({ clean: process.argv.includes('--clean') });

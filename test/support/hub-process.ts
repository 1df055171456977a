import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { testEnvironment } from './with-hub';

const ROOT = resolve(__dirname, '../..');

interface ServeOptions {
  /** Of `livehook serve`. */
  readonly args?: readonly string[];
  /** A hub that does not serve before it aborts is killed. */
  readonly signal?: AbortSignal;
}

/** The hub compiled into a folder of its own, to run as a process that a test may kill. */
export class Build {
  readonly #folder: string;

  static async make(): Promise<Build> {
    const folder = await mkdtemp(join(tmpdir(), 'livehook-build-'));
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    // Types are judged by `npm run check`; here the output is what counts.
    const { stdout } = spawnSync(process.execPath, [
      join(ROOT, 'node_modules/typescript/bin/tsc'),
      '-p',
      ROOT,
      '--outDir',
      join(folder, 'dist'),
    ]);
    if (!existsSync(join(folder, 'dist/src/main.js'))) throw new Error(`the build failed:\n${stdout}`);
    return new Build(folder);
  }

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Starts a hub on a database and waits until it serves. */
  async serve(
    databaseUrl: string,
    environment: Record<string, string> = {},
    { args = [], signal }: ServeOptions = {},
  ): Promise<HubProcess> {
    const child = spawn(process.execPath, [join(this.#folder, 'dist/src/main.js'), 'serve', ...args], {
      cwd: this.#folder,
      env: { PATH: process.env.PATH, ...testEnvironment(databaseUrl, { LIVEHOOK_LOG_LEVEL: 'warn', ...environment }) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const giveUp = () => child.kill('SIGKILL');
    signal?.addEventListener('abort', giveUp, { once: true });
    return HubProcess.listening(child).finally(() => signal?.removeEventListener('abort', giveUp));
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

export class HubProcess {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  readonly #log: string[];
  readonly #printed: string[];

  /** `first`: what to wait for, where something else is printed before. */
  static async listening(child: ChildProcess, first = /./): Promise<HubProcess> {
    const exited = once(child, 'exit');
    const log: string[] = [];
    const printed: string[] = [];
    child.stderr?.on('data', (chunk) => log.push(String(chunk)));
    if (child.stdout === null) throw new Error('expected the standard output of the hub');
    child.stdout.on('data', (chunk) => printed.push(String(chunk)));
    const lines = createInterface(child.stdout);
    const found = new Promise<[string]>((resolve) => lines.on('line', (text) => void (first.test(text) && resolve([text]))));
    const [line] = await Promise.race([found, exited.then(() => [])]);
    const url = /listening on (\S+)/.exec(String(line))?.[1];
    if (url === undefined) throw new Error(`the hub did not start:\n${log.join('')}`);
    return new HubProcess(url, child, exited, log, printed);
  }

  private constructor(url: string, child: ChildProcess, exited: Promise<unknown[]>, log: string[], printed: string[]) {
    this.url = url;
    this.#child = child;
    this.#exited = exited;
    this.#log = log;
    this.#printed = printed;
  }

  /** What it has put on standard output. */
  get printed(): string {
    return this.#printed.join('');
  }

  /** What it has logged, warnings and worse. */
  get log(): string {
    return this.#log.join('');
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The most memory it has had since its start, or since `forgetPeakMemory`, in bytes; 0 where the system does not tell. */
  peakMemory(): Promise<number> {
    return this.#memory('VmHWM');
  }

  /** The peak counts from now on, where the system can do that. */
  async forgetPeakMemory(): Promise<void> {
    await writeFile(`/proc/${this.pid}/clear_refs`, '5').catch(() => undefined);
  }

  /** What it has in memory now, in bytes; 0 where the system does not tell. */
  residentMemory(): Promise<number> {
    return this.#memory('VmRSS');
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<{ code: unknown; signal: unknown }> {
    this.signal(signal);
    return this.ended();
  }

  /** Resolves when the process is gone, however it went. */
  async ended(): Promise<{ code: unknown; signal: unknown }> {
    const [code, signal] = await this.#exited;
    return { code, signal };
  }

  /** SIGSTOP freezes it, SIGCONT lets it go on. */
  signal(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): void {
    if (!this.hasExited) this.#child.kill(signal);
  }

  async #memory(field: 'VmHWM' | 'VmRSS'): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8').catch(() => '');
    return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) * 1024;
  }
}

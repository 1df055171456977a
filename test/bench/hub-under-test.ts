import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { request } from 'undici';

const MAIN = resolve(__dirname, '../../src/main.js');
export const ADMIN_KEY = 'bench-admin-key-0123456789-0123456789';

export interface HubOptions {
  readonly databaseUrl: string;
  /** Where it leaves a CPU profile when it ends. */
  readonly profileFolder?: string | undefined;
}

/** The hub as `npm start` runs it, a process of its own. */
export class HubUnderTest {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #log: string[];

  static async start({ databaseUrl, profileFolder }: HubOptions): Promise<HubUnderTest> {
    const profiling = profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
    const child = spawn(process.execPath, [...profiling, MAIN, 'serve'], {
      cwd: join(__dirname, '../../..'),
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: databaseUrl,
        PORT: '0',
        LIVEHOOK_ADMIN_KEY: ADMIN_KEY,
        LIVEHOOK_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'),
        LIVEHOOK_ALLOWED_TARGETS: '127.0.0.0/8',
        LIVEHOOK_ALLOW_HTTP: 'true',
        LIVEHOOK_LOG_LEVEL: 'warn',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log: string[] = [];
    child.stderr.on('data', (chunk) => log.push(String(chunk)));
    const [line] = await Promise.race([once(createInterface(child.stdout), 'line'), once(child, 'exit').then(() => [])]);
    const url = /listening on (\S+)/.exec(String(line))?.[1];
    if (url === undefined) throw new Error(`the hub did not start:\n${log.join('')}`);
    return new HubUnderTest(url, child, log);
  }

  private constructor(url: string, child: ChildProcess, log: string[]) {
    this.url = url;
    this.#child = child;
    this.#log = log;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What it has logged, warnings and worse. */
  get log(): string {
    return this.#log.join('');
  }

  /** The `data` of the answer. */
  async ask<T>(query: string, variables: Record<string, unknown>, key = ADMIN_KEY): Promise<T> {
    const { body } = await request(`${this.url}/graphql`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const text = await body.text();
    const { data, errors } = JSON.parse(text) as { data?: T; errors?: unknown };
    if (!data || errors || /"userErrors":\[[^\]]/.test(text)) throw new Error(`the hub answered ${text.slice(0, 1_000)}`);
    return data;
  }

  /** As an operator stops it; it is killed when it takes longer than 15 s. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const impatience = setTimeout(() => this.#child.kill('SIGKILL'), 15_000);
    await gone;
    clearTimeout(impatience);
  }
}

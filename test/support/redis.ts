import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBinary, freePort, GuardedProcess } from './server-process';
import { until } from './until';

/** A private Redis of the tests, on loopback, that keeps nothing. It dies with the process that started it. */
export class Redis {
  readonly #directory: string;
  readonly #port: number;
  readonly #settings: Readonly<Record<string, string>>;
  #process: GuardedProcess | undefined;

  /** `settings` beyond the usual, e.g. `{ 'tls-port': '6380' }`. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<Redis> {
    const redis = new Redis(await mkdtemp(join(tmpdir(), 'livehook-redis-')), await freePort(), settings);
    await redis.restart();
    return redis;
  }

  private constructor(directory: string, port: number, settings: Readonly<Record<string, string>>) {
    this.#directory = directory;
    this.#port = port;
    this.#settings = settings;
  }

  /** As `REDIS_URL` takes it; the same after a restart. */
  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  async restart(): Promise<void> {
    await this.kill();
    const settings = { port: this.#port, bind: '127.0.0.1', dir: this.#directory, save: '', appendonly: 'no', ...this.#settings };
    const options = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    this.#process = await GuardedProcess.start([findBinary(['redis-server'], 'redis-server'), ...options], this.#directory);
    await until(() => answers(this.#port), { description: `redis-server to answer on port ${this.#port}` });
  }

  async kill(): Promise<void> {
    await this.#process?.end('SIGKILL');
    this.#process = undefined;
  }

  /** It keeps its connections and answers nothing, until `thaw`. */
  freeze(): void {
    this.#process?.signal('SIGSTOP');
  }

  thaw(): void {
    this.#process?.signal('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.on('error', reject);
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

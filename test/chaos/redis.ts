import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { until } from '../support/until';

/** A Redis server of the run, on a port of its own, that forgets everything when it is killed. */
export class Redis {
  readonly url: string;
  readonly #port: number;
  #child: ChildProcess | undefined;

  static async start(port: number): Promise<Redis> {
    const redis = new Redis(port);
    await redis.restart();
    return redis;
  }

  private constructor(port: number) {
    this.#port = port;
    this.url = `redis://127.0.0.1:${port}`;
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  async restart(): Promise<void> {
    await this.kill();
    const settings = ['--port', String(this.#port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    this.#child = spawn('redis-server', settings, { stdio: 'ignore' });
    await until(() => this.#answers(), { description: `redis-server to answer on port ${this.#port}` });
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.#port, '127.0.0.1');
      const end = (answers: boolean) => {
        socket.destroy();
        resolve(answers);
      };
      socket.on('error', () => end(false)).on('data', () => end(true));
      socket.write('PING\r\n');
    });
  }
}

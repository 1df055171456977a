import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBinary, freePort, GuardedProcess } from './server-process';
import { until } from './until';

/** A private tinyproxy of the tests, on loopback, that asks for a password. It dies with the process that started it. */
export class Tinyproxy {
  static async start(): Promise<Tinyproxy> {
    const directory = await mkdtemp(join(tmpdir(), 'livehook-tinyproxy-'));
    const port = await freePort();
    const file = join(directory, 'tinyproxy.conf');
    const settings = [
      `Port ${port}`,
      'Listen 127.0.0.1',
      'Allow 127.0.0.1',
      'BasicAuth hub secret',
      'Timeout 60',
      'LogLevel Connect',
      `LogFile "${join(directory, 'proxy.log')}"`,
    ];
    await writeFile(file, `${settings.join('\n')}\n`);
    const running = await GuardedProcess.start([findBinary(['tinyproxy'], 'tinyproxy'), '-d', '-c', file], directory);
    await until(() => running.hasEnded || answers(port), { description: `tinyproxy to answer on port ${port}` });
    if (running.hasEnded) throw new Error(`tinyproxy has ended: ${await readFile(join(directory, 'server.log'), 'utf8')}`);
    return new Tinyproxy(directory, port, running);
  }

  private constructor(
    readonly directory: string,
    readonly port: number,
    private readonly running: GuardedProcess,
  ) {}

  /** As `LIVEHOOK_EGRESS_PROXY` takes it. */
  get url(): string {
    return `http://hub:secret@127.0.0.1:${this.port}`;
  }

  /** The targets of all tunnels that were made, such as `127.0.0.1:8080`. */
  async tunnels(): Promise<string[]> {
    const log = await readFile(join(this.directory, 'proxy.log'), 'utf8');
    return [...log.matchAll(/CONNECT (\S+) HTTP/g)].map(([, target = '']) => target);
  }

  async stop(): Promise<void> {
    await this.running.end('SIGKILL');
    await rm(this.directory, { recursive: true, force: true });
  }
}

function answers(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const probe = connect(port, '127.0.0.1');
    probe.once('connect', () => resolve(true)).once('error', () => resolve(undefined));
    probe.once('connect', () => probe.destroy());
  });
}

import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline/promises';

/**
 * Runs `"$@"` and watches standard input, which the starting process holds open: when that closes, its owner is
 * gone, however it went (Ctrl-C, SIGKILL, a crash), and the server or its installer and the data go too.
 */
const GUARDIAN = `
exec 3<&0
"$@" </dev/null >>"$DIRECTORY/server.log" 2>&1 3<&- &
server=$!
echo $server
( read -r _ <&3; trap '' TERM; kill -KILL $server; until rm -rf "$DIRECTORY"; do sleep 0.1; done ) &
watch=$!
wait $server; status=$?
kill $watch
exit $status
`;

export class GuardedProcess {
  readonly pid: number;
  readonly #guardian: ChildProcess;
  readonly #ended: Promise<unknown[]>;

  static async start(command: readonly string[], directory: string): Promise<GuardedProcess> {
    // In a session of its own: Ctrl-C reaches the tests only, and the guardian does the rest.
    const guardian = spawn('sh', ['-c', GUARDIAN, 'guardian', ...command], {
      detached: true,
      // Standard error would only say "Killed": what the server says is in its log.
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, DIRECTORY: directory },
    });
    const ended = once(guardian, 'exit');
    const lines = createInterface(guardian.stdout);
    const [pid] = await Promise.race([once(lines, 'line'), ended.then(() => [])]);
    lines.close();
    return new GuardedProcess(Number(pid), guardian, ended);
  }

  private constructor(pid: number, guardian: ChildProcess, ended: Promise<unknown[]>) {
    this.pid = pid;
    this.#guardian = guardian;
    this.#ended = ended;
    // A test that forgets to stop its server must not keep jest from ending.
    guardian.unref();
    for (const stream of [guardian.stdin, guardian.stdout]) if (stream instanceof Socket) stream.unref();
  }

  get hasEnded(): boolean {
    return this.#guardian.exitCode !== null || this.#guardian.signalCode !== null;
  }

  /** Resolves with the exit status, when the process is gone. */
  async ended(): Promise<unknown> {
    this.#guardian.ref();
    const [status] = await this.#ended;
    return status;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.hasEnded) return;
    this.signal(signal);
    // A server that does not obey, or that a test has frozen, is thrown away.
    const impatience = setTimeout(() => this.signal('SIGKILL'), 30_000);
    await this.ended();
    clearTimeout(impatience);
  }

  signal(signal: NodeJS.Signals): void {
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      // It ended by itself and the guardian is about to.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** A server's program; `debianPackage` has it. */
export function findBinary(names: readonly string[], debianPackage: string): string {
  // Debian keeps the server in /usr/sbin, which is not in everybody's PATH.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'].filter(Boolean);
  const found = names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
  if (found) return found;
  throw new Error(
    `the tests need ${names.join(' or ')}, and there is none in PATH or /usr/sbin; install it with: ` +
      `apt-get update && apt-get install -y --no-install-recommends ${debianPackage}`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Below the range from which systems take the ports of outgoing connections: within it, any of the thousands of
 * connections that the tests make could sit on the port while the server is down for a restart.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const port = randomInt(15_000, 32_000);
    if (await isFree(port)) return port;
  }
  throw new Error('found no free port on 127.0.0.1 between 15000 and 32000 in 50 tries');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { findBinary, freePort, GuardedProcess } from './server-process';
import { until } from './until';

/** How global-setup.ts tells the workers where the run's server listens. */
export const PORT_VARIABLE = 'LIVEHOOK_TEST_MARIADB_PORT';

const USER = 'livehook';
/** With characters that a URL has to escape, so that every test exercises that. */
const PASSWORD = 'p@ss/w:rd%1';

export interface MariadbOptions {
  /** Server variables beyond or instead of the usual, e.g. `{ max_connections: '20' }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A private server of the tests, on loopback, with a data directory of its own. */
export interface Mariadb {
  readonly port: number;
  /** Of its database `livehook`; the same after a restart. */
  readonly url: string;
  /** Of the running process; another after a restart. */
  readonly pid: number;
  /** Shuts the server down and removes its data. */
  stop(): Promise<void>;
  /** Ends the process and keeps the data for `restart`: SIGKILL is a crash, SIGTERM a clean shutdown. */
  kill(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** Starts it again over the same data on the same port, after `kill` or while it runs. */
  restart(): Promise<void>;
}

export interface TestDatabase {
  /** As `DATABASE_URL` takes it. */
  readonly url: string;
  drop(): Promise<void>;
}

/** Starts a server, ready to be used when this resolves. It dies with the process that started it. */
export async function startMariadb({ settings = {} }: MariadbOptions = {}): Promise<Mariadb> {
  const binaries = findBinaries();
  const directory = await mkdtemp(join(tmpdir(), 'livehook-mariadb-'));
  const server = new PrivateServer({ binary: binaries.server, directory, port: await freePort(), settings });
  try {
    await install(binaries.installer, directory);
    await server.restart();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/** A fresh, empty database on the server of this jest run. */
export async function createMysqlDatabase(): Promise<TestDatabase> {
  const port = Number(process.env[PORT_VARIABLE]);
  if (!port) throw new Error(`${PORT_VARIABLE} is not set: the server is started by jest's globalSetup, so run tests through jest`);
  const name = `test_${randomBytes(8).toString('hex')}`;
  await execute(databaseUrl(port), `CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
  return {
    url: databaseUrl(port, name),
    drop: () => execute(databaseUrl(port), `DROP DATABASE IF EXISTS ${name}`),
  };
}

class PrivateServer implements Mariadb {
  readonly port: number;
  readonly url: string;
  readonly #binary: string;
  readonly #directory: string;
  readonly #settings: Readonly<Record<string, string>>;
  #process: GuardedProcess | undefined;

  constructor(options: { binary: string; directory: string; port: number; settings: Readonly<Record<string, string>> }) {
    this.port = options.port;
    this.url = databaseUrl(options.port, 'livehook');
    this.#binary = options.binary;
    this.#directory = options.directory;
    this.#settings = options.settings;
  }

  get pid(): number {
    if (!this.#process) throw new Error('mariadbd is not running');
    return this.#process.pid;
  }

  async stop(): Promise<void> {
    await this.kill('SIGTERM');
    await rm(this.#directory, { recursive: true, force: true });
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    await this.#process?.end(signal);
    this.#process = undefined;
  }

  async restart(): Promise<void> {
    await this.kill('SIGTERM');
    this.#process = await GuardedProcess.start([this.#binary, ...this.#arguments()], this.#directory);
    await this.#answers(this.#process);
  }

  #arguments(): string[] {
    const settings = { ...serverSettings(this.#directory, this.port), ...this.#settings };
    return ['--no-defaults', ...asUser(), ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`)];
  }

  async #answers(process: GuardedProcess): Promise<void> {
    const state = await until(() => (process.hasEnded ? 'ended' : execute(this.url, 'SELECT 1').then(() => 'ready')), {
      description: `mariadbd to answer on port ${this.port}`,
      timeoutMs: 60_000,
    });
    if (state === 'ended') throw new Error(`mariadbd ended before it answered; its log:\n${await readLog(this.#directory)}`);
  }
}

/** Durable as in production: tests of what survives a crash would mean nothing otherwise. */
function serverSettings(directory: string, port: number): Record<string, string> {
  return {
    datadir: join(directory, 'data'),
    // Of its own: a server that starts removes the temporary tables of all others from a common one.
    tmpdir: directory,
    socket: join(directory, 'data', 'mariadbd.sock'),
    'pid-file': join(directory, 'data', 'mariadbd.pid'),
    'init-file': join(directory, 'init.sql'),
    port: String(port),
    'bind-address': '127.0.0.1',
    'skip-name-resolve': 'ON',
    'skip-log-bin': 'ON',
    'character-set-server': 'utf8mb4',
    'innodb-flush-log-at-trx-commit': '1',
    'innodb-buffer-pool-size': '256M',
    'max-connections': '400',
  };
}

/** Idempotent: the server runs it at each of its starts, before it takes connections. */
const INIT_SQL = `CREATE USER IF NOT EXISTS ${USER}@'127.0.0.1' IDENTIFIED BY '${PASSWORD}';
GRANT ALL ON *.* TO ${USER}@'127.0.0.1' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS livehook CHARACTER SET utf8mb4;
`;

/** On a loaded machine the installer fails now and then; what it leaves is removed and made anew. */
const MAX_INSTALLS = 3;

async function install(installer: string, directory: string): Promise<void> {
  const data = join(directory, 'data');
  await writeFile(join(directory, 'init.sql'), INIT_SQL);
  const options = ['--no-defaults', `--datadir=${data}`, `--tmpdir=${directory}`, '--skip-test-db', '--skip-name-resolve', ...asUser()];
  for (let tries = 1; ; tries++) {
    await mkdir(data);
    const installing = await GuardedProcess.start([installer, ...options], directory);
    const status = await installing.ended();
    if (status === 0) return;
    if (tries === MAX_INSTALLS) throw new Error(`${installer} ended with status ${status}; its log:\n${await readLog(directory)}`);
    await rm(data, { recursive: true, force: true });
  }
}

async function readLog(directory: string): Promise<string> {
  const log = await readFile(join(directory, 'server.log'), 'utf8').catch(() => '(none)');
  return log.split('\n').slice(-30).join('\n');
}

/** mariadbd refuses to run as root unless told to. */
function asUser(): string[] {
  return userInfo().uid === 0 ? ['--user=root'] : [];
}

function findBinaries(): { server: string; installer: string } {
  return {
    server: findBinary(['mariadbd', 'mysqld'], 'mariadb-server'),
    installer: findBinary(['mariadb-install-db', 'mysql_install_db'], 'mariadb-server'),
  };
}

function databaseUrl(port: number, name = ''): string {
  return `mysql://${USER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/${name}`;
}

async function execute(url: string, sql: string): Promise<void> {
  const connection = await createConnection(url);
  try {
    await connection.query(sql);
  } finally {
    await connection.end();
  }
}

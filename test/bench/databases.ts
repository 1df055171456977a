import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { readConfig } from '../../src/config';
import { createDatabase } from '../../src/data-source';
import { silentLog } from '../../src/log';
import type { Database } from '../../src/store/database';
import { type Mariadb, startMariadb } from '../support/mariadb';

export type DatabaseKind = 'mariadb' | 'sqlite';

/** Large enough for all but the history; the rest is as the tests have it, `innodb_flush_log_at_trx_commit=1` first of all. */
const SETTINGS = { 'innodb-buffer-pool-size': '1G', 'innodb-log-file-size': '1G' };

/** A fresh database, for one hub or several after another. */
export interface BenchDatabase {
  readonly kind: DatabaseKind;
  /** As `DATABASE_URL` takes it. */
  readonly url: string;
  /** Null: the database runs in the hub's own process. */
  readonly serverPid: number | null;
  drop(): Promise<void>;
}

/** Makes databases, and the one MariaDB server for those that need it. */
export class Databases {
  #server: Promise<Mariadb> | undefined;
  #made = 0;

  async make(kind: DatabaseKind): Promise<BenchDatabase> {
    return kind === 'mariadb' ? this.#makeMariadb() : makeSqlite();
  }

  async close(): Promise<void> {
    await (await this.#server?.catch(() => undefined))?.stop();
  }

  async #makeMariadb(): Promise<BenchDatabase> {
    this.#server ??= startMariadb({ settings: SETTINGS });
    const server = await this.#server;
    const name = `bench_${++this.#made}`;
    await execute(server.url, `CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
    return {
      kind: 'mariadb',
      url: server.url.replace(/livehook$/, name),
      serverPid: server.pid,
      drop: () => execute(server.url, `DROP DATABASE ${name}`),
    };
  }
}

async function makeSqlite(): Promise<BenchDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'livehook-bench-'));
  return {
    kind: 'sqlite',
    url: `sqlite:${join(folder, 'livehook.db')}`,
    serverPid: null,
    drop: () => rm(folder, { recursive: true, force: true }),
  };
}

async function execute(url: string, sql: string): Promise<void> {
  const connection = await createConnection(url);
  try {
    await connection.query(sql);
  } finally {
    await connection.end();
  }
}

/** A look into the database beside the hub. */
export async function openBeside(url: string): Promise<Database> {
  const { databaseUrl } = readConfig({ DATABASE_URL: url, LIVEHOOK_SECRET_KEY: Buffer.alloc(32, 7).toString('base64') });
  const database = createDatabase(databaseUrl, silentLog);
  await database.open();
  return database;
}

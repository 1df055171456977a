import { format } from 'mysql2';

import type { DataSourceOptions } from 'typeorm';
import type { DatabaseUrl } from '../config';
import { IDLE_MS } from './mysql-pool';

/** Enough for the group commit, the settler, the claims and reads beside them; each waits its turn beyond. */
const POOL_SIZE = 16;

/** How long SQLite itself waits for a lock: about a commit. It blocks the event loop. */
export const BUSY_MS = 20;
/** The same for what runs before anything else does. */
export const PATIENT_BUSY_MS = 10_000;

type Value = Exclude<Parameters<typeof format>[1], readonly unknown[]>;

function fillIn(sql: string, values: Value[] | undefined): string {
  return values === undefined || values.length === 0 ? sql : format(sql, values, true, 'Z');
}

/** What is stored, as TypeORM wants to know it. */
export type Records = Pick<DataSourceOptions, 'entities' | 'migrations'>;

/** TypeORM's settings for a database URL. On SQLite `reader` is a connection that can only read. */
export function connectionOptions(url: DatabaseUrl, role: 'writer' | 'reader', records: Records): DataSourceOptions {
  const common = { ...records, migrationsTableName: 'migrations', logging: false } as const;
  if (url.kind === 'sqlite')
    return {
      ...common,
      type: 'better-sqlite3',
      driver: require('libsql'),
      database: url.path,
      prepareDatabase(database: { pragma(text: string): unknown }) {
        database.pragma(`busy_timeout = ${PATIENT_BUSY_MS}`);
        database.pragma('journal_mode = WAL');
        database.pragma('synchronous = FULL'); // an acknowledged event survives a power cut
        database.pragma('cache_size = -32000');
        database.pragma('wal_autocheckpoint = 4000'); // 16 MB: a page that many commits change is moved and synced once
        database.pragma('secure_delete = ON'); // what is deleted or replaced is overwritten with zeros, free pages as well
        database.pragma('temp_store = MEMORY'); // nothing of a payload lies in temporary files
        if (role === 'reader') database.pragma('query_only = ON');
        // Waiting for another process's transaction here stops everything in this one: `Database` waits instead.
        else database.pragma(`busy_timeout = ${BUSY_MS}`);
      },
    };
  return {
    ...common,
    type: 'mysql',
    url: url.url.replace(/^mariadb:/, 'mysql:'),
    ...(url.tls && { ssl: url.tls }),
    charset: 'utf8mb4_bin',
    timezone: 'Z',
    supportBigNumbers: true,
    bigNumberStrings: false, // sequences and times fit 53 bits
    connectTimeout: 5_000,
    poolSize: POOL_SIZE,
    // With fewer idle connections than there may be, the driver closes idle ones.
    // Statements with all their values in them are not searched for places to fill, which took 10 µs an event of 1 KB.
    // Without `trace` the driver takes no stack for every statement.
    multipleStatements: true, // a transaction sends what nobody waits for together with what somebody does
    extra: { enableKeepAlive: true, maxIdle: POOL_SIZE - 1, idleTimeout: IDLE_MS, trace: false, queryFormat: fillIn },
  };
}

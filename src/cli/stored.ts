import { existsSync } from 'node:fs';
import { type Config, ConfigError } from '../config';
import { createDatabase } from '../data-source';
import type { Log } from '../log';
import type { Database } from '../store/database';

/** Runs `work` on the database that is there and up to date; one that is not is neither made nor changed. */
export async function withStoredDatabase<T>({ databaseUrl }: Config, log: Log, work: (database: Database) => Promise<T>): Promise<T> {
  if (databaseUrl.kind === 'sqlite' && !existsSync(databaseUrl.path))
    throw new ConfigError([`DATABASE_URL: there is no database ${databaseUrl.path}: start a hub first, or livehook migrate makes one`]);
  const database = createDatabase(databaseUrl, log);
  await database.open();
  try {
    if (!(await database.isMigrated()))
      throw new ConfigError(['DATABASE_URL: the database has no tables of this version: start a hub first, or run livehook migrate']);
    return await work(database);
  } finally {
    await database.close();
  }
}

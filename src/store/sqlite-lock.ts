import { closeSync, existsSync, openSync, realpathSync } from 'node:fs';
import { CannotStart } from '../errors';
import { makePrivateFolder } from './sqlite-files';

interface Connection {
  exec(sql: string): void;
  close(): void;
}

/**
 * Keeps a second hub from a SQLite file, whose deliveries all belong to the one that serves it. The lock is an open
 * transaction on an empty file beside it: it ends with the process, however that ends, and is nothing to those who only
 * look into the database or make keys in it. The file stays, for whoever removes a lock's file lets two hold it.
 */
export class SqliteLock {
  readonly #connection: Connection;

  /** @throws CannotStart when another hub holds it */
  constructor(database: string) {
    const path = existsSync(database) ? realpathSync(database) : database;
    const file = `${path}-lock`;
    makePrivateFolder(file);
    // SQLite would make it readable for others. One that is there is left alone: closing it would end a lock of this process.
    if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600));
    this.#connection = new (require('libsql') as new (path: string) => Connection)(file);
    try {
      this.#connection.exec('PRAGMA journal_mode = MEMORY'); // no further file
      this.#connection.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      this.#connection.close();
      if (!String((error as { code?: unknown }).code).startsWith('SQLITE_BUSY')) throw error;
      throw new CannotStart(
        `DATABASE_URL: another hub serves the file ${database}, and a SQLite file belongs to one: stop that one, or use MySQL or MariaDB, which several hubs share`,
        error,
      );
    }
  }

  release(): void {
    this.#connection.close();
  }
}

import { DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import type { DatabaseUrl } from '../config';
import { HubError } from '../errors';
import type { Log } from '../log';
import { dataSourceOptions } from './data-source';
import type { Dialect } from './dialect';
import { mysqlDialect } from './mysql';
import { sqliteDialect } from './sqlite';

/** Runs statements: outside a transaction for reads, inside one as `Tx`. Placeholders are `?` on both databases. */
export interface Queries {
  readonly dialect: Dialect;
  /** For single records; the hot path writes its SQL itself. */
  readonly manager: EntityManager;
  query<Row>(sql: string, parameters?: readonly unknown[]): Promise<Row[]>;
}

/** An open transaction. Whoever takes one as an argument writes in it and leaves the commit to its owner. */
export interface Tx extends Queries {
  /** Returns how many rows were changed. */
  execute(sql: string, parameters?: readonly unknown[]): Promise<number>;
  /** Rows in statements of a bounded size. */
  insert(table: string, columns: readonly string[], rows: readonly (readonly unknown[])[]): Promise<void>;
}

/** A commit whose answer got lost: the work may be stored or not, and whoever asked must look. */
export class CommitInDoubt extends Error {
  override readonly name = 'CommitInDoubt';
}

const MOST_TRIES = 8;
/** SQLite takes 32,766 parameters a statement; MySQL a packet of 4 MiB or more, three bytes a character. */
const MOST_PARAMETERS = 16_000;
const MOST_STATEMENT_CHARS = 1024 * 1024;

/**
 * The one way to the database. MySQL and MariaDB: a pool. SQLite: one connection that writes, and takes its turn,
 * and one that reads what is committed.
 */
export class Database {
  readonly dialect: Dialect;
  readonly #writer: DataSource;
  readonly #reader: DataSource;
  readonly #log: Log;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(url: DatabaseUrl, log: Log) {
    this.#log = log;
    this.dialect = url.kind === 'sqlite' ? sqliteDialect : mysqlDialect;
    this.#writer = new DataSource(dataSourceOptions(url, 'writer'));
    this.#reader = url.kind === 'sqlite' ? new DataSource(dataSourceOptions(url, 'reader')) : this.#writer;
  }

  async open(): Promise<void> {
    await this.#guard(async () => {
      await this.#writer.initialize();
      if (this.dialect.supportsManyInstances) await setReadCommitted(this.#writer);
      if (this.#reader !== this.#writer) await this.#reader.initialize();
    });
  }

  async close(): Promise<void> {
    await this.#turn;
    if (this.#reader !== this.#writer && this.#reader.isInitialized) await this.#reader.destroy();
    if (this.#writer.isInitialized) await this.#writer.destroy();
  }

  /** Runs what is missing of `migrations/`; returns the names of what ran. Instances that start together take turns. */
  async migrate(): Promise<string[]> {
    return this.#inTurn(async () => {
      const done = await withMigrationLock(this.#writer, this.dialect, () => this.#writer.runMigrations({ transaction: 'each' }));
      return done.map((migration) => migration.name);
    });
  }

  /** Whether every migration is applied; rejects when the database cannot be reached. */
  async isMigrated(): Promise<boolean> {
    return this.#guard(async () => !(await this.#reader.showMigrations()));
  }

  /** Reads of what is committed. */
  get read(): Queries {
    return {
      dialect: this.dialect,
      manager: this.#reader.manager,
      query: (sql, parameters = []) => this.#guard(() => this.#reader.query(sql, parameters as unknown[])),
    };
  }

  /** All or nothing. A transaction that only lost a race is run again, so `work` must not have effects of its own. */
  async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return this.dialect.supportsManyInstances ? await this.#once(work) : await this.#inTurn(() => this.#once(work));
      } catch (error) {
        if (this.dialect.classify(error) !== 'transient' || tries === MOST_TRIES) throw this.#translated(error);
        this.#log.debug({ tries, error: (error as Error).message }, 'transaction.repeated');
      }
    }
  }

  async #once<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const runner = this.#writer.createQueryRunner();
    try {
      await runner.query(this.dialect.supportsManyInstances ? 'START TRANSACTION' : 'BEGIN IMMEDIATE');
      let result: T;
      try {
        result = await work(transactionOver(runner, this.dialect));
      } catch (error) {
        await runner.query('ROLLBACK').catch(() => {}); // the connection may be gone, and with it the transaction
        throw error;
      }
      await this.#commit(runner);
      return result;
    } finally {
      if (this.dialect.supportsManyInstances) await runner.release();
    }
  }

  async #commit(runner: QueryRunner): Promise<void> {
    try {
      await runner.query('COMMIT');
    } catch (error) {
      const fault = this.dialect.classify(error);
      if (!this.dialect.supportsManyInstances) {
        await runner.query('ROLLBACK').catch(() => {});
        throw error;
      }
      if (fault === 'unavailable') throw new CommitInDoubt('the connection was lost while committing', { cause: error });
      throw error;
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#translated(error);
    }
  }

  #translated(error: unknown): unknown {
    if (error instanceof HubError || error instanceof CommitInDoubt) return error;
    const fault = this.dialect.classify(error);
    if (fault !== 'unavailable' && fault !== 'transient') return error;
    const unavailable = new HubError('UNAVAILABLE');
    unavailable.cause = error;
    return unavailable;
  }
}

function transactionOver(runner: QueryRunner, dialect: Dialect): Tx {
  const execute = async (sql: string, parameters: readonly unknown[] = []) => {
    const { affected } = await runner.query(sql, parameters as unknown[], true);
    return affected ?? 0;
  };
  return {
    dialect,
    manager: runner.manager,
    query: (sql, parameters = []) => runner.query(sql, parameters as unknown[]),
    execute,
    async insert(table, columns, rows) {
      const head = `INSERT INTO ${table} (${columns.join(',')}) VALUES `;
      const one = `(${columns.map(() => '?').join(',')})`;
      for (const part of statementSized(rows, columns.length)) await runner.query(head + part.map(() => one).join(','), part.flat());
    },
  };
}

function* statementSized(rows: readonly (readonly unknown[])[], columns: number): Iterable<readonly (readonly unknown[])[]> {
  const mostRows = Math.floor(MOST_PARAMETERS / columns);
  let start = 0;
  let chars = 0;
  for (const [index, row] of rows.entries()) {
    let rowChars = 0;
    for (const value of row) if (typeof value === 'string') rowChars += value.length;
    if (index > start && (index - start >= mostRows || chars + rowChars > MOST_STATEMENT_CHARS)) {
      yield rows.slice(start, index);
      start = index;
      chars = 0;
    }
    chars += rowChars;
  }
  if (start < rows.length) yield start === 0 ? rows : rows.slice(start);
}

/** Without the gap locks of the default level, claims and settles of neighbours do not wait for each other. */
async function setReadCommitted(source: DataSource): Promise<void> {
  const statement = 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED';
  const { pool } = source.driver as unknown as {
    pool: { on(event: 'connection', listener: (connection: { query(sql: string): void }) => void): void };
  };
  pool.on('connection', (connection) => connection.query(statement));
  await source.query(statement); // the one connection that is open already
}

async function withMigrationLock<T>(source: DataSource, dialect: Dialect, work: () => Promise<T>): Promise<T> {
  if (!dialect.supportsManyInstances) return work();
  const runner = source.createQueryRunner();
  try {
    await runner.query("SELECT GET_LOCK(CONCAT('livehook.migrate.', DATABASE()), 120)");
    return await work();
  } finally {
    await runner.query("SELECT RELEASE_LOCK(CONCAT('livehook.migrate.', DATABASE()))").catch(() => {});
    await runner.release();
  }
}

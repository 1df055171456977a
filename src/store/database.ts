import { DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import { SECOND, sleep, systemClock } from '../clock';
import type { DatabaseUrl } from '../config';
import { HubError } from '../errors';
import type { Log } from '../log';
import { BUSY_MS, dataSourceOptions, PATIENT_BUSY_MS } from './data-source';
import type { Dialect } from './dialect';
import { mysqlDialect } from './mysql';
import { PATIENCE, type Patience, supervise, WAIT_SECONDS } from './mysql-pool';
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
  /** Adds to a whole number of the one row with this key and returns the sum; undefined where there is no such row. */
  increment(table: string, column: string, by: number, key: Readonly<Record<string, string>>): Promise<number | undefined>;
  /** Rows in statements of a bounded size. */
  insert(table: string, columns: readonly string[], rows: readonly (readonly unknown[])[]): Promise<void>;
}

/** A commit whose answer got lost: the work may be stored or not, and whoever asked must look. */
export class CommitInDoubt extends HubError {
  constructor(cause: unknown) {
    super('UNAVAILABLE', 'The hub lost its database while storing: it may be stored or not. Look for it before you try again.');
    this.cause = cause;
  }
}

/** How long a transaction that loses races is run again: another process may hold SQLite's only lock for a while. */
const PATIENCE_MS = 10 * SECOND;
const PAUSE_MS = 5;
const MOST_PAUSE_MS = 100;
/** How long shutting down waits for connections to be closed in good order. */
const CLOSE_MS = 2 * SECOND;
/** MySQL takes a packet of 4 MiB or more, three bytes a character. */
const MOST_STATEMENT_CHARS = 1024 * 1024;

/**
 * The one way to the database. MySQL and MariaDB: a pool. SQLite: one connection that writes, and takes its turn,
 * and one that reads what is committed.
 */
export class Database {
  readonly dialect: Dialect;
  readonly #writer: DataSource;
  readonly #reader: DataSource;
  readonly #readManager: EntityManager;
  readonly #log: Log;
  readonly #patience: Patience;
  #turn: Promise<unknown> = Promise.resolve();
  #isMigrating = false;

  constructor(url: DatabaseUrl, log: Log, patience = PATIENCE) {
    this.#log = log;
    this.#patience = patience;
    this.dialect = url.kind === 'sqlite' ? sqliteDialect : mysqlDialect;
    this.#writer = new DataSource(dataSourceOptions(url, 'writer'));
    this.#reader = url.kind === 'sqlite' ? new DataSource(dataSourceOptions(url, 'reader')) : this.#writer;
    this.#readManager = managerOver(this.#reader, (work) => this.#guard(work));
  }

  async open(): Promise<void> {
    await this.#guard(async () => {
      await this.#writer.initialize();
      if (this.dialect.supportsManyInstances) await supervise(this.#writer, this.#patience, () => this.#isMigrating);
      if (this.#reader !== this.#writer) await this.#reader.initialize();
    });
  }

  async close(): Promise<void> {
    await this.#turn;
    if (this.#reader !== this.#writer && this.#reader.isInitialized) await this.#reader.destroy();
    if (!this.#writer.isInitialized) return;
    if (!this.dialect.supportsManyInstances) return this.#writer.destroy();
    // A server that hangs or is gone answers no farewell.
    const closing = this.#writer.destroy().catch((error: Error) => this.#log.debug({ error: error.message }, 'database.not_closed'));
    await Promise.race([closing, new Promise<void>((done) => systemClock.after(CLOSE_MS, done))]);
  }

  /** Runs what is missing of `migrations/`; returns the names of what ran. Instances that start together take turns. */
  async migrate(): Promise<string[]> {
    this.#isMigrating = true;
    return this.#inTurn(async () => {
      const done = await withMigrationLock(this.#writer, this.dialect, () => this.#writer.runMigrations({ transaction: 'each' }));
      return done.map((migration) => migration.name);
    }).finally(() => {
      this.#isMigrating = false;
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
      manager: this.#readManager,
      query: (sql, parameters = []) => this.#guard(() => this.#reader.query(sql, parameters as unknown[])),
    };
  }

  /** All or nothing. A transaction that only lost a race is run again, so `work` must not have effects of its own. */
  async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const givesUpAt = systemClock.monotonic() + PATIENCE_MS;
    for (let tries = 1; ; tries++) {
      try {
        return this.dialect.supportsManyInstances ? await this.#once(work) : await this.#inTurn(() => this.#once(work));
      } catch (error) {
        if (this.dialect.classify(error) !== 'transient' || systemClock.monotonic() > givesUpAt) throw this.#translated(error);
        this.#log.debug({ tries, error: (error as Error).message }, 'transaction.repeated');
        await sleep(systemClock, Math.min(PAUSE_MS * tries, MOST_PAUSE_MS));
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
      if (fault === 'unavailable') throw new CommitInDoubt(error);
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
    if (error instanceof HubError) return error;
    const fault = this.dialect.classify(error);
    if (fault !== 'unavailable' && fault !== 'transient') return error;
    const unavailable = new HubError('UNAVAILABLE');
    unavailable.cause = error;
    return unavailable;
  }
}

/** A manager outside transactions, every statement of which runs through `guard`. */
function managerOver(source: DataSource, guard: <T>(work: () => Promise<T>) => Promise<T>): EntityManager {
  const guarded = new WeakSet<QueryRunner>(); // on SQLite it is the same one every time
  const createQueryRunner: DataSource['createQueryRunner'] = (mode) => {
    const runner = source.createQueryRunner(mode);
    if (guarded.has(runner)) return runner;
    guarded.add(runner);
    const query = runner.query.bind(runner) as (...parameters: unknown[]) => Promise<unknown>;
    return Object.assign(runner, { query: (...parameters: unknown[]) => guard(() => query(...parameters)) });
  };
  return (Object.create(source, { createQueryRunner: { value: createQueryRunner } }) as DataSource).createEntityManager();
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
    async increment(table, column, by, key) {
      const where = Object.keys(key).map((name) => `${name} = ?`);
      const { set, suffix, sumOf } = dialect.increment(column);
      const sql = `UPDATE ${table} SET ${column} = ${set} WHERE ${where.join(' AND ')}${suffix}`;
      return sumOf(await runner.query(sql, [by, ...Object.values(key)], true));
    },
    async insert(table, columns, rows) {
      const head = `INSERT INTO ${table} (${columns.join(',')}) VALUES `;
      const { literal } = dialect;
      if (literal === null) return insertOneByOne(runner, `${head}(${columns.map(() => '?').join(',')})`, rows);
      for (const part of statementSized(rows)) await runner.query(head + part.map((row) => `(${row.map(literal).join(',')})`).join(','));
    },
  };
}

interface Statement {
  run(parameters: readonly unknown[]): unknown;
}

/**
 * On SQLite, which is a call away: one statement, prepared once. One of many rows has to be prepared anew for every
 * number of them; 300 rows of the three hot tables took 47 µs a row's share that way at best, and take 40 so.
 */
function insertOneByOne(runner: QueryRunner, sql: string, rows: readonly (readonly unknown[])[]): void {
  const { databaseConnection } = runner.dataSource.driver as unknown as { databaseConnection: { prepare(sql: string): Statement } };
  const statement = databaseConnection.prepare(sql);
  for (const row of rows) statement.run(row);
}

function* statementSized(rows: readonly (readonly unknown[])[]): Iterable<readonly (readonly unknown[])[]> {
  let start = 0;
  let chars = 0;
  for (const [index, row] of rows.entries()) {
    let rowChars = 0;
    for (const value of row) if (typeof value === 'string') rowChars += value.length;
    if (index > start && chars + rowChars > MOST_STATEMENT_CHARS) {
      yield rows.slice(start, index);
      start = index;
      chars = 0;
    }
    chars += rowChars;
  }
  if (start < rows.length) yield start === 0 ? rows : rows.slice(start);
}

async function withMigrationLock<T>(source: DataSource, dialect: Dialect, work: () => Promise<T>): Promise<T> {
  const runner = source.createQueryRunner();
  if (!dialect.supportsManyInstances) {
    await runner.query(`PRAGMA busy_timeout = ${PATIENT_BUSY_MS}`);
    return work().finally(() => runner.query(`PRAGMA busy_timeout = ${BUSY_MS}`));
  }
  try {
    await runner.query('SET SESSION wait_timeout = 86400'); // the lock ends with the connection, which is silent meanwhile
    await runner.query("SELECT GET_LOCK(CONCAT('livehook.migrate.', DATABASE()), 120)");
    return await work();
  } finally {
    await runner.query("SELECT RELEASE_LOCK(CONCAT('livehook.migrate.', DATABASE()))").catch(() => {});
    await runner.query(`SET SESSION wait_timeout = ${WAIT_SECONDS}`).catch(() => {});
    await runner.release();
  }
}

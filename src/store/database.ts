import { DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import { type Clock, SECOND, sleep } from '../clock';
import type { DatabaseUrl } from '../config';
import { HubError } from '../errors';
import type { Log } from '../log';
import { BUSY_MS, connectionOptions, PATIENT_BUSY_MS, type Records } from './connections';
import type { Dialect } from './dialect';
import { Eraser } from './eraser';
import { LoopTurn, type Urgency } from './loop-turn';
import { mysqlDialect } from './mysql';
import { MIN_PACKET_BYTES, PATIENCE, type PacketLimit, type Patience, supervise, WAIT_SECONDS } from './mysql-pool';
import { openFailure } from './open-failure';
import { begin } from './open-transaction';
import { sqliteDialect } from './sqlite';
import { protectFiles } from './sqlite-files';
import { SqliteLock } from './sqlite-lock';

/** Runs statements: outside a transaction for reads, inside one as `Tx`. Placeholders are `?` on both databases. */
export interface Queries {
  readonly dialect: Dialect;
  /** For single records; the hot path writes its SQL itself. */
  readonly manager: EntityManager;
  query<Row>(sql: string, parameters?: readonly unknown[]): Promise<Row[]>;
}

/** An open transaction. A function that takes one as an argument writes in it and leaves the commit to its owner. */
export interface Tx extends Queries {
  /** Returns how many rows were changed. `later`: nobody asks; it may be sent with the next statement, and fail there. */
  execute(sql: string, parameters?: readonly unknown[], when?: { readonly later: boolean }): Promise<number>;
  /** Rows in statements of a bounded size, sent later. */
  insert(table: string, columns: readonly string[], rows: readonly (readonly unknown[])[]): Promise<void>;
}

/** A commit whose answer got lost: the work may be stored or not, and the caller must look. */
export class CommitInDoubt extends HubError {
  constructor(cause: unknown) {
    super('UNAVAILABLE', 'The hub lost its database while storing: it may be stored or not. Look for it before you try again.');
    this.cause = cause;
  }
}

/** How long a transaction that loses races is run again: another process may hold SQLite's only lock for a while. */
const PATIENCE_MS = 10 * SECOND;
const PAUSE_MS = 5;
const MAX_PAUSE_MS = 100;
/** How long shutting down waits for connections to be closed in good order. */
const CLOSE_MS = 2 * SECOND;

interface Deps {
  readonly url: DatabaseUrl;
  readonly log: Log;
  readonly clock: Clock;
  readonly records: Records;
  readonly patience?: Patience;
}

/**
 * The one way to the database. MySQL and MariaDB: a pool. SQLite: one connection that writes, and takes its turn,
 * and one that reads what is committed.
 */
export class Database {
  readonly dialect: Dialect;
  readonly #url: DatabaseUrl;
  readonly #writer: DataSource;
  readonly #reader: DataSource;
  readonly #readManager: EntityManager;
  readonly #urgentReader: DataSource;
  readonly #urgentManager: EntityManager;
  readonly #log: Log;
  readonly #patience: Patience;
  readonly #packets: PacketLimit = { bytes: Number.POSITIVE_INFINITY };
  /** Of SQLite's file. */
  readonly #path: string | undefined;
  readonly #clock: Clock;
  readonly #eraser: Eraser;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #loopTurn: LoopTurn;
  #isMigrating = false;
  #lock: SqliteLock | undefined;

  constructor({ url, log, clock, records, patience = PATIENCE }: Deps) {
    this.#url = url;
    this.#log = log;
    this.#clock = clock;
    this.#loopTurn = new LoopTurn(clock);
    this.#eraser = new Eraser(clock, () => this.#inTurn(() => this.#truncateLog()));
    this.#patience = patience;
    this.#path = url.kind === 'sqlite' ? url.path : undefined;
    this.dialect = url.kind === 'sqlite' ? sqliteDialect : mysqlDialect;
    this.#writer = new DataSource(connectionOptions(url, 'writer', records));
    this.#reader = url.kind === 'sqlite' ? new DataSource(connectionOptions(url, 'reader', records)) : this.#writer;
    this.#urgentReader = url.kind === 'sqlite' ? new DataSource(connectionOptions(url, 'reader', records)) : this.#writer;
    const managerFor = (reader: DataSource, urgency: Urgency) =>
      managerOver(reader, async (work) => {
        await this.#letOthersIn(urgency);
        return this.#guard(work);
      });
    this.#readManager = managerFor(this.#reader, 'usual');
    this.#urgentManager = managerFor(this.#urgentReader, 'urgent');
  }

  /**
   * `asHub`: to serve it, and not only to look into it.
   * @throws CannotStart where what surrounds the hub is to blame
   */
  async open({ asHub = false }: { readonly asHub?: boolean } = {}): Promise<void> {
    try {
      if (this.#path !== undefined && asHub) this.#lock = new SqliteLock(this.#path);
      if (this.#path !== undefined) protectFiles(this.#path, this.#log);
      await this.#writer.initialize();
      if (this.dialect.supportsManyInstances)
        await supervise(this.#writer, this.#patience, {
          clock: this.#clock,
          isPatient: () => this.#isMigrating,
          packets: this.#packets,
        });
      for (const reader of this.#readers) await reader.initialize();
    } catch (error) {
      this.#lock?.release();
      throw openFailure(error, this.#url, this.dialect);
    }
    if (this.#packets.bytes < MIN_PACKET_BYTES)
      this.#log.warn({ bytes: this.#packets.bytes, expected: MIN_PACKET_BYTES }, 'database.small_max_allowed_packet');
  }

  async close(): Promise<void> {
    this.#eraser.stop();
    await this.#turn;
    for (const reader of this.#readers) if (reader.isInitialized) await reader.destroy();
    if (!this.#writer.isInitialized) return;
    if (!this.dialect.supportsManyInstances) return this.#closeFile();
    // A server that hangs or is gone does not answer a close.
    const closing = this.#writer.destroy().catch((error: Error) => this.#log.debug({ error: error.message }, 'database.not_closed'));
    await Promise.race([closing, new Promise<void>((done) => this.#clock.after(CLOSE_MS, done))]);
  }

  /** The file is whole afterwards, to be copied without the log of writes beside it; unless another program is just reading it. */
  async #closeFile(): Promise<void> {
    const isWhole = await this.#truncateLog().catch(() => false);
    if (!isWhole) this.#log.warn({ file: this.#path, todo: 'copy it together with its -wal file' }, 'database.log_not_emptied');
    await this.#writer.destroy();
    this.#lock?.release();
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
    // The look at the migrations makes their table where it is missing.
    return this.#guard(async () => (await this.#hasTable('migrations')) && !(await this.#reader.showMigrations()));
  }

  async #hasTable(name: string): Promise<boolean> {
    const runner = this.#reader.createQueryRunner();
    try {
      return await runner.hasTable(name);
    } finally {
      if (this.dialect.supportsManyInstances) await runner.release();
    }
  }

  /** Reads of what is committed. */
  get read(): Queries {
    return this.#queriesOver(this.#readManager);
  }

  /** The same for what every request waits for, such as its key: on SQLite before what callers read at length. */
  get urgentRead(): Queries {
    return this.#queriesOver(this.#urgentManager);
  }

  /** Connections of their own. */
  get #readers(): DataSource[] {
    return [this.#reader, this.#urgentReader].filter((reader) => reader !== this.#writer);
  }

  #queriesOver(manager: EntityManager): Queries {
    return { dialect: this.dialect, manager, query: (sql, parameters = []) => manager.query(sql, parameters as unknown[]) };
  }

  /** All or nothing. A transaction that only lost a race is run again, so `work` must not have effects of its own. */
  async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const givesUpAt = this.#clock.monotonic() + PATIENCE_MS;
    for (let tries = 1; ; tries++) {
      try {
        return this.dialect.supportsManyInstances ? await this.#once(work) : await this.#inTurn(() => this.#once(work));
      } catch (error) {
        if (this.dialect.classify(error) !== 'transient' || this.#clock.monotonic() > givesUpAt) throw this.#translated(error);
        this.#log.debug({ tries, error: (error as Error).message }, 'transaction.repeated');
        await sleep(this.#clock, Math.min(PAUSE_MS * tries, MAX_PAUSE_MS));
      }
    }
  }

  /**
   * Takes what was deleted or replaced out of SQLite's write-ahead log, which keeps every version of a page until it
   * begins from the start again. Resolves when it is gone; when another program is just reading the file, it goes as soon as that
   * ends. MySQL and MariaDB have logs of their own, which nobody can cut like this.
   */
  async eraseTraces(): Promise<void> {
    if (this.#path !== undefined) await this.#eraser.erase();
  }

  /** Whether nothing stood in the way. */
  async #truncateLog(): Promise<boolean> {
    const [result] = (await this.#writer.query('PRAGMA wal_checkpoint(TRUNCATE)')) as { busy: number }[];
    return result?.busy === 0;
  }

  /** A MySQL server answers in another turn of the event loop anyway. */
  async #letOthersIn(urgency: Urgency): Promise<void> {
    const turn = this.dialect.supportsManyInstances ? undefined : this.#loopTurn.take(urgency);
    if (turn) await turn;
  }

  async #once<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const runner = this.#writer.createQueryRunner();
    try {
      const { tx, commit, rollback } = await begin(runner, this.dialect, {
        packets: this.#packets,
        letOthersIn: () => this.#letOthersIn('urgent'),
      });
      let isCommitting = false;
      try {
        const result = await work(tx);
        isCommitting = true;
        await commit();
        return result;
      } catch (error) {
        const { classify, supportsManyInstances } = this.dialect;
        if (isCommitting && supportsManyInstances && classify(error) === 'unavailable') throw new CommitInDoubt(error);
        await rollback().catch(() => {}); // the connection may be gone, and with it the transaction
        throw error;
      }
    } finally {
      if (this.dialect.supportsManyInstances) await runner.release();
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => this.#letOthersIn('urgent')).then(work);
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

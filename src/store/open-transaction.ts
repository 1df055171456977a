import type { QueryRunner } from 'typeorm';
import { nextTurn } from '../slices';
import type { Tx } from './database';
import type { Dialect } from './dialect';
import { PACKET_TOO_LARGE } from './mysql';
import type { PacketLimit } from './mysql-pool';

/** A transaction that has begun; who began it ends it. */
export interface OpenTransaction {
  readonly tx: Tx;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

/** What gathers before it is sent. Where the server takes small packets, less of it. */
const MAX_STATEMENT_CHARS = 1024 * 1024;
/** A character has up to three bytes, and some are escaped by a second one. */
const MAX_BYTES_PER_CHAR = 6;
/** Of a packet that is the protocol's own. */
const PACKET_HEAD_BYTES = 64;

/** More than the server takes in one packet. It is not sent: the server would close the connection, which looks as if it had gone away. */
class PacketTooLarge extends Error {
  override readonly name = 'PacketTooLarge';
  readonly code = PACKET_TOO_LARGE;

  constructor(bytes: number, mostBytes: number) {
    super(`a statement of ${bytes} bytes is more than the database takes, which is ${mostBytes} (max_allowed_packet)`);
  }
}

/** About 8 ms on SQLite, where nothing else is done meanwhile. */
const ROWS_PER_TURN = 200;

type Rows = readonly (readonly unknown[])[];

interface Result {
  /** The rows of a SELECT, or what the driver says of another statement. */
  readonly raw: unknown;
  readonly affected?: number | undefined;
}

/** How statements reach a database. */
interface Line {
  /** Answers with the result. */
  ask(sql: string, parameters: readonly unknown[]): Promise<Result>;
  /** Nobody waits for the result; a failure shows at the latest when the transaction is committed. */
  tell(sql: string, parameters: readonly unknown[]): Promise<void>;
  insert(table: string, columns: readonly string[], rows: Rows): Promise<void>;
  /** Sends what was not sent yet. */
  flush(): Promise<void>;
  /** Drops it. */
  forget(): void;
}

interface Surroundings {
  readonly packets: PacketLimit;
  /** On SQLite: resolves once another statement may have the event loop. */
  readonly letOthersIn: () => Promise<void>;
}

export async function begin(runner: QueryRunner, dialect: Dialect, { packets, letOthersIn }: Surroundings): Promise<OpenTransaction> {
  const line = dialect.literal ? new Packets(runner, dialect.literal, packets.bytes) : new Calls(runner, letOthersIn);
  await line.tell(dialect.begin, []);
  return {
    tx: txOver(line, runner, dialect),
    async commit() {
      await line.flush();
      await line.ask('COMMIT', []); // alone: whatever fails before it was certainly not committed
    },
    async rollback() {
      line.forget();
      await line.ask('ROLLBACK', []);
    },
  };
}

function txOver(line: Line, { manager }: QueryRunner, dialect: Dialect): Tx {
  return {
    dialect,
    manager,
    query: async <Row>(sql: string, parameters: readonly unknown[] = []) => (await line.ask(sql, parameters)).raw as Row[],
    async execute(sql, parameters = [], { later } = { later: false }) {
      if (!later) return (await line.ask(sql, parameters)).affected ?? 0;
      await line.tell(sql, parameters);
      return 0;
    },
    insert: (table, columns, rows) => (rows.length > 0 ? line.insert(table, columns, rows) : Promise.resolve()),
  };
}

/** SQLite is a call away. */
class Calls implements Line {
  readonly #runner: QueryRunner;
  readonly #letOthersIn: () => Promise<void>;

  constructor(runner: QueryRunner, letOthersIn: () => Promise<void>) {
    this.#runner = runner;
    this.#letOthersIn = letOthersIn;
  }

  async ask(sql: string, parameters: readonly unknown[]): Promise<Result> {
    await this.#letOthersIn();
    return this.#runner.query(sql, [...parameters], true);
  }

  async tell(sql: string, parameters: readonly unknown[]): Promise<void> {
    await this.ask(sql, parameters);
  }

  /**
   * One statement, prepared once. One of many rows has to be prepared again for every number of them; 300 rows of the
   * three hot tables took 47 µs a row's share that way at best, and take 40 so.
   */
  async insert(table: string, columns: readonly string[], rows: Rows): Promise<void> {
    const { databaseConnection } = this.#runner.dataSource.driver as unknown as { databaseConnection: LibsqlConnection };
    const statement = databaseConnection.prepare(`${insertInto(table, columns)} (${columns.map(() => '?').join(',')})`);
    for (let start = 0; start < rows.length; start += ROWS_PER_TURN) {
      // The transaction has the connection to itself, so that others' work may go between.
      if (start > 0) await nextTurn();
      for (let index = start; index < start + ROWS_PER_TURN && index < rows.length; index++) statement.run(rows[index] ?? []);
    }
  }

  async flush(): Promise<void> {}

  forget(): void {}
}

interface LibsqlConnection {
  prepare(sql: string): { run(parameters: readonly unknown[]): unknown };
}

/**
 * A MySQL server is a round trip away, which costs both sides more than a small statement does. What nobody waits for is
 * kept, and goes in one packet with the next statement that somebody does: storing a single event took 8 round trips and
 * takes 4, settling its delivery took 8 and takes 4.
 */
class Packets implements Line {
  readonly #runner: QueryRunner;
  readonly #literal: (value: unknown) => string;
  /** TypeORM's own way to the server. */
  readonly #query: (sql: string) => Promise<Result>;
  readonly #mostBytes: number;
  readonly #mostChars: number;
  #kept: string[] = [];
  #keptChars = 0;

  constructor(runner: QueryRunner, literal: (value: unknown) => string, packetBytes: number) {
    this.#runner = runner;
    this.#literal = literal;
    this.#mostBytes = packetBytes - PACKET_HEAD_BYTES;
    // Half of a packet is left for the statement that goes with what has gathered.
    this.#mostChars = Math.min(MAX_STATEMENT_CHARS, Math.floor(packetBytes / (2 * MAX_BYTES_PER_CHAR)));
    const query = runner.query.bind(runner) as QueryRunner['query'];
    this.#query = (sql) => query(this.#fitting(sql), undefined, true);
    // What a manager of TypeORM does comes after what is kept.
    const afterKept = async (...statement: Parameters<typeof query>) => {
      await this.flush();
      return query(...statement);
    };
    Object.assign(this.#runner, { query: afterKept });
  }

  async ask(sql: string, parameters: readonly unknown[]): Promise<Result> {
    const statement = this.#filled(sql, parameters);
    if (!this.#isSmall(this.#keptChars + statement.length)) await this.flush();
    const before = this.#takeKept();
    const { raw, affected } = await this.#query([...before, statement].join(';'));
    if (before.length === 0) return { raw, affected };
    const last: unknown = (raw as unknown[]).at(-1);
    return { raw: last, affected: (last as { affectedRows?: number } | undefined)?.affectedRows };
  }

  async tell(sql: string, parameters: readonly unknown[]): Promise<void> {
    await this.#keep(this.#filled(sql, parameters));
  }

  async insert(table: string, columns: readonly string[], rows: Rows): Promise<void> {
    const head = insertInto(table, columns);
    for (const part of statementSized(rows, this.#mostChars))
      await this.#keep(`${head} ${part.map((row) => `(${row.map(this.#literal).join(',')})`).join(',')}`);
  }

  forget(): void {
    this.#takeKept();
  }

  async #keep(sql: string): Promise<void> {
    if (this.#keptChars + sql.length > this.#mostChars) await this.flush();
    this.#kept.push(sql);
    this.#keptChars += sql.length;
  }

  async flush(): Promise<void> {
    const kept = this.#takeKept();
    if (kept.length > 0) await this.#query(kept.join(';'));
  }

  /** Whether so many characters of statements fit a packet whatever they are. */
  #isSmall(chars: number): boolean {
    return chars * 3 <= this.#mostBytes;
  }

  /** @throws PacketTooLarge */
  #fitting(sql: string): string {
    if (this.#isSmall(sql.length)) return sql;
    const bytes = Buffer.byteLength(sql);
    if (bytes > this.#mostBytes) throw new PacketTooLarge(bytes, this.#mostBytes);
    return sql;
  }

  #takeKept(): readonly string[] {
    const kept = this.#kept;
    this.#kept = [];
    this.#keptChars = 0;
    return kept;
  }

  /** Our statements have places for values only outside of quotes. */
  #filled(sql: string, parameters: readonly unknown[]): string {
    if (parameters.length === 0) return sql;
    const [first = '', ...others] = sql.split('?');
    if (others.length !== parameters.length)
      throw new Error(`expected ${others.length} parameters for the statement, got ${parameters.length}: ${sql.slice(0, 80)}`);
    return others.reduce((filled, text, index) => filled + this.#literal(parameters[index]) + text, first);
  }
}

function insertInto(table: string, columns: readonly string[]): string {
  return `INSERT INTO ${table} (${columns.join(',')}) VALUES`;
}

function* statementSized(rows: Rows, mostChars: number): Iterable<Rows> {
  let start = 0;
  let chars = 0;
  for (const [index, row] of rows.entries()) {
    let rowChars = 0;
    for (const value of row) if (typeof value === 'string') rowChars += value.length;
    if (index > start && chars + rowChars > mostChars) {
      yield rows.slice(start, index);
      start = index;
      chars = 0;
    }
    chars += rowChars;
  }
  yield start === 0 ? rows : rows.slice(start);
}

/** What the two databases say differently, side by side; everything else is one SQL for both. */
export interface Dialect {
  /** Begins a transaction, as the one that will write where there can be only one. */
  readonly begin: string;
  /** `FOR UPDATE` where rows are locked one by one; nothing where a transaction owns the whole database anyway. */
  readonly forUpdate: string;
  /** Keeps what was read from being changed until the end of the transaction. */
  readonly forShare: string;
  /** Skips rows that another instance is claiming; empty where there is no other. */
  readonly skipLocked: string;
  /** `INSERT` that leaves a row alone which is there already. */
  readonly insertIgnore: string;
  /** Milliseconds since the epoch by the database's own clock, the one that judges due times and leases. */
  readonly now: string;
  /** Hint after a table's name in an UPDATE: rows are found by their primary key and nothing else. */
  readonly byPrimaryKey: string;
  /** How an UPDATE that sets a column of one row to a value says what it was set to. */
  readonly returning: Returning;
  /** A value as it stands in a statement, for many rows at once; null where parameters are cheaper. */
  readonly literal: ((value: unknown) => string) | null;
  /** A condition on many values of one column. The values are text or whole numbers. */
  oneOf(column: string, values: readonly (string | number)[]): { sql: string; parameters: unknown[] };
  /** After a table's name: read it through this index, whatever the statistics say. */
  throughIndex(name: string): string;
  /**
   * The first `most` webhooks after a given one (the parameter) for which unowned deliveries wait: `webhook_id`, and
   * `due_in`, milliseconds until the first is due. One probe of the index a webhook, however many deliveries wait.
   */
  waitingWebhooks(most: number): string;
  /** Whether the whole file has one writer, so that every other owner on this machine must be dead. */
  readonly supportsManyInstances: boolean;
  /** What an error of the driver means for the work that met it. */
  classify(error: unknown): StoreFault;
}

export interface Returning {
  /** What the column is set to. */
  value(expression: string): string;
  /** What follows the condition. */
  suffix(column: string): string;
  /** The value, from what the query gives; undefined when there was no such row. */
  read(result: unknown): number | undefined;
}

/**
 * - `transient`: the transaction was rolled back whole (deadlock, lock wait): run it again.
 * - `unavailable`: the database cannot be reached, is going down, or cannot write (disk full): nothing can be known now.
 * - `duplicate`: a unique key stood in the way.
 * - `too_large`: a value, or all of them in one packet, is more than the database takes.
 * - `other`: a bug or a broken schema.
 */
export type StoreFault = 'transient' | 'unavailable' | 'duplicate' | 'too_large' | 'other';

/** The driver's own error code, under whatever wrapping TypeORM put around it. */
export function driverCode(error: unknown): string {
  for (let inner: unknown = error; inner instanceof Error; inner = (inner as { driverError?: unknown }).driverError ?? inner.cause) {
    const code = (inner as { code?: unknown }).code;
    if (typeof code === 'string') return code;
  }
  return '';
}

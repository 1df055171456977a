import { idRange } from '../ids';
import type { Database, Queries } from '../store/database';
import { DeliveryStatus } from './delivery';

/** What is to be delivered yet: what waits, for its turn or its time, and what is being sent. */
export interface Unfinished {
  /** At most `MAX_COUNTED_UNFINISHED`. */
  readonly waiting: number;
  readonly isCapped: boolean;
  /** When the oldest of those counted was made. */
  readonly oldestAt: Date | null;
}

/** Counting as many takes some 10 ms. */
export const MAX_COUNTED_UNFINISHED = 10_000;

interface Counted {
  readonly waiting: number;
  readonly oldest: string | null;
}

/** Of one webhook, along the index on what is owned: `owners` are all that may own some, the empty one is nobody. */
export function unfinishedOfWebhook(database: Database, webhookId: string, owners: readonly string[]): Promise<Unfinished> {
  const { read, dialect } = database;
  const source = `deliveries ${dialect.throughIndex('deliveries_due')} WHERE owner = ? AND webhook_id = ?`;
  return sum(
    read,
    owners.map((owner) => [source, owner, webhookId]),
  );
}

/** Of an application, along the index on statuses. */
export function unfinishedOfApplication({ read, dialect }: Database, applicationId: string): Promise<Unfinished> {
  const { from, to } = idRange('dlv', applicationId);
  const source = `deliveries ${dialect.throughIndex('deliveries_by_status')} WHERE application_id = ? AND status = ? AND id >= ? AND id < ? ORDER BY id`;
  return sum(
    read,
    [DeliveryStatus.PENDING, DeliveryStatus.RETRYING].map((status) => [source, applicationId, status, from, to]),
  );
}

async function sum(read: Queries, sources: readonly (readonly [string, ...unknown[]])[]): Promise<Unfinished> {
  let waiting = 0;
  const oldest: string[] = [];
  for (const [source, ...parameters] of sources) {
    const missing = Math.max(1, MAX_COUNTED_UNFINISHED + 1 - waiting); // of each at least the first, which may be the oldest
    const [row] = await read.query<Counted>(
      `SELECT COUNT(*) AS waiting, MIN(id) AS oldest FROM (SELECT id FROM ${source} LIMIT ${missing}) AS counted`,
      parameters,
    );
    waiting += Number(row?.waiting ?? 0);
    if (row?.oldest) oldest.push(row.oldest);
  }
  const [first] = oldest.sort(); // ids are in the order of the events
  const [row] =
    first === undefined ? [] : await read.query<{ created_at: number }>('SELECT created_at FROM deliveries WHERE id = ?', [first]);
  return {
    waiting: Math.min(waiting, MAX_COUNTED_UNFINISHED),
    isCapped: waiting > MAX_COUNTED_UNFINISHED,
    oldestAt: row === undefined ? null : new Date(Number(row.created_at)),
  };
}

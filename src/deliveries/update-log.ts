import type { Attempt } from '../attempts/attempt';
import { groupBy } from '../group-by';
import { applicationIdOf } from '../ids';
import type { Queries, Tx } from '../store/database';
import type { Delivery, DeliveryStatus } from './delivery';

/** A delivery reached a status. */
export interface DeliveryUpdate {
  readonly deliveryId: string;
  readonly eventType: string;
  readonly status: DeliveryStatus;
  /** The attempt that brought it there, or 0 for none. */
  readonly attemptNumber: number;
  /** Milliseconds since the epoch, like `createdAt`, which is the delivery's. */
  readonly at: number;
  readonly createdAt: number;
  /** What was just written, where this instance wrote it: saves watchers the read. */
  readonly delivery?: Delivery;
  readonly attempt?: Attempt;
}

/** One with its place in the application's log of updates: 1, 2, 3 … without gaps, in commit order. */
export interface LoggedUpdate extends DeliveryUpdate {
  readonly sequence: number;
}

type Stored = readonly [
  deliveryId: string,
  eventType: string,
  status: DeliveryStatus,
  attemptNumber: number,
  at: number,
  createdAt: number,
];

const MAX_UPDATES_PER_ROW = 500;

/**
 * Appends to the logs of the applications concerned. Takes their update counters, in id order, as the last locks of
 * the transaction: call it after the deliveries are written.
 */
export async function appendUpdates(tx: Tx, updates: readonly DeliveryUpdate[]): Promise<Map<string, LoggedUpdate[]>> {
  const byApplication = groupBy(updates, ({ deliveryId }) => applicationIdOf(deliveryId));
  const logged = new Map<string, LoggedUpdate[]>();
  if (byApplication.size === 0) return logged;
  const applicationIds = [...byApplication.keys()].sort();
  const lastSequences = await advanceCounters(
    tx,
    applicationIds.map((id) => [id, byApplication.get(id)?.length ?? 0]),
  );
  const rows: unknown[][] = [];
  for (const applicationId of applicationIds) {
    const last = lastSequences.get(applicationId);
    const own = byApplication.get(applicationId) ?? [];
    if (last === undefined) continue; // the application was deleted meanwhile: nobody can watch it
    const numbered = own.map((update, index) => ({ ...update, sequence: last - own.length + 1 + index }));
    logged.set(applicationId, numbered);
    for (let start = 0; start < numbered.length; start += MAX_UPDATES_PER_ROW)
      rows.push(rowOf(applicationId, numbered.slice(start, start + MAX_UPDATES_PER_ROW)));
  }
  await tx.insert('delivery_updates', ['application_id', 'first_sequence', 'last_sequence', 'updates', 'created_at'], rows);
  return logged;
}

async function advanceCounters(tx: Tx, counts: readonly (readonly [applicationId: string, count: number])[]): Promise<Map<string, number>> {
  const { sql, parameters } = tx.dialect.oneOf(
    'application_id',
    counts.map(([id]) => id),
  );
  const steps = counts.map(() => 'WHEN ? THEN ?').join(' ');
  const sum = `last_sequence + CASE application_id ${steps} ELSE 0 END`;
  const [only] = counts;
  if (only && counts.length === 1) {
    // A row alone says what came of it: a statement less.
    const { value, suffix, read } = tx.dialect.returning;
    const result = await tx.query(
      `UPDATE counters SET last_sequence = ${value(sum)} WHERE log = 'update' AND ${sql} ${suffix('last_sequence')}`,
      [...only, ...parameters],
    );
    const last = read(result);
    return new Map(last === undefined ? [] : [[only[0], last]]);
  }
  await tx.execute(`UPDATE counters SET last_sequence = ${sum} WHERE log = 'update' AND ${sql}`, [...counts.flat(), ...parameters], {
    later: true,
  });
  const rows = await tx.query<{ application_id: string; last_sequence: number }>(
    `SELECT application_id, last_sequence FROM counters WHERE log = 'update' AND ${sql}`,
    parameters,
  );
  return new Map(rows.map((row) => [row.application_id, Number(row.last_sequence)]));
}

function rowOf(applicationId: string, updates: readonly LoggedUpdate[]): unknown[] {
  return [applicationId, updates[0]?.sequence, updates.at(-1)?.sequence, `[${updates.map(textOf).join(',')}]`, updates[0]?.at];
}

/** The JSON of a `Stored`. Ids, type names and states need no escaping. */
function textOf({ deliveryId, eventType, status, attemptNumber, at, createdAt }: LoggedUpdate): string {
  return `["${deliveryId}","${eventType}","${status}",${attemptNumber},${at},${createdAt}]`;
}

/** At most `most` updates after `sequence`, in order, none left out between them. */
export async function readUpdates(queries: Queries, applicationId: string, sequence: number, most: number): Promise<LoggedUpdate[]> {
  // Only rows that hold some of them. A row has at most MAX_UPDATES_PER_ROW, which bounds the keys to look at.
  const rows = await queries.query<{ first_sequence: number; updates: string }>(
    `SELECT first_sequence, updates FROM delivery_updates
      WHERE application_id = ? AND last_sequence > ? AND last_sequence < ? AND first_sequence <= ? ORDER BY last_sequence`,
    [applicationId, sequence, sequence + most + MAX_UPDATES_PER_ROW, sequence + most],
  );
  const updates: LoggedUpdate[] = [];
  for (const row of rows) {
    const stored = JSON.parse(row.updates) as Stored[];
    for (const [index, [deliveryId, eventType, status, attemptNumber, at, createdAt]] of stored.entries()) {
      const place = Number(row.first_sequence) + index;
      if (place > sequence && place <= sequence + most)
        updates.push({ sequence: place, deliveryId, eventType, status, attemptNumber, at, createdAt });
    }
  }
  return updates;
}

import type { Tx } from '../store/database';
import { DeliveryStatus } from './delivery';
import { appendUpdates, type LoggedUpdate } from './update-log';

export interface Cancellable {
  readonly id: string;
  readonly event_type: string;
  readonly created_at: number;
}

/** Ends deliveries whose rows are locked, and appends it to their logs. `at`: milliseconds since the epoch. */
export async function cancelRows(tx: Tx, rows: readonly Cancellable[], at: number): Promise<Map<string, LoggedUpdate[]>> {
  if (rows.length === 0) return new Map();
  await markCancelled(
    tx,
    rows.map(({ id }) => id),
    at,
  );
  return appendUpdates(
    tx,
    rows.map((row) => ({
      deliveryId: row.id,
      eventType: row.event_type,
      status: DeliveryStatus.CANCELLED,
      attemptNumber: 0,
      at,
      createdAt: Number(row.created_at),
    })),
  );
}

/** Nobody owns them from then on, and nothing of them is due. */
export async function markCancelled(tx: Tx, ids: readonly string[], at: number): Promise<void> {
  const { sql, parameters } = tx.dialect.oneOf('id', ids);
  await tx.execute(
    `UPDATE deliveries SET status = 'CANCELLED', owner = NULL, due_at = NULL, next_trigger = NULL, automatic_due_at = NULL, completed_at = ? WHERE ${sql}`,
    [at, ...parameters],
  );
}

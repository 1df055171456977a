import { DeliveryStatus } from '../../deliveries/delivery';
import { appendUpdates, type LoggedUpdate } from '../../deliveries/update-log';
import type { Tx } from '../../store/database';

export interface Cancellable {
  readonly id: string;
  readonly event_type: string;
  readonly created_at: number;
}

/** Ends deliveries whose rows are locked; nobody owns them from then on. `at`: milliseconds since the epoch. */
export async function cancelRows(tx: Tx, rows: readonly Cancellable[], at: number): Promise<Map<string, LoggedUpdate[]>> {
  if (rows.length === 0) return new Map();
  const { sql, parameters } = tx.dialect.oneOf(
    'id',
    rows.map((row) => row.id),
  );
  await tx.execute(
    `UPDATE deliveries SET status = 'CANCELLED', owner = NULL, due_at = NULL, next_trigger = NULL, completed_at = ? WHERE ${sql}`,
    [at, ...parameters],
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

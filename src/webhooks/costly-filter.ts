import { DAY } from '../clock';
import type { Queries, Tx } from '../store/database';

/** The latest event that a webhook did not get because its filter could not be tested within its budget. */
export interface CostlyFilter {
  readonly webhookId: string;
  readonly eventId: string;
  readonly eventType: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** So long it stands in the webhook's health, unless the filter is changed or the webhook is resumed before. */
const SHOWN_MS = DAY;

export async function readCostlyFilters({ dialect, query }: Queries, webhookIds: readonly string[]): Promise<CostlyFilter[]> {
  const { sql, parameters } = dialect.oneOf('webhook_id', webhookIds);
  const rows = await query<{ webhook_id: string; event_id: string; event_type: string; created_at: number }>(
    `SELECT webhook_id, event_id, event_type, created_at FROM webhook_filter_health WHERE ${sql} AND created_at > ${dialect.now} - ${SHOWN_MS}`,
    parameters,
  );
  return rows.map((row) => ({
    webhookId: row.webhook_id,
    eventId: row.event_id,
    eventType: row.event_type,
    at: Number(row.created_at),
  }));
}

export async function forgetCostlyFilter(tx: Tx, webhookId: string): Promise<void> {
  await tx.execute('DELETE FROM webhook_filter_health WHERE webhook_id = ?', [webhookId]);
}

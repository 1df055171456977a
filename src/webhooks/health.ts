import type { Queries, Tx } from '../store/database';
import type { CostlyFilter } from './costly-filter';
import { type Webhook, WebhookHealth, WebhookStatus } from './webhook';

/** What is stored of a webhook that fails or was disabled; one that is well has no row. */
export interface StoredHealth {
  readonly webhookId: string;
  /** Milliseconds since the epoch: the first failure that no success has followed. */
  readonly failingSince: number;
  readonly isCircuitOpen: boolean;
  /** The failure that made it so, or why it was disabled; one sentence without its full stop. */
  readonly reason: string;
  readonly disabledAt: number | null;
}

/** How a webhook is, and why in plain words; null while it is healthy. */
export interface Diagnosis {
  readonly health: WebhookHealth;
  readonly reason: string | null;
}

/** What is known of a webhook beside its record. */
export interface Findings {
  /** Why its payload query no longer fits the schema. */
  readonly payloadQueryProblem: string | null;
  /** The hub requires a verification, and its target has passed none. */
  readonly isVerificationMissing: boolean;
  /** Which event holds up those after it, and until when. */
  readonly orderProblem: string | null;
  readonly stored: StoredHealth | null;
  /** Which event it did not get because its filter takes too long. */
  readonly costlyFilter: CostlyFilter | null;
  /** What the instance that answers does about the receiver by itself. */
  readonly caution: { readonly kind: 'CIRCUIT_OPEN' | 'THROTTLED'; readonly reason: string } | null;
}

/** The gravest first. */
export function diagnose(
  { status }: Pick<Webhook, 'status'>,
  { payloadQueryProblem, isVerificationMissing, orderProblem, stored, costlyFilter, caution }: Findings,
): Diagnosis {
  if (status === WebhookStatus.DISABLED)
    return {
      health: WebhookHealth.DISABLED,
      reason: `${stored?.reason ?? 'The webhook was disabled'}. It gets no more deliveries until it is resumed.`,
    };
  if (payloadQueryProblem !== null)
    return {
      health: WebhookHealth.PAYLOAD_QUERY_INVALID,
      reason: `The payload query no longer fits the schema: ${payloadQueryProblem}. Deliveries wait until it is mended.`,
    };
  if (isVerificationMissing)
    return {
      health: WebhookHealth.UNVERIFIED,
      reason: 'This hub requires a verification. Deliveries wait until webhookUpdate sets `verification` and the target passes it.',
    };
  if (costlyFilter !== null) return { health: WebhookHealth.FILTER_TOO_COSTLY, reason: missed(costlyFilter) };
  if (orderProblem !== null) return { health: WebhookHealth.ORDER_BLOCKED, reason: orderProblem };
  if (caution?.kind === 'CIRCUIT_OPEN') return { health: WebhookHealth.CIRCUIT_OPEN, reason: caution.reason };
  if (stored !== null)
    return { health: stored.isCircuitOpen ? WebhookHealth.CIRCUIT_OPEN : WebhookHealth.FAILING, reason: failing(stored) };
  if (caution !== null) return { health: WebhookHealth.THROTTLED, reason: caution.reason };
  return { health: WebhookHealth.HEALTHY, reason: null };
}

function missed({ eventId, eventType, at }: CostlyFilter): string {
  return `Its filter, or that of its payload query, takes too many comparisons: it did not get the event ${eventId} (${eventType}) of ${new Date(at).toISOString()}, and perhaps others. Compare with fewer values, or in fewer elements of the payload.`;
}

function failing({ failingSince, isCircuitOpen, reason }: StoredHealth): string {
  const how = isCircuitOpen ? '; deliveries wait, one at a time tries whether the receiver is back' : '';
  return `No attempt has succeeded since ${new Date(failingSince).toISOString()} (${reason})${how}.`;
}

interface Row {
  readonly webhook_id: string;
  readonly failing_since: number;
  readonly circuit_open: number;
  readonly reason: string;
  readonly disabled_at: number | null;
}

const COLUMNS = ['webhook_id', 'failing_since', 'circuit_open', 'reason', 'disabled_at'];

export async function readHealth({ dialect, query }: Queries, webhookIds: readonly string[]): Promise<StoredHealth[]> {
  const { sql, parameters } = dialect.oneOf('webhook_id', webhookIds);
  const rows = await query<Row>(`SELECT ${COLUMNS.join(', ')} FROM webhook_health WHERE ${sql}`, parameters);
  return rows.map((row) => ({
    webhookId: row.webhook_id,
    failingSince: Number(row.failing_since),
    isCircuitOpen: Number(row.circuit_open) === 1,
    reason: row.reason,
    disabledAt: row.disabled_at === null ? null : Number(row.disabled_at),
  }));
}

/** When each webhook began to fail that fails and is not disabled, in milliseconds since the epoch. */
export async function readFailing({ query }: Queries): Promise<Map<string, number>> {
  const rows = await query<Pick<Row, 'webhook_id' | 'failing_since'>>(
    'SELECT webhook_id, failing_since FROM webhook_health WHERE disabled_at IS NULL',
  );
  return new Map(rows.map((row) => [row.webhook_id, Number(row.failing_since)]));
}

/** Returns whether there was none: of several instances that notice at once one is first. */
export async function insertHealth(tx: Tx, health: StoredHealth): Promise<boolean> {
  const { webhookId, failingSince, isCircuitOpen, reason, disabledAt } = health;
  const inserted = await tx.execute(`${tx.dialect.insertIgnore} INTO webhook_health (${COLUMNS.join(', ')}) VALUES (?, ?, ?, ?, ?)`, [
    webhookId,
    failingSince,
    Number(isCircuitOpen),
    reason,
    disabledAt,
  ]);
  return inserted > 0;
}

/** Writes the row, in place of the one that is there. */
export async function replaceHealth(tx: Tx, health: StoredHealth): Promise<void> {
  await forgetHealth(tx, health.webhookId);
  await insertHealth(tx, health);
}

/** Its receiver is asked as any other again; the failures stay. */
export async function closeCircuit(tx: Tx, webhookId: string): Promise<void> {
  await tx.execute('UPDATE webhook_health SET circuit_open = 0 WHERE webhook_id = ?', [webhookId]);
}

/** The instance that had opened circuits is gone, and with it what it knew of them. */
export async function closeAllCircuits(tx: Tx): Promise<void> {
  await tx.execute('UPDATE webhook_health SET circuit_open = 0 WHERE circuit_open = 1');
}

/** A fresh start; returns whether there was anything to forget. */
export async function forgetHealth(tx: Tx, webhookId: string): Promise<boolean> {
  return (await tx.execute('DELETE FROM webhook_health WHERE webhook_id = ?', [webhookId])) > 0;
}

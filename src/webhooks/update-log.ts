import { applicationIdOf } from '../ids';
import type { Queries, Tx } from '../store/database';
import { MAX_COUNTED_ROWS, type Page, type PageRequest, totalOf } from '../store/page';
import { readCostlyFilters } from './costly-filter';
import { type Diagnosis, diagnose, readHealth } from './health';
import type { Webhook, WebhookHealth } from './webhook';

export enum WebhookUpdateKind {
  CREATED = 'CREATED',
  UPDATED = 'UPDATED',
  SECRET_ROTATED = 'SECRET_ROTATED',
  PAUSED = 'PAUSED',
  RESUMED = 'RESUMED',
  DISABLED = 'DISABLED',
  DELETED = 'DELETED',
  HEALTH = 'HEALTH',
}

/** Something happened to a webhook. */
export interface WebhookUpdate {
  readonly webhookId: string;
  readonly kind: WebhookUpdateKind;
  /** What its health is from then on, where it changed. */
  readonly health: WebhookHealth | null;
  /** In plain words; null while it is healthy, or where its health did not change. */
  readonly reason: string | null;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** One with its place in the application's log of them: 1, 2, 3 … without gaps, in commit order. */
export interface LoggedWebhookUpdate extends WebhookUpdate {
  readonly sequence: number;
}

const COLUMNS = ['application_id', 'sequence', 'webhook_id', 'kind', 'health', 'reason', 'health_sequence', 'created_at'];

/**
 * Appends to the log of the webhook's application, in the transaction that does what the update tells of. Takes the
 * application's event counter, which who changes webhooks holds anyway: take it before the rows below it. Undefined: the
 * application was deleted meanwhile, and nobody can watch it.
 */
export async function appendWebhookUpdate(tx: Tx, update: WebhookUpdate): Promise<LoggedWebhookUpdate | undefined> {
  const applicationId = applicationIdOf(update.webhookId);
  const those = "WHERE application_id = ? AND log = 'event'";
  await tx.execute(`UPDATE counters SET webhook_sequence = webhook_sequence + 1 ${those}`, [applicationId]);
  const [row] = await tx.query<{ webhook_sequence: number }>(`SELECT webhook_sequence FROM counters ${those}`, [applicationId]);
  if (row === undefined) return undefined;
  const sequence = Number(row.webhook_sequence);
  const { webhookId, kind, health, reason, at } = update;
  await tx.insert('webhook_updates', COLUMNS, [
    [applicationId, sequence, webhookId, kind, health, reason, health === null ? null : sequence, at],
  ]);
  return { ...update, sequence };
}

/** A webhook's health by what is stored of it. What follows from the schema, the settings or this instance's memory is not. */
export async function storedDiagnosis(tx: Tx, { id, status }: Pick<Webhook, 'id' | 'status'>): Promise<Diagnosis> {
  const [stored = null] = await readHealth(tx, [id]);
  const [costlyFilter = null] = await readCostlyFilters(tx, [id]);
  const findings = { payloadQueryProblem: null, isVerificationMissing: false, orderProblem: null, caution: null };
  return diagnose({ status }, { ...findings, stored, costlyFilter });
}

/** What an update tells of health: null for both where it is as it was. */
export function changeOf(before: Diagnosis, after: Diagnosis): Pick<WebhookUpdate, 'health' | 'reason'> {
  return before.health === after.health ? { health: null, reason: null } : after;
}

interface Row {
  readonly sequence: number;
  readonly webhook_id: string;
  readonly kind: WebhookUpdateKind;
  readonly health: WebhookHealth | null;
  readonly reason: string | null;
  readonly created_at: number;
}

const SELECT = 'SELECT sequence, webhook_id, kind, health, reason, created_at FROM webhook_updates';

/** At most `most` updates after `sequence`, in order. */
export async function readWebhookUpdates(
  { query }: Queries,
  applicationId: string,
  sequence: number,
  most: number,
): Promise<LoggedWebhookUpdate[]> {
  const rows = await query<Row>(`${SELECT} WHERE application_id = ? AND sequence > ? ORDER BY sequence LIMIT ${most}`, [
    applicationId,
    sequence,
  ]);
  return rows.map(updateOf);
}

/** Changes of a webhook's health, newest first. `after` is a sequence in digits. */
export async function readHealthHistory(
  { query }: Queries,
  webhookId: string,
  { first, after }: PageRequest,
): Promise<Page<LoggedWebhookUpdate>> {
  const rows = await query<Row>(`${SELECT} WHERE webhook_id = ? AND health_sequence < ? ORDER BY health_sequence DESC LIMIT ${first + 1}`, [
    webhookId,
    after === undefined ? Number.MAX_SAFE_INTEGER : Number(after),
  ]);
  const count = async () => {
    const [row] = await query<{ rows_found: number }>(
      `SELECT COUNT(*) AS rows_found FROM
         (SELECT sequence FROM webhook_updates WHERE webhook_id = ? AND health_sequence > 0 LIMIT ${MAX_COUNTED_ROWS + 1}) AS counted`,
      [webhookId],
    );
    return totalOf(Number(row?.rows_found ?? 0));
  };
  return { rows: rows.slice(0, first).map(updateOf), hasNextPage: rows.length > first, count };
}

function updateOf({ sequence, webhook_id, kind, health, reason, created_at }: Row): LoggedWebhookUpdate {
  return { sequence: Number(sequence), webhookId: webhook_id, kind, health, reason, at: Number(created_at) };
}

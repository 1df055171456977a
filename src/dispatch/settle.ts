import { Attempt, AttemptOutcome } from '../attempts/attempt';
import { insertAttempts } from '../attempts/attempts';
import { Delivery, DeliveryStatus } from '../deliveries/delivery';
import { attemptId } from '../ids';
import { appendUpdates, type LoggedUpdate } from '../live/update-log';
import type { Tx } from '../store/database';
import type { Finished } from './dispatcher';
import { nextDelayMs } from './retry';

/** What an attempt means for its delivery. */
export interface Verdict {
  readonly finished: Finished;
  readonly status: DeliveryStatus.SUCCEEDED | DeliveryStatus.RETRYING | DeliveryStatus.FAILED;
  /** Milliseconds until the next attempt; null: there is none. */
  readonly delayMs: number | null;
  /** When the attempt had ended; milliseconds since the epoch. */
  readonly endedAt: number;
}

/** Pure: the state that follows from an attempt. A receiver that is gone (410) is not asked again. */
export function judge(finished: Finished, random: number): Verdict {
  const { exchange, job, webhook, startedAt } = finished;
  const endedAt = startedAt + exchange.durationMs;
  if (exchange.outcome === 'SUCCESS') return { finished, status: DeliveryStatus.SUCCEEDED, delayMs: null, endedAt };
  const delayMs = isGone(finished)
    ? null
    : nextDelayMs({
        number: job.attemptCount + 1,
        delaysMs: webhook.retryDelaysMs,
        retryAfter: exchange.responseHeaders.find(([name]) => name === 'retry-after')?.[1],
        now: endedAt,
        random,
      });
  return { finished, status: delayMs === null ? DeliveryStatus.FAILED : DeliveryStatus.RETRYING, delayMs, endedAt };
}

export function isGone({ exchange }: Finished): boolean {
  return exchange.outcome === 'HTTP_ERROR' && exchange.statusCode === 410;
}

export interface Settled {
  readonly updates: ReadonlyMap<string, LoggedUpdate[]>;
  /** Attempts whose delivery was no longer this instance's: it was rescued or cancelled meanwhile. */
  readonly fenced: readonly string[];
}

/**
 * Writes attempts down and moves their deliveries on, each only where this instance still owns it and nobody else has
 * made an attempt since.
 */
export async function settle(tx: Tx, verdicts: readonly Verdict[], instanceId: string): Promise<Settled> {
  const held = await lockHeld(tx, verdicts, instanceId);
  const own = verdicts.filter(({ finished: { job } }) => held.has(job.deliveryId));
  await moveFinished(tx, own, DeliveryStatus.SUCCEEDED);
  await moveFinished(tx, own, DeliveryStatus.FAILED);
  await moveRetrying(tx, own);

  const attempts = own.map(attemptOf);
  await insertAttempts(tx, attempts);
  const cancelled = await recordCancelled(
    tx,
    verdicts.filter(({ finished: { job } }) => !held.has(job.deliveryId)),
  );
  const updates = await appendUpdates(
    tx,
    own.map((verdict, index) => {
      const delivery = deliveryOf(verdict);
      const attempt = attempts[index];
      return {
        deliveryId: delivery.id,
        eventType: delivery.eventType,
        status: verdict.status,
        attemptNumber: delivery.attemptCount,
        at: verdict.endedAt,
        createdAt: delivery.createdAt.getTime(),
        delivery,
        ...(attempt && { attempt }),
      };
    }),
  );
  const fenced = verdicts.map(({ finished: { job } }) => job.deliveryId).filter((id) => !held.has(id) && !cancelled.has(id));
  return { updates, fenced };
}

async function lockHeld(tx: Tx, verdicts: readonly Verdict[], instanceId: string): Promise<Set<string>> {
  const counts = new Map(verdicts.map(({ finished: { job } }) => [job.deliveryId, job.attemptCount]));
  const { sql, parameters } = tx.dialect.oneOf('id', [...counts.keys()].sort());
  const rows = await tx.query<{ id: string; attempt_count: number }>(
    `SELECT id, attempt_count FROM deliveries WHERE ${sql} AND owner = ? ${tx.dialect.forUpdate}`,
    [...parameters, instanceId],
  );
  return new Set(rows.filter((row) => Number(row.attempt_count) === counts.get(row.id)).map((row) => row.id));
}

async function moveFinished(tx: Tx, verdicts: readonly Verdict[], status: DeliveryStatus.SUCCEEDED | DeliveryStatus.FAILED): Promise<void> {
  const those = verdicts.filter((verdict) => verdict.status === status);
  const latest = those.at(-1);
  if (latest === undefined) return;
  const { sql, parameters } = tx.dialect.oneOf(
    'id',
    those.map(({ finished: { job } }) => job.deliveryId),
  );
  await tx.execute(
    `UPDATE deliveries SET status = ?, attempt_count = attempt_count + 1, owner = NULL, due_at = NULL, next_trigger = NULL, completed_at = ? WHERE ${sql}`,
    [status, latest.endedAt, ...parameters],
  );
}

/** Due times by the database's clock, so that instances whose clocks differ agree on them. */
async function moveRetrying(tx: Tx, verdicts: readonly Verdict[]): Promise<void> {
  const those = verdicts.filter(({ status }) => status === DeliveryStatus.RETRYING);
  if (those.length === 0) return;
  const delays = those.flatMap(({ finished: { job }, delayMs }) => [job.deliveryId, delayMs]);
  const { sql, parameters } = tx.dialect.oneOf(
    'id',
    those.map(({ finished: { job } }) => job.deliveryId),
  );
  await tx.execute(
    `UPDATE deliveries SET status = 'RETRYING', attempt_count = attempt_count + 1, owner = '', next_trigger = NULL,
       due_at = ${tx.dialect.now} + CASE id ${those.map(() => 'WHEN ? THEN ?').join(' ')} ELSE 0 END WHERE ${sql}`,
    [...delays, ...parameters],
  );
}

/** One that was cancelled while its request was under way stays cancelled, but the attempt did happen. */
async function recordCancelled(tx: Tx, verdicts: readonly Verdict[]): Promise<Set<string>> {
  if (verdicts.length === 0) return new Set();
  const counts = new Map(verdicts.map(({ finished: { job } }) => [job.deliveryId, job.attemptCount]));
  const { sql, parameters } = tx.dialect.oneOf('id', [...counts.keys()].sort());
  const rows = await tx.query<{ id: string; attempt_count: number }>(
    `SELECT id, attempt_count FROM deliveries WHERE ${sql} AND status = 'CANCELLED' ${tx.dialect.forUpdate}`,
    parameters,
  );
  const cancelled = new Set(rows.filter((row) => Number(row.attempt_count) === counts.get(row.id)).map((row) => row.id));
  if (cancelled.size === 0) return cancelled;
  const ids = tx.dialect.oneOf('id', [...cancelled]);
  await tx.execute(`UPDATE deliveries SET attempt_count = attempt_count + 1 WHERE ${ids.sql}`, ids.parameters);
  await insertAttempts(tx, verdicts.filter(({ finished: { job } }) => cancelled.has(job.deliveryId)).map(attemptOf));
  return cancelled;
}

function attemptOf({ finished: { job, exchange, request, startedAt } }: Verdict): Attempt {
  const attempt = new Attempt();
  attempt.id = attemptId(job.deliveryId, job.attemptCount + 1);
  attempt.trigger = job.trigger;
  attempt.startedAt = new Date(startedAt);
  attempt.durationMs = Math.round(exchange.durationMs);
  attempt.outcome = AttemptOutcome[exchange.outcome];
  attempt.statusCode = exchange.statusCode;
  attempt.error = exchange.error;
  attempt.url = request.url;
  attempt.requestHeaders = request.headers.map(([name, value]) => ({ name, value }));
  attempt.responseHeaders = exchange.responseHeaders.map(([name, value]) => ({ name, value }));
  attempt.responseBody = exchange.responseBody;
  attempt.responseTruncated = exchange.responseTruncated;
  return attempt;
}

function deliveryOf({ finished: { job, webhook }, status, delayMs, endedAt }: Verdict): Delivery {
  const delivery = new Delivery();
  delivery.id = job.deliveryId;
  delivery.applicationId = webhook.applicationId;
  delivery.webhookId = webhook.id;
  delivery.eventType = job.event.type;
  delivery.status = status;
  delivery.attemptCount = job.attemptCount + 1;
  delivery.owner = delayMs === null ? null : '';
  delivery.dueAt = delayMs === null ? null : new Date(endedAt + delayMs);
  delivery.nextTrigger = null;
  delivery.createdAt = new Date(job.createdAt);
  delivery.completedAt = delayMs === null ? new Date(endedAt) : null;
  return delivery;
}

import { Attempt, AttemptOutcome, AttemptTrigger } from '../../attempts/attempt';
import { insertAttempts } from '../../attempts/attempts';
import { packHeaders } from '../../attempts/packed-headers';
import { Delivery, DeliveryStatus } from '../../deliveries/delivery';
import { appendUpdates, type LoggedUpdate } from '../../deliveries/update-log';
import type { OperationalEvent, OperationalEvents, Tell } from '../../events/operational-events';
import { redactedAmong } from '../../events/redactions';
import { groupBy } from '../../group-by';
import { attemptId } from '../../ids';
import { isOwnEventType } from '../../matching/event-type';
import type { Database, Tx } from '../../store/database';
import type { Finished } from '../attempt';
import { nextDelayMs } from '../flow-control/retry-policy';
import { charsWith, type Job } from '../job';
import { bodyId, insertBodies, type StoredBody } from '../request/bodies';
import { isDerived, STANDARD_BODY } from '../request/body';
import { aboutWebhook, reasonOf } from './operational-event';
import { errorOf } from './signature-hint';

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
  const { exchange, job, startedAt } = finished;
  const endedAt = startedAt + exchange.durationMs;
  if (exchange.outcome === 'SUCCESS') return { finished, status: DeliveryStatus.SUCCEEDED, delayMs: null, endedAt };
  const delayMs = isGone(finished) ? null : isManual(job) ? resumeMs(job, endedAt) : delayAfter(finished, endedAt, random);
  return { finished, status: delayMs === null ? DeliveryStatus.FAILED : DeliveryStatus.RETRYING, delayMs, endedAt };
}

function delayAfter({ exchange, job, webhook }: Finished, endedAt: number, random: number): number | null {
  return nextDelayMs({
    number: job.attemptCount + 1 - job.manualAttempts,
    delaysMs: webhook.retryDelaysMs,
    retryAfter: exchange.responseHeaders.find(([name]) => name === 'retry-after')?.[1],
    now: endedAt,
    random,
  });
}

const isManual = ({ trigger }: Job) => trigger === AttemptTrigger.MANUAL;

/** An attempt by hand is an extra: the next automatic one stays due when it was, where there is one. */
function resumeMs({ automaticDueAt }: Job, endedAt: number): number | null {
  return automaticDueAt === null ? null : Math.max(0, automaticDueAt - endedAt);
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
 * made an attempt since. In a transaction of its own.
 */
export async function settleBatch(
  database: Pick<Database, 'transaction'>,
  operationalEvents: Pick<OperationalEvents, 'transaction'>,
  verdicts: readonly Verdict[],
  instanceId: string,
): Promise<Settled> {
  if (verdicts.length === 0) return { updates: new Map(), fenced: [] };
  if (areAllDelivered(verdicts)) {
    try {
      return await database.transaction((tx) => settleDelivered(tx, verdicts, instanceId));
    } catch (error) {
      if (!(error instanceof NotAllOwned)) throw error;
    }
  }
  const told = new Set(verdicts.filter(isTold).map(({ finished }) => finished.webhook.applicationId));
  return operationalEvents.transaction([...told], (tx, tell) => settle(tx, verdicts, instanceId, tell));
}

/** The hub says so when a delivery is given up; not of its own events, or one would follow the other. */
export function isTold({ status, finished: { job } }: Verdict): boolean {
  return status === DeliveryStatus.FAILED && !isOwnEventType(job.event.type);
}

/** Whatever came of the attempts. */
export async function settle(tx: Tx, verdicts: readonly Verdict[], instanceId: string, tell: Tell): Promise<Settled> {
  const rows = await lockRows(tx, verdicts);
  const isFirst = (verdict: Verdict) => rows.get(verdict.finished.job.deliveryId)?.attemptCount === verdict.finished.job.attemptCount;
  const own = verdicts.filter((verdict) => isFirst(verdict) && rows.get(verdict.finished.job.deliveryId)?.owner === instanceId);
  // One that was cancelled while its request was under way stays cancelled, but the attempt did happen.
  const cancelled = verdicts.filter(
    (verdict) => isFirst(verdict) && rows.get(verdict.finished.job.deliveryId)?.status === DeliveryStatus.CANCELLED,
  );
  const completedAt = latestEnd(own);
  await fixShapedBodies(tx, own);
  await moveFinished(tx, own, DeliveryStatus.SUCCEEDED, completedAt);
  await moveFinished(tx, own, DeliveryStatus.FAILED, completedAt);
  await moveRetrying(tx, own);
  await unfixBodies(tx, own);
  await countAttempt(tx, cancelled);
  const updates = await record(tx, own, await cancelledAttempts(tx, cancelled));
  for (const verdict of own.filter(isTold)) tell(deliveryFailed(verdict));
  const moved = new Set([...own, ...cancelled]);
  const fenced = verdicts.filter((verdict) => !moved.has(verdict)).map(({ finished: { job } }) => job.deliveryId);
  return { updates, fenced };
}

/** Some of the deliveries are no longer this instance's: nothing may be committed of what `settleDelivered` did. */
class NotAllOwned extends Error {
  override readonly name = 'NotAllOwned';
}

/** Whether `settleDelivered` will do: first attempts that delivered the standard body, which is what most batches are. */
function areAllDelivered(verdicts: readonly Verdict[]): boolean {
  return verdicts.every(
    ({ status, finished: { job, body } }) =>
      status === DeliveryStatus.SUCCEEDED && job.attemptCount === 0 && body !== null && (job.body !== null || body.key === STANDARD_BODY),
  );
}

/**
 * The same as `settle` for a batch in which all went well, fenced by the count of the rows it moves instead of locking
 * and reading them first: a statement less, and no row of a result for each delivery (13 of the 50 µs that MariaDB and
 * the hub spend on settling one).
 * @throws NotAllOwned and the whole batch has to be settled the long way
 */
async function settleDelivered(tx: Tx, verdicts: readonly Verdict[], instanceId: string): Promise<Settled> {
  const { sql, parameters } = oneOfThose(tx, verdicts);
  // The plus keeps SQLite from looking for all that this instance owns.
  const moved = await tx.execute(
    `UPDATE deliveries ${tx.dialect.byPrimaryKey} SET ${FINISHED} WHERE ${sql} AND +owner = ? AND attempt_count = 0`,
    [DeliveryStatus.SUCCEEDED, latestEnd(verdicts), ...parameters, instanceId],
  );
  if (moved !== verdicts.length) throw new NotAllOwned();
  return { updates: await record(tx, verdicts, []), fenced: [] };
}

function latestEnd(verdicts: readonly Verdict[]): number {
  let latest = 0;
  for (const { endedAt } of verdicts) latest = Math.max(latest, endedAt);
  return latest;
}

/** The attempts of the deliveries that were moved, and the updates that tell of them. */
async function record(tx: Tx, own: readonly Verdict[], further: readonly Attempt[]): Promise<Map<string, LoggedUpdate[]>> {
  const completedAt = latestEnd(own);
  const attempts = own.map(attemptOf);
  await insertAttempts(tx, further.length > 0 ? [...attempts, ...further] : attempts);
  return appendUpdates(
    tx,
    own.map((verdict, index) => {
      const delivery = deliveryOf(verdict, completedAt);
      const attempt = attempts[index];
      return {
        deliveryId: delivery.id,
        eventType: delivery.eventType,
        status: verdict.status,
        attemptNumber: delivery.attemptCount,
        at: verdict.endedAt,
        createdAt: verdict.finished.job.createdAt,
        delivery,
        ...(attempt && { attempt }),
      };
    }),
  );
}

function deliveryFailed({ finished: { webhook, job, exchange }, endedAt }: Verdict): OperationalEvent {
  return aboutWebhook(webhook, 'livehook.delivery.failed', {
    deliveryId: job.deliveryId,
    eventId: job.event.id,
    eventType: job.event.type,
    attempts: job.attemptCount + 1,
    reason: reasonOf(exchange),
    failedAt: new Date(endedAt).toISOString(),
  });
}

interface LockedRow {
  readonly owner: string | null;
  readonly status: string;
  readonly attemptCount: number;
}

/**
 * By primary key only. With `owner` in the condition MariaDB takes the index on it where it expects few rows there, and
 * then reads, and locks, whatever else this instance owns.
 */
async function lockRows(tx: Tx, verdicts: readonly Verdict[]): Promise<Map<string, LockedRow>> {
  const { sql, parameters } = tx.dialect.oneOf('id', verdicts.map(({ finished: { job } }) => job.deliveryId).sort());
  const rows = await tx.query<{ id: string; owner: string | null; status: string; attempt_count: number }>(
    `SELECT id, owner, status, attempt_count FROM deliveries WHERE ${sql} ${tx.dialect.forUpdate}`,
    parameters,
  );
  return new Map(rows.map(({ id, owner, status, attempt_count }) => [id, { owner, status, attemptCount: Number(attempt_count) }]));
}

/** MySQL assigns from left to right: what `next_trigger` was has to be looked at before it is cleared. */
const COUNTED = `attempt_count = attempt_count + 1, manual_attempts = manual_attempts + CASE WHEN next_trigger = 'MANUAL' THEN 1 ELSE 0 END,
  next_trigger = NULL, body_key = COALESCE(body_key, '')`;

/** Takes the status and the time of completion. */
const FINISHED = `${COUNTED}, status = ?, owner = NULL, due_at = NULL, automatic_due_at = NULL, completed_at = ?`;

async function moveFinished(
  tx: Tx,
  verdicts: readonly Verdict[],
  status: DeliveryStatus.SUCCEEDED | DeliveryStatus.FAILED,
  completedAt: number,
): Promise<void> {
  const those = verdicts.filter((verdict) => verdict.status === status);
  if (those.length === 0) return;
  const { sql, parameters } = oneOfThose(tx, those);
  await tx.execute(`UPDATE deliveries SET ${FINISHED} WHERE ${sql}`, [status, completedAt, ...parameters]);
}

/** A CASE is searched from its beginning for every row. */
const MAX_CASES = 50;

/** Due times by the database's clock, so that instances whose clocks differ agree on them. */
async function moveRetrying(tx: Tx, verdicts: readonly Verdict[]): Promise<void> {
  const retrying = verdicts.filter(({ status }) => status === DeliveryStatus.RETRYING);
  await resume(
    tx,
    retrying.filter(({ finished: { job } }) => isManual(job)),
  );
  const those = retrying.filter(({ finished: { job } }) => !isManual(job));
  for (let start = 0; start < those.length; start += MAX_CASES) {
    const part = those.slice(start, start + MAX_CASES);
    const delays = part.flatMap(({ finished: { job }, delayMs }) => [job.deliveryId, delayMs]);
    const { sql, parameters } = oneOfThose(tx, part);
    await tx.execute(
      `UPDATE deliveries SET ${COUNTED}, status = 'RETRYING', owner = '', automatic_due_at = NULL,
         due_at = ${tx.dialect.now} + CASE id ${part.map(() => 'WHEN ? THEN ?').join(' ')} ELSE 0 END WHERE ${sql}`,
      [...delays, ...parameters],
    );
  }
}

/** After an attempt by hand they wait for what they waited for before it. */
async function resume(tx: Tx, verdicts: readonly Verdict[]): Promise<void> {
  if (verdicts.length === 0) return;
  const { sql, parameters } = oneOfThose(tx, verdicts);
  await tx.execute(
    `UPDATE deliveries SET ${COUNTED}, status = 'RETRYING', owner = '', due_at = COALESCE(automatic_due_at, ${tx.dialect.now}), automatic_due_at = NULL
      WHERE ${sql}`,
    parameters,
  );
}

/** From the first attempt on a delivery sends the same bytes, whatever becomes of its webhook. */
async function fixShapedBodies(tx: Tx, verdicts: readonly Verdict[]): Promise<void> {
  const shaped = verdicts.filter(({ finished: { body, job } }) => job.body === null && body !== null && body.key !== STANDARD_BODY);
  const alike = groupBy(shaped, ({ finished }) => `${finished.body?.key} ${charsToClaim(finished)}`);
  const bodies = new Map<string, StoredBody>();
  for (const { body, job } of shaped.map(({ finished }) => finished)) {
    if (body === null || isDerived(body.key)) continue;
    const { applicationId, sequence } = job.event;
    const id = `${applicationId} ${bodyId(sequence, body.key)}`;
    if (!bodies.has(id)) bodies.set(id, { applicationId, sequence, key: body.key, body: body.bytes.toString() });
  }
  for (const those of alike.values()) {
    const [{ finished } = {}] = those;
    if (finished === undefined) continue;
    const { sql, parameters } = oneOfThose(tx, those);
    await tx.execute(
      `UPDATE deliveries SET body_key = ?, payload_chars = CASE WHEN payload_chars < ? THEN ? ELSE payload_chars END WHERE ${sql}`,
      [finished.body?.key, charsToClaim(finished), charsToClaim(finished), ...parameters],
    );
  }
  await insertBodies(tx, [...bodies.values()]);
}

/** What a claim has to reckon with from now on; rounded up, so that many deliveries are one statement. */
function charsToClaim({ body, job }: Finished): number {
  const chars = body === null || isDerived(body.key) ? 0 : charsWith(body, job.event.payloadText.length);
  return chars === 0 ? 0 : 2 ** Math.ceil(Math.log2(chars));
}

/** Where no body could be made, none was sent and none is fixed. */
async function unfixBodies(tx: Tx, verdicts: readonly Verdict[]): Promise<void> {
  const those = verdicts.filter(({ finished: { job, body } }) => job.body === null && body === null);
  if (those.length === 0) return;
  const { sql, parameters } = oneOfThose(tx, those);
  await tx.execute(`UPDATE deliveries SET body_key = NULL WHERE ${sql}`, parameters);
}

async function countAttempt(tx: Tx, verdicts: readonly Verdict[]): Promise<void> {
  if (verdicts.length === 0) return;
  const { sql, parameters } = oneOfThose(tx, verdicts);
  await tx.execute(`UPDATE deliveries SET attempt_count = attempt_count + 1 WHERE ${sql}`, parameters); // of what is finished the schedule has no say
}

function oneOfThose(tx: Tx, verdicts: readonly Verdict[]): { sql: string; parameters: unknown[] } {
  return tx.dialect.oneOf(
    'id',
    verdicts.map(({ finished: { job } }) => job.deliveryId),
  );
}

/** A cancelled delivery may be that of an event which was redacted meanwhile: the response might repeat its payload. */
async function cancelledAttempts(tx: Tx, cancelled: readonly Verdict[]): Promise<Attempt[]> {
  const redacted = await redactedAmong(
    tx,
    cancelled.map(({ finished: { job } }) => job.event),
  );
  return cancelled.map((verdict) => {
    const { applicationId, sequence } = verdict.finished.job.event;
    const attempt = attemptOf(verdict);
    if (redacted.has(`${applicationId}${sequence}`)) Object.assign(attempt, { responseBody: null, responseHeaders: [] });
    return attempt;
  });
}

/** What is recorded of an attempt. */
export function attemptOf({ finished: { job, webhook, exchange, request, startedAt } }: Pick<Verdict, 'finished'>): Attempt {
  const attempt = new Attempt();
  attempt.id = attemptId(job.deliveryId, job.attemptCount + 1);
  attempt.trigger = job.trigger;
  attempt.startedAt = new Date(startedAt);
  attempt.durationMs = Math.round(exchange.durationMs);
  attempt.outcome = AttemptOutcome[exchange.outcome];
  attempt.statusCode = exchange.statusCode;
  attempt.error = errorOf(exchange, webhook);
  attempt.url = request.url;
  attempt.packedRequestHeaders = packHeaders(attempt.id, request.headers);
  attempt.responseHeaders = exchange.responseHeaders.map(([name, value]) => ({ name, value }));
  attempt.responseBody = exchange.responseBody?.replaceAll('\0', '\ufffd') ?? null; // SQLite's texts end at a NUL
  attempt.responseTruncated = exchange.responseTruncated;
  attempt.phases = exchange.phases ?? null;
  return attempt;
}

function deliveryOf({ finished: { job, webhook, body }, status, delayMs, endedAt }: Verdict, completedAt: number): Delivery {
  const delivery = new Delivery();
  delivery.id = job.deliveryId;
  delivery.applicationId = webhook.applicationId;
  delivery.webhookId = webhook.id;
  delivery.eventType = job.event.type;
  delivery.payloadChars = job.event.payloadText.length;
  delivery.status = status;
  delivery.attemptCount = job.attemptCount + 1;
  delivery.owner = delayMs === null ? null : '';
  delivery.dueAt = delayMs === null ? null : new Date(job.automaticDueAt ?? endedAt + delayMs);
  delivery.nextTrigger = null;
  delivery.orderingKey = job.event.orderingKey;
  delivery.bodyKey = body?.key ?? null;
  delivery.createdAt = new Date(job.createdAt);
  delivery.completedAt = delayMs === null ? new Date(completedAt) : null;
  return delivery;
}

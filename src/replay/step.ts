import { AttemptTrigger } from '../attempts/attempt';
import { SECOND } from '../clock';
import { type Delivery, DeliveryStatus } from '../deliveries/delivery';
import { appendUpdates, type DeliveryUpdate, type LoggedUpdate } from '../deliveries/update-log';
import { readEvents } from '../events/events';
import { fanOut, insertDeliveries } from '../fanout/fan-out';
import { wants } from '../fanout/wants';
import { applicationIdOf, sequenceOf, webhookIdOf } from '../ids';
import { nextTurn } from '../slices';
import type { Tx } from '../store/database';
import type { LiveWebhook } from '../webhooks/webhook-cache';
import { deliverySelectionOf, isReceiving, type Stretch, withAttempt } from './plan';
import { type RetryJob, RetryJobKind, RetryJobStatus, type RetrySelection } from './retry-job';
import { lockJob, saveJob } from './retry-jobs';

/** Long enough for a slow step; a job whose instance died is taken up by another one after it. */
const LEASE_MS = 10 * SECOND;

/** How many of a job's deliveries may be under way to one webhook: a new event waits behind no more than these. */
const REQUESTS_AHEAD = 4;
const MIN_WINDOW = 20;
const MAX_WINDOW = 200;
/** Events are read with their payloads. */
const MAX_EVENTS_PER_STEP = 50;
/** Of a job that is cancelled. */
const ITEMS_PER_CLOSING_STEP = 500;

/** The job, locked until the transaction ends; null when it is finished, gone or another instance's for now. */
async function claimJob(tx: Tx, id: string, instanceId: string): Promise<RetryJob | null> {
  const job = await lockJob(tx, id);
  if (job === null || job.completedAt !== null) return null;
  const now = await readNow(tx);
  if (job.worker !== instanceId && job.workerUntil > now) return null;
  if (job.worker !== instanceId || job.workerUntil < now + LEASE_MS / 2) {
    Object.assign(job, { worker: instanceId, workerUntil: now + LEASE_MS });
    await tx.execute('UPDATE retry_jobs SET worker = ?, worker_until = ? WHERE id = ?', [instanceId, job.workerUntil, id]);
  }
  return job;
}

async function readNow(tx: Tx): Promise<number> {
  const [row] = await tx.query<{ now: number }>(`SELECT ${tx.dialect.now} AS now`);
  return Number(row?.now);
}

/** Plans what was read from `cursor` on, unless somebody has planned it already. Returns the job when it has changed. */
export async function planStretch(tx: Tx, id: string, instanceId: string, cursor: string, stretch: Stretch): Promise<RetryJob | null> {
  const job = await claimJob(tx, id, instanceId);
  if (job === null || job.status !== RetryJobStatus.RUNNING || job.scanCursor !== cursor) return null;
  job.planned += await insertItems(tx, id, stretch.deliveryIds);
  job.scanCursor = stretch.cursor;
  return saveJob(tx, withTotal(job));
}

async function insertItems(tx: Tx, jobId: string, deliveryIds: readonly string[]): Promise<number> {
  if (deliveryIds.length === 0) return 0;
  const rows = deliveryIds.map(() => '(?, ?, ?)').join(', ');
  return tx.execute(
    `${tx.dialect.insertIgnore} INTO retry_job_items (job_id, webhook_id, delivery_id) VALUES ${rows}`,
    deliveryIds.flatMap((deliveryId) => [jobId, webhookIdOf(deliveryId), deliveryId]),
  );
}

/** As counted, until planning has found how many there are. */
function withTotal(job: RetryJob): RetryJob {
  job.total = job.scanCursor === null ? job.planned : Math.max(job.total, job.planned);
  return job;
}

/** The job when nothing of it is left to do; null when something is. */
export async function completeJob(tx: Tx, id: string, instanceId: string, now: number): Promise<RetryJob | null> {
  const job = await claimJob(tx, id, instanceId);
  if (job === null || (job.status === RetryJobStatus.RUNNING && job.scanCursor !== null)) return null;
  const [left] = await tx.query('SELECT delivery_id FROM retry_job_items WHERE job_id = ? LIMIT 1', [id]);
  if (left !== undefined) return null;
  if (job.status === RetryJobStatus.RUNNING) job.status = RetryJobStatus.COMPLETED;
  job.completedAt = new Date(now);
  return saveJob(tx, job);
}

export interface StepRequest {
  readonly jobId: string;
  readonly webhookId: string;
  /** Undefined: it is deleted. */
  readonly webhook: LiveWebhook | undefined;
  readonly instanceId: string;
  /** Deliveries that this instance owns and has taken out of its queue. */
  readonly withdrawn: ReadonlySet<string>;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface Step {
  /** Null when nothing of it has changed. */
  readonly job: RetryJob | null;
  readonly updates: ReadonlyMap<string, LoggedUpdate[]>;
  readonly handedOut: number;
  /** Deliveries whose attempts are waited for. */
  readonly awaited: readonly string[];
  readonly putBack: readonly string[];
}

const NO_STEP: Step = { job: null, updates: new Map(), handedOut: 0, awaited: [], putBack: [] };

/** An item with its delivery as it is now; without one where it does not exist. */
interface Item {
  readonly delivery_id: string;
  readonly attempts_before: number | null;
  readonly prior_status: DeliveryStatus | null;
  readonly prior_due_at: number | null;
  readonly prior_completed_at: number | null;
  readonly status: DeliveryStatus | null;
  readonly attempt_count: number | null;
  readonly owner: string | null;
  readonly event_type: string | null;
  readonly created_at: number | null;
}

interface Sorted {
  /** Not handed out yet. */
  readonly waiting: readonly Item[];
  /** Due, queued or in flight. */
  readonly running: readonly Item[];
  readonly ended: readonly Item[];
}

/**
 * One webhook's share of a job: counts what has ended, and hands out as much as there is room for. What is under way
 * are the first items in the order of the ids, so the window is a range of the key and nothing remembers where it is.
 */
export async function takeStep(tx: Tx, request: StepRequest): Promise<Step> {
  const { jobId, webhookId, instanceId } = request;
  const job = await claimJob(tx, jobId, instanceId);
  if (job === null) return takeBackOwn(tx, request);
  const webhook = isReceiving(request.webhook) && (await isStillReceiving(tx, webhookId)) ? request.webhook : undefined;
  const isCancelled = job.status === RetryJobStatus.CANCELLED;
  const window = isCancelled || !webhook ? ITEMS_PER_CLOSING_STEP : windowOf(webhook);
  const items = sorted(await readWindow(tx, jobId, webhookId, window));
  await deleteItems(tx, job, webhookId, items.ended);
  job.done += items.ended.length;
  job.failed += items.ended.filter(({ status }) => status !== DeliveryStatus.SUCCEEDED).length;
  return isCancelled || !webhook ? close(tx, job, items, request) : goOn(tx, job, webhook, items, window, request);
}

/** Another instance works on the job: where it is cancelled, what this one had queued of it is taken back all the same. */
async function takeBackOwn(tx: Tx, request: StepRequest): Promise<Step> {
  const { jobId, webhookId, withdrawn, now } = request;
  if (withdrawn.size === 0) return NO_STEP;
  const job = await lockJob(tx, jobId);
  if (job?.status !== RetryJobStatus.CANCELLED || job.completedAt !== null) return NO_STEP;
  const { running } = sorted(await readWindow(tx, jobId, webhookId, ITEMS_PER_CLOSING_STEP));
  const own = running.filter((item) => withdrawn.has(idOf(item)));
  const putBack = await putItemsBack(tx, own, request);
  await deleteItems(tx, job, webhookId, putBack);
  const updates = await appendUpdates(
    tx,
    putBack.map((item) => putBackUpdate(item, now)),
  );
  return finished(tx, job, { running: [], updates, handedOut: 0, putBack, hasChanged: putBack.length > 0 });
}

/** The job was cancelled, or the webhook is not sent to any more: nothing is handed out, and what can be is taken back. */
async function close(tx: Tx, job: RetryJob, { waiting, running, ended }: Sorted, request: StepRequest): Promise<Step> {
  const putBack = await putItemsBack(tx, running, request);
  const given = [...waiting, ...putBack];
  await deleteItems(tx, job, request.webhookId, given);
  if (job.status === RetryJobStatus.RUNNING) job.planned -= given.length;
  const updates = await appendUpdates(
    tx,
    putBack.map((item) => putBackUpdate(item, request.now)),
  );
  const hasChanged = ended.length + given.length > 0;
  return finished(tx, job, { running: without(running, putBack), updates, handedOut: 0, putBack, hasChanged });
}

async function goOn(
  tx: Tx,
  job: RetryJob,
  webhook: LiveWebhook,
  { waiting, running, ended }: Sorted,
  window: number,
  { now }: StepRequest,
): Promise<Step> {
  // Few at a time would cost a transaction for each.
  const next = running.length <= window / 2 ? waiting : [];
  const { handedOut, struck, updates } = await handOut(tx, job, webhook, next, now);
  await deleteItems(tx, job, webhook.id, struck);
  job.planned -= struck.length;
  const hasChanged = ended.length + struck.length > 0;
  return finished(tx, job, { running: [...running, ...handedOut], updates, handedOut: handedOut.length, putBack: [], hasChanged });
}

async function finished(
  tx: Tx,
  job: RetryJob,
  step: Pick<Step, 'updates' | 'handedOut'> & { running: readonly Item[]; putBack: readonly Item[]; hasChanged: boolean },
): Promise<Step> {
  const { updates, handedOut, running, putBack, hasChanged } = step;
  return {
    job: hasChanged ? await saveJob(tx, withTotal(job)) : null,
    updates,
    handedOut,
    awaited: running.map(idOf),
    putBack: putBack.map(idOf),
  };
}

const idOf = (item: Item) => item.delivery_id;

function without(items: readonly Item[], others: readonly Item[]): Item[] {
  return items.filter((item) => !others.includes(item));
}

function windowOf({ maxConcurrency }: LiveWebhook): number {
  return Math.min(MAX_WINDOW, Math.max(MIN_WINDOW, REQUESTS_AHEAD * maxConcurrency));
}

/** What is in memory may be a moment old, the row is not. */
async function isStillReceiving(tx: Tx, webhookId: string): Promise<boolean> {
  const [row] = await tx.query("SELECT id FROM webhooks WHERE id = ? AND deleted_at IS NULL AND status <> 'DISABLED'", [webhookId]);
  return row !== undefined;
}

async function readWindow(tx: Tx, jobId: string, webhookId: string, most: number): Promise<Item[]> {
  return tx.query<Item>(
    `SELECT i.delivery_id, i.attempt_count AS attempts_before, i.prior_status, i.prior_due_at, i.prior_completed_at,
        d.status, d.attempt_count, d.owner, d.event_type, d.created_at
      FROM retry_job_items i LEFT JOIN deliveries d ON d.id = i.delivery_id
      WHERE i.job_id = ? AND i.webhook_id = ? ORDER BY i.delivery_id LIMIT ${most}`,
    [jobId, webhookId],
  );
}

/** By what the deliveries themselves say: an attempt more than before, or finished in another way. */
function sorted(items: readonly Item[]): Sorted {
  const waiting = items.filter(({ prior_status }) => prior_status === null);
  const others = without(items, waiting);
  const running = others.filter(
    ({ status, owner, attempt_count, attempts_before }) =>
      status !== null && owner !== null && Number(attempt_count) === Number(attempts_before),
  );
  return { waiting, running, ended: without(others, running) };
}

async function deleteItems(tx: Tx, { id }: RetryJob, webhookId: string, items: readonly Item[]): Promise<void> {
  if (items.length === 0) return;
  const { sql, parameters } = tx.dialect.oneOf('delivery_id', items.map(idOf));
  await tx.execute(`DELETE FROM retry_job_items WHERE job_id = ? AND webhook_id = ? AND ${sql}`, [id, webhookId, ...parameters]);
}

/** What nobody sends yet is as it was before; returns those. What is being sent ends by itself. */
async function putItemsBack(tx: Tx, running: readonly Item[], { withdrawn, instanceId, now }: StepRequest): Promise<Item[]> {
  const putBack: Item[] = [];
  for (const item of running) {
    const owner = withdrawn.has(item.delivery_id) ? instanceId : '';
    const isRetrying = item.prior_status === DeliveryStatus.RETRYING;
    const changed = await tx.execute(
      `UPDATE deliveries SET status = ?, owner = ?, due_at = ?, next_trigger = NULL, automatic_due_at = NULL, completed_at = ?
        WHERE id = ? AND owner = ? AND attempt_count = ?`,
      [
        item.prior_status,
        isRetrying ? '' : null,
        isRetrying ? item.prior_due_at : null,
        isRetrying ? null : (item.prior_completed_at ?? now),
        item.delivery_id,
        owner,
        item.attempts_before,
      ],
    );
    if (changed > 0) putBack.push(item);
  }
  return putBack;
}

function putBackUpdate({ delivery_id, event_type, prior_status, created_at }: Item, now: number): DeliveryUpdate {
  return {
    deliveryId: delivery_id,
    eventType: event_type ?? '',
    status: prior_status ?? DeliveryStatus.CANCELLED,
    attemptNumber: 0,
    at: now,
    createdAt: Number(created_at),
  };
}

interface HandedOut {
  readonly handedOut: readonly Item[];
  /** Those that need no attempt any more. */
  readonly struck: readonly Item[];
  readonly updates: ReadonlyMap<string, LoggedUpdate[]>;
}

async function handOut(tx: Tx, job: RetryJob, webhook: LiveWebhook, items: readonly Item[], now: number): Promise<HandedOut> {
  if (items.length === 0) return { handedOut: [], struck: [], updates: new Map() };
  const { selection } = job;
  const looked = selection.kind === RetryJobKind.REPLAY ? items.slice(0, MAX_EVENTS_PER_STEP) : items;
  const given =
    selection.kind === RetryJobKind.RETRY ? await makeDue(tx, job, selection, looked, now) : await createMissing(tx, job, webhook, looked);
  const ids = new Set(given.map(({ deliveryId }) => deliveryId));
  return {
    handedOut: looked.filter((item) => ids.has(item.delivery_id)),
    struck: looked.filter((item) => !ids.has(item.delivery_id)),
    updates: await appendUpdates(tx, given),
  };
}

interface DeliveryRow {
  readonly id: string;
  readonly status: DeliveryStatus;
  readonly attempt_count: number;
  readonly event_type: string;
  readonly created_at: number;
}

async function makeDue(tx: Tx, job: RetryJob, selection: RetrySelection, items: readonly Item[], now: number): Promise<DeliveryUpdate[]> {
  const rows = await stillWanted(tx, job, selection, items);
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  await rememberPrior(tx, job, ids);
  await putDue(tx, ids);
  return rows.map((row) => madeDue(row, now));
}

/** Deliveries that are still as the filter asks and nobody has taken up meanwhile. */
async function stillWanted(tx: Tx, { createdAt }: RetryJob, selection: RetrySelection, items: readonly Item[]): Promise<DeliveryRow[]> {
  const those = tx.dialect.oneOf('id', items.map(idOf));
  const found = await tx.query<DeliveryRow>(
    `SELECT id, status, attempt_count, event_type, created_at FROM deliveries WHERE ${those.sql}
       AND (completed_at <= ? OR (owner = '' AND status = 'RETRYING' AND due_at > ${tx.dialect.now})) ORDER BY id ${tx.dialect.forUpdate}`,
    [...those.parameters, createdAt.getTime()],
  );
  const wanted = deliverySelectionOf(selection);
  return withAttempt(
    tx,
    wanted,
    found.filter(({ status }) => wanted.statuses.includes(status)),
  );
}

/** Notes with the job what the deliveries were, for when it is cancelled. */
async function rememberPrior(tx: Tx, { id }: RetryJob, deliveryIds: readonly string[]): Promise<void> {
  const own = tx.dialect.oneOf('delivery_id', deliveryIds);
  const prior = (column: string) => `(SELECT d.${column} FROM deliveries d WHERE d.id = retry_job_items.delivery_id)`;
  await tx.execute(
    `UPDATE retry_job_items SET attempt_count = ${prior('attempt_count')}, prior_status = ${prior('status')},
        prior_due_at = ${prior('due_at')}, prior_completed_at = ${prior('completed_at')}
      WHERE job_id = ? AND webhook_id = ? AND ${own.sql}`,
    [id, webhookIdOf(deliveryIds[0] ?? ''), ...own.parameters],
  );
}

async function putDue(tx: Tx, deliveryIds: readonly string[]): Promise<void> {
  const { sql, parameters } = tx.dialect.oneOf('id', deliveryIds);
  await tx.execute(
    `UPDATE deliveries SET automatic_due_at = due_at, status = CASE WHEN attempt_count = 0 THEN 'PENDING' ELSE 'RETRYING' END, owner = '',
        due_at = ${tx.dialect.now}, next_trigger = ?, completed_at = NULL WHERE ${sql}`,
    [AttemptTrigger.MANUAL, ...parameters],
  );
}

function madeDue({ id, event_type, attempt_count, created_at }: DeliveryRow, now: number): DeliveryUpdate {
  const status = Number(attempt_count) === 0 ? DeliveryStatus.PENDING : DeliveryStatus.RETRYING;
  return { deliveryId: id, eventType: event_type, status, attemptNumber: 0, at: now, createdAt: Number(created_at) };
}

/** Deliveries that do not exist yet, of events that the webhook wants. Should the job be cancelled, they are too. */
async function createMissing(tx: Tx, { id }: RetryJob, webhook: LiveWebhook, items: readonly Item[]): Promise<DeliveryUpdate[]> {
  const missing = items.filter(({ status }) => status === null).map((item) => sequenceOf(item.delivery_id));
  const dueAt = new Date(await readNow(tx));
  const events = await readEvents(tx, applicationIdOf(webhook.id), missing);
  const deliveries: Delivery[] = [];
  for (const event of events) {
    if (wants(webhook, event)) deliveries.push(...fanOut(event, [webhook], dueAt, { ownerFor: () => '' }));
    await nextTurn(); // a match may take 15 ms
  }
  if (deliveries.length === 0) return [];
  await insertDeliveries(tx, deliveries);
  const { sql, parameters } = tx.dialect.oneOf(
    'delivery_id',
    deliveries.map((delivery) => delivery.id),
  );
  await tx.execute(
    `UPDATE retry_job_items SET attempt_count = 0, prior_status = 'CANCELLED' WHERE job_id = ? AND webhook_id = ? AND ${sql}`,
    [id, webhook.id, ...parameters],
  );
  return deliveries.map((delivery) => ({
    deliveryId: delivery.id,
    eventType: delivery.eventType,
    status: delivery.status,
    attemptNumber: 0,
    at: dueAt.getTime(),
    createdAt: dueAt.getTime(),
    delivery,
  }));
}

import { DeliveryStatus } from '../deliveries/delivery';
import { readLastAttempts } from '../deliveries/search';
import {
  type AttemptSelection,
  asksForAttempt,
  type DeliverySelection,
  matchesAttempt,
  matchesOrderingKey,
  matchesSelection,
} from '../deliveries/selection';
import { CLOCK_SLACK_MS } from '../deliveries/sequences-between';
import { readEvents } from '../events/events';
import { wants, wantsType } from '../fanout/wants';
import { deliveryId, deliveryRangeOf, sequenceOf, sequenceRange, webhookIdOf } from '../ids';
import { matchesAnyType } from '../matching/event-type-pattern';
import { nextTurn } from '../slices';
import type { Queries } from '../store/database';
import { WebhookStatus } from '../webhooks/webhook';
import type { LiveWebhook } from '../webhooks/webhook-cache';
import { type NarrowedSelection, type ReplaySelection, type RetryJob, RetryJobKind, type RetrySelection } from './retry-job';

/** The webhooks as a plan needs them: undefined when there is no such webhook any more. */
export type FindWebhook = (webhookId: string) => Promise<LiveWebhook | undefined>;

/** What a stretch of the log or of the deliveries has for a job, and where the next one begins; null: nowhere. */
export interface Stretch {
  readonly deliveryIds: readonly string[];
  readonly cursor: string | null;
}

type Planned = Pick<RetryJob, 'applicationId' | 'createdAt' | 'selection'>;

/** Rows looked at in one go. On SQLite the process does nothing else meanwhile: a few milliseconds. */
const ROWS_PER_STRETCH = 1_000;
/** Payloads read at once, where a condition has to look into them. */
const PAYLOADS_PER_READ = 50;

export function firstCursor(selection: RetrySelection | ReplaySelection): string {
  return selection.kind === RetryJobKind.RETRY ? '0:' : '0';
}

/** Reads on from `cursor`. Nothing that came or finished after the job was made is in it. */
export async function nextStretch(read: Queries, job: Planned, cursor: string, find: FindWebhook): Promise<Stretch> {
  const { selection } = job;
  return selection.kind === RetryJobKind.RETRY
    ? nextDeliveries(read, job, selection, cursor, find)
    : nextEvents(read, job, selection, Number(cursor), find);
}

/**
 * One status after the other, each along its index in the order of the ids. RETRYING comes first: what is taken from a
 * later one could become RETRYING meanwhile, and would be found twice.
 */
const SCANNED = [DeliveryStatus.RETRYING, DeliveryStatus.FAILED, DeliveryStatus.CANCELLED, DeliveryStatus.SUCCEEDED] as const;

interface FoundDelivery {
  readonly id: string;
  readonly event_type: string;
  readonly created_at: number;
  readonly ordering_key: string | null;
  readonly attempt_count: number;
}

/** `cursor`: how many statuses are through, and the last id of the present one. */
async function nextDeliveries(
  read: Queries,
  { applicationId, createdAt }: Planned,
  selection: RetrySelection,
  cursor: string,
  find: FindWebhook,
): Promise<Stretch> {
  const wanted = deliverySelectionOf(selection);
  const statuses = SCANNED.filter((each) => wanted.statuses.includes(each));
  const place = Number(cursor.slice(0, cursor.indexOf(':')));
  const after = cursor.slice(cursor.indexOf(':') + 1);
  const status = statuses[place];
  if (status === undefined) return { deliveryIds: [], cursor: null };
  const { from, to } = rangeOf(applicationId, selection.lastSequence, wanted);
  const [condition, ...parameters] = waits(status, createdAt, read);
  const rows = await read.query<FoundDelivery>(
    `SELECT id, event_type, created_at, ordering_key, attempt_count FROM deliveries
      WHERE application_id = ? AND status = ? AND id > ? AND id < ? AND ${condition} ORDER BY id LIMIT ${ROWS_PER_STRETCH}`,
    [applicationId, status, after === '' ? from : after, to, ...parameters],
  );
  const deliveryIds: string[] = [];
  for (const { id } of await selected(read, wanted, status, rows)) if (isReceiving(await find(webhookIdOf(id)))) deliveryIds.push(id);
  const last = rows.length === ROWS_PER_STRETCH ? rows.at(-1) : undefined;
  if (last) return { deliveryIds, cursor: `${place}:${last.id}` };
  return { deliveryIds, cursor: place + 1 < statuses.length ? `${place + 1}:` : null };
}

/** Finished before the job was made, or waiting for a time in the future: what is due already is on its way. */
function waits(status: DeliveryStatus, createdAt: Date, { dialect }: Queries): readonly [string, ...unknown[]] {
  return status === DeliveryStatus.RETRYING ? [`owner = '' AND due_at > ${dialect.now}`] : ['completed_at <= ?', createdAt.getTime()];
}

function rangeOf(
  applicationId: string,
  lastSequence: number,
  { eventIds, minSequence, maxSequence }: DeliverySelection,
): { from: string; to: string } {
  const all = sequenceRange('dlv', applicationId, minSequence ?? 0, Math.min(lastSequence, maxSequence ?? lastSequence));
  const ranges = (eventIds ?? []).map(deliveryRangeOf).sort((a, b) => (a.from < b.from ? -1 : 1));
  const [first, last] = [ranges[0], ranges.at(-1)];
  if (!first || !last) return all;
  const [from = all.from, to = all.to] = [[first.from, all.from].sort()[1], [last.to, all.to].sort()[0]];
  return { from, to };
}

async function selected(
  read: Queries,
  wanted: DeliverySelection,
  status: DeliveryStatus,
  rows: readonly FoundDelivery[],
): Promise<FoundDelivery[]> {
  const own = rows.filter(
    ({ id, event_type, created_at, ordering_key }) =>
      matchesOrderingKey(wanted, ordering_key) &&
      matchesSelection(wanted, { deliveryId: id, eventType: event_type, status, createdAt: Number(created_at) }),
  );
  return withAttempt(read, wanted, own);
}

/** Those whose last attempt a selection asks for, as it is now. */
export async function withAttempt<Row extends { readonly id: string; readonly attempt_count: number }>(
  read: Queries,
  wanted: AttemptSelection,
  rows: readonly Row[],
): Promise<Row[]> {
  if (!asksForAttempt(wanted) || rows.length === 0) return [...rows];
  const attempts = await readLastAttempts(read, rows);
  return rows.filter(({ id }) => matchesAttempt(wanted, attempts.get(id)));
}

/** As a list of deliveries is asked for. */
export function deliverySelectionOf(selection: RetrySelection): DeliverySelection & Pick<NarrowedSelection, 'statuses'> {
  const { webhookIds, eventIds, eventTypes, createdAfter, createdBefore, statuses = [], narrowed = { statuses } } = selection;
  return {
    ...narrowed,
    webhookIds,
    eventIds,
    eventTypes,
    createdAfter: createdAfter === null ? null : new Date(createdAfter),
    createdBefore: createdBefore === null ? null : new Date(createdBefore),
  };
}

export function isReceiving(webhook: LiveWebhook | undefined): webhook is LiveWebhook {
  return webhook !== undefined && webhook.status !== WebhookStatus.DISABLED;
}

/** `after`: the last sequence looked at. */
async function nextEvents(
  read: Queries,
  { applicationId }: Planned,
  selection: ReplaySelection,
  after: number,
  find: FindWebhook,
): Promise<Stretch> {
  const webhook = await find(selection.webhookId);
  if (!isReceiving(webhook)) return { deliveryIds: [], cursor: null };
  const { createdAfter, createdBefore, eventTypes, lastSequence } = selection;
  const rows = await read.query<{ sequence: number; type: string; created_at: number }>(
    `SELECT sequence, type, created_at FROM events WHERE application_id = ? AND sequence > ? AND sequence <= ? AND redacted_at IS NULL ORDER BY sequence LIMIT ${ROWS_PER_STRETCH}`,
    [applicationId, after, lastSequence],
  );
  const named = rows.filter(
    ({ type, created_at }) =>
      (createdAfter === null || Number(created_at) > createdAfter) &&
      (createdBefore === null || Number(created_at) < createdBefore) &&
      (eventTypes === null || matchesAnyType(eventTypes, type)) &&
      wantsType(webhook.eventTypes, type),
  );
  const missing = await withoutDelivery(
    read,
    webhook.id,
    named.map(({ sequence }) => Number(sequence)),
  );
  const wanted = await thoseWanted(read, webhook, missing);
  const last = rows.length === ROWS_PER_STRETCH ? rows.at(-1) : undefined;
  const isPast = last && createdBefore !== null && Number(last.created_at) >= createdBefore + CLOCK_SLACK_MS;
  return {
    deliveryIds: wanted.map((sequence) => deliveryId(sequence, webhook.id)),
    cursor: last && !isPast ? String(last.sequence) : null,
  };
}

async function withoutDelivery(read: Queries, webhookId: string, sequences: readonly number[]): Promise<number[]> {
  if (sequences.length === 0) return [];
  const { sql, parameters } = read.dialect.oneOf(
    'id',
    sequences.map((sequence) => deliveryId(sequence, webhookId)),
  );
  const rows = await read.query<{ id: string }>(`SELECT id FROM deliveries WHERE ${sql}`, parameters);
  const known = new Set(rows.map(({ id }) => sequenceOf(id)));
  return sequences.filter((sequence) => !known.has(sequence));
}

/** By their payloads too, where the webhook has conditions on those. */
async function thoseWanted(read: Queries, webhook: LiveWebhook, sequences: readonly number[]): Promise<number[]> {
  if (webhook.condition === null && webhook.payloadQuery === null) return [...sequences];
  const wanted: number[] = [];
  for (let start = 0; start < sequences.length; start += PAYLOADS_PER_READ) {
    const events = await readEvents(read, webhook.applicationId, sequences.slice(start, start + PAYLOADS_PER_READ));
    for (const event of events) {
      if (wants(webhook, event)) wanted.push(event.sequence);
      await nextTurn(); // a match may take 15 ms
    }
  }
  return wanted;
}

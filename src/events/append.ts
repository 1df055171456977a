import { type Delivery, DeliveryStatus } from '../deliveries/delivery';
import { appendUpdates, type DeliveryUpdate, type LoggedUpdate } from '../deliveries/update-log';
import { fanOut, insertDeliveries, type Room } from '../fanout/fan-out';
import { type Selection, Selector } from '../fanout/select';
import { newEventId } from '../ids';
import { nextTurn, Slices } from '../slices';
import type { Tx } from '../store/database';
import type { LiveWebhook, WebhookCache } from '../webhooks/webhook-cache';
import type { Event } from './event';
import { EVENT_COLUMNS, type EventRow, eventOf } from './events';

/** An event that passed every check and waits for its place in the log. */
export interface NewEvent {
  readonly type: string;
  /** Minified JSON. */
  readonly payloadText: string;
  readonly idempotencyKey: string | null;
  readonly orderingKey: string | null;
  /** Null: when it is stored. */
  readonly occurredAt: Date | null;
}

export interface AppendedEvent {
  readonly event: Event;
  /** The event was there already, under the same idempotency key. */
  readonly deduplicated: boolean;
}

/** Events of one application, to be stored together. */
export interface AppendRequest {
  readonly applicationId: string;
  readonly events: readonly NewEvent[];
  /** The publisher's trace, see `trace-context.ts`. */
  readonly traceContext?: string | null;
}

/** With the webhooks that get its events, in their order, where that was decided before. */
export interface AppendPart extends AppendRequest {
  readonly selections?: readonly Selection[];
}

/** A webhook did not get an event because its conditions took too much to be tested. */
export interface Unmatched {
  readonly webhook: LiveWebhook;
  readonly event: Event;
}

export interface Batch {
  /** For each request what became of its events, or null where the application does not exist. */
  readonly answers: readonly (readonly AppendedEvent[] | null)[];
  readonly stored: readonly Event[];
  readonly deliveries: readonly Delivery[];
  readonly updates: ReadonlyMap<string, LoggedUpdate[]>;
  readonly unmatched: readonly Unmatched[];
}

/** Made, written and logged in one turn of the event loop: 1,000 take some 10 ms. */
export const MAX_DELIVERIES_PER_TURN = 1_000;

interface Counter {
  readonly applicationId: string;
  lastSequence: number;
  readonly version: number;
}

/**
 * Stores events and their deliveries. The counter rows come first: the transaction that holds an application's row writes the next
 * sequences, and nobody commits a later sequence before an earlier one.
 */
export async function append(
  tx: Tx,
  requests: readonly AppendPart[],
  directory: Pick<WebhookCache, 'at'>,
  room: Room,
  selector = new Selector(new Slices()),
): Promise<Batch> {
  const locked = await lockCounters(tx, [...new Set(requests.map(({ applicationId }) => applicationId))]);
  const placed = await placeAll(tx, requests, locked);
  const { deliveries, unmatched } = await deliver(tx, placed, locked, { directory, room, selector });
  // On SQLite nothing else would let others go between.
  const pause = async () => {
    if (deliveries.length > MAX_DELIVERIES_PER_TURN) await nextTurn();
  };
  await pause();
  await insertEvents(tx, placed.stored);
  await saveCounters(tx, placed.stored, locked.counters);
  await insertDeliveries(tx, deliveries);
  await pause();
  const updates = await appendUpdates(
    tx,
    deliveries.map((delivery) => pending(delivery, locked.now.getTime())),
  );
  await pause();
  return { answers: placed.answers, stored: placed.stored, deliveries, updates, unmatched };
}

interface Locked {
  readonly counters: Map<string, Counter>;
  readonly now: Date;
}

/** Events with their sequences, and what is known of who gets them. */
interface Placed extends Pick<Batch, 'answers' | 'stored'> {
  /** Of each of `stored`, where it was selected before. */
  readonly selections: readonly (Selection | undefined)[];
}

async function placeAll(tx: Tx, requests: readonly AppendPart[], { counters, now }: Locked): Promise<Placed> {
  const known = await findByIdempotencyKey(
    tx,
    requests.filter(({ applicationId }) => counters.has(applicationId)),
  );
  const stored: Event[] = [];
  const selections: (Selection | undefined)[] = [];
  const answers = requests.map(({ applicationId, events, traceContext = null, selections: selected }) => {
    const counter = counters.get(applicationId);
    if (!counter) return null;
    return events.map((fresh, index) => {
      const answer = place(fresh, traceContext, counter, known, now);
      if (!answer.deduplicated) {
        stored.push(answer.event);
        selections.push(selected?.[index]);
      }
      return answer;
    });
  });
  return { answers, stored, selections };
}

interface Delivering {
  readonly directory: Pick<WebhookCache, 'at'>;
  readonly room: Room;
  readonly selector: Selector;
}

async function deliver(
  tx: Tx,
  { stored, selections }: Placed,
  { counters, now }: Locked,
  { directory, room, selector }: Delivering,
): Promise<{ readonly deliveries: Delivery[]; readonly unmatched: Unmatched[] }> {
  const deliveries: Delivery[] = [];
  const unmatched: Unmatched[] = [];
  for (const [index, event] of stored.entries()) {
    const { applicationId } = event;
    const snapshot = await directory.at(tx, applicationId, counters.get(applicationId)?.version ?? 0);
    let selection = selections[index] ?? selector.known(event, snapshot);
    // A webhook was changed meanwhile: under the lock it is known which are to get the event.
    if (selection?.snapshot !== snapshot) selection = await selector.select(applicationId, event, snapshot, selection);
    for (const webhook of selection.tooCostly) unmatched.push({ webhook, event });
    for (const delivery of fanOut(event, selection.wanted, now, room)) deliveries.push(delivery);
  }
  return { deliveries, unmatched };
}

function pending(delivery: Delivery, at: number): DeliveryUpdate {
  const { id: deliveryId, eventType } = delivery;
  return { deliveryId, eventType, status: DeliveryStatus.PENDING, attemptNumber: 0, at, createdAt: at, delivery };
}

/** Takes the rows that say where the logs of applications end, in the order of their ids. */
export async function lockCounters(tx: Tx, applicationIds: readonly string[]): Promise<Locked> {
  const { sql, parameters } = tx.dialect.oneOf('application_id', [...applicationIds].sort());
  const rows = await tx.query<{ application_id: string; last_sequence: number; version: number; now: number }>(
    `SELECT application_id, last_sequence, version, ${tx.dialect.now} AS now FROM counters
      WHERE log = 'event' AND ${sql} ORDER BY application_id ${tx.dialect.forUpdate}`,
    parameters,
  );
  const counters = new Map<string, Counter>();
  for (const { application_id: applicationId, last_sequence, version } of rows)
    counters.set(applicationId, { applicationId, lastSequence: Number(last_sequence), version: Number(version) });
  return { counters, now: new Date(Number(rows[0]?.now ?? 0)) };
}

/** Under the lock, so that two publishes with the same key, on any two instances, see each other. */
async function findByIdempotencyKey(tx: Tx, requests: readonly AppendRequest[]): Promise<Map<string, Event>> {
  const keys = new Map<string, Set<string>>();
  for (const { applicationId, events } of requests)
    for (const { idempotencyKey } of events)
      if (idempotencyKey !== null) keys.set(applicationId, (keys.get(applicationId) ?? new Set()).add(idempotencyKey));
  const known = new Map<string, Event>();
  for (const [applicationId, wanted] of keys) {
    const { sql, parameters } = tx.dialect.oneOf('idempotency_key', [...wanted]);
    const rows = await tx.query<EventRow>(`SELECT ${EVENT_COLUMNS} FROM events WHERE application_id = ? AND ${sql}`, [
      applicationId,
      ...parameters,
    ]);
    for (const row of rows) known.set(dedupeKey(applicationId, row.idempotency_key ?? ''), eventOf(row));
  }
  return known;
}

function dedupeKey(applicationId: string, idempotencyKey: string): string {
  return `${applicationId} ${idempotencyKey}`;
}

/** Gives a new event the next sequence, or answers with the one that has its key already. */
function place(fresh: NewEvent, traceContext: string | null, counter: Counter, known: Map<string, Event>, now: Date): AppendedEvent {
  const { applicationId } = counter;
  const key = fresh.idempotencyKey === null ? null : dedupeKey(applicationId, fresh.idempotencyKey);
  const first = key === null ? undefined : known.get(key);
  if (first) return { event: first, deduplicated: true };
  const sequence = ++counter.lastSequence;
  const event = eventOf({
    application_id: applicationId,
    sequence,
    id: newEventId(applicationId, sequence),
    type: fresh.type,
    payload: fresh.payloadText,
    idempotency_key: fresh.idempotencyKey,
    ordering_key: fresh.orderingKey,
    occurred_at: (fresh.occurredAt ?? now).getTime(),
    created_at: now.getTime(),
    redacted_at: null,
    trace_context: traceContext,
  });
  if (key !== null) known.set(key, event);
  return { event, deduplicated: false };
}

const COLUMNS = EVENT_COLUMNS.split(', ');

async function insertEvents(tx: Tx, events: readonly Event[]): Promise<void> {
  await tx.insert(
    'events',
    COLUMNS,
    events.map((event) => [
      event.applicationId,
      event.sequence,
      event.id,
      event.type,
      event.payloadText,
      event.idempotencyKey,
      event.orderingKey,
      event.occurredAt.getTime(),
      event.createdAt.getTime(),
      event.redactedAt?.getTime() ?? null,
      event.traceContext,
    ]),
  );
}

async function saveCounters(tx: Tx, stored: readonly Event[], counters: ReadonlyMap<string, Counter>): Promise<void> {
  for (const applicationId of new Set(stored.map((event) => event.applicationId)))
    await tx.execute(
      "UPDATE counters SET last_sequence = ? WHERE application_id = ? AND log = 'event'",
      [counters.get(applicationId)?.lastSequence, applicationId],
      { later: true },
    );
}

import { AttemptTrigger } from '../attempts/attempt';
import { type Cancel, type Clock, SECOND } from '../clock';
import { DeliveryStatus } from '../deliveries/delivery';
import type { Event } from '../events/event';
import { applicationIdOf, sequenceOf } from '../ids';
import { appendUpdates, type LoggedUpdate } from '../live/update-log';
import type { Log } from '../log';
import type { Database, Tx } from '../store/database';
import type { LiveWebhook } from '../webhooks/directory';
import { Ordering } from '../webhooks/webhook';
import { bodyId, readBodies } from './bodies';
import { bodyOf, derivedBody, type FixedBody, isDerived, STANDARD_BODY } from './body';
import type { LaneRoom } from './dispatcher';
import { type Job, weightOf } from './lane';
import { isOrdered } from './ordered-claim';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly findWebhook: (webhookId: string) => Promise<LiveWebhook | undefined>;
  /** The same, past whatever is kept in memory. */
  readonly findWebhookAnew: (webhookId: string) => Promise<LiveWebhook | undefined>;
  readonly findEvents: (applicationId: string, sequences: readonly number[]) => Promise<Event[]>;
  readonly roomFor: (webhook: LiveWebhook) => LaneRoom;
  /** Whether there is no room for any webhook. */
  readonly isFull: () => boolean;
  readonly accept: (webhook: LiveWebhook, jobs: readonly Job[], hasMore: boolean) => void;
  readonly announce: (updates: ReadonlyMap<string, LoggedUpdate[]>) => void;
  /** Something waits for an ordered webhook: who keeps the order sees to it. */
  readonly usher: (webhookId: string) => void;
}

/** How often the database is asked without any reason to; due retries of this instance and full queues ask sooner. */
const POLL_MS = 1 * SECOND;
const MOST_A_CLAIM = 200;
const WEBHOOKS_A_LOOK = 250;
const MOST_CANCELLED_A_STEP = 500;
/** Behind every webhook's id. */
const END = '~';

interface DueWebhook {
  readonly webhookId: string;
  /** Milliseconds from now, by the database's clock; not above 0: due. */
  readonly dueInMs: number;
}

/**
 * Looks for deliveries that wait in the database, owned by nobody: retries that have come due, what did not fit a queue,
 * what a dead instance left. Claims as many as there is room for, webhook by webhook, so that one with a million waiting
 * stands in nobody's way.
 */
export class Scout {
  readonly #deps: Deps;
  #cancelTimer: Cancel | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;
  /** Webhooks whose queues run low while more waits for them. */
  readonly #asked = new Set<string>();
  #isScanWanted = false;
  /** Where the next scan begins: where the last one ran out of room, so that every webhook has its turn. */
  #scanAfter = '';
  #isStopping = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    this.look();
  }

  /** Looks for whatever is due now, or once more right after the look that is under way. */
  look(): void {
    this.#isScanWanted = true;
    this.#wake();
  }

  /** Brings more for one webhook. */
  refill(webhookId: string): void {
    this.#asked.add(webhookId);
    this.#wake();
  }

  /** Looks in so many milliseconds, unless a look is planned before. */
  lookIn(delayMs: number): void {
    const { clock } = this.#deps;
    const dueAt = clock.monotonic() + delayMs;
    if (this.#isStopping || dueAt >= this.#dueAt) return;
    this.#cancelTimer?.();
    this.#dueAt = dueAt;
    this.#cancelTimer = clock.after(delayMs, () => this.look());
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  #wake(): void {
    if (this.#isStopping) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      this.lookIn(POLL_MS);
    });
  }

  async #run(): Promise<void> {
    while (!this.#isStopping && (this.#asked.size > 0 || this.#isScanWanted)) {
      try {
        await this.#refillAsked();
        if (this.#isScanWanted) await this.#scan();
      } catch (error) {
        this.#deps.log.warn({ error: (error as Error).message }, 'scout.failed'); // the next look is a second away
      }
    }
  }

  async #refillAsked(): Promise<void> {
    const asked = [...this.#asked];
    this.#asked.clear();
    for (const webhookId of asked) {
      const webhook = await this.#deps.findWebhook(webhookId);
      if (webhook?.isSending && webhook.ordering === Ordering.NONE && !this.#isStopping) await this.#bring(webhook);
    }
  }

  async #scan(): Promise<void> {
    this.#isScanWanted = false;
    this.#cancelTimer?.();
    this.#dueAt = Number.POSITIVE_INFINITY;
    const middle = this.#scanAfter;
    this.#scanAfter = '';
    const isThrough = await this.#scanRange(middle, END);
    if (isThrough && middle !== '') await this.#scanRange('', middle);
  }

  /** Visits the webhooks after `from` up to `to`; `false` when the room ran out. */
  async #scanRange(from: string, to: string): Promise<boolean> {
    for (let after = from; ; ) {
      const waiting = await waitingWebhooks(this.#deps.database, after);
      for (const due of waiting) {
        if (due.webhookId > to || this.#isStopping) return true;
        if (this.#deps.isFull()) {
          this.#scanAfter = after;
          return false;
        }
        after = due.webhookId;
        await this.#refillAsked(); // a scan of thousands must not keep busy queues waiting
        await this.#visit(due);
      }
      if (waiting.length < WEBHOOKS_A_LOOK) return true;
    }
  }

  async #visit({ webhookId, dueInMs }: DueWebhook): Promise<void> {
    const { findWebhook, findWebhookAnew, accept } = this.#deps;
    // Another instance may have made it a moment ago.
    const webhook = (await findWebhook(webhookId)) ?? (await findWebhookAnew(webhookId));
    if (webhook === undefined) return this.#cancelAll(webhookId);
    if (!webhook.isSending) return;
    if (dueInMs > 0 && dueInMs < POLL_MS) this.lookIn(dueInMs);
    if (webhook.ordering !== Ordering.NONE) return this.#deps.usher(webhookId);
    if (dueInMs <= 0) return this.#bring(webhook);
    accept(webhook, [], false);
  }

  async #bring(webhook: LiveWebhook): Promise<void> {
    const { roomFor, accept } = this.#deps;
    const room = roomFor(webhook);
    if (room.deliveries === 0) return; // its queue asks when there is more
    const { jobs, hasMore } = await this.#claim(webhook.id, { ...room, deliveries: Math.min(room.deliveries, MOST_A_CLAIM) });
    accept(webhook, jobs, hasMore);
  }

  async #claim(webhookId: string, room: LaneRoom): Promise<{ jobs: Job[]; hasMore: boolean }> {
    const { database, instanceId, findEvents } = this.#deps;
    const { rows, hasMore } = await database.transaction(async (tx) =>
      (await isOrdered(tx, webhookId)) ? { rows: [], hasMore: false } : claim(tx, webhookId, room, instanceId),
    );
    const jobs = await readJobs(database, findEvents, webhookId, rows);
    const redacted = new Set(jobs.filter(({ event }) => event.redactedAt !== null).map(({ deliveryId }) => deliveryId));
    await this.#cancelRedacted(rows.filter(({ id }) => redacted.has(id)));
    return { jobs: jobs.filter(({ deliveryId }) => !redacted.has(deliveryId)), hasMore };
  }

  /** There is nothing left to send of a redacted event, whoever asked for one more attempt. */
  async #cancelRedacted(rows: readonly ClaimedRow[]): Promise<void> {
    if (rows.length === 0) return;
    const { database, clock, announce, instanceId } = this.#deps;
    const ids = rows.map((row) => row.id);
    announce(
      await database.transaction(async (tx) => {
        const { sql, parameters } = tx.dialect.oneOf('id', ids);
        const owned = await tx.query<{ id: string; event_type: string; created_at: number }>(
          `SELECT id, event_type, created_at FROM deliveries WHERE ${sql} AND owner = ? ${tx.dialect.forUpdate}`,
          [...parameters, instanceId],
        );
        return cancelRows(tx, owned, clock.now());
      }),
    );
  }

  /** The webhook is gone: what still waits for it will never be sent, and says so. */
  async #cancelAll(webhookId: string): Promise<void> {
    const { database, clock, announce } = this.#deps;
    for (let cancelled = MOST_CANCELLED_A_STEP; cancelled === MOST_CANCELLED_A_STEP && !this.#isStopping; ) {
      const updates = await database.transaction(async (tx) => {
        const rows = await tx.query<{ id: string; event_type: string; created_at: number }>(
          `SELECT id, event_type, created_at FROM deliveries WHERE owner = '' AND webhook_id = ? LIMIT ${MOST_CANCELLED_A_STEP} ${tx.dialect.skipLocked}`,
          [webhookId],
        );
        cancelled = rows.length;
        return cancelRows(tx, rows, clock.now());
      });
      announce(updates);
    }
  }
}

async function cancelRows(
  tx: Tx,
  rows: readonly { id: string; event_type: string; created_at: number }[],
  at: number,
): Promise<Map<string, LoggedUpdate[]>> {
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

/** Webhooks for which unowned deliveries wait, and when the first of each is due. */
async function waitingWebhooks({ read, dialect }: Database, after: string): Promise<DueWebhook[]> {
  const rows = await read.query<{ webhook_id: string; due_in: number }>(dialect.waitingWebhooks(WEBHOOKS_A_LOOK), [after]);
  return rows.map((row) => ({ webhookId: row.webhook_id, dueInMs: Number(row.due_in) }));
}

export interface ClaimedRow {
  readonly id: string;
  readonly attempt_count: number;
  readonly next_trigger: AttemptTrigger | null;
  readonly created_at: number;
  readonly payload_chars: number;
  readonly body_key: string | null;
}

/** Takes due deliveries over, the first due first; what another instance is claiming at the same moment is left to it. */
export async function claim(
  tx: Tx,
  webhookId: string,
  room: LaneRoom,
  instanceId: string,
): Promise<{ rows: readonly ClaimedRow[]; hasMore: boolean }> {
  const due = await tx.query<ClaimedRow>(
    `SELECT id, attempt_count, next_trigger, created_at, payload_chars, body_key FROM deliveries
      WHERE owner = '' AND webhook_id = ? AND due_at <= ${tx.dialect.now} ORDER BY due_at LIMIT ${room.deliveries} ${tx.dialect.skipLocked}`,
    [webhookId],
  );
  const rows = fitting(due, room.bytes);
  if (rows.length === 0) return { rows, hasMore: false };
  const { sql, parameters } = tx.dialect.oneOf(
    'id',
    rows.map((row) => row.id),
  );
  await tx.execute(`UPDATE deliveries SET owner = ? WHERE ${sql}`, [instanceId, ...parameters]);
  return { rows, hasMore: rows.length < due.length || due.length === room.deliveries };
}

/** The first one, and those after it that fit beside it. */
function fitting(rows: readonly ClaimedRow[], bytes: number): readonly ClaimedRow[] {
  let weight = 0;
  const end = rows.findIndex((row, index) => {
    weight += weightOf(Number(row.payload_chars));
    return index > 0 && weight > bytes;
  });
  return end === -1 ? rows : rows.slice(0, end);
}

/** What was claimed, with its events and fixed bodies. */
export async function readJobs(
  database: Database,
  findEvents: (applicationId: string, sequences: readonly number[]) => Promise<Event[]>,
  webhookId: string,
  rows: readonly ClaimedRow[],
): Promise<Job[]> {
  if (rows.length === 0) return [];
  const events = await findEvents(applicationIdOf(webhookId), [...new Set(rows.map((row) => sequenceOf(row.id)))]);
  const bySequence = new Map(events.map((event) => [event.sequence, event]));
  const shaped = rows.filter((row) => !isDerived(row.body_key ?? STANDARD_BODY)).map((row) => sequenceOf(row.id));
  const bodies = await readBodies(database.read, applicationIdOf(webhookId), shaped);
  const jobs: Job[] = [];
  for (const row of rows) {
    const event = bySequence.get(sequenceOf(row.id));
    if (event) jobs.push(jobOf(row, event, bodies));
  }
  return jobs;
}

function jobOf(row: ClaimedRow, event: Event, bodies: ReadonlyMap<string, string>): Job {
  const attemptCount = Number(row.attempt_count);
  const trigger = row.next_trigger ?? (attemptCount === 0 ? AttemptTrigger.FIRST : AttemptTrigger.AUTOMATIC);
  return { deliveryId: row.id, event, attemptCount, trigger, body: fixedBody(row, event, bodies), createdAt: Number(row.created_at) };
}

function fixedBody({ body_key: key }: ClaimedRow, event: Event, bodies: ReadonlyMap<string, string>): FixedBody | null {
  if (key === null) return null;
  if (isDerived(key)) return { key, bytes: derivedBody(event, key) };
  const stored = bodies.get(bodyId(event.sequence, key));
  return stored === undefined ? { key: STANDARD_BODY, bytes: bodyOf(event) } : { key, bytes: Buffer.from(stored) };
}

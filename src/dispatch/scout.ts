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
import { type Job, weightOf, weightWith } from './lane';
import { orderedAmong } from './ordered-claim';

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
/** Of one webhook. */
const MOST_A_CLAIM = 200;
/** Webhooks whose deliveries are claimed in one transaction: a commit each would take half a minute for 10,000. */
const WEBHOOKS_A_CLAIM = 100;
/** Of all of them; whoever comes last in a claim that is full takes its turn in the next one. */
const MOST_A_TRANSACTION = 1_000;
const MOST_BYTES_A_TRANSACTION = 16 * 1024 * 1024;
const WEBHOOKS_A_LOOK = 300;
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
    const webhooks: LiveWebhook[] = [];
    for (const webhookId of asked) {
      const webhook = await this.#deps.findWebhook(webhookId);
      if (webhook?.isSending && webhook.ordering === Ordering.NONE) webhooks.push(webhook);
    }
    await this.#bring(webhooks);
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
      for (let start = 0; start < waiting.length; start += WEBHOOKS_A_CLAIM) {
        const part = waiting.slice(start, start + WEBHOOKS_A_CLAIM).filter(({ webhookId }) => webhookId <= to);
        const last = part.at(-1);
        if (last === undefined || this.#isStopping) return true;
        if (this.#deps.isFull()) {
          this.#scanAfter = after;
          return false;
        }
        after = last.webhookId;
        await this.#refillAsked(); // a scan of thousands must not keep busy queues waiting
        await this.#visit(part);
      }
      if (waiting.length < WEBHOOKS_A_LOOK) return true;
    }
  }

  async #visit(waiting: readonly DueWebhook[]): Promise<void> {
    await this.#meet(waiting);
    const due: LiveWebhook[] = [];
    for (const one of waiting) {
      const webhook = await this.#dueNow(one);
      if (webhook) due.push(webhook);
    }
    await this.#bring(due);
  }

  /** Has the applications that are not in memory read side by side. */
  async #meet(waiting: readonly DueWebhook[]): Promise<void> {
    const one = new Map(waiting.map(({ webhookId }) => [applicationIdOf(webhookId), webhookId]));
    await Promise.all([...one.values()].map((webhookId) => this.#deps.findWebhook(webhookId)));
  }

  /** Sees to a webhook for which something waits, and returns it when there is something to claim. */
  async #dueNow({ webhookId, dueInMs }: DueWebhook): Promise<LiveWebhook | undefined> {
    const { findWebhook, findWebhookAnew, accept, usher } = this.#deps;
    // Another instance may have made it a moment ago.
    const webhook = (await findWebhook(webhookId)) ?? (await findWebhookAnew(webhookId));
    if (webhook === undefined) await this.#cancelAll(webhookId);
    if (!webhook?.isSending) return undefined;
    if (dueInMs > 0 && dueInMs < POLL_MS) this.lookIn(dueInMs);
    if (webhook.ordering === Ordering.NONE && dueInMs <= 0) return webhook;
    if (webhook.ordering === Ordering.NONE) accept(webhook, [], false);
    else usher(webhookId);
    return undefined;
  }

  /** Claims what is due for these webhooks and hands it over, as far as their queues have room: they ask for more. */
  async #bring(webhooks: readonly LiveWebhook[]): Promise<void> {
    const { roomFor } = this.#deps;
    for (let left = [...webhooks]; left.length > 0 && !this.#isStopping; ) {
      const wanted = left
        .splice(0, WEBHOOKS_A_CLAIM)
        .map((webhook) => ({ webhook, webhookId: webhook.id, room: roomFor(webhook) }))
        .filter(({ room }) => room.deliveries > 0);
      if (wanted.length === 0) continue;
      const reached = await this.#claim(wanted);
      left = [...wanted.slice(reached).map(({ webhook }) => webhook), ...left];
    }
  }

  /** Returns how many of the webhooks had their turn: at least one. */
  async #claim(wanted: readonly (Wanted & { readonly webhook: LiveWebhook })[]): Promise<number> {
    const { database, instanceId, findEvents, accept } = this.#deps;
    const claims = await database.transaction((tx) => claim(tx, wanted, instanceId));
    const rows = claims.flatMap((one) => one.rows);
    const jobs = await readJobs(database, findEvents, rows);
    const redacted = new Set(jobs.filter(({ event }) => event.redactedAt !== null).map(({ deliveryId }) => deliveryId));
    await this.#cancelRedacted(rows.filter(({ id }) => redacted.has(id)));
    const left = new Map(jobs.filter(({ deliveryId }) => !redacted.has(deliveryId)).map((job) => [job.deliveryId, job]));
    for (const [index, { webhook }] of wanted.slice(0, claims.length).entries()) {
      const { rows: own = [], hasMore = false } = claims[index] ?? {};
      accept(
        webhook,
        own.flatMap(({ id }) => left.get(id) ?? []),
        hasMore,
      );
    }
    return claims.length;
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

/** A webhook for which something is due, and how much its queue takes. */
export interface Wanted {
  readonly webhookId: string;
  readonly room: LaneRoom;
}

export interface Claim {
  readonly rows: readonly ClaimedRow[];
  /** More is due, or may be. */
  readonly hasMore: boolean;
}

/**
 * Takes due deliveries over, of each webhook the first due first; what another instance is claiming at the same moment is
 * left to it. Answers for the first webhooks in the list, as many as fit into a transaction of a bounded size.
 */
export async function claim(tx: Tx, wanted: readonly Wanted[], instanceId: string): Promise<readonly Claim[]> {
  const ordered = await orderedAmong(
    tx,
    wanted.map(({ webhookId }) => webhookId),
  );
  const claims: Claim[] = [];
  const taken: ClaimedRow[] = [];
  let bytes = 0;
  for (const { webhookId, room } of wanted) {
    if (taken.length >= MOST_A_TRANSACTION || bytes >= MOST_BYTES_A_TRANSACTION) break;
    const found = ordered.has(webhookId) ? NOTHING : await findDue(tx, webhookId, room);
    claims.push(found);
    for (const row of found.rows) {
      taken.push(row);
      bytes += weightOf(Number(row.payload_chars));
    }
  }
  if (taken.length === 0) return claims;
  const { sql, parameters } = tx.dialect.oneOf(
    'id',
    taken.map((row) => row.id),
  );
  await tx.execute(`UPDATE deliveries SET owner = ? WHERE ${sql}`, [instanceId, ...parameters]);
  return claims;
}

const NOTHING: Claim = { rows: [], hasMore: false };

async function findDue(tx: Tx, webhookId: string, room: LaneRoom): Promise<Claim> {
  const most = Math.min(room.deliveries, MOST_A_CLAIM);
  const due = await tx.query<ClaimedRow>(
    `SELECT id, attempt_count, next_trigger, created_at, payload_chars, body_key FROM deliveries
      WHERE owner = '' AND webhook_id = ? AND due_at <= ${tx.dialect.now} ORDER BY due_at LIMIT ${most} ${tx.dialect.skipLocked}`,
    [webhookId],
  );
  const rows = fitting(due, room.bytes);
  return { rows, hasMore: rows.length < due.length || due.length === most };
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
  rows: readonly ClaimedRow[],
): Promise<Job[]> {
  const byApplication = new Map<string, ClaimedRow[]>();
  for (const row of rows) {
    const applicationId = applicationIdOf(row.id);
    const own = byApplication.get(applicationId);
    if (own) own.push(row);
    else byApplication.set(applicationId, [row]);
  }
  const jobs = await Promise.all(
    [...byApplication].map(async ([applicationId, own]) => {
      const events = await findEvents(applicationId, [...new Set(own.map((row) => sequenceOf(row.id)))]);
      const bySequence = new Map(events.map((event) => [event.sequence, event]));
      const shaped = own.filter((row) => !isDerived(row.body_key ?? STANDARD_BODY)).map((row) => sequenceOf(row.id));
      const bodies = await readBodies(database.read, applicationId, shaped);
      return own.flatMap((row) => {
        const event = bySequence.get(sequenceOf(row.id));
        return event ? [jobOf(row, event, bodies)] : [];
      });
    }),
  );
  return jobs.flat();
}

function jobOf(row: ClaimedRow, event: Event, bodies: ReadonlyMap<string, string>): Job {
  const attemptCount = Number(row.attempt_count);
  const trigger = row.next_trigger ?? (attemptCount === 0 ? AttemptTrigger.FIRST : AttemptTrigger.AUTOMATIC);
  const body = fixedBody(row, event, bodies);
  const weight = weightWith(body, event.payloadText.length);
  return { deliveryId: row.id, event, attemptCount, trigger, body, createdAt: Number(row.created_at), weight };
}

function fixedBody({ body_key: key }: ClaimedRow, event: Event, bodies: ReadonlyMap<string, string>): FixedBody | null {
  if (key === null) return null;
  if (isDerived(key)) return { key, bytes: derivedBody(event, key) };
  const stored = bodies.get(bodyId(event.sequence, key));
  return stored === undefined ? { key: STANDARD_BODY, bytes: bodyOf(event) } : { key, bytes: Buffer.from(stored) };
}

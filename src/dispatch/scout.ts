import { AttemptTrigger } from '../attempts/attempt';
import { type Cancel, type Clock, SECOND } from '../clock';
import { DeliveryStatus } from '../deliveries/delivery';
import type { Event } from '../events/event';
import { applicationIdOf, sequenceOf } from '../ids';
import { appendUpdates, type LoggedUpdate } from '../live/update-log';
import type { Log } from '../log';
import type { Database, Tx } from '../store/database';
import type { LiveWebhook } from '../webhooks/directory';
import { WebhookStatus } from '../webhooks/webhook';
import type { Job } from './lane';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly findWebhook: (webhookId: string) => Promise<LiveWebhook | undefined>;
  readonly findEvents: (applicationId: string, sequences: readonly number[]) => Promise<Event[]>;
  readonly roomFor: (webhook: LiveWebhook) => number;
  readonly accept: (webhook: LiveWebhook, jobs: readonly Job[], hasMore: boolean) => void;
  readonly announce: (updates: ReadonlyMap<string, LoggedUpdate[]>) => void;
}

/** How often the database is asked without any reason to; due retries of this instance and full queues ask sooner. */
const POLL_MS = 1 * SECOND;
const MOST_A_CLAIM = 200;
/** Claiming a handful for every handful sent would cost a transaction each. */
const LEAST_ROOM = 100;
const WEBHOOKS_A_LOOK = 250;
const MOST_CANCELLED_A_STEP = 500;

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
  #again = false;
  #isStopping = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    this.look();
  }

  /** Looks now, or once more right after the look that is under way. */
  look(): void {
    if (this.#isStopping) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#cancelTimer?.();
    this.#dueAt = Number.POSITIVE_INFINITY;
    this.#running = this.#round().finally(() => {
      this.#running = undefined;
      if (this.#again) {
        this.#again = false;
        this.look();
      } else this.lookIn(POLL_MS);
    });
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

  async #round(): Promise<void> {
    try {
      for (let after = ''; !this.#isStopping; ) {
        const waiting = await waitingWebhooks(this.#deps.database, after);
        for (const due of waiting) await this.#visit(due);
        if (waiting.length < WEBHOOKS_A_LOOK) return;
        after = waiting.at(-1)?.webhookId ?? '';
      }
    } catch (error) {
      this.#deps.log.warn({ error: (error as Error).message }, 'scout.failed'); // the next look is a second away
    }
  }

  async #visit({ webhookId, dueInMs }: DueWebhook): Promise<void> {
    const webhook = await this.#deps.findWebhook(webhookId);
    if (webhook === undefined) return this.#cancelAll(webhookId);
    if (webhook.status !== WebhookStatus.ACTIVE) return;
    if (dueInMs > 0) {
      if (dueInMs < POLL_MS) this.lookIn(dueInMs);
      return;
    }
    const room = Math.min(this.#deps.roomFor(webhook), MOST_A_CLAIM);
    if (room < LEAST_ROOM) return; // its queue asks when there is more
    const { jobs, hasMore } = await this.#claim(webhookId, room);
    this.#deps.accept(webhook, jobs, hasMore);
  }

  async #claim(webhookId: string, most: number): Promise<{ jobs: Job[]; hasMore: boolean }> {
    const { database, instanceId, findEvents } = this.#deps;
    const rows = await database.transaction((tx) => claim(tx, webhookId, most, instanceId));
    const events = await findEvents(applicationIdOf(webhookId), [...new Set(rows.map((row) => sequenceOf(row.id)))]);
    const bySequence = new Map(events.map((event) => [event.sequence, event]));
    const jobs: Job[] = [];
    for (const row of rows) {
      const event = bySequence.get(sequenceOf(row.id));
      if (event) jobs.push(jobOf(row, event));
    }
    return { jobs, hasMore: rows.length === most };
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
        if (rows.length === 0) return new Map<string, LoggedUpdate[]>();
        const { sql, parameters } = tx.dialect.oneOf(
          'id',
          rows.map((row) => row.id),
        );
        const at = clock.now();
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
      });
      announce(updates);
    }
  }
}

/**
 * Webhooks for which unowned deliveries wait, and when the first of each is due. Steps from webhook to webhook along the
 * index, one probe each, however many deliveries wait.
 */
async function waitingWebhooks(database: Database, after: string): Promise<DueWebhook[]> {
  const { read, dialect } = database;
  const rows = await read.query<{ webhook_id: string; due_in: number }>(
    `WITH RECURSIVE waiting (webhook_id, n) AS (
       SELECT MIN(webhook_id), 1 FROM deliveries WHERE owner = '' AND webhook_id > ?
       UNION ALL
       SELECT (SELECT MIN(d.webhook_id) FROM deliveries d WHERE d.owner = '' AND d.webhook_id > waiting.webhook_id), n + 1
         FROM waiting WHERE waiting.webhook_id IS NOT NULL AND n < ${WEBHOOKS_A_LOOK}
     )
     SELECT webhook_id, (SELECT MIN(d.due_at) FROM deliveries d WHERE d.owner = '' AND d.webhook_id = waiting.webhook_id) - ${dialect.now} AS due_in
       FROM waiting WHERE webhook_id IS NOT NULL`,
    [after],
  );
  return rows.map((row) => ({ webhookId: row.webhook_id, dueInMs: Number(row.due_in) }));
}

interface ClaimedRow {
  readonly id: string;
  readonly attempt_count: number;
  readonly next_trigger: AttemptTrigger | null;
  readonly created_at: number;
}

/** Takes due deliveries over; what another instance is claiming at the same moment is left to it. */
async function claim(tx: Tx, webhookId: string, most: number, instanceId: string): Promise<ClaimedRow[]> {
  const rows = await tx.query<ClaimedRow>(
    `SELECT id, attempt_count, next_trigger, created_at FROM deliveries
      WHERE owner = '' AND webhook_id = ? AND due_at <= ${tx.dialect.now} ORDER BY due_at LIMIT ${most} ${tx.dialect.skipLocked}`,
    [webhookId],
  );
  if (rows.length === 0) return rows;
  const { sql, parameters } = tx.dialect.oneOf(
    'id',
    rows.map((row) => row.id),
  );
  await tx.execute(`UPDATE deliveries SET owner = ? WHERE ${sql}`, [instanceId, ...parameters]);
  return rows;
}

function jobOf(row: ClaimedRow, event: Event): Job {
  const attemptCount = Number(row.attempt_count);
  const trigger = row.next_trigger ?? (attemptCount === 0 ? AttemptTrigger.FIRST : AttemptTrigger.AUTOMATIC);
  return { deliveryId: row.id, event, attemptCount, trigger, createdAt: Number(row.created_at) };
}

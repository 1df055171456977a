import { type Clock, SECOND } from '../../clock';
import { type Cancellable, cancelRows } from '../../deliveries/cancel-rows';
import type { Facts } from '../../facts';
import { applicationIdOf } from '../../ids';
import type { Log } from '../../log';
import type { Database } from '../../store/database';
import { WakeableLoop } from '../../wakeable-loop';
import { Ordering } from '../../webhooks/webhook';
import type { LiveWebhook, WebhookCache } from '../../webhooks/webhook-cache';
import type { Dispatcher } from '../dispatcher';
import { claimDue, type Wanted } from './claim-due';
import type { JobLoader } from './load-jobs';
import type { OrderedClaimer } from './ordered-claimer';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly webhooks: Pick<WebhookCache, 'find' | 'fetch'>;
  readonly loader: Pick<JobLoader, 'load'>;
  readonly dispatcher: Pick<Dispatcher, 'roomFor' | 'isFull' | 'openClaim' | 'acceptClaimed'>;
  readonly orderedClaimer: Pick<OrderedClaimer, 'look'>;
  readonly facts: Facts;
}

/** How often the database is asked without any reason to; due retries of this instance and low queues ask sooner. */
const POLL_MS = 1 * SECOND;
/** Webhooks whose deliveries are claimed in one transaction: a commit each would take half a minute for 10,000. */
const WEBHOOKS_PER_CLAIM = 100;
const WEBHOOKS_PER_LOOK = 300;
const MAX_CANCELLED_PER_STEP = 500;
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
export class Poller {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;
  /** Webhooks whose queues run low while more waits for them. */
  readonly #asked = new Set<string>();
  /** Where the next scan begins: where the last one ran out of room, so that every webhook has its turn. */
  #scanAfter = '';

  constructor(deps: Deps) {
    this.#deps = deps;
    const { clock, log, facts } = deps;
    this.#loop = new WakeableLoop({
      clock,
      everyMs: POLL_MS,
      round: (isTimely) => this.#round(isTimely),
      failed: ({ message }) => log.warn({ error: message }, 'poll.failed'), // the next look is a second away
    });
    facts.changedElsewhere.on(({ topic }) => void ((topic === 'deliveries' || topic === 'everything') && this.#loop.wake()));
    facts.deliveriesDue.on(({ webhookId }) => this.#look(webhookId));
    facts.roomFreed.on(({ webhook }) => {
      if (webhook?.ordering !== Ordering.STRICT && webhook?.ordering !== Ordering.BY_KEY) this.#look(webhook?.id);
    });
    facts.deliveryScheduled.on(({ delayMs }) => this.#loop.wakeIn(delayMs));
  }

  start(): void {
    this.#loop.wake();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** Looks for what is due, of one webhook or of all of them. */
  #look(webhookId: string | undefined): void {
    if (webhookId === undefined) this.#loop.wake();
    else {
      this.#asked.add(webhookId);
      this.#loop.ask();
    }
  }

  async #round(isTimely: boolean): Promise<void> {
    await this.#refillAsked();
    if (isTimely) await this.#scan();
  }

  async #refillAsked(): Promise<void> {
    const asked = [...this.#asked];
    this.#asked.clear();
    const webhooks: LiveWebhook[] = [];
    for (const webhookId of asked) {
      const webhook = await this.#deps.webhooks.find(webhookId);
      if (!webhook?.isSending) continue;
      if (webhook.ordering === Ordering.NONE) webhooks.push(webhook);
      else this.#deps.orderedClaimer.look(webhookId);
    }
    await this.#bring(webhooks);
  }

  async #scan(): Promise<void> {
    const middle = this.#scanAfter;
    this.#scanAfter = '';
    const isThrough = await this.#scanRange(middle, END);
    if (isThrough && middle !== '') await this.#scanRange('', middle);
  }

  /** Visits the webhooks after `from` up to `to`; `false` when the room ran out. */
  async #scanRange(from: string, to: string): Promise<boolean> {
    for (let after = from; ; ) {
      const waiting = await waitingWebhooks(this.#deps.database, after);
      for (let start = 0; start < waiting.length; start += WEBHOOKS_PER_CLAIM) {
        const part = waiting.slice(start, start + WEBHOOKS_PER_CLAIM).filter(({ webhookId }) => webhookId <= to);
        const last = part.at(-1);
        if (last === undefined || this.#loop.isStopping) return true;
        if (this.#deps.dispatcher.isFull) {
          this.#scanAfter = after;
          return false;
        }
        after = last.webhookId;
        await this.#refillAsked(); // a scan of thousands must not keep busy queues waiting
        await this.#visit(part);
      }
      if (waiting.length < WEBHOOKS_PER_LOOK) return true;
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
    await Promise.all([...one.values()].map((webhookId) => this.#deps.webhooks.find(webhookId)));
  }

  /** Sees to a webhook for which something waits, and returns it when there is something to claim. */
  async #dueNow({ webhookId, dueInMs }: DueWebhook): Promise<LiveWebhook | undefined> {
    const { webhooks, dispatcher, orderedClaimer } = this.#deps;
    // Another instance may have made it a moment ago.
    const webhook = (await webhooks.find(webhookId)) ?? (await webhooks.fetch(webhookId));
    if (webhook === undefined) await this.#cancelAll(webhookId);
    if (!webhook?.isSending) return undefined;
    if (dueInMs > 0 && dueInMs < POLL_MS) this.#loop.wakeIn(dueInMs);
    if (webhook.ordering !== Ordering.NONE) orderedClaimer.look(webhookId);
    else if (dueInMs <= 0) return webhook;
    else dispatcher.acceptClaimed(webhook, [], false);
    return undefined;
  }

  /** Claims what is due for these webhooks and hands it over, as far as their queues have room: they ask for more. */
  async #bring(webhooks: readonly LiveWebhook[]): Promise<void> {
    const { dispatcher } = this.#deps;
    for (let left = [...webhooks]; left.length > 0 && !this.#loop.isStopping; ) {
      const wanted = left
        .splice(0, WEBHOOKS_PER_CLAIM)
        .map((webhook) => ({ webhook, webhookId: webhook.id, room: dispatcher.roomFor(webhook) }))
        .filter(({ room }) => room.deliveries > 0);
      if (wanted.length === 0) continue;
      const reached = await this.#claim(wanted);
      left = [...wanted.slice(reached).map(({ webhook }) => webhook), ...left];
    }
  }

  /** Returns how many of the webhooks had their turn: at least one. */
  async #claim(wanted: readonly (Wanted & { readonly webhook: LiveWebhook })[]): Promise<number> {
    const { database, instanceId, loader, dispatcher } = this.#deps;
    const open = dispatcher.openClaim();
    try {
      const claims = await database.transaction((tx) => claimDue(tx, wanted, instanceId));
      const loaded = await loader.load(claims.flatMap(({ rows }) => rows));
      const jobs = new Map(loaded.filter(open.keeps).map((job) => [job.deliveryId, job]));
      for (const [index, { webhook }] of wanted.slice(0, claims.length).entries()) {
        const { rows = [], hasMore = false } = claims[index] ?? {};
        dispatcher.acceptClaimed(
          webhook,
          rows.flatMap(({ id }) => jobs.get(id) ?? []),
          hasMore,
        );
      }
      return claims.length;
    } finally {
      open.close();
    }
  }

  /** The webhook is gone: what still waits for it will never be sent, and says so. */
  async #cancelAll(webhookId: string): Promise<void> {
    const { database, clock, facts } = this.#deps;
    for (let cancelled = MAX_CANCELLED_PER_STEP; cancelled === MAX_CANCELLED_PER_STEP && !this.#loop.isStopping; ) {
      const updates = await database.transaction(async (tx) => {
        const rows = await tx.query<Cancellable>(
          `SELECT id, event_type, created_at FROM deliveries WHERE owner = '' AND webhook_id = ? LIMIT ${MAX_CANCELLED_PER_STEP} ${tx.dialect.skipLocked}`,
          [webhookId],
        );
        cancelled = rows.length;
        return cancelRows(tx, rows, clock.now());
      });
      facts.updatesLogged.emit(updates);
    }
  }
}

/** Webhooks for which unowned deliveries wait, and when the first of each is due. */
async function waitingWebhooks({ read, dialect }: Database, after: string): Promise<DueWebhook[]> {
  const rows = await read.query<{ webhook_id: string; due_in: number }>(dialect.waitingWebhooks(WEBHOOKS_PER_LOOK), [after]);
  return rows.map((row) => ({ webhookId: row.webhook_id, dueInMs: Number(row.due_in) }));
}

import { LRUCache } from 'lru-cache';
import ms from 'ms';
import { type Clock, SECOND } from '../clock';
import { aboutWebhook, reasonOf } from '../delivery/completion/operational-event';
import { isGone, type Verdict } from '../delivery/completion/settle';
import type { CircuitChange } from '../delivery/facts';
import type { Exchange } from '../delivery/transport/exchange';
import type { OperationalEvents } from '../events/operational-events';
import type { Facts } from '../facts';
import type { Log } from '../log';
import { isOwnEventType } from '../matching/event-type';
import type { Database, Tx } from '../store/database';
import { WakeableLoop } from '../wakeable-loop';
import { closeCircuit, forgetHealth, insertHealth, readFailing, readHealth, replaceHealth } from '../webhooks/health';
import type { LiveWebhook } from '../webhooks/webhook-cache';
import type { Disabling, Webhooks } from '../webhooks/webhooks';
import { UpdatesOfHealth } from './updates-of-health';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly operationalEvents: Pick<OperationalEvents, 'transaction'>;
  /** How long a webhook may fail before it is disabled; milliseconds. */
  readonly disableAfterMs: number;
  readonly webhooks: Pick<Webhooks, 'disable'>;
  readonly facts: Facts;
}

/** Failures of a webhook with no success between them, as far as this instance has seen. */
interface Streak {
  readonly version: number;
  readonly failures: number;
  /** When the first of them ended; milliseconds since the epoch. */
  readonly since: number;
}

/** A webhook fails after so many failures in a row, or after as many as one delivery has attempts. */
const FAILING_AFTER = 3;
/** Which webhooks fail is read whole, and after an outage that may be all of them. */
const READ_MS = 5 * SECOND;
const MAX_STREAKS = 50_000;

/**
 * Notices when webhooks begin to fail, recover, or have failed for too long. The database is asked only when one of
 * them turns: its row decides which instance was first, and that one tells the world. Deliveries of the hub's own
 * events change what is stored but tell nobody, so that no event is about itself.
 */
export class HealthMonitor {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;
  /** Of webhooks that have failed since their last success here; the longest untouched is forgotten first. */
  readonly #streaks = new LRUCache<string, Streak>({ max: MAX_STREAKS });
  /** Since when; what is stored, as far as it is known here. */
  #failing = new Map<string, number>();
  readonly #disabling = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: Deps) {
    this.#deps = deps;
    const { facts, clock, log } = deps;
    this.#loop = new WakeableLoop({
      clock,
      everyMs: READ_MS,
      round: () => this.#inTurn(() => this.#read()),
      failed: ({ message }) => log.warn({ error: message }, 'health.failed'),
    });
    facts.attemptsSettled.on(({ verdicts }) => this.#attempted(verdicts));
    facts.circuitChanged.on(({ webhook, change }) => this.#circuitChanged(webhook, change));
    facts.webhooksEdited.on(() => this.#background(() => this.#read()));
  }

  async start(): Promise<void> {
    await this.#inTurn(() => this.#read());
    if (this.#deps.database.dialect.supportsManyInstances) this.#loop.start();
  }

  /** Resolves when everything noticed so far is written, or could not be. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.#turn;
  }

  /** Attempts that are written down. */
  #attempted(verdicts: readonly Verdict[]): void {
    for (const verdict of verdicts) {
      if (verdict.finished.exchange.outcome === 'SUCCESS') this.#succeeded(verdict);
      else this.#failed(verdict);
    }
  }

  #circuitChanged(webhook: LiveWebhook, { isOpen, exchange, at, eventType }: CircuitChange): void {
    const isQuiet = isOwnEventType(eventType);
    if (isOpen) {
      const since = this.#failing.get(webhook.id) ?? this.#streaks.get(webhook.id)?.since ?? at;
      this.#background(() => this.#markFailing(webhook, { since, exchange, isCircuitOpen: true, isQuiet }));
    } else this.#background(() => this.#deps.database.transaction((tx) => closeCircuit(tx, webhook.id)));
  }

  async #read(): Promise<void> {
    const failing = await readFailing(this.#deps.database.read);
    // Who recovered by another instance starts over here, too.
    for (const webhookId of this.#failing.keys()) if (!failing.has(webhookId)) this.#streaks.delete(webhookId);
    this.#failing = failing;
  }

  #succeeded({ finished: { webhook, job }, endedAt }: Verdict): void {
    this.#streaks.delete(webhook.id);
    if (!this.#failing.delete(webhook.id)) return;
    this.#background(() => this.#recover(webhook, endedAt, isOwnEventType(job.event.type)));
  }

  #failed(verdict: Verdict): void {
    const { webhook, exchange, job } = verdict.finished;
    const isQuiet = isOwnEventType(job.event.type);
    const streak = this.#lengthen(webhook, verdict.endedAt);
    const since = this.#failing.get(webhook.id);
    if (isGone(verdict.finished)) {
      this.#disable(webhook, { reason: 'The receiver answered 410 Gone', failingSince: since ?? streak.since }, { isGone: true });
    } else if (since === undefined) {
      if (streak.failures < Math.min(FAILING_AFTER, webhook.retryDelaysMs.length + 1)) return;
      this.#failing.set(webhook.id, streak.since);
      this.#background(() => this.#markFailing(webhook, { since: streak.since, exchange, isCircuitOpen: false, isQuiet }));
    } else if (verdict.endedAt - since >= this.#deps.disableAfterMs) {
      const span = ms(verdict.endedAt - since, { long: true });
      this.#disable(
        webhook,
        { reason: `No attempt has succeeded for ${span} (${reasonOf(exchange)})`, failingSince: since },
        { isGone: false },
      );
    }
  }

  #lengthen({ id, version }: LiveWebhook, endedAt: number): Streak {
    const known = this.#streaks.get(id);
    const streak = known?.version === version ? { ...known, failures: known.failures + 1 } : { version, failures: 1, since: endedAt };
    this.#streaks.set(id, streak);
    return streak;
  }

  async #markFailing(
    webhook: LiveWebhook,
    { since, exchange, isCircuitOpen, isQuiet }: { since: number; exchange: Exchange; isCircuitOpen: boolean; isQuiet: boolean },
  ): Promise<void> {
    const { operationalEvents, log } = this.#deps;
    const reason = reasonOf(exchange);
    const failing = aboutWebhook(webhook, 'livehook.webhook.failing', { reason, failingSince: timeOf(since) });
    const updates = new UpdatesOfHealth(this.#deps);
    const isNew = await operationalEvents.transaction([webhook.applicationId], async (tx, tell) => {
      if (!(await isCurrent(tx, webhook))) return false;
      await updates.before(tx, webhook);
      const [known] = await readHealth(tx, [webhook.id]);
      if (known === undefined) {
        const isFirst = await insertHealth(tx, { webhookId: webhook.id, failingSince: since, disabledAt: null, isCircuitOpen, reason });
        if (isFirst && !isQuiet) tell(failing);
        await updates.after(tx, webhook);
        return isFirst;
      }
      if (isCircuitOpen) await replaceHealth(tx, { ...known, isCircuitOpen, reason });
      await updates.after(tx, webhook);
      return false;
    });
    updates.tell();
    if (!isNew) return;
    this.#failing.set(webhook.id, since);
    log.info({ webhookId: webhook.id, reason }, 'webhook.failing');
  }

  async #recover(webhook: LiveWebhook, recoveredAt: number, isQuiet: boolean): Promise<void> {
    const { operationalEvents, log } = this.#deps;
    const updates = new UpdatesOfHealth(this.#deps);
    const hasRecovered = await operationalEvents.transaction([webhook.applicationId], async (tx, tell) => {
      const [known] = await readHealth(tx, [webhook.id]);
      if (known === undefined || known.disabledAt !== null || !(await isCurrent(tx, webhook))) return false;
      await updates.before(tx, webhook);
      if (!(await forgetHealth(tx, webhook.id))) return false;
      await updates.after(tx, webhook);
      const times = { failingSince: timeOf(known.failingSince), recoveredAt: timeOf(recoveredAt) };
      if (!isQuiet) tell(aboutWebhook(webhook, 'livehook.webhook.recovered', times));
      return true;
    });
    updates.tell();
    if (hasRecovered) log.info({ webhookId: webhook.id }, 'webhook.recovered');
  }

  #disable(webhook: LiveWebhook, why: Disabling, { isGone }: { isGone: boolean }): void {
    if (this.#disabling.has(webhook.id)) return;
    this.#disabling.add(webhook.id);
    this.#background(async () => {
      try {
        if (!isGone && !(await this.#isOverdue(webhook.id))) return;
        const { reason } = why;
        const times = { failingSince: timeOf(why.failingSince), disabledAt: timeOf(this.#deps.clock.now()) };
        const disabled = aboutWebhook(webhook, 'livehook.webhook.disabled', { reason, ...times });
        if (!(await this.#deps.webhooks.disable(webhook.id, webhook.version, why, disabled))) return;
        this.#failing.delete(webhook.id);
        this.#streaks.delete(webhook.id);
        this.#deps.log.warn({ webhookId: webhook.id, reason: why.reason }, 'webhook.disabled');
      } finally {
        this.#disabling.delete(webhook.id);
      }
    });
  }

  /** Asks the database: somebody may have given the webhook a fresh start a moment ago, at another instance. */
  async #isOverdue(webhookId: string): Promise<boolean> {
    const { database, clock, disableAfterMs } = this.#deps;
    const [known] = await readHealth(database.read, [webhookId]);
    return known !== undefined && clock.now() - known.failingSince >= disableAfterMs;
  }

  #background(work: () => Promise<void>): void {
    this.#inTurn(work).catch((error: Error) => this.#deps.log.warn({ error: error.message }, 'health.not_stored')); // the next failure or success tries again
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => {});
    return mine;
  }
}

/** Whether an attempt says anything of the webhook as it is now. */
async function isCurrent(tx: Tx, { id, version }: LiveWebhook): Promise<boolean> {
  const rows = await tx.query(`SELECT id FROM webhooks WHERE id = ? AND version = ? AND status <> 'DISABLED' AND deleted_at IS NULL`, [
    id,
    version,
  ]);
  return rows.length > 0;
}

const timeOf = (at: number) => new Date(at).toISOString();

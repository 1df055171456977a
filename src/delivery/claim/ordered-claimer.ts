import { type Cancel, type Clock, SECOND } from '../../clock';
import { DeliveryStatus } from '../../deliveries/delivery';
import type { Facts } from '../../facts';
import { webhookIdOf } from '../../ids';
import type { Log } from '../../log';
import type { Database } from '../../store/database';
import { Ordering } from '../../webhooks/webhook';
import type { LiveWebhook, Snapshot, WebhookCache } from '../../webhooks/webhook-cache';
import type { Verdict } from '../completion/settle';
import type { Dispatcher, OpenClaim } from '../dispatcher';
import type { DeliveriesLeft } from '../facts';
import type { Membership } from '../instances/membership';
import type { Job } from '../job';
import { keyOf } from '../queue/ordered-queue';
import { before, claimInOrder, keepFirst, type Look, type View } from './claim-in-order';
import type { JobLoader } from './load-jobs';
import type { Releaser } from './releaser';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly webhooks: Pick<WebhookCache, 'find' | 'fetch'>;
  readonly loader: Pick<JobLoader, 'load'>;
  readonly dispatcher: Pick<Dispatcher, 'openClaim' | 'acceptClaimed' | 'spaceFor' | 'orderedQueueOf' | 'release' | 'isFull'>;
  readonly releaser: Pick<Releaser, 'release' | 'released'>;
  readonly membership: Pick<Membership, 'isLeaseHeld'>;
  readonly facts: Facts;
}

const MAX_LOOKS_AT_ONCE = 4;
/** How soon to look again while others still send deliveries of a webhook. */
const UNCLEAR_MS = 100;
const RETRY_MS = 1 * SECOND;
/** A webhook that had nothing to send for a round is anybody's again. */
const ROUND_MS = 2 * SECOND;
/** After so many rounds a look begins at the first delivery again, should one have been passed over that ought not. */
const ROUNDS_UNTIL_REWIND = 15;

/** What is known of an ordered webhook while it is this instance's. */
interface Tenure {
  webhook: LiveWebhook;
  /** Everything up to this id was taken or is blocked. */
  position: string;
  /** Of each blocked key the delivery that blocks it. */
  heads: Map<string, string>;
  /** Deliveries that were withdrawn and may still be in nobody's memory: they block their keys until they are moved on. */
  readonly withdrawn: Set<string>;
  /** Of the blocking ones what came up since the look under way began. */
  readonly fresh: Map<string, string>;
  /** The first delivery since then that must be looked at again. */
  rewoundTo: string | null;
  /** Nobody else has deliveries of it. */
  isClear: boolean;
  /** Nothing happened since the last round. */
  isQuiet: boolean;
  rounds: number;
  isOver: boolean;
}

/**
 * Claims deliveries of ordered webhooks, in sequence order. Such a webhook is one instance's as a whole, as long as it
 * has something to send; of a blocked key the instance knows no more than which delivery blocks it.
 */
export class OrderedClaimer {
  readonly #deps: Deps;
  readonly #tenures = new Map<string, Tenure>();
  /** Webhooks to look at, in the order they came to it. */
  readonly #wanted = new Set<string>();
  readonly #looking = new Set<string>();
  /** Webhooks on their way to being anybody's. */
  readonly #ending = new Map<string, Promise<void>>();
  #idle: (() => void)[] = [];
  #cancelTimer: Cancel | undefined;
  #isStopping = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { facts } = deps;
    facts.attemptsSettled.on(({ released }) => this.#settled(released));
    facts.deliveriesLeft.on((left) => this.#left(left));
    facts.releaseFailed.on(({ deliveryIds }) => this.#endAll(deliveryIds.map(webhookIdOf)));
    facts.roomFreed.on(({ webhook }) => this.#roomFreed(webhook));
    facts.webhooksChanged.on(({ applicationId, snapshot }) => this.#webhooksChanged(applicationId, snapshot));
    facts.leaseRegained.on(() => this.#endAll([...this.#tenures.keys()]));
  }

  start(): void {
    this.#cancelTimer = this.#deps.clock.after(ROUND_MS, () => {
      for (const tenure of [...this.#tenures.values()]) this.#tidy(tenure);
      if (!this.#isStopping) this.start();
    });
  }

  /** Claims nothing more, and ends the looks under way. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelTimer?.();
    this.#wanted.clear();
    while (this.#looking.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Makes every webhook anybody's, once what waited of it is. */
  async release(): Promise<void> {
    this.#endAll([...this.#tenures.keys()]);
    await Promise.all(this.#ending.values());
  }

  /** Looks for what a webhook may send now, or once more after the look that is under way. */
  look(webhookId: string): void {
    if (this.#isStopping) return;
    this.#wanted.add(webhookId);
    this.#goOn();
  }

  #roomFreed(webhook: LiveWebhook | undefined): void {
    if (webhook === undefined) this.#goOn();
    else if (webhook.ordering !== Ordering.NONE) this.look(webhook.id);
  }

  /** Attempts are written down: what stands behind them may go, or is blocked. */
  #settled(verdicts: readonly Verdict[]): void {
    if (this.#tenures.size === 0) return;
    for (const { finished, status } of verdicts) {
      const tenure = this.#tenures.get(finished.webhook.id);
      if (tenure === undefined) continue;
      tenure.isQuiet = false;
      const { job } = finished;
      const key = keyOf(tenure.webhook.ordering, job.event.orderingKey);
      if (status === DeliveryStatus.RETRYING) this.#block(tenure, job.deliveryId, key);
      else if (key !== null && job.attemptCount > 0) this.#reopen(tenure, job.deliveryId);
    }
  }

  /** What left unsent: whatever stands behind it must not overtake it, unless it is not to be sent at all. */
  #left({ webhook, jobs, how }: DeliveriesLeft): void {
    const tenure = this.#tenures.get(webhook.id);
    if (tenure === undefined) return;
    tenure.isQuiet = false;
    switch (how) {
      case 'FORGOTTEN':
        for (const { deliveryId, attemptCount } of jobs) if (attemptCount > 0) this.#reopen(tenure, deliveryId);
        return;
      case 'WITHDRAWN':
        for (const job of jobs) this.#withdrawn(tenure, job);
        return;
      case 'RELEASED':
        for (const { deliveryId } of jobs) rewind(tenure, deliveryId);
        this.look(webhook.id);
    }
  }

  /** Until it is known what comes of it, it blocks its key. */
  #withdrawn(tenure: Tenure, { deliveryId, event }: Job): void {
    const { ordering, id } = tenure.webhook;
    const key = keyOf(ordering, event.orderingKey);
    tenure.withdrawn.add(deliveryId);
    this.#block(tenure, deliveryId, key);
    if (key !== null) this.#deps.dispatcher.release(id, (job) => keyOf(ordering, job.event.orderingKey) === key);
  }

  #webhooksChanged(applicationId: string, { byId }: Snapshot): void {
    for (const [webhookId, tenure] of [...this.#tenures]) {
      if (tenure.webhook.applicationId !== applicationId) continue;
      const webhook = byId.get(webhookId);
      if (webhook?.isSending && webhook.ordering === tenure.webhook.ordering) tenure.webhook = webhook;
      else this.#end(tenure);
    }
  }

  #goOn(): void {
    if (this.#isStopping) return;
    for (const webhookId of this.#wanted) {
      if (this.#looking.size >= MAX_LOOKS_AT_ONCE || this.#deps.dispatcher.isFull) return;
      if (this.#looking.has(webhookId)) continue;
      this.#wanted.delete(webhookId);
      this.#looking.add(webhookId);
      void this.#lookAt(webhookId).finally(() => {
        this.#looking.delete(webhookId);
        this.#goOn();
        if (this.#looking.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
      });
    }
  }

  async #lookAt(webhookId: string): Promise<void> {
    const { log, facts, membership, webhooks, releaser } = this.#deps;
    try {
      await releaser.released(webhookId);
      await this.#ending.get(webhookId);
      const webhook = await webhooks.find(webhookId);
      if (!membership.isLeaseHeld() || !webhook?.isSending || webhook.ordering === Ordering.NONE) return;
      const tenure = this.#tenureOf(webhook);
      tenure.fresh.clear();
      tenure.rewoundTo = null;
      tenure.isQuiet = false;
      await this.#claim(tenure);
    } catch (error) {
      log.warn({ webhookId, error: (error as Error).message }, 'claim.failed');
      this.#endAll([webhookId]); // the commit may have been made all the same
      facts.deliveryScheduled.emit({ delayMs: RETRY_MS });
    }
  }

  async #claim(tenure: Tenure): Promise<void> {
    const { database, dispatcher } = this.#deps;
    const open = dispatcher.openClaim();
    try {
      const look = this.#lookOf(tenure);
      const view = await database.transaction((tx) => claimInOrder(tx, look));
      if (view.state === 'open') for (const id of look.withdrawn) if (!view.withdrawn.has(id)) tenure.withdrawn.delete(id);
      await this.#follow(tenure, view, open);
    } finally {
      open.close();
    }
  }

  #lookOf({ webhook, position, heads, withdrawn, isClear }: Tenure): Look {
    const { dispatcher, instanceId } = this.#deps;
    const queue = dispatcher.orderedQueueOf(webhook);
    const { deliveries, bytes } = dispatcher.spaceFor(webhook);
    return {
      webhookId: webhook.id,
      ordering: webhook.ordering,
      instanceId,
      position,
      heads: new Map(heads),
      withdrawn: new Set(withdrawn),
      isClear,
      isKnown: (id) => queue?.has(id) === true,
      probing: queue?.probing ?? new Set(),
      space: { deliveries, bytes, isEmpty: queue?.isEmpty !== false },
    };
  }

  async #follow(tenure: Tenure, view: View, { keeps }: OpenClaim): Promise<void> {
    const { webhooks, facts, dispatcher, loader } = this.#deps;
    const { webhook } = tenure;
    switch (view.state) {
      case 'changed':
        this.#end(tenure);
        await webhooks.fetch(webhook.id);
        return;
      case 'foreign':
        this.#end(tenure, { isOwned: false });
        dispatcher.acceptClaimed(webhook, [], false);
        return;
      case 'unclear':
        facts.deliveryScheduled.emit({ delayMs: UNCLEAR_MS });
        return;
      case 'open':
        return this.#take(tenure, view, (await loader.load(view.taken)).filter(keeps));
    }
  }

  #take(tenure: Tenure, view: Extract<View, { state: 'open' }>, jobs: readonly Job[]): void {
    const { dispatcher, releaser, facts } = this.#deps;
    const { webhook } = tenure;
    if (tenure.isOver) {
      releaser.release(jobs.map(idOf));
      return;
    }
    tenure.isClear = true;
    tenure.position = view.position;
    if (tenure.rewoundTo !== null) rewind(tenure, tenure.rewoundTo);
    tenure.heads = new Map(view.heads);
    for (const [key, id] of tenure.fresh) keepFirst(tenure.heads, key, id);
    const isBehind = (firsts: ReadonlyMap<string, string>, job: Job) => {
      const key = keyOf(webhook.ordering, job.event.orderingKey);
      return key !== null && (firsts.get(key) ?? '~') < job.deliveryId;
    };
    // An older one has come due among those that wait: they are taken in again behind it.
    const overtaken = dispatcher.release(webhook.id, (job) => isBehind(view.due, job));
    const blocked = jobs.filter((job) => isBehind(tenure.fresh, job));
    for (const job of blocked) rewind(tenure, job.deliveryId);
    releaser.release(blocked.map(idOf));
    if (view.dueInMs !== null && view.dueInMs < RETRY_MS) facts.deliveryScheduled.emit({ delayMs: Math.max(view.dueInMs, 1) });
    if (view.isCutShort || overtaken.length > 0) this.look(webhook.id);
    dispatcher.acceptClaimed(
      webhook,
      jobs.filter((job) => !blocked.includes(job)),
      view.hasMore,
    );
  }

  /** It will be tried again: what stands behind it waits in the database. There is room for other keys. */
  #block(tenure: Tenure, deliveryId: string, key: string | null): void {
    if (key !== null) {
      keepFirst(tenure.heads, key, deliveryId);
      keepFirst(tenure.fresh, key, deliveryId);
    }
    this.look(tenure.webhook.id);
  }

  /** The next look begins at a delivery that was passed over. */
  #reopen(tenure: Tenure, deliveryId: string): void {
    rewind(tenure, deliveryId);
    this.look(tenure.webhook.id);
  }

  #tenureOf(webhook: LiveWebhook): Tenure {
    const known = this.#tenures.get(webhook.id);
    if (known) return known;
    const tenure: Tenure = {
      webhook,
      position: '',
      heads: new Map(),
      withdrawn: new Set(),
      fresh: new Map(),
      rewoundTo: null,
      isClear: false,
      isQuiet: false,
      rounds: 0,
      isOver: false,
    };
    this.#tenures.set(webhook.id, tenure);
    return tenure;
  }

  #endAll(webhookIds: readonly string[]): void {
    for (const id of new Set(webhookIds)) {
      const tenure = this.#tenures.get(id);
      if (tenure) this.#end(tenure);
    }
  }

  /** What waits of the webhook is released; `isOwned`: the webhook is anybody's after that. */
  #end(tenure: Tenure, { isOwned } = { isOwned: true }): void {
    if (tenure.isOver) return;
    const { id } = tenure.webhook;
    tenure.isOver = true;
    this.#tenures.delete(id);
    this.#deps.dispatcher.release(id, () => true);
    if (isOwned) this.#disown(id);
  }

  /** The instance that takes the webhook next waits for what is still under way here. */
  #disown(webhookId: string): void {
    const { database, instanceId, releaser, log } = this.#deps;
    const done = (this.#ending.get(webhookId) ?? Promise.resolve())
      .then(() => releaser.released(webhookId))
      .then(() =>
        database.transaction((tx) => tx.execute('DELETE FROM webhook_owners WHERE webhook_id = ? AND owner = ?', [webhookId, instanceId])),
      )
      .then(
        () => {},
        (error: Error) => log.warn({ webhookId, error: error.message }, 'disown.failed'),
      )
      .finally(() => {
        if (this.#ending.get(webhookId) === done) this.#ending.delete(webhookId);
      });
    this.#ending.set(webhookId, done);
  }

  #tidy(tenure: Tenure): void {
    const { webhook, heads, isQuiet } = tenure;
    const isEmpty = this.#deps.dispatcher.orderedQueueOf(webhook)?.isEmpty !== false;
    if (isQuiet && isEmpty && heads.size === 0 && !this.#looking.has(webhook.id)) this.#end(tenure);
    else if (++tenure.rounds % ROUNDS_UNTIL_REWIND === 0) tenure.position = '';
    tenure.isQuiet = true;
  }
}

/** What a look that is under way finds out about the position holds only up to there, too. */
function rewind(tenure: Tenure, deliveryId: string): void {
  if (deliveryId <= tenure.position) tenure.position = before(deliveryId);
  if (tenure.rewoundTo === null || deliveryId < tenure.rewoundTo) tenure.rewoundTo = deliveryId;
}

const idOf = ({ deliveryId }: Job) => deliveryId;

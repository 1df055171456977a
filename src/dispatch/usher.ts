import { type Cancel, type Clock, SECOND } from '../clock';
import { type Delivery, DeliveryStatus } from '../deliveries/delivery';
import type { Reservation } from '../events/appender';
import type { Event } from '../events/event';
import { FairShare } from '../fair-share';
import { applicationIdOf, webhookIdOf } from '../ids';
import type { Log } from '../log';
import type { Database } from '../store/database';
import type { LiveWebhook, Snapshot } from '../webhooks/directory';
import { Ordering } from '../webhooks/webhook';
import type { Job } from './lane';
import { before, type OrderedRow, takeTurns, type View } from './ordered-claim';
import { readJobs } from './scout';
import type { Verdict } from './settle';
import { giveBack } from './strays';
import { keyOf, type Turn, Window, type WindowRoom } from './turns';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly findWebhook: (webhookId: string) => Promise<LiveWebhook | undefined>;
  /** The same, past whatever is kept in memory. */
  readonly findWebhookAnew: (webhookId: string) => Promise<LiveWebhook | undefined>;
  readonly findEvents: (applicationId: string, sequences: readonly number[]) => Promise<Event[]>;
  /** Sends deliveries whose turn has come. */
  readonly accept: (webhook: LiveWebhook, jobs: readonly Job[]) => void;
  /** Whether a delivery is being sent or written down here. */
  readonly isUnderWay: (deliveryId: string) => boolean;
  readonly isLeaseHeld: () => boolean;
  /** Something is due in so many milliseconds. */
  readonly lookIn: (delayMs: number) => void;
}

/** What is claimed ahead of its turn: enough that a claim's transaction is shared by many. */
const MOST_WAITING = 100;
const MOST_BYTES = 1024 * 1024;
/** All windows together, divided between applications. Beyond its share the webhooks of one wait for their windows, first come, first served. */
const MOST_BYTES_IN_ALL = 32 * 1024 * 1024;
const MOST_LOOKS_AT_ONCE = 4;
/** How soon to look again while others still send deliveries of a webhook. */
const UNCLEAR_MS = 100;
const RETRY_MS = 1 * SECOND;
/** A webhook that had nothing to send for a round is anybody's again. */
const ROUND_MS = 2 * SECOND;
/** After so many rounds a look begins at the first delivery again, should one have been passed over that ought not. */
const ROUNDS_UNTIL_AFRESH = 15;

/** An ordered webhook while it is this instance's. */
interface Run {
  webhook: LiveWebhook;
  readonly window: Window;
  /** Everything up to this id was taken or is blocked. */
  position: string;
  /** Of each blocked key the delivery that blocks it. */
  heads: Map<string, string>;
  /** Of those what came up since the look under way began. */
  readonly fresh: Map<string, string>;
  /** The first delivery since then that must be looked at again. */
  rewoundTo: string | null;
  isClear: boolean;
  hasMore: boolean;
  /** Nothing happened since the last round. */
  isQuiet: boolean;
  rounds: number;
  isOver: boolean;
}

/**
 * Shows the deliveries of ordered webhooks to the dispatcher, each in its turn: the next of a key when the one before
 * has been written down. A webhook is one instance's as a whole, as long as it has something to send; of what waits in
 * the database the instance has a window in memory, of a blocked key no more than which delivery blocks it.
 */
export class Usher {
  readonly #deps: Deps;
  readonly #runs = new Map<string, Run>();
  /** Webhooks to look at, in the order they came to it. */
  readonly #wanted = new Set<string>();
  readonly #looking = new Set<string>();
  /** Deliveries on their way back to the database, by webhook: the next look comes after them. */
  readonly #returning = new Map<string, Promise<void>>();
  readonly #memory = new FairShare(MOST_BYTES_IN_ALL);
  #idle: (() => void)[] = [];
  #cancelTimer: Cancel | undefined;
  #isStopping = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    this.#cancelTimer = this.#deps.clock.after(ROUND_MS, () => {
      for (const run of [...this.#runs.values()]) this.#tidy(run);
      if (!this.#isStopping) this.start();
    });
  }

  /** Gives back what waits, and every webhook; what is under way ends by itself. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelTimer?.();
    this.#wanted.clear();
    while (this.#looking.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.dropAll();
    await Promise.all(this.#returning.values());
  }

  /** Looks for what a webhook may send now, or once more after the look that is under way. */
  look(webhookId: string): void {
    if (this.#isStopping) return;
    this.#wanted.add(webhookId);
    this.#goOn();
  }

  has(deliveryId: string): boolean {
    return this.#runs.get(webhookIdOf(deliveryId))?.window.has(deliveryId) ?? false;
  }

  /** A reservation after which the ordered webhooks of its batch are looked at. */
  watch(inner: Reservation): Reservation {
    const webhookIds = new Set<string>();
    return {
      ownerFor: (webhook, event) => {
        if (webhook.ordering === Ordering.NONE) return inner.ownerFor(webhook, event);
        if (webhook.isSending) webhookIds.add(webhook.id);
        return '';
      },
      release: () => {
        webhookIds.clear();
        inner.release();
      },
      take: (deliveries: readonly Delivery[], events: readonly Event[]) => {
        inner.take(deliveries, events);
        for (const id of webhookIds) this.#stored(id);
      },
    };
  }

  /** Attempts are written down: those behind them may go, or are blocked. */
  settled(verdicts: readonly Verdict[]): void {
    if (this.#runs.size === 0) return;
    const touched = new Set<Run>();
    for (const { finished, status } of verdicts) {
      const run = this.#runs.get(finished.webhook.id);
      if (run === undefined) continue;
      const turn = this.#returned(run, finished.job.deliveryId);
      if (turn === undefined) this.look(run.webhook.id);
      else if (status === DeliveryStatus.RETRYING) this.#block(run, turn);
      else if (turn.key !== null && turn.job.attemptCount > 0) this.#reopen(run, turn.job.deliveryId);
      touched.add(run);
    }
    for (const run of touched) this.#offer(run);
  }

  /** A delivery was cancelled. One whose request is under way keeps its place until that has ended. */
  cancelled(deliveryId: string, webhookId: string): void {
    const run = this.#runs.get(webhookId);
    if (run === undefined) return;
    const isUnderWay = this.#deps.isUnderWay(deliveryId);
    if (!isUnderWay) {
      this.#shrink(run, () => run.window.remove(({ job }) => job.deliveryId === deliveryId));
      const turn = this.#returned(run, deliveryId);
      if (turn && turn.job.attemptCount > 0) this.#reopen(run, deliveryId);
    }
    this.#offer(run);
    this.look(webhookId);
  }

  /** The dispatcher has given these back, unsent: whatever stands behind them must not overtake them. */
  givenBack(deliveryIds: readonly string[]): void {
    for (const webhookId of new Set(deliveryIds.map(webhookIdOf))) {
      const run = this.#runs.get(webhookId);
      if (run) this.#drop(run);
    }
  }

  webhooksChanged(applicationId: string, { byId }: Snapshot): void {
    for (const [webhookId, run] of this.#runs) {
      if (run.webhook.applicationId !== applicationId) continue;
      const webhook = byId.get(webhookId);
      if (webhook?.isSending && webhook.ordering === run.webhook.ordering) run.webhook = webhook;
      else this.#drop(run);
    }
  }

  /** The lease was lost for a while: what was claimed may be another's by now. */
  dropAll(): void {
    for (const run of [...this.#runs.values()]) this.#drop(run);
  }

  #stored(webhookId: string): void {
    const run = this.#runs.get(webhookId);
    if (run && !isLow(run.window)) run.hasMore = true;
    else this.look(webhookId);
  }

  #goOn(): void {
    if (this.#isStopping) return;
    for (const webhookId of this.#wanted) {
      if (this.#looking.size >= MOST_LOOKS_AT_ONCE || this.#memory.free <= 0) return;
      if (this.#looking.has(webhookId) || !this.#memory.allows(applicationIdOf(webhookId), 1)) continue;
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
    const { database, log, lookIn, isLeaseHeld, findWebhook } = this.#deps;
    try {
      await this.#returning.get(webhookId);
      const webhook = await findWebhook(webhookId);
      if (!isLeaseHeld() || !webhook?.isSending || webhook.ordering === Ordering.NONE) return;
      const run = this.#runFor(webhook);
      run.fresh.clear();
      run.rewoundTo = null;
      run.isQuiet = false;
      const view = await database.transaction((tx) => takeTurns(tx, this.#lookOf(run)));
      await this.#follow(run, view);
    } catch (error) {
      log.warn({ webhookId, error: (error as Error).message }, 'usher.failed');
      this.#startAnew(webhookId); // the commit may have been made all the same
      lookIn(RETRY_MS);
    }
  }

  #lookOf(run: Run) {
    const { window, webhook, position, heads, isClear } = run;
    return {
      webhookId: webhook.id,
      ordering: webhook.ordering,
      instanceId: this.#deps.instanceId,
      position,
      heads: new Map(heads),
      isClear,
      isKnown: (id: string) => window.has(id),
      probing: window.probing,
      room: roomIn(window),
    };
  }

  async #follow(run: Run, view: View): Promise<void> {
    const { findWebhookAnew, lookIn } = this.#deps;
    const { id } = run.webhook;
    switch (view.state) {
      case 'changed':
        this.#drop(run);
        await findWebhookAnew(id);
        return;
      case 'foreign':
        this.#drop(run, false);
        return;
      case 'unclear':
        lookIn(UNCLEAR_MS);
        return;
      case 'open':
        return this.#take(run, view, await this.#turnsOf(run.webhook, view.taken));
    }
  }

  async #turnsOf(webhook: LiveWebhook, rows: readonly OrderedRow[]): Promise<Turn[]> {
    const { database, findEvents } = this.#deps;
    try {
      const jobs = await readJobs(database, findEvents, rows);
      const keys = new Map(rows.map((row) => [row.id, keyOf(webhook.ordering, row.ordering_key)]));
      return jobs.map((job) => ({ job, key: keys.get(job.deliveryId) ?? null }));
    } catch (error) {
      this.#giveBack(
        webhook.id,
        rows.map(({ id }) => id),
      );
      throw error;
    }
  }

  #take(run: Run, view: Extract<View, { state: 'open' }>, turns: readonly Turn[]): void {
    const { id } = run.webhook;
    if (run.isOver) {
      this.#giveBack(id, turns.map(idOf));
      return;
    }
    run.isClear = true;
    run.position = view.position;
    if (run.rewoundTo !== null) rewind(run, run.rewoundTo);
    run.heads = new Map([...view.heads, ...run.fresh]);
    // An older one has come back among those that wait: they are taken in anew behind it.
    const overtaken = this.#shrink(run, () => run.window.remove((turn) => isBehind(view.due, turn)));
    const blocked = turns.filter((turn) => isBehind(run.fresh, turn));
    this.#shrink(run, () => {
      for (const turn of turns) if (!blocked.includes(turn)) run.window.add(turn);
    });
    this.#return(run, [...overtaken, ...blocked]);
    if (view.dueInMs !== null && view.dueInMs < RETRY_MS) this.#deps.lookIn(Math.max(view.dueInMs, 1));
    if (view.isCutShort || overtaken.length > 0) this.look(id);
    run.hasMore = false;
    this.#offer(run);
    run.hasMore = view.hasMore; // for when something has been settled
  }

  /** Hands on whatever may go, and brings more when few are left. */
  #offer(run: Run): void {
    if (run.isOver) return;
    run.isQuiet = false;
    const turns = run.window.next();
    if (turns.length > 0)
      this.#deps.accept(
        run.webhook,
        turns.map(({ job }) => job),
      );
    if (run.hasMore && isLow(run.window)) {
      run.hasMore = false;
      this.look(run.webhook.id);
    }
  }

  /** It will be tried again: what stands behind it goes back to the database, and waits there. */
  #block(run: Run, { key, job: { deliveryId } }: Turn): void {
    if (key === null) return;
    run.heads.set(key, deliveryId);
    run.fresh.set(key, deliveryId);
    this.#return(
      run,
      this.#shrink(run, () => run.window.remove((turn) => turn.key === key)),
    );
    run.hasMore = true; // there is room for other keys
  }

  /** The next look begins at a delivery that was passed over. */
  #reopen(run: Run, deliveryId: string): void {
    rewind(run, deliveryId);
    this.look(run.webhook.id);
  }

  #returned(run: Run, deliveryId: string): Turn | undefined {
    return this.#shrink(run, () => run.window.returned(deliveryId));
  }

  /** Whatever changes a window keeps the sum of their weights right. */
  #shrink<T>({ window, webhook }: Run, step: () => T): T {
    const weight = window.weight;
    const result = step();
    this.#memory.giveBack(webhook.applicationId, weight - window.weight);
    if (window.weight < weight && this.#wanted.size > 0) this.#goOn();
    return result;
  }

  #return(run: Run, turns: readonly Turn[]): void {
    if (turns.length === 0) return;
    for (const turn of turns) rewind(run, idOf(turn));
    this.#giveBack(run.webhook.id, turns.map(idOf));
  }

  #giveBack(webhookId: string, deliveryIds: readonly string[], isLast = false): void {
    const { database, instanceId, log } = this.#deps;
    const work = async () => {
      if (deliveryIds.length > 0) await giveBack(database, instanceId, deliveryIds);
      // Whoever takes the webhook next waits for what is still under way here.
      if (isLast)
        await database.transaction((tx) =>
          tx.execute('DELETE FROM webhook_owners WHERE webhook_id = ? AND owner = ?', [webhookId, instanceId]),
        );
    };
    if (deliveryIds.length === 0 && !isLast) return;
    const done = (this.#returning.get(webhookId) ?? Promise.resolve())
      .then(work)
      .catch((error: Error) => {
        log.warn({ webhookId, error: error.message }, 'usher.not_given_back');
        this.#startAnew(webhookId);
      })
      .finally(() => {
        if (this.#returning.get(webhookId) === done) this.#returning.delete(webhookId);
      });
    this.#returning.set(webhookId, done);
  }

  /**
   * Deliveries may be this instance's in the database and in nobody's memory. The next run waits until they are found
   * as strays and released: nothing that stands behind them may overtake them.
   */
  #startAnew(webhookId: string): void {
    const run = this.#runs.get(webhookId);
    if (run) this.#drop(run);
  }

  #runFor(webhook: LiveWebhook): Run {
    const known = this.#runs.get(webhook.id);
    if (known) return known;
    const run: Run = {
      webhook,
      window: new Window(),
      position: '',
      heads: new Map(),
      fresh: new Map(),
      rewoundTo: null,
      isClear: false,
      hasMore: false,
      isQuiet: false,
      rounds: 0,
      isOver: false,
    };
    this.#runs.set(webhook.id, run);
    return run;
  }

  /** Ends the run; `isOwned`: the webhook is anybody's from then on. */
  #drop(run: Run, isOwned = true): void {
    if (run.isOver) return;
    run.isOver = true;
    this.#runs.delete(run.webhook.id);
    this.#memory.giveBack(run.webhook.applicationId, run.window.weight);
    this.#giveBack(run.webhook.id, run.window.remove(() => true).map(idOf), isOwned);
  }

  #tidy(run: Run): void {
    if (run.isQuiet && run.window.isEmpty && run.heads.size === 0 && !this.#looking.has(run.webhook.id)) this.#drop(run);
    else if (++run.rounds % ROUNDS_UNTIL_AFRESH === 0) run.position = '';
    run.isQuiet = true;
  }
}

function roomIn({ isEmpty, waiting, weight }: Window): WindowRoom {
  return { deliveries: MOST_WAITING - waiting, bytes: MOST_BYTES - weight, isEmpty };
}

/** Half empty: a look at the database brings enough to be worth it. */
function isLow({ waiting, weight }: Window): boolean {
  return waiting <= MOST_WAITING / 2 && weight <= MOST_BYTES / 2;
}

/** What a look that is under way finds out about the position holds only up to there, too. */
function rewind(run: Run, deliveryId: string): void {
  if (deliveryId <= run.position) run.position = before(deliveryId);
  if (run.rewoundTo === null || deliveryId < run.rewoundTo) run.rewoundTo = deliveryId;
}

/** Whether an earlier one of its key is among `firsts`. */
function isBehind(firsts: ReadonlyMap<string, string>, turn: Turn): boolean {
  return turn.key !== null && (firsts.get(turn.key) ?? '~') < idOf(turn);
}

function idOf(turn: Turn): string {
  return turn.job.deliveryId;
}

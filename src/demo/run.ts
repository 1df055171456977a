import { MINUTE, SECOND, sleep, systemClock } from '../clock';
import type { Published } from './balance';
import { Bell } from './bell';
import type { Caller } from './caller';
import { DELIVERY_UPDATES, EVENT_PUBLISH } from './documents';
import { githubPayloads, type Payload, payload } from './payloads';
import { PLANS } from './plans';
import type { Alteration } from './receiver';
import { type Output, Screen } from './screen';
import { showBalance, showEnd, showServing, showStep, showTitle, showUpdateHeadings, type Update, updateLine } from './show';
import { Stage } from './stage';
import { Tally } from './tally';

export interface DemoOptions {
  readonly out: Output;
  /** End after the closing table, even on a terminal. */
  readonly isOnce: boolean;
  /** Somebody wants it to end. */
  readonly stop: AbortSignal;
  readonly payloads?: readonly Payload[];
  readonly timeLimitMs?: number;
  /** Damage on the way to the receiver, to see that the table notices. */
  readonly alter?: Alteration;
}

export const TIME_LIMIT_MS = 2 * MINUTE;
const STOPPED_EXIT_CODE = 130;

/** Whether or not the ones before have been answered: a hub that falls behind shows it. Slow enough to be watched. */
const PUBLISH_EVERY_MS = 15;
const GREETING = 'demo.greeting';
const GREETING_PATIENCE_MS = SECOND;

/** The whole demo. Returns the exit code: 0 when the table balances. */
export async function run(options: DemoOptions): Promise<number> {
  const demo = new Demo(options);
  try {
    return await demo.play();
  } finally {
    await demo.close();
  }
}

class Demo {
  readonly #options: DemoOptions;
  readonly #payloads: readonly Payload[];
  readonly #screen: Screen;
  readonly #stage: Stage;
  readonly #tally: Tally;
  readonly #bell = new Bell();
  readonly #overtime = new AbortController();
  readonly #signal: AbortSignal;
  readonly #cancelLimit: () => void;
  #isConnected = false;
  #isGreeted = false;
  #watchEnded: string | undefined;

  constructor(options: DemoOptions) {
    const { out, stop, alter, payloads = githubPayloads(), timeLimitMs = TIME_LIMIT_MS } = options;
    this.#options = options;
    this.#payloads = payloads;
    this.#screen = new Screen(out);
    this.#signal = AbortSignal.any([stop, this.#overtime.signal]);
    this.#cancelLimit = systemClock.after(timeLimitMs, () =>
      this.#overtime.abort(new Error(`the time limit of ${timeLimitMs / SECOND} s is up`)),
    );
    this.#tally = new Tally(PLANS, payloads);
    this.#stage = new Stage({
      screen: this.#screen,
      signal: this.#signal,
      alter,
      received: (receipt) => {
        if (receipt.type !== GREETING) this.#tally.received(receipt);
      },
    });
  }

  async play(): Promise<number> {
    showTitle(this.#screen, this.#payloads.length);
    const problems: string[] = [];
    let served: { url: string; key: string } | undefined;
    let startedAt = systemClock.monotonic();
    try {
      const { caller, ...place } = await this.#stage.set();
      served = place;
      await this.#watch(caller);
      startedAt = systemClock.monotonic();
      problems.push(...(await this.#publishAll(caller)));
      await this.#until(() => this.#tally.isFinished, this.#signal);
    } catch (error) {
      problems.push((error as Error).message);
    }
    if (this.#options.stop.aborted) return this.#stopped();

    const seconds = (systemClock.monotonic() - startedAt) / SECOND;
    const isBalanced = this.#close(problems, seconds);
    if (isBalanced && served && this.#screen.isTerminal && !this.#options.isOnce) await this.#serve(served);
    return isBalanced ? 0 : 1;
  }

  async close(): Promise<void> {
    this.#cancelLimit();
    this.#screen.below('');
    await this.#stage.strike();
  }

  /**
   * A new subscription begins at the present end of the log, and nothing says when it has begun: a greeting that comes
   * back through it does.
   */
  async #watch(caller: Caller): Promise<void> {
    const cursorOf = ({ deliveryUpdates }: Page) => deliveryUpdates.cursor;
    caller.subscribe<Page>(DELIVERY_UPDATES, cursorOf, {
      connected: () => {
        this.#isConnected = true;
        this.#bell.ring();
      },
      next: ({ deliveryUpdates }) => this.#updated(deliveryUpdates.updates),
      ended: (reason) => {
        this.#watchEnded = reason;
        this.#bell.ring();
      },
    });
    await this.#until(() => this.#isConnected, this.#signal);
    const waitsSince = systemClock.monotonic();
    while (!this.#isGreeted) await this.#greet(caller);
    const waitedMs = Math.round(systemClock.monotonic() - waitsSince);
    showStep(this.#screen, 'watching', `deliveryUpdates over a WebSocket; a greeting came back after ${waitedMs} ms`);
  }

  async #greet(caller: Caller): Promise<void> {
    await this.#publish(caller, payload(GREETING, { hello: 'world' }));
    const patience = AbortSignal.timeout(GREETING_PATIENCE_MS);
    try {
      await this.#until(() => this.#isGreeted, AbortSignal.any([this.#signal, patience]));
    } catch (error) {
      if (error !== patience.reason) throw error;
    }
  }

  /** As the live subscription alone can tell: it must not have ended. */
  async #until(holds: () => boolean, signal: AbortSignal): Promise<void> {
    await this.#bell.until(() => holds() || this.#watchEnded !== undefined, signal);
    if (this.#watchEnded !== undefined) throw new Error(`the live subscription ended: ${this.#watchEnded}`);
  }

  /** Returns what was refused. */
  async #publishAll(caller: Caller): Promise<string[]> {
    showUpdateHeadings(this.#screen);
    const results = await Promise.allSettled(this.#payloads.map((next, index) => this.#publishAt(index * PUBLISH_EVERY_MS, caller, next)));
    this.#signal.throwIfAborted();
    const refusals = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as Error).message] : []));
    return [...new Set(refusals)];
  }

  async #publishAt(delayMs: number, caller: Caller, next: Payload): Promise<void> {
    await sleep(systemClock, delayMs, this.#signal);
    this.#signal.throwIfAborted();
    this.#tally.published(await this.#publish(caller, next));
    this.#screen.progress(this.#tally.progress);
  }

  async #publish(caller: Caller, { type, value, text }: Payload): Promise<Published> {
    const sentAt = systemClock.monotonic();
    const { event } = await caller.mutate<{ event: { id: string; sequence: number } }>(EVENT_PUBLISH, { input: { type, payload: value } });
    return { eventId: event.id, sequence: event.sequence, type, text, sentAt };
  }

  #updated(all: readonly Update[]): void {
    const updates = all.filter(({ delivery }) => delivery.event.type !== GREETING);
    if (updates.length < all.length) this.#isGreeted = true;
    if (updates.length > 0) this.#show(updates);
    this.#bell.ring();
  }

  #show(updates: readonly Update[]): void {
    const lines: string[] = [];
    for (const update of updates) {
      const { status, attempt, delivery } = update;
      const webhook = this.#stage.webhookName(delivery.webhook.id);
      lines.push(updateLine(this.#screen, update, webhook));
      this.#tally.sighted({ webhook, eventId: delivery.event.id, status, attempt: attempt?.number ?? 0 });
    }
    this.#screen.lines(lines);
    this.#screen.progress(this.#tally.progress);
  }

  /** The closing table. Returns whether it balances. */
  #close(problems: readonly string[], seconds: number): boolean {
    const balance = this.#tally.close();
    const missing = [...problems, ...balance.problems];
    this.#screen.endProgress();
    showBalance(this.#screen, { ...balance, problems: missing }, seconds);
    return missing.length === 0;
  }

  async #serve({ url, key }: { url: string; key: string }): Promise<void> {
    this.#cancelLimit();
    showServing(this.#screen, url, key);
    await this.#until(() => false, this.#options.stop).catch(() => {});
    showEnd(this.#screen, this.#watchEnded === undefined ? 'Stopped.' : `Stopped: the live subscription ended: ${this.#watchEnded}`);
  }

  #stopped(): number {
    this.#screen.endProgress();
    showEnd(this.#screen, 'Stopped before the end.');
    return STOPPED_EXIT_CODE;
  }
}

interface Page {
  readonly deliveryUpdates: { readonly cursor: string; readonly updates: readonly Update[] };
}

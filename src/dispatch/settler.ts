import { type Clock, sleep } from '../clock';
import type { LoggedUpdate } from '../live/update-log';
import type { Log } from '../log';
import type { Database } from '../store/database';
import type { Finished } from './dispatcher';
import { isGone, judge, settle, type Verdict } from './settle';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly announce: (updates: ReadonlyMap<string, LoggedUpdate[]>) => void;
  /** The receiver said it is gone. */
  readonly disable: (webhookId: string, version: number) => Promise<void>;
  /** Deliveries were scheduled; the earliest is due in so many milliseconds. */
  readonly scheduled: (delayMs: number) => void;
  /** These attempts are written down. */
  readonly settled: (deliveryIds: readonly string[]) => void;
  /** What waited has been written, sending may go on. */
  readonly caughtUp: () => void;
}

const MOST_A_BATCH = 300;
/** Outcomes that wait while the database is away. Beyond it nothing more is sent until they are written. */
const MOST_WAITING = 5_000;
const RETRY_MS = 250;

/** Group commit for outcomes: while one transaction is under way, what ends gathers for the next. Nothing is dropped. */
export class Settler {
  readonly #deps: Deps;
  #waiting: Verdict[] = [];
  #running: Promise<void> | undefined;
  #isBehind = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Takes an outcome; `false` when too many wait and sending must pause. */
  add(finished: Finished): boolean {
    this.#waiting.push(judge(finished, this.#deps.random()));
    this.#running ??= this.#run();
    if (this.#waiting.length >= MOST_WAITING) this.#isBehind = true;
    return !this.#isBehind;
  }

  /** Resolves when everything handed in so far is written. */
  async drain(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MOST_A_BATCH);
      await this.#write(batch);
      if (this.#isBehind && this.#waiting.length < MOST_WAITING / 2) {
        this.#isBehind = false;
        this.#deps.caughtUp();
      }
    }
    this.#running = undefined;
  }

  /** Until it is written: an outcome that is lost would be a request that is repeated. */
  async #write(batch: readonly Verdict[]): Promise<void> {
    const { database, instanceId, clock, log, announce } = this.#deps;
    for (let tries = 1; ; tries++) {
      try {
        const settled = await database.transaction((tx) => settle(tx, batch, instanceId));
        // After a commit whose answer was lost the second try finds nothing of its own left: that is not a fence.
        if (settled.fenced.length > 0 && tries === 1)
          log.warn({ deliveries: settled.fenced.length, first: settled.fenced[0] }, 'settle.fenced');
        this.#deps.settled(batch.map(({ finished }) => finished.job.deliveryId));
        announce(settled.updates);
        this.#follow(batch);
        return;
      } catch (error) {
        log.warn({ tries, attempts: batch.length, error: describe(error) }, 'settle.failed');
        await sleep(clock, Math.min(RETRY_MS * tries, 2_000));
      }
    }
  }

  #follow(batch: readonly Verdict[]): void {
    const { log, scheduled, disable } = this.#deps;
    let earliest = Number.POSITIVE_INFINITY;
    for (const { finished, delayMs, status } of batch) {
      if (delayMs !== null) earliest = Math.min(earliest, delayMs);
      const { job, webhook, exchange } = finished;
      log.debug(
        {
          deliveryId: job.deliveryId,
          webhookId: webhook.id,
          attempt: job.attemptCount + 1,
          outcome: exchange.outcome,
          status,
          ms: exchange.durationMs,
        },
        'delivery.attempted',
      );
      if (isGone(finished))
        disable(webhook.id, webhook.version).catch((error) =>
          log.error({ webhookId: webhook.id, error: describe(error) }, 'webhook.disable_failed'),
        );
    }
    if (earliest < Number.POSITIVE_INFINITY) scheduled(earliest);
  }
}

function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}

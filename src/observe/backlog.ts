import { type Clock, SECOND, sleep } from '../clock';
import type { Database } from '../store/database';
import { MAX_COUNTED, MAX_WEBHOOKS_ASKED } from './metrics';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  /** Whether what is due for a webhook is sent as soon as it can be. */
  readonly isSentAtOnce: (webhookId: string) => Promise<boolean>;
}

export interface BacklogReading {
  readonly waiting: number;
  readonly oldestDueSeconds: number;
  readonly isDatabaseUp: boolean;
}

/** Looking costs some 10 ms with a full count, so however often somebody asks: not sooner than this. */
const FRESH_MS = 5 * SECOND;
/** A reader waits no longer for a database that hangs. */
const PATIENCE_MS = 1 * SECOND;

/** How much waits in the database, and since when: looked up when somebody asks, and kept for a while. */
export class Backlog {
  readonly #deps: Deps;
  #last: BacklogReading = { waiting: 0, oldestDueSeconds: 0, isDatabaseUp: true };
  #lookedAt = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async read(): Promise<BacklogReading> {
    const { clock } = this.#deps;
    if (clock.monotonic() - this.#lookedAt < FRESH_MS) return this.#last;
    this.#running ??= this.#look().finally(() => {
      this.#running = undefined;
    });
    const waited = new AbortController();
    const isAnswered = await Promise.race([this.#running.then(() => true), sleep(clock, PATIENCE_MS, waited.signal).then(() => false)]);
    waited.abort();
    return isAnswered ? this.#last : { ...this.#last, isDatabaseUp: false };
  }

  async #look(): Promise<void> {
    try {
      const [waiting, oldestDueSeconds] = [await this.#waiting(), await this.#oldestDueSeconds()];
      this.#last = { waiting, oldestDueSeconds, isDatabaseUp: true };
    } catch {
      this.#last = { ...this.#last, isDatabaseUp: false };
    }
    this.#lookedAt = this.#deps.clock.monotonic();
  }

  async #waiting(): Promise<number> {
    const { read, dialect } = this.#deps.database;
    const [row] = await read.query<{ waiting: number }>(
      `SELECT COUNT(*) AS waiting FROM
         (SELECT owner FROM deliveries ${dialect.throughIndex('deliveries_due')} WHERE owner = '' LIMIT ${MAX_COUNTED}) AS counted`,
    );
    return Number(row?.waiting ?? 0);
  }

  /** The first in the queue of each webhook is in the index; paused and ordered ones wait for other things than their time. */
  async #oldestDueSeconds(): Promise<number> {
    const { read, dialect } = this.#deps.database;
    const rows = await read.query<{ webhook_id: string; due_in: number }>(dialect.waitingWebhooks(MAX_WEBHOOKS_ASKED), ['']);
    const due = rows.map((row) => ({ webhookId: row.webhook_id, forMs: -Number(row.due_in) })).filter(({ forMs }) => forMs > 0);
    for (const { webhookId, forMs } of due.sort((a, b) => b.forMs - a.forMs))
      if (await this.#deps.isSentAtOnce(webhookId)) return forMs / 1_000;
    return 0;
  }
}

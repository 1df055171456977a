import { type Cancel, type Clock, DAY, HOUR, MINUTE, SECOND } from '../clock';
import type { SettledBatch } from '../delivery/facts';
import type { Facts } from '../facts';
import type { Log } from '../log';
import type { Database, Queries } from '../store/database';
import { WakeableLoop } from '../wakeable-loop';
import { addTo, count, decode, encode, type Histogram, percentile } from './histogram';

/** How the attempts of a webhook went in a span of time. */
export interface Summary {
  readonly attempts: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Milliseconds an attempt took from its start to its end; null where there was none. */
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

/** An attempt, as far as it is counted. */
export interface Counted {
  readonly webhookId: string;
  readonly isSuccess: boolean;
  readonly durationMs: number;
}

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

/** What this instance has counted of a webhook in a span. Its row is replaced whole. */
interface Bucket {
  readonly webhookId: string;
  readonly startedAt: number;
  succeeded: number;
  failed: number;
  readonly histogram: Histogram;
  isWritten: boolean;
}

/** Spans begin at the same times everywhere. */
const BUCKET_MS = 15 * MINUTE;
const KEPT_MS = 7 * DAY + HOUR;
const FLUSH_MS = 1 * SECOND;
const SWEEP_MS = 1 * HOUR;
const COLUMNS = ['webhook_id', 'started_at', 'instance_id', 'succeeded', 'failed', 'histogram'];
const ROWS_PER_STATEMENT = 200;

/**
 * Counts attempts by webhook and quarter of an hour. A row belongs to one instance, so nobody waits for anybody; each
 * holds what its instance has counted so far, written once a second at most. A crash loses that second.
 */
export class Stats {
  readonly #deps: Deps;
  readonly #buckets = new Map<string, Bucket>();
  #cancelFlush: Cancel | undefined;
  readonly #sweeps: WakeableLoop;
  #running: Promise<void> | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    deps.facts.attemptsSettled.on(({ verdicts }) => this.add(verdicts.map(countedOf)));
    this.#sweeps = new WakeableLoop({
      clock: deps.clock,
      everyMs: SWEEP_MS,
      round: () => this.#sweep(),
      failed: ({ message }) => deps.log.warn({ error: message }, 'stats.not_swept'),
    });
  }

  start(): void {
    this.#sweeps.start();
  }

  /** Counts attempts that are written down just now; they are in the database within about a second. */
  add(attempts: readonly Counted[]): void {
    const now = this.#deps.clock.now();
    for (const { webhookId, isSuccess, durationMs } of attempts) {
      const bucket = this.#bucketFor(webhookId, spanOf(now));
      if (isSuccess) bucket.succeeded++;
      else bucket.failed++;
      count(bucket.histogram, durationMs);
      bucket.isWritten = false;
    }
    this.#cancelFlush ??= this.#deps.clock.after(FLUSH_MS, () => {
      this.#cancelFlush = undefined;
      void this.flush();
    });
  }

  /** The attempts of the last `spanMs`, from the beginning of a quarter of an hour. */
  async read(webhookId: string, spanMs: number): Promise<Summary> {
    await this.flush();
    return summarise(await readBuckets(this.#deps.database.read, webhookId, spanOf(this.#deps.clock.now() - spanMs)));
  }

  async stop(): Promise<void> {
    await this.#sweeps.stop();
    await this.flush();
    this.#cancelFlush?.();
  }

  /** Writes what is not written yet; while the database is away it stays for the next time. */
  async flush(): Promise<void> {
    await this.#running;
    this.#running ??= this.#write()
      .catch((error: Error) => this.#deps.log.warn({ error: error.message }, 'stats.not_written'))
      .finally(() => {
        this.#running = undefined;
      });
    await this.#running;
  }

  #bucketFor(webhookId: string, startedAt: number): Bucket {
    const key = `${webhookId} ${startedAt}`;
    const known = this.#buckets.get(key);
    if (known) return known;
    const bucket: Bucket = { webhookId, startedAt, succeeded: 0, failed: 0, histogram: new Map(), isWritten: false };
    this.#buckets.set(key, bucket);
    return bucket;
  }

  async #write(): Promise<void> {
    const { database, instanceId, clock } = this.#deps;
    const dirty = [...this.#buckets.values()].filter(({ isWritten }) => !isWritten);
    for (let start = 0; start < dirty.length; start += ROWS_PER_STATEMENT) {
      const part = dirty.slice(start, start + ROWS_PER_STATEMENT);
      for (const bucket of part) bucket.isWritten = true; // what is counted from here on makes it dirty again
      const rows = part.map((b) => [b.webhookId, b.startedAt, instanceId, b.succeeded, b.failed, encode(b.histogram)]);
      const places = rows.map((row) => `(${row.map(() => '?').join(',')})`).join(',');
      try {
        await database.transaction((tx) => tx.execute(`REPLACE INTO webhook_stats (${COLUMNS.join(',')}) VALUES ${places}`, rows.flat()));
      } catch (error) {
        for (const bucket of part) bucket.isWritten = false;
        throw error;
      }
    }
    const current = spanOf(clock.now());
    for (const [key, { startedAt, isWritten }] of this.#buckets) if (isWritten && startedAt < current) this.#buckets.delete(key);
  }

  /** Removes one span after the other, oldest first. */
  async #sweep(): Promise<void> {
    const { database, clock } = this.#deps;
    for (const oldest = clock.now() - KEPT_MS; !this.#sweeps.isStopping; ) {
      const [row] = await database.read.query<{ first: number | null }>('SELECT MIN(started_at) AS first FROM webhook_stats');
      const first = row?.first ?? null;
      if (first === null || Number(first) >= oldest) return;
      await database.transaction((tx) => tx.execute('DELETE FROM webhook_stats WHERE started_at = ?', [Number(first)]));
    }
  }
}

const spanOf = (at: number) => at - (at % BUCKET_MS);

type Row = { readonly succeeded: number; readonly failed: number; readonly histogram: string };

function readBuckets({ query }: Queries, webhookId: string, since: number): Promise<Row[]> {
  return query<Row>('SELECT succeeded, failed, histogram FROM webhook_stats WHERE webhook_id = ? AND started_at >= ?', [webhookId, since]);
}

function summarise(rows: readonly Row[]): Summary {
  let succeeded = 0;
  let failed = 0;
  const all: Histogram = new Map();
  for (const row of rows) {
    succeeded += Number(row.succeeded);
    failed += Number(row.failed);
    addTo(all, decode(row.histogram));
  }
  const [p50Ms, p95Ms, p99Ms] = [percentile(all, 0.5), percentile(all, 0.95), percentile(all, 0.99)];
  return { attempts: succeeded + failed, succeeded, failed, p50Ms, p95Ms, p99Ms };
}

function countedOf({ finished: { webhook, exchange } }: SettledBatch['verdicts'][number]): Counted {
  return { webhookId: webhook.id, isSuccess: exchange.outcome === 'SUCCESS', durationMs: exchange.durationMs };
}

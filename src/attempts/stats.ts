import { type Cancel, type Clock, DAY, HOUR, MINUTE, SECOND } from '../clock';
import type { SettledBatch } from '../delivery/facts';
import type { Facts } from '../facts';
import { groupBy } from '../group-by';
import { applicationIdOf } from '../ids';
import type { Log } from '../log';
import { nextTurn } from '../slices';
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
  /** Of request bodies that were sent. */
  readonly bytes: number;
}

/** How they went in one step of a series. */
export interface Point extends Summary {
  readonly startsAt: Date;
}

/** A series from `from` up to `to`: multiples of `stepMs`, which is one of a quarter of an hour; milliseconds since the epoch. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly stepMs: number;
}

/** An attempt, as far as it is counted. */
export interface Counted {
  readonly webhookId: string;
  readonly isSuccess: boolean;
  readonly durationMs: number;
  readonly bytes: number;
  /** When it had ended; milliseconds since the epoch. */
  readonly endedAt: number;
}

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

/** What this instance has counted of a webhook, or of an application, in a span. Its row is replaced whole. */
interface Bucket {
  readonly ownerId: string;
  readonly startedAt: number;
  /** Who counts in its row: this instance, with a number where an earlier row of its may be there. */
  readonly writer: string;
  succeeded: number;
  failed: number;
  bytes: number;
  readonly histogram: Histogram;
  isWritten: boolean;
}

/** Spans begin at the same times everywhere. */
export const BUCKET_MS = 15 * MINUTE;
/** How far back statistics can be asked for. */
export const MAX_STATS_AGE_MS = 7 * DAY;
/** A series begins with a whole step, of up to a day. */
const KEPT_MS = MAX_STATS_AGE_MS + DAY + HOUR;
const FLUSH_MS = 1 * SECOND;
const SWEEP_MS = 1 * HOUR;
const COLUMNS = ['webhook_id', 'started_at', 'instance_id', 'succeeded', 'failed', 'bytes', 'histogram'];
const ROWS_PER_STATEMENT = 200;
/** Reading one row takes some 20 µs: others have their turn between so many. */
const ROWS_PER_TURN = 200;

/**
 * Counts attempts by webhook, and by application, and quarter of an hour in which they ended. A row belongs to one instance,
 * so nobody waits for anybody; each holds what its instance has counted so far, written once a second at most. A crash loses
 * that second. The rows of an application stand beside those of its webhooks: a thousand webhooks need not be added up.
 */
export class Stats {
  readonly #deps: Deps;
  readonly #buckets = new Map<string, Bucket>();
  #cancelFlush: Cancel | undefined;
  /** Rows that this instance has begun of spans that were over. */
  #lateRows = 0;
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
    for (const attempt of attempts) {
      const span = spanOf(Math.min(attempt.endedAt, now));
      addAttempt(this.#bucketFor(attempt.webhookId, span, now), attempt);
      addAttempt(this.#bucketFor(applicationIdOf(attempt.webhookId), span, now), attempt);
    }
    this.#cancelFlush ??= this.#deps.clock.after(FLUSH_MS, () => {
      this.#cancelFlush = undefined;
      void this.flush();
    });
  }

  /** The attempts of the last `spanMs`, from the beginning of a quarter of an hour. */
  async read(webhookId: string, spanMs: number): Promise<Summary> {
    await this.flush();
    const { database, clock } = this.#deps;
    return summarise(await readBuckets(database.read, webhookId, spanOf(clock.now() - spanMs), Number.MAX_SAFE_INTEGER));
  }

  /** A point for each step, also where there was no attempt. `ownerId`: a webhook or an application. */
  async series(ownerId: string, { from, to, stepMs }: Span): Promise<Point[]> {
    await this.flush();
    const byStep = groupBy(
      await readBuckets(this.#deps.database.read, ownerId, from, to),
      (row) => Number(row.started_at) - (Number(row.started_at) % stepMs),
    );
    const points: Point[] = [];
    let rows = 0;
    for (let at = from; at < to; at += stepMs) {
      const own = byStep.get(at) ?? [];
      points.push({ startsAt: new Date(at), ...summarise(own) });
      rows += own.length;
      if (rows < ROWS_PER_TURN) continue;
      rows = 0;
      await nextTurn();
    }
    return points;
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

  /** One of a span that is over may have been written and forgotten: what comes late is counted in a row of its own. */
  #bucketFor(ownerId: string, startedAt: number, now: number): Bucket {
    const key = `${ownerId} ${startedAt}`;
    const known = this.#buckets.get(key);
    if (known) return known;
    const { instanceId } = this.#deps;
    const writer = startedAt < spanOf(now) ? `${instanceId}.${++this.#lateRows}` : instanceId;
    const bucket: Bucket = { ownerId, startedAt, writer, succeeded: 0, failed: 0, bytes: 0, histogram: new Map(), isWritten: false };
    this.#buckets.set(key, bucket);
    return bucket;
  }

  async #write(): Promise<void> {
    const { database, clock } = this.#deps;
    const dirty = [...this.#buckets.values()].filter(({ isWritten }) => !isWritten);
    for (let start = 0; start < dirty.length; start += ROWS_PER_STATEMENT) {
      const part = dirty.slice(start, start + ROWS_PER_STATEMENT);
      for (const bucket of part) bucket.isWritten = true; // what is counted from here on makes it dirty again
      const rows = part.map((b) => [b.ownerId, b.startedAt, b.writer, b.succeeded, b.failed, b.bytes, encode(b.histogram)]);
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

interface Row {
  readonly started_at: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly bytes: number;
  readonly histogram: string;
}

/** A webhook has a row a quarter of an hour, instance and start of it. */
const ROWS_PER_READ = 1_000;

async function readBuckets({ query }: Queries, ownerId: string, from: number, to: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (let [since, writer] = [from, '']; ; ) {
    const some = await query<Row & { instance_id: string }>(
      `SELECT started_at, instance_id, succeeded, failed, bytes, histogram FROM webhook_stats
        WHERE webhook_id = ? AND started_at < ? AND (started_at > ? OR (started_at = ? AND instance_id > ?))
        ORDER BY webhook_id, started_at, instance_id LIMIT ${ROWS_PER_READ}`,
      [ownerId, to, since, since, writer],
    );
    rows.push(...some);
    const last = some.at(-1);
    if (last === undefined || some.length < ROWS_PER_READ) return rows;
    [since, writer] = [Number(last.started_at), last.instance_id];
  }
}

function summarise(rows: readonly Row[]): Summary {
  let [succeeded, failed, bytes] = [0, 0, 0];
  const all: Histogram = new Map();
  for (const row of rows) {
    succeeded += Number(row.succeeded);
    failed += Number(row.failed);
    bytes += Number(row.bytes);
    addTo(all, decode(row.histogram));
  }
  const [p50Ms, p95Ms, p99Ms] = [percentile(all, 0.5), percentile(all, 0.95), percentile(all, 0.99)];
  return { attempts: succeeded + failed, succeeded, failed, p50Ms, p95Ms, p99Ms, bytes };
}

function addAttempt(bucket: Bucket, { isSuccess, durationMs, bytes }: Counted): void {
  if (isSuccess) bucket.succeeded++;
  else bucket.failed++;
  bucket.bytes += bytes;
  count(bucket.histogram, durationMs);
  bucket.isWritten = false;
}

/** Of these no body was sent. */
const WITHOUT_CONNECTION: ReadonlySet<string> = new Set(['DNS', 'CONNECT', 'TLS', 'BLOCKED_ADDRESS', 'PAYLOAD_ERROR']);

function countedOf({ finished: { webhook, exchange, body }, endedAt }: SettledBatch['verdicts'][number]): Counted {
  const { outcome, durationMs } = exchange;
  const bytes = WITHOUT_CONNECTION.has(outcome) ? 0 : (body?.bytes.length ?? 0);
  return { webhookId: webhook.id, isSuccess: outcome === 'SUCCESS', durationMs, bytes, endedAt };
}

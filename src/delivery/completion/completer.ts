import { type Clock, SECOND, sleep } from '../../clock';
import { DeliveryStatus } from '../../deliveries/delivery';
import { HubError } from '../../errors';
import type { OperationalEvents } from '../../events/operational-events';
import type { Facts } from '../../facts';
import { groupBy } from '../../group-by';
import type { Log } from '../../log';
import { Semaphore } from '../../semaphore';
import type { Database } from '../../store/database';
import type { Finished } from '../attempt';
import { isDerived } from '../request/body';
import { isTold, judge, settleBatch, type Verdict } from './settle';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly operationalEvents: Pick<OperationalEvents, 'transaction'>;
  readonly facts: Facts;
}

const MAX_ATTEMPTS_PER_BATCH = 300;
/** The same in what `charsOf` counts: more would hold the database, and the event loop, for long. The first may have more. */
const MAX_CHARS_PER_BATCH = 4 * 1024 * 1024;
/** Outcomes that wait while the database is away. Beyond it nothing more is sent until they are written. */
const MAX_WAITING = 5_000;
/** The same in characters of response bodies, each of which may have 65,536, and in bytes of bodies that are to be stored. */
const MAX_WAITING_CHARS = 32 * 1024 * 1024;
const MAX_BATCHES_ASIDE = 4;
const RETRY_MS = 250;
const MAX_RETRY_MS = 2 * SECOND;
/** How long shutting down waits for a database that is away. */
const PATIENCE_MS = 10 * SECOND;
/** A batch that fails for its own sake is tried so often before it is taken apart. */
const MAX_FAULTS = 2;

/** Group commit for outcomes: while one transaction is under way, what ends gathers for the next. Nothing is dropped. */
export class Completer {
  readonly #deps: Deps;
  #waiting: Verdict[] = [];
  #waitingChars = 0;
  #running: Promise<void> | undefined;
  /** Batches that have something to tell to the log of their application. */
  readonly #aside = new Semaphore(MAX_BATCHES_ASIDE);
  #isBehind = false;
  #givesUpAt = Number.POSITIVE_INFINITY;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Outcomes that wait to be written down. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Takes an outcome; `false` when too many wait and sending must pause. */
  add(finished: Finished): boolean {
    this.#waiting.push(judge(finished, this.#deps.random()));
    this.#waitingChars += charsOf(finished);
    this.#running ??= this.#run();
    if (this.#waiting.length >= MAX_WAITING || this.#waitingChars >= MAX_WAITING_CHARS) this.#isBehind = true;
    return !this.#isBehind;
  }

  /** Resolves when everything handed in so far is written, or the database has been away for too long to wait for it. */
  async drain(): Promise<void> {
    this.#givesUpAt = this.#deps.clock.monotonic() + PATIENCE_MS;
    await this.#running;
    await this.#aside.idle();
  }

  async #run(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, fitting(this.#waiting));
      const told = batch.filter(isTold);
      const byApplication = groupBy(told, ({ finished }) => finished.webhook.applicationId);
      for (const verdicts of byApplication.values()) await this.#writeAside(verdicts);
      await this.#settle(told.length === 0 ? batch : batch.filter((verdict) => !isTold(verdict)));
    }
    this.#running = undefined;
  }

  /** What the log of an application has to tell of waits for that log: the outcomes of others do not wait with it. */
  async #writeAside(verdicts: readonly Verdict[]): Promise<void> {
    await this.#aside.take();
    void this.#settle(verdicts).finally(() => this.#aside.release());
  }

  async #settle(batch: readonly Verdict[]): Promise<void> {
    if (batch.length === 0) return;
    await this.#write(batch);
    for (const { finished } of batch) this.#waitingChars -= charsOf(finished);
    if (!this.#isBehind || this.#waiting.length >= MAX_WAITING / 2 || this.#waitingChars >= MAX_WAITING_CHARS / 2) return;
    this.#isBehind = false;
    this.#deps.facts.settlingCaughtUp.emit();
  }

  /** Until it is written: an outcome that is lost would be a request that is repeated. */
  async #write(batch: readonly Verdict[]): Promise<void> {
    const { clock, database, log } = this.#deps;
    for (let tries = 1, faults = 0; ; tries++) {
      try {
        await this.#writeOnce(batch, tries);
        return;
      } catch (error) {
        log.warn({ tries, attempts: batch.length, error: describe(error) }, 'settle.failed');
        if (database.dialect.classify(error) === 'too_large') faults = MAX_FAULTS;
        else if (!isAway(error)) faults++;
        if (faults === MAX_FAULTS) return this.#takeApart(batch, error);
        if (clock.monotonic() > this.#givesUpAt) {
          log.error({ attempts: batch.length }, 'settle.given_up'); // others make these attempts once more
          return this.#letGo(batch);
        }
        await sleep(clock, Math.min(RETRY_MS * tries, MAX_RETRY_MS));
      }
    }
  }

  async #writeOnce(batch: readonly Verdict[], tries: number): Promise<void> {
    const { database, operationalEvents, instanceId, clock, log, facts } = this.#deps;
    const began = clock.monotonic();
    const { updates, fenced } = await settleBatch(database, operationalEvents, batch, instanceId);
    // After a commit whose answer was lost the second try finds nothing of its own left: that is not a fence.
    const refused = new Set(tries === 1 ? fenced : []);
    if (refused.size > 0) log.warn({ deliveries: fenced.length, first: fenced[0] }, 'settle.fenced');
    facts.updatesLogged.emit(updates);
    const written = batch.filter(({ finished }) => !refused.has(finished.job.deliveryId));
    this.#follow(batch);
    facts.attemptsSettled.emit({ verdicts: written, released: batch, durationMs: clock.monotonic() - began });
  }

  /** Something in the batch cannot be stored: it must hold up nothing else, and be stored with as much of it as can be. */
  async #takeApart(batch: readonly Verdict[], error: unknown): Promise<void> {
    const { log } = this.#deps;
    const middle = Math.ceil(batch.length / 2);
    const [only] = batch;
    if (only === undefined) return;
    if (batch.length > 1) {
      await this.#write(batch.slice(0, middle));
      await this.#write(batch.slice(middle));
      return;
    }
    const less = smaller(only, describe(error));
    if (less) return this.#write([less]);
    log.error({ deliveryId: only.finished.job.deliveryId, error: describe(error) }, 'settle.impossible'); // the reconciler releases it
    this.#letGo(batch);
  }

  /** They could not be written down: they are made once more. */
  #letGo(batch: readonly Verdict[]): void {
    this.#deps.facts.attemptsSettled.emit({ verdicts: [], released: batch, durationMs: 0 });
  }

  #follow(batch: readonly Verdict[]): void {
    const { log, facts } = this.#deps;
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
    }
    if (earliest < Number.POSITIVE_INFINITY) facts.deliveryScheduled.emit({ delayMs: earliest });
  }
}

function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}

function charsOf({ exchange, body, job }: Finished): number {
  const fixed = body !== null && job.body === null && !isDerived(body.key) ? body.bytes.length : 0;
  return fixed + (exchange.responseBody?.length ?? 0);
}

/** How many of the first make a batch. */
function fitting(verdicts: readonly Verdict[]): number {
  let chars = 0;
  for (const [index, { finished }] of verdicts.entries()) {
    chars += charsOf(finished);
    if (index === MAX_ATTEMPTS_PER_BATCH || (index > 0 && chars > MAX_CHARS_PER_BATCH)) return index;
  }
  return verdicts.length;
}

const MAX_REASON_CHARS = 300;

/** Pure: the same outcome with less beside it to be stored; undefined when it is down to the facts. */
export function smaller(verdict: Verdict, reason: string): Verdict | undefined {
  const { finished } = verdict;
  const { exchange, request, body, job } = finished;
  const why = reason.slice(0, MAX_REASON_CHARS);
  const said = exchange.error === null ? '' : `${exchange.error.slice(0, MAX_REASON_CHARS)}; `;
  if (exchange.responseBody !== null || exchange.responseHeaders.length > 0) {
    const error = `${said}the response could not be stored: ${why}`;
    const without = { ...exchange, responseHeaders: [], responseBody: null, responseTruncated: true, error };
    return { ...verdict, finished: { ...finished, exchange: without } };
  }
  if (body !== null && job.body === null && !isDerived(body.key)) {
    // Every attempt has to send the same bytes, and these will not be known to the next one.
    const error = `${said}the body could not be stored, and is not sent again: ${why}`;
    const isOver = verdict.status === DeliveryStatus.RETRYING;
    const ended = isOver ? { status: DeliveryStatus.FAILED as const, delayMs: null } : {};
    return { ...verdict, ...ended, finished: { ...finished, body: null, exchange: { ...exchange, error } } };
  }
  if (request.headers.length === 0) return undefined;
  const error = `${said}the headers of the request could not be stored: ${why}`;
  return { ...verdict, finished: { ...finished, request: { ...request, headers: [] }, exchange: { ...exchange, error } } };
}

/** Whether the database, not what was to be written, is the reason. */
function isAway(error: unknown): boolean {
  return error instanceof HubError;
}

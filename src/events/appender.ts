import { refuseUnknown } from '../applications/applications';
import { type Clock, SECOND, sleep } from '../clock';
import type { Delivery } from '../deliveries/delivery';
import { HubError, InputRefused, UserErrorCode } from '../errors';
import { FairShare } from '../fair-share';
import type { Room } from '../fanout/fan-out';
import type { LoggedUpdate } from '../live/update-log';
import type { Log } from '../log';
import { CommitInDoubt, type Database } from '../store/database';
import type { Directory } from '../webhooks/directory';
import { type AppendedEvent, type AppendRequest, append, type Batch } from './append';
import type { Event } from './event';
import { PendingAppends } from './pending-appends';

/** A batch's claim on the queues: kept when the batch is stored, given back when it is not. */
export interface Reservation extends Room {
  /** Forgets what was reserved. */
  release(): void;
  /** The deliveries are stored; those that are owned here are sent. */
  take(deliveries: readonly Delivery[], events: readonly Event[]): void;
}

interface Deps {
  readonly database: Database;
  readonly directory: Directory;
  readonly clock: Clock;
  readonly log: Log;
  readonly reserve: () => Reservation;
  readonly announce: (events: readonly Event[], updates: ReadonlyMap<string, LoggedUpdate[]>) => void;
  /** A batch is stored; it took so many milliseconds. */
  readonly committed?: (batch: Batch, durationMs: number) => void;
}

/**
 * How many events join one transaction, and how many may wait for theirs before publishers are told to slow down. What may
 * wait is divided between applications: one alone has half of it.
 */
const MOST_EVENTS_A_BATCH = 500;
const MOST_CHARS_A_BATCH = 8 * 1024 * 1024;
const MOST_PENDING_EVENTS = 20_000;
const MOST_PENDING_CHARS = 64 * 1024 * 1024;
const RETRY_AFTER_SECONDS = 1;

/** How long an answer may wait for the database to tell what became of a commit whose own answer was lost. */
const DOUBT_MS = 20 * SECOND;

interface Waiting {
  readonly request: AppendRequest;
  readonly chars: number;
  readonly resolve: (answer: readonly AppendedEvent[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A transaction that takes longer, such as that of an event for a thousand webhooks, is overtaken by other applications. */
const OVERTAKE_MS = 10;
const MOST_AT_ONCE = 4;

/**
 * Group commit: while one transaction is under way, what arrives gathers for the next one. A lone publish waits for
 * nobody, a crowd shares a commit. Answers come after the commit. An application is in one transaction at a time.
 */
export class Appender {
  readonly #deps: Deps;
  readonly #waiting = new PendingAppends<Waiting>();
  readonly #underWay = new Set<Promise<void>>();
  /** The applications in the transactions under way. */
  readonly #busy = new Set<string>();
  #newest: Promise<void> | undefined;
  /** All transactions under way have taken long by now. */
  #mayOvertake = false;
  #isLooking = false;
  readonly #pendingEvents = new FairShare(MOST_PENDING_EVENTS);
  readonly #pendingChars = new FairShare(MOST_PENDING_CHARS);
  #isStopping = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * Stores events of one application, all in one transaction and in the order given.
   * @throws HubError RATE_LIMITED when too much waits already, UNAVAILABLE when the database is away
   * @throws InputRefused NOT_FOUND when there is no such application
   */
  async append(request: AppendRequest): Promise<readonly AppendedEvent[]> {
    if (this.#isStopping) throw new HubError('UNAVAILABLE', 'The hub is shutting down: nothing was stored, try again.');
    const { applicationId, events } = request;
    const chars = events.reduce((sum, event) => sum + event.payloadText.length, 0);
    if (!this.#pendingEvents.allows(applicationId, events.length) || !this.#pendingChars.allows(applicationId, chars))
      throw new HubError('RATE_LIMITED', `Too many events wait to be stored: try again in ${RETRY_AFTER_SECONDS} s.`, RETRY_AFTER_SECONDS);
    this.#pendingEvents.take(applicationId, events.length);
    this.#pendingChars.take(applicationId, chars);
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.add({ request, chars, resolve, reject });
        this.#look();
      });
    } finally {
      this.#pendingEvents.giveBack(applicationId, events.length);
      this.#pendingChars.giveBack(applicationId, chars);
    }
  }

  /** Events that wait to be stored, those being stored included. */
  get pendingEvents(): number {
    return this.#pendingEvents.total;
  }

  /** Stores what waits, refuses what comes. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#begin();
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /** What this turn of the event loop still brings joins the batch. */
  #look(): void {
    if (this.#isLooking || !this.#mayBegin()) return;
    this.#isLooking = true;
    setImmediate(() => {
      this.#isLooking = false;
      this.#begin();
    });
  }

  #mayBegin(): boolean {
    if (this.#underWay.size === 0) return true;
    return this.#mayOvertake && this.#underWay.size < MOST_AT_ONCE && this.#deps.database.dialect.supportsManyInstances;
  }

  #begin(): void {
    if (!this.#mayBegin()) return;
    const batch = this.#nextBatch();
    if (batch.length === 0) return;
    const applications = new Set(batch.map(({ request }) => request.applicationId));
    for (const id of applications) this.#busy.add(id);
    this.#mayOvertake = false;
    const cancel = this.#deps.clock.after(OVERTAKE_MS, () => {
      this.#mayOvertake = true;
      this.#begin();
    });
    const done = this.#commit(batch).finally(() => {
      cancel();
      for (const id of applications) this.#busy.delete(id);
      this.#underWay.delete(done);
      if (this.#newest === done) this.#mayOvertake = true; // it began when the others had taken long
      this.#begin();
    });
    this.#newest = done;
    this.#underWay.add(done);
  }

  /**
   * Of each application in turn the publish that waits longest, without those whose application is in a transaction
   * already. A backlog of 10,000 events of one application is a second's work: the lone publish of another is not behind it.
   */
  #nextBatch(): readonly Waiting[] {
    let events = 0;
    let chars = 0;
    return this.#waiting.take(({ request, chars: more }) => {
      if (this.#busy.has(request.applicationId)) return false;
      if (events > 0 && (events + request.events.length > MOST_EVENTS_A_BATCH || chars + more > MOST_CHARS_A_BATCH)) return false;
      events += request.events.length;
      chars += more;
      return true;
    });
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const reservation = this.#deps.reserve();
    const began = this.#deps.clock.monotonic();
    try {
      this.#answer(batch, await this.#store(batch, reservation), reservation, began);
    } catch (error) {
      reservation.release();
      // Whatever is wrong with one of them must not be the end of its neighbours.
      if (batch.length > 1 && !(error instanceof HubError)) for (const one of batch) await this.#commit([one]);
      else for (const { reject } of batch) reject(this.#explained(error));
    }
  }

  #explained(error: unknown): unknown {
    if (this.#deps.database.dialect.classify(error) !== 'too_large') return error;
    const { message } = error as Error;
    return new InputRefused([{ field: ['payload'], message: `is too large for the database: ${message}`, code: UserErrorCode.TOO_LARGE }]);
  }

  #answer(batch: readonly Waiting[], result: Batch, reservation: Reservation, began: number): void {
    const { answers, stored, deliveries, updates } = result;
    try {
      reservation.take(deliveries, stored);
      this.#deps.announce(stored, updates);
      this.#deps.committed?.(result, this.#deps.clock.monotonic() - began);
    } catch (error) {
      // It is stored all the same: the deliveries are found again as strays, watchers find the events in the log.
      this.#deps.log.error({ events: stored.length, error: (error as Error).stack }, 'append.fault');
    }
    for (const [index, { request, resolve, reject }] of batch.entries()) {
      const answer = answers[index];
      if (answer) resolve(answer);
      else reject(unknownApplication(request.applicationId));
    }
  }

  async #store(batch: readonly Waiting[], reservation: Reservation): Promise<Batch> {
    const { database, directory } = this.#deps;
    let latest: Batch | undefined;
    try {
      return await database.transaction(async (tx) => {
        reservation.release(); // of an earlier try of this transaction
        latest = await append(
          tx,
          batch.map(({ request }) => request),
          directory,
          reservation,
        );
        return latest;
      });
    } catch (error) {
      if (!(error instanceof CommitInDoubt) || !latest) throw error;
      if (await this.#wasStored(latest)) return latest;
      throw new HubError('UNAVAILABLE');
    }
  }

  /**
   * The connection broke while committing. The counter row is locked until the server has decided, so once it can be
   * locked here, the log tells whether the batch is in it.
   * @throws CommitInDoubt when the database cannot be asked for too long
   */
  async #wasStored({ stored }: Batch): Promise<boolean> {
    const { database, clock, log } = this.#deps;
    const [first] = stored;
    if (!first) return true;
    for (const since = clock.monotonic(); ; await sleep(clock, 200)) {
      try {
        return await database.transaction(async (tx) => {
          await tx.query(`SELECT last_sequence FROM counters WHERE application_id = ? AND log = 'event' ${tx.dialect.forUpdate}`, [
            first.applicationId,
          ]);
          const rows = await tx.query('SELECT id FROM events WHERE application_id = ? AND sequence = ? AND id = ?', [
            first.applicationId,
            first.sequence,
            first.id,
          ]);
          return rows.length > 0;
        });
      } catch (error) {
        if (clock.monotonic() - since < DOUBT_MS) continue;
        log.error({ applicationId: first.applicationId, sequence: first.sequence, error: (error as Error).message }, 'append.in_doubt');
        throw new CommitInDoubt(error);
      }
    }
  }
}

function unknownApplication(applicationId: string): InputRefused {
  try {
    return refuseUnknown(applicationId);
  } catch (error) {
    return error as InputRefused;
  }
}

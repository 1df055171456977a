import { refuseUnknown } from '../applications/applications';
import { type Clock, SECOND, sleep } from '../clock';
import type { Delivery } from '../deliveries/delivery';
import { HubError, InputRefused, UserErrorCode } from '../errors';
import type { Facts } from '../facts';
import { FairShare } from '../fair-share';
import type { Room } from '../fanout/fan-out';
import { type Selection, Selector } from '../fanout/select';
import type { Log } from '../log';
import { nextTurn, Slices } from '../slices';
import { CommitInDoubt, type Database } from '../store/database';
import { TurnQueues } from '../turn-queues';
import { SecretKeyMissing } from '../webhooks/seal';
import type { WebhookCache } from '../webhooks/webhook-cache';
import {
  type AppendedEvent,
  type AppendPart,
  type AppendRequest,
  append,
  type Batch,
  MAX_DELIVERIES_PER_TURN,
  type NewEvent,
} from './append';
import type { Event } from './event';

/** A batch's claim on the queues: kept when the batch is stored, given back when it is not. */
export interface Reservation extends Room {
  /** Forgets what was reserved. */
  release(): void;
  /** The deliveries are stored; those that are owned here are sent. */
  take(deliveries: readonly Delivery[], events: readonly Event[]): void;
}

interface Deps {
  readonly database: Database;
  readonly directory: WebhookCache;
  readonly clock: Clock;
  readonly log: Log;
  readonly delivery: { reserve(): Reservation };
  readonly facts: Facts;
  readonly slices?: Slices;
}

/**
 * How many events join one transaction, and how many may wait for theirs before publishers are told to slow down. What may
 * wait is divided between applications: one alone has half of it.
 */
const MAX_EVENTS_PER_BATCH = 500;
const MAX_CHARS_PER_BATCH = 8 * 1024 * 1024;
const MAX_PENDING_EVENTS = 20_000;
const MAX_PENDING_CHARS = 64 * 1024 * 1024;
const RETRY_AFTER_SECONDS = 1;

/** How long an answer may wait for the database to tell what became of a commit whose own answer was lost. */
const DOUBT_MS = 20 * SECOND;

/**
 * Deliveries in one transaction, but for an event that has more of them by itself: it is never stored without all of
 * its own. 2,000 take SQLite about 100 ms, for which it serves nobody else.
 */
const MAX_DELIVERIES_PER_TRANSACTION = 2_000;

/** How long shutting down waits for events that are not in a transaction yet. */
const STOP_MS = 5 * SECOND;

/** The first events of a request are stored, the others are not: a later transaction has failed. */
export class PartlyStored extends HubError {
  constructor(
    readonly answers: readonly AppendedEvent[],
    events: number,
    cause: unknown,
  ) {
    super('UNAVAILABLE', `The first ${answers.length} of ${events} events are stored, the others are not: publish those again.`);
    this.cause = cause;
  }
}

interface Waiting {
  readonly request: AppendRequest;
  readonly chars: number;
  /** What became of its first events; the others are still to be stored. */
  readonly answers: AppendedEvent[];
  /** Which webhooks get the events after those, as far as it is decided. */
  selections: Selection[];
  readonly resolve: (answer: readonly AppendedEvent[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Events of one request that are stored in one transaction. */
interface Part {
  readonly waiting: Waiting;
  readonly events: readonly NewEvent[];
  readonly selections: readonly Selection[];
}

/** What fits into a transaction. */
interface TransactionRoom {
  events: number;
  chars: number;
  deliveries: number;
  isEmpty: boolean;
}

/** A transaction that takes longer, such as that of an event for a thousand webhooks, is overtaken by other applications. */
const OVERTAKE_MS = 10;
const MAX_AT_ONCE = 4;

/**
 * Group commit: while one transaction is under way, what arrives gathers for the next one. A lone publish waits for
 * nobody, a crowd shares a commit. Answers come after the commit. An application is in one transaction at a time, and
 * applications take turns. Which webhooks get an event is decided before, in slices, so that a transaction has a
 * bounded number of deliveries and a request that has more is stored in several.
 */
export class GroupCommitter {
  readonly #deps: Deps;
  readonly #selector: Selector;
  readonly #waiting = new TurnQueues<Waiting>();
  readonly #underWay = new Set<Promise<void>>();
  /** The applications in the transactions under way. */
  readonly #busy = new Set<string>();
  /** The applications for whose next events it is being decided which webhooks get them. */
  readonly #selecting = new Map<string, Promise<void>>();
  #newest: Promise<void> | undefined;
  /** All transactions under way have taken long by now. */
  #mayOvertake = false;
  #isLooking = false;
  readonly #pendingEvents = new FairShare(MAX_PENDING_EVENTS);
  readonly #pendingChars = new FairShare(MAX_PENDING_CHARS);
  #isStopping = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#selector = new Selector(deps.slices ?? new Slices());
  }

  /**
   * Stores events of one application, in the order given: in one transaction, unless they have too many deliveries.
   * @throws HubError RATE_LIMITED when too much waits already, UNAVAILABLE when the database is away
   * @throws PartlyStored when only the first of them are stored
   * @throws InputRefused NOT_FOUND when there is no such application
   */
  async append(request: AppendRequest): Promise<readonly AppendedEvent[]> {
    if (this.#isStopping) throw shuttingDown();
    const { applicationId, events } = request;
    const chars = events.reduce((sum, event) => sum + event.payloadText.length, 0);
    if (!this.#pendingEvents.allows(applicationId, events.length) || !this.#pendingChars.allows(applicationId, chars))
      throw new HubError('RATE_LIMITED', `Too many events wait to be stored: try again in ${RETRY_AFTER_SECONDS} s.`, RETRY_AFTER_SECONDS);
    this.#pendingEvents.take(applicationId, events.length);
    this.#pendingChars.take(applicationId, chars);
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.add(applicationId, { request, chars, answers: [], selections: [], resolve, reject });
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

  /** Stores what waits, refuses what comes. What has not begun to be stored after `STOP_MS` is refused as well. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#begin();
    const cancel = this.#deps.clock.after(STOP_MS, () => {
      for (const waiting of this.#waiting.removeAll()) fail(waiting, shuttingDown());
    });
    while (this.#underWay.size + this.#selecting.size > 0) await Promise.all([...this.#underWay, ...this.#selecting.values()]);
    cancel();
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
    return this.#mayOvertake && this.#underWay.size < MAX_AT_ONCE && this.#deps.database.dialect.supportsManyInstances;
  }

  #begin(): void {
    if (!this.#mayBegin()) return;
    const batch = this.#nextBatch();
    if (batch.length === 0) return;
    const applications = new Set(batch.map(({ waiting }) => waiting.request.applicationId));
    for (const id of applications) this.#busy.add(id);
    this.#mayOvertake = false;
    const cancel = this.#deps.clock.after(OVERTAKE_MS, () => {
      this.#mayOvertake = true;
      this.#begin();
    });
    const done = this.#commit(batch).finally(async () => {
      cancel();
      const deliveries = batch.reduce((sum, { selections }) => sum + selections.reduce((all, { wanted }) => all + wanted.length, 0), 0);
      if (deliveries > MAX_DELIVERIES_PER_TURN) await nextTurn();
      for (const id of applications) this.#busy.delete(id);
      this.#underWay.delete(done);
      if (this.#newest === done) this.#mayOvertake = true; // it began when the others had taken long
      this.#begin();
    });
    this.#newest = done;
    this.#underWay.add(done);
  }

  /**
   * Of each application in turn the publish that waits longest, or as much of it as fits, without those whose application
   * is in a transaction already. A backlog of 10,000 events of one application is a second's work: the lone publish of
   * another is not behind it.
   */
  #nextBatch(): readonly Part[] {
    const batch: Part[] = [];
    const room: TransactionRoom = {
      events: MAX_EVENTS_PER_BATCH,
      chars: MAX_CHARS_PER_BATCH,
      deliveries: MAX_DELIVERIES_PER_TRANSACTION,
      isEmpty: true,
    };
    /** Applications of which nothing more is taken: not ready, or the next of it does not fit. */
    const closed = new Set<string>();
    this.#waiting.take((waiting) => {
      const { applicationId, events } = waiting.request;
      if (closed.has(applicationId) || this.#busy.has(applicationId) || this.#selecting.has(applicationId)) return false;
      const part = this.#partOf(waiting, room);
      if (part === null) {
        closed.add(applicationId);
        return false;
      }
      batch.push(part);
      if (waiting.answers.length + part.events.length === events.length) return true;
      closed.add(applicationId);
      return 'partly';
    });
    return batch;
  }

  /** As many events of a request as fit: all, but where there are too many deliveries. Null where none do, or not now. */
  #partOf(waiting: Waiting, room: TransactionRoom): Part | null {
    const { request, chars, answers, selections } = waiting;
    const snapshot = this.#deps.directory.peek(request.applicationId);
    const remaining = request.events.length - answers.length;
    if (!room.isEmpty && (remaining > room.events || chars > room.chars)) return null;
    let deliveries = 0;
    let taken = 0;
    for (; taken < remaining; taken++) {
      const event = request.events[answers.length + taken];
      const selection = selections[taken] ?? (event && snapshot && this.#selector.known(event, snapshot));
      if (selection === undefined) {
        if (deliveries >= MAX_DELIVERIES_PER_TRANSACTION) break;
        this.#beginSelecting(request.applicationId);
        return null;
      }
      selections[taken] = selection;
      const isFirst = room.isEmpty && taken === 0;
      if (!isFirst && deliveries + selection.wanted.length > room.deliveries) break;
      deliveries += selection.wanted.length;
    }
    if (taken === 0) return null;
    room.isEmpty = false;
    room.events -= taken;
    room.chars -= chars;
    room.deliveries -= deliveries;
    const events = taken === request.events.length ? request.events : request.events.slice(answers.length, answers.length + taken);
    waiting.selections = selections.slice(taken);
    return { waiting, events, selections: selections.slice(0, taken) };
  }

  #beginSelecting(applicationId: string): void {
    const done = this.#select(applicationId)
      .catch((error: unknown) => {
        for (const waiting of this.#waiting.removeOf(applicationId)) fail(waiting, error);
      })
      .finally(() => {
        this.#selecting.delete(applicationId);
        this.#begin();
      });
    this.#selecting.set(applicationId, done);
  }

  /** Decides which webhooks get the next events of an application, as many as fill a transaction. */
  async #select(applicationId: string): Promise<void> {
    const snapshot = await this.#deps.directory.know(applicationId);
    let deliveries = 0;
    let events = 0;
    for (const { request, answers, selections } of [...this.#waiting.of(applicationId)]) {
      for (let index = 0; answers.length + index < request.events.length; index++) {
        const event = request.events[answers.length + index];
        if (event === undefined || this.#waiting.of(applicationId).length === 0) return; // shutting down
        const selection =
          selections[index] ?? this.#selector.known(event, snapshot) ?? (await this.#selector.select(applicationId, event, snapshot));
        selections[index] = selection;
        deliveries += selection.wanted.length;
        if (deliveries >= MAX_DELIVERIES_PER_TRANSACTION) return;
      }
      events += request.events.length - answers.length;
      if (events >= MAX_EVENTS_PER_BATCH) return;
    }
  }

  async #commit(batch: readonly Part[]): Promise<void> {
    const reservation = this.#deps.delivery.reserve();
    const began = this.#deps.clock.monotonic();
    try {
      this.#answer(batch, await this.#store(batch, reservation), reservation, began);
    } catch (error) {
      reservation.release();
      // Whatever is wrong with one of them must not be the end of its neighbours.
      if (batch.length > 1 && isOfOne(error)) for (const one of batch) await this.#commit([one]);
      else for (const { waiting } of batch) this.#fail(waiting, this.#explained(error));
    }
  }

  #explained(error: unknown): unknown {
    if (this.#deps.database.dialect.classify(error) !== 'too_large') return error;
    const { message } = error as Error;
    return new InputRefused([{ field: ['payload'], message: `is too large for the database: ${message}`, code: UserErrorCode.TOO_LARGE }]);
  }

  #answer(batch: readonly Part[], result: Batch, reservation: Reservation, began: number): void {
    const { answers, stored, deliveries } = result;
    const { clock, facts } = this.#deps;
    const stage = { durationMs: clock.monotonic() - began, endedAt: clock.now() }; // before the first attempt begins
    try {
      reservation.take(deliveries, stored);
      facts.eventsStored.emit({ batch: result, ...stage });
    } catch (error) {
      // It is stored all the same: the deliveries are found by the reconciler, watchers find the events in the log.
      this.#deps.log.error({ events: stored.length, error: (error as Error).stack }, 'append.fault');
    }
    for (const [index, { waiting }] of batch.entries()) {
      const answer = answers[index];
      if (!answer) {
        this.#fail(waiting, unknownApplication(waiting.request.applicationId));
        continue;
      }
      if (answer.length === waiting.request.events.length) {
        waiting.resolve(answer);
        continue;
      }
      for (const one of answer) waiting.answers.push(one);
      if (waiting.answers.length === waiting.request.events.length) waiting.resolve(waiting.answers);
    }
  }

  #fail(waiting: Waiting, error: unknown): void {
    this.#waiting.remove(waiting.request.applicationId, waiting);
    fail(waiting, error);
  }

  async #store(batch: readonly Part[], reservation: Reservation): Promise<Batch> {
    const { database, directory } = this.#deps;
    const parts = batch.map(({ waiting, events, selections }): AppendPart => {
      return events === waiting.request.events ? { ...waiting.request, selections } : { ...waiting.request, events, selections };
    });
    let latest: Batch | undefined;
    try {
      return await database.transaction(async (tx) => {
        reservation.release(); // of an earlier try of this transaction
        latest = await append(tx, parts, directory, reservation, this.#selector);
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

/** Refuses what is left of a request. */
function fail({ request, answers, reject }: Waiting, error: unknown): void {
  reject(answers.length > 0 ? new PartlyStored(answers, request.events.length, error) : error);
}

/** What is wrong with one of a batch, or may be, and says nothing of the others. */
function isOfOne(error: unknown): boolean {
  return !(error instanceof HubError) || error instanceof SecretKeyMissing;
}

function shuttingDown(): HubError {
  return new HubError('UNAVAILABLE', 'The hub is shutting down: nothing was stored, try again.');
}

function unknownApplication(applicationId: string): InputRefused {
  try {
    return refuseUnknown(applicationId);
  } catch (error) {
    return error as InputRefused;
  }
}

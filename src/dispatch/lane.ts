import type { AttemptTrigger } from '../attempts/attempt';
import type { Cancel } from '../clock';
import type { Event } from '../events/event';
import type { LiveWebhook } from '../webhooks/directory';
import type { FixedBody } from './body';
import type { Flow } from './flow';

/** A delivery that this instance owns and has in memory. */
export interface Job {
  readonly deliveryId: string;
  readonly event: Event;
  /** How many attempts it has behind it; fences the settling. */
  readonly attemptCount: number;
  readonly trigger: AttemptTrigger;
  /** The body that an earlier attempt has fixed; null: none has. */
  readonly body: FixedBody | null;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** What it takes of memory while it waits, in bytes, see `weightOf` and `weightWith`. */
  readonly weight: number;
}

/** What a payload of so many characters is taken to weigh in memory, in bytes: its text, and the body made of it. */
export const weightOf = (payloadChars: number) => 512 + 2 * payloadChars;

/** The same with a body that was read from the database, which a payload query may have made larger than the payload. */
export const weightWith = (body: FixedBody | null, payloadChars: number) =>
  512 + payloadChars + Math.max(payloadChars, body?.bytes.length ?? 0);

/** The characters that `weightOf` makes the same of: what a delivery says of itself in the database before it is claimed. */
export const charsWith = (body: FixedBody, payloadChars: number) => Math.ceil((payloadChars + body.bytes.length) / 2);

/** First attempts that may pass a retry which waits. */
const MOST_AHEAD = 3;

/** One webhook's way out: what waits, first attempts before retries; what is in flight, what is promised. */
export class Lane {
  webhook: LiveWebhook;
  readonly flow: Flow;
  inFlight = 0;
  /** Room given to appends that have not committed yet. */
  reserved = 0;
  /** Bytes of whatever is promised, queued, in flight or waits to be written down. */
  weight = 0;
  /** Older deliveries wait in the database: new ones line up behind them there, not here. */
  hasBacklog = false;
  /** The backlog was asked for. */
  isAsking = false;
  /** Its last request ran into the deadline. */
  isTimingOut = false;
  /** The webhook was deleted. */
  isGone = false;
  /** Of the timer that looks at it again when it has to wait. */
  cancelWake: Cancel | undefined;
  /** First attempts, and what follows them. */
  readonly #fresh = new Queue();
  readonly #retries = new Queue();
  /** First attempts since the last retry, while both wait. */
  #ahead = 0;

  constructor(webhook: LiveWebhook, flow: Flow) {
    this.webhook = webhook;
    this.flow = flow;
  }

  get isActive(): boolean {
    return !this.isGone && this.webhook.isSending;
  }

  get queued(): number {
    return this.#fresh.length + this.#retries.length;
  }

  /** First attempts among them. */
  get fresh(): number {
    return this.#fresh.length;
  }

  /** Retries wait here, and maybe more of them in the database: a new event need not line up behind a day of them. */
  get hasRetries(): boolean {
    return this.#retries.length > 0;
  }

  /** Whether what comes next may well keep its slot until the deadline: a retry, or a webhook whose last request did. */
  get mayHang(): boolean {
    return this.isTimingOut || this.#nextQueue === this.#retries;
  }

  /** Nothing of it is in memory, and nothing has to be remembered about it. */
  get isIdle(): boolean {
    return this.weight === 0 && !this.hasBacklog;
  }

  push(job: Job): void {
    (job.attemptCount > 0 ? this.#retries : this.#fresh).push(job);
  }

  shift(): Job | undefined {
    const queue = this.#nextQueue;
    this.#ahead = queue === this.#fresh && this.hasRetries ? this.#ahead + 1 : 0;
    return queue.shift();
  }

  /** Takes every queued job that `isWanted` names out of the queue. */
  remove(isWanted: (job: Job) => boolean): Job[] {
    return [...this.#fresh.remove(isWanted), ...this.#retries.remove(isWanted)];
  }

  /** First attempts go first, but let a retry in now and then. */
  get #nextQueue(): Queue {
    if (this.#retries.length === 0) return this.#fresh;
    return this.#fresh.length === 0 || this.#ahead >= MOST_AHEAD ? this.#retries : this.#fresh;
  }
}

/** First in, first out. */
class Queue {
  #jobs: Job[] = [];
  /** Index of the first job: shifting a long array would move all of it. */
  #first = 0;

  get length(): number {
    return this.#jobs.length - this.#first;
  }

  push(job: Job): void {
    this.#jobs.push(job);
  }

  shift(): Job | undefined {
    const job = this.#jobs[this.#first];
    if (job === undefined) return undefined;
    this.#first++;
    if (this.#first > 64 && this.#first * 2 > this.#jobs.length) {
      this.#jobs = this.#jobs.slice(this.#first);
      this.#first = 0;
    }
    return job;
  }

  remove(isWanted: (job: Job) => boolean): Job[] {
    const removed: Job[] = [];
    const kept: Job[] = [];
    for (const job of this.#jobs.slice(this.#first)) (isWanted(job) ? removed : kept).push(job);
    this.#jobs = kept;
    this.#first = 0;
    return removed;
  }
}

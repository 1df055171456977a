import type { AttemptTrigger } from '../attempts/attempt';
import type { Event } from '../events/event';
import type { LiveWebhook } from '../webhooks/directory';

/** A delivery that this instance owns and has in memory. */
export interface Job {
  readonly deliveryId: string;
  readonly event: Event;
  /** How many attempts it has behind it; fences the settling. */
  readonly attemptCount: number;
  readonly trigger: AttemptTrigger;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** What a queued payload is taken to weigh in memory: text, parsed object and body. */
export const weightOf = (event: Event) => 512 + 2 * event.payloadText.length;

/** One webhook's way out: a first-in, first-out queue, what is in flight, what is promised. */
export class Lane {
  webhook: LiveWebhook;
  inFlight = 0;
  /** Room given to appends that have not committed yet. */
  reserved = 0;
  /** More waits in the database than fits here. */
  hasBacklog = false;
  #jobs: Job[] = [];
  /** Index of the first job: shifting a long array would move all of it. */
  #first = 0;

  constructor(webhook: LiveWebhook) {
    this.webhook = webhook;
  }

  get queued(): number {
    return this.#jobs.length - this.#first;
  }

  get isIdle(): boolean {
    return this.queued === 0 && this.inFlight === 0 && this.reserved === 0;
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

  /** Takes every queued job that `isWanted` names out of the queue. */
  remove(isWanted: (job: Job) => boolean): Job[] {
    const removed: Job[] = [];
    const kept: Job[] = [];
    for (const job of this.#jobs.slice(this.#first)) (isWanted(job) ? removed : kept).push(job);
    this.#jobs = kept;
    this.#first = 0;
    return removed;
  }
}

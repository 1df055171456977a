import type { Job } from '../job';
import { JobList } from './job-list';
import type { Fate, WebhookQueue } from './webhook-queue';

/** A queue longer than this is better kept in the database, where every instance can take from it. */
export const MAX_WAITING_PER_WEBHOOK = 1_000;

/** First attempts that may pass a retry which waits. */
const MAX_FIRST_ATTEMPTS_AHEAD = 3;

/** For a webhook that keeps no order: first attempts in the order they came, and every fourth place for a retry. */
export class FifoQueue implements WebhookQueue {
  readonly capacity = MAX_WAITING_PER_WEBHOOK;
  readonly #fresh = new JobList();
  readonly #retries = new JobList();
  readonly #ids = new Set<string>();
  /** First attempts since the last retry, while both wait. */
  #ahead = 0;

  get waiting(): number {
    return this.#fresh.length + this.#retries.length;
  }

  get hasNext(): boolean {
    return this.waiting > 0;
  }

  get mayHang(): boolean {
    return this.#nextList === this.#retries;
  }

  /** Where retries wait, a new event need not line up behind a day of them in the database. */
  admits({ most, reserved, hasBacklog }: { most: number; reserved: number; hasBacklog: boolean }): boolean {
    if (hasBacklog && this.#retries.length === 0) return false;
    return this.#fresh.length + reserved < Math.min(most, this.capacity);
  }

  push(jobs: readonly Job[]): void {
    for (const job of jobs) {
      this.#ids.add(job.deliveryId);
      (job.attemptCount > 0 ? this.#retries : this.#fresh).push(job);
    }
  }

  next(): Job | undefined {
    const list = this.#nextList;
    this.#ahead = list === this.#fresh && this.#retries.length > 0 ? this.#ahead + 1 : 0;
    return list.shift();
  }

  finished(deliveryId: string, _fate: Fate): readonly Job[] {
    this.#ids.delete(deliveryId);
    return [];
  }

  dropped(deliveryId: string): void {
    this.#ids.delete(deliveryId);
  }

  take(isWanted: (job: Job) => boolean): Job[] {
    const taken = [...this.#fresh.take(isWanted), ...this.#retries.take(isWanted)];
    for (const { deliveryId } of taken) this.#ids.delete(deliveryId);
    return taken;
  }

  has(deliveryId: string): boolean {
    return this.#ids.has(deliveryId);
  }

  /** First attempts go first, but let a retry in now and then. */
  get #nextList(): JobList {
    if (this.#retries.length === 0) return this.#fresh;
    return this.#fresh.length === 0 || this.#ahead >= MAX_FIRST_ATTEMPTS_AHEAD ? this.#retries : this.#fresh;
  }
}

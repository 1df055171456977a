import { Ordering } from '../../webhooks/webhook';
import type { Job } from '../job';
import { JobList } from './job-list';
import type { Fate, WebhookQueue } from './webhook-queue';

/** What is claimed ahead of its turn: enough that a claim's transaction is shared by many. */
export const MAX_WAITING_PER_ORDERED_WEBHOOK = 100;

/** What STRICT keeps in order: everything. */
const WHOLE_WEBHOOK = '';

/** What a delivery must keep its order within; null: nothing. */
export function keyOf(ordering: Ordering, orderingKey: string | null): string | null {
  switch (ordering) {
    case Ordering.NONE:
      return null;
    case Ordering.STRICT:
      return WHOLE_WEBHOOK;
    case Ordering.BY_KEY:
      return orderingKey;
  }
}

/** Of one key: what waits, by sequence, and whether the one before is out. */
interface Line {
  readonly waiting: Job[];
  out: Job | null;
}

/**
 * For a webhook that keeps an order: of each key the first may be out, and the next goes when that is written down as
 * ended. Where it will be tried again, what stands behind it leaves for the database and waits there.
 */
export class OrderedQueue implements WebhookQueue {
  readonly capacity = MAX_WAITING_PER_ORDERED_WEBHOOK;
  readonly #ordering: Ordering;
  readonly #lines = new Map<string, Line>();
  /** Keys of which one may go, in the order in which they came to it. */
  readonly #free = new Set<string>();
  readonly #unordered = new JobList();
  /** What waits or is out, with its key. */
  readonly #keys = new Map<string, string | null>();
  #waiting = 0;

  constructor(ordering: Ordering) {
    this.#ordering = ordering;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Nothing waits and nothing is out. */
  get isEmpty(): boolean {
    return this.#keys.size === 0;
  }

  get hasNext(): boolean {
    return this.#unordered.length > 0 || this.#free.size > 0;
  }

  get mayHang(): boolean {
    if (this.#unordered.length > 0) return false;
    const [key] = this.#free;
    return key !== undefined && (this.#lines.get(key)?.waiting[0]?.attemptCount ?? 0) > 0;
  }

  /** Keys of which a retry waits or is out: what stands behind it is not claimed until it is known what came of it. */
  get probing(): Set<string> {
    const keys = new Set<string>();
    for (const [key, { waiting, out }] of this.#lines)
      if ((out?.attemptCount ?? 0) > 0 || waiting.some(({ attemptCount }) => attemptCount > 0)) keys.add(key);
    return keys;
  }

  /** New events line up in the database: only there it is known what stands before them. */
  admits(): boolean {
    return false;
  }

  push(jobs: readonly Job[]): void {
    for (const job of jobs) {
      const key = this.keyOf(job);
      this.#keys.set(job.deliveryId, key);
      this.#waiting++;
      if (key === null) this.#unordered.push(job);
      else this.#lineUp(key, job);
    }
  }

  next(): Job | undefined {
    const job = this.#unordered.shift() ?? this.#firstOfFreeKey();
    if (job) this.#waiting--;
    return job;
  }

  finished(deliveryId: string, fate: Fate): readonly Job[] {
    const key = this.#keys.get(deliveryId) ?? null;
    this.#leave(deliveryId);
    if (fate !== 'RETRYING' || key === null) return [];
    return this.take((job) => this.keyOf(job) === key);
  }

  dropped(deliveryId: string): void {
    this.#leave(deliveryId);
  }

  take(isWanted: (job: Job) => boolean): Job[] {
    const taken = this.#unordered.take(isWanted);
    for (const [key, line] of this.#lines) {
      const wanted = line.waiting.filter(isWanted);
      if (wanted.length === 0) continue;
      taken.push(...wanted);
      line.waiting.splice(0, line.waiting.length, ...line.waiting.filter((job) => !wanted.includes(job)));
      this.#tidy(key, line);
    }
    for (const { deliveryId } of taken) this.#keys.delete(deliveryId);
    this.#waiting -= taken.length;
    return taken;
  }

  has(deliveryId: string): boolean {
    return this.#keys.has(deliveryId);
  }

  /** What a delivery keeps its order within; null: nothing. */
  keyOf({ event }: Job): string | null {
    return keyOf(this.#ordering, event.orderingKey);
  }

  #lineUp(key: string, job: Job): void {
    const line = this.#lines.get(key) ?? { waiting: [], out: null };
    this.#lines.set(key, line);
    // Ids of one webhook are in the order of the events' sequences, and most come in it.
    let place = line.waiting.length;
    while (place > 0 && (line.waiting[place - 1]?.deliveryId ?? '') > job.deliveryId) place--;
    line.waiting.splice(place, 0, job);
    if (line.out === null) this.#free.add(key);
  }

  #firstOfFreeKey(): Job | undefined {
    const [key] = this.#free;
    const line = key === undefined ? undefined : this.#lines.get(key);
    if (key === undefined || line === undefined) return undefined;
    this.#free.delete(key);
    line.out = line.waiting.shift() ?? null;
    return line.out ?? undefined;
  }

  /** One that was out is so no longer. */
  #leave(deliveryId: string): void {
    const key = this.#keys.get(deliveryId);
    this.#keys.delete(deliveryId);
    const line = key == null ? undefined : this.#lines.get(key);
    if (key == null || line?.out?.deliveryId !== deliveryId) return;
    line.out = null;
    if (line.waiting.length > 0) this.#free.add(key);
    this.#tidy(key, line);
  }

  #tidy(key: string, line: Line): void {
    if (line.waiting.length > 0) return;
    this.#free.delete(key);
    if (line.out === null) this.#lines.delete(key);
  }
}

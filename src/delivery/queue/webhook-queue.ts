import type { Job } from '../job';

/** What became of a delivery whose attempt is written down. */
export type Fate = 'ENDED' | 'RETRYING';

/** What the queue has handed out and waits to hear of is out; the rest waits. */
export interface WebhookQueue {
  /** How many wait. */
  readonly waiting: number;
  /** How many may wait. */
  readonly capacity: number;
  /** Whether one of them may be sent now. */
  readonly hasNext: boolean;
  /** Whether what comes next may well keep its slot until the deadline: a retry. */
  readonly mayHang: boolean;

  /**
   * Whether one more new event may wait here rather than in the database, where at most `most` may wait and `reserved`
   * are promised. `hasBacklog`: others wait in the database already.
   */
  admits(room: { readonly most: number; readonly reserved: number; readonly hasBacklog: boolean }): boolean;

  /** Takes deliveries in. */
  push(jobs: readonly Job[]): void;

  /** The next one that may be sent; it is out from then on. Undefined: none may, at present. */
  next(): Job | undefined;

  /** One that was out is written down. Returns what may no longer wait here: it stands behind one that will be tried again. */
  finished(deliveryId: string, fate: Fate): readonly Job[];

  /** One that was out was not sent after all, and is no longer this instance's. */
  dropped(deliveryId: string): void;

  /** Takes out what waits and is wanted: the one way out for what is not sent. */
  take(isWanted: (job: Job) => boolean): Job[];

  /** Whether a delivery waits here or is out. */
  has(deliveryId: string): boolean;
}

import { type Cancel, type Clock, SECOND } from '../clock';

/** A log that was cut takes a few milliseconds of the event loop to be cut again: not more often than this. */
const PAUSE_MS = 100;
/** While another program reads the file. */
const AGAIN_MS = 1 * SECOND;

/** Cuts a log for all who want it cut: once for those who ask meanwhile, and again by itself until it worked. */
export class Eraser {
  readonly #clock: Clock;
  /** Returns whether nothing stood in the way. */
  readonly #cut: () => Promise<boolean>;
  /** Has not begun: a caller can still join it. */
  #next: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();
  #endedAt = Number.NEGATIVE_INFINITY;
  #cancelAgain: Cancel | undefined;
  #isStopped = false;

  constructor(clock: Clock, cut: () => Promise<boolean>) {
    this.#clock = clock;
    this.#cut = cut;
  }

  /** Resolves after the next cut, whether it worked or is tried again later. */
  erase(): Promise<void> {
    this.#next ??= this.#last.then(() => this.#pause()).then(() => this.#begin());
    return this.#next;
  }

  stop(): void {
    this.#isStopped = true; // the last connection that closes takes the log with it
    this.#cancelAgain?.();
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    if (this.#isStopped) return Promise.resolve();
    this.#last = this.#run();
    return this.#last;
  }

  async #run(): Promise<void> {
    this.#cancelAgain?.();
    const isDone = await this.#cut().catch(() => false);
    this.#endedAt = this.#clock.monotonic();
    if (!isDone && !this.#isStopped) this.#cancelAgain = this.#clock.after(AGAIN_MS, () => void this.erase());
  }

  #pause(): Promise<void> {
    const waitMs = this.#endedAt + PAUSE_MS - this.#clock.monotonic();
    if (!(waitMs > 0)) return Promise.resolve();
    return new Promise((resolve) => void this.#clock.after(waitMs, resolve));
  }
}

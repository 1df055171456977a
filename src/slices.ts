import { TurnQueues } from './turn-queues';

/** In one turn of the event loop, in the unit of a match's budget: 5 to 15 ms. */
const MAX_UNITS_PER_TURN = 250_000;

/**
 * Work that a caller can make long goes on in slices: in a turn of the event loop there is so much of it, no matter whose it
 * is, and what others send, publish and ask goes between. Once that is used up, the owners of the work take turns.
 */
export class Slices {
  readonly #waiting = new TurnQueues<() => void>();
  #left = MAX_UNITS_PER_TURN;
  #isRunning = false;

  /** Counts what was done; whether `next` is to be awaited before more is. */
  isOver(units: number): boolean {
    this.#left -= units;
    this.#run();
    return this.#left <= 0;
  }

  /** Resolves when the next slice of `owner` may run. */
  next(owner: string): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add(owner, resolve);
      this.#run();
    });
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#left = MAX_UNITS_PER_TURN;
    this.#isRunning = false;
    const resolve = this.#waiting.next();
    if (!this.#waiting.isEmpty) this.#run();
    resolve?.();
  }
}

/** Resolves in the next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

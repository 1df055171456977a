/** In one turn of the event loop, in the unit of a match's budget: 5 to 15 ms. */
const MAX_UNITS_PER_TURN = 250_000;

/**
 * Work that a caller can make long goes on in slices: in a turn of the event loop there is so much of it, no matter whose it
 * is, and what others send, publish and ask goes between. Once that is used up, the owners of the work take turns.
 */
export class Slices {
  readonly #waiting = new Map<string, (() => void)[]>();
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
      const queue = this.#waiting.get(owner);
      if (queue) queue.push(resolve);
      else this.#waiting.set(owner, [resolve]);
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
    const [first] = this.#waiting;
    if (first === undefined) return;
    const [owner, queue] = first;
    this.#waiting.delete(owner);
    const resolve = queue.shift();
    if (queue.length > 0) this.#waiting.set(owner, queue); // behind the others
    if (this.#waiting.size > 0) this.#run();
    resolve?.();
  }
}

/** Resolves in the next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

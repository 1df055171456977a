/** So many at a time; the others wait, in the order they came. A place that is left is handed over: nobody overtakes. */
export class Semaphore {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #idle: (() => void)[] = [];
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Resolves with a place, which has to be released. Undefined: it has one at once. */
  take(): Promise<void> | undefined {
    if (this.#taken >= this.#most) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#taken++;
    return undefined;
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#taken--;
    if (this.#taken === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    const place = this.take();
    if (place) await place;
    try {
      return await work();
    } finally {
      this.release();
    }
  }

  /** Resolves when nobody has a place. */
  async idle(): Promise<void> {
    while (this.#taken > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }
}

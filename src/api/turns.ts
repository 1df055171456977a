interface Waiting {
  readonly weight: number;
  readonly go: () => void;
}

/**
 * Work that holds the event loop for long: so much of it in each of the loop's turns, and others get theirs between.
 * What does not fit any more waits for a next turn, in the order it came.
 */
export class Turns {
  readonly #perTurn: number;
  readonly #waiting: Waiting[] = [];
  #used = 0;

  /** `perTurn`: the weight of work in a turn from which on the rest waits. */
  constructor(perTurn: number) {
    this.#perTurn = perTurn;
  }

  /** Undefined: now. */
  take(weight: number): Promise<void> | undefined {
    if (this.#used >= this.#perTurn) return new Promise((go) => this.#waiting.push({ weight, go }));
    this.#use(weight);
    return undefined;
  }

  #use(weight: number): void {
    if (this.#used === 0) setImmediate(() => this.#nextTurn());
    this.#used += weight;
  }

  #nextTurn(): void {
    this.#used = 0;
    while (this.#used < this.#perTurn) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#use(next.weight);
      next.go();
    }
  }
}

/** How much may be under way at once: for one key, and over all of them. */
export class Slots {
  readonly #mostOfOne: number;
  readonly #mostInAll: number;
  readonly #taken = new Map<string, number>();
  #all = 0;

  constructor(mostOfOne: number, mostInAll: number) {
    this.#mostOfOne = mostOfOne;
    this.#mostInAll = mostInAll;
  }

  /** Takes a slot and returns how to give it back; undefined when there is none. */
  take(key: string): (() => void) | undefined {
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= this.#mostOfOne || this.#all >= this.#mostInAll) return undefined;
    this.#taken.set(key, taken + 1);
    this.#all++;
    return () => {
      const left = (this.#taken.get(key) ?? 0) - 1;
      if (left > 0) this.#taken.set(key, left);
      else this.#taken.delete(key);
      this.#all--;
    };
  }
}

/**
 * Divides something of which there is only so much, such as bytes or places, between those who hold it. A holder may
 * have as much as it leaves free, or an equal part among all holders and one more, whichever is larger: one alone gets a
 * half, two get a third each, `n` get `1 / (n + 1)` each. So there is always room for one that holds nothing yet, which
 * may take whatever is free. Those who hold more than that, since others came, take nothing until they have let go.
 * Pure: counts, and knows no time. (Dynamic thresholds, as switches divide their buffers: Choudhury and Hahne, 1998.)
 */
export class FairShare {
  /** All there is. */
  readonly most: number;
  readonly #held = new Map<string, number>();
  #total = 0;

  constructor(most: number) {
    this.most = most;
  }

  /** What all hold together. */
  get total(): number {
    return this.#total;
  }

  get free(): number {
    return this.most - this.#total;
  }

  /** How many hold anything. */
  get holders(): number {
    return this.#held.size;
  }

  of(holder: string): number {
    return this.#held.get(holder) ?? 0;
  }

  /** The most that a holder may have at present, beside what the others have. */
  limitOf(holder: string): number {
    const held = this.of(holder);
    const others = this.#total - held;
    const holders = this.#held.size + (held === 0 ? 1 : 0);
    return Math.max((this.most - others) / 2, this.most / (holders + 1));
  }

  /** Whether a holder may have `amount` more at present. */
  allows(holder: string, amount: number): boolean {
    const held = this.of(holder);
    const left = this.free - amount;
    if (left < 0) return false;
    if (held === 0) return true;
    return held + amount <= Math.max(left, this.most / (this.#held.size + 1));
  }

  /** True: the holder has `amount` more, to be given back. False: nothing has changed. */
  take(holder: string, amount: number): boolean {
    if (!this.allows(holder, amount)) return false;
    this.#add(holder, amount);
    return true;
  }

  giveBack(holder: string, amount: number): void {
    this.#add(holder, -amount);
  }

  #add(holder: string, amount: number): void {
    const held = this.of(holder) + amount;
    this.#total += amount;
    if (held > 0) this.#held.set(holder, held);
    else this.#held.delete(holder);
  }
}

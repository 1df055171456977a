/**
 * What one match of a condition may cost. A unit is 20 to 60 ns: a value visited, an operator asked, a value compared;
 * a string counts one more for every 128 characters that are compared. A match that spends all of it took 5 to 15 ms.
 */
export const MAX_UNITS_PER_MATCH = 250_000;

/** What parsing a payload first counts for. */
export const CHARS_PARSED_PER_UNIT = 4;

/** Arrays in arrays are followed by calls within calls: 10,000 levels of them ended in a stack overflow. */
const MAX_NESTED_ARRAYS = 1_000;

/** The budget of a match is used up: whether the condition is met was not found out. */
export class OutOfBudget extends Error {
  override readonly name = 'OutOfBudget';

  constructor() {
    super('the condition takes too many comparisons for this event');
  }
}

/** Thrown often where somebody tries: without a stack of its own, which would take longer than the match. */
const OUT_OF_BUDGET = new OutOfBudget();

export class MatchBudget {
  readonly #given: number;
  #left: number;
  #level = 0;

  constructor(units = MAX_UNITS_PER_MATCH) {
    this.#given = units;
    this.#left = units;
  }

  get spent(): number {
    return this.#given - Math.max(0, this.#left);
  }

  /** @throws OutOfBudget */
  spend(units: number): void {
    this.#left -= units;
    if (this.#left < 0) throw OUT_OF_BUDGET;
  }

  /** Comparing text that is no longer than this. */
  spendText(chars: number): void {
    this.spend(1 + (chars >> 7));
  }

  /** An array within an array; `leave` follows. */
  enter(): void {
    if (++this.#level > MAX_NESTED_ARRAYS) throw OUT_OF_BUDGET;
  }

  leave(): void {
    this.#level--;
  }
}

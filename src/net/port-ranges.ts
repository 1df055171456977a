const HIGHEST = 65_535;

/** Ports that webhooks may use, such as `80,443,1024-65535`. */
export class PortRanges {
  readonly #ranges: readonly (readonly [from: number, to: number])[];

  /** @throws Error whose message says what was expected */
  constructor(readonly text: string) {
    this.#ranges = text.split(',').map(parseRange);
  }

  has(port: number): boolean {
    return this.#ranges.some(([from, to]) => port >= from && port <= to);
  }

  toJSON(): string {
    return this.text;
  }

  toString(): string {
    return this.text;
  }
}

function parseRange(text: string): readonly [from: number, to: number] {
  const [, first = '', last = first] = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(text) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (first === '' || from < 1 || to > HIGHEST || from > to)
    throw new Error(`expected ports from 1 to ${HIGHEST} and ranges of them, separated by commas, such as 80,443,1024-65535`);
  return [from, to];
}

/** What the ledger says of a run. A run that is not balanced is void. */
export interface Balance {
  readonly expected: number;
  readonly lost: number;
  readonly repeated: number;
  /** Came, and nobody had published it for that webhook. */
  readonly unknown: number;
}

/** What came, as the receivers tell it. */
export interface Came {
  /** Ids by path. */
  readonly ids: ReadonlyMap<string, { has(id: string): boolean; readonly size: number }>;
  readonly repeated: number;
  readonly nameless: number;
}

/** Holds what was published against what came: every event once at every webhook, and nothing else. */
export class Ledger {
  readonly #expected = new Map<string, string[]>();

  /** `path` is that of a webhook's URL. */
  expect(path: string, ids: readonly string[]): void {
    const own = this.#expected.get(path) ?? [];
    for (const id of ids) own.push(id);
    this.#expected.set(path, own);
  }

  get expected(): number {
    let expected = 0;
    for (const ids of this.#expected.values()) expected += ids.length;
    return expected;
  }

  compare({ ids, repeated, nameless }: Came): Balance {
    let lost = 0;
    let found = 0;
    for (const [path, own] of this.#expected) {
      const came = ids.get(path);
      for (const id of own) {
        if (came?.has(id)) found++;
        else lost++;
      }
    }
    let all = 0;
    for (const { size } of ids.values()) all += size;
    return { expected: found + lost, lost, repeated, unknown: all - found + nameless };
  }
}

/** In words what voids a run; empty: nothing does. */
export function problemsOf({ expected, lost, repeated, unknown }: Balance): string[] {
  const problems: string[] = [];
  if (expected === 0) problems.push('nothing was published');
  if (lost > 0) problems.push(`${lost} of ${expected} lost`);
  if (repeated > 0) problems.push(`${repeated} repeated`);
  if (unknown > 0) problems.push(`${unknown} that nobody published`);
  return problems;
}

/** The value that a share of `sorted` does not exceed, by nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Baselines that differ by more than this share of their mean say more of the machine than of the hub. */
const NOISE = 0.25;

export function isNoisy(before: number, after: number): boolean {
  return Math.abs(before - after) > (NOISE * (before + after)) / 2;
}

/** What a ratio has to reach: at least so much of the baseline where more is better, at most where less is. */
export type Reach = { readonly atLeast: number } | { readonly atMost: number };

export function reaches(ratio: number, reach: Reach): boolean {
  return 'atLeast' in reach ? ratio >= reach.atLeast : ratio <= reach.atMost;
}

export interface Compared<Figure, Baseline> {
  readonly before: Baseline;
  readonly figure: Figure;
  readonly after: Baseline;
  readonly isNoisy: boolean;
}

/** Measures between two baselines; once more when those are too far apart. */
export async function compare<Figure, Baseline>({
  baseline,
  figure,
  level,
}: {
  readonly baseline: () => Promise<Baseline>;
  readonly figure: () => Promise<Figure>;
  /** The one number of a baseline that tells how fast the machine was. */
  readonly level: (baseline: Baseline) => number;
}): Promise<Compared<Figure, Baseline>> {
  const once = async () => {
    const before = await baseline();
    const measured = await figure();
    const after = await baseline();
    return { before, figure: measured, after, isNoisy: isNoisy(level(before), level(after)) };
  };
  const first = await once();
  return first.isNoisy ? once() : first;
}

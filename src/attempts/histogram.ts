/**
 * Durations counted on a logarithmic scale: each step is a tenth wider than the one before, so a percentile is off by
 * less than 5 %, whatever its size. Keys are steps, values counts.
 */
export type Histogram = Map<number, number>;

const GROWTH = Math.log(1.1);
/** Narrower steps than a millisecond would tell nothing. */
const MIN_MS = 1;

const stepOf = (durationMs: number) => Math.round(Math.log(Math.max(durationMs, MIN_MS)) / GROWTH);
const middleOf = (step: number) => Math.round(Math.exp(step * GROWTH));

export function count(histogram: Histogram, durationMs: number): void {
  const step = stepOf(durationMs);
  histogram.set(step, (histogram.get(step) ?? 0) + 1);
}

export function addTo(histogram: Histogram, other: Histogram): void {
  for (const [step, times] of other) histogram.set(step, (histogram.get(step) ?? 0) + times);
}

/** The duration that so large a part of all (0 to 1) did not exceed, in milliseconds; null where there is none. */
export function percentile(histogram: Histogram, part: number): number | null {
  const steps = [...histogram].sort(([a], [b]) => a - b);
  const total = steps.reduce((sum, [, times]) => sum + times, 0);
  let seen = 0;
  for (const [step, times] of steps) {
    seen += times;
    if (seen >= total * part) return middleOf(step);
  }
  return null;
}

/** `step:count` pairs: `12:3,14:1`. */
export function encode(histogram: Histogram): string {
  return [...histogram].map(([step, times]) => `${step}:${times}`).join(',');
}

export function decode(text: string): Histogram {
  if (text === '') return new Map();
  return new Map(
    text.split(',').map((pair) => {
      const [step, times] = pair.split(':').map(Number);
      return [step ?? 0, times ?? 0] as const;
    }),
  );
}

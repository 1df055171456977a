import { addTo, count, decode, encode, type Histogram, percentile } from '../../src/attempts/histogram';

function histogramOf(durations: readonly number[]): Histogram {
  const histogram: Histogram = new Map();
  for (const durationMs of durations) count(histogram, durationMs);
  return histogram;
}

describe('a histogram', () => {
  test('knows percentiles within 5 %', () => {
    const durations = Array.from({ length: 10_000 }, (_, index) => index + 1);
    const histogram = histogramOf(durations);
    for (const [part, exact] of [
      [0.5, 5_000],
      [0.95, 9_500],
      [0.99, 9_900],
    ] as const) {
      expect(percentile(histogram, part)).toBeGreaterThan(exact * 0.94);
      expect(percentile(histogram, part)).toBeLessThan(exact * 1.06);
    }
  });

  test('of one duration has it as every percentile; of none it has no percentile', () => {
    expect([0.5, 0.99].map((part) => percentile(histogramOf([100]), part))).toEqual([97, 97]);
    expect(percentile(histogramOf([0]), 0.5)).toBe(1);
    expect(percentile(new Map(), 0.5)).toBeNull();
  });

  test('survives being stored, and adds up', () => {
    const all = histogramOf([1, 20, 20, 400]);
    const sum: Histogram = new Map();
    addTo(sum, decode(encode(histogramOf([1, 20]))));
    addTo(sum, decode(encode(histogramOf([20, 400]))));
    expect(new Map(sum)).toEqual(all);
    expect(decode(encode(new Map()))).toEqual(new Map());
  });

  test('stays small, whatever is counted', () => {
    const histogram = histogramOf(Array.from({ length: 30_000 }, (_, index) => index));
    expect(histogram.size).toBeLessThan(120);
  });
});

import { compare, isNoisy, percentile, reaches } from './figures';
import { judged, type Row } from './table';

describe('A percentile', () => {
  test('is the value of the nearest rank, in whatever order the values are', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentile(values, 0.5)).toBe(50);
    expect(percentile(values, 0.99)).toBe(99);
    expect(percentile(values, 1)).toBe(100);
    expect(percentile([7], 0.99)).toBe(7);
    expect(percentile([10, 9, 100], 0.5)).toBe(10);
  });

  test('of nothing is not a number', () => {
    expect(percentile([], 0.5)).toBeNaN();
  });
});

describe('Two baselines', () => {
  test('are noisy when they differ by more than a quarter of their mean', () => {
    expect(isNoisy(100, 100)).toBe(false);
    expect(isNoisy(87.5, 112.5)).toBe(false);
    expect(isNoisy(87, 113)).toBe(true);
    expect(isNoisy(113, 87)).toBe(true);
  });

  test('that are noisy have everything measured once more, and no more than once', async () => {
    const levels = [100, 200, 100, 110];
    const figures = [1, 2];
    const take = (from: number[]) => async () => from.shift() ?? Number.NaN;
    const once = await compare({ baseline: take(levels), figure: take(figures), level: (level) => level });
    expect(once).toEqual({ before: 100, figure: 2, after: 110, isNoisy: false });

    const worse = [100, 200, 100, 300];
    const twice = await compare({ baseline: take(worse), figure: take([1, 2, 3]), level: (level) => level });
    expect(twice).toEqual({ before: 100, figure: 2, after: 300, isNoisy: true });
  });

  test('that are quiet have the figure measured once between them', async () => {
    const order: string[] = [];
    const baseline = async () => order.push('baseline') && 10;
    const figure = async () => order.push('figure') && 5;
    await compare({ baseline, figure, level: (level) => level });
    expect(order).toEqual(['baseline', 'figure', 'baseline']);
  });
});

describe('A reach', () => {
  test('is met from below or from above', () => {
    expect([reaches(0.4, { atLeast: 0.4 }), reaches(0.39, { atLeast: 0.4 })]).toEqual([true, false]);
    expect([reaches(3, { atMost: 3 }), reaches(3.01, { atMost: 3 })]).toEqual([true, false]);
    expect(reaches(Number.NaN, { atMost: 3 })).toBe(false);
  });
});

describe('A row', () => {
  const row: Row = {
    scenario: 'drain',
    database: 'sqlite',
    unit: 'delivered/s',
    figure: 45,
    before: 80,
    after: 120,
    reach: { atLeast: 0.45 },
    isNoisy: false,
    spent: null,
    peakMegabytes: 0,
    problems: [],
  };

  test('holds the figure against the mean of both baselines', () => {
    expect(judged(row)).toMatchObject({ ratio: 0.45, verdict: 'ok' });
    expect(judged({ ...row, figure: 44 })).toMatchObject({ ratio: 0.44, verdict: 'short' });
  });

  test('is void for any problem, however good the figure', () => {
    expect(judged({ ...row, figure: 1_000, problems: ['1 of 5 lost'] }).verdict).toBe('void');
  });
});

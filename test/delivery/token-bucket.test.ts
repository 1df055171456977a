import { paceOf } from '../../src/delivery/flow-control/pace';
import { charged, fullBucket, isFull, taken, waitMs } from '../../src/token-bucket';

/** When each of so many requests leaves that go as soon as they may, in milliseconds. */
function departures(count: number, ratePerSecond: number): number[] {
  const pace = paceOf(ratePerSecond);
  const times: number[] = [];
  let now = 5_000;
  let bucket = fullBucket(pace, now);
  while (times.length < count) {
    now += waitMs(bucket, pace, now);
    if (waitMs(bucket, pace, now) > 0) continue;
    bucket = taken(bucket, pace, now);
    times.push(now - 5_000);
  }
  return times;
}

describe('the pace', () => {
  test.each([0.3, 1, 7, 10, 33.3, 250, 1_000])('of %d a second is never exceeded in any window, and is reached', (rate) => {
    const times = departures(200, rate);
    const early = times.flatMap((start, first) =>
      times.slice(first + 1).map((end, more) => ((more + 2 - paceOf(rate).burst) / rate) * 1_000 - (end - start)),
    );
    expect(Math.max(...early)).toBeLessThanOrEqual(1e-6);
    const needed = ((times.length - paceOf(rate).burst) / rate) * 1_000;
    expect(times.at(-1)).toBeLessThanOrEqual(needed + times.length); // each wait is rounded up to a millisecond
  });

  test.each([0.1, 1, 10])('of %d a second lets one request go at a time', (rate) => {
    const [first, second, third] = departures(3, rate);
    expect([first, second, third]).toEqual([0, 1_000 / rate, 2_000 / rate]);
  });

  test('saves nothing up beyond its burst, however long nothing was sent', () => {
    const bucket = taken(fullBucket(paceOf(2), 0), paceOf(2), 0);
    expect(isFull(bucket, paceOf(2), 0)).toBe(false);
    expect(isFull(bucket, paceOf(2), 500)).toBe(true);
    const later = taken(bucket, paceOf(2), 3_600_000);
    expect(waitMs(later, paceOf(2), 3_600_000)).toBe(500);
  });

  test('goes by a changed rate at once', () => {
    const bucket = taken(fullBucket(paceOf(1), 0), paceOf(1), 0);
    expect(waitMs(bucket, paceOf(1), 0)).toBe(1_000);
    expect(waitMs(bucket, paceOf(10), 0)).toBe(100);
  });

  test('does not lend for a clock that stands still', () => {
    const bucket = taken(fullBucket(paceOf(1), 10), paceOf(1), 10);
    expect(waitMs(bucket, paceOf(1), 10)).toBe(1_000);
    expect(waitMs(bucket, paceOf(1), 5)).toBe(1_000);
  });

  test('has what was used beyond the estimate paid off before the next', () => {
    const rate = { perSecond: 100, burst: 50 };
    const bucket = charged(fullBucket(rate, 0), 80);
    expect(waitMs(bucket, rate, 0, 10)).toBe(400);
    expect(waitMs(bucket, rate, 400, 10)).toBe(0);
  });
});

import { delayMs, pause } from '../../src/client/backoff';

const BACKOFF = { firstMs: 200, mostMs: 30_000 };

describe('A client that was refused', () => {
  test('waits twice as long each time, up to a limit, at random by half', () => {
    const waits = [1, 2, 3, 8, 9, 1_000].map((failures) => [0, 1].map((random) => delayMs(failures, undefined, BACKOFF, random)));
    expect(waits).toEqual([
      [100, 200],
      [200, 400],
      [400, 800],
      [12_800, 25_600],
      [15_000, 30_000],
      [15_000, 30_000],
    ]);
  });

  test('waits as long as the hub has asked for, and not to the very moment', () => {
    expect([0, 1].map((random) => delayMs(1, 7, BACKOFF, random))).toEqual([7_000, 7_100]);
    expect(delayMs(1, 60, BACKOFF, 0)).toBe(60_000);
  });

  test('waits no longer than it lives', async () => {
    const closed = new AbortController();
    const waiting = pause(1_000_000, closed.signal);
    closed.abort();
    await waiting;
    await pause(1_000_000, closed.signal);
  });
});

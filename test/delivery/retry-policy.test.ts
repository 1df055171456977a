import { HOUR, MINUTE, SECOND } from '../../src/clock';
import { type FailedAttempt, nextDelayMs, retryAfterMs } from '../../src/delivery/flow-control/retry-policy';

const NOW = Date.UTC(2026, 0, 31, 12);
const DELAYS = [5 * SECOND, 5 * MINUTE, 2 * HOUR];

function delay(overrides: Partial<FailedAttempt>): number | null {
  return nextDelayMs({ number: 1, delaysMs: DELAYS, retryAfter: undefined, now: NOW, random: 0, ...overrides });
}

describe('The next attempt', () => {
  test('waits as long as the schedule says, then there is none', () => {
    expect([1, 2, 3, 4, 5].map((number) => delay({ number }))).toEqual([...DELAYS, null, null]);
    expect(delay({ delaysMs: [] })).toBeNull();
  });

  test('is put off by jitter that only adds, at most a tenth', () => {
    for (const random of [0, 0.25, 0.5, 0.999999]) {
      const waited = delay({ number: 2, random }) ?? 0;
      expect(waited).toBeGreaterThanOrEqual(5 * MINUTE);
      expect(waited).toBeLessThanOrEqual(5.5 * MINUTE);
    }
    expect(delay({ random: 0.5 })).toBe(5_250);
  });

  test('waits for Retry-After where that is later, but no longer than the longest delay', () => {
    expect(delay({ retryAfter: '60' })).toBe(MINUTE);
    expect(delay({ retryAfter: '3' })).toBe(5 * SECOND);
    expect(delay({ retryAfter: '3', random: 0.5 })).toBe(5_250);
    expect(delay({ retryAfter: '9999999999' })).toBe(2 * HOUR);
    expect(delay({ number: 3, retryAfter: '9999999999' })).toBe(2 * HOUR);
    expect(delay({ number: 4, retryAfter: '60' })).toBeNull();
    expect(delay({ retryAfter: new Date(NOW + MINUTE).toUTCString() })).toBe(MINUTE);
    expect(delay({ retryAfter: new Date(NOW - MINUTE).toUTCString() })).toBe(5 * SECOND);
  });

  test.each([
    ['0', 0],
    [' 120 ', 2 * MINUTE],
    ['Sat, 31 Jan 2026 12:01:00 GMT', MINUTE],
    ['Saturday, 31-Jan-26 12:01:00 GMT', MINUTE],
    ['Sat Jan 31 12:01:00 2026', MINUTE], // asctime, which is in GMT although it does not say so
  ])('understands Retry-After: %s', (header, ms) => {
    expect(retryAfterMs(header, NOW)).toBe(ms);
  });

  test.each([
    undefined,
    '',
    '-5',
    '1.5',
    '5s',
    'soon',
    'NaN',
    'Infinity',
    '1e9',
    '99999999999',
    'Foo, 99 Bar 2026 99:99:99 GMT',
    '2027-01-01T00:00:00Z',
    '120, 60',
  ])('takes no notice of Retry-After: %s', (header) => {
    expect(retryAfterMs(header, NOW)).toBe(0);
  });
});

import {
  type Breaker,
  breakerAfter,
  breakerAt,
  CLOSED,
  MAX_FAILURES,
  probing,
  type Sign,
} from '../../src/delivery/flow-control/circuit-breaker';

const met = (breaker: Breaker, sign: Sign, now = 0, isProbe = false, random = 0) => breakerAfter(breaker, sign, { isProbe, now, random });

function openedAt(now: number): Breaker {
  let breaker = CLOSED;
  for (let failures = 0; failures < MAX_FAILURES; failures++) breaker = met(breaker, 'FAILED', now);
  return breaker;
}

describe('the breaker', () => {
  test('opens after failures in a row, not before and not after an answer between them', () => {
    let breaker = CLOSED;
    for (let failures = 1; failures < MAX_FAILURES; failures++) breaker = met(breaker, 'FAILED');
    expect(breaker).toEqual({ state: 'CLOSED', failures: MAX_FAILURES - 1 });
    expect(met(met(breaker, 'ANSWERED'), 'FAILED')).toEqual({ state: 'CLOSED', failures: 1 });
    expect(met(breaker, 'NOTHING')).toBe(breaker);
    expect(met(breaker, 'FAILED', 100)).toEqual({ state: 'OPEN', until: 1_100, openings: 1 });
  });

  test('lets one probe through when its time is up', () => {
    const open = openedAt(0);
    expect(breakerAt(open, 999)).toBe(open);
    const half = breakerAt(open, 1_000);
    expect(half).toEqual({ state: 'HALF_OPEN', isProbing: false, openings: 1 });
    expect(probing(half)).toEqual({ state: 'HALF_OPEN', isProbing: true, openings: 1 });
  });

  test('closes with a probe that is answered; one that fails opens it for twice as long, up to a minute', () => {
    let breaker = openedAt(0);
    const pauses: number[] = [];
    for (let now = 0; pauses.length < 8; ) {
      if (breaker.state !== 'OPEN') throw new Error('expected an open breaker');
      pauses.push(breaker.until - now);
      now = breaker.until;
      breaker = met(probing(breakerAt(breaker, now)), 'FAILED', now, true);
    }
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    expect(met(probing(breakerAt(openedAt(0), 1_000)), 'ANSWERED', 1_000, true)).toBe(CLOSED);
  });

  test('adds jitter to its pauses, at most a tenth', () => {
    expect(met({ state: 'CLOSED', failures: MAX_FAILURES - 1 }, 'FAILED', 0, false, 0.999)).toMatchObject({
      until: expect.closeTo(1_099.9),
    });
  });

  test('hears only its probe while it is not closed', () => {
    const open = openedAt(0);
    for (const sign of ['ANSWERED', 'FAILED', 'NOTHING'] as const) expect(met(open, sign, 500)).toBe(open);
    const half = probing(breakerAt(open, 1_000));
    for (const sign of ['ANSWERED', 'FAILED', 'NOTHING'] as const) expect(met(half, sign, 1_000)).toBe(half);
    expect(met(half, 'NOTHING', 1_000, true)).toMatchObject({ state: 'HALF_OPEN', isProbing: false });
  });
});

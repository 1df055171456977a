import { KeyLimits } from '../../src/api/key-limits';
import { ApiKey, type Scope } from '../../src/applications/api-key';
import type { Caller } from '../../src/applications/api-keys';
import { HubError } from '../../src/errors';
import { FakeClock } from '../support/fake-clock';

function caller(id: string, applicationId: string | null = 'app_shop'): Caller {
  return { apiKey: Object.assign(new ApiKey(), { id }), applicationId, scopes: new Set<Scope>() };
}

const settings = { connections: 100, connectionsPerKey: 3, subscriptionsPerKey: 4, subscriptions: 10, requestsPerSecond: 20 };

/** How many of `times` tries are let through, and what the first of the others is told. */
function tries(times: number, work: () => unknown): { passed: number; refusal: HubError | undefined } {
  let passed = 0;
  let refusal: HubError | undefined;
  for (let index = 0; index < times; index++) {
    try {
      work();
      passed++;
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
      refusal ??= error;
    }
  }
  return { passed, refusal };
}

describe('the requests of a key', () => {
  test("are a second's worth at once, then as many as the time that goes by allows", () => {
    const clock = new FakeClock();
    const limits = new KeyLimits(clock, settings);
    const ask = () => limits.request(caller('a'));
    const { passed, refusal } = tries(200, ask);
    expect(passed).toBe(20);
    expect(refusal).toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 1, message: expect.stringContaining('20 requests a second') });
    clock.advance(50);
    expect(tries(10, ask).passed).toBe(1);
    clock.advance(500);
    expect(tries(100, ask).passed).toBe(10);
    clock.advance(60_000);
    expect(tries(200, ask).passed).toBe(20);
  });

  test('cost no other key anything, and admin keys are exempt; those without a key share one allowance', () => {
    const limits = new KeyLimits(new FakeClock(), settings);
    expect(tries(50, () => limits.request(caller('a'))).passed).toBe(20);
    expect(tries(50, () => limits.request(caller('b'))).passed).toBe(20);
    expect(tries(50, () => limits.request(null)).passed).toBe(20);
    expect(tries(500, () => limits.request(caller('root', null))).passed).toBe(500);
  });

  test('have no limit where none is set, and nothing is kept of them', () => {
    const limits = new KeyLimits(new FakeClock(), { ...settings, requestsPerSecond: undefined });
    expect(tries(5_000, () => limits.request(caller('a'))).passed).toBe(5_000);
    expect(limits.keys).toBe(0);
  });

  test('are forgotten once the key may send all of them again, and of too many keys the first', () => {
    const clock = new FakeClock();
    const limits = new KeyLimits(clock, settings);
    for (let key = 0; key < 100_000; key++) limits.request(caller(`key ${key}`));
    expect(limits.keys).toBe(10_000);
    clock.advance(1_000);
    for (let times = 0; times < 5_000; times++) {
      limits.request(caller('a'));
      clock.advance(50);
    }
    expect(limits.keys).toBe(1);
  }, 10_000);
});

describe('what a key has open', () => {
  test.each([
    ['connections', 3, (limits: KeyLimits, who: Caller) => limits.openConnection(who)],
    ['subscriptions', 4, (limits: KeyLimits, who: Caller) => limits.openSubscription(who)],
  ] as const)('of %s stays at the limit, and is forgotten when it is let go, once', (what, most, open) => {
    const limits = new KeyLimits(new FakeClock(), settings);
    const releases: (() => void)[] = [];
    const { passed, refusal } = tries(10 * most, () => releases.push(open(limits, caller('a'))));
    expect(passed).toBe(most);
    expect(refusal).toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 1, message: expect.stringContaining(what) });
    expect(tries(1, () => releases.push(open(limits, caller('b')))).passed).toBe(1);
    releases[0]?.();
    releases[0]?.();
    expect(tries(10, () => releases.push(open(limits, caller('a')))).passed).toBe(1);
    for (const release of releases) release();
    expect([limits.keys, limits.subscriptions]).toEqual([0, 0]);
  });

  test('is divided between applications, whatever keys they have: one alone gets a half, and the next finds room', () => {
    const limits = new KeyLimits(new FakeClock(), { ...settings, subscriptions: 12 });
    let key = 0;
    expect(tries(100, () => limits.openSubscription(caller(`key ${key++}`, 'app_greedy'))).passed).toBe(6);
    expect(tries(100, () => limits.openSubscription(caller(`key ${key++}`, 'app_other'))).passed).toBe(4);
    expect(tries(100, () => limits.openSubscription(caller(`key ${key++}`, 'app_late'))).passed).toBe(2);
  });

  test('of subscriptions is bounded over all keys together', () => {
    const limits = new KeyLimits(new FakeClock(), settings);
    let key = 0;
    const { passed, refusal } = tries(100, () => limits.openSubscription(caller(`key ${key++}`, null)));
    expect([passed, limits.subscriptions]).toEqual([10, 10]);
    expect(refusal?.message).toContain('The hub has at most 10');
  });
});

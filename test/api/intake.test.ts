import { Intake } from '../../src/api/intake';
import { LIMITS } from '../../src/api/limits';
import { ApiKey } from '../../src/applications/api-key';
import { HubError } from '../../src/errors';

const MEBIBYTE = 1024 * 1024;
const caller = { apiKey: new ApiKey(), applicationId: null, scopes: new Set<never>() };

describe('the bytes of requests under way', () => {
  test.each([
    ['with one key stay at half of what there is', caller, LIMITS.intakeBytes / 2],
    ['without a key stay at their limit', null, LIMITS.unauthenticatedIntakeBytes],
  ] as const)('%s, and go back to none', (_whose, who, most) => {
    const intake = new Intake();
    const holdings = Array.from({ length: (10 * most) / MEBIBYTE }, () => intake.hold(who));
    let refused = 0;
    for (const holding of holdings) {
      try {
        holding.take(MEBIBYTE);
      } catch (error) {
        expect(error).toBeInstanceOf(HubError);
        expect(error).toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 1 });
        refused++;
      }
      expect(intake.bytes).toBeLessThanOrEqual(most);
    }
    expect([intake.bytes, refused]).toEqual([most, holdings.length - most / MEBIBYTE]);
    for (const holding of [...holdings, ...holdings]) holding.release();
    expect(intake.bytes).toBe(0);
  });

  test('without a key leave room for those with one', () => {
    const intake = new Intake();
    intake.hold(null).take(LIMITS.unauthenticatedIntakeBytes);
    expect(() => intake.hold(null).take(1)).toThrow('too large together');
    intake.hold(caller).take(LIMITS.intakeBytes);
    expect(() => intake.hold(caller).take(1)).toThrow('too large together');
  });

  test('without a key make room for the newest when they stall, the oldest first, and not when they are under way', () => {
    const intake = new Intake();
    const evicted: string[] = [];
    const hold = (name: string) => {
      const holding = intake.hold(null);
      holding.evicted = () => evicted.push(name);
      holding.take(LIMITS.unauthenticatedIntakeBytes / 4);
      return holding;
    };
    const [read] = ['read', 'oldest', 'old', 'new'].map(hold);
    if (read) read.evicted = undefined;
    hold('newest').take(1);
    expect(evicted).toEqual(['oldest', 'old']);
    expect(intake.bytes).toBe((LIMITS.unauthenticatedIntakeBytes * 3) / 4 + 1);
  });

  test('of subscriptions leave syntax trees in memory, which those of one application pay for once', () => {
    const intake = new Intake();
    const document = {};
    const [first, second, third] = [intake.hold(caller), intake.hold(caller), intake.hold(caller)];
    first.keepForSubscription(document, 1_000);
    second.keepForSubscription(document, 1_000);
    expect(intake.subscriptionBytes).toBe(100_000);
    third.keepForSubscription({}, 1_000);
    expect(intake.subscriptionBytes).toBe(200_000);
    first.release();
    expect(intake.subscriptionBytes).toBe(200_000);
    second.release();
    expect(intake.subscriptionBytes).toBe(100_000);
    third.release();
    expect(intake.subscriptionBytes).toBe(0);
  });

  test('of a subscription go back when it runs, as long as subscriptions keep no more than theirs', () => {
    const intake = new Intake();
    const holdings = Array.from({ length: 3 }, () => intake.hold(caller));
    // Of each character four bytes are kept.
    for (const holding of holdings) holding.take(LIMITS.subscriptionBytes / 16);
    for (const holding of holdings.slice(0, 2)) holding.keepForSubscription({}, 0);
    expect([intake.bytes, intake.subscriptionBytes]).toEqual([LIMITS.subscriptionBytes / 16, LIMITS.subscriptionBytes / 2]);
    expect(() => holdings[2]?.keepForSubscription({}, 0)).toThrow('too large together');
    for (const holding of [...holdings, ...holdings]) holding.release();
    expect([intake.bytes, intake.subscriptionBytes]).toEqual([0, 0]);
  });
});

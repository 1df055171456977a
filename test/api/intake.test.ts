import { Intake } from '../../src/api/intake';
import { LIMITS } from '../../src/api/limits';
import { ApiKey } from '../../src/applications/api-key';
import { HubError } from '../../src/errors';

const MEBIBYTE = 1024 * 1024;
const caller = { apiKey: new ApiKey(), applicationId: null, scopes: new Set<never>() };

describe('the bytes of requests under way', () => {
  test.each([
    ['with a key', caller, LIMITS.intakeBytes],
    ['without a key', null, LIMITS.strangersIntakeBytes],
  ] as const)('%s stay at their limit, whoever sends them, and go back to none', (_whose, who, most) => {
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
    intake.hold(null).take(LIMITS.strangersIntakeBytes);
    expect(() => intake.hold(null).take(1)).toThrow('too large together');
    intake.hold(caller).take(LIMITS.intakeBytes);
    expect(() => intake.hold(caller).take(1)).toThrow('too large together');
  });
});

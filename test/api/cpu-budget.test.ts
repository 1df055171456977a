import { CpuBudget } from '../../src/api/cpu-budget';
import { FakeClock } from '../support/fake-clock';

describe('a budget of CPU time', () => {
  const made = () => {
    const clock = new FakeClock();
    return { clock, budget: new CpuBudget(clock, { burstMs: 100, perSecondMs: 50 }) };
  };

  test('lets pass what fits by its estimate, before anything is measured', () => {
    const { budget } = made();
    for (let times = 0; times < 10; times++) budget.begin(10);
    expect(() => budget.begin(10)).toThrow(expect.objectContaining({ code: 'RATE_LIMITED', retryAfterSeconds: 1 }));
  });

  test('takes what a step has used beyond its estimate, also of one that throws, and lets none begin until that is paid off', () => {
    const { clock, budget } = made();
    const meter = budget.begin(10);
    expect(meter.run(() => 'answer')).toBe('answer');
    expect(() =>
      meter.run(() => {
        clock.advance(210);
        throw new Error('broken');
      }),
    ).toThrow('broken');
    // Filled by 10.5 while it ran, of which nothing is left: 100 - 210 + 10.5.
    expect(() => budget.begin(1)).toThrow(expect.objectContaining({ retryAfterSeconds: 3 }));
    clock.advance(2_000);
    expect(() => budget.begin(1)).toThrow();
    clock.advance(100);
    budget.begin(1);
  });

  test('is filled up to what may be used at once, and no further', () => {
    const { clock, budget } = made();
    budget.begin(100);
    clock.advance(3_600_000);
    budget.begin(100);
    expect(() => budget.begin(1)).toThrow();
  });
});

import { planFaults } from './schedule';

const plan = { seed: 42, seconds: 60, instances: 3, withRedis: true };

describe('A schedule of faults', () => {
  test('is the same for the same seed and another for another', () => {
    expect(planFaults(plan)).toEqual(planFaults(plan));
    expect(planFaults({ ...plan, seed: 43 })).not.toEqual(planFaults(plan));
  });

  test.each(Array.from({ length: 20 }, (_, seed) => seed))('has every kind and ends in time, with seed %i', (seed) => {
    const faults = planFaults({ ...plan, seed, seconds: 20 });
    expect(new Set(faults.map(({ kind }) => kind)).size).toBe(10);
    expect(faults.map(({ atMs }) => atMs)).toEqual(faults.map(({ atMs }) => atMs).sort((a, b) => a - b));
    for (const { kind, slot, atMs, lastsMs } of faults) {
      expect(atMs + lastsMs).toBeLessThanOrEqual(20_000);
      if (kind === 'freeze-hub') expect(lastsMs).toBeGreaterThan(9_000);
      if (kind === 'kill-database' || kind === 'freeze-database' || kind === 'kill-redis') expect(slot).toBeNull();
      else expect([0, 1, 2]).toContain(slot);
    }
  });

  test('leaves Redis alone where there is none', () => {
    expect(planFaults({ ...plan, seconds: 300, withRedis: false }).map(({ kind }) => kind)).not.toContain('kill-redis');
  });

  test('has more the longer it lasts', () => {
    expect(planFaults({ ...plan, seconds: 300 })).toHaveLength(120);
  });
});

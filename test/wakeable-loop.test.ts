import { WakeableLoop } from '../src/wakeable-loop';
import { FakeClock } from './support/fake-clock';

/** WakeableLoop of which each ends when the test says so. */
function heldRounds() {
  const clock = new FakeClock();
  const open: { end: () => void; fail: (error: Error) => void }[] = [];
  const failures: string[] = [];
  let begun = 0;
  const rounds = new WakeableLoop({
    clock,
    everyMs: 1_000,
    round: () => {
      begun++;
      return new Promise<void>((resolve, reject) => open.push({ end: resolve, fail: reject }));
    },
    failed: ({ message }) => failures.push(message),
  });
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return {
    clock,
    rounds,
    failures,
    begun: () => begun,
    end: async () => {
      open.shift()?.end();
      await settled();
    },
    fail: async (error: Error) => {
      open.shift()?.fail(error);
      await settled();
    },
  };
}

describe('Rounds', () => {
  test('come one at a time, each so long after the end of the last', async () => {
    const { clock, rounds, begun, end } = heldRounds();
    rounds.start();
    clock.advance(999);
    expect(begun()).toBe(0);
    clock.advance(1);
    expect(begun()).toBe(1);
    clock.advance(5_000);
    expect(begun()).toBe(1);
    await end();
    clock.advance(1_000);
    expect(begun()).toBe(2);
  });

  test('asked for in the midst of one come right after it, once', async () => {
    const { rounds, begun, end } = heldRounds();
    rounds.wake();
    rounds.wake();
    rounds.wake();
    expect(begun()).toBe(1);
    await end();
    expect(begun()).toBe(2);
    await end();
    expect(begun()).toBe(2);
  });

  test('go on after one that failed, which is told', async () => {
    const { clock, rounds, begun, fail, failures } = heldRounds();
    rounds.wake();
    await fail(new Error('no database'));
    expect(failures).toEqual(['no database']);
    clock.advance(1_000);
    expect(begun()).toBe(2);
  });

  test('are brought forward, but never put off', () => {
    const { clock, rounds, begun } = heldRounds();
    rounds.start();
    rounds.wakeIn(200);
    rounds.wakeIn(500);
    clock.advance(200);
    expect(begun()).toBe(1);
  });

  test('that were asked for in part leave the next whole one where it was', async () => {
    const clock = new FakeClock();
    const timely: boolean[] = [];
    const loop = new WakeableLoop({ clock, everyMs: 1_000, round: async (isTimely) => timely.push(isTimely), failed: () => {} });
    loop.start();
    clock.advance(600);
    loop.ask();
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(400);
    await new Promise((resolve) => setImmediate(resolve));
    expect(timely).toEqual([false, true]);
  });

  test('end with the one under way when they are stopped', async () => {
    const { clock, rounds, begun, end } = heldRounds();
    rounds.wake();
    rounds.wake();
    let isStopped = false;
    const stopping = rounds.stop().then(() => {
      isStopped = true;
    });
    expect(rounds.isStopping).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isStopped).toBe(false);
    await end();
    await stopping;
    clock.advance(10_000);
    rounds.wake();
    expect(begun()).toBe(1);
  });
});

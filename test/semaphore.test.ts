import { Semaphore } from '../src/semaphore';

const turns = async () => {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};

describe('A semaphore', () => {
  test('has so many at a time and the others wait, in the order they came', async () => {
    const semaphore = new Semaphore(2);
    const begun: number[] = [];
    const ends: (() => void)[] = [];
    const all = Promise.all(
      [1, 2, 3, 4, 5].map((no) =>
        semaphore.run(() => {
          begun.push(no);
          return new Promise<void>((resolve) => ends.push(resolve));
        }),
      ),
    );
    expect(begun).toEqual([1, 2]); // at once where there is a place
    for (let ended = 0; ended < 5; ended++) {
      ends[ended]?.();
      await turns();
      expect(begun.length).toBe(Math.min(5, ended + 3));
    }
    expect(begun).toEqual([1, 2, 3, 4, 5]);
    await all;
  });

  test('hands a place over: nobody who comes at that moment has it beside the one who waited', async () => {
    const semaphore = new Semaphore(1);
    let [underWay, most] = [0, 0];
    const work = async () => {
      underWay++;
      most = Math.max(most, underWay);
      await turns();
      underWay--;
    };
    const first = semaphore.run(work);
    const waiting = semaphore.run(work);
    const late = first.then(() => semaphore.run(work)); // right when the first has ended
    await Promise.all([first, waiting, late]);
    expect(most).toBe(1);
  });

  test('is free again after a failure', async () => {
    const semaphore = new Semaphore(1);
    await expect(semaphore.run(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(await semaphore.run(async () => 'whole')).toBe('whole');
  });

  test('tells when nobody has a place or waits for one', async () => {
    const semaphore = new Semaphore(1);
    await semaphore.idle();
    let [isOver, isIdle] = [false, false];
    const work = [turns, turns].map((step) => semaphore.run(step));
    void Promise.all(work).then(() => {
      isOver = true;
    });
    void semaphore.idle().then(() => {
      isIdle = true;
    });
    await work[0];
    expect(isIdle).toBe(false);
    await work[1];
    await turns();
    expect([isOver, isIdle]).toEqual([true, true]);
  });
});

import { FairShare } from '../src/fair-share';

/** Everyone takes one at a time, in turn, until nobody gets any more. */
function fill(share: FairShare, holders: readonly string[]): number[] {
  for (let isTaken = true; isTaken; ) {
    isTaken = false;
    for (const holder of holders) isTaken = share.take(holder, 1) || isTaken;
  }
  return holders.map((holder) => share.of(holder));
}

const named = (count: number) => Array.from({ length: count }, (_, index) => `app ${index}`);

describe('a fair share', () => {
  test.each([
    [1, 500],
    [2, 333],
    [4, 200],
    [9, 100],
  ])('gives %i greedy holders %i of a thousand each, and keeps as much for the next', (count, each) => {
    const share = new FairShare(1_000);
    expect(fill(share, named(count))).toEqual(Array.from({ length: count }, () => each));
    expect(share.free).toBeGreaterThanOrEqual(each);
    expect(fill(share, ['newcomer'])[0]).toBeGreaterThanOrEqual(Math.floor(1_000 / (count + 2)));
  });

  test('lets one that holds nothing take whatever is free, however much that is', () => {
    const share = new FairShare(100);
    expect(share.take('a', 50)).toBe(true);
    expect(share.take('b', 51)).toBe(false);
    expect(share.take('b', 50)).toBe(true);
    expect([share.total, share.free, share.holders]).toEqual([100, 0, 2]);
    expect(share.take('c', 1)).toBe(false);
  });

  test('gives nothing more to one that holds too much since others came, until it has let go', () => {
    const share = new FairShare(120);
    fill(share, ['a']);
    fill(share, ['b']);
    expect([share.of('a'), share.of('b')]).toEqual([60, 40]);
    share.giveBack('a', 10);
    expect(share.take('a', 1)).toBe(false);
    share.giveBack('a', 11);
    expect(share.take('a', 1)).toBe(true);
  });

  test('changes nothing when it refuses, and forgets those that hold nothing', () => {
    const share = new FairShare(10);
    share.take('a', 4);
    expect(share.take('a', 3)).toBe(false);
    expect([share.of('a'), share.total]).toEqual([4, 4]);
    share.giveBack('a', 4);
    expect([share.of('a'), share.total, share.holders]).toEqual([0, 0, 0]);
  });

  test('leaves something for the next when there are as many holders as there are places', () => {
    const share = new FairShare(100);
    for (const holder of named(99)) expect(share.take(holder, 1)).toBe(true);
    for (const holder of named(99)) expect(share.take(holder, 1)).toBe(false);
    expect(share.take('newcomer', 1)).toBe(true);
  });
});

import { TurnQueues } from '../src/turn-queues';

interface Publish {
  readonly name: string;
  readonly events: number;
}

class Publishes extends TurnQueues<Publish> {
  publish(owner: string, no: number, events = 1): void {
    this.add(owner, { name: `${owner}${no}`, events });
  }
}

const names = (batch: readonly Publish[]) => batch.map(({ name }) => name);

/** At most `most` events a batch, unless the first has more by itself. */
function upTo(most: number): (publish: Publish) => boolean {
  let sum = 0;
  return ({ events }) => {
    if (sum > 0 && sum + events > most) return false;
    sum += events;
    return true;
  };
}

describe('What waits, owner by owner', () => {
  test('is taken in turn, each owner’s in its order', () => {
    const pending = new Publishes();
    for (let no = 1; no <= 5; no++) pending.publish('a', no);
    for (let no = 1; no <= 2; no++) pending.publish('b', no);
    pending.publish('c', 1);
    expect(names(pending.take(upTo(6)))).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
    expect(names(pending.take(upTo(6)))).toEqual(['a4', 'a5']);
    expect(pending.take(upTo(6))).toEqual([]);
  });

  test('leaves a lone one no further behind than a batch, however long the backlog of another is', () => {
    const pending = new Publishes();
    for (let no = 1; no <= 1_000; no++) pending.publish('a', no, 500);
    expect(names(pending.take(upTo(500)))).toEqual(['a1']);
    pending.publish('b', 1);
    expect(names(pending.take(upTo(500)))).toEqual(['a2']);
    expect(names(pending.take(upTo(500)))).toEqual(['b1']);
    expect(names(pending.take(upTo(500)))).toEqual(['a3']);
  });

  test('what does not fit keeps its place and its order, and is the first of the next batch', () => {
    const pending = new Publishes();
    pending.publish('a', 1);
    pending.publish('b', 1, 10);
    pending.publish('b', 2);
    pending.publish('c', 1);
    expect(names(pending.take(upTo(5)))).toEqual(['a1', 'c1']);
    pending.publish('a', 2);
    expect(names(pending.take(upTo(5)))).toEqual(['b1']);
    expect(names(pending.take(upTo(5)))).toEqual(['a2', 'b2']);
  });

  test('one at a time are taken in turn, past those who may not have one, and others can be removed', () => {
    const pending = new Publishes();
    for (const owner of ['a', 'b', 'c']) for (let no = 1; no <= 2; no++) pending.publish(owner, no);
    const next = (not = '') => pending.next((_, owner) => owner !== not)?.name;
    expect([next('a'), next(), next(), next()]).toEqual(['b1', 'a1', 'c1', 'b2']);
    const [a2] = pending.of('a');
    if (a2) pending.remove('a', a2);
    expect([pending.of('a'), names(pending.removeOf('c')), pending.isEmpty, next()]).toEqual([[], ['c2'], true, undefined]);
    pending.publish('d', 1);
    expect([names(pending.removeAll()), pending.isEmpty]).toEqual([['d1'], true]);
  });

  test('one that is taken in part keeps its place in its queue, and goes behind the others', () => {
    const pending = new Publishes();
    pending.publish('a', 1);
    pending.publish('b', 1);
    let asked = 0;
    expect(names(pending.take(() => (asked++ === 0 ? 'partly' : asked === 2)))).toEqual(['b1']);
    expect(names(pending.take(() => true))).toEqual(['a1']);
  });
});

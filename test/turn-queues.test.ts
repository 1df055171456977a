import { PendingAppends } from '../../src/events/pending-appends';

interface Publish {
  readonly request: { readonly applicationId: string };
  readonly no: number;
  readonly events: number;
}

const publish = (applicationId: string, no: number, events = 1): Publish => ({ request: { applicationId }, no, events });
const names = (batch: readonly Publish[]) => batch.map(({ request, no }) => `${request.applicationId}${no}`);

/** At most `most` events a batch, unless the first has more by itself. */
function upTo(most: number): (publish: Publish) => boolean {
  let sum = 0;
  return ({ events }) => {
    if (sum > 0 && sum + events > most) return false;
    sum += events;
    return true;
  };
}

describe('publishes that wait', () => {
  test('are taken in turn, application by application, each in its order', () => {
    const pending = new PendingAppends<Publish>();
    for (let no = 1; no <= 5; no++) pending.add(publish('a', no));
    for (let no = 1; no <= 2; no++) pending.add(publish('b', no));
    pending.add(publish('c', 1));
    expect(names(pending.take(upTo(6)))).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
    expect(names(pending.take(upTo(6)))).toEqual(['a4', 'a5']);
    expect(pending.take(upTo(6))).toEqual([]);
  });

  test('leave a lone publish no further behind than a batch, however long the backlog of another is', () => {
    const pending = new PendingAppends<Publish>();
    for (let no = 1; no <= 1_000; no++) pending.add(publish('a', no, 500));
    expect(names(pending.take(upTo(500)))).toEqual(['a1']);
    pending.add(publish('b', 1));
    expect(names(pending.take(upTo(500)))).toEqual(['a2']);
    expect(names(pending.take(upTo(500)))).toEqual(['b1']);
    expect(names(pending.take(upTo(500)))).toEqual(['a3']);
  });

  test('that do not fit keep their place and their order, and are the first of the next batch', () => {
    const pending = new PendingAppends<Publish>();
    for (const one of [publish('a', 1), publish('b', 1, 10), publish('b', 2), publish('c', 1)]) pending.add(one);
    expect(names(pending.take(upTo(5)))).toEqual(['a1', 'c1']);
    pending.add(publish('a', 2));
    expect(names(pending.take(upTo(5)))).toEqual(['b1']);
    expect(names(pending.take(upTo(5)))).toEqual(['a2', 'b2']);
  });
});

import { AttemptTrigger } from '../../src/attempts/attempt';
import type { Job } from '../../src/dispatch/lane';
import { choose, type Turn, Window } from '../../src/dispatch/turns';
import { Event } from '../../src/events/event';
import { Ordering } from '../../src/webhooks/webhook';

const id = (sequence: number) => `dlv_${String(sequence).padStart(4, '0')}`;

const waiting = (sequence: number, orderingKey: string | null = null, attempts = 0) => ({
  id: id(sequence),
  ordering_key: orderingKey,
  attempt_count: attempts,
  payload_chars: 10,
});

const ROOM = { deliveries: 100, bytes: 1_000_000, isEmpty: true };

const chosen = (rows: readonly ReturnType<typeof waiting>[], overrides: Partial<Parameters<typeof choose>[1]> = {}) => {
  const { taken, position, stop } = choose(rows, {
    ordering: Ordering.BY_KEY,
    heads: new Map(),
    probing: new Set(),
    room: ROOM,
    ...overrides,
  });
  return { taken: taken.map((row) => row.id), position, stop };
};

describe('Choosing what may be taken in', () => {
  test('passes over what stands behind a blocking delivery of its key, not what stands before it', () => {
    const rows = [waiting(1, 'A'), waiting(2, 'B'), waiting(4, 'A'), waiting(5, 'B'), waiting(6), waiting(7, 'A')];
    expect(chosen(rows, { heads: new Map([['A', id(3)]]) })).toEqual({ taken: [1, 2, 5, 6].map(id), position: id(7), stop: null });
  });

  test('takes no room for what is blocked, however much it is', () => {
    const rows = [...Array.from({ length: 500 }, (_, index) => waiting(index + 2, 'A')), waiting(600, 'B')];
    const room = { ...ROOM, deliveries: 1 };
    expect(chosen(rows, { heads: new Map([['A', id(1)]]), room })).toEqual({ taken: [id(600)], position: id(600), stop: null });
  });

  test('takes a retry alone of its key: what follows waits until it is known what came of it', () => {
    const rows = [waiting(1, 'A', 2), waiting(2, 'A'), waiting(3, 'B'), waiting(4, null, 2), waiting(5)];
    expect(chosen(rows)).toEqual({ taken: [1, 3, 4, 5].map(id), position: id(5), stop: null });
    expect(chosen(rows.slice(1), { probing: new Set(['A']) })).toEqual({ taken: [3, 4, 5].map(id), position: id(5), stop: null });
  });

  test('stops at the first blocked one where everything is one order', () => {
    const strict = { ordering: Ordering.STRICT };
    expect(chosen([waiting(1, 'A'), waiting(2, 'B')], strict)).toEqual({ taken: [1, 2].map(id), position: id(2), stop: null });
    expect(chosen([waiting(1), waiting(3)], { ...strict, heads: new Map([['', id(2)]]) })).toEqual({
      taken: [id(1)],
      position: id(1),
      stop: 'blocked',
    });
    expect(chosen([waiting(1, null, 1), waiting(2)], strict)).toEqual({ taken: [id(1)], position: id(1), stop: 'blocked' });
  });

  test('stops when the room is used up, and takes one of any weight into an empty window alone', () => {
    const rows = [waiting(1), waiting(2), waiting(3)];
    expect(chosen(rows, { room: { ...ROOM, deliveries: 2 } })).toEqual({ taken: [1, 2].map(id), position: id(2), stop: 'full' });
    expect(chosen(rows, { room: { ...ROOM, bytes: 1 } })).toEqual({ taken: [id(1)], position: id(1), stop: 'full' });
    expect(chosen(rows, { room: { ...ROOM, bytes: 1, isEmpty: false } })).toEqual({ taken: [], position: null, stop: 'full' });
  });
});

function turn(sequence: number, key: string | null, attemptCount = 0): Turn {
  const event = Object.assign(new Event(), { sequence, payloadText: '{}' });
  const job: Job = { deliveryId: id(sequence), event, attemptCount, trigger: AttemptTrigger.FIRST, body: null, createdAt: 0, weight: 516 };
  return { job, key };
}

function windowOf(...turns: readonly Turn[]): Window {
  const window = new Window();
  for (const each of turns) window.add(each);
  return window;
}

const sequences = (turns: readonly Turn[]) => turns.map(({ job }) => job.event.sequence).sort((a, b) => a - b);

describe('A window', () => {
  test('hands out the first of each key and everything without one, and the next when the one before is back', () => {
    const window = windowOf(turn(1, 'A'), turn(2, 'B'), turn(3, 'A'), turn(4, null), turn(5, null), turn(6, 'A'));
    expect(sequences(window.next())).toEqual([1, 2, 4, 5]);
    expect(window.next()).toEqual([]);
    window.returned(id(2));
    window.returned(id(4));
    expect(window.next()).toEqual([]);
    window.returned(id(1));
    expect(sequences(window.next())).toEqual([3]);
    for (const sequence of [3, 5]) window.returned(id(sequence));
    expect(sequences(window.next())).toEqual([6]);
    expect(window.returned(id(6))?.key).toBe('A');
    expect(window).toMatchObject({ isEmpty: true, weight: 0, waiting: 0 });
  });

  test('puts an older one before those that wait, behind the one that is out', () => {
    const window = windowOf(turn(5, 'A'), turn(6, 'A'));
    expect(sequences(window.next())).toEqual([5]);
    window.add(turn(1, 'A'));
    expect(window.next()).toEqual([]);
    window.returned(id(5));
    expect(sequences(window.next())).toEqual([1]);
    window.returned(id(1));
    expect(sequences(window.next())).toEqual([6]);
  });

  test('lets go of those that wait, never of one that is out', () => {
    const window = windowOf(turn(1, 'A'), turn(2, 'A'), turn(3, 'B'), turn(4, 'B'));
    window.next();
    expect(sequences(window.remove(({ key }) => key === 'A'))).toEqual([2]);
    expect(window.waiting).toBe(1);
    expect(window.has(id(1))).toBe(true);
    expect(window.returned(id(2))).toBeUndefined();
    window.returned(id(1));
    window.returned(id(3));
    expect(sequences(window.next())).toEqual([4]);
  });

  test('knows the keys of which a retry is in it', () => {
    const window = windowOf(turn(1, 'A', 1), turn(2, 'B'), turn(3, null, 4));
    expect([...window.probing]).toEqual(['A']);
    window.next();
    expect([...window.probing]).toEqual(['A']);
    window.returned(id(1));
    expect([...window.probing]).toEqual([]);
  });
});

import { choose } from '../../src/delivery/claim/choose';
import { Ordering } from '../../src/webhooks/webhook';

const id = (sequence: number) => `dlv_${String(sequence).padStart(4, '0')}`;

const waiting = (sequence: number, orderingKey: string | null = null, attempts = 0) => ({
  id: id(sequence),
  ordering_key: orderingKey,
  attempt_count: attempts,
  payload_chars: 10,
});

const SPACE = { deliveries: 100, bytes: 1_000_000, isEmpty: true };

const chosen = (rows: readonly ReturnType<typeof waiting>[], overrides: Partial<Parameters<typeof choose>[1]> = {}) => {
  const { taken, position, stop } = choose(rows, {
    ordering: Ordering.BY_KEY,
    heads: new Map(),
    probing: new Set(),
    space: SPACE,
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
    const space = { ...SPACE, deliveries: 1 };
    expect(chosen(rows, { heads: new Map([['A', id(1)]]), space })).toEqual({ taken: [id(600)], position: id(600), stop: null });
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

  test('stops when the room is used up, and takes one of any weight into an empty queue alone', () => {
    const rows = [waiting(1), waiting(2), waiting(3)];
    expect(chosen(rows, { space: { ...SPACE, deliveries: 2 } })).toEqual({ taken: [1, 2].map(id), position: id(2), stop: 'full' });
    expect(chosen(rows, { space: { ...SPACE, bytes: 1 } })).toEqual({ taken: [id(1)], position: id(1), stop: 'full' });
    expect(chosen(rows, { space: { ...SPACE, bytes: 1, isEmpty: false } })).toEqual({ taken: [], position: null, stop: 'full' });
  });
});

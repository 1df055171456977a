import fc from 'fast-check';
import { FifoQueue, MAX_WAITING_PER_WEBHOOK } from '../../src/delivery/queue/fifo-queue';
import { MAX_WAITING_PER_ORDERED_WEBHOOK, OrderedQueue } from '../../src/delivery/queue/ordered-queue';
import { Ordering } from '../../src/webhooks/webhook';
import { drain, job, jobs, keepsTheContract, sequencesOf } from './queue-contract';

describe('The queue of a webhook without order', () => {
  keepsTheContract(() => new FifoQueue());

  test('lets first attempts go before retries that wait, which get every fourth place', () => {
    const queue = new FifoQueue();
    queue.push([job(1, { attemptCount: 1 }), job(2, { attemptCount: 3 }), ...jobs(5, 3)]);
    expect(drain(queue)).toEqual([3, 4, 5, 1, 6, 7, 2]);
  });

  test('hands out everything at once', () => {
    const queue = new FifoQueue();
    queue.push(jobs(3));
    expect(sequencesOf([queue.next(), queue.next(), queue.next()].flatMap((one) => one ?? []))).toEqual([1, 2, 3]);
  });

  test('admits new events up to its bounds, behind a backlog only where that is retries', () => {
    const queue = new FifoQueue();
    const admits = (most: number, reserved: number, hasBacklog = false) => queue.admits({ most, reserved, hasBacklog });
    expect([admits(1, 0), admits(1, 1), admits(5_000, MAX_WAITING_PER_WEBHOOK - 1), admits(5_000, MAX_WAITING_PER_WEBHOOK)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(admits(10, 0, true)).toBe(false);
    queue.push([job(1, { attemptCount: 1 })]);
    expect([admits(10, 0, true), admits(1, 0, true)]).toEqual([true, true]);
  });
});

describe('The queue of a webhook with the order STRICT', () => {
  keepsTheContract(() => new OrderedQueue(Ordering.STRICT));

  test('has one out at a time, in the order of the sequences however they came', () => {
    const queue = new OrderedQueue(Ordering.STRICT);
    queue.push([job(3, { key: null }), job(1), job(2, { key: 'other' })]);
    expect([queue.next()?.event.sequence, queue.next()]).toEqual([1, undefined]);
    queue.finished(job(1).deliveryId, 'ENDED');
    expect(drain(queue)).toEqual([2, 3]);
  });

  test('gives up all that stands behind one that will be tried again', () => {
    const queue = new OrderedQueue(Ordering.STRICT);
    queue.push(jobs(4));
    queue.next();
    expect(sequencesOf(queue.finished(job(1).deliveryId, 'RETRYING'))).toEqual([2, 3, 4]);
    expect([queue.isEmpty, queue.waiting, queue.next()]).toEqual([true, 0, undefined]);
  });
});

describe('The queue of a webhook with the order BY_KEY', () => {
  keepsTheContract(() => new OrderedQueue(Ordering.BY_KEY));

  test('has one of each key out, and what has no key at once', () => {
    const queue = new OrderedQueue(Ordering.BY_KEY);
    const [a1, a2, b3, none4, none5] = [
      job(1, { key: 'a' }),
      job(2, { key: 'a' }),
      job(3, { key: 'b' }),
      job(4, { key: null }),
      job(5, { key: null }),
    ];
    queue.push([a1, a2, b3, none4, none5]);
    const out = [queue.next(), queue.next(), queue.next(), queue.next()];
    expect(new Set(out)).toEqual(new Set([none4, none5, a1, b3]));
    expect([queue.next(), queue.waiting]).toEqual([undefined, 1]);
    queue.finished(b3.deliveryId, 'ENDED');
    expect(queue.next()).toBeUndefined();
    queue.finished(a1.deliveryId, 'ENDED');
    expect(queue.next()).toBe(a2);
  });

  test('gives up of one key what stands behind a retry, and nothing of another or without one', () => {
    const queue = new OrderedQueue(Ordering.BY_KEY);
    queue.push([job(1, { key: 'a' }), job(2, { key: 'b' }), job(3, { key: 'a' }), job(4, { key: 'b' }), job(5, { key: null })]);
    for (let times = 0; times < 3; times++) queue.next();
    expect(sequencesOf(queue.finished(job(1).deliveryId, 'RETRYING'))).toEqual([3]);
    expect(sequencesOf(queue.finished(job(5).deliveryId, 'RETRYING'))).toEqual([]);
    queue.finished(job(2).deliveryId, 'ENDED');
    expect(drain(queue)).toEqual([4]);
  });

  test('tells the keys of which a retry waits or is out', () => {
    const queue = new OrderedQueue(Ordering.BY_KEY);
    queue.push([job(1, { key: 'a', attemptCount: 2 }), job(2, { key: 'b' })]);
    expect([...queue.probing]).toEqual(['a']);
    queue.next();
    expect([...queue.probing]).toEqual(['a']);
    queue.finished(job(1).deliveryId, 'ENDED');
    expect([...queue.probing]).toEqual([]);
  });

  test('is low on room earlier than one without order, and new events wait in the database', () => {
    const queue = new OrderedQueue(Ordering.BY_KEY);
    expect([queue.capacity, queue.admits()]).toEqual([MAX_WAITING_PER_ORDERED_WEBHOOK, false]);
  });

  test('whatever comes and goes, never has two of a key out and never turns a key around', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('push' as const), key: fc.constantFrom('a', 'b', null) }),
      fc.record({ do: fc.constantFrom('next' as const, 'end' as const, 'retry' as const, 'drop' as const) }),
      fc.record({ do: fc.constant('take' as const), sequence: fc.nat(60) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const queue = new OrderedQueue(Ordering.BY_KEY);
        const out: ReturnType<typeof job>[] = [];
        const last = new Map<string, number>();
        let sequence = 0;
        let inside = 0;
        for (const one of steps) {
          const [first] = out;
          switch (one.do) {
            case 'push':
              queue.push([job(++sequence, { key: one.key })]);
              inside++;
              break;
            case 'next': {
              const next = queue.next();
              if (!next) break;
              const key = next.event.orderingKey;
              if (key !== null) {
                expect(out.some(({ event }) => event.orderingKey === key)).toBe(false);
                expect(next.event.sequence).toBeGreaterThan(last.get(key) ?? 0);
                last.set(key, next.event.sequence);
              }
              out.push(next);
              break;
            }
            case 'take':
              inside -= queue.take(({ event }) => event.sequence === one.sequence).length;
              break;
            default:
              if (!first) break;
              out.shift();
              inside--;
              if (one.do === 'drop') queue.dropped(first.deliveryId);
              else inside -= queue.finished(first.deliveryId, one.do === 'end' ? 'ENDED' : 'RETRYING').length;
          }
          expect(queue.waiting).toBe(inside - out.length);
        }
        for (const { deliveryId } of out) queue.finished(deliveryId, 'ENDED');
        inside -= out.length;
        expect(drain(queue)).toHaveLength(inside);
        expect(queue.isEmpty).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

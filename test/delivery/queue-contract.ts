import { AttemptTrigger } from '../../src/attempts/attempt';
import type { Job } from '../../src/delivery/job';
import type { WebhookQueue } from '../../src/delivery/queue/webhook-queue';
import type { Event } from '../../src/events/event';

interface Made {
  readonly key?: string | null;
  readonly attemptCount?: number;
}

/** A delivery of the event with this sequence, as the queues see it. */
export function job(sequence: number, { key = 'k', attemptCount = 0 }: Made = {}): Job {
  return {
    deliveryId: `dlv_${String(sequence).padStart(6, '0')}`,
    event: { sequence, orderingKey: key, payloadText: '{}' } as Event,
    attemptCount,
    manualAttempts: 0,
    trigger: attemptCount === 0 ? AttemptTrigger.FIRST : AttemptTrigger.AUTOMATIC,
    automaticDueAt: null,
    body: null,
    createdAt: 0,
    weight: 1,
  };
}

export const jobs = (count: number, from = 1) => Array.from({ length: count }, (_, index) => job(from + index));
export const sequencesOf = (all: readonly Job[]) => all.map(({ event }) => event.sequence);

/** Hands out and ends one after the other until there is nothing left. */
export function drain(queue: WebhookQueue): number[] {
  const order: number[] = [];
  for (let next = queue.next(); next; next = queue.next()) {
    order.push(next.event.sequence);
    queue.finished(next.deliveryId, 'ENDED');
  }
  return order;
}

/** What every queue of a webhook does, whatever order it keeps. */
export function keepsTheContract(make: () => WebhookQueue): void {
  test('hands out what was pushed, each once, and then nothing', () => {
    const queue = make();
    queue.push(jobs(50));
    expect([queue.waiting, drain(queue)]).toEqual([50, Array.from({ length: 50 }, (_, index) => index + 1)]);
    expect([queue.waiting, queue.next()]).toEqual([0, undefined]);
  });

  test('knows what waits and what is out, and forgets it when it has ended, was dropped or taken', () => {
    const queue = make();
    const [first, second, third] = [job(1), job(2), job(3)];
    queue.push([first, second, third]);
    const knows = () => [first, second, third].map(({ deliveryId }) => queue.has(deliveryId));
    expect(knows()).toEqual([true, true, true]);
    expect(queue.next()).toBe(first);
    expect(knows()).toEqual([true, true, true]);
    queue.finished(first.deliveryId, 'ENDED');
    expect(knows()).toEqual([false, true, true]);
    expect(queue.next()).toBe(second);
    queue.dropped(second.deliveryId);
    expect(knows()).toEqual([false, false, true]);
    expect(queue.take(() => true)).toEqual([third]);
    expect([knows(), queue.waiting]).toEqual([[false, false, false], 0]);
  });

  test.each([
    ['the first', 1],
    ['one in the middle', 5],
    ['the last', 10],
  ])('gives up %s that waits, and hands out the others', (_, sequence) => {
    const queue = make();
    queue.push(jobs(10));
    expect(sequencesOf(queue.take(({ event }) => event.sequence === sequence))).toEqual([sequence]);
    expect(queue.waiting).toBe(9);
    expect(drain(queue)).toEqual(sequencesOf(jobs(10)).filter((one) => one !== sequence));
  });

  test('gives up what waits and leaves what is out to end', () => {
    const queue = make();
    queue.push(jobs(3));
    const out = queue.next();
    expect(sequencesOf(queue.take(() => true))).toEqual([2, 3]);
    expect([queue.has(out?.deliveryId ?? ''), queue.next()]).toEqual([true, undefined]);
    queue.finished(out?.deliveryId ?? '', 'ENDED');
    expect(queue.has(out?.deliveryId ?? '')).toBe(false);
  });

  test('goes on after everything was taken', () => {
    const queue = make();
    queue.push(jobs(3));
    queue.take(() => true);
    queue.push(jobs(2, 4));
    expect(drain(queue)).toEqual([4, 5]);
  });

  test('goes on behind one that was dropped', () => {
    const queue = make();
    queue.push(jobs(2));
    queue.dropped(queue.next()?.deliveryId ?? '');
    expect(drain(queue)).toEqual([2]);
  });

  test('takes one in again that failed before', () => {
    const queue = make();
    queue.push([job(1)]);
    queue.next();
    queue.finished(job(1).deliveryId, 'RETRYING');
    queue.push([job(1, { attemptCount: 1 })]);
    expect([queue.has(job(1).deliveryId), queue.mayHang]).toEqual([true, true]);
    expect(drain(queue)).toEqual([1]);
  });

  test('does nothing for what it never had', () => {
    const queue = make();
    queue.push(jobs(2));
    queue.finished('dlv_other', 'RETRYING');
    queue.dropped('dlv_other');
    expect(queue.take(({ deliveryId }) => deliveryId === 'dlv_other')).toEqual([]);
    expect([queue.waiting, drain(queue)]).toEqual([2, [1, 2]]);
  });

  test('keeps its count through every way in and out', () => {
    const queue = make();
    queue.push(jobs(20));
    for (let times = 0; times < 3; times++) queue.finished(queue.next()?.deliveryId ?? '', 'ENDED');
    queue.take(({ event }) => event.sequence % 2 === 0);
    const left = sequencesOf(jobs(20)).filter((sequence) => sequence > 3 && sequence % 2 === 1);
    expect(queue.waiting).toBe(left.length);
    expect(drain(queue)).toEqual(left);
  });
}

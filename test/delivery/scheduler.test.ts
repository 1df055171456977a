import { MAX_IN_FLIGHT } from '../../src/delivery/in-flight';
import { Rotation, type Schedulable, Scheduler } from '../../src/delivery/scheduler';
import { turns } from './parts';

interface Webhook extends Schedulable {
  readonly name: string;
  /** Requests that wait to be started. */
  waiting: number;
}

const KIB = 1024;

/** A scheduler with webhooks that start what waits whenever they may, as the dispatcher has them. */
function scheduled(bytes = 1) {
  const started: string[] = [];
  const scheduler: Scheduler<Webhook> = new Scheduler(pump);
  function pump(webhook: Webhook): void {
    while (webhook.waiting > 0 && scheduler.admits(webhook)) {
      webhook.waiting--;
      scheduler.started(webhook, bytes);
      started.push(webhook.name);
    }
  }
  return {
    scheduler,
    started,
    /** A webhook with so many requests waiting, which starts what it may. */
    add(applicationId: string, waiting: number, { name = applicationId, mayHang = false } = {}): Webhook {
      const webhook: Webhook = { name, applicationId, timeoutMs: 30_000, inFlight: 0, mayHang, waiting };
      pump(webhook);
      return webhook;
    },
  };
}

const countOf = (started: readonly string[], name: string) => started.filter((one) => one === name).length;

describe('A turn of the event loop', () => {
  test('starts so many requests and no more; the rest follow in later ones', async () => {
    const { started, add, scheduler } = scheduled();
    add('shop', 40);
    expect(started).toHaveLength(16);
    await turns(1);
    expect(started).toHaveLength(32);
    await turns(1);
    expect([started.length, scheduler.inFlight]).toEqual([40, 40]);
  });

  test('starts fewer where they are large', async () => {
    const { started, add } = scheduled(256 * KIB);
    add('shop', 10);
    expect(started).toHaveLength(4);
    await turns(1);
    expect(started).toHaveLength(8);
  });

  test('starts one at least, however large', async () => {
    const { started, add } = scheduled(16 * 1024 * KIB);
    add('shop', 3);
    for (const count of [1, 2, 3]) {
      expect(started).toHaveLength(count);
      await turns(1);
    }
  });

  test('goes from application to application: one with many webhooks does not keep another waiting', async () => {
    const { started, add } = scheduled();
    for (let count = 0; count < 100; count++) add('large', 1, { name: `large ${count}` });
    add('small', 1);
    expect([started.length, countOf(started, 'small')]).toEqual([16, 0]);
    await turns(1);
    expect(countOf(started, 'small')).toBe(1);
    await turns(10);
    expect(started).toHaveLength(101);
    expect(new Set(started).size).toBe(101);
  });

  test('that has nothing to start leaves the next one all its starts', async () => {
    const { started, add } = scheduled();
    add('shop', 16);
    const idle = add('shop', 1, { name: 'idle' });
    idle.waiting = 0; // what waited was cancelled
    await turns(2);
    add('other', 16);
    expect(countOf(started, 'other')).toBe(16);
  });
});

describe('A slot that is free', () => {
  /** All slots an application may have are taken by webhooks of it, with `waiting` more each. */
  async function full(waiting: number) {
    const rig = scheduled();
    const webhooks = Array.from({ length: MAX_IN_FLIGHT }, (_, count) => rig.add('large', 1 + waiting, { name: `large ${count}` }));
    await turns(MAX_IN_FLIGHT / 8);
    return { ...rig, webhooks, busy: webhooks.filter(({ inFlight }) => inFlight > 0) };
  }

  test('is its webhook’s again where nobody waits for one', async () => {
    const { scheduler, started, add } = scheduled();
    const webhook = add('shop', 1);
    webhook.waiting = 1;
    expect(started).toEqual(['shop']);
    scheduler.ended(webhook);
    expect([started, webhook.inFlight, scheduler.inFlight]).toEqual([['shop', 'shop'], 1, 1]);
  });

  test('goes to those of the application that wait, when it has all it may have', async () => {
    const { scheduler, started, busy, webhooks } = await full(0);
    const before = started.length;
    expect(before).toBe(MAX_IN_FLIGHT / 2);
    for (const webhook of busy.slice(0, 10)) scheduler.ended(webhook);
    await turns(2);
    expect([started.length - before, scheduler.inFlight]).toEqual([10, MAX_IN_FLIGHT / 2]);
    expect(new Set(started).size).toBe(started.length);
    for (const webhook of busy.slice(10)) scheduler.ended(webhook);
    await turns(MAX_IN_FLIGHT / 8);
    expect([webhooks.every(({ waiting }) => waiting === 0), started.length]).toEqual([true, webhooks.length]);
  });

  test('leaves nobody waiting for ever: whatever ends in whatever order, all is started once', async () => {
    const { scheduler, started, webhooks, add } = await full(2);
    for (let count = 0; count < 50; count++) webhooks.push(add(`small ${count}`, 3));
    for (let round = 0; round < 2_000 && webhooks.some(({ waiting }) => waiting > 0); round++) {
      const running = webhooks.filter(({ inFlight }) => inFlight > 0);
      for (let index = round % 3; index < running.length; index += 3) {
        const one = running[index];
        if (one) scheduler.ended(one);
      }
      await turns(2);
    }
    expect(webhooks.filter(({ waiting }) => waiting > 0)).toEqual([]);
    expect(started).toHaveLength(3 * webhooks.length);
    for (const webhook of webhooks) while (webhook.inFlight > 0) scheduler.ended(webhook);
    expect(scheduler.inFlight).toBe(0);
  });
});

describe('A rotation', () => {
  const member = (applicationId: string, no = 0) => ({ applicationId, no });

  test('gives one of each application in turn, each application’s in the order they came', () => {
    const rotation = new Rotation<ReturnType<typeof member>>();
    const [a1, a2, a3, b1, c1, c2] = [member('a', 1), member('a', 2), member('a', 3), member('b', 1), member('c', 1), member('c', 2)];
    for (const one of [a1, a2, a3, b1, c1, c2]) rotation.add(one);
    expect(Array.from({ length: 7 }, () => rotation.take())).toEqual([a1, b1, c1, a2, c2, a3, undefined]);
    expect(rotation.isEmpty).toBe(true);
  });

  test('holds each once, however often it is added', () => {
    const rotation = new Rotation<ReturnType<typeof member>>();
    const one = member('a');
    rotation.add(one);
    rotation.add(one);
    expect([rotation.take(), rotation.take()]).toEqual([one, undefined]);
  });
});

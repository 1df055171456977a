import { MAX_WAITING_PER_WEBHOOK } from '../../src/delivery/queue/fifo-queue';
import { MAX_WAITING_PER_ORDERED_WEBHOOK } from '../../src/delivery/queue/ordered-queue';
import { newApplicationId } from '../../src/ids';
import { Ordering } from '../../src/webhooks/webhook';
import type { LiveWebhook } from '../../src/webhooks/webhook-cache';
import { ANSWERED_500, DispatcherRig, eventFor, jobFor, liveWebhook, REFUSED, SUCCESS, turns } from './parts';

const MIB = 1024 * 1024;

const idsOf = (webhook: LiveWebhook, ...sequences: number[]) => sequences.map((sequence) => jobFor(webhook, sequence).deliveryId);

/** A webhook with 1 in flight and 2 to 4 waiting behind it, all of one ordering key. */
async function busy(ordering: Ordering, overrides: Partial<LiveWebhook> = {}) {
  const rig = new DispatcherRig();
  const webhook = liveWebhook({ ordering, ...overrides });
  rig.claimed(
    webhook,
    [1, 2, 3, 4].map((sequence) => jobFor(webhook, sequence, { key: 'a' })),
  );
  await turns();
  expect(rig.sentSequences).toEqual([1]);
  return { rig, webhook };
}

/** What a test of a webhook that keeps any order does about it. */
const eachOrdering = describe.each([Ordering.NONE, Ordering.BY_KEY, Ordering.STRICT]);

eachOrdering('Of a webhook with the order %s', (ordering) => {
  test('a delivery that is cancelled while it waits is not sent, and those behind it are', async () => {
    const { rig, webhook } = await busy(ordering);
    rig.facts.deliveriesCancelled.emit({ deliveryIds: idsOf(webhook, 2) });
    expect([rig.told, rig.released]).toEqual([[['FORGOTTEN', [2]]], []]);
    await rig.drain();
    expect([rig.sentSequences, rig.dispatcher.bytes]).toEqual([[1, 3, 4], 0]);
  });

  test('one that is cancelled while its request is under way ends by itself', async () => {
    const { rig, webhook } = await busy(ordering);
    rig.facts.deliveriesCancelled.emit({ deliveryIds: idsOf(webhook, 1) });
    expect([rig.told, rig.dispatcher.has(idsOf(webhook, 1)[0] ?? '')]).toEqual([[], true]);
    await rig.drain();
    expect([rig.sentSequences, rig.dispatcher.bytes]).toEqual([[1, 2, 3, 4], 0]);
  });

  test('one whose event is redacted is not sent, and those behind it are', async () => {
    const { rig, webhook } = await busy(ordering);
    rig.facts.eventRedacted.emit({ applicationId: webhook.applicationId, sequence: 3 } as never);
    rig.facts.eventRedacted.emit({ applicationId: newApplicationId(), sequence: 4 } as never);
    expect([rig.told, rig.released]).toEqual([[['FORGOTTEN', [3]]], []]);
    await rig.drain();
    expect(rig.sentSequences).toEqual([1, 2, 4]);
  });

  test('one that is withdrawn is not sent, and stays this instance’s', async () => {
    const { rig, webhook } = await busy(ordering);
    expect(rig.dispatcher.withdraw(idsOf(webhook, 1, 2, 9))).toEqual(idsOf(webhook, 2));
    expect([rig.told, rig.released, rig.dispatcher.has(idsOf(webhook, 2)[0] ?? '')]).toEqual([[['WITHDRAWN', [2]]], [], false]);
    expect(rig.dispatcher.withdraw(idsOf(webhook, 2))).toEqual([]);
    await rig.drain();
    expect(rig.sentSequences).toEqual([1, 3, 4]);
  });

  test('what waits is released when it is paused; what is under way ends', async () => {
    const { rig, webhook } = await busy(ordering);
    rig.changed(webhook.applicationId, { ...webhook, isSending: false, version: 2 });
    expect([rig.told, rig.releasedSequences]).toEqual([[['RELEASED', [2, 3, 4]]], [2, 3, 4]]);
    await rig.drain();
    expect([rig.sentSequences, rig.dispatcher.bytes, rig.dispatcher.queued]).toEqual([[1], 0, 0]);
    expect(rig.releasedSequences).toEqual([2, 3, 4]);
  });

  test('what waits is released when it is deleted, and what is claimed for it after that as well', async () => {
    const { rig, webhook } = await busy(ordering);
    rig.changed(webhook.applicationId);
    expect([rig.told, rig.releasedSequences]).toEqual([[['RELEASED', [2, 3, 4]]], [2, 3, 4]]);
    rig.claimed(webhook, [jobFor(webhook, 5)]);
    expect(rig.releasedSequences).toEqual([2, 3, 4, 5]);
    await rig.drain();
    expect([rig.sentSequences, rig.dispatcher.bytes]).toEqual([[1], 0]);
  });

  test('what waits stays when something else of it changes, and goes by the new settings', async () => {
    const { rig, webhook } = await busy(ordering);
    rig.changed(webhook.applicationId, { ...webhook, url: 'https://example.com/new', version: 2 });
    expect([rig.told, rig.released]).toEqual([[], []]);
    await rig.drain();
    expect(rig.sentSequences).toEqual([1, 2, 3, 4]);
    expect(rig.sent.map(({ webhook: { url } }) => url.endsWith('/new'))).toEqual([false, true, true, true]);
  });

  test('what waits is released when its order changes, and what comes keeps the new one', async () => {
    const { rig, webhook } = await busy(ordering, { maxConcurrency: 1 });
    const other = ordering === Ordering.STRICT ? Ordering.NONE : Ordering.STRICT;
    const changed = { ...webhook, ordering: other, version: 2, maxConcurrency: 5 };
    rig.changed(webhook.applicationId, changed);
    expect([rig.told, rig.releasedSequences]).toEqual([[['RELEASED', [2, 3, 4]]], [2, 3, 4]]);
    rig.claimed(changed, [jobFor(changed, 2), jobFor(changed, 3)]);
    await turns();
    expect(rig.sentSequences).toEqual(other === Ordering.NONE ? [1, 2, 3] : [1, 2]);
    await rig.drain();
    expect([rig.sentSequences, rig.dispatcher.bytes]).toEqual([[1, 2, 3], 0]);
  });

  test('what waits is released when a claim brings it with another order before that is told', async () => {
    const { rig, webhook } = await busy(ordering);
    const other = ordering === Ordering.STRICT ? Ordering.NONE : Ordering.STRICT;
    rig.claimed({ ...webhook, ordering: other, version: 2 }, [jobFor(webhook, 5)]);
    expect([rig.told, rig.releasedSequences]).toEqual([[['RELEASED', [2, 3, 4]]], [2, 3, 4]]);
    await rig.drain();
    expect(rig.sentSequences).toEqual([1, 5]);
  });

  test('what waits is released when the lease was lost and holds again', async () => {
    const { rig } = await busy(ordering);
    rig.isLeaseHeld = false;
    await rig.complete(1);
    expect(rig.sentSequences).toEqual([1]);
    rig.isLeaseHeld = true;
    rig.facts.leaseRegained.emit();
    expect([rig.told, rig.releasedSequences]).toEqual([[['RELEASED', [2, 3, 4]]], [2, 3, 4]]);
    await turns();
    expect([rig.sentSequences, rig.dispatcher.bytes]).toEqual([[1], 0]);
  });

  test('what waits is released on shutdown, and what is under way is waited for', async () => {
    const { rig, webhook } = await busy(ordering);
    let isStopped = false;
    const stopped = rig.dispatcher.stop().then(() => {
      isStopped = true;
    });
    expect([rig.told, rig.releasedSequences]).toEqual([[['RELEASED', [2, 3, 4]]], [2, 3, 4]]);
    await rig.clock.advanceAsync(1_000);
    expect(isStopped).toBe(false);
    rig.claimed(webhook, [jobFor(webhook, 7)]);
    expect(rig.releasedSequences).toEqual([2, 3, 4, 7]);
    await rig.complete(1);
    await rig.clock.advanceAsync(5);
    await stopped;
    expect([rig.sentSequences, rig.dispatcher.bytes, rig.roomFreed]).toEqual([[1], 0, []]);
  });

  test('a fault of an attempt releases its delivery, and all that waits behind it where an order is kept', async () => {
    const { rig } = await busy(ordering);
    await rig.fail(1);
    if (ordering === Ordering.NONE) {
      expect([rig.told, rig.releasedSequences, rig.sentSequences]).toEqual([[['RELEASED', [1]]], [1], [1, 2]]);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 2, 3, 4]);
    } else {
      expect([rig.told, rig.releasedSequences]).toEqual([[['RELEASED', [1, 2, 3, 4]]], [1, 2, 3, 4]]);
      expect(rig.sentSequences).toEqual([1]);
    }
    expect([rig.dispatcher.bytes, rig.dispatcher.inFlight]).toEqual([0, 0]);
  });

  test('one that will be tried again leaves; what stands behind it leaves with it where an order is kept', async () => {
    const { rig } = await busy(ordering);
    await rig.complete(1, ANSWERED_500);
    if (ordering === Ordering.NONE) {
      expect([rig.told, rig.sentSequences]).toEqual([[], [1, 2]]);
      await rig.drain();
    } else expect([rig.told, rig.releasedSequences, rig.sentSequences]).toEqual([[['RELEASED', [2, 3, 4]]], [2, 3, 4], [1]]);
    expect(rig.dispatcher.bytes).toBe(0);
  });

  test('nothing is both released and sent, and nothing released twice, whatever comes at once', async () => {
    const { rig, webhook } = await busy(ordering);
    rig.facts.deliveriesLeft.on(({ how }) => {
      if (how === 'WITHDRAWN') rig.dispatcher.release(webhook.id, () => true); // as the ordered claimer does
    });
    rig.dispatcher.withdraw(idsOf(webhook, 2));
    rig.facts.deliveriesCancelled.emit({ deliveryIds: idsOf(webhook, 2, 3) });
    rig.changed(webhook.applicationId, { ...webhook, isSending: false, version: 2 });
    rig.facts.leaseRegained.emit();
    await rig.fail(1);
    expect(rig.releasedSequences).toEqual([3, 4, 1]);
    expect([rig.sentSequences, rig.dispatcher.bytes]).toEqual([[1], 0]);
  });

  test('what is cancelled or redacted while it is being claimed is not kept, and nothing is told of it', async () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ordering });
    const jobs = [1, 2, 3].map((sequence) => jobFor(webhook, sequence, { key: 'a' }));
    rig.facts.deliveriesCancelled.emit({ deliveryIds: idsOf(webhook, 3) }); // before the claim: it may be due again
    const open = rig.dispatcher.openClaim();
    const other = rig.dispatcher.openClaim();
    rig.facts.deliveriesCancelled.emit({ deliveryIds: idsOf(webhook, 1) });
    rig.facts.eventRedacted.emit({ applicationId: webhook.applicationId, sequence: 2 } as never);
    expect(jobs.filter(open.keeps).map(({ event }) => event.sequence)).toEqual([3]);
    open.close();
    rig.facts.deliveriesCancelled.emit({ deliveryIds: idsOf(webhook, 3) });
    expect([jobs.filter(open.keeps), jobs.filter(other.keeps)]).toMatchObject([[{ deliveryId: idsOf(webhook, 3)[0] }], []]);
    expect(rig.told).toEqual([]);
  });

  describe('what is claimed for its next attempt before it is known that the last one is written down', () => {
    const claimedAgain = async () => {
      const { rig, webhook } = await busy(ordering);
      rig.facts.deliveriesCancelled.emit({ deliveryIds: idsOf(webhook, 2, 3, 4) });
      await rig.end(1, ANSWERED_500);
      rig.claimed(webhook, [jobFor(webhook, 1, { key: 'a', attemptCount: 1 })]);
      await turns();
      expect(rig.sentSequences).toEqual([1]);
      return { rig, webhook };
    };

    test('is sent once it is', async () => {
      const { rig } = await claimedAgain();
      await rig.settle();
      expect(rig.sent.map(({ job }) => [job.event.sequence, job.attemptCount])).toEqual([
        [1, 0],
        [1, 1],
      ]);
      await rig.complete(1);
      expect([rig.dispatcher.bytes, rig.released]).toEqual([0, []]);
    });

    test('is not sent when it is cancelled, withdrawn or given back before that', async () => {
      for (const way of ['FORGOTTEN', 'WITHDRAWN', 'RELEASED'] as const) {
        const { rig, webhook } = await claimedAgain();
        rig.left.length = 0;
        if (way === 'FORGOTTEN') rig.facts.deliveriesCancelled.emit({ deliveryIds: idsOf(webhook, 1) });
        else if (way === 'WITHDRAWN') expect(rig.dispatcher.withdraw(idsOf(webhook, 1))).toEqual(idsOf(webhook, 1));
        else rig.changed(webhook.applicationId, { ...webhook, isSending: false, version: 2 });
        expect(rig.told).toEqual([[way, [1]]]);
        await rig.settle();
        expect([rig.sentSequences, rig.releasedSequences, rig.dispatcher.bytes]).toEqual([[1], way === 'RELEASED' ? [1] : [], 0]);
      }
    });
  });

  test('what is claimed while it is in memory is not taken in twice', async () => {
    const { rig, webhook } = await busy(ordering);
    rig.claimed(
      webhook,
      [1, 2].map((sequence) => jobFor(webhook, sequence, { key: 'a' })),
    );
    await rig.drain();
    expect([rig.sentSequences, rig.released, rig.dispatcher.bytes]).toEqual([[1, 2, 3, 4], [], 0]);
  });

  test('a backlog is asked for once, when half of what may wait has gone, and again after it came', async () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ordering, ratePerSecond: 4 }); // 8 may wait
    const bring = (from: number, count: number) =>
      rig.claimed(
        webhook,
        Array.from({ length: count }, (_, index) => jobFor(webhook, from + index, { key: 'a' })),
        true,
      );
    const send = async (sequence: number) => {
      rig.clock.advance(1_000); // the pace
      await rig.complete(sequence);
    };
    bring(1, 8); // one is sent at once
    await turns();
    for (const sequence of [1, 2, 3]) {
      expect(rig.roomFreed).toEqual([]);
      expect(rig.dispatcher.roomFor(webhook).deliveries).toBe(0);
      await send(sequence);
    }
    expect(rig.roomFreed).toEqual([webhook.id]);
    expect(rig.dispatcher.roomFor(webhook).deliveries).toBe(4);
    await send(4);
    expect(rig.roomFreed).toEqual([webhook.id]);
    bring(9, 1);
    await turns();
    expect(rig.roomFreed).toEqual([webhook.id, webhook.id]);
    rig.claimed(webhook, [], false);
    for (let sequence = 5; sequence <= 9; sequence++) await send(sequence);
    expect([rig.dispatcher.queued, rig.dispatcher.bytes]).toEqual([0, 0]);
    expect(rig.roomFreed).toEqual([webhook.id, webhook.id]);
  });

  test('a backlog that was asked for when it was paused is asked for once more when it goes on', async () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ordering });
    rig.claimed(webhook, [], true);
    expect(rig.roomFreed).toEqual([webhook.id]);
    rig.changed(webhook.applicationId, { ...webhook, isSending: false, version: 2 });
    expect([rig.roomFreed, rig.dispatcher.spaceFor({ ...webhook, isSending: false }).deliveries]).toEqual([[webhook.id], 0]);
    rig.changed(webhook.applicationId, { ...webhook, version: 3 });
    expect(rig.roomFreed).toEqual([webhook.id, webhook.id]);
  });

  test('its queue takes so many, in number and in bytes', () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ordering });
    const isOrdered = ordering !== Ordering.NONE;
    expect(rig.dispatcher.spaceFor(webhook)).toEqual({
      deliveries: isOrdered ? MAX_WAITING_PER_ORDERED_WEBHOOK : MAX_WAITING_PER_WEBHOOK,
      bytes: (isOrdered ? 1 : 16) * MIB,
    });
    rig.claimed(webhook, [jobFor(webhook, 1, { payloadChars: 100_000 }), jobFor(webhook, 2, { payloadChars: 100_000 })]);
    expect(rig.dispatcher.spaceFor(webhook)).toEqual({
      deliveries: (isOrdered ? MAX_WAITING_PER_ORDERED_WEBHOOK : MAX_WAITING_PER_WEBHOOK) - 1,
      bytes: (isOrdered ? 1 : 16) * MIB - 2 * (512 + 200_000),
    });
  });
});

describe('A webhook with the order BY_KEY', () => {
  test('goes on with its other keys when one waits for a retry', async () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ordering: Ordering.BY_KEY, maxConcurrency: 4 });
    rig.claimed(webhook, [
      jobFor(webhook, 1, { key: 'a' }),
      jobFor(webhook, 2, { key: 'b' }),
      jobFor(webhook, 3, { key: 'a' }),
      jobFor(webhook, 4, { key: 'b' }),
      jobFor(webhook, 5),
    ]);
    await turns();
    await rig.complete(1, ANSWERED_500);
    expect([rig.releasedSequences, new Set(rig.sentSequences)]).toEqual([[3], new Set([1, 2, 5])]);
    await rig.complete(2);
    expect(rig.sentSequences).toContain(4);
  });
});

describe.each([Ordering.NONE, Ordering.BY_KEY])('A circuit that opens on a webhook with the order %s', (ordering) => {
  test('releases what waits, and has it brought one at a time once the receiver may be tried', async () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ordering });
    rig.claimed(
      webhook,
      [1, 2, 3, 4, 5, 6, 7].map((sequence) => jobFor(webhook, sequence, { key: `key ${sequence}` })),
    );
    await turns();
    for (let sequence = 1; sequence <= 5; sequence++) await rig.end(sequence, REFUSED);
    expect([rig.circuits, rig.told, rig.releasedSequences]).toEqual([[true], [['RELEASED', [6, 7]]], [6, 7]]);
    await rig.settle();
    expect([rig.dispatcher.bytes, rig.roomFreed, rig.dispatcher.spaceFor(webhook).deliveries]).toEqual([0, [], 0]);
    rig.clock.advance(1_000);
    expect([rig.roomFreed, rig.dispatcher.roomFor(webhook).deliveries]).toEqual([[webhook.id], 1]);
    rig.claimed(webhook, [jobFor(webhook, 6)], true);
    await turns();
    await rig.complete(6);
    expect([rig.circuits, rig.sentSequences]).toEqual([
      [true, false],
      [1, 2, 3, 4, 5, 6],
    ]);
    expect(rig.roomFreed.at(-1)).toBe(webhook.id);
  });
});

describe('A circuit that opens on a STRICT webhook', () => {
  test('releases what waits behind the probe that failed, and lets one at a time try again', async () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ordering: Ordering.STRICT });
    for (let sequence = 1; sequence <= 4; sequence++) {
      rig.claimed(webhook, [jobFor(webhook, 1, { attemptCount: sequence - 1 })]);
      await turns();
      await rig.complete(1, REFUSED);
    }
    rig.claimed(webhook, [jobFor(webhook, 1, { attemptCount: 4 }), jobFor(webhook, 2), jobFor(webhook, 3)]);
    await turns();
    await rig.end(1, REFUSED);
    expect([rig.circuits, rig.releasedSequences]).toEqual([[true], [2, 3]]);
    await rig.settle();
    expect([rig.releasedSequences, rig.dispatcher.bytes]).toEqual([[2, 3], 0]);
    rig.clock.advance(1_000);
    expect(rig.dispatcher.roomFor(webhook).deliveries).toBe(1);
    rig.claimed(webhook, [jobFor(webhook, 1, { attemptCount: 5 })]);
    await turns();
    await rig.complete(1);
    expect(rig.circuits).toEqual([true, false]);
  });
});

describe('A webhook that keeps no order', () => {
  test('leaves what waits to the others when this instance has no share of its concurrency left', async () => {
    const { rig, webhook } = await busy(Ordering.NONE);
    const places = [0, 1].map((place) => ({ instances: 2, place }));
    const withoutShare = places.find((fleet) => {
      rig.fleet = fleet;
      return rig.dispatcher.spaceFor(webhook).deliveries === 0;
    });
    expect(withoutShare).toBeDefined();
    rig.facts.membershipChanged.emit();
    expect([rig.told, rig.releasedSequences]).toEqual([[['RELEASED', [2, 3, 4]]], [2, 3, 4]]);
    await rig.drain();
    expect(rig.sentSequences).toEqual([1]);
  });

  test('that keeps an order is one instance’s as a whole: its share does not shrink', async () => {
    for (const place of [0, 1]) {
      const { rig } = await busy(Ordering.STRICT);
      rig.fleet = { instances: 2, place };
      rig.facts.membershipChanged.emit();
      expect(rig.told).toEqual([]);
    }
  });
});

describe('Publishing', () => {
  test('hands what was stored over, by what was promised to it', async () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook();
    const batch = rig.store(webhook, [eventFor(webhook, 1), eventFor(webhook, 2)]);
    expect([batch.owners, rig.dispatcher.bytes > 0, rig.dispatcher.queued]).toEqual([['ins_here', 'ins_here'], true, 0]);
    batch.commit();
    await rig.drain();
    expect([rig.sentSequences, rig.dispatcher.bytes]).toEqual([[1, 2], 0]);
  });

  test('gives the room back where nothing was stored', () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook();
    const batch = rig.store(webhook, [eventFor(webhook, 1)]);
    batch.rollBack();
    batch.rollBack();
    expect([rig.dispatcher.bytes, rig.sent]).toEqual([0, []]);
  });

  test('releases what was promised to a webhook that was paused before the commit', () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook();
    const batch = rig.store(webhook, [eventFor(webhook, 1)]);
    rig.changed(webhook.applicationId, { ...webhook, isSending: false, version: 2 });
    batch.commit();
    expect([rig.releasedSequences, rig.dispatcher.bytes, rig.sent]).toEqual([[1], 0, []]);
  });

  test('lines up behind a backlog, and has it brought', async () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ratePerSecond: 1 }); // 2 may wait
    const events = [1, 2, 3].map((sequence) => eventFor(webhook, sequence));
    const batch = rig.store(webhook, events);
    expect(batch.owners).toEqual(['ins_here', 'ins_here', '']);
    batch.commit();
    await turns();
    expect(rig.store(webhook, [eventFor(webhook, 4)]).owners).toEqual(['']);
    await rig.complete(1);
    expect(rig.roomFreed).toEqual([webhook.id]);
  });

  test('is heard by a look that is under way and may not have seen it', () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ordering: Ordering.STRICT });
    rig.store(webhook, [eventFor(webhook, 1)]).commit();
    expect(rig.roomFreed).toEqual([webhook.id]);
    rig.store(webhook, [eventFor(webhook, 2)]).commit(); // while that is asked for
    rig.claimed(webhook, [jobFor(webhook, 1)], false);
    expect(rig.roomFreed).toEqual([webhook.id, webhook.id]);
    rig.claimed(webhook, [], false);
    expect(rig.roomFreed).toEqual([webhook.id, webhook.id]);
  });

  test.each([Ordering.STRICT, Ordering.BY_KEY])(
    'with the order %s is asked for although all before it ended before its commit',
    async (ordering) => {
      const rig = new DispatcherRig();
      const webhook = liveWebhook({ ordering });
      const batch = rig.store(webhook, [eventFor(webhook, 2)]);
      rig.claimed(webhook, [jobFor(webhook, 1)], false);
      await turns();
      await rig.complete(1);
      rig.roomFreed.length = 0;
      const due: (string | undefined)[] = [];
      rig.facts.deliveriesDue.on(({ webhookId }) => void due.push(webhookId));
      batch.commit();
      expect([...rig.roomFreed, ...due]).toEqual([webhook.id]);
    },
  );

  test('that fails after a webhook had no room leaves nothing behind', () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ordering: Ordering.STRICT });
    rig.store(webhook, [eventFor(webhook, 1)]).rollBack();
    expect(rig.roomFreed).toEqual([webhook.id]); // whoever looks finds nothing, and says so
    rig.claimed(webhook, [], false);
    expect(rig.dispatcher.roomFor(webhook).deliveries).toBe(MAX_WAITING_PER_ORDERED_WEBHOOK);
  });
});

describe('Memory', () => {
  test('is divided: an application has half of it, its backlog half of that, and another is served at once', async () => {
    const rig = new DispatcherRig();
    const applicationId = newApplicationId();
    const payloadChars = 500_000; // with the body a mebibyte, about
    let owned = 0;
    let sequence = 0;
    for (let count = 0; count < 200; count++) {
      const webhook = liveWebhook({ applicationId });
      sequence++;
      const batch = rig.store(webhook, [eventFor(webhook, sequence, { payloadChars })]);
      if (batch.owners[0] !== '') owned++;
      batch.commit();
    }
    expect([owned, Math.ceil(rig.dispatcher.bytes / MIB)]).toEqual([67, 64]);
    expect(rig.dispatcher.isFull).toBe(false);
    expect(rig.dispatcher.spaceFor(liveWebhook({ applicationId })).deliveries).toBe(0);
    const neighbour = liveWebhook();
    expect(rig.dispatcher.spaceFor(neighbour).deliveries).toBe(MAX_WAITING_PER_WEBHOOK);
    expect(rig.store(neighbour, [eventFor(neighbour, 1, { payloadChars })]).owners).toEqual(['ins_here']);
  });

  test('of an application that was turned away is told to have room when it has', async () => {
    const rig = new DispatcherRig();
    const applicationId = newApplicationId();
    const webhooks = Array.from({ length: 40 }, () => liveWebhook({ applicationId }));
    for (const webhook of webhooks) rig.claimed(webhook, [jobFor(webhook, 1, { payloadChars: 500_000 })]);
    await turns(webhooks.length); // one of a mebibyte a turn
    expect(rig.dispatcher.spaceFor(liveWebhook({ applicationId })).deliveries).toBe(0);
    for (const request of rig.sent) request.end(SUCCESS);
    await turns();
    expect(rig.roomFreed).toEqual([]);
    await rig.settle();
    expect([rig.roomFreed, rig.dispatcher.bytes]).toEqual([[undefined], 0]);
  });

  test('counts a body that was made for a delivery until the delivery has left', async () => {
    const { rig } = await busy(Ordering.NONE);
    const before = rig.dispatcher.bytes;
    let isReleased = false;
    rig.sent[0]?.hold({ body: { key: 'q', bytes: Buffer.alloc(0) }, ownBytes: 1_000, release: () => (isReleased = true) });
    expect([rig.dispatcher.bytes - before, isReleased]).toEqual([1_000, false]);
    await rig.complete(1);
    expect([isReleased, before - rig.dispatcher.bytes]).toEqual([true, jobFor(liveWebhook(), 1).weight]);
  });
});

describe('Sending', () => {
  test('pauses when too much waits to be written down, and goes on when it has been', async () => {
    const { rig, webhook } = await busy(Ordering.NONE);
    rig.isWritingBehind = true;
    await rig.end(1);
    expect([rig.sentSequences, rig.dispatcher.isFull, rig.dispatcher.spaceFor(webhook).deliveries]).toEqual([[1], true, 0]);
    rig.isWritingBehind = false;
    await rig.settle();
    expect(rig.sentSequences).toEqual([1]);
    rig.facts.settlingCaughtUp.emit();
    expect([rig.sentSequences, rig.dispatcher.isFull]).toEqual([[1, 2], false]);
  });

  test('keeps to the pace of a webhook', async () => {
    const rig = new DispatcherRig();
    const webhook = liveWebhook({ ratePerSecond: 2, maxConcurrency: 10 });
    rig.claimed(
      webhook,
      [1, 2, 3, 4].map((sequence) => jobFor(webhook, sequence)),
    );
    await turns();
    const first = rig.sent.length;
    expect(first).toBeLessThan(4);
    rig.clock.advance(499);
    expect(rig.sent).toHaveLength(first);
    rig.clock.advance(1);
    expect(rig.sent).toHaveLength(first + 1);
  });

  test('has an event for a thousand webhooks take many turns of the event loop, and another application go between', async () => {
    const rig = new DispatcherRig();
    const applicationId = newApplicationId();
    for (let count = 0; count < 100; count++) {
      const webhook = liveWebhook({ applicationId });
      rig.claimed(webhook, [jobFor(webhook, 1)]);
    }
    const neighbour = liveWebhook();
    rig.claimed(neighbour, [jobFor(neighbour, 7)]);
    expect([rig.sent.length, rig.sentSequences.includes(7)]).toEqual([16, false]);
    await turns(1);
    expect(rig.sentSequences).toContain(7);
    expect(rig.sent.length).toBeLessThan(100);
    await turns(10);
    expect(rig.sent).toHaveLength(101);
  });
});

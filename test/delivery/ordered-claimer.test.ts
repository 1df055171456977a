import { MAX_WAITING_PER_ORDERED_WEBHOOK } from '../../src/delivery/queue/ordered-queue';
import { deliveryId } from '../../src/ids';
import { Ordering } from '../../src/webhooks/webhook';
import { withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';
import { anotherInstance, EngineRig, ordered, storeKeyed } from './engine-rig';
import { ANSWERED_500 } from './parts';

describeEachDatabase('Claiming in order', (makeDatabase) => {
  test('sends everything once, one at a time, in the order of the sequences', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT);
      await storeKeyed(store, applicationId, ['a', 'b', null, 'a', 'b']);
      await rig.look(webhookId);
      expect(rig.sentSequences).toEqual([1]);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 2, 3, 4, 5]);
      expect(await store.rows("SELECT id FROM deliveries WHERE status <> 'SUCCEEDED'")).toEqual([]);
      await rig.stop();
    });
  });

  test('keeps what stands behind a retry, of its key or of the whole webhook, until that has ended', async () => {
    await withStore(makeDatabase, async (store) => {
      for (const ordering of [Ordering.BY_KEY, Ordering.STRICT]) {
        const { applicationId, webhookId, rig } = await ordered(store, ordering);
        await storeKeyed(store, applicationId, ['a', 'a', 'b', null, 'a', 'b']);
        await rig.look(webhookId);
        await rig.complete(1, ANSWERED_500);
        await rig.drain();
        const others = ordering === Ordering.BY_KEY ? [3, 4, 6] : [];
        expect(new Set(rig.sentSequences)).toEqual(new Set([1, ...others]));
        rig.sent.length = 0;
        await rig.look(webhookId); // it is not due
        expect(rig.sentSequences).toEqual([]);
        await rig.comeDue(webhookId);
        await rig.look(webhookId);
        expect(rig.sentSequences).toEqual([1]);
        await rig.complete(1);
        await rig.drain();
        expect(rig.sentSequences).toEqual(ordering === Ordering.BY_KEY ? [1, 2, 5] : [1, 2, 3, 4, 5, 6]);
        await rig.stop();
      }
    });
  });

  test('goes on with a key whose blocked delivery was cancelled in the database', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.BY_KEY);
      await storeKeyed(store, applicationId, ['a', 'a', 'b']);
      await rig.look(webhookId);
      await rig.complete(1, ANSWERED_500);
      await rig.complete(3);
      await store.execute("UPDATE deliveries SET status = 'CANCELLED', owner = NULL, due_at = NULL WHERE id = ?", [
        deliveryId(1, webhookId),
      ]);
      await rig.look(webhookId);
      expect(rig.sentSequences).toEqual([1, 3, 2]);
      await rig.stop();
    });
  });

  test('takes what has come due before what came after it, although that was taken in meanwhile', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT);
      await storeKeyed(store, applicationId, [null, null, null, null]);
      // A retry that somebody asked for, of one that had ended.
      await store.execute("UPDATE deliveries SET status = 'FAILED', owner = NULL, due_at = NULL, attempt_count = 1 WHERE id = ?", [
        deliveryId(2, webhookId),
      ]);
      await rig.look(webhookId);
      expect([rig.sentSequences, rig.dispatcher.queued]).toEqual([[1], 2]);
      await store.execute(`UPDATE deliveries SET status = 'RETRYING', owner = '', due_at = ${store.database.dialect.now} WHERE id = ?`, [
        deliveryId(2, webhookId),
      ]);
      await rig.look(webhookId);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 2, 3, 4]);
      await rig.stop();
    });
  });

  test('goes back to the first of a key that waited for a retry when a later one of the key fails as well', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.BY_KEY);
      await storeKeyed(store, applicationId, ['a', 'a', 'a', 'a']);
      const set = (sequence: number, values: string) =>
        store.execute(`UPDATE deliveries SET ${values} WHERE id = ?`, [deliveryId(sequence, webhookId)]);
      const { now } = store.database.dialect;
      // Both had ended; somebody asks for a retry of each while 3 is under way.
      for (const sequence of [1, 2]) await set(sequence, "status = 'FAILED', owner = NULL, due_at = NULL, attempt_count = 1");
      await rig.look(webhookId);
      expect(rig.sentSequences).toEqual([3]);
      await set(1, `status = 'RETRYING', owner = '', due_at = ${now} + 60000`);
      await set(2, `status = 'RETRYING', owner = '', due_at = ${now}`);
      await rig.look(webhookId);
      // The first is cancelled before the look that comes of the failure.
      rig.beforeTransaction = () => set(1, "status = 'CANCELLED', owner = NULL, due_at = NULL");
      await rig.complete(3, ANSWERED_500);
      expect(rig.sentSequences).toEqual([3, 2]);
      await rig.stop();
    });
  });

  test('a withdrawn delivery blocks what stands behind it until it was moved on', async () => {
    await withStore(makeDatabase, async (store) => {
      for (const ordering of [Ordering.BY_KEY, Ordering.STRICT]) {
        const { applicationId, webhookId, rig } = await ordered(store, ordering, {}, { maxConcurrency: 1 });
        await storeKeyed(store, applicationId, ['a', 'b', 'b', 'b']);
        await rig.look(webhookId);
        expect(rig.sentSequences).toEqual([1]);
        const id = deliveryId(2, webhookId);
        expect(rig.dispatcher.withdraw([id])).toEqual([id]);
        await rig.quiet();
        await rig.drain();
        await rig.look(webhookId);
        expect(rig.sentSequences).toEqual([1]);
        // It is put back to a retry that is not due.
        await store.execute(
          `UPDATE deliveries SET status = 'RETRYING', attempt_count = 1, owner = '', due_at = ${store.database.dialect.now} + 60000 WHERE id = ?`,
          [id],
        );
        await rig.look(webhookId);
        expect(rig.sentSequences).toEqual([1]);
        await rig.comeDue(webhookId);
        await rig.look(webhookId);
        await rig.drain();
        expect(rig.sentSequences).toEqual([1, 2, 3, 4]);
        await rig.stop();
      }
    });
  });

  test('a withdrawn delivery without a key is sent once it is released', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.BY_KEY, {}, { maxConcurrency: 1 });
      await storeKeyed(store, applicationId, [null, null, null]);
      await rig.look(webhookId);
      const id = deliveryId(2, webhookId);
      rig.dispatcher.withdraw([id]);
      await rig.quiet();
      rig.releaser.release([id]);
      await rig.quiet();
      await rig.look(webhookId);
      await rig.drain();
      expect(new Set(rig.sentSequences)).toEqual(new Set([1, 2, 3]));
      await rig.stop();
    });
  });

  test('a withdrawn delivery that is released goes first', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT);
      await storeKeyed(store, applicationId, [null, null, null]);
      await rig.look(webhookId);
      const id = deliveryId(2, webhookId);
      rig.dispatcher.withdraw([id]);
      await rig.quiet();
      rig.releaser.release([id]);
      await rig.quiet();
      await rig.look(webhookId);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 2, 3]);
      await rig.stop();
    });
  });

  test('leaves a webhook alone that another instance has, as long as that lives, and then takes it with all it had', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT);
      const other = await anotherInstance(store);
      await storeKeyed(store, applicationId, [null, null, null]);
      await store.execute('INSERT INTO webhook_owners (webhook_id, owner) VALUES (?, ?)', [webhookId, other]);
      await store.execute('UPDATE deliveries SET owner = ? WHERE id = ?', [other, deliveryId(1, webhookId)]);
      await rig.look(webhookId);
      expect([rig.sentSequences, await store.rows('SELECT owner FROM webhook_owners')]).toEqual([[], [{ owner: other }]]);
      await store.execute('DELETE FROM instances WHERE id = ?', [other]);
      await rig.look(webhookId);
      expect(await store.rows('SELECT owner FROM webhook_owners')).toEqual([{ owner: rig.instanceId }]);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 2, 3]);
      await rig.stop();
    });
  });

  test('waits for what others still send of a webhook that is nobody’s, and looks again soon', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.BY_KEY);
      const other = await anotherInstance(store);
      const scheduled: number[] = [];
      rig.facts.deliveryScheduled.on(({ delayMs }) => void scheduled.push(delayMs));
      await storeKeyed(store, applicationId, ['a', 'b']);
      await store.execute('UPDATE deliveries SET owner = ? WHERE id = ?', [other, deliveryId(1, webhookId)]);
      await rig.look(webhookId);
      expect([rig.sentSequences, scheduled]).toEqual([[], [100]]);
      await store.execute("UPDATE deliveries SET owner = '' WHERE owner = ?", [other]);
      await rig.look(webhookId);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 2]);
      await rig.stop();
    });
  });

  test('of two instances one sends; the other takes over when the first is done with the webhook', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT, { instanceId: await anotherInstance(store) });
      const second = new EngineRig(store, { instanceId: await anotherInstance(store) });
      await storeKeyed(store, applicationId, [null, null, null]);
      await Promise.all([rig.look(webhookId), second.look(webhookId)]);
      const [first, other] = rig.sent.length > 0 ? [rig, second] : [second, rig];
      expect([first.sentSequences, other.sentSequences]).toEqual([[1], []]);
      await first.complete(1);
      await first.stop();
      await other.look(webhookId);
      await other.drain();
      expect([first.sentSequences, other.sentSequences]).toEqual([[1, 2], [3]]);
      await other.stop();
    });
  });

  test('gives a webhook back that was quiet for a round, and keeps one with a blocked key', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.BY_KEY);
      const owners = () => store.count('webhook_owners');
      await storeKeyed(store, applicationId, ['a', 'b']);
      rig.orderedClaimer.start();
      await rig.look(webhookId);
      await rig.complete(1, ANSWERED_500);
      await rig.complete(2);
      for (let round = 0; round < 5; round++) await rig.pass(2_000);
      expect(await owners()).toBe(1);
      await rig.comeDue(webhookId);
      await rig.look(webhookId);
      await rig.drain();
      await rig.pass(2_000);
      expect(await owners()).toBe(1);
      await rig.look(webhookId); // nobody asks for a whole round after this
      await rig.pass(2_000);
      await rig.pass(2_000);
      expect(await owners()).toBe(0);
      await rig.stop();
    });
  });

  test('begins again under the new order when that was changed, behind what is under way', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.BY_KEY);
      await storeKeyed(store, applicationId, ['a', 'b', 'a', 'b']);
      await rig.look(webhookId);
      expect(rig.sentSequences).toEqual([1, 2]);
      await rig.change(webhookId, { ordering: Ordering.STRICT });
      await rig.look(webhookId);
      expect([rig.sentSequences, rig.dispatcher.queued]).toEqual([[1, 2], 0]);
      await rig.complete(1);
      await rig.look(webhookId);
      expect(rig.sentSequences).toEqual([1, 2]);
      await rig.complete(2);
      await rig.look(webhookId);
      expect(rig.sentSequences).toEqual([1, 2, 3]);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 2, 3, 4]);
      await rig.stop();
    });
  });

  test('finds out itself that the order was changed elsewhere, and claims nothing under the old one', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT);
      await storeKeyed(store, applicationId, ['a', 'b']);
      await store.execute("UPDATE webhooks SET ordering = 'NONE', version = version + 1 WHERE id = ?", [webhookId]);
      await store.execute("UPDATE counters SET version = version + 1 WHERE application_id = ? AND log = 'event'", [applicationId]);
      await rig.look(webhookId);
      expect([rig.sentSequences, (await store.live(webhookId)).ordering, await store.count('webhook_owners')]).toEqual([[], 'NONE', 0]);
      await rig.stop();
    });
  });

  test('takes as much as there is room for, and has the rest when that has gone', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT);
      const count = MAX_WAITING_PER_ORDERED_WEBHOOK + 30;
      await storeKeyed(store, applicationId, Array(count).fill(null));
      await rig.look(webhookId);
      expect(rig.dispatcher.queued).toBe(MAX_WAITING_PER_ORDERED_WEBHOOK - 1);
      await rig.drain();
      expect(rig.sentSequences).toEqual(Array.from({ length: count }, (_, index) => index + 1));
      await rig.stop();
    });
  });

  test('a look goes past many that are blocked, to what may go', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.BY_KEY);
      await storeKeyed(store, applicationId, ['a', ...Array(450).fill('a'), 'b']);
      await rig.look(webhookId);
      await rig.complete(1, ANSWERED_500);
      expect(rig.sentSequences).toEqual([1, 452]);
      await rig.stop();
    });
  });

  test('knows thousands of blocked keys, and reads them a page at a time', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.BY_KEY);
      const count = 4_500;
      await storeKeyed(store, applicationId, [...Array.from({ length: count }, (_, no) => `k${no}`), 'k0', `k${count - 1}`, 'free']);
      await store.execute(
        `UPDATE deliveries SET status = 'RETRYING', attempt_count = 1, due_at = ${store.database.dialect.now} + 600000 WHERE id <= ?`,
        [deliveryId(count, webhookId)],
      );
      await rig.look(webhookId);
      expect([rig.sentSequences, rig.mostRows]).toEqual([[count + 3], 2_000]);
      await rig.stop();
    });
  });

  test.each([
    ['the look itself', /FROM webhooks/],
    ['taking the deliveries over', /SET owner = \?/],
    ['reading their events', /FROM events/],
  ])('is asked for again when the database fails at %s, and the order is kept', async (_, failing) => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT, { isPolling: true });
      await storeKeyed(store, applicationId, [null, null, null]);
      rig.failing = failing;
      await rig.look(webhookId);
      expect(rig.sentSequences).toEqual([]);
      rig.failing = undefined;
      await rig.pass(1_000);
      expect(rig.sentSequences).toEqual([1]);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 2, 3]);
      await rig.stop();
    });
  });

  test('lets a webhook go of which deliveries could not be released, until they are anybody’s', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT);
      await storeKeyed(store, applicationId, [null, null, null]);
      await rig.look(webhookId);
      rig.failing = /SET owner = ''/;
      await rig.complete(1, ANSWERED_500); // 2 and 3 leave, but do not arrive
      rig.failing = undefined;
      await rig.look(webhookId);
      await rig.comeDue(webhookId);
      await rig.look(webhookId);
      expect(rig.sentSequences).toEqual([1]);
      await store.execute("UPDATE deliveries SET owner = '' WHERE owner = ?", [rig.instanceId]); // as the reconciler does
      await rig.look(webhookId);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 1, 2, 3]);
      await rig.stop();
    });
  });

  test('cancels what is left of redacted events, and goes on behind it', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT);
      await storeKeyed(store, applicationId, [null, null, null]);
      await store.execute("UPDATE events SET redacted_at = 1, payload = '{}' WHERE sequence = 2");
      await rig.look(webhookId);
      await rig.drain();
      expect([rig.sentSequences, (await store.delivery(deliveryId(2, webhookId))).status]).toEqual([[1, 3], 'CANCELLED']);
      await rig.stop();
    });
  });

  test('goes on in order after a pause', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.BY_KEY);
      await storeKeyed(store, applicationId, ['a', 'a', 'b', 'a']);
      await rig.look(webhookId);
      await rig.change(webhookId, { isPaused: true });
      await rig.look(webhookId);
      await rig.end(1);
      await rig.settle();
      expect(rig.sentSequences).toEqual([1, 3]);
      await rig.change(webhookId, { isPaused: false });
      await rig.complete(3);
      await rig.look(webhookId);
      await rig.drain();
      expect(rig.sentSequences).toEqual([1, 3, 2, 4]);
      await rig.stop();
    });
  });

  test('claims nothing without its lease', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await ordered(store, Ordering.STRICT);
      await storeKeyed(store, applicationId, [null]);
      rig.isLeaseHeld = false;
      await rig.look(webhookId);
      expect([rig.sentSequences, await store.count('webhook_owners')]).toEqual([[], 0]);
      rig.isLeaseHeld = true;
      await rig.look(webhookId);
      expect(rig.sentSequences).toEqual([1]);
      await rig.stop();
    });
  });
});

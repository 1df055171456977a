import { deliveryId, newWebhookId } from '../../src/ids';
import { Ordering } from '../../src/webhooks/webhook';
import { newEvent, type Store, withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';
import { EngineRig, storeKeyed } from './engine-rig';

/** So many webhooks of one application, in the order of their ids, with a rig that sends to them. */
async function polled(store: Store, count = 1) {
  const applicationId = await store.application();
  for (let made = 0; made < count; made++) await store.webhook(applicationId, { maxConcurrency: 20 });
  const webhookIds = [...(await store.directory.know(applicationId)).byId.keys()].sort();
  return { applicationId, webhookIds, webhookId: webhookIds[0] ?? '', rig: new EngineRig(store, { isPolling: true }) };
}

const publish = (store: Store, applicationId: string, count: number, payloadText = '{}') =>
  store.append([{ applicationId, events: Array.from({ length: count }, () => newEvent({ payloadText })) }], '');

describeEachDatabase('The poller', (makeDatabase) => {
  test('takes up what waits when it starts, and what comes due, without being told', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await polled(store);
      await publish(store, applicationId, 3);
      rig.poller.start();
      await rig.quiet();
      expect(rig.sentSequences).toHaveLength(3);
      await rig.drain();
      await publish(store, applicationId, 1);
      await rig.pass(999);
      expect(rig.sentSequences).toHaveLength(3);
      await rig.pass(1);
      expect(rig.sentSequences).toEqual([1, 2, 3, 4]);
      expect((await store.delivery(deliveryId(4, webhookId))).owner).toBe(rig.instanceId);
      await rig.stop();
    });
  });

  test('looks at once when it is told that something is due, of one webhook or of any', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookIds, rig } = await polled(store, 2);
      await publish(store, applicationId, 1);
      rig.facts.deliveriesDue.emit({ webhookId: webhookIds[1] ?? '' });
      await rig.quiet();
      expect(rig.sent.map(({ job }) => job.deliveryId)).toEqual([deliveryId(1, webhookIds[1] ?? '')]);
      rig.facts.deliveriesDue.emit({});
      await rig.quiet();
      expect(rig.sent).toHaveLength(2);
      await rig.stop();
    });
  });

  test('leaves what is not due, owned elsewhere or of a paused webhook where it is', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookIds, rig } = await polled(store, 2);
      const [first = '', paused = ''] = webhookIds;
      await publish(store, applicationId, 3);
      await rig.change(paused, { isPaused: true });
      await store.execute(`UPDATE deliveries SET due_at = ${store.database.dialect.now} + 60000 WHERE id = ?`, [deliveryId(1, first)]);
      await store.execute("UPDATE deliveries SET owner = 'ins_other' WHERE id = ?", [deliveryId(2, first)]);
      rig.facts.deliveriesDue.emit({});
      await rig.quiet();
      expect(rig.sent.map(({ job }) => job.deliveryId)).toEqual([deliveryId(3, first)]);
      await rig.change(paused, { isPaused: false });
      rig.facts.deliveriesDue.emit({});
      await rig.quiet();
      expect(rig.sent).toHaveLength(4);
      await rig.stop();
    });
  });

  test('brings a backlog larger than a queue to its end, each once', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, rig } = await polled(store);
      for (let count = 0; count < 3; count++) await publish(store, applicationId, 500);
      rig.facts.deliveriesDue.emit({});
      await rig.quiet();
      await rig.drain();
      expect([...rig.sentSequences].sort((a, b) => a - b)).toEqual(Array.from({ length: 1_500 }, (_, index) => index + 1));
      expect(await store.rows("SELECT id FROM deliveries WHERE owner = '' OR owner = ?", [rig.instanceId])).toEqual([]);
      await rig.stop();
    });
  });

  test('goes on with the next webhook where it ran out of room, so that each has its turn', async () => {
    await withStore(makeDatabase, async (store) => {
      const applications: string[] = [];
      for (let count = 0; count < 5; count++) {
        const applicationId = await store.application();
        await store.webhook(applicationId, { maxConcurrency: 20 });
        applications.push(applicationId);
        await publish(store, applicationId, 3);
      }
      const rig = new EngineRig(store, { isPolling: true });
      const seen: string[] = [];
      const claim = rig.dispatcher.acceptClaimed.bind(rig.dispatcher);
      let room = 2;
      // It has room for two webhooks at a time.
      Object.defineProperty(rig.dispatcher, 'isFull', { get: () => room <= 0 });
      rig.dispatcher.acceptClaimed = (webhook, jobs, hasMore) => {
        if (jobs.length > 0) {
          seen.push(webhook.id);
          room--;
        }
        claim(webhook, jobs, hasMore);
      };
      for (let round = 0; round < 5 && seen.length < 5; round++) {
        room = 2;
        rig.facts.roomFreed.emit({});
        await rig.quiet();
        await rig.drain();
      }
      expect(new Set(seen).size).toBe(5);
      expect(rig.sent).toHaveLength(15);
      await rig.stop();
    });
  });

  test('cancels what waits for a webhook that is gone, and says so', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await polled(store);
      await publish(store, applicationId, 3);
      await rig.delete(webhookId);
      const updates: string[] = [];
      rig.facts.updatesLogged.on((logged) => {
        for (const { update } of [...logged.values()].flat() as { update?: { status: string } }[]) updates.push(update?.status ?? 'logged');
      });
      rig.facts.deliveriesDue.emit({});
      await rig.quiet();
      expect([rig.sent, updates.length]).toEqual([[], 3]);
      expect(await store.rows('SELECT status, owner, due_at FROM deliveries')).toEqual(
        Array(3).fill({ status: 'CANCELLED', owner: null, due_at: null }),
      );
      await rig.stop();
    });
  });

  test('sends for a webhook that another instance has made a moment ago', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await polled(store);
      await publish(store, applicationId, 1);
      const id = newWebhookId(applicationId);
      const columns = (await store.rows<Record<string, unknown>>('SELECT * FROM webhooks WHERE id = ?', [webhookId]))[0] ?? {};
      const names = Object.keys(columns);
      await store.database.transaction(async (tx) => {
        const values = Object.entries({ ...columns, id }).map(([, value]) =>
          typeof value === 'object' && value !== null ? JSON.stringify(value) : value,
        );
        await tx.execute(`INSERT INTO webhooks (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`, values);
        await tx.execute('UPDATE deliveries SET id = ?, webhook_id = ?', [deliveryId(1, id), id]);
        await tx.execute("UPDATE counters SET version = version + 1 WHERE application_id = ? AND log = 'event'", [applicationId]);
      });
      rig.facts.deliveriesDue.emit({});
      await rig.quiet();
      expect(rig.sent.map(({ job }) => job.deliveryId)).toEqual([deliveryId(1, id)]);
      await rig.stop();
    });
  });

  test.each([Ordering.NONE, Ordering.BY_KEY, Ordering.STRICT])(
    'cancels what waits of a redacted event, and sends the rest (order %s)',
    async (ordering) => {
      await withStore(makeDatabase, async (store) => {
        const { applicationId, webhookId, rig } = await polled(store);
        await rig.change(webhookId, { ordering });
        await storeKeyed(store, applicationId, ['a', 'a', 'a']);
        await store.execute("UPDATE events SET redacted_at = 1, payload = '{}' WHERE sequence = 2");
        rig.facts.deliveriesDue.emit({});
        await rig.quiet();
        await rig.drain();
        expect([rig.sentSequences, (await store.delivery(deliveryId(2, webhookId))).status]).toEqual([[1, 3], 'CANCELLED']);
        await rig.stop();
      });
    },
  );

  test.each([
    ['looking for what waits', /FROM deliveries/],
    ['taking it over', /SET owner = \?/],
  ])('asks again when the database fails at %s', async (_, failing) => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, rig } = await polled(store);
      await publish(store, applicationId, 2);
      rig.failing = failing;
      rig.poller.start();
      await rig.quiet();
      await rig.pass(1_000);
      expect(rig.sent).toEqual([]);
      rig.failing = undefined;
      await rig.pass(1_000);
      expect(rig.sent).toHaveLength(2);
      await rig.stop();
    });
  });

  test('gives back what it has claimed when its events cannot be read', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await polled(store);
      await publish(store, applicationId, 2);
      rig.failing = /FROM events/;
      rig.facts.deliveriesDue.emit({ webhookId });
      await rig.quiet();
      expect(await store.rows('SELECT owner FROM deliveries')).toEqual([{ owner: '' }, { owner: '' }]);
      rig.failing = undefined;
      await rig.pass(1_000);
      expect(rig.sentSequences).toEqual([1, 2]);
      await rig.stop();
    });
  });

  test('does not send what is cancelled while it is being claimed', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await polled(store);
      await publish(store, applicationId, 2);
      rig.beforeTransaction = async () => {
        rig.beforeTransaction = async () => {};
        rig.facts.deliveriesCancelled.emit({ deliveryIds: [deliveryId(1, webhookId)] });
      };
      rig.facts.deliveriesDue.emit({ webhookId });
      await rig.quiet();
      expect(rig.sentSequences).toEqual([2]);
      await rig.stop();
    });
  });

  test('looks at a delivery that comes due before the next round when that is', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, webhookId, rig } = await polled(store);
      await publish(store, applicationId, 1);
      await store.execute(`UPDATE deliveries SET status = 'RETRYING', attempt_count = 1, due_at = ${store.database.dialect.now} + 60000`);
      rig.facts.deliveriesDue.emit({});
      await rig.quiet();
      rig.facts.deliveryScheduled.emit({ delayMs: 200 });
      await rig.comeDue(webhookId);
      await rig.pass(199);
      expect(rig.sent).toEqual([]);
      await rig.pass(1);
      expect(rig.sentSequences).toEqual([1]);
      await rig.stop();
    });
  });

  test('takes nothing up once it is stopped', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, rig } = await polled(store);
      rig.poller.start();
      await rig.quiet();
      await rig.poller.stop();
      await publish(store, applicationId, 1);
      rig.facts.deliveriesDue.emit({});
      await rig.pass(5_000);
      expect(rig.sent).toEqual([]);
      await rig.stop();
    });
  });
});

import { Backlog } from '../../src/observe/backlog';
import { Ordering } from '../../src/webhooks/webhook';
import { type Store, withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { gate } from '../support/gate';
import { until } from '../support/until';

const NOBODY = '';

function backlogOf(store: Store, clock = new FakeClock()): Backlog {
  return new Backlog({
    database: store.database,
    clock,
    isSentAtOnce: async (webhookId) => {
      const webhook = await store.directory.find(webhookId);
      return webhook?.isSending === true && webhook.ordering === Ordering.NONE;
    },
  });
}

/** Makes what waits due since so long ago. */
async function dueSince(store: Store, webhookId: string, seconds: number): Promise<void> {
  await store.execute('UPDATE deliveries SET due_at = due_at - ? WHERE webhook_id = ?', [seconds * 1_000, webhookId]);
}

describeEachDatabase('The backlog', (makeDatabase) => {
  test('is what nobody owns, and as old as the first that is due', async () => {
    await withStore(makeDatabase, async (store) => {
      const shop = await store.application();
      const [slow, slower] = [await store.webhook(shop), await store.webhook(shop)];
      await store.publish(shop, 3, NOBODY);
      await store.publish(shop, 2); // in an instance's hands
      await dueSince(store, slow.id, 100);
      await dueSince(store, slower.id, 200);
      const { waiting, oldestDueSeconds, isDatabaseUp } = await backlogOf(store).read();
      expect({ waiting, isDatabaseUp }).toEqual({ waiting: 6, isDatabaseUp: true });
      expect(Math.floor(oldestDueSeconds / 100)).toBe(2);
    });
  });

  test('is not old for what waits for its time, for its turn or for somebody', async () => {
    await withStore(makeDatabase, async (store) => {
      const shop = await store.application();
      const [paused, later] = [await store.webhook(shop), await store.webhook(shop)];
      await store.webhook(shop, { ordering: Ordering.STRICT });
      await store.publish(shop, 1, NOBODY);
      await store.webhooks.pause(paused.id);
      await store.directory.refresh(shop);
      await dueSince(store, paused.id, 500);
      await dueSince(store, later.id, -500);
      expect(await backlogOf(store).read()).toEqual({ waiting: 3, oldestDueSeconds: 0, isDatabaseUp: true });
    });
  });

  test('is looked up no more often than every few seconds, however often it is asked for', async () => {
    await withStore(makeDatabase, async (store) => {
      const clock = new FakeClock();
      const backlog = backlogOf(store, clock);
      const shop = await store.application();
      await store.webhook(shop);
      expect(await backlog.read()).toMatchObject({ waiting: 0 });
      await store.publish(shop, 1, NOBODY);
      expect(await backlog.read()).toMatchObject({ waiting: 0 });
      clock.advance(5_000);
      expect(await backlog.read()).toMatchObject({ waiting: 1 });
    });
  });

  test('stays as it was last seen while the database is away, and says so', async () => {
    await withStore(makeDatabase, async (store) => {
      const clock = new FakeClock();
      const backlog = backlogOf(store, clock);
      const shop = await store.application();
      await store.webhook(shop);
      await store.publish(shop, 2, NOBODY);
      await backlog.read();
      await store.database.close();
      clock.advance(5_000);
      expect(await backlog.read()).toMatchObject({ waiting: 2, isDatabaseUp: false });
    });
  });

  test('keeps nobody waiting for a database that hangs', async () => {
    await withStore(makeDatabase, async (store) => {
      if (!store.database.dialect.supportsManyInstances) return; // SQLite answers or fails
      const clock = new FakeClock();
      const backlog = backlogOf(store, clock);
      const [locked, release] = [gate(), gate()];
      const lock = store.database.transaction(async (tx) => {
        await tx.query('LOCK TABLES deliveries WRITE');
        locked.open();
        await release.answer();
        await tx.query('UNLOCK TABLES');
      });
      await locked.answer();
      const reading = backlog.read();
      await until(() => clock.pending > 0, { description: 'the look that hangs' });
      await clock.advanceAsync(1_000);
      expect(await reading).toMatchObject({ isDatabaseUp: false });
      release.open();
      await lock;
      await until(async () => (await backlog.read()).isDatabaseUp, { description: 'the look to end' });
      expect(clock.pending).toBe(0);
    });
  });
});

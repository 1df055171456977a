import { MINUTE, SECOND } from '../../src/clock';
import { newWebhookId } from '../../src/ids';
import { silentLog } from '../../src/log';
import { HeaderSealing } from '../../src/webhooks/header-sealing';
import { Seal } from '../../src/webhooks/seal';
import { Webhook } from '../../src/webhooks/webhook';
import { type Store, withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { until } from '../support/until';

const VALUE = 'Bearer 0123456789';
const HEADERS = JSON.stringify([{ name: 'authorization', value: VALUE }]);
const seal = new Seal(Buffer.alloc(32, 1));

/** As version 0.1 stores them. */
async function openWebhooks(store: Store, count: number): Promise<string[]> {
  const applicationId = await store.application();
  const webhook = await store.webhook(applicationId);
  const copies = Array.from({ length: count }, () => ({ ...webhook, id: newWebhookId(applicationId) }));
  await store.database.transaction(async (tx) => {
    await tx.manager.insert(Webhook, copies as never);
    await tx.execute('UPDATE webhooks SET headers = ? WHERE id <> ?', [HEADERS, webhook.id]);
  });
  return copies.map(({ id }) => id);
}

async function inTheOpen({ database }: Store): Promise<number> {
  const rows = await database.read.query<{ headers: string; sealed_headers: string | null }>(
    'SELECT headers, sealed_headers FROM webhooks',
  );
  return rows.filter((row) => JSON.stringify(row).includes(VALUE)).length;
}

describeEachDatabase('Values of headers that are stored in the open', (makeDatabase) => {
  test('are sealed at the start, however many webhooks have them and however many instances do it', async () => {
    await withStore(makeDatabase, async (store) => {
      const ids = await openWebhooks(store, 250);
      const sealings = [1, 2].map(() => new HeaderSealing({ database: store.database, seal, clock: new FakeClock(), log: silentLog }));
      await Promise.all(sealings.map((sealing) => sealing.start()));
      await until(async () => (await inTheOpen(store)) === 0, { description: 'all values to be sealed' });
      await Promise.all(sealings.map((sealing) => sealing.stop()));
      for (const webhook of await store.webhooks.byIds(ids)) {
        expect(webhook.storedHeaders).toEqual([{ name: 'authorization', value: '••••6789' }]);
        expect(sealings[0]?.open(webhook)).toEqual([{ name: 'authorization', value: VALUE }]);
      }
    });
  });

  test('stay so while an instance of version 0.1 runs, and for a minute after it was last seen', async () => {
    await withStore(makeDatabase, async (store) => {
      const { database } = store;
      await openWebhooks(store, 1);
      await store.execute("INSERT INTO instances (id, host, pid, started_at, heartbeat_at) VALUES ('ins_older', 'elsewhere', 1, 0, 0)");
      const clock = new FakeClock();
      const sealing = new HeaderSealing({ database, seal, clock, log: silentLog });
      const isOn = () => sealing.toStore('whk_1', [{ name: 'authorization', value: VALUE }]).sealedHeaders !== null;
      const pass = async (ms: number) => {
        for (let passed = 0; passed < ms; passed += 5 * SECOND) {
          await until(() => clock.pending > 0, { description: 'the round to end' });
          clock.advance(5 * SECOND);
        }
        await until(() => clock.pending > 0, { description: 'the round to end' });
      };
      await sealing.start();
      await pass(2 * MINUTE);
      expect([isOn(), await inTheOpen(store)]).toEqual([false, 1]);
      await store.execute("DELETE FROM instances WHERE id = 'ins_older'");
      await pass(MINUTE - 5 * SECOND);
      expect([isOn(), await inTheOpen(store)]).toEqual([false, 1]);
      await pass(10 * SECOND);
      expect([isOn(), await inTheOpen(store)]).toEqual([true, 0]);
      await sealing.stop();
    });
  });
});

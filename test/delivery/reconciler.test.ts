import { Reconciler } from '../../src/delivery/claim/reconciler';
import { Facts } from '../../src/facts';
import { newInstanceId } from '../../src/ids';
import { silentLog } from '../../src/log';
import { type Store, withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';

/** A reconciler, beside a memory that a test fills. */
function reconciling({ database, instanceId }: Store) {
  const facts = new Facts();
  const memory = new Set<string>();
  const due: unknown[] = [];
  facts.deliveriesDue.on((fact) => void due.push(fact));
  const dispatcher = { has: (id: string) => memory.has(id) };
  const reconciler = new Reconciler({ instanceId, database, clock: new FakeClock(), log: silentLog, dispatcher, facts });
  return { reconciler, memory, due };
}

async function stored(store: Store, count: number): Promise<string[]> {
  const applicationId = await store.application();
  await store.webhook(applicationId);
  const { deliveries } = await store.publish(applicationId, count);
  return deliveries.map(({ id }) => id);
}

describeEachDatabase('The reconciler', (makeDatabase) => {
  const owners = async (store: Store) =>
    (await store.rows<{ owner: string | null }>('SELECT owner FROM deliveries ORDER BY id')).map(({ owner }) => owner);

  test('releases what is this instance’s in the database and in nobody’s memory for two rounds', async () => {
    await withStore(makeDatabase, async (store) => {
      const [kept = ''] = await stored(store, 3);
      const { reconciler, memory, due } = reconciling(store);
      memory.add(kept);
      await reconciler.reconcile();
      expect([await owners(store), due]).toEqual([Array(3).fill(store.instanceId), []]);
      await reconciler.reconcile();
      expect([await owners(store), due]).toEqual([[store.instanceId, '', ''], [{}]]);
      await reconciler.reconcile();
      expect(due).toHaveLength(1);
    });
  });

  test('leaves alone what was on its way into memory in one round only, and what others own', async () => {
    await withStore(makeDatabase, async (store) => {
      const [first = '', second = ''] = await stored(store, 2);
      const other = newInstanceId();
      await store.execute('UPDATE deliveries SET owner = ? WHERE id = ?', [other, second]);
      const { reconciler, memory, due } = reconciling(store);
      await reconciler.reconcile();
      memory.add(first);
      await reconciler.reconcile();
      memory.delete(first);
      await reconciler.reconcile(); // a new suspicion
      expect([await owners(store), due]).toEqual([[store.instanceId, other], []]);
    });
  });

  test('finds orphans among more than are read at a time, of several webhooks', async () => {
    await withStore(makeDatabase, async (store) => {
      const ids = [...(await stored(store, 1_200)), ...(await stored(store, 3))];
      const { reconciler, memory } = reconciling(store);
      const orphans = new Set([ids[0], ids[700], ids[1_199], ids.at(-1)]);
      for (const id of ids) if (!orphans.has(id)) memory.add(id);
      await reconciler.reconcile();
      await reconciler.reconcile();
      expect(new Set((await store.rows<{ id: string }>("SELECT id FROM deliveries WHERE owner = ''")).map(({ id }) => id))).toEqual(
        orphans,
      );
    });
  });
});

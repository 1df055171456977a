import { Cancellations } from '../../src/delivery/claim/cancellations';
import { Facts } from '../../src/facts';
import { newInstanceId } from '../../src/ids';
import { silentLog } from '../../src/log';
import type { Database } from '../../src/store/database';
import { failingAt, type Store, withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';

const idsOf = (count: number) => Array.from({ length: count }, (_, index) => `dlv_${String(index).padStart(31, '0')}`);

async function note(store: Store, owner: string, deliveryIds: readonly string[]): Promise<void> {
  const [row] = await store.rows<Record<string, unknown>>('SELECT * FROM cancellations LIMIT 1');
  expect(row).toBeUndefined();
  await store.database.transaction((tx) =>
    tx.insert(
      'cancellations',
      ['delivery_id', 'owner'],
      deliveryIds.map((id) => [id, owner]),
    ),
  );
}

function following(store: Store, database: Database = store.database) {
  const facts = new Facts();
  const told: string[] = [];
  facts.deliveriesCancelled.on(({ deliveryIds }) => void told.push(...deliveryIds));
  return {
    told,
    cancellations: new Cancellations({ instanceId: store.instanceId, database, clock: new FakeClock(), log: silentLog, facts }),
  };
}

describeEachDatabase('What others have cancelled of this instance’s', (makeDatabase) => {
  test('is told once, however much it is, and forgotten', async () => {
    await withStore(makeDatabase, async (store) => {
      const ids = idsOf(2_300);
      await note(store, store.instanceId, ids);
      const { told, cancellations } = following(store);
      await cancellations.carryOut();
      expect([new Set(told), told.length, await store.count('cancellations')]).toEqual([new Set(ids), ids.length, 0]);
      await cancellations.carryOut();
      expect(told).toHaveLength(ids.length);
    });
  });

  test('is not what another has', async () => {
    await withStore(makeDatabase, async (store) => {
      await note(store, newInstanceId(), idsOf(2));
      const { told, cancellations } = following(store);
      await cancellations.carryOut();
      expect([told, await store.count('cancellations')]).toEqual([[], 2]);
    });
  });

  test('is told again where the database failed to forget it', async () => {
    await withStore(makeDatabase, async (store) => {
      const ids = idsOf(2);
      await note(store, store.instanceId, ids);
      const { database } = store;
      const failing = {
        read: database.read,
        transaction: (work: Parameters<Database['transaction']>[0]) => database.transaction((tx) => work(failingAt(/DELETE/)(tx))),
      };
      const { told, cancellations } = following(store, failing as unknown as Database);
      await expect(cancellations.carryOut()).rejects.toThrow('injected');
      const next = following(store);
      await next.cancellations.carryOut();
      expect([told, next.told]).toEqual([ids, ids]);
    });
  });
});

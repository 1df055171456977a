import type { Queries } from '../../src/store/database';
import { type Store, withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';

async function versionOf(store: Store, applicationId: string): Promise<number> {
  const [row] = await store.rows<{ version: number }>("SELECT version FROM counters WHERE log = 'event' AND application_id = ?", [
    applicationId,
  ]);
  return Number(row?.version);
}

describeEachDatabase('A snapshot of webhooks', (makeDatabase) => {
  test('is kept as long as the version is the same; webhooks that did not change stay the same objects', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const [first, second] = [await store.webhook(applicationId), await store.webhook(applicationId)];
      const { directory } = store;
      const before = await directory.know(applicationId);
      expect(await directory.at(store.database.read, applicationId, await versionOf(store, applicationId))).toBe(before);
      await store.webhooks.pause(first.id);
      const after = await directory.refresh(applicationId);
      expect(after.version).toBeGreaterThan(before.version);
      expect(after.byId.get(second.id)).toBe(before.byId.get(second.id));
      expect([before.byId.get(first.id)?.isSending, after.byId.get(first.id)?.isSending]).toEqual([true, false]);
    });
  });

  test('that a transaction reads is not kept', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const known = await store.directory.know(applicationId);
      const within = await store.directory.within(store.database.read, applicationId, known.version + 1);
      expect([within.version, store.directory.peek(applicationId)]).toEqual([known.version + 1, known]);
    });
  });

  test('that a later one has overtaken while it was read does not replace that', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const { read } = store.database;
      const { version } = await store.directory.know(applicationId);
      let go = () => {};
      const held = new Promise<void>((resolve) => {
        go = resolve;
      });
      const slow: Queries = { ...read, query: (sql, parameters) => held.then(() => read.query(sql, parameters)) };
      const earlier = store.directory.at(slow, applicationId, version + 1);
      const later = await store.directory.at(read, applicationId, version + 2);
      go();
      expect((await earlier).version).toBe(version + 1);
      expect(store.directory.peek(applicationId)).toBe(later);
    });
  });

  test('is read for all at once who ask while another is being read', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const { directory } = store;
      const [running, next, sameNext] = [
        directory.refresh(applicationId),
        directory.refresh(applicationId),
        directory.refresh(applicationId),
      ];
      expect([next === running, next === sameNext]).toEqual([false, true]);
      await Promise.all([running, next]);
      expect(await directory.refresh(applicationId)).toBe(directory.peek(applicationId));
    });
  });
});

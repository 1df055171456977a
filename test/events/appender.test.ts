import { systemClock } from '../../src/clock';
import { GroupCommitter, PartlyStored } from '../../src/events/group-committer';
import { Facts } from '../../src/facts';
import { silentLog } from '../../src/log';
import { Database } from '../../src/store/database';
import { newEvent, type Store, withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';

const WEBHOOKS = 30;
const EVENTS = 200;

function appenderOver(store: Store, database: Pick<Database, 'transaction' | 'dialect'>): { appender: GroupCommitter; batches: number[] } {
  const batches: number[] = [];
  const facts = new Facts();
  facts.eventsStored.on(({ batch }) => batches.push(batch.deliveries.length));
  const appender = new GroupCommitter({
    database: database as Database,
    directory: store.directory,
    clock: systemClock,
    log: silentLog,
    delivery: { reserve: () => ({ ownerFor: () => '', release: () => {}, take: () => {} }) },
    facts,
  });
  return { appender, batches };
}

describeEachDatabase('A publish with more deliveries than a transaction may have', (makeDatabase) => {
  const events = Array.from({ length: EVENTS }, (_, no) => newEvent({ payloadText: `{"no":${no}}` }));

  test('is stored in several, each event with all its deliveries, in the order given', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      for (let no = 0; no < WEBHOOKS; no++) await store.webhook(applicationId);
      const { appender, batches } = appenderOver(store, store.database);
      const answers = await appender.append({ applicationId, events });
      expect(answers.map(({ event }) => [event.sequence, event.payloadText])).toEqual(
        events.map(({ payloadText }, index) => [index + 1, payloadText]),
      );
      expect(batches).toEqual([1_980, 1_980, 1_980, 60]);
      expect(await store.count('deliveries')).toBe(WEBHOOKS * EVENTS);
    });
  });

  test('that fails in the middle says which events are stored', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      for (let no = 0; no < WEBHOOKS; no++) await store.webhook(applicationId);
      let transactions = 0;
      const failing: Pick<Database, 'transaction' | 'dialect'> = {
        dialect: store.database.dialect,
        transaction: (work) => (++transactions === 2 ? Promise.reject(new Error('injected')) : store.database.transaction(work)),
      };
      const error = await appenderOver(store, failing)
        .appender.append({ applicationId, events })
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(PartlyStored);
      expect((error as PartlyStored).answers).toHaveLength(66);
      expect((error as PartlyStored).message).toContain('first 66 of 200');
      expect(await store.count('events')).toBe(66);
      expect(await store.count('deliveries')).toBe(66 * WEBHOOKS);
    });
  });
});

import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/list';
import { readConfig } from '../../src/config';
import { Events } from '../../src/events/events';
import { newApplicationId, newEventId } from '../../src/ids';
import { dataSourceOptions } from '../../src/store/data-source';
import { describeEachDatabase } from '../support/databases';
import { testEnvironment } from '../support/with-hub';
import { openable } from './with-store';

const [first] = migrations;

/** As version 0.1.0 inserts events: it names its columns, and knows none that came later. */
const INSERT = 'INSERT INTO events (application_id, sequence, id, type, payload, occurred_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)';

describeEachDatabase('A database of the first version', (makeDatabase) => {
  test('is migrated with its rows in place, while instances of that version go on inserting', async () => {
    const { url } = await makeDatabase();
    const applicationId = newApplicationId();
    const row = (sequence: number) => [applicationId, sequence, newEventId(applicationId, sequence), 'order.created', '{"no":1}', 1, 1];
    const before = new DataSource({
      ...dataSourceOptions(readConfig(testEnvironment(url)).databaseUrl, 'writer'),
      migrations: first ? [first] : [],
    });
    const database = openable(url);
    try {
      await before.initialize();
      await before.runMigrations({ transaction: 'each' });
      await before.query(INSERT, row(1));
      await database.open();
      expect(await database.isMigrated()).toBe(false);
      expect((await database.migrate()).length).toBe(migrations.length - 1);
      await before.query(INSERT, row(2));
      const events = await new Events(database).after(applicationId, 0, 10);
      expect(events).toEqual([
        expect.objectContaining({ sequence: 1, payloadText: '{"no":1}', traceContext: null }),
        expect.objectContaining({ sequence: 2, payloadText: '{"no":1}', traceContext: null }),
      ]);
      expect(await before.showMigrations()).toBe(false); // the old version is still ready
    } finally {
      await before.destroy();
      await database.close();
    }
  });
});

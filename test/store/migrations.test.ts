import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/list';
import { ApiKey, DEFAULT_SCOPES, Scope } from '../../src/applications/api-key';
import { ApiKeys } from '../../src/applications/api-keys';
import { Applications } from '../../src/applications/applications';
import { systemClock } from '../../src/clock';
import { readConfig } from '../../src/config';
import { dataSourceOptions } from '../../src/data-source';
import { Events } from '../../src/events/events';
import { Facts } from '../../src/facts';
import { newApplicationId, newEventId } from '../../src/ids';
import { silentLog } from '../../src/log';
import { describeEachDatabase } from '../support/databases';
import { testEnvironment } from '../support/with-hub';
import { openable } from './with-store';

const [first] = migrations;

/** As version 0.1.0 inserts events: it names its columns, and knows none that came later. */
const INSERT = 'INSERT INTO events (application_id, sequence, id, type, payload, occurred_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)';

describeEachDatabase('A database of the first version', (makeDatabase) => {
  test('has keys that go on doing what they could, whichever version makes them', async () => {
    const { url } = await makeDatabase();
    const before = new DataSource({
      ...dataSourceOptions(readConfig(testEnvironment(url)).databaseUrl, 'writer'),
      migrations: first ? [first] : [],
    });
    const database = openable(url);
    const insert = (id: string, scopes: readonly string[]) =>
      before.query(
        "INSERT INTO api_keys (id, application_id, name, token_hash, hint, scopes, created_at, origin) VALUES (?, 'app_1', '', ?, '', ?, 1, 'API')",
        [id, id, JSON.stringify(scopes)],
      );
    const scopesOf = async (id: string) => (await database.read.manager.findOneBy(ApiKey, { id }))?.scopes;
    const six = ['EVENTS_PUBLISH', 'EVENTS_READ', 'WEBHOOKS_WRITE', 'WEBHOOKS_READ', 'DELIVERIES_WRITE', 'DELIVERIES_READ'];
    try {
      await before.initialize();
      await before.runMigrations({ transaction: 'each' });
      await insert('all', six);
      await insert('reads', ['EVENTS_READ']);
      await insert('watches', ['DELIVERIES_READ', 'WEBHOOKS_READ']);
      await database.open();
      await database.migrate();
      await insert('publishes', ['EVENTS_PUBLISH']);
      expect(await scopesOf('all')).toEqual(DEFAULT_SCOPES);
      expect(await scopesOf('reads')).toEqual(['EVENTS_READ', 'PAYLOADS_READ']);
      expect(await scopesOf('watches')).toEqual(['DELIVERIES_READ', 'WEBHOOKS_READ', 'PAYLOADS_READ']);
      expect(await scopesOf('publishes')).toEqual(['EVENTS_PUBLISH', 'EVENTS_REDACT']);

      // One that this version makes has no scope in `scopes` that the version before could not show.
      const keys = new ApiKeys({ database, clock: systemClock, log: silentLog, facts: new Facts() });
      const applications = new Applications({ database, clock: systemClock, facts: new Facts() });
      const application = await applications.create({ name: 'shop' });
      const { apiKey } = await keys.create({ applicationId: application.id, scopes: [Scope.EVENTS_READ, Scope.EVENTS_REDACT] });
      const [row] = await database.read.query<{ scopes: string }>('SELECT scopes FROM api_keys WHERE id = ?', [apiKey.id]);
      expect(JSON.parse(row?.scopes ?? '')).toEqual(['EVENTS_READ']);
      expect(await scopesOf(apiKey.id)).toEqual(['EVENTS_READ', 'EVENTS_REDACT']);
    } finally {
      await before.destroy();
      await database.close();
    }
  });

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

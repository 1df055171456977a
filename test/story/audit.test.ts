import { Gathering, type Noted } from '../../src/audit/gathering';
import { DAY } from '../../src/clock';
import { Retention } from '../../src/housekeeping/retention';
import { auditRange, HUBS_OWN } from '../../src/ids';
import { silentLog } from '../../src/log';
import { describeEachDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { Client } from '../support/graphql-client';
import { mutate, mutated } from '../support/mutate';
import { changeRows, withRows } from '../support/rows';
import { askOver } from '../support/transports';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

interface Row {
  readonly id: string;
  readonly actorId: string | null;
  readonly address: string | null;
  readonly action: string;
  readonly targetIds: readonly string[];
  readonly count: number;
  readonly reason: string | null;
  readonly at: string;
}

interface Answer {
  readonly auditEvents: { readonly nodes: Row[]; readonly pageInfo: { readonly endCursor: string | null; readonly hasNextPage: boolean } };
}

const FIELDS = 'nodes { id actorId partner address action targetIds count reason at } pageInfo { endCursor hasNextPage }';

async function auditOf(client: Client, variables: Record<string, unknown> = {}): Promise<Row[]> {
  const document = `query ($applicationId: ID, $first: Int = 100, $after: String, $filter: AuditFilter) {
    auditEvents(applicationId: $applicationId, first: $first, after: $after, filter: $filter) { ${FIELDS} }
  }`;
  return (await client.query<Answer>(document, variables)).auditEvents.nodes;
}

const idOf = async (client: Client) =>
  (await client.query<{ viewer: { apiKey: { id: string } } }>('{ viewer { apiKey { id } } }')).viewer.apiKey.id;

/** The rows as they were noted, oldest first, without what differs. */
const deeds = (rows: readonly Row[]) => rows.map(({ action, targetIds }) => [action, ...targetIds]).reverse();

async function delivered(shop: TestApplication, count: number): Promise<{ id: string; attempts: string[] }[]> {
  return until(
    async () => {
      const { deliveries } = await shop.client.query<{
        deliveries: { nodes: { id: string; status: string; attempts: { nodes: { id: string }[] } }[] };
      }>('{ deliveries(first: 10) { nodes { id status attempts(first: 1) { nodes { id } } } } }');
      const done = deliveries.nodes.filter(({ status }) => status === 'SUCCEEDED');
      return done.length === count ? done.map(({ id, attempts }) => ({ id, attempts: attempts.nodes.map((one) => one.id) })) : undefined;
    },
    { description: 'the deliveries' },
  );
}

describeEachDatabase('The audit', (makeDatabase) => {
  test('says who did what to what: each mutation that changed something, in the order it was done', async () => {
    await withHub(makeDatabase, async ({ admin, application, receiver }) => {
      const shop = await application();
      const [adminId, shopKeyId] = [await idOf(admin), await idOf(shop.client)];
      const { id: webhookId } = await shop.webhook('/hook');
      await mutated(shop.client, 'webhookUpdate', { id: webhookId, input: { description: 'new' } });
      expect((await mutate(shop.client, 'webhookUpdate', { id: webhookId, input: { url: 'nonsense' } })).userErrors).toHaveLength(1);
      await mutated(shop.client, 'webhookPause', { id: webhookId });
      await mutated(shop.client, 'webhookResume', { id: webhookId });
      await mutated(shop.client, 'eventTypeRegister', { input: { name: 'order.created' } });
      const { id: eventId } = await shop.publish({ idempotencyKey: 'once' });
      await shop.publish({ idempotencyKey: 'once' });
      const { id: lastId } = await shop.publish();
      await receiver.waitFor(2, '/hook');
      await mutated(shop.client, 'eventRedact', { id: eventId });
      await mutated(admin, 'applicationUpdate', { id: shop.id, input: { name: 'renamed' } });
      const rows = await auditOf(admin, { applicationId: shop.id });
      const byTime = deeds(rows).filter(([action]) => action !== 'event.published');
      expect(byTime).toEqual([
        ['key.created', shopKeyId],
        ['webhook.created', webhookId],
        ['webhook.updated', webhookId],
        ['webhook.paused', webhookId],
        ['webhook.resumed', webhookId],
        ['event_type.registered', 'order.created'],
        ['event.redacted', eventId],
        ['application.updated', shop.id],
      ]);
      expect(rows.find(({ action }) => action === 'event.published')).toMatchObject({
        actorId: shopKeyId,
        address: '127.0.0.1',
        targetIds: [eventId, lastId],
        count: 2,
      });
      expect(rows[0]).toMatchObject({ actorId: adminId, address: '127.0.0.1', partner: null, count: 1, at: expect.any(String) });
      expect(deeds(await auditOf(admin))).toEqual([
        ['key.created', adminId],
        ['application.created', shop.id],
      ]);
      await mutated(admin, 'applicationDelete', { id: shop.id });
      expect(deeds(await auditOf(admin)).at(-1)).toEqual(['application.deleted', shop.id]);
      expect(await auditOf(admin, { applicationId: shop.id })).toEqual([]);
    });
  });

  test('says who read which payload or body, over every transport, and not who read none', async () => {
    await withHub(makeDatabase, async ({ admin, application, client }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const { id: eventId } = await shop.publish();
      const [delivery] = await delivered(shop, 1);
      const [attemptId = ''] = delivery?.attempts ?? [];
      const reads = (actorId: string) =>
        auditOf(admin, { applicationId: shop.id, filter: { actorIds: [actorId], actions: ['payload.read', 'body.read'] } });
      const key = async (scopes?: string[]) => {
        const { token } = await mutated<{ token: string }>(admin, 'apiKeyCreate', { input: { applicationId: shop.id, scopes } }, 'token');
        return client(token);
      };
      for (const [document, action, target] of [
        [`{ event(id: "${eventId}") { payload again: payload get(path: "no") } }`, 'payload.read', eventId],
        ['{ events(first: 1) { nodes { payloadText } } }', 'payload.read', eventId],
        [`{ payloadPreview(payloadQuery: "subscription { event { id } }", eventId: "${eventId}") { body } }`, 'payload.read', eventId],
        [`{ delivery(id: "${delivery?.id}") { requestBody } }`, 'body.read', delivery?.id],
        [`{ node(id: "${attemptId}") { ... on Attempt { responseBody } } }`, 'body.read', attemptId],
        [`{ node(id: "${attemptId}") { ... on Attempt { curl } } }`, 'body.read', attemptId],
      ] as const)
        for (const transport of ['HTTP', 'WebSocket', 'SSE'] as const) {
          const reader = await key();
          expect((await askOver(transport, reader, document)).errors).toBeUndefined();
          const rows = await reads(await idOf(reader));
          expect([document, transport, rows]).toEqual([
            document,
            transport,
            [expect.objectContaining({ action, targetIds: [target], count: 1, address: '127.0.0.1' })],
          ]);
        }
      const narrow = await key(['EVENTS_READ', 'DELIVERIES_READ']);
      await narrow.request(`{ event(id: "${eventId}") { id type payload } }`);
      await narrow.query(`{ node(id: "${attemptId}") { ... on Attempt { curl responseBody } } }`);
      const broad = await key();
      await broad.query(`{ event(id: "${eventId}") { id type } }`);
      expect([...(await reads(await idOf(narrow))), ...(await reads(await idOf(broad)))]).toEqual([]);
      const follower = await key();
      const stream = follower.subscribe('subscription { event(types: ["live"]) { payload } }');
      let hasCome = false;
      const first = stream.take(1).then(() => {
        hasCome = true;
      });
      await until(
        async () => {
          await shop.publish({ type: 'live' });
          return hasCome;
        },
        { description: 'the first event of the stream' },
      );
      await first;
      expect((await reads(await idOf(follower)))[0]).toMatchObject({ action: 'payload.read', count: expect.any(Number) });
    });
  });

  test('counts refused keys by address, under the key where there was one', async () => {
    await withHub(
      makeDatabase,
      async ({ url, admin, application, client }) => {
        const shop = await application();
        const { apiKey, token } = await mutated<{ apiKey: { id: string }; token: string }>(
          admin,
          'apiKeyCreate',
          { input: { applicationId: shop.id } },
          'apiKey { id } token',
        );
        await mutated(admin, 'apiKeyRevoke', { id: apiKey.id });
        for (let times = 0; times < 3; times++) await client(token).request('{ viewer { admin } }');
        for (let times = 0; times < 5; times++) await client(`lhk_guess_${times}`).request('{ viewer { admin } }');
        const own = await auditOf(admin, { applicationId: shop.id, filter: { actions: ['key.refused'] } });
        const refused = { actorId: apiKey.id, targetIds: [apiKey.id], address: '127.0.0.1' };
        expect(own).toEqual([expect.objectContaining({ ...refused, count: 3, reason: 'REVOKED' })]);
        const guessed = await auditOf(admin, { filter: { actions: ['key.refused'] } });
        expect(guessed).toEqual([
          expect.objectContaining({ actorId: null, targetIds: [], count: 5, address: '127.0.0.1', reason: 'UNKNOWN' }),
        ]);
        const metrics = await (await fetch(`${url}/metrics`)).text();
        expect(metrics).toContain('livehook_keys_refused_total{reason="revoked"} 3');
        expect(metrics).toContain('livehook_keys_refused_total{reason="unknown"} 5');
      },
      {},
    );
  });

  test('tells why each key was refused: revoked, expired or from the wrong network', async () => {
    await withHub(makeDatabase, async ({ admin, application, client, databaseUrl }) => {
      const shop = await application();
      const make = (input: object) =>
        mutated<{ token: string; apiKey: { id: string } }>(
          admin,
          'apiKeyCreate',
          { input: { applicationId: shop.id, ...input } },
          'token apiKey { id }',
        );
      const ended = await make({ expiresAt: '2999-01-01T00:00:00Z' });
      const far = await make({ allowedNetworks: ['203.0.113.0/24'] });
      await changeRows(databaseUrl, 'UPDATE api_keys SET expires_at = 1 WHERE id = ?', [ended.apiKey.id]);
      for (let times = 0; times < 2; times++) for (const { token } of [ended, far]) await client(token).request('{ viewer { admin } }');
      await mutated(admin, 'apiKeyRevoke', { id: far.apiKey.id });
      await client(far.token).request('{ viewer { admin } }');
      const rows = await auditOf(admin, { applicationId: shop.id, filter: { actions: ['key.refused'] } });
      expect(rows.map(({ actorId, reason, count }) => `${actorId} ${reason} ${count}`).sort()).toEqual(
        [`${ended.apiKey.id} EXPIRED 2`, `${far.apiKey.id} NETWORK 2`, `${far.apiKey.id} REVOKED 1`].sort(),
      );
      const changes = await auditOf(admin, { applicationId: shop.id, filter: { actions: ['key.revoked'] } });
      expect(changes.map(({ reason }) => reason)).toEqual([null]);
    });
  });

  test('is read by keys with AUDIT_READ, each its own application, in pages and by filters', async () => {
    await withHub(makeDatabase, async ({ admin, application, client }) => {
      const [shop, other] = [await application(), await application('other')];
      const { token } = await mutated<{ token: string }>(
        admin,
        'apiKeyCreate',
        { input: { applicationId: shop.id, scopes: ['AUDIT_READ'] } },
        'token',
      );
      const auditor = client(token);
      const ids: string[] = [];
      for (let no = 0; no < 5; no++) ids.push((await shop.webhook(`/${no}`)).id);
      await mutated(shop.client, 'webhookPause', { id: ids[3] ?? '' });
      await other.webhook('/hook');
      const filter = { actions: ['webhook.created'] };
      expect(deeds(await auditOf(auditor, { filter }))).toEqual(ids.map((id) => ['webhook.created', id]));
      expect(deeds(await auditOf(auditor, { filter: { targetIds: [ids[3]] } }))).toEqual([
        ['webhook.created', ids[3]],
        ['webhook.paused', ids[3]],
      ]);
      const all = await auditOf(auditor, { filter });
      const paged: Row[] = [];
      for (let after: string | null = null, more = true; more; ) {
        const { auditEvents }: Answer = await auditor.query<Answer>(
          `query ($after: String, $filter: AuditFilter) { auditEvents(first: 2, after: $after, filter: $filter) { ${FIELDS} } }`,
          { after, filter },
        );
        paged.push(...auditEvents.nodes);
        after = auditEvents.pageInfo.endCursor;
        more = auditEvents.pageInfo.hasNextPage;
      }
      expect(paged).toEqual(all);
      const [newest] = all;
      expect(await auditOf(auditor, { filter: { ...filter, before: newest?.at } })).not.toContainEqual(newest);
      expect(await auditOf(auditor, { filter: { after: new Date(Date.now() + DAY).toISOString() } })).toEqual([]);
      const codeOf = async (who: Client, args: string) =>
        (await who.request(`{ auditEvents${args} { nodes { id } } }`)).errors?.[0]?.extensions?.code;
      expect(await codeOf(shop.client, '')).toBe('FORBIDDEN');
      expect(await codeOf(auditor, `(applicationId: "${other.id}")`)).toBe('FORBIDDEN');
      expect(await codeOf(client(), '')).toBe('UNAUTHENTICATED');
      expect(await codeOf(auditor, '(filter: { actions: ["webhook.eaten"] })')).toBe('BAD_USER_INPUT');
    });
  });

  test('loses nothing at a clean shutdown, and goes with what it is about', async () => {
    const database = await makeDatabase();
    let shopId = '';
    let otherId = '';
    await withHub(
      async () => ({ url: database.url, drop: async () => {} }),
      async ({ application }) => {
        const [shop, other] = [await application(), await application('other')];
        [shopId, otherId] = [shop.id, other.id];
        const { id } = await shop.publish();
        await shop.client.query(`{ event(id: "${id}") { payload } }`);
        await shop.webhook('/hook');
        await other.webhook('/hook');
      },
    );
    await withRows(database.url, async (query, store) => {
      const actionsOf = async (applicationId: string) => {
        const { from, to } = auditRange(applicationId);
        const rows = await query<{ action: string }>('SELECT action FROM audit_events WHERE id >= ? AND id < ?', [from, to]);
        return rows.map(({ action }) => action).sort();
      };
      expect(await actionsOf(shopId)).toEqual(['event.published', 'key.created', 'payload.read', 'webhook.created']);
      expect((await actionsOf(HUBS_OWN)).length).toBeGreaterThan(2);
      const clock = new FakeClock(Date.now() + 2 * DAY);
      await store.transaction((tx) => tx.execute('UPDATE applications SET retention_days = 1000 WHERE id = ?', [otherId]));
      await new Retention({ database: store, clock, log: silentLog, defaultRetentionMs: -DAY }).sweep();
      expect([await actionsOf(shopId), await actionsOf(HUBS_OWN)]).toEqual([[], []]);
      expect(await actionsOf(otherId)).toEqual(['key.created', 'webhook.created']);
    });
    await database.drop();
  });

  test('is written once the database is back, and the change was answered', async () => {
    await withHub(makeDatabase, async ({ admin, application, databaseUrl }) => {
      const shop = await application();
      await withRows(databaseUrl, (_query, store) => store.transaction((tx) => tx.execute('ALTER TABLE audit_events RENAME TO away')));
      const { id } = await shop.webhook('/hook');
      await withRows(databaseUrl, (_query, store) => store.transaction((tx) => tx.execute('ALTER TABLE away RENAME TO audit_events')));
      expect(deeds(await auditOf(admin, { applicationId: shop.id })).at(-1)).toEqual(['webhook.created', id]);
    });
  });
});

describe('What happens often', () => {
  const deed = { applicationId: 'app_1', actorId: 'key_1', address: '203.0.113.9', action: 'payload.read', targetIds: [] } as const;

  test('becomes a row for every hundred targets, or every ten seconds', () => {
    const rows: Noted[] = [];
    const gathering = new Gathering((row) => rows.push(row));
    for (let no = 0; no < 250; no++) gathering.read(deed, `evt_${no}`, 1_000);
    gathering.read(deed, 'evt_249', 1_000);
    gathering.finish(10_999);
    expect(rows.map(({ count }) => count)).toEqual([100, 100]);
    gathering.finish(11_000);
    expect(rows.map(({ count, targetIds }) => [count, targetIds.length])).toEqual([
      [100, 100],
      [100, 100],
      [50, 50],
    ]);
    expect(gathering.size).toBe(0);
  });

  test('takes bounded room: keys without number, and tokens refused from addresses without number', () => {
    const rows: Noted[] = [];
    const gathering = new Gathering((row) => rows.push(row));
    for (let no = 0; no < 20_000; no++) gathering.published({ ...deed, action: 'event.published', actorId: `key_${no}` }, ['evt_1'], 0);
    expect([gathering.size, rows.length]).toEqual([10_000, 10_000]);
    gathering.finish(60_000);
    rows.length = 0;
    for (let no = 0; no < 100_000; no++)
      gathering.refused({ ...deed, actorId: null, action: 'key.refused', address: `10.0.${no >> 8}.${no & 255}` }, 60_000);
    gathering.finish(120_000);
    expect(rows).toHaveLength(51);
    expect(rows.find(({ address }) => address === null)?.count).toBe(100_000 - 50);
  });
});

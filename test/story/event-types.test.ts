import { describeEachDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { mutate, mutated } from '../support/mutate';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';

describeEachDatabase('Event types', (makeDatabase) => {
  test('can be changed, archived and brought back where there are as many as there may be, and no more registered', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl }) => {
      const { id, client } = await application();
      await withRows(databaseUrl, async (_query, database) =>
        database.transaction((tx) =>
          tx.insert(
            'event_types',
            ['application_id', 'name', 'created_at', 'updated_at'],
            Array.from({ length: 1_000 }, (_, no) => [id, `order.n${no}`, 1, 1]),
          ),
        ),
      );
      await mutated(client, 'eventTypeRegister', { input: { name: 'order.n1', description: 'the first' } });
      await mutated(client, 'eventTypeArchive', { input: { name: 'order.n2' } });
      await mutated(client, 'eventTypeRegister', { input: { name: 'order.n2' } });
      const { userErrors } = await mutate(client, 'eventTypeRegister', { input: { name: 'order.another' } });
      expect(userErrors).toEqual([
        { field: ['name'], message: 'expected at most 1000 event types in an application', code: 'LIMIT_REACHED' },
      ]);
    });
  });

  test('of one application have schemas of at most 4 MiB together', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const { client } = await application();
      const schema = (chars: number) => ({ description: 'x'.repeat(chars) });
      for (let no = 0; no < 65; no++)
        await mutated(client, 'eventTypeRegister', { input: { name: `order.n${no}`, schema: schema(64_000) } });
      const register = (name: string, chars: number) => mutate(client, 'eventTypeRegister', { input: { name, schema: schema(chars) } });
      const { userErrors } = await register('order.another', 40_000);
      expect(userErrors).toEqual([
        {
          field: ['schema'],
          message: expect.stringMatching(
            /^expected the schemas of an application to have at most 4194304 characters together, got 42\d{5}$/,
          ),
          code: 'LIMIT_REACHED',
        },
      ]);
      expect((await register('order.n1', 60_000)).userErrors).toEqual([]);
      expect((await register('order.another', 30_000)).userErrors).toEqual([]);
      await mutated(client, 'eventTypeRegister', { input: { name: 'order.n1', schema: null } });
    });
  });

  test('with a stored schema that is no longer usable refuse their events, and say so', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl, receiver }) => {
      const shop = await application();
      const { id: webhookId } = await shop.webhook('/hook');
      for (const name of ['order.old', 'order.good']) await mutated(shop.client, 'eventTypeRegister', { input: { name, schema: {} } });
      const stored = JSON.stringify({ type: 'something-else' });
      await withRows(databaseUrl, async (_query, database) =>
        database.transaction((tx) => tx.execute('UPDATE event_types SET payload_schema = ? WHERE name = ?', [stored, 'order.old'])),
      );
      const message = expect.stringMatching(
        /^cannot be checked: the schema of order.old is no longer usable and has to be registered again: expected a JSON Schema of draft 2020-12/,
      );
      const refused = await mutate<{ event: unknown }>(
        shop.client,
        'eventPublish',
        { input: { type: 'order.old', payload: {} } },
        'event { id }',
      );
      expect(refused).toEqual({ event: null, userErrors: [{ field: ['payload'], message, code: 'CONFLICT' }] });
      const batch = await mutated<{ results: unknown[] }>(
        shop.client,
        'eventsPublish',
        { input: { events: ['order.old', 'order.good'].map((type) => ({ type, payload: {} })) } },
        'results { event { type } userErrors { field message } }',
      );
      expect(batch.results).toEqual([
        { event: null, userErrors: [{ field: ['events', '0', 'payload'], message }] },
        { event: { type: 'order.good' }, userErrors: [] },
      ]);
      const tested = await mutate(shop.client, 'webhookTest', { id: webhookId, input: { eventType: 'order.old', payload: {} } });
      expect(tested.userErrors).toEqual([{ field: ['payload'], message, code: 'CONFLICT' }]);
      expect(await receiver.waitFor(1, '/hook')).toHaveLength(1);

      await mutated(shop.client, 'eventTypeRegister', { input: { name: 'order.old', schema: { type: 'object' } } });
      expect((await mutate(shop.client, 'eventPublish', { input: { type: 'order.old', payload: {} } })).userErrors).toEqual([]);
    });
  });

  test('may have schemas that refer to themselves', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const { client } = await application();
      const schema = { type: 'object', properties: { no: { type: 'integer' }, children: { type: 'array', items: { $ref: '#' } } } };
      await mutated(client, 'eventTypeRegister', { input: { name: 'tree', schema } });
      const publish = (payload: unknown) => mutate(client, 'eventPublish', { input: { type: 'tree', payload } });
      expect((await publish({ no: 1, children: [{ no: 2, children: [{ no: 3 }] }] })).userErrors).toEqual([]);
      expect((await publish({ no: 1, children: [{ no: 2, children: [{ no: 'three' }] }] })).userErrors).toEqual([
        {
          field: ['payload', 'children', '0', 'children', '0', 'no'],
          message: 'does not fit the schema of tree: must be integer',
          code: 'INVALID',
        },
      ]);
      for (const looping of [{ $ref: '#' }, { $dynamicAnchor: 'a', allOf: [{ $dynamicRef: '#a' }] }]) {
        const { userErrors } = await mutate(client, 'eventTypeRegister', { input: { name: 'loop', schema: looping } });
        if (userErrors.length > 0) continue;
        const refused = await mutate(client, 'eventPublish', { input: { type: 'loop', payload: {} } });
        expect(refused.userErrors[0]?.message).toBe('could not be checked against the schema of loop: its references go too deep');
      }
    });
  });

  test('carry examples that fit their schema, and are found by name', async () => {
    await withHub(makeDatabase, async ({ application, admin }) => {
      const shop = await application();
      const other = await application('other');
      const schema = { type: 'object', required: ['no'], properties: { no: { type: 'integer' } } };
      const register = (input: object) => mutate(shop.client, 'eventTypeRegister', { input: { name: 'order.paid', ...input } });
      const found = async (client = shop.client, name = 'order.paid') =>
        (
          await client.query<{ eventType: object | null }>(
            'query ($name: String!) { eventType(name: $name) { name examples isRegistered lastSeenAt schema } }',
            { name },
          )
        ).eventType;
      expect((await register({ schema, examples: [{ no: 1 }, { no: 'two' }] })).userErrors).toMatchObject([
        { field: ['examples', '1', 'no'], message: expect.stringContaining('does not fit the schema') },
      ]);
      expect(await found()).toBeNull();
      expect((await register({ schema, examples: [{ no: 1 }, { no: 2, more: [] }] })).userErrors).toEqual([]);
      const stored = { name: 'order.paid', examples: [{ no: 1 }, { no: 2, more: [] }], isRegistered: true, lastSeenAt: null, schema };
      expect(await found()).toEqual(stored);
      expect(await found(other.client)).toBeNull();
      expect(await admin.query('query ($id: ID!) { eventType(name: "order.paid", applicationId: $id) { name } }', { id: shop.id })).toEqual(
        { eventType: { name: 'order.paid' } },
      );
      expect(await found(shop.client, 'no name!')).toBeNull();
      // What is left out stays, and the other half is checked against it.
      expect((await register({ description: 'paid' })).userErrors).toEqual([]);
      expect(await found()).toEqual(stored);
      expect((await register({ schema: { type: 'string' } })).userErrors).toMatchObject([
        { field: ['schema'], message: expect.stringContaining('the examples fit') },
      ]);
      expect((await register({ examples: ['text'] })).userErrors).toMatchObject([{ field: ['examples', '0'] }]);
      expect((await register({ schema: { type: ['string', 'null'] }, examples: ['text', null] })).userErrors).toEqual([]);
      expect(await found()).toMatchObject({ examples: ['text', null] });
      expect((await register({ examples: null })).userErrors).toEqual([]);
      expect(await found()).toMatchObject({ examples: [] });
      expect((await register({ examples: Array.from({ length: 11 }, () => 'x') })).userErrors).toMatchObject([
        { field: ['examples'], code: 'TOO_LARGE', message: 'expected at most 10, got 11' },
      ]);
      expect((await register({ examples: ['x'.repeat(70_000)] })).userErrors).toMatchObject([{ field: ['examples'], code: 'TOO_LARGE' }]);
    });
  });

  test('are listed that events have and nobody has registered, with when each came last', async () => {
    await withHub(makeDatabase, async ({ application, startAnother, databaseUrl }) => {
      const shop = await application();
      const list = async (seen: string, client = shop.client) => {
        const names: string[] = [];
        for (let after: string | null = null; ; ) {
          const { eventTypes }: SeenPage = await client.query<SeenPage>(
            `query ($after: String) { eventTypes(first: 2, after: $after${seen}) {
              nodes { name isRegistered lastSeenAt createdAt } pageInfo { hasNextPage endCursor } } }`,
            { after },
          );
          names.push(
            ...eventTypes.nodes.map(
              ({ name, isRegistered, lastSeenAt }) => `${name} ${isRegistered} ${lastSeenAt === null ? 'never' : 'seen'}`,
            ),
          );
          if (!eventTypes.pageInfo.hasNextPage) return names;
          after = eventTypes.pageInfo.endCursor;
        }
      };
      for (const name of ['b.registered', 'd.registered', 'e.registered'])
        await mutated(shop.client, 'eventTypeRegister', { input: { name } });
      const began = Date.now();
      for (const type of ['a.seen', 'c.seen', 'd.registered', 'f.seen', 'f.seen']) await shop.publish({ type });
      const registered = ['b.registered true never', 'd.registered true seen', 'e.registered true never'];
      const all = ['a.seen false seen', registered[0], 'c.seen false seen', ...registered.slice(1), 'f.seen false seen'];
      expect(await list('')).toEqual(registered);
      expect(await list(', seen: true')).toEqual(all);
      const { eventType } = await shop.client.query<{ eventType: SeenNode }>(
        '{ eventType(name: "f.seen") { name isRegistered lastSeenAt createdAt } }',
      );
      expect(eventType).toMatchObject({ name: 'f.seen', isRegistered: false });
      expect(Date.parse(eventType.lastSeenAt ?? '')).toBeGreaterThanOrEqual(began - 1_000);
      expect(await list(', seen: true', (await application('other')).client)).toEqual([]);
      await mutated(shop.client, 'eventTypeRegister', { input: { name: 'a.seen' } });
      expect((await list('')).at(0)).toBe('a.seen true seen');
      if (databaseUrl.startsWith('sqlite')) return;
      const another = await startAnother();
      await new Client(another.url, shop.key).mutate('mutation { eventPublish(input: { type: "g.seen", payload: 1 }) { deduplicated } }');
      await until(async () => (await list(', seen: true')).includes('g.seen false seen'), { description: "the other instance's type" });
    });
  });
});

interface SeenPage {
  readonly eventTypes: {
    readonly nodes: SeenNode[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

interface SeenNode {
  readonly name: string;
  readonly isRegistered: boolean;
  readonly lastSeenAt: string | null;
  readonly createdAt: string;
}

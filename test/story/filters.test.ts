import { encodeCursor } from '../../src/cursor';
import { newWebhookId } from '../../src/ids';
import { describeEachDatabase } from '../support/databases';
import { Client, type Subscription } from '../support/graphql-client';
import { insertCopies, insertEvents } from '../support/many-rows';
import { mutate, mutated } from '../support/mutate';
import { withRows } from '../support/rows';
import { askOver, TRANSPORTS } from '../support/transports';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

interface Attempt {
  readonly number: number;
  readonly outcome: string;
  readonly statusCode: number | null;
  readonly durationMs: number;
}

interface Delivery {
  readonly id: string;
  readonly sequence: number;
  readonly status: string;
  readonly completedAt: string | null;
  readonly event: { readonly orderingKey: string | null };
  readonly attempts: { readonly nodes: readonly Attempt[] };
}

interface Filter {
  readonly outcomes?: readonly string[];
  readonly statusCodes?: readonly number[];
  readonly minDurationMs?: number;
  readonly orderingKey?: string;
  readonly minSequence?: number;
  readonly maxSequence?: number;
}

const ATTEMPT = 'number outcome statusCode durationMs';
const DELIVERY = `id sequence status completedAt event { orderingKey } attempts { nodes { ${ATTEMPT} } }`;

const FILTERS: readonly Filter[] = [
  { outcomes: ['CONNECT'] },
  { outcomes: ['SUCCESS', 'HTTP_ERROR'], statusCodes: [503] },
  { outcomes: ['SUCCESS'], statusCodes: [503] },
  { statusCodes: [204, 503] },
  { minDurationMs: 0 },
  { minDurationMs: 600_000 },
  { orderingKey: 'x' },
  { orderingKey: 'X' },
  { minSequence: 2, maxSequence: 3 },
  { minSequence: 2, orderingKey: 'x', outcomes: ['HTTP_ERROR', 'CONNECT'] },
];

interface Facts {
  readonly sequence: number;
  readonly orderingKey: string | null;
  readonly attempt: Omit<Attempt, 'number'> | null | undefined;
}

function meets(filter: Filter, { sequence, orderingKey, attempt }: Facts): boolean {
  const { outcomes, statusCodes, minDurationMs, minSequence = 0, maxSequence = 1_000 } = filter;
  if (sequence < minSequence || sequence > maxSequence) return false;
  if (filter.orderingKey !== undefined && filter.orderingKey !== orderingKey) return false;
  if (outcomes && !outcomes.includes(attempt?.outcome ?? '')) return false;
  if (statusCodes && !statusCodes.includes(attempt?.statusCode ?? 0)) return false;
  return minDurationMs === undefined || (attempt?.durationMs ?? -1) >= minDurationMs;
}

const factsOf = ({ sequence, event, attempts }: Delivery): Facts => ({
  sequence,
  orderingKey: event.orderingKey,
  attempt: attempts.nodes.at(-1),
});

async function list(client: Client, filter: object = {}): Promise<Delivery[]> {
  const { deliveries } = await client.query<{ deliveries: { nodes: Delivery[] } }>(
    `query ($filter: DeliveryFilter) { deliveries(first: 100, filter: $filter) { nodes { ${DELIVERY} } } }`,
    { filter },
  );
  return deliveries.nodes;
}

async function allFinished(client: Client, count: number): Promise<Delivery[]> {
  return until(
    async () => {
      const found = await list(client);
      return found.length === count && found.every(({ completedAt }) => completedAt !== null) && found;
    },
    { description: `${count} finished deliveries` },
  );
}

interface Update {
  readonly status: string;
  readonly attempt: Attempt | null;
  readonly delivery: Delivery;
}
interface Updates {
  readonly deliveryUpdates: { readonly updates: readonly Update[] };
}

const UPDATES = `subscription ($after: String, $filter: DeliveryFilter) { deliveryUpdates(after: $after, filter: $filter, intervalMs: 0) {
  updates { status attempt { ${ATTEMPT} } delivery { id sequence event { orderingKey } } } } }`;

async function take(stream: Subscription<Updates>, count: number): Promise<string[]> {
  const seen: string[] = [];
  while (seen.length < count) for (const { deliveryUpdates } of await stream.take(1)) seen.push(...deliveryUpdates.updates.map(textOf));
  return seen;
}

const textOf = ({ status, attempt, delivery }: Update) => `${delivery.id} ${status} ${attempt?.number}`;

/** Four events to a receiver that takes them, one that refuses them and one that is not there. */
async function published(shop: TestApplication, client: { answerRefused(): void }): Promise<string[]> {
  client.answerRefused();
  const webhooks = [
    await shop.webhook('/takes'),
    await shop.webhook('/refuses', { retrySchedule: [] }),
    await shop.webhook('/gone', { url: 'http://127.0.0.1:1/', retrySchedule: [] }),
  ];
  return webhooks.map(({ id }) => id);
}

describeEachDatabase('A DeliveryFilter', (makeDatabase) => {
  test('means the same in lists, live, from the log, and for what is retried', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { client } = shop;
      const webhookIds = await published(shop, { answerRefused: () => receiver.answer('/refuses', { status: 503 }) });
      const live = FILTERS.map((filter) => client.subscribe<Updates>(UPDATES, { after: encodeCursor('update', shop.id, 0), filter }));
      // At once: the hub's own events, which tell of failures, take the sequences after theirs.
      const events = ['x', 'y', null, 'x'].map((orderingKey, no) => ({ type: 'order.created', payload: { no }, orderingKey }));
      await mutated(client, 'eventsPublish', { input: { events } });
      const all = await allFinished(client, 12);

      // Lists: of the application, and below each webhook.
      for (const filter of FILTERS) {
        const wanted = all.filter((delivery) => meets(filter, factsOf(delivery)));
        expect([filter, (await list(client, filter)).map(({ id }) => id)]).toEqual([filter, wanted.map(({ id }) => id)]);
        const below: string[] = [];
        for (const id of webhookIds) {
          const { webhook } = await client.query<{ webhook: { deliveries: { nodes: { id: string }[]; totalCount: object } } }>(
            'query ($id: ID!, $filter: DeliveryFilter) { webhook(id: $id) { deliveries(filter: $filter) { nodes { id } totalCount { count isCapped } } } }',
            { id, filter },
          );
          expect(webhook.deliveries.totalCount).toEqual({ count: webhook.deliveries.nodes.length, isCapped: false });
          below.push(...webhook.deliveries.nodes.map((node) => node.id));
        }
        expect([filter, below.sort()]).toEqual([filter, wanted.map(({ id }) => id).sort()]);
      }

      // Updates: by the attempt that brought each, live and from the log.
      const every = client.subscribe<Updates>(UPDATES, { after: encodeCursor('update', shop.id, 0) });
      const updates: Update[] = [];
      while (updates.length < 24) for (const { deliveryUpdates } of await every.take(1)) updates.push(...deliveryUpdates.updates);
      for (const [index, filter] of FILTERS.entries()) {
        const wanted = updates
          .filter(({ attempt, delivery }) => meets(filter, { ...delivery, orderingKey: delivery.event.orderingKey, attempt }))
          .map(textOf);
        const again = client.subscribe<Updates>(UPDATES, { after: encodeCursor('update', shop.id, 0), filter });
        for (const stream of [live[index], again]) {
          if (stream === undefined) throw new Error('expected a stream');
          expect([filter, await take(stream, wanted.length)]).toEqual([filter, wanted]);
          expect([filter, stream.buffered]).toEqual([filter, 0]);
        }
      }

      // Retries: a dry run counts what the real run sends, and that is what the list shows.
      for (const filter of [
        { outcomes: ['CONNECT'] },
        { orderingKey: 'x', statusCodes: [503], statuses: ['FAILED', 'SUCCEEDED'] },
        { minSequence: 4, maxSequence: 4, outcomes: ['SUCCESS'], statuses: ['FAILED', 'SUCCEEDED'] },
      ]) {
        const before = await list(client);
        const wanted = (await list(client, { statuses: ['FAILED'], ...filter })).map(({ id }) => id);
        expect(wanted.length).toBeGreaterThan(0);
        const retry = (dryRun: boolean) =>
          mutated<{ retryJob: { id: string; total: number } }>(
            client,
            'deliveriesRetry',
            { input: { filter, dryRun } },
            'retryJob { id total }',
          );
        expect((await retry(true)).retryJob.total).toBe(wanted.length);
        const { retryJob } = await retry(false);
        await until(
          async () => {
            const found = await client.query<{ retryJob: { status: string } }>('query ($id: ID!) { retryJob(id: $id) { status } }', {
              id: retryJob.id,
            });
            return found.retryJob.status === 'COMPLETED';
          },
          { description: 'the end of the job' },
        );
        const attempts = new Map((await list(client)).map(({ id, attempts: { nodes } }) => [id, nodes.length]));
        for (const {
          id,
          attempts: { nodes },
        } of before)
          expect([filter, id, attempts.get(id)]).toEqual([filter, id, nodes.length + (wanted.includes(id) ? 1 : 0)]);
      }
    });
  });

  test('and an EventFilter that can take nothing are mistakes, wherever they are given', async () => {
    await withHub(makeDatabase, async ({ application, admin, url }) => {
      const { client, ...shop } = await application();
      const wrong: readonly [filter: object, field: string, message: string][] = [
        [{ statusCodes: [200, 42] }, 'statusCodes', 'expected HTTP statuses from 100 to 599, got 42'],
        [{ minDurationMs: -1 }, 'minDurationMs', 'expected milliseconds, 0 or more, got -1'],
        [{ minSequence: -1 }, 'minSequence', 'expected a sequence, 0 or more, got -1'],
        [{ minSequence: 3, maxSequence: 2 }, 'maxSequence', 'expected no less than minSequence, which is 3, got 2'],
        [{ outcomes: Array.from({ length: 101 }, () => 'DNS') }, 'outcomes', 'expected at most 100, got 101'],
      ];
      for (const [filter, field, message] of wrong) {
        const deliveries = 'query ($filter: DeliveryFilter) { deliveries(filter: $filter) { nodes { id } } }';
        await expect(client.query(deliveries, { filter })).rejects.toThrow(`filter.${field}: ${message}`);
        await expect(client.subscribe(UPDATES, { filter }).take(1)).rejects.toThrow(`filter.${field}: ${message}`);
        const { userErrors } = await mutate(client, 'deliveriesRetry', { input: { filter, dryRun: true } });
        expect(userErrors).toMatchObject([{ field: ['filter', field], message }]);
      }
      const events = 'query ($filter: EventFilter) { events(filter: $filter) { nodes { id } } }';
      for (const [filter, message] of [
        [{ minSequence: 3, maxSequence: 2 }, 'filter.maxSequence: expected no less than minSequence, which is 3, got 2'],
        [{ condition: { 'payload.no': { $like: 1 } } }, 'filter.condition: payload.no.$like: unknown operator $like'],
        [{ condition: [] }, 'filter.condition: expected an object'],
      ] as const)
        await expect(client.query(events, { filter })).rejects.toThrow(message);

      // By bisecting, a condition would tell a payload to a key that may not read it.
      const input = { applicationId: shop.id, scopes: ['EVENTS_READ'] };
      const { token } = await mutated<{ token: string }>(admin, 'apiKeyCreate', { input }, 'token');
      const reader = new Client(url, token);
      await expect(reader.query(events, { filter: { condition: { type: 'a.b' } } })).rejects.toThrow(
        'The key lacks the scope PAYLOADS_READ.',
      );
      await reader.query(events, { filter: { orderingKey: 'x' } });
    });
  });
});

const EVENTS = 20_500;
const SEARCHED_ROWS = 20_000;

interface EventPage {
  readonly events: {
    readonly nodes: readonly { sequence: number }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
    readonly searchedUntil: string | null;
    readonly totalCount: { readonly count: number; readonly isCapped: boolean };
  };
}

const EVENT_PAGE = `query ($first: Int, $after: String, $filter: EventFilter) { events(first: $first, after: $after, filter: $filter) {
  nodes { sequence } pageInfo { hasNextPage endCursor } searchedUntil totalCount { count isCapped } } }`;

describeEachDatabase('An EventFilter', (makeDatabase) => {
  test('finds by type, sequence, keys and a condition on the payload; a long search goes on page by page, and is bounded', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl }) => {
      const { client, id } = await application();
      await withRows(databaseUrl, async (_query, database) => {
        await insertEvents(database, id, EVENTS);
        const change = (columns: string, sequence: number) =>
          `UPDATE events SET ${columns} WHERE application_id = '${id}' AND sequence = ${sequence}`;
        await database.transaction(async (tx) => {
          await tx.execute(change(`payload = '{"order":{"no":7}}', ordering_key = 'x', created_at = created_at - 1`, 1));
          await tx.execute(
            change(`payload = '{"order":{"no":7}}', ordering_key = 'x', idempotency_key = 'k', type = 'order.paid'`, EVENTS),
          );
        });
      });
      const read = async (filter: object, page: object = {}) => (await client.query<EventPage>(EVENT_PAGE, { filter, ...page })).events;
      const found = async (filter: object) => (await read(filter)).nodes.map(({ sequence }) => sequence);
      expect(await found({ minSequence: 7, maxSequence: 9 })).toEqual([9, 8, 7]);
      expect(await found({ minSequence: EVENTS, types: ['order.paid'] })).toEqual([EVENTS]);
      expect(await found({ idempotencyKey: 'k', condition: { 'payload.order.no': 7 } })).toEqual([EVENTS]);
      expect(await found({ idempotencyKey: 'k', condition: { 'payload.order.no': 8 } })).toEqual([]);
      expect(await found({ idempotencyKey: 'k', orderingKey: 'X' })).toEqual([]);
      expect(await found({ orderingKey: 'x', maxSequence: 3 })).toEqual([1]);

      for (const filter of [{ condition: { 'payload.order.no': 7 } }, { orderingKey: 'x' }]) {
        const first = await read(filter, { first: 2 });
        expect(first).toMatchObject({
          nodes: [{ sequence: EVENTS }],
          pageInfo: { hasNextPage: true },
          searchedUntil: expect.any(String),
          totalCount: { count: 1, isCapped: true },
        });
        const second = await read(filter, { first: 2, after: first.pageInfo.endCursor });
        expect(second).toMatchObject({ nodes: [{ sequence: 1 }], pageInfo: { hasNextPage: false }, searchedUntil: null });
      }

      expect((await read({})).totalCount).toEqual({ count: 10_000, isCapped: true });
      expect((await read({ types: ['order.created'] })).totalCount).toEqual({ count: 10_000, isCapped: true });
      expect((await read({ minSequence: 2, maxSequence: 10_001 })).totalCount).toEqual({ count: 10_000, isCapped: false });

      const search = 'events(filter: { types: ["no.such"] }) { nodes { id } pageInfo { hasNextPage } }';
      const times = (count: number) => `{ ${Array.from({ length: count }, (_, no) => `a${no}: ${search}`).join(' ')} }`;
      for (const transport of TRANSPORTS) {
        expect((await askOver(transport, client, times(5))).errors).toBeUndefined();
        expect((await askOver(transport, client, times(50))).errors).toMatchObject([
          {
            message: expect.stringContaining(`have looked at more than ${5 * SEARCHED_ROWS} rows`),
            extensions: { code: 'BAD_USER_INPUT' },
          },
        ]);
      }
    });
  });
});

describeEachDatabase('totalCount', (makeDatabase) => {
  test('tells how long each list is, by the same filter', async () => {
    await withHub(makeDatabase, async ({ application, admin, receiver }) => {
      const shop = await application();
      receiver.answer('/refuses', { status: 503 });
      const [{ id: webhookId }] = [await shop.webhook('/refuses', { retrySchedule: [] }), await shop.webhook('/takes')];
      const { id: eventId } = await shop.publish();
      await shop.publish({ type: 'bill.sent' });
      const [delivery] = await allFinished(shop.client, 4);
      await mutated(shop.client, 'eventTypeRegister', { input: { name: 'order.created' } });
      await mutated(shop.client, 'webhookTest', { id: webhookId, input: { eventType: 'a.b', payload: 1 } });
      await mutated(shop.client, 'deliveriesRetry', { input: { filter: { statuses: ['SUCCEEDED'] } } });
      await allFinished(shop.client, 4);
      const own = `applicationId: "${shop.id}"`;
      const lists = [
        'applications',
        `apiKeys(${own})`,
        'apiKeys',
        `eventTypes(${own})`,
        `eventTypes(${own}, seen: true)`,
        `webhooks(${own})`,
        `webhooks(${own}, filter: { statuses: [PAUSED] })`,
        `events(${own})`,
        `events(${own}, filter: { types: ["bill.*"] })`,
        `deliveries(${own})`,
        `deliveries(${own}, filter: { statuses: [FAILED] })`,
        `deliveries(${own}, filter: { eventTypes: ["bill.*"], outcomes: [SUCCESS] })`,
        `retryJobs(${own})`,
        `auditEvents(${own})`,
        `auditEvents(${own}, filter: { actions: ["webhook.created"] })`,
      ];
      const below = [
        ['webhook', webhookId, 'deliveries'],
        ['webhook', webhookId, 'deliveries(filter: { eventTypes: ["bill.*"] })'],
        ['webhook', webhookId, 'tests'],
        ['event', eventId, 'deliveries'],
        ['delivery', delivery?.id, 'attempts'],
      ] as const;
      interface List {
        readonly edges: readonly object[];
        readonly totalCount: object;
      }
      const page = '{ edges { cursor } totalCount { count isCapped } }';
      const answers = [
        ...(await Promise.all(lists.map(async (list) => [list, await admin.query<{ list: List }>(`{ list: ${list} ${page} }`)] as const))),
        ...(await Promise.all(
          below.map(async ([parent, id, list]) => {
            const { it } = await admin.query<{ it: { list: List } }>(`{ it: ${parent}(id: "${id}") { list: ${list} ${page} } }`);
            return [`${parent} ${list}`, it] as const;
          }),
        )),
      ];
      for (const [name, { list }] of answers)
        expect([name, list.totalCount]).toEqual([name, { count: list.edges.length, isCapped: false }]);
      const lengths = answers.map(([, { list }]) => list.edges.length);
      expect(lengths.filter((length) => length === 0)).toHaveLength(1); // no webhook is paused

      const { __schema } = await admin.query<{ __schema: { types: { name: string; fields: { name: string }[] }[] } }>(
        '{ __schema { types { name fields { name } } } }',
      );
      const connections = __schema.types.filter(({ name }) => name.endsWith('Connection'));
      expect(connections.filter(({ fields }) => !fields.some(({ name }) => name === 'totalCount'))).toEqual([]);
    });
  });
});

interface WebhookPage {
  readonly webhooks: {
    readonly nodes: readonly { readonly id: string }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
    readonly searchedUntil: string | null;
    readonly totalCount: { readonly count: number; readonly isCapped: boolean };
  };
}

const WEBHOOK_PAGE = `query ($first: Int, $after: String, $filter: WebhookFilter, $orderBy: WebhookOrder) {
  webhooks(first: $first, after: $after, filter: $filter, orderBy: $orderBy) {
    nodes { id } pageInfo { hasNextPage endCursor } searchedUntil totalCount { count isCapped } } }`;

const WEBHOOKS = 1_100;

describeEachDatabase('A WebhookFilter', (makeDatabase) => {
  test('finds by text and by health, forward and backward; asking many for their health goes on page by page', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl }) => {
      const { client, ...shop } = await application();
      const { id: first } = await shop.webhook('/Orders', { description: 'Everything of the shop in Ulm' });
      const ids = [first, ...Array.from({ length: WEBHOOKS - 1 }, () => newWebhookId(shop.id))];
      const idOf = (no: number) => ids[no] ?? '';
      await withRows(databaseUrl, async (_query, database) => {
        await database.transaction((tx) => tx.execute('UPDATE webhooks SET created_at = 1000 WHERE id = ?', [first]));
        const change = (no: number) => ({
          id: ids[no + 1],
          url: `https://example.com/${no + 1}`,
          description: no % 2 === 0 ? null : '100 % of_it',
          created_at: 1_001 + no,
          status: no === 700 || no === 5 ? 'DISABLED' : 'ACTIVE',
          deleted_at: no === 500 ? 2_000 : null,
        });
        await insertCopies(database, { table: 'webhooks', id: first, count: WEBHOOKS - 1, change });
      });
      const read = async (filter: object, more: object = {}) =>
        (await client.query<WebhookPage>(WEBHOOK_PAGE, { filter, ...more })).webhooks;
      const found = async (filter: object, more: object = {}) => (await read(filter, more)).nodes.map(({ id }) => id);
      for (const text of ['/orders', 'ULM', 'Everything of the shop in Ulm'])
        expect([text, await found({ text })]).toEqual([text, [first]]);
      expect(await found({ text: 'example.com/1099' })).toEqual([idOf(1_099)]);
      expect(await found({ text: '501' })).toEqual([]); // deleted
      expect(await found({ text: 'no such' })).toEqual([]);
      expect((await read({ text: '% of_it' })).totalCount).toEqual({ count: (WEBHOOKS - 2) / 2, isCapped: false });
      expect((await read({})).totalCount).toEqual({ count: WEBHOOKS - 1, isCapped: false });
      expect((await read({ statuses: ['DISABLED'], text: 'example' })).totalCount).toEqual({ count: 2, isCapped: false });
      await expect(read({ text: 'x'.repeat(256) })).rejects.toThrow('filter.text: expected at most 255 characters, got 256');

      // The other way around, over a page's end and one that is deleted.
      const backward: string[] = [];
      for (let after: string | null = null, more = true; more; ) {
        const page: WebhookPage['webhooks'] = await read({}, { first: 100, orderBy: 'CREATED_AT_DESC', after });
        backward.push(...page.nodes.map(({ id }) => id));
        ({ endCursor: after, hasNextPage: more } = page.pageInfo);
      }
      expect(backward).toEqual([...ids].filter((_, no) => no !== 501).reverse());

      const page = await read({ health: ['DISABLED', 'FAILING'] }, { first: 1 });
      expect(page).toMatchObject({ nodes: [{ id: idOf(6) }], pageInfo: { hasNextPage: true }, totalCount: { isCapped: true } });
      const second = await read({ health: ['DISABLED'] }, { first: 10, after: page.pageInfo.endCursor });
      expect(second).toMatchObject({ nodes: [{ id: idOf(701) }], pageInfo: { hasNextPage: true }, searchedUntil: expect.any(String) });
      const last = await read({ health: ['DISABLED'] }, { first: 10, after: second.pageInfo.endCursor });
      expect(last).toMatchObject({ nodes: [], pageInfo: { hasNextPage: false }, searchedUntil: null });
      expect(await found({ health: ['DISABLED'] }, { first: 1, orderBy: 'CREATED_AT_DESC' })).toEqual([idOf(701)]);

      const { application: own } = await client.query<{ application: WebhookPage }>(
        '{ application { webhooks(orderBy: CREATED_AT_DESC, filter: { statuses: [DISABLED] }) { nodes { id } totalCount { count } } } }',
      );
      expect(own.webhooks).toEqual({ nodes: [{ id: idOf(701) }, { id: idOf(6) }], totalCount: { count: 2 } });
    });
  });
});

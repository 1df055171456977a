import { describeEachDatabase } from '../support/databases';
import { withRows } from '../support/rows';
import { type TestApplication, withHub } from '../support/with-hub';

interface Problem {
  readonly field: string;
  readonly message: string;
  readonly line: number | null;
  readonly column: number | null;
}

interface Previewed {
  readonly event: { readonly sequence: number };
  readonly isTaken: boolean;
  readonly reason: string | null;
  readonly unmet: readonly {
    readonly path: string;
    readonly operator: string;
    readonly expected: unknown;
    readonly found: string | null;
  }[];
  readonly body?: string | null;
  readonly bodyProblems?: readonly Problem[];
}

interface Preview {
  readonly events: readonly Previewed[];
  readonly taken: number;
  readonly isCut: boolean;
  readonly problems: readonly Problem[];
}

const ROW = 'event { sequence } isTaken reason unmet { path operator expected found }';
const REST = 'taken isCut problems { field message line column }';

async function filterPreview({ client }: TestApplication, filter: unknown, more: Record<string, unknown> = {}): Promise<Preview> {
  const { filterPreview: found } = await client.query<{ filterPreview: Preview }>(
    `query ($filter: JSON!, $eventTypes: [String!], $last: Int) {
      filterPreview(filter: $filter, eventTypes: $eventTypes, last: $last) { events { ${ROW} } ${REST} } }`,
    { filter, ...more },
  );
  return found;
}

async function webhookPreview({ client }: TestApplication, input: object, last = 10): Promise<Preview> {
  const { webhookPreview: found } = await client.query<{ webhookPreview: Preview }>(
    `query ($input: WebhookPreviewInput!, $last: Int) {
      webhookPreview(input: $input, last: $last) { events { ${ROW} body bodyProblems { field message line column } } ${REST} } }`,
    { input, last },
  );
  return found;
}

describeEachDatabase('Before a webhook is saved', (makeDatabase) => {
  test('a dry run tells which of the newest events it would get, why not the others, and what they would look like', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      for (const [type, payload] of [
        ['order.created', { total: 50, customer: { country: 'CH' }, lines: [{ sku: 'a' }, { sku: 'b' }] }],
        ['order.created', { total: 150, customer: { country: 'DE' } }],
        ['order.paid', { total: 500, customer: { country: 'CH' } }],
        ['invoice.sent', { total: 1_000 }],
      ] as const)
        await shop.publish({ type, payload });
      const filter = { 'payload.total': { $gte: 100, $lt: 900 }, $or: [{ 'payload.customer.country': 'CH' }, { type: 'order.x' }] };
      expect(await filterPreview(shop, filter, { eventTypes: ['order.*'] })).toEqual({
        events: [
          { event: { sequence: 4 }, isTaken: false, reason: 'eventTypes do not take invoice.sent', unmet: [] },
          { event: { sequence: 3 }, isTaken: true, reason: null, unmet: [] },
          {
            event: { sequence: 2 },
            isTaken: false,
            reason: 'it does not meet the filter',
            unmet: [
              { path: 'payload.customer.country', operator: '$eq', expected: 'CH', found: '"DE"' },
              { path: 'type', operator: '$eq', expected: 'order.x', found: '"order.created"' },
            ],
          },
          {
            event: { sequence: 1 },
            isTaken: false,
            reason: 'it does not meet the filter',
            unmet: [{ path: 'payload.total', operator: '$gte', expected: 100, found: '50' }],
          },
        ],
        taken: 1,
        isCut: false,
        problems: [],
      });
      // Through lists, and where there is nothing.
      const found = await filterPreview(shop, { 'payload.lines.sku': 'c', 'payload.none': { $exists: true } });
      expect(found.events.at(-1)?.unmet).toEqual([
        { path: 'payload.lines.sku', operator: '$eq', expected: 'c', found: '"a", "b"' },
        { path: 'payload.none', operator: '$exists', expected: true, found: null },
      ]);
      expect((await filterPreview(shop, {}, { last: 2 })).events.map(({ event }) => event.sequence)).toEqual([4, 3]);

      // What it says of each event is what a webhook that is saved gets.
      const payloadQuery = 'subscription { event(types: ["order.*"]) { id total: get(path: "total") } }';
      const dry = await webhookPreview(shop, { filter: { 'payload.total': { $gt: 100 } }, payloadQuery });
      expect(dry.events.map(({ isTaken }) => isTaken)).toEqual([false, true, true, false]);
      expect(dry.events[0]?.reason).toBe('the types of the payload query do not take invoice.sent');
      expect(JSON.parse(dry.events[1]?.body ?? '')).toMatchObject({ type: 'order.paid', sequence: 3, data: { event: { total: 500 } } });
      await shop.webhook('/hook', { filter: { 'payload.total': { $gt: 100 } }, payloadQuery });
      await shop.publish({ type: 'order.paid', payload: { total: 500, customer: { country: 'CH' } } });
      const [request] = await receiver.waitFor(1, '/hook');
      const [newest] = (await webhookPreview(shop, { filter: { 'payload.total': { $gt: 100 } }, payloadQuery }, 1)).events;
      expect(newest?.body).toBe(request?.body.toString());

      const structured = await webhookPreview(shop, { format: 'CLOUDEVENTS_STRUCTURED' }, 1);
      expect(JSON.parse(structured.events[0]?.body ?? '')).toMatchObject({ specversion: '1.0' });

      // What is wrong is told with its place, and nothing is looked at.
      const wrong = await webhookPreview(shop, {
        filter: { 'payload.a': { $regex: 'x' } },
        payloadQuery: 'subscription {\n  event { nothing }\n}',
      });
      expect(wrong).toMatchObject({
        events: [],
        problems: [
          { field: 'filter', message: expect.stringContaining('unknown operator $regex') },
          { field: 'payloadQuery', message: expect.stringContaining('nothing'), line: 2, column: 11 },
        ],
      });
      for (const [more, message] of [
        [{ last: 101 }, 'last: expected a whole number from 1 to 100'],
        [{ eventTypes: ['**'] }, 'eventTypes: '],
      ] as const) {
        const { errors } = await shop.client.request(
          'query ($last: Int, $eventTypes: [String!]) { filterPreview(filter: "{}", last: $last, eventTypes: $eventTypes) { taken } }',
          more,
        );
        expect(errors?.[0]?.message).toContain(message);
      }

      // Large payloads and costly filters end it early, and it says so.
      const large = JSON.stringify({ text: 'x'.repeat(1024 * 1024 - 100) });
      for (let no = 0; no < 20; no++) await shop.publish();
      await withRows(databaseUrl, (_query, database) =>
        database.transaction((tx) => tx.execute('UPDATE events SET payload = ? WHERE sequence >= 1', [large])),
      );
      const cut = await filterPreview(shop, { 'payload.text': 'y' });
      expect(cut.isCut).toBe(true);
      expect(cut.events).toHaveLength(10);
    });
  });

  test('a payload query runs on a sample, and what is wrong with it has its line and column', async () => {
    await withHub(makeDatabase, async ({ application, client, admin }) => {
      const shop = await application();
      const document = `query ($payloadQuery: String!, $eventType: String, $payload: JSON, $eventId: ID) {
        payloadPreview(payloadQuery: $payloadQuery, eventType: $eventType, payload: $payload, eventId: $eventId) {
          body errors problems { field message line column } } }`;
      const preview = async (variables: Record<string, unknown>) =>
        (await shop.client.query<{ payloadPreview: { body: string | null; errors: string[]; problems: Problem[] } }>(document, variables))
          .payloadPreview;
      const payloadQuery = 'subscription { event { type no: get(path: "order.no") } }';
      const { body, errors } = await preview({ payloadQuery, eventType: 'order.paid', payload: { order: { no: 7 } } });
      expect(errors).toEqual([]);
      expect(JSON.parse(body ?? '')).toMatchObject({ type: 'order.paid', sequence: 0, data: { event: { type: 'order.paid', no: 7 } } });
      expect(JSON.parse((await preview({ payloadQuery, payload: null })).body ?? '')).toMatchObject({ data: { event: { no: null } } });

      const wrong = await preview({ payloadQuery: 'subscription {\n  event { nothing\n   neither }\n}', payload: 1 });
      expect(wrong.body).toBeNull();
      expect(wrong.problems).toEqual([
        { field: 'payloadQuery', message: expect.stringContaining('nothing'), line: 2, column: 11 },
        { field: 'payloadQuery', message: expect.stringContaining('neither'), line: 3, column: 4 },
      ]);
      expect(wrong.errors).toEqual([expect.stringContaining('(line 2, column 11)')]);
      expect((await preview({ payloadQuery: 'subscription { event {', payload: 1 })).problems).toMatchObject([{ line: 1, column: 23 }]);

      for (const [variables, message] of [
        [{ payloadQuery }, 'expected either eventId or payload'],
        [{ payloadQuery, payload: 1, eventId: 'evt_x' }, 'expected either eventId or payload'],
        [{ payloadQuery, payload: 1, eventType: 'no type!' }, 'eventType: expected a dotted name'],
      ] as const)
        expect((await shop.client.request(document, variables)).errors?.[0]?.message).toContain(message);

      // A sample is the caller's own: it shows nothing that is stored.
      const { apiKeyCreate } = await admin.mutate<{ apiKeyCreate: { token: string } }>(
        'mutation ($id: ID!) { apiKeyCreate(input: { applicationId: $id, scopes: [EVENTS_READ] }) { token } }',
        { id: shop.id },
      );
      const without = client(apiKeyCreate.token);
      expect((await without.request(document, { payloadQuery, payload: 1 })).errors).toBeUndefined();
      for (const field of ['filterPreview(filter: "{}")', 'webhookPreview(input: {})'])
        expect((await without.request(`{ ${field} { taken } }`)).errors?.[0]?.extensions?.code).toBe('FORBIDDEN');
    });
  });
});

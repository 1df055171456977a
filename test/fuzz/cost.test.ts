import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import type { Tenant } from '../support/abused-hub';
import { mutated } from '../support/mutate';
import { until } from '../support/until';
import { expectGraphqlAnswer } from './answers';
import { documentRecipes, documentText } from './costly-documents';
import { filterRecipes, filterText } from './costly-filters';
import { checks, KNOWN_CHECKS, schemaText } from './costly-schemas';
import { jsonRecipes, jsonText, keysOf, sizes } from './costly-values';
import { FuzzedHub } from './fuzzed-hub';

/*
 * What these send is not odd but large: each run is one caller who tries to make the hub work for long. That it is
 * refused is as good as that it is done; `FuzzedHub.holds` checks that nobody else had to wait.
 */

const MEBIBYTE = 1024 * 1024;
const MAX_DOCUMENT_CHARS = MEBIBYTE;
/** With what is around them, almost as much as a request may have. */
const MAX_VARIABLE_CHARS = 15 * MEBIBYTE;

let hub: FuzzedHub;
let sink: Server;
/** Has events, deliveries and attempts that are as large as they can be. */
let shop: Tenant;
let shopIds: readonly string[];

beforeAll(async () => {
  hub = await FuzzedHub.start();
  // It remembers nothing: bodies here are large and many.
  sink = createServer((request, response) => {
    request.resume().once('end', () => response.end('x'.repeat(request.url === '/large' ? 70_000 : 1)));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => sink.once('listening', resolve));
  shop = await hub.abused.tenant('shop');
  shopIds = await furnish(shop);
});
afterEach(() => hub.expectHealthy());
afterAll(async () => {
  await hub.stop();
  sink.closeAllConnections();
  sink.close();
});

const url = (path: string) => `http://127.0.0.1:${(sink.address() as AddressInfo).port}${path}`;

async function furnish(tenant: Tenant): Promise<string[]> {
  const headers = Array.from({ length: 20 }, (_, no) => ({ name: `x-${no}`, value: 'y'.repeat(150) }));
  for (let no = 0; no < 3; no++) await mutated(tenant.client, 'webhookCreate', { input: { url: url('/large'), headers } });
  const payloads = [
    { lines: Array.from({ length: 40_000 }, (_, no) => ({ sku: no })) },
    { text: 'x'.repeat(900_000) },
    ...Array.from({ length: 60 }, () => ({ lines: [{ sku: 'y'.repeat(20_000) }] })),
  ];
  const ids: string[] = [];
  for (const payload of payloads) {
    const { event } = await mutated<{ event: { id: string } }>(
      tenant.client,
      'eventPublish',
      { input: { type: 'a.b', payload } },
      'event { id }',
    );
    ids.push(event.id);
  }
  await deliveriesOver(tenant);
  return ids;
}

async function deliveriesOver({ client }: Tenant): Promise<void> {
  const unfinished = '{ deliveries(first: 1, filter: { statuses: [PENDING, RETRYING] }) { nodes { id } } }';
  await until(async () => (await client.query<{ deliveries: { nodes: unknown[] } }>(unfinished)).deliveries.nodes.length === 0, {
    description: 'deliveries to be over',
    timeoutMs: 60_000,
  });
}

interface Answer {
  readonly data?: Record<string, { readonly userErrors?: readonly object[] }> | null;
  readonly errors?: readonly object[];
}

/** `variables` as text, since JSON that no client would write is a part of this. */
async function ask(key: string | undefined, query: string, variables = '{}', accept = 'application/json'): Promise<Answer> {
  const response = await fetch(`${hub.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, ...(key !== undefined && { authorization: `Bearer ${key}` }) },
    body: `{"query":${JSON.stringify(query)},"operationName":"O","variables":${variables}}`,
  });
  const text = await response.text();
  if (response.status >= 500) throw new Error(`status ${response.status}: ${text.slice(0, 1_000)}`);
  if (accept === 'text/event-stream' && response.status === 200) return {};
  const answer = JSON.parse(text) as Answer;
  expectGraphqlAnswer({ errors: answer.errors, data: answer.data ?? (answer.errors === undefined ? null : undefined) }, query + variables);
  return answer;
}

/** Whether the mutation was done. */
async function done(key: string, name: string, input: string): Promise<boolean> {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input!`;
  const query = `mutation O($input: ${type}) { ${name}(input: $input) { userErrors { field message code } } }`;
  const { data } = await ask(key, query, `{"input":${input}}`);
  return data?.[name]?.userErrors?.length === 0;
}

const publish = (key: string, payload: string) => done(key, 'eventPublish', `{"type":"a.b","payload":${payload}}`);

describe('The event loop, the memory and the neighbours are left alone', () => {
  test('by documents that are costly to read, to check or to answer', async () => {
    let answered = 0;
    await hub.holds(
      fc.asyncProperty(
        documentRecipes,
        fc.boolean(),
        fc.constantFrom('application/json', 'text/event-stream'),
        fc.integer({ min: 1, max: 4 }),
        async (recipe, hasKey, accept, times) => {
          const query = documentText(recipe).slice(0, MAX_DOCUMENT_CHARS);
          const asked = Array.from({ length: times }, () =>
            ask(hasKey ? shop.key : undefined, query, `{"on":${recipe.isIncluded}}`, accept),
          );
          for (const { data } of await Promise.all(asked)) if (data) answered++;
        },
      ),
      60,
    );
    expect(answered).toBeGreaterThan(0);
  });

  /** Where a variable can go. */
  const PLACES = {
    nowhere: ['{ viewer { admin } }', (json: string) => `{"x":${json}}`],
    root: ['{ viewer { admin } }', (json: string) => json],
    undeclared: ['query O($x: Int) { webhooks(first: $x) { nodes { id } } }', (json: string) => `{"y":${json}}`],
    number: ['query O($x: Int) { webhooks(first: $x) { nodes { id } } }', (json: string) => `{"x":${json}}`],
    id: ['query O($x: ID!) { node(id: $x) { id } }', (json: string) => `{"x":${json}}`],
    ids: ['query O($x: [ID!]) { deliveries(filter: { eventIds: $x }) { nodes { id } } }', (json: string) => `{"x":${json}}`],
    filter: ['query O($x: DeliveryFilter) { deliveries(filter: $x) { nodes { id } } }', (json: string) => `{"x":${json}}`],
    path: ['query O($x: String!) { events(first: 100) { nodes { get(path: $x) } } }', (json: string) => `{"x":${json}}`],
    cursor: ['query O($x: String) { events(after: $x) { nodes { id } } }', (json: string) => `{"x":${json}}`],
    payload: [
      'mutation O($x: EventPublishInput!) { eventPublish(input: $x) { event { id payload } userErrors { field message code } } }',
      (json: string) => `{"x":{"type":"v.w","payload":${json}}}`,
    ],
    payloads: [
      'mutation O($x: EventsPublishInput!) { eventsPublish(input: $x) { userErrors { field message code } } }',
      (json: string) => `{"x":{"events":${json}}}`,
    ],
    inner: [
      'mutation O($x: JSON!) { eventPublish(input: { type: "v.w", payload: { a: [$x, $x] } }) { userErrors { field message code } } }',
      (json: string) => `{"x":${json}}`,
    ],
    schema: [
      'mutation O($x: JSON) { eventTypeRegister(input: { name: "v.x", schema: $x }) { userErrors { field message code } } }',
      (json: string) => `{"x":${json}}`,
    ],
    condition: [
      'mutation O($x: JSON) { webhookCreate(input: { url: "http://127.0.0.1:1/", eventTypes: ["none.such"], filter: $x }) { userErrors { field message code } } }',
      (json: string) => `{"x":${json}}`,
    ],
    headers: [
      'mutation O($x: [HeaderInput!]) { webhookCreate(input: { url: "http://127.0.0.1:1/", eventTypes: ["none.such"], headers: $x }) { userErrors { field message code } } }',
      (json: string) => `{"x":${json}}`,
    ],
    query: [
      'query O($x: String!, $id: ID!) { payloadPreview(eventId: $id, payloadQuery: $x) { body errors } }',
      (json: string) => `{"id":"${shopIds[2]}","x":${json}}`,
    ],
  } as const satisfies Record<string, readonly [string, (json: string) => string]>;

  test('by variables that are deep, wide, long or repeat themselves', async () => {
    await hub.holds(
      fc.asyncProperty(jsonRecipes, fc.constantFrom(...keysOf(PLACES)), fc.boolean(), async (recipe, place, hasKey) => {
        const [query, variables] = PLACES[place];
        await ask(hasKey ? shop.key : undefined, query, variables(jsonText(recipe, MAX_VARIABLE_CHARS)));
      }),
      100,
      // GraphQL quoted the whole of it for each of the first fifty of its names.
      [[{ is: 'keys', times: 80_000, name: 'p', of: { is: 'text', text: '[]' } }, 'payloads', true]],
    );
  });

  test('by JSON Schemas, whatever payloads are checked against them', async () => {
    let registered = 0;
    await hub.holds(
      fc.asyncProperty(fc.array(checks, { minLength: 1, maxLength: 3 }), async (given) => {
        const checked = given.map(async ({ schema, payload }) => {
          const attacker = await hub.abused.tenant('attacker');
          if (!(await done(attacker.key, 'eventTypeRegister', `{"name":"a.b","schema":${schemaText(schema)}}`))) return;
          registered++;
          await publish(attacker.key, jsonText(payload, MEBIBYTE - 10));
        });
        await Promise.all(checked);
      }),
      6,
      [[KNOWN_CHECKS]],
    );
    expect(registered).toBeGreaterThan(0);
  });

  const OBJECTS = { is: 'distinct', times: 100, as: 'object' } as const;

  test('by filters of webhooks and of live subscriptions, whatever payloads they are tested on', async () => {
    let stored = 0;
    const live = 'subscription ($filter: JSON) { event(filter: $filter) { id } }';
    await hub.holds(
      fc.asyncProperty(
        fc.array(filterRecipes, { minLength: 1, maxLength: 3 }),
        fc.array(jsonRecipes, { minLength: 1, maxLength: 3 }),
        sizes(30),
        sizes(20),
        async (filters, payloads, webhooks, subscriptions) => {
          const attacker = await hub.abused.tenant('attacker');
          const texts = filters.map(filterText);
          for (let no = 0; no < webhooks; no++) {
            const input = `{"url":"${url('/')}","filter":${texts[no % texts.length]},"retrySchedule":[]}`;
            if (await done(attacker.key, 'webhookCreate', input)) stored++;
          }
          const streams = Array.from({ length: subscriptions }, (_, no) =>
            attacker.client.subscribe(live, { filter: texts[no % texts.length] }),
          );
          for (const payload of payloads) await publish(attacker.key, jsonText(payload, MEBIBYTE));
          await deliveriesOver(attacker);
          for (const stream of streams) await stream.return();
          await attacker.client.close();
        },
      ),
      25,
      // Lists were compared value by value.
      [[[{ 'payload.a': { $in: { $json: OBJECTS } } }], [{ is: 'object', parts: { a: { ...OBJECTS, times: 40_000 } } }], 30, 20]],
    );
    expect(stored).toBeGreaterThan(0);
  });

  const queries = fc.record({
    leaf: fc.constantFrom(
      'payload',
      'payloadText',
      'get(path: "a")',
      `get(path: "a${'.a'.repeat(100)}")`,
      'id',
      'deliveries { nodes { id } }',
    ),
    times: sizes(60),
    spreads: sizes(20),
    filter: fc.option(filterRecipes),
    directives: sizes(1_000),
  });

  test('by payload queries, whatever payloads they select from', async () => {
    await hub.holds(
      fc.asyncProperty(
        queries,
        fc.array(jsonRecipes, { minLength: 1, maxLength: 3 }),
        sizes(40),
        fc.constantFrom('NONE', 'STRICT', 'BY_KEY'),
        async ({ leaf, times, spreads, filter, directives }, payloads, webhooks, ordering) => {
          const attacker = await hub.abused.tenant('attacker');
          const leaves = Array.from({ length: times }, (_, no) => `a${no}: ${leaf}`).join(' ');
          const condition = filter === null ? '' : `(filter: ${JSON.stringify(filterText(filter))})`;
          const payloadQuery = (name: string) =>
            `subscription ${name} { event${condition} { id ${'...F '.repeat(spreads)} } } fragment F on Event { type ${leaves} ${'@skip(if: false) '.repeat(leaves === '' ? 0 : directives)} }`;
          for (let no = 0; no < webhooks; no++) {
            const input = { url: url('/'), payloadQuery: payloadQuery(`D${no}`), ordering, retrySchedule: [], timeoutSeconds: 5 };
            await done(attacker.key, 'webhookCreate', JSON.stringify(input));
          }
          for (const payload of payloads) await publish(attacker.key, jsonText(payload, MEBIBYTE));
          await deliveriesOver(attacker);
          const preview = 'query O($id: ID!, $query: String!) { payloadPreview(eventId: $id, payloadQuery: $query) { body errors } }';
          await ask(shop.key, preview, JSON.stringify({ id: shopIds[0], query: payloadQuery('P') }));
        },
      ),
      20,
    );
  });
});

import { getIntrospectionQuery } from 'graphql';
import { LIMITS } from '../../src/api/limits';
import { dashboardScript } from '../../src/dashboard/script';
import { createSqliteDatabase } from '../support/databases';
import type { ResponseError } from '../support/graphql-client';
import { askOver, codesOf, TRANSPORTS } from '../support/transports';
import { withHub } from '../support/with-hub';

const repeat = (times: number, text: (index: number) => string) => Array.from({ length: times }, (_, index) => text(index)).join(' ');
const PAGES = (events: string, deliveries: string, attempts: string) =>
  `events(first: ${events}) { nodes { id deliveries(first: ${deliveries}) { nodes { id attempts(first: ${attempts}) { nodes { number } } } } } }`;

const REFUSED: readonly [what: string, query: string, variables: Record<string, unknown>, code: string][] = [
  ['a syntax error', '{ viewer { ', {}, 'GRAPHQL_PARSE_FAILED'],
  ['an unknown field', '{ viewer { shoeSize } }', {}, 'GRAPHQL_VALIDATION_FAILED'],
  ['several operations, none of them named', 'query A { __typename } query B { __typename }', {}, 'OPERATION_RESOLUTION_FAILURE'],
  [
    'a variable of the wrong type',
    'query ($first: Int) { applications(first: $first) { nodes { id } } }',
    { first: 'x' },
    'BAD_USER_INPUT',
  ],
  ['a missing variable', 'query ($id: ID!) { event(id: $id) { id } }', {}, 'BAD_USER_INPUT'],
  ['a time that is none', '{ events(filter: { createdAfter: "noon" }) { nodes { id } } }', {}, 'GRAPHQL_VALIDATION_FAILED'],
  [
    'a time that is none, in a variable',
    'query ($at: DateTime) { events(filter: { createdAfter: $at }) { nodes { id } } }',
    { at: 'noon' },
    'BAD_USER_INPUT',
  ],
  ['too many tokens', `{ viewer { ${repeat(LIMITS.tokens, () => 'admin')} } }`, {}, 'GRAPHQL_PARSE_FAILED'],
  ['too many fields', `{ viewer { ${repeat(LIMITS.fields, () => 'admin')} } }`, {}, 'GRAPHQL_VALIDATION_FAILED'],
  ['too many aliases', `{ ${repeat(LIMITS.aliases + 1, (index) => `a${index}: viewer { admin }`)} }`, {}, 'GRAPHQL_VALIDATION_FAILED'],
  [
    'too many aliases, in a fragment',
    `query { viewer { ...F } } fragment F on Viewer { ${repeat(LIMITS.aliases + 1, (index) => `a${index}: admin`)} }`,
    {},
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'a path too deep',
    `{ deliveries { nodes { event ${'{ deliveries { nodes { event '.repeat(4)} { id } ${'} } }'.repeat(4)} } } }`,
    {},
    'GRAPHQL_VALIDATION_FAILED',
  ],
  ['a selection nested by the thousand', `${'{ a '.repeat(4_900)}${'}'.repeat(90)}`, {}, 'GRAPHQL_PARSE_FAILED'],
  ['a literal nested by the thousand', `{ event(id: ${'['.repeat(4_900)}${']'.repeat(4_900)}) { id } }`, {}, 'GRAPHQL_PARSE_FAILED'],
  [
    'fragments that include each other',
    'query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }',
    {},
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'introspection that goes round and round',
    `{ __schema { types ${'{ fields { type '.repeat(5)} { name } ${'} }'.repeat(5)} } }`,
    {},
    'GRAPHQL_VALIDATION_FAILED',
  ],
  ['pages of pages of pages', `{ ${PAGES('100', '100', '100')} }`, {}, 'GRAPHQL_VALIDATION_FAILED'],
  [
    'pages of pages that leave `first` out',
    '{ events(first: 100) { nodes { deliveries { nodes { attempts { nodes { number } } } } } } }',
    {},
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'pages of pages of pages by variables',
    `query ($first: Int!) { ${PAGES('$first', '$first', '$first')} }`,
    { first: 100 },
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'pages of pages of pages in a fragment',
    `query { ...Pages } fragment Pages on Query { ${PAGES('100', '100', '100')} }`,
    {},
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'the deliveries of a thousand published events',
    'mutation ($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { event { deliveries(first: 100) { nodes { requestBody } } } } } }',
    { events: Array.from({ length: 1_000 }, () => ({ type: 'a', payload: 1 })) },
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'the attempts of a thousand updates',
    'subscription { deliveryUpdates(maxBatch: 1000) { updates { delivery { attempts(first: 100) { nodes { curl } } } } } }',
    {},
    'GRAPHQL_VALIDATION_FAILED',
  ],
  ['a page too large', '{ applications(first: 101) { nodes { id } } }', {}, 'BAD_USER_INPUT'],
  ['a page of less than one', '{ applications(first: -5) { nodes { id } } }', {}, 'BAD_USER_INPUT'],
];

/** The documents that the dashboard sends, by name. */
function dashboardDocuments(): Map<string, string> {
  const documents = new Map<string, string>();
  for (const [, name = '', code = ''] of dashboardScript.matchAll(
    /const (VIEWER|APPLICATIONS|WEBHOOKS|DELIVERIES|DELIVERY|UPDATES) =([^;]*);/g,
  ))
    documents.set(name, [...code.matchAll(/'([^']*)'/g)].map(([, text]) => text).join(''));
  return documents;
}

describe('the limits on an operation', () => {
  test.each(REFUSED)('refuse %s on every transport with the same answer', async (_what, query, variables, code) => {
    await withHub(createSqliteDatabase, async ({ admin, application }) => {
      const { client } = await application();
      for (const caller of [client, admin].slice(0, code === 'BAD_USER_INPUT' ? 2 : 1)) {
        if (caller === client && /applications/.test(query)) continue; // an admin's query
        // Plain HTTP says that a subscription needs a stream, whatever it asks for.
        const transports = TRANSPORTS.filter((transport) => transport !== 'HTTP' || !query.startsWith('subscription'));
        const answers = await Promise.all(transports.map((transport) => askOver(transport, caller, query, variables)));
        const [first] = answers;
        expect(new Set(answers.map((answer) => codesOf(answer)[0]))).toEqual(new Set([code]));
        for (const answer of answers) expect(answer.errors).toEqual(first?.errors);
        expect(first?.errors?.every(({ message }) => message.length <= 1_000)).toBe(true);
      }
    });
  });

  test.each(TRANSPORTS)('leave a mutation over %s the answer what it did, and begin no further one', async (transport) => {
    await withHub(createSqliteDatabase, async ({ application }) => {
      const { client } = await application();
      const variables = { input: { type: 'big.one', payload: 'x'.repeat(1_000_000) } };
      const large = `eventPublish(input: $input) { deduplicated event { ${repeat(20, (no) => `a${no}: payload`)} } userErrors { code } }`;
      const placesOf = ({ errors = [] }: { errors?: readonly ResponseError[] }) =>
        errors.map(({ path, extensions }) => [path?.slice(0, 2).join('.'), extensions?.code]);

      const one = await askOver(transport, client, `mutation ($input: EventPublishInput!) { ${large} }`, variables);
      expect(placesOf(one)).toEqual([['eventPublish.event', 'BAD_USER_INPUT']]);
      expect(one.data).toEqual({ eventPublish: { deduplicated: false, event: null, userErrors: [] } });

      const second = 'second: eventPublish(input: $input) { event { id } userErrors { code } }';
      const two = await askOver(transport, client, `mutation ($input: EventPublishInput!) { ${large} ${second} }`, variables);
      expect(placesOf(two)).toEqual([
        ['eventPublish.event', 'BAD_USER_INPUT'],
        ['second', 'BAD_USER_INPUT'],
      ]);
      const { events } = await client.query<{ events: { nodes: unknown[] } }>('{ events { nodes { id } } }');
      expect(events.nodes).toHaveLength(2);
    });
  });

  test.each(TRANSPORTS)('judge the same document again by each variable that its cost depends on, over %s', async (transport) => {
    await withHub(createSqliteDatabase, async ({ application }) => {
      const { client } = await application();
      const heavy = PAGES('100', '100', '100');
      const cases: readonly [query: string, light: Record<string, unknown>, dear: Record<string, unknown>][] = [
        [`query ($x: Boolean!) { viewer { admin } ... @include(if: $x) { ${heavy} } }`, { x: false }, { x: true }],
        [`query ($x: Boolean!) { viewer { admin } ... @skip(if: $x) { ${heavy} } }`, { x: true }, { x: false }],
        [`query ($x: Boolean = true) { viewer { admin } ... @include(if: $x) { ${heavy} } }`, { x: false }, {}],
        [`query ($n: Int = 100) { ${PAGES('$n', '$n', '$n')} }`, { n: 1 }, {}],
        [`query ($n: Int, $m: Int) { ${PAGES('$n', '$n', '$m')} }`, { 'n=100 m': 1, n: 1, m: 1 }, { n: 100, m: 100 }],
      ];
      for (const [query, light, dear] of cases) {
        expect(codesOf(await askOver(transport, client, query, light))).toEqual([]);
        expect(codesOf(await askOver(transport, client, query, dear))).toEqual(['GRAPHQL_VALIDATION_FAILED']);
        expect(codesOf(await askOver(transport, client, query, light))).toEqual([]);
      }
    });
  });

  test.each(TRANSPORTS)('let the introspection of GraphiQL pass over %s', async (transport) => {
    await withHub(createSqliteDatabase, async ({ admin }) => {
      const options = {
        inputValueDeprecation: true,
        schemaDescription: true,
        specifiedByUrl: true,
        directiveIsRepeatable: true,
        oneOf: true,
      };
      const answer = await askOver(transport, admin, getIntrospectionQuery(options));
      expect(answer.errors).toBeUndefined();
      expect(answer.data).toHaveProperty('__schema.subscriptionType.name', 'Subscription');
    });
  });

  test('let every query of the dashboard pass, and pages of what people ask for', async () => {
    await withHub(createSqliteDatabase, async ({ application }) => {
      const { client } = await application();
      const documents = dashboardDocuments();
      expect([...documents.keys()].sort()).toEqual(['APPLICATIONS', 'DELIVERIES', 'DELIVERY', 'UPDATES', 'VIEWER', 'WEBHOOKS']);
      documents.delete('UPDATES'); // a stream, below
      documents.set(
        'attempts by default',
        '{ deliveries(first: 100) { nodes { id status attempts { nodes { number outcome statusCode } } } } }',
      );
      documents.set(
        'a hundred whole events',
        '{ events(first: 100) { nodes { id sequence type payload deliveries(first: 10) { nodes { status } } } } }',
      );
      for (const [name, document] of documents) {
        const { errors = [] } = await client.request(document, name === 'DELIVERY' ? { id: 'none' } : {});
        expect([name, errors.filter(({ extensions }) => extensions?.code !== 'FORBIDDEN')]).toEqual([name, []]);
      }
    });
  });

  test.each(['SSE', 'WebSocket'] as const)('let the largest pages of the stream of the dashboard pass over %s', async (transport) => {
    await withHub(createSqliteDatabase, async ({ application, receiver }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const query = dashboardDocuments().get('UPDATES') ?? '';
      await shop.publish();
      await receiver.waitFor(1, '/hook');
      const start = Buffer.from(`update:${shop.id}:0`).toString('base64url');
      const answer = await askOver(transport, shop.client, query, { after: start, maxBatch: 1_000, intervalMs: 0 });
      expect(answer.errors).toBeUndefined();
      expect(answer.data).toHaveProperty('deliveryUpdates.updates.0.status', 'PENDING');
    });
  });

  test.each(['SSE', 'WebSocket'] as const)(
    'judge a stream message by message over %s: one that is too large is an error in its place',
    async (transport) => {
      await withHub(createSqliteDatabase, async ({ application }) => {
        const shop = await application();
        const query = `subscription ($after: String) { event(after: $after) { sequence ${repeat(40, (no) => `a${no}: payload`)} } }`;
        const variables = { after: Buffer.from(`event:${shop.id}:0`).toString('base64url') };
        for (const chars of [1, 300_000, 2]) await shop.publish({ type: 'big.one', payload: 'x'.repeat(chars) });
        const stream = transport === 'SSE' ? shop.client.subscribeSse(query, variables) : shop.client.subscribe(query, variables);
        const messages = [];
        for (let no = 0; no < 3; no++) messages.push((await stream.next()).value);
        await stream.return();
        expect(messages).toMatchObject([
          { data: { event: { sequence: 1, a39: 'x' } } },
          {
            data: null,
            errors: [{ message: expect.stringContaining(`more than ${LIMITS.answerBytes} bytes`), extensions: { code: 'BAD_USER_INPUT' } }],
          },
          { data: { event: { sequence: 3, a39: 'xx' } } },
        ]);
      });
    },
  );

  test.each(TRANSPORTS)('take a thousand events in one mutation over %s', async (transport) => {
    await withHub(createSqliteDatabase, async ({ application }) => {
      const { client } = await application();
      const answer = await askOver(
        transport,
        client,
        'mutation ($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { event { id sequence cursor type payload createdAt } deduplicated userErrors { field message code } } userErrors { message } } }',
        { events: Array.from({ length: 1_000 }, (_, no) => ({ type: 'order.created', payload: { no } })) },
      );
      expect(answer.errors).toBeUndefined();
      expect(answer.data).toHaveProperty('eventsPublish.results.999.event.sequence', 1_000);
    });
  });

  test.each(TRANSPORTS)('are not needed against hostile values over %s: they are answered, and the hub goes on', async (transport) => {
    await withHub(createSqliteDatabase, async ({ application }) => {
      const { client } = await application();
      const publish =
        'mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { sequence } userErrors { field code } } }';
      const deep = JSON.parse(`${'['.repeat(900)}${']'.repeat(900)}`) as unknown;
      const nested = await askOver(transport, client, publish, { input: { type: 'a', payload: deep } });
      expect(nested.data).toEqual({ eventPublish: { event: null, userErrors: [{ field: ['payload'], code: 'TOO_LARGE' }] } });
      const long = await askOver(transport, client, publish, { input: { type: 'x'.repeat(1e6), payload: 1 } });
      expect(long.data).toEqual({ eventPublish: { event: null, userErrors: [{ field: ['type'], code: 'INVALID' }] } });
      const misplaced = await askOver(transport, client, 'query ($first: Int) { events(first: $first) { nodes { id } } }', { first: deep });
      expect(codesOf(misplaced)).toEqual(['BAD_USER_INPUT']);
      const quoted = await askOver(transport, client, 'query ($first: Int) { events(first: $first) { nodes { id } } }', {
        first: 'x'.repeat(1e6),
      });
      expect(codesOf(quoted)).toEqual(['BAD_USER_INPUT']);
      expect(quoted.errors?.[0]?.message.length).toBeLessThanOrEqual(1_000);
      const polluting = await askOver(transport, client, publish, { input: { type: 'a', payload: JSON.parse('{"__proto__":{"x":1}}') } });
      expect(polluting.data).toEqual({ eventPublish: { event: { sequence: 1 }, userErrors: [] } });
      expect(({} as { x?: unknown }).x).toBeUndefined();
    });
  });
});

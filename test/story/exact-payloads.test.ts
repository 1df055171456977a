import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { mutate, mutated } from '../support/mutate';
import { RawWebSocket } from '../support/raw-web-socket';
import { askOver, codesOf, TRANSPORTS, type Transport } from '../support/transports';
import { type TestHub, withHub } from '../support/with-hub';

const EXACT = '{"n":1.0,"big":12345678901234567890,"2":"b","1":"a"}';
const FIELDS = '{ event { payloadText } userErrors { field message code } }';
const RESULTS = '{ results { event { payloadText } userErrors { field message code } } }';

/** An operation, and where in its variables the payload stands. */
const WAYS: readonly (readonly [name: string, query: string, variables: (payload: string) => string])[] = [
  ['$p', `mutation($p: JSON!) { eventPublish(input: { type: "a.b", payload: $p }) ${FIELDS} }`, (payload) => `{"p":${payload}}`],
  [
    '$input',
    `mutation($input: EventPublishInput!) { eventPublish(input: $input) ${FIELDS} }`,
    (payload) => `{"input":{"type":"a.b","payload":${payload}}}`,
  ],
  [
    '$events',
    `mutation($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) ${RESULTS} }`,
    (payload) => `{"events":[{"type":"a.b","payload":${payload}},{"payload": ${payload},"type":"a.b"}]}`,
  ],
  [
    '$batch',
    `mutation($batch: EventsPublishInput!) { eventsPublish(input: $batch) ${RESULTS} }`,
    (payload) => `{"batch":{"events":[{"type":"a.b","payload":${payload}}]}}`,
  ],
  [
    'a list of one, written as one',
    `mutation($batch: EventsPublishInput!) { eventsPublish(input: $batch) ${RESULTS} }`,
    (payload) => `{"batch":{"events":{"type":"a.b","payload":${payload}}}}`,
  ],
];

/** JSON that is no object, and that JavaScript would change. */
const EXACT_SCALARS = ['12345678901234567890', '1.0', '-0', '1e5'];
const EXACT_STRING = '"\\u00e9\\/"';

interface Answer {
  readonly data?: Record<string, unknown> | null;
  readonly errors?: readonly { readonly message: string; readonly extensions?: Readonly<Record<string, unknown>> }[];
}

/** The answer to a request whose variables are given as text, which no client library would write like this. */
async function ask(transport: Transport, url: string, key: string, query: string, variables = '{}'): Promise<Answer> {
  const operation = `{"query":${JSON.stringify(query)},"variables":${variables}}`;
  if (transport === 'WebSocket') {
    const socket = await RawWebSocket.connect(url, key);
    try {
      socket.send(`{"id":"1","type":"subscribe","payload":${operation}}`);
      const { type, payload } = await socket.next(({ id }) => id === '1');
      return type === 'error' ? { errors: payload as Answer['errors'] & {} } : (payload as Answer);
    } finally {
      socket.close();
    }
  }
  const response = await fetch(new URL('/graphql', url), {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${key}`,
      accept: transport === 'SSE' ? 'text/event-stream' : 'application/json',
    },
    body: operation,
  });
  const text = await response.text();
  return JSON.parse(/^data: (\{.*)$/m.exec(text)?.[1] ?? text) as Answer;
}

const withSqliteHub = (work: (hub: TestHub) => Promise<void>) => withHub(createSqliteDatabase, work);

describe.each(TRANSPORTS)('A payload that JavaScript would change, published over %s', (transport) => {
  test.each(WAYS)('in %s, reaches receivers exactly as it was written', async (_name, query, variables) => {
    await withSqliteHub(async ({ application, receiver, url }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const { data, errors } = await ask(transport, url, shop.key, query, variables(EXACT));
      expect(errors).toBeUndefined();
      expect(JSON.stringify(data)).toContain(`"payloadText":${JSON.stringify(EXACT)}`);
      const requests = await receiver.waitFor(_name === '$events' ? 2 : 1, '/hook');
      for (const { body } of requests) expect(body.toString()).toContain(`"data":${EXACT}}`);
    });
  });

  test('in the document itself, around a variable and in one, reaches receivers exactly as it was written', async () => {
    await withSqliteHub(async ({ application, receiver, url }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const literal = `mutation($p: JSON!) { eventPublish(input: { type: "a.b", payload: { z: 1.0, big: 12345678901234567890, list: [$p, "\\u00e9\\n", null, -0] } }) ${FIELDS} }`;
      const { data, errors } = await ask(transport, url, shop.key, literal, `{"p":${EXACT}}`);
      expect(errors).toBeUndefined();
      const written = `{"z":1.0,"big":12345678901234567890,"list":[${EXACT},"é\\n",null,-0]}`;
      expect(data).toEqual({ eventPublish: { event: { payloadText: written }, userErrors: [] } });
      const [request] = await receiver.waitFor(1, '/hook');
      expect(request?.body.toString()).toContain(`"data":${written}}`);
    });
  });

  test.each(WAYS)('in %s, is exact where it is a mere number or string, too', async (_name, query, variables) => {
    await withSqliteHub(async ({ application, url }) => {
      const shop = await application();
      for (const payload of [...EXACT_SCALARS, EXACT_STRING, '7', 'true', '"plain"']) {
        const { data, errors } = await ask(transport, url, shop.key, query, variables(payload));
        expect(errors).toBeUndefined();
        const text = JSON.stringify(data);
        expect(text.split(`"payloadText":${JSON.stringify(payload)}`)).toHaveLength(_name === '$events' ? 3 : 2);
      }
    });
  });

  test('in the document, in a default value, or in two operations of one, is exact whatever it is', async () => {
    await withSqliteHub(async ({ application, url }) => {
      const shop = await application();
      const textsOf = async (query: string, variables?: string) => {
        const { data, errors } = await ask(transport, url, shop.key, query, variables);
        expect(errors).toBeUndefined();
        return Object.values(data ?? {}).map((answer) => (answer as { event: { payloadText: string } | null }).event?.payloadText);
      };
      const publish = (payload: string) => `eventPublish(input: { type: "a.b", payload: ${payload} }) ${FIELDS}`;
      for (const payload of EXACT_SCALARS) {
        expect(await textsOf(`mutation { ${publish(payload)} }`)).toEqual([payload]);
        expect(await textsOf(`mutation($p: JSON! = ${payload}) { ${publish('$p')} }`)).toEqual([payload]);
        expect(await textsOf(`mutation($p: JSON!) { ${publish('{ a: [$p] }')} }`, `{"p":${payload}}`)).toEqual([`{"a":[${payload}]}`]);
      }
      const input = '$input: EventPublishInput! = { type: "a.b", payload: { n: 1.0, list: [2.50] } }';
      expect(await textsOf(`mutation(${input}) { eventPublish(input: $input) ${FIELDS} }`)).toEqual(['{"n":1.0,"list":[2.50]}']);
      const two = `mutation($p: JSON!, $q: JSON!) { a: ${publish('$p')} b: ${publish('$q')} c: ${publish('$p')} d: ${publish('3.0')} }`;
      expect(await textsOf(two, `{"q":2.0,"p":${EXACT}}`)).toEqual([EXACT, '2.0', EXACT, '3.0']);
    });
  });

  test('may be null, in a variable, in an input and in the document, but may not be left out', async () => {
    await withSqliteHub(async ({ application, receiver, url }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const answer = '{ event { payload payloadText get(path: "a") } userErrors { field message code } }';
      const of = (input: string, declared = '') => `mutation${declared} { eventPublish(input: ${input}) ${answer} }`;
      const ways: readonly (readonly [query: string, variables?: string])[] = [
        [of('{ type: "a.b", payload: $p }', '($p: JSON!)'), '{"p":null}'],
        [of('$input', '($input: EventPublishInput!)'), '{"input":{"type":"a.b","payload":null}}'],
        [of('{ type: "a.b", payload: null }')],
        [of('{ type: "a.b", payload: $p }', '($p: JSON! = null)')],
      ];
      for (const [query, variables] of ways)
        expect(await ask(transport, url, shop.key, query, variables)).toEqual({
          data: { eventPublish: { event: { payload: null, payloadText: 'null', get: null }, userErrors: [] } },
        });
      for (const { body } of await receiver.waitFor(ways.length, '/hook')) expect(body.toString()).toMatch(/"data":null\}$/);
      const batch =
        'mutation($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { event { payloadText } } } }';
      const texts = ['null', '{"a":null}', '1.0'];
      expect(
        await ask(transport, url, shop.key, batch, `{"events":[${texts.map((text) => `{"type":"a.b","payload":${text}}`).join()}]}`),
      ).toEqual({
        data: { eventsPublish: { results: texts.map((payloadText) => ({ event: { payloadText } })) } },
      });
      const missing: readonly (readonly [query: string, variables?: string])[] = [
        [of('{ type: "a.b", payload: $p }', '($p: JSON!)')],
        [of('$input', '($input: EventPublishInput!)'), '{"input":{"type":"a.b"}}'],
        [of('{ type: "a.b" }')],
        [of('null')],
        [of('$input', '($input: EventPublishInput!)'), '{"input":null}'],
      ];
      for (const [query, variables] of missing) {
        const { errors } = await ask(transport, url, shop.key, query, variables);
        expect(errors?.[0]?.extensions?.code).toMatch(/^(BAD_USER_INPUT|GRAPHQL_VALIDATION_FAILED)$/);
      }
      const none = `mutation($f: JSON) { webhookCreate(input: { url: "${receiver.url('/all')}", filter: $f }) { webhook { filter } userErrors { message } } }`;
      expect(await ask(transport, url, shop.key, none, '{"f":null}')).toEqual({
        data: { webhookCreate: { webhook: { filter: null }, userErrors: [] } },
      });
    });
  });

  test('is checked against the schema of its type as what it is', async () => {
    await withSqliteHub(async ({ application, url }) => {
      const shop = await application();
      await mutated(shop.client, 'eventTypeRegister', { input: { name: 'a.b', schema: { type: 'number', minimum: 1 } } });
      const query = `mutation($p: JSON!) { eventPublish(input: { type: "a.b", payload: $p }) ${FIELDS} }`;
      expect((await ask(transport, url, shop.key, query, '{"p":1.0}')).data).toMatchObject({
        eventPublish: { event: { payloadText: '1.0' } },
      });
      for (const payload of ['0.0', EXACT_STRING])
        expect((await ask(transport, url, shop.key, query, `{"p":${payload}}`)).data).toMatchObject({
          eventPublish: { event: null, userErrors: [{ field: ['payload'] }] },
        });
    });
  });

  test('leaves other inputs what they are, numbers and strings of any spelling', async () => {
    await withSqliteHub(async ({ application, receiver, url }) => {
      const shop = await application();
      const create = `mutation($f: JSON, $n: Int, $t: String!) { webhookCreate(input: { url: "${receiver.url('/hook')}", description: $t, timeoutSeconds: $n, filter: $f }) { webhook { filter description timeoutSeconds } userErrors { message code } } }`;
      const inString = '"{\\u0022payload.no\\u0022: {\\u0022$gt\\u0022: 1.0}}"';
      expect((await ask(transport, url, shop.key, create, `{"f":${inString},"n":7.0,"t":"\\u00e9"}`)).data).toEqual({
        webhookCreate: { webhook: { filter: { 'payload.no': { $gt: 1 } }, description: 'é', timeoutSeconds: 7 }, userErrors: [] },
      });
      for (const filter of ['1.0', EXACT_STRING, '[1.0]']) {
        const { data } = await ask(transport, url, shop.key, create, `{"f":${filter},"t":"a"}`);
        expect(data).toEqual({ webhookCreate: { webhook: null, userErrors: [expect.objectContaining({ code: 'INVALID' })] } });
      }
      const literal = create.replace('filter: $f', 'filter: 1.0').replace('$f: JSON, ', '');
      const { data } = await ask(transport, url, shop.key, literal, '{"t":"a"}');
      expect(data).toEqual({ webhookCreate: { webhook: null, userErrors: [expect.objectContaining({ code: 'INVALID' })] } });
      const name = `mutation { eventPublish(input: { type: "a.b", payload: { a: SOME_NAME } }) ${FIELDS} }`;
      expect((await ask(transport, url, shop.key, name)).errors?.[0]?.message).toContain('a string stands in quotes');
    });
  });

  test('in the document, with a variable of a megabyte by the thousand, is refused', async () => {
    await withSqliteHub(async ({ application, url }) => {
      const shop = await application();
      const literal = `mutation($p: JSON!) { eventPublish(input: { type: "a.b", payload: [${'$p,'.repeat(3_000)}] }) ${FIELDS} }`;
      const filter = `mutation($p: JSON!) { webhookCreate(input: { url: "${url}", filter: [${'$p,'.repeat(3_000)}] }) { userErrors { code } } }`;
      for (const document of [literal, filter]) {
        const refused = await ask(transport, url, shop.key, document, `{"p":["${'x'.repeat(1_000_000)}"]}`);
        expect(refused.errors?.[0]?.extensions?.code).toMatch(/^(GRAPHQL_VALIDATION_FAILED|BAD_USER_INPUT)$/);
      }
    });
  });

  test.each(WAYS)('in %s, is refused when it has a name twice', async (_name, query, variables) => {
    await withSqliteHub(async ({ application, url }) => {
      const shop = await application();
      const { data } = await ask(transport, url, shop.key, query, variables('{"amount":1,"to":{"iban":"A","iban":"B"}}'));
      const text = JSON.stringify(data);
      expect(text).toContain('expected objects that have each name once, got \\"iban\\" twice in one');
      expect(text).toContain('"event":null');
    });
  });

  test('is refused when it has a name twice in the document itself', async () => {
    await withSqliteHub(async ({ application, url }) => {
      const shop = await application();
      const literal = `mutation { eventPublish(input: { type: "a.b", payload: { to: [{ iban: "A", iban: "B" }] } }) ${FIELDS} }`;
      const { errors } = await ask(transport, url, shop.key, literal);
      expect(errors).toEqual([expect.objectContaining({ message: 'There can be only one input field named "iban".' })]);
    });
  });

  test('is refused when it is nested by the hundred thousand, as are filters and schemas, and the hub goes on', async () => {
    await withSqliteHub(async ({ application, receiver, url }) => {
      const shop = await application();
      const target = JSON.stringify(receiver.url('/hook'));
      const mutations: readonly (readonly [query: string, variable: string])[] = [
        [`mutation($x: JSON!) { eventPublish(input: { type: "a.b", payload: $x }) ${FIELDS} }`, 'payload: $x'],
        ['mutation($x: JSON!) { eventTypeRegister(input: { name: "a.b", schema: $x }) { userErrors { message } } }', 'schema: $x'],
        [`mutation($x: JSON!) { webhookCreate(input: { url: ${target}, filter: $x }) { userErrors { message } } }`, 'filter: $x'],
        ['subscription($x: JSON!) { event(filter: $x) { id } }', 'filter: $x'],
      ];
      for (const [query, variable] of mutations)
        for (const [open, close] of [
          ['[', ']'],
          ['{"a":', '}'],
        ] as const) {
          const deep = (levels: number) => `${open.repeat(levels)}1${close.repeat(levels)}`;
          if (query.startsWith('subscription') && transport === 'HTTP') continue; // needs a stream
          const tooDeep = await ask(transport, url, shop.key, query, `{"x":${deep(100_000)}}`);
          expect(tooDeep.errors?.[0]).toMatchObject({
            message: 'expected JSON of at most 1000 levels, got more',
            extensions: { code: 'BAD_REQUEST' },
          });
          const refused = await ask(transport, url, shop.key, query, `{"x":${deep(900)}}`);
          expect(JSON.stringify(refused)).toMatch(/expected (a condition|a schema|a JSON Schema|an object|JSON|type or payload)/);
          const inString = await ask(transport, url, shop.key, query, `{"x":${JSON.stringify(deep(100_000))}}`);
          expect(JSON.stringify(inString)).not.toContain('INTERNAL_SERVER_ERROR');
          const literal = deep(2_000).replaceAll('"', '');
          const document = query.replace(/\(\$x: JSON!\)/, '').replace(variable, variable.replace('$x', literal));
          const written = await ask(transport, url, shop.key, document);
          expect(codesOf(written as never)).toEqual([expect.stringMatching(/GRAPHQL_(PARSE|VALIDATION)_FAILED/)]);
        }
      expect(await shop.publish()).toMatchObject({ sequence: expect.any(Number) });
    });
  });
});

describeEachDatabase('The text of a payload', (makeDatabase) => {
  test('is read back from the database exactly as it was written', async () => {
    await withHub(makeDatabase, async ({ application, url }) => {
      const shop = await application();
      const spaced = EXACT.replaceAll(':', ' : ').replaceAll(',', ',\n  ');
      const query = 'mutation($p: JSON!) { eventPublish(input: { type: "a.b", payload: $p }) { event { id } userErrors { message } } }';
      const { data } = await ask('HTTP', url, shop.key, query, `{"p":${spaced}}`);
      const { id } = (data as { eventPublish: { event: { id: string } } }).eventPublish.event;
      expect(await shop.client.query('query($id: ID!) { event(id: $id) { payloadText } }', { id })).toEqual({
        event: { payloadText: EXACT },
      });
    });
  });
});

describe('The text of a payload for its readers', () => {
  test('is exact live and in payload queries, and gone with the payload', async () => {
    await withSqliteHub(async ({ application, receiver, url }) => {
      const shop = await application();
      const payloadQuery =
        'subscription { event { text: payloadText payload big: get(path: "big") n: get(path: "n") none: get(path: "x") } }';
      await mutated(shop.client, 'webhookCreate', { input: { url: receiver.url('/shaped'), payloadQuery } });
      const { application: before } = await shop.client.query<{ application: { eventCursor: string } }>(
        'query($id: ID!) { application(id: $id) { eventCursor } }',
        { id: shop.id },
      );
      const query = 'mutation($p: JSON!) { eventPublish(input: { type: "a.b", payload: $p }) { event { id } userErrors { message } } }';
      const { data } = await ask('HTTP', url, shop.key, query, `{"p":${EXACT}}`);
      const { id } = (data as { eventPublish: { event: { id: string } } }).eventPublish.event;
      const [request] = await receiver.waitFor(1, '/shaped');
      const selected = `"text":${JSON.stringify(EXACT)},"payload":${EXACT},"big":12345678901234567890,"n":1.0,"none":null`;
      expect(request?.body.toString()).toContain(selected);
      for (const sample of [EXACT, ...EXACT_SCALARS, 'null']) {
        const preview = 'query($p: JSON!) { payloadPreview(payloadQuery: "subscription { event { payload } }", payload: $p) { body } }';
        const previewed = await ask('HTTP', url, shop.key, preview, `{"p":${sample}}`);
        expect(JSON.stringify(previewed.data)).toContain(JSON.stringify(`{"payload":${sample}}`).slice(1, -1));
      }
      const live = 'subscription($after: String!) { event(after: $after) { payloadText } }';
      for (const transport of ['SSE', 'WebSocket'] as const)
        expect(await askOver(transport, shop.client, live, { after: before.eventCursor })).toEqual({
          data: { event: { payloadText: EXACT } },
        });
      await mutated(shop.client, 'eventRedact', { id });
      expect(await shop.client.query('query($id: ID!) { event(id: $id) { payload payloadText } }', { id })).toEqual({
        event: { payload: {}, payloadText: '{}' },
      });
    });
  });
});

describe('A payload of null', () => {
  test('is filtered, previewed, tested and checked as any other', async () => {
    await withSqliteHub(async ({ application, receiver }) => {
      const shop = await application();
      const hook = (path: string, more: object) =>
        mutated<{ webhook: { id: string } }>(
          shop.client,
          'webhookCreate',
          { input: { url: receiver.url(path), ...more } },
          'webhook { id }',
        );
      const { webhook } = await hook('/null', { filter: { payload: null } });
      await hook('/other', { filter: { payload: { $ne: null } } });
      await hook('/deeper', { filter: { 'payload.a': { $exists: true } } });
      const payloadQuery = 'subscription { event(filter: "{\\"payload\\": null}") { payload a: get(path: "a.b") payloadText } }';
      await hook('/shaped', { payloadQuery });
      const publish = (payload: unknown) =>
        mutated<{ event: { id: string } }>(shop.client, 'eventPublish', { input: { type: 'a.b', payload } }, 'event { id }');
      const { event } = await publish(null);
      await publish({ a: 1 });
      await receiver.waitFor(1, '/other');
      await receiver.waitFor(1, '/deeper');
      for (const [path, written] of [
        ['/null', '"data":null}'],
        ['/shaped', '"payload":null,"a":null,"payloadText":"null"'],
      ] as const) {
        const [request] = await receiver.waitFor(1, path);
        expect(request?.headers['webhook-id']).toBe(event.id);
        expect(request?.body.toString()).toContain(written);
      }
      const { payloadPreview } = await shop.client.query<{ payloadPreview: { body: string; errors: string[] } }>(
        'query($id: ID!, $query: String!) { payloadPreview(eventId: $id, payloadQuery: $query) { body errors } }',
        { id: event.id, query: payloadQuery },
      );
      expect(payloadPreview).toEqual({ body: expect.stringContaining('"payload":null'), errors: [] });
      await mutated(shop.client, 'webhookTest', { id: webhook.id, input: { eventType: 'a.b', payload: null } });
      expect((await receiver.waitFor(2, '/null'))[1]?.body.toString()).toContain('"data":null');
      await mutated(shop.client, 'eventTypeRegister', { input: { name: 'a.c', schema: { type: 'object' } } });
      const refused = await mutate(shop.client, 'eventPublish', { input: { type: 'a.c', payload: null } });
      expect(refused.userErrors).toEqual([
        expect.objectContaining({ field: ['payload'], message: expect.stringContaining('must be object') }),
      ]);
    });
  });
});

describe('A payload query whose filter is nested by the thousand', () => {
  test.each([2_000, 100_000])('%d levels, is refused wherever it is given', async (levels) => {
    await withSqliteHub(async ({ application, receiver }) => {
      const shop = await application();
      const { id: eventId } = await shop.publish();
      const document = (filter: string) => `subscription { event(filter: ${filter}) { id } }`;
      for (const filter of [
        `${'{a:'.repeat(levels)}1${'}'.repeat(levels)}`,
        JSON.stringify(`${'['.repeat(levels)}${']'.repeat(levels)}`),
      ]) {
        const payloadQuery = document(filter);
        const { userErrors } = await mutate(shop.client, 'webhookCreate', { input: { url: receiver.url('/hook'), payloadQuery } });
        expect(userErrors).toEqual([
          { field: ['payloadQuery'], message: expect.any(String), code: expect.stringMatching(/INVALID|TOO_LARGE/) },
        ]);
        const preview = await shop.client.request(
          'query($payloadQuery: String!, $eventId: ID!) { payloadPreview(payloadQuery: $payloadQuery, eventId: $eventId) { body errors } }',
          { payloadQuery, eventId },
        );
        expect(preview).toMatchObject({ data: { payloadPreview: { body: null, errors: [expect.any(String)] } } });
      }
    });
  });
});

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { buildSchema } from 'graphql';
import { type Message, RawWebSocket } from '../support/raw-web-socket';
import { ADMIN_KEY } from '../support/with-hub';
import { expectErrors, expectGraphqlAnswer, expectNothingOfTheInside } from './answers';
import { type Asked, mutated, operation } from './documents';
import { FuzzedHub } from './fuzzed-hub';
import { conditions, jsons, texts, valueFor } from './values';

const schema = buildSchema(readFileSync(join(__dirname, '../../schema/schema.graphql'), 'utf8'));

let hub: FuzzedHub;
beforeAll(async () => {
  hub = await FuzzedHub.start();
});
afterEach(() => hub.expectHealthy());
afterAll(() => hub.stop());

/** Admins may delete the application that the tests live on: they get no ids that exist. */
const callers = () =>
  [
    [hub.key, hub.known],
    [ADMIN_KEY, []],
    ['lhk_nobody', hub.known],
  ] as const;

/** Codes that were heard, and `data` where there was some: properties that only ever see refusals would say little. */
const heard = new Set<unknown>();

async function askOverHttp({ query, variables }: Asked, key: string): Promise<void> {
  const body = JSON.stringify({ query, variables });
  const response = await fetch(`${hub.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json', authorization: `Bearer ${key}` },
    body,
  });
  const text = await response.text();
  if (response.status >= 500) throw new Error(`status ${response.status}: ${text}`);
  const answer = JSON.parse(text) as { data?: unknown; errors?: readonly { extensions: { code: unknown } }[] };
  expectGraphqlAnswer(answer, body);
  if (answer.data) heard.add('data');
  for (const { extensions } of answer.errors ?? []) heard.add(extensions.code);
  for (const [, code] of text.matchAll(/"code":"([A-Z_]+)"/g)) heard.add(code);
}

describe('Whatever is asked', () => {
  test.each(['query', 'mutation', 'subscription'] as const)('by a %s out of the schema gets a well-formed answer', async (kind) => {
    await hub.holds(
      fc.asyncProperty(fc.gen(), fc.constantFrom(0, 0, 0, 1, 2), async (g, whose) => {
        const [key, known] = callers()[whose] ?? ['', []];
        await askOverHttp(operation(g, schema, kind, known), key);
      }),
      97,
    );
  });

  test('by a document with mistakes gets a well-formed answer', async () => {
    await hub.holds(
      fc.asyncProperty(fc.gen(), fc.constantFrom('query', 'mutation', 'subscription'), async (g, kind) => {
        const { query, variables } = operation(g, schema, kind, hub.known);
        await askOverHttp({ query: mutated(g, query), variables }, hub.key);
      }),
      195,
    );
  });

  test('with an input of any kind gets a well-formed answer, of every mutation', async () => {
    const mutations = Object.values(schema.getMutationType()?.getFields() ?? {});
    expect(mutations.length).toBeGreaterThan(20);
    await hub.holds(
      fc.asyncProperty(fc.gen(), async (g) => {
        for (const { name, args } of mutations) {
          const declared = args.map((arg) => `$${arg.name}: ${String(arg.type)}`).join(', ');
          const passed = args.map((arg) => `${arg.name}: $${arg.name}`).join(', ');
          const variables = Object.fromEntries(args.map((arg) => [arg.name, valueFor(g, arg.type, hub.known)]));
          const selection = '__typename userErrors { field message code }';
          const query = `mutation (${declared}) { ${name}(${passed}) { ${name === 'eventsPublish' ? `results { ${selection} } ${selection}` : selection} } }`;
          await askOverHttp({ query, variables }, hub.key);
        }
      }),
      16,
    );
  });

  test('by ids, cursors, paths and filters of any text gets a well-formed answer', async () => {
    const ids = [
      'query ($x: ID!, $y: String!) { node(id: $x) { id } event(id: $x) { get(path: $y) } delivery(id: $x) { id requestBody attempts(after: $y) { nodes { curl } } } webhook(id: $x) { id tests(after: $y) { nodes { id } } } retryJob(id: $x) { id } application(id: $x) { id } }',
      'query ($x: ID, $y: String) { application(key: $y) { id } events(after: $y) { nodes { get(path: "a") } } deliveries(after: $y) { nodes { id } } webhooks(after: $y) { nodes { id } } eventTypes(after: $y) { nodes { name } } retryJobs(after: $y) { nodes { id } } }',
      'query ($x: ID!, $y: String!) { payloadPreview(eventId: $x, payloadQuery: $y) { body errors } events { nodes { get(path: $y) } } }',
      'query ($x: [ID!], $y: [String!]) { deliveries(filter: { webhookIds: $x, eventIds: $x, eventTypes: $y }) { nodes { id } } }',
    ];
    await hub.holds(
      fc.asyncProperty(texts(hub.known), texts(hub.known), conditions, jsons, async (x, y, filter, payload) => {
        for (const query of ids) await askOverHttp({ query, variables: { x, y } }, hub.key);
        const create =
          'mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id filter } userErrors { field message code } } }';
        const input = { url: hub.receiver.url('/filtered'), filter, eventTypes: ['order.created'] };
        await askOverHttp({ query: create, variables: { input } }, hub.key);
        const publish =
          'mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { id payload get(path: "a.b") } userErrors { field message code } } }';
        await askOverHttp(
          { query: publish, variables: { input: { type: 'order.created', payload, orderingKey: x, idempotencyKey: y } } },
          hub.key,
        );
      }),
      39,
    );
  });

  test('by twenty texts at once, as ids, cursors and paths, gets a well-formed answer', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `x${index}`);
    const each = (field: (name: string) => string) => names.map(field).join(' ');
    const declare = (type: string) => each((name) => `$${name}: ${type}`);
    const queries = [
      `query (${declare('String!')}) { events(first: 3) { nodes { ${each((name) => `${name}: get(path: $${name})`)} } } }`,
      `query (${declare('ID!')}) { ${each((name) => `${name}: node(id: $${name}) { id }`)} }`,
      `query (${declare('ID!')}) { ${each((name) => `${name}: delivery(id: $${name}) { id event { id } webhook { id } }`)} }`,
      `query (${declare('String')}) { ${each((name) => `${name}: deliveries(first: 1, after: $${name}) { nodes { id } }`)} }`,
      `query (${declare('String')}) { ${each((name) => `${name}: events(first: 1, after: $${name}) { nodes { id } }`)} }`,
      `query (${declare('String!')}) { ${each((name) => `${name}: payloadPreview(eventId: "${hub.known[1]}", payloadQuery: $${name}) { body errors }`)} }`,
    ];
    await hub.holds(
      fc.asyncProperty(fc.array(texts(hub.known), { minLength: 20, maxLength: 20 }), async (given) => {
        const variables = Object.fromEntries(names.map((name, index) => [name, given[index]]));
        for (const query of queries) await askOverHttp({ query, variables }, hub.key);
      }),
      26,
    );
  });

  test('was answered with data, and with refusals of many kinds', () => {
    const kinds = ['data', 'BAD_USER_INPUT', 'FORBIDDEN', 'GRAPHQL_PARSE_FAILED', 'GRAPHQL_VALIDATION_FAILED', 'INVALID', 'NOT_FOUND'];
    expect([...heard]).toEqual(expect.arrayContaining(kinds));
  });

  test('over server-sent events gets a well-formed answer', async () => {
    await hub.holds(
      fc.asyncProperty(fc.gen(), fc.constantFrom('query', 'mutation', 'subscription'), fc.boolean(), async (g, kind, isPost) => {
        const asked = operation(g, schema, kind, hub.known);
        const query = g(fc.boolean) ? asked.query : mutated(g, asked.query);
        const left = new AbortController();
        const headers = { accept: 'text/event-stream', authorization: `Bearer ${hub.key}`, 'content-type': 'application/json' };
        const search = new URLSearchParams({ query, variables: g(fc.boolean) ? JSON.stringify(asked.variables) : g(() => texts()) });
        const response = isPost
          ? await fetch(`${hub.url}/graphql`, { method: 'POST', headers, body: JSON.stringify({ ...asked, query }), signal: left.signal })
          : await fetch(`${hub.url}/graphql?${search}`, { headers, signal: left.signal });
        const known = query + JSON.stringify(asked.variables);
        if (response.status >= 500) throw new Error(`status ${response.status}: ${await response.text()}`);
        if (response.status === 431) return; // a query too long for a URL: Node's own answer
        if (response.status !== 200) return expectGraphqlAnswer((await response.json()) as object, known);
        // The first result, or that it runs and there is none yet.
        const reader = response.body?.getReader();
        let text = '';
        const nothingYet = new Promise<{ done: true; value: undefined }>((resolve) => {
          setTimeout(() => resolve({ done: true, value: undefined }), 50).unref();
        });
        for (let isOver = false; !isOver && !text.includes('event: '); ) {
          const chunk = await Promise.race([reader?.read() ?? nothingYet, nothingYet]);
          isOver = chunk.done;
          text += Buffer.from(chunk.value ?? '').toString();
        }
        left.abort();
        for (const [, data = ''] of text.matchAll(/event: next\ndata: (.*)\n/g)) expectGraphqlAnswer(JSON.parse(data) as object, known);
      }),
      52,
    );
  });
});

describe('Bytes of any kind', () => {
  const token = fc.constantFrom(
    'host',
    'accept',
    'content-type',
    'content-length',
    'transfer-encoding',
    'content-encoding',
    'expect',
    'upgrade',
    'connection',
    'authorization',
    'sec-websocket-key',
    'sec-websocket-version',
    'sec-websocket-protocol',
    'range',
    'cookie',
    'if-none-match',
    'accept-encoding',
    'x',
    '__proto__',
    '',
    'a b',
    ':',
  );
  const value = fc.oneof(
    fc.constantFrom(
      'application/json',
      'application/json; charset=utf-16',
      'application/graphql-response+json',
      'text/event-stream',
      'text/html',
      'multipart/form-data; boundary=x',
      '0',
      '-1',
      '5',
      '99999999999',
      '0x10',
      'chunked',
      'gzip',
      'identity, chunked',
      '100-continue',
      'websocket',
      'Upgrade',
      'close',
      'keep-alive',
      'Bearer',
      'Bearer x',
      'dGhlIHNhbXBsZSBub25jZQ==',
      '13',
      'graphql-transport-ws',
      '*/*;q=x',
      'bytes=0-',
    ),
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.string({ maxLength: 30 }),
  );
  const body = fc.oneof(
    fc.constantFrom(
      '{"query":"{ viewer { admin } }"}',
      '{"query":"{ viewer { admin } }"',
      '[]',
      'null',
      '0\r\n\r\n',
      '5\r\nhello\r\n0\r\n\r\n',
      'zz\r\n',
      '{"query":1}',
      '{"query":"subscription { event { id } }","variables":{"a":1e999}}',
    ),
    fc.json(),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  );
  const request = fc
    .record({
      method: fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'DELETE', 'PATCH', 'TRACE', 'CONNECT', 'PRI', 'get', ''),
      target: fc.oneof(
        fc.constantFrom(
          '/graphql',
          '/graphql',
          '/graphql?query={viewer{admin}}',
          '/graphql?query=%',
          '/graphql?variables={',
          '/',
          '/readyz',
          '/healthz',
          '*',
          '//',
          'http://x/graphql',
          '/assets/%2e%2e%2f',
        ),
        fc.string({ maxLength: 20 }).map((text) => `/${text}`),
      ),
      version: fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9', ''),
      headers: fc.array(fc.tuple(token, value), { maxLength: 6 }),
      body,
      hasLength: fc.boolean(),
    })
    .map(({ method, target, version, headers, body: content, hasLength }) => {
      const lines = [...headers, ...(hasLength ? [['content-length', String(Buffer.byteLength(content, 'latin1'))] as const] : [])];
      return Buffer.from(
        `${method} ${target} ${version}\r\n${lines.map(([name, text]) => `${name}: ${text}\r\n`).join('')}\r\n${content}`,
        'latin1',
      );
    });

  /** Everything that comes back, up to the end or to where nothing more can be expected. */
  function exchange(bytes: Uint8Array): Promise<string> {
    const { hostname, port } = new URL(hub.url);
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      const socket = connect(Number(port), hostname, () => socket.end(bytes));
      const done = () => {
        socket.destroy();
        resolve(Buffer.concat(chunks).toString('latin1'));
      };
      socket.setTimeout(150, done);
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('error', () => {});
      socket.on('close', done);
    });
  }

  const STATUSES = /^HTTP\/1\.1 (100|101|200|204|304|400|404|405|406|408|411|413|414|415|417|426|429|431|503) /;

  test('as requests are answered with a status of HTTP, or the connection ends', async () => {
    await hub.holds(
      fc.asyncProperty(
        fc.array(fc.oneof({ arbitrary: request, weight: 9 }, { arbitrary: fc.uint8Array({ maxLength: 300 }), weight: 1 }), {
          minLength: 20,
          maxLength: 20,
        }),
        async (requests) => {
          const answers = await Promise.all(requests.map(exchange));
          for (const [index, answer] of answers.entries()) {
            const sent = Buffer.from(requests[index] ?? []).toString('latin1');
            if (answer !== '' && !STATUSES.test(answer)) throw new Error(`unexpected answer ${answer.slice(0, 200)} to ${sent}`);
            const isPage = /content-type: text\/html|text\/javascript|text\/css/i.test(answer);
            if (!isPage) expectNothingOfTheInside(answer, sent);
            const [, content = ''] = /\r\ncontent-type: application\/.*?\r\n\r\n(\{"errors".*)$/is.exec(answer) ?? [];
            if (content.endsWith('}')) expectErrors((JSON.parse(content) as { errors: unknown }).errors, content);
          }
        },
      ),
      26,
    );
  });

  const CLOSES: ReadonlySet<number> = new Set([1000, 1002, 1003, 1005, 1006, 1007, 1009, 1013, 4400, 4401, 4403, 4406, 4408, 4409, 4429]);
  const id = fc.oneof(fc.constantFrom<unknown>('1', '2', '', '__proto__', 'x'.repeat(2_000)), fc.jsonValue({ maxDepth: 1 }));
  const frame = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 50 }),
    fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
    fc.jsonValue({ maxDepth: 3 }).map((json) => JSON.stringify(json)),
    fc
      .record(
        {
          type: fc.constantFrom<unknown>(
            'connection_init',
            'ping',
            'pong',
            'subscribe',
            'subscribe',
            'subscribe',
            'complete',
            'next',
            'error',
            'connection_ack',
            'start',
            null,
          ),
          id,
          payload: fc.oneof(
            fc.jsonValue({ maxDepth: 2 }),
            fc.record(
              {
                query: fc.oneof(
                  fc.constantFrom<unknown>(
                    '{ viewer { admin } }',
                    'subscription { event { id } }',
                    'subscription { deliveryUpdates { cursor } }',
                    '{',
                    '',
                  ),
                  fc.jsonValue({ maxDepth: 1 }),
                ),
                variables: fc.jsonValue({ maxDepth: 2 }),
                operationName: fc.jsonValue({ maxDepth: 1 }),
                extensions: fc.jsonValue({ maxDepth: 1 }),
                authorization: fc.jsonValue({ maxDepth: 1 }),
              },
              { requiredKeys: [] },
            ),
          ),
        },
        { requiredKeys: ['type'] },
      )
      .map((message) => JSON.stringify(message)),
  );

  function expectProtocol({ type, payload }: Message, sent: string): void {
    switch (type) {
      case 'connection_ack':
      case 'ping':
      case 'pong':
      case 'complete':
        return;
      case 'next':
        expectGraphqlAnswer(payload as object, sent);
        return;
      case 'error':
        expectErrors(payload, JSON.stringify(payload));
        expectNothingOfTheInside(JSON.stringify(payload), sent);
        return;
      default:
        throw new Error(`unexpected message of type ${type}`);
    }
  }

  test.each([true, false])(
    'as frames of a socket are answered by the protocol, or it is closed with a code that says why (with a key: %s)',
    async (hasKey) => {
      await hub.holds(
        fc.asyncProperty(fc.array(frame, { minLength: 1, maxLength: 15 }), async (frames) => {
          const socket = hasKey ? await RawWebSocket.connect(hub.url, hub.key) : await RawWebSocket.open(hub.url);
          const sent = frames.map(String).join('\n');
          const wrong: unknown[] = [];
          let ponged = () => {};
          const pong = new Promise<undefined>((resolve) => {
            ponged = () => resolve(undefined);
          });
          socket.each((message) => {
            if (JSON.stringify(message.payload) === '{"last":true}') return ponged();
            try {
              expectProtocol(message, sent);
            } catch (error) {
              wrong.push(error);
            }
          });
          for (const one of frames) socket.send(one);
          socket.send({ type: 'ping', payload: { last: true } });
          const closed = await Promise.race([pong, socket.closed]);
          socket.terminate();
          if (closed && !CLOSES.has(closed.code)) throw new Error(`closed with ${closed.code} ${closed.reason}`);
          if (wrong.length > 0) throw wrong[0];
        }),
        hasKey ? 120 : 60,
      );
    },
  );
});

import { isJsonBody, negotiate } from '../../src/api/negotiate';
import { createSqliteDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { ADMIN_KEY, type TestHub, withHub } from '../support/with-hub';

const JSON_TYPE = 'application/json; charset=utf-8';
const RESPONSE_TYPE = 'application/graphql-response+json; charset=utf-8';
const STREAM_TYPE = 'text/event-stream; charset=utf-8';
const URQL = 'application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed';
const URQL_SUBSCRIPTION = 'text/event-stream, multipart/mixed';
const APOLLO = 'application/graphql-response+json,application/json;q=0.9';
const APOLLO_SUBSCRIPTION = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json';
const CHROME = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8';

describe('what a client accepts', () => {
  test.each<[accept: string | undefined, json: string | undefined, stream: boolean]>([
    [undefined, JSON_TYPE, true],
    ['', JSON_TYPE, true],
    ['*/*', JSON_TYPE, true],
    ['application/*', JSON_TYPE, false],
    ['text/*', undefined, true],
    ['application/json', JSON_TYPE, false],
    ['Application/JSON ; Charset="UTF-8"', JSON_TYPE, false],
    ['application/json; charset=utf-16', undefined, false],
    ['application/json; charset=utf-8, application/graphql-response+json; charset=utf-8', JSON_TYPE, false],
    ['application/json;q=0.9, application/graphql-response+json', RESPONSE_TYPE, false],
    ['application/graphql-response+json;q=0, */*;q=0.1', JSON_TYPE, true],
    ['application/json;q=0, application/*', RESPONSE_TYPE, false],
    ['text/event-stream', undefined, true],
    ['TEXT/Event-Stream', undefined, true],
    ['text/event-stream;q=0, */*', JSON_TYPE, false],
    ['text/event-stream;q=0', undefined, false],
    ['application/json;q=0.1, text/event-stream', JSON_TYPE, true],
    ['application/x-text/event-stream', undefined, false],
    ['multipart/mixed', undefined, false],
    ['application/xml, image/*', undefined, false],
    ['nonsense', undefined, false],
    [URQL, RESPONSE_TYPE, true],
    [URQL_SUBSCRIPTION, undefined, true],
    [APOLLO, RESPONSE_TYPE, false],
    [APOLLO_SUBSCRIPTION, JSON_TYPE, false],
  ])('%s: JSON as %s, a stream: %s', (accept, json, stream) => {
    expect(negotiate(accept)).toMatchObject({ json, stream });
  });

  test.each<[accept: string | undefined, prefersPage: boolean]>([
    [CHROME, true],
    ['text/html', true],
    ['text/html;q=0.5, application/json', false],
    ['text/html;q=0, application/xml', false],
    ['*/*', false],
    ['text/*', false],
    [undefined, false],
  ])('%s: prefers a page: %s', (accept, prefersPage) => {
    expect(negotiate(accept).prefersPage).toBe(prefersPage);
  });

  test('is read up to a length that no client needs', () => {
    expect(negotiate(`${'a/b,'.repeat(245)}*/*`).json).toBe(JSON_TYPE);
    expect(() => negotiate('a/b,'.repeat(300))).toThrow('expected an Accept header of at most 1000 characters, got 1200');
  });
});

test.each<[contentType: string | undefined, isRead: boolean]>([
  ['application/json', true],
  ['application/json; charset=utf-8', true],
  ['APPLICATION/JSON;charset="UTF-8"', true],
  ['application/graphql+json', true],
  ['application/json; profile=x', true],
  ['application/json; charset=utf-16', false],
  ['application/json-patch+json', false],
  ['text/plain', false],
  ['application/x-www-form-urlencoded', false],
  [undefined, false],
])('a body with content-type %s is read as JSON: %s', (contentType, isRead) => {
  expect(isJsonBody(contentType)).toBe(isRead);
});

const QUERY = '{ viewer { admin } }';
const MUTATION = 'mutation { applicationCreate(input: { name: "negotiated" }) { application { name } } }';
const WRONG = '{ nothing }';
const SUBSCRIPTION = 'subscription { event { sequence } }';

interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly headers: Headers;
  /** Undefined: it is a stream that goes on. */
  readonly body: string | undefined;
}

async function ask({ url }: { url: string }, query: string, init: RequestInit & { key?: string } = {}): Promise<Answer> {
  const leaving = new AbortController();
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    ...init,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${init.key ?? ADMIN_KEY}`, ...init.headers },
    body: init.body === undefined ? JSON.stringify({ query }) : init.body,
    signal: leaving.signal,
  });
  const type = response.headers.get('content-type');
  const isEndless = type === STREAM_TYPE && query === SUBSCRIPTION;
  const body = isEndless ? undefined : await response.text();
  leaving.abort();
  return { status: response.status, type, headers: response.headers, body };
}

describe('an answer', () => {
  let hub: TestHub;
  let shopKey: string;
  let stop: () => void;
  let stopped: Promise<void>;

  beforeAll(async () => {
    const over = new Promise<void>((resolve) => {
      stop = resolve;
    });
    await new Promise<void>((resolve, reject) => {
      stopped = withHub(createSqliteDatabase, async (started) => {
        hub = started;
        shopKey = (await started.application()).key;
        resolve();
        await over;
      });
      stopped.catch(reject);
    });
  });
  afterAll(async () => {
    stop();
    await stopped;
  });

  const accepting = (accept: string) => ({ headers: { accept } });

  test.each([
    ['*/*', JSON_TYPE],
    [URQL, RESPONSE_TYPE],
    [APOLLO, RESPONSE_TYPE],
    [APOLLO_SUBSCRIPTION, JSON_TYPE],
    ['application/json;q=0.1, text/event-stream', JSON_TYPE],
  ])('to queries and mutations is JSON wherever that is accepted: %s', async (accept, type) => {
    expect(await ask(hub, QUERY, accepting(accept))).toMatchObject({ status: 200, type, body: '{"data":{"viewer":{"admin":true}}}\n' });
    expect(await ask(hub, MUTATION, accepting(accept))).toMatchObject({ status: 200, type });
  });

  test('to queries and mutations is a stream where nothing else is accepted', async () => {
    for (const query of [QUERY, MUTATION]) {
      const { status, type, body } = await ask(hub, query, accepting(URQL_SUBSCRIPTION));
      expect([status, type]).toEqual([200, STREAM_TYPE]);
      expect(body).toMatch(/^:\n\nevent: next\ndata: \{"data":\{.*\}\}\n\nevent: complete\ndata:\n\n$/);
    }
  });

  test.each(['*/*', URQL, URQL_SUBSCRIPTION, 'application/json, text/event-stream;q=0.1'])(
    'to a subscription is a stream, by POST and by GET: %s',
    async (accept) => {
      const headers = { accept, authorization: `Bearer ${shopKey}` };
      expect(await ask(hub, SUBSCRIPTION, { headers })).toMatchObject({ status: 200, type: STREAM_TYPE });
      const leaving = new AbortController();
      const address = `${hub.url}/graphql?query=${encodeURIComponent(SUBSCRIPTION)}`;
      const response = await fetch(address, { headers, signal: leaving.signal });
      leaving.abort();
      expect([response.status, response.headers.get('content-type')]).toEqual([200, STREAM_TYPE]);
    },
  );

  test.each([APOLLO_SUBSCRIPTION, 'application/graphql-response+json'])(
    'to a subscription is a refusal where only JSON is accepted: %s',
    async (accept) => {
      const answer = await ask(hub, SUBSCRIPTION, accepting(accept));
      expect(answer.status).toBe(406);
      expect(answer.body).toContain('server-sent events (accept: text/event-stream)');
    },
  );

  test.each(['multipart/mixed', 'application/xml', 'application/json;q=0'])('is 406 where nothing is accepted: %s', async (accept) => {
    for (const query of [QUERY, SUBSCRIPTION])
      expect(await ask(hub, query, accepting(accept))).toMatchObject({
        status: 406,
        body: expect.stringContaining('expected to accept application/graphql-response+json, application/json or text/event-stream'),
      });
  });

  test('of what was asked wrongly is 200 as application/json, 400 as application/graphql-response+json, and in the stream', async () => {
    for (const query of [
      WRONG,
      '{',
      'query ($id: ID!) { event(id: $id) { id } }',
      'query A { viewer { admin } } query B { viewer { admin } }',
    ]) {
      expect(await ask(hub, query, accepting('application/json'))).toMatchObject({ status: 200, type: JSON_TYPE });
      const answer = await ask(hub, query, accepting(URQL));
      expect(answer).toMatchObject({ status: 400, type: RESPONSE_TYPE });
      expect(JSON.parse(answer.body ?? '')).toEqual({ errors: expect.any(Array) });
      const streamed = await ask(hub, query, accepting('text/event-stream'));
      expect(streamed).toMatchObject({ status: 200, type: STREAM_TYPE });
      expect(streamed.body).toMatch(/^:\n\nevent: next\ndata: \{"errors":\[.*\]\}\n\nevent: complete\ndata:\n\n$/);
    }
  });

  test('of what could not be read has its status before there is a stream, in the JSON that is preferred', async () => {
    const bodies: [body: string, init: RequestInit, status: number][] = [
      ['{', {}, 400],
      ['{"query":1}', {}, 400],
      [`{"query":"${QUERY}","variables":[]}`, {}, 400],
      ['x', { headers: { 'content-type': 'text/plain' } }, 415],
    ];
    for (const [body, init, status] of bodies)
      for (const [accept, type] of [
        ['text/event-stream', JSON_TYPE],
        ['application/json', JSON_TYPE],
        [URQL, RESPONSE_TYPE],
      ] as const) {
        const answer = await ask(hub, '', { body, headers: { accept, ...init.headers } });
        expect([accept, body, answer.status, answer.type]).toEqual([accept, body, status, type]);
        expect(JSON.parse(answer.body ?? '')).toMatchObject({ errors: [{ extensions: { code: 'BAD_REQUEST' } }] });
      }
  });

  test('to a mutation by GET, or to another method, is 405 and names the methods that would do', async () => {
    for (const accept of ['application/json', URQL, 'text/event-stream']) {
      const address = `${hub.url}/graphql?query=${encodeURIComponent(MUTATION)}`;
      const byGet = await fetch(address, { headers: { accept, authorization: `Bearer ${ADMIN_KEY}` } });
      expect([byGet.status, byGet.headers.get('allow')]).toEqual([405, 'POST']);
      for (const method of ['PUT', 'DELETE', 'PATCH', 'HEAD']) {
        const other = await fetch(`${hub.url}/graphql`, { method, headers: { accept } });
        expect([other.status, other.headers.get('allow')]).toEqual([405, 'GET, POST']);
      }
    }
  });

  test('to a GET with an empty operation name is as to one without', async () => {
    const address = `${hub.url}/graphql?operationName=&query=${encodeURIComponent(QUERY)}`;
    for (const accept of ['application/json', URQL, 'text/event-stream']) {
      const answered = await fetch(address, { headers: { accept, authorization: `Bearer ${ADMIN_KEY}` } });
      expect([accept, answered.status, await answered.text()]).toEqual([
        accept,
        200,
        expect.stringContaining('{"data":{"viewer":{"admin":true}}}'),
      ]);
    }
  });

  test('varies by Accept', async () => {
    for (const accept of ['*/*', 'text/event-stream', 'application/xml', CHROME])
      expect((await fetch(`${hub.url}/graphql`, { headers: { accept } })).headers.get('vary')).toBe('accept');
  });
});

test('a key over its rate gets 429 with a time to wait, whatever it accepts', async () => {
  await withHub(
    createSqliteDatabase,
    async (hub) => {
      const { key } = await hub.application();
      expect((await ask(hub, QUERY, { key })).status).toBe(200);
      for (const [accept, query, type] of [
        ['text/event-stream', QUERY, JSON_TYPE],
        ['text/event-stream', SUBSCRIPTION, JSON_TYPE],
        ['application/json', QUERY, JSON_TYPE],
        [URQL, QUERY, RESPONSE_TYPE],
        [URQL, SUBSCRIPTION, RESPONSE_TYPE],
      ] as const) {
        const answer = await ask(hub, query, { key, headers: { accept } });
        expect([answer.status, answer.type, answer.headers.get('retry-after')]).toEqual([429, type, '1']);
        expect(JSON.parse(answer.body ?? '')).toMatchObject({ errors: [{ extensions: { code: 'RATE_LIMITED', retryAfter: 1 } }] });
      }
    },
    { environment: { LIVEHOOK_REQUESTS_PER_SECOND: '1' }, clock: new FakeClock() },
  );
});

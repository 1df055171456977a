import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { GRAPHIQL_CSP } from '../../src/api/graphiql';
import { LIMITS } from '../../src/api/limits';
import { TIMEOUTS } from '../../src/api/server';
import { staticFile, staticPaths } from '../../src/api/static-files';
import { DASHBOARD_CSP } from '../../src/dashboard/page';
import { createSqliteDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { ADMIN_KEY, withHub } from '../support/with-hub';

const VIEWER = '{ viewer { admin } }';

/** Sends bytes as they are; `answer` is all that comes back until the hub ends the connection. */
async function open(url: string): Promise<{ socket: Socket; answer: Promise<string> }> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {}); // a reset ends the answer as well
  await once(socket, 'connect');
  const answer = text(socket).catch(() => '');
  return { socket, answer };
}

async function send(url: string, ...parts: (string | Buffer)[]): Promise<string> {
  const { socket, answer } = await open(url);
  for (const part of parts) socket.write(part);
  return answer;
}

const post = (headers: string, accept = 'application/json') =>
  `POST /graphql HTTP/1.1\r\nhost: x\r\naccept: ${accept}\r\nauthorization: Bearer ${ADMIN_KEY}\r\ncontent-type: application/json\r\n${headers}\r\n\r\n`;

describe('the pages', () => {
  test('are served at / and, to browsers, at /graphql, each with its policy', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const pages = [
        ['/', '*/*', 'Livehook', DASHBOARD_CSP],
        ['/graphql', 'text/html,application/xhtml+xml,*/*;q=0.8', 'Livehook GraphiQL', GRAPHIQL_CSP],
      ] as const;
      for (const [path, accept, title, policy] of pages) {
        const response = await fetch(`${url}${path}`, { headers: { accept } });
        expect(response.status).toBe(200);
        expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
        expect(response.headers.get('content-security-policy')).toBe(policy);
        expect(response.headers.get('x-content-type-options')).toBe('nosniff');
        expect(response.headers.get('referrer-policy')).toBe('no-referrer');
        expect(await response.text()).toContain(`<title>${title}</title>`);
        const head = await fetch(`${url}${path}`, { method: 'HEAD', headers: { accept } });
        expect([head.status, head.headers.get('content-length')]).toEqual([200, response.headers.get('content-length')]);
        expect(await head.text()).toBe('');
      }
    });
  });

  test('find every file that they name, plain, compressed, as HEAD and not again when it is known', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      for (const path of staticPaths) {
        const file = staticFile(path);
        const plain = await fetch(`${url}${path}`, { headers: { 'accept-encoding': 'identity' } });
        expect([plain.status, plain.headers.get('content-encoding'), plain.headers.get('etag')]).toEqual([200, null, file?.etag]);
        expect(Buffer.from(await plain.arrayBuffer()).equals(file?.body ?? Buffer.alloc(0))).toBe(true);
        const known = await fetch(`${url}${path}`, { headers: { 'if-none-match': file?.etag ?? '' } });
        expect([known.status, await known.text()]).toEqual([304, '']);
        const head = await fetch(`${url}${path}`, { method: 'HEAD', headers: { 'accept-encoding': 'identity' } });
        expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, String(file?.body.length), '']);
      }
    });
  });

  test('are compressed for those who take it', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const { socket, answer } = await open(url);
      socket.end('GET /assets/graphiql.min.css HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip, br\r\nconnection: close\r\n\r\n');
      expect(await answer).toMatch(/\r\ncontent-encoding: gzip\r\n/i);
      const file = staticFile('/assets/graphiql.min.css');
      expect(gunzipSync(file?.gzip ?? '').equals(file?.body ?? Buffer.alloc(0))).toBe(true);
    });
  });

  test.each([
    '/nothing',
    '/assets/',
    '/assets/../package.json',
    '/%2e%2e/package.json',
    '//',
    '//evil.example/graphql',
    '/__proto__',
    '/constructor',
    '*',
  ])('do not include %s', async (target) => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      expect(await send(url, `GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)).toMatch(/^HTTP\/1.1 404 /);
    });
  });

  test('are only read', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      for (const path of ['/', '/healthz', '/assets/graphiql.min.js']) {
        const response = await fetch(`${url}${path}`, { method: 'POST', body: 'x' });
        expect([response.status, await response.json()]).toMatchObject([404, { errors: [{ extensions: { code: 'NOT_FOUND' } }] }]);
      }
    });
  });
});

describe('the probes', () => {
  test('say that the hub lives and is ready', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const health = await fetch(`${url}/healthz`);
      expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }]);
      const ready = await fetch(`${url}/readyz`);
      expect([ready.status, await ready.json()]).toEqual([
        200,
        { status: 'ready', isReady: true, database: 'reachable', migrations: 'applied', secretKey: 'fitting' },
      ]);
    });
  });
});

describe('a request body', () => {
  const announced = `content-length: ${LIMITS.requestBytes + 1}`;
  test.each(['application/json', 'text/event-stream'])(
    'over the limit is refused with 413 unread, when %s is asked for',
    async (accept) => {
      await withHub(createSqliteDatabase, async ({ url, admin }) => {
        // Nothing of it is ever sent: whoever waits for it waits for ever.
        const { socket, answer } = await open(url);
        socket.write(post(announced, accept));
        const [start] = (await once(socket, 'data')) as [Buffer];
        expect(start.toString()).toMatch(/^HTTP\/1.1 413 /);
        expect(start.toString()).toMatch(/\r\nconnection: close\r\n/i);
        socket.destroy();
        await answer;
        expect(await admin.query(VIEWER)).toEqual({ viewer: { admin: true } });
      });
    },
  );

  test('over the limit is refused with 413 to a client that goes on sending, which can read why', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${ADMIN_KEY}` },
        body: Buffer.alloc(LIMITS.requestBytes + 1, ' '),
      });
      expect([response.status, await response.json()]).toEqual([
        413,
        { errors: [{ message: `expected a body of at most ${LIMITS.requestBytes} bytes`, extensions: { code: 'BAD_REQUEST' } }] },
      ]);
    });
  });

  test('without a length is refused with 413 as soon as it is over the limit, and is not read to its end', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const { socket, answer } = await open(url);
      const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(0x100000, ' '), Buffer.from('\r\n')]);
      socket.write(post('transfer-encoding: chunked'));
      for (let sent = 0; sent <= LIMITS.requestBytes; sent += 0x100000) socket.write(chunk);
      // Its end never comes, and the hub ends the connection.
      expect(await answer).toMatch(/^HTTP\/1.1 413 /);
    });
  });

  test('just below the limit is taken', async () => {
    await withHub(createSqliteDatabase, async ({ url, admin }) => {
      const query = `${VIEWER} #`;
      const overhead = JSON.stringify({ query, variables: {} }).length;
      expect(await admin.query(query + ' '.repeat(LIMITS.requestBytes - overhead))).toEqual({ viewer: { admin: true } });
      await expect(admin.request(query + ' '.repeat(LIMITS.requestBytes - overhead + 1))).resolves.toMatchObject({ status: 413 });
      expect(url).toBeTruthy();
    });
  });

  test.each<[what: string, body: string]>([
    ['is empty', ''],
    ['is not JSON', '{'],
    ['is null', 'null'],
    ['is a list', `[{"query":"${VIEWER}"}]`],
    ['has variables that are no object', `{"query":"${VIEWER}","variables":[]}`],
    ['has an operation name that is no string', `{"query":"${VIEWER}","operationName":1}`],
    ['has a query that is no string', '{"query":{}}'],
    ['has no query', '{"queries":"{a}"}'],
  ])('that %s is refused with 400 on HTTP and SSE', async (_what, body) => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      for (const accept of ['application/json', 'text/event-stream']) {
        const headers = { accept, 'content-type': 'application/json', authorization: `Bearer ${ADMIN_KEY}` };
        const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body });
        expect([response.status, await response.json()]).toMatchObject([400, { errors: [{ extensions: { code: 'BAD_REQUEST' } }] }]);
      }
    });
  });

  test('with variables nested by the million is refused', async () => {
    await withHub(createSqliteDatabase, async ({ url, admin }) => {
      for (const [accept, status] of [
        ['application/graphql-response+json', 400],
        ['text/event-stream', 400],
      ] as const) {
        const response = await fetch(`${url}/graphql`, {
          method: 'POST',
          headers: { accept, 'content-type': 'application/json', authorization: `Bearer ${ADMIN_KEY}` },
          body: `{"query":"query ($id: ID!) { event(id: $id) { id } }","variables":{"id":${'['.repeat(1e6)}${']'.repeat(1e6)}}}`,
        });
        expect(response.status).toBe(status);
        expect(await response.text()).toContain('"message":"expected JSON of at most 1000 levels, got more"');
      }
      expect(await admin.query(VIEWER)).toEqual({ viewer: { admin: true } });
    });
  });
});

const UPGRADE = 'upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==';

describe('a connection', () => {
  test.each(['//', '*', '/other', 'http://['])('that would upgrade %s is refused, and the hub goes on', async (target) => {
    await withHub(createSqliteDatabase, async ({ url, admin }) => {
      expect(await send(url, `GET ${target} HTTP/1.1\r\nhost: x\r\n${UPGRADE}\r\n\r\n`)).toMatch(/^HTTP\/1.1 404 /);
      expect(await admin.query(VIEWER)).toEqual({ viewer: { admin: true } });
    });
  });

  test.each<[what: string, bytes: string, status: RegExp]>([
    ['no HTTP at all', '\u0000\u0001\u0002\r\n\r\n', /^HTTP\/1.1 400 /],
    ['headers beyond 16 KiB', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1.1 431 /],
    [
      'two Host headers',
      'GET /healthz HTTP/1.1\r\nhost: x\r\nHost: y\r\nconnection: close\r\n\r\n',
      /^HTTP\/1.1 400 .*expected one Host header, got several/s,
    ],
    ['two Host headers and an upgrade', `GET /graphql HTTP/1.1\r\nhost: x\r\nhost: x\r\n${UPGRADE}\r\n\r\n`, /^HTTP\/1.1 400 /],
    ['no Host header', 'GET /healthz HTTP/1.1\r\n\r\n', /^HTTP\/1.1 400 /],
    ['a length and chunks', `${post('content-length: 5\r\ntransfer-encoding: chunked')}0\r\n\r\n`, /^HTTP\/1.1 400 /],
    ['chunks and a length', `${post('transfer-encoding: chunked\r\ncontent-length: 5')}0\r\n\r\n`, /^HTTP\/1.1 400 /],
    ['two lengths', `${post('content-length: 5\r\ncontent-length: 6')}hello`, /^HTTP\/1.1 400 /],
    [
      'a broken WebSocket handshake',
      'GET /graphql HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
      /^HTTP\/1.1 400 /,
    ],
  ])('with %s is answered and ended, and the hub goes on', async (_what, bytes, status) => {
    await withHub(createSqliteDatabase, async ({ url, admin }) => {
      expect(await send(url, bytes)).toMatch(status);
      expect(await admin.query(VIEWER)).toEqual({ viewer: { admin: true } });
    });
  });

  test('has the time that the guide says: 15 s for the headers of a request, looked at every second, and not 60', async () => {
    expect(TIMEOUTS).toEqual({ headersTimeout: 15_000, requestTimeout: 60_000, connectionsCheckingInterval: 1_000 });
    await withHub(createSqliteDatabase, async ({ url }) => {
      const [silent, headers, body] = [await open(url), await open(url), await open(url)];
      headers.socket.write('POST /graphql HTTP/1.1\r\nhost: x\r\n');
      body.socket.write(`${post('content-length: 100')}{`);
      expect(await Promise.all([silent.answer, headers.answer])).toEqual([expect.any(String), expect.stringMatching(/^HTTP\/1.1 408 /)]);
      expect(body.socket.readyState).toBe('open');
      body.socket.destroy();
    });
  }, 60_000);

  test('that breaks in the middle of a body costs nothing', async () => {
    await withHub(createSqliteDatabase, async ({ url, admin }) => {
      const { socket, answer } = await open(url);
      socket.write(`${post('content-length: 100')}{"query":`);
      socket.destroy();
      await answer;
      expect(await admin.query(VIEWER)).toEqual({ viewer: { admin: true } });
    });
  });
});

describe('server-sent events', () => {
  test('answer a GET as well, refuse a mutation by it, and are never cached', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const ask = (query: string) =>
        fetch(`${url}/graphql?query=${encodeURIComponent(query)}`, {
          headers: { accept: 'text/event-stream', authorization: `Bearer ${ADMIN_KEY}` },
        });
      const answered = await ask(VIEWER);
      expect(answered.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
      expect(answered.headers.get('cache-control')).toBe('no-store, no-transform');
      expect(await answered.text()).toBe(':\n\nevent: next\ndata: {"data":{"viewer":{"admin":true}}}\n\nevent: complete\ndata:\n\n');
      const refused = await ask('mutation { applicationDelete(id: "x") { userErrors { code } } }');
      expect([refused.status, await refused.json()]).toMatchObject([405, { errors: [{ extensions: { code: 'BAD_REQUEST' } }] }]);
    });
  });

  const subscribe = (url: string, key: string) =>
    fetch(`${url}/graphql?query=${encodeURIComponent('subscription { event { payload } }')}`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${key}` },
    });

  test('are one line of data each, whatever is in it, and break off without `complete` when the hub stops', async () => {
    await withHub(createSqliteDatabase, async ({ url, application, hub }) => {
      const shop = await application();
      const payload = 'one\ntwo\r\nthree\u2028four\n\nevent: complete\ndata:\n\n';
      const response = await subscribe(url, shop.key);
      const decoder = new TextDecoder();
      const reader = response.body?.getReader();
      let sent = '';
      const read = async () => {
        const { value, done } = (await reader?.read()) ?? { done: true };
        sent += decoder.decode(value, { stream: true });
        return !done;
      };
      await shop.publish({ payload });
      while (!sent.includes('event: next') && (await read()));
      const stopped = hub.stop();
      while (await read());
      await stopped;
      expect(sent).toBe(`:\n\nevent: next\ndata: ${JSON.stringify({ data: { event: { payload } } })}\n\n`);
    });
  });

  test('are pinged by comments every 12 s, which proxies see and clients skip', async () => {
    const clock = new FakeClock();
    await withHub(
      createSqliteDatabase,
      async ({ url, application }) => {
        const { key } = await application();
        const response = await subscribe(url, key);
        const reader = response.body?.getReader();
        const next = async () => Buffer.from((await reader?.read())?.value ?? []).toString();
        expect(await next()).toBe(':\n\n');
        for (let pings = 0; pings < 3; pings++) {
          await clock.advanceAsync(12_000);
          expect(await next()).toBe(':\n\n');
        }
        await reader?.cancel();
      },
      { clock },
    );
  });
});

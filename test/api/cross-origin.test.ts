import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { CrossOrigin } from '../../src/api/cross-origin';
import { createSqliteDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { ADMIN_KEY, withHub } from '../support/with-hub';

const PAGE = 'https://app.example.com';
const OTHER = 'https://evil.example';
const QUERY = '{ viewer { admin } }';

/** What of an answer is about pages of other origins. */
function corsOf({ headers }: Response): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => name.startsWith('access-control-')));
}

function preflight(url: string, origin: string, headers = 'authorization,content-type,x-trace'): Promise<Response> {
  return fetch(`${url}/graphql`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': headers },
  });
}

function ask(url: string, origin: string, { query = QUERY, accept = 'application/json', key = ADMIN_KEY, body = '' } = {}) {
  return fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { origin, accept, 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: body || JSON.stringify({ query }),
  });
}

/** The status with which a handshake is answered, or 101. */
async function handshake(url: string, origin: string | undefined): Promise<number | undefined> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { ...(origin !== undefined && { origin }) });
  socket.on('error', () => {}); // it was terminated
  const [status] = await Promise.race([
    once(socket, 'open').then(() => [101]),
    once(socket, 'unexpected-response').then(([, response]) => [(response as IncomingMessage).statusCode]),
  ]);
  socket.terminate();
  return status;
}

describe('pages of other origins', () => {
  test('are told that they may ask, and are shown every answer, where they are listed', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ url }) => {
        const before = await preflight(url, PAGE);
        expect([before.status, corsOf(before)]).toEqual([
          204,
          {
            'access-control-allow-origin': PAGE,
            'access-control-allow-methods': 'GET,POST',
            'access-control-allow-headers': 'authorization,content-type,x-trace',
            'access-control-expose-headers': 'retry-after,allow',
            'access-control-max-age': '7200',
          },
        ]);
        expect(before.headers.get('vary')).toBe('accept, Origin, Access-Control-Request-Headers');
        const shown = { 'access-control-allow-origin': PAGE, 'access-control-expose-headers': 'retry-after,allow' };
        for (const accept of ['application/json', 'text/event-stream', 'application/xml', 'text/html'])
          for (const answer of [await ask(url, PAGE, { accept }), await ask(url, PAGE, { accept, body: '{' })]) {
            expect([accept, corsOf(answer)]).toEqual([accept, shown]);
            expect(answer.headers.get('vary')).toBe('accept, Origin');
          }
      },
      { environment: { LIVEHOOK_CORS_ORIGINS: `http://localhost:3000, ${PAGE}` } },
    );
  });

  test('are shown nothing where they are not listed, nor other addresses where they are', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ url }) => {
        for (const origin of [OTHER, 'null', 'http://app.example.com', `${PAGE}.evil.example`, `${PAGE}:8443`]) {
          expect(corsOf(await preflight(url, origin))).not.toHaveProperty('access-control-allow-origin');
          const answer = await ask(url, origin);
          expect(corsOf(answer)).not.toHaveProperty('access-control-allow-origin');
          expect(answer.headers.get('vary')).toBe('accept, Origin');
        }
        for (const path of ['/', '/metrics', '/healthz', '/assets/dashboard.js'])
          expect(corsOf(await fetch(`${url}${path}`, { headers: { origin: PAGE } }))).toEqual({});
      },
      { environment: { LIVEHOOK_CORS_ORIGINS: PAGE } },
    );
  });

  test('see that they are over their rate, and for how long', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ url, application }) => {
        const { key } = await application();
        await ask(url, PAGE, { key });
        const refused = await ask(url, PAGE, { key });
        expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
        expect(corsOf(refused)).toEqual({ 'access-control-allow-origin': '*', 'access-control-expose-headers': 'retry-after,allow' });
      },
      { environment: { LIVEHOOK_CORS_ORIGINS: '*', LIVEHOOK_REQUESTS_PER_SECOND: '1' }, clock: new FakeClock() },
    );
  });

  test('are not answered for at all by default', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const before = await preflight(url, PAGE);
      expect([before.status, corsOf(before)]).toEqual([405, {}]);
      const answer = await ask(url, PAGE);
      expect([answer.status, corsOf(answer), answer.headers.get('vary')]).toEqual([200, {}, 'accept']);
    });
  });

  test.each<[setting: string, origin: string | undefined, status: number]>([
    ['', undefined, 101],
    ['', PAGE, 403],
    ['', 'null', 403],
    [PAGE, PAGE, 101],
    [PAGE, OTHER, 403],
    ['*', OTHER, 101],
  ])('with LIVEHOOK_CORS_ORIGINS=%s, a WebSocket of %s is answered %s', async (setting, origin, status) => {
    await withHub(createSqliteDatabase, async ({ url }) => expect(await handshake(url, origin)).toBe(status), {
      environment: { LIVEHOOK_CORS_ORIGINS: setting },
    });
  });

  test.each<[host: string | undefined, origin: string, isPermitted: boolean]>([
    ['127.0.0.1:4000', 'http://127.0.0.1:4000', true],
    ['Hooks.example.com', 'https://hooks.example.com', true],
    ['hooks.example.com', 'https://hooks.example.com:8443', true],
    ['hooks.example.com:8443', 'https://hooks.example.com:8443', true],
    ['hooks.example.com:8443', 'https://hooks.example.com:9443', false],
    ['[::1]:4000', 'http://[::1]:4000', true],
    ['livehook', 'https://public.example', true],
    ['livehook', 'https://hooks.example.com', false],
    [undefined, 'https://hooks.example.com', false],
    ['', 'null', false],
    ['hooks.example.com', 'nonsense', false],
  ])('to a hub that is asked as %s, a page of %s is its own: %s', (host, origin, isPermitted) => {
    const crossOrigin = new CrossOrigin({ origins: undefined, publicUrl: 'https://public.example/hub' });
    expect(crossOrigin.permitsSocket({ headers: { host, origin } } as IncomingMessage)).toBe(isPermitted);
  });
});

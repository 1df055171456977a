import { MetricsServer } from '../../src/api/metrics-access';
import { createSqliteDatabase } from '../support/databases';
import { withHub } from '../support/with-hub';

const TOKEN = 'a-token-for-scrapers';
const deps = { metrics: async () => ({ contentType: 'text/plain', content: 'livehook_up 1\n' }), token: undefined };
const timeouts = { headersTimeout: 15_000, requestTimeout: 60_000 };

describe('The metrics', () => {
  test('with LIVEHOOK_METRICS_TOKEN are shown to those who send it, and to nobody else', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ url }) => {
        const scrape = (authorization?: string) =>
          fetch(`${url}/metrics`, { headers: authorization === undefined ? {} : { authorization } });
        for (const wrong of [undefined, '', TOKEN, `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, 'Bearer', `Basic ${TOKEN}`]) {
          const refused = await scrape(wrong);
          expect([refused.status, refused.headers.get('www-authenticate'), await refused.json()]).toEqual([
            401,
            'Bearer',
            { errors: [{ message: expect.stringContaining('LIVEHOOK_METRICS_TOKEN'), extensions: { code: 'UNAUTHENTICATED' } }] },
          ]);
        }
        for (const right of [`Bearer ${TOKEN}`, `bearer  ${TOKEN} `]) {
          const answer = await scrape(right);
          expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('livehook_database_up 1')]);
        }
        expect((await fetch(`${url}/healthz`)).status).toBe(200);
      },
      { environment: { LIVEHOOK_METRICS_TOKEN: TOKEN } },
    );
  });

  test('with LIVEHOOK_METRICS_PORT are there, behind the token as well, and not where the API is', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ hub, url }) => {
        const { metricsUrl = '' } = hub;
        expect(new URL(metricsUrl).port).not.toBe(new URL(url).port);
        expect((await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(404);
        expect((await fetch(metricsUrl)).status).toBe(401);
        const answer = await fetch(metricsUrl, { headers: { authorization: `Bearer ${TOKEN}` } });
        expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
        expect(await answer.text()).toContain('livehook_database_up 1');
        for (const path of ['/', '/graphql', '/healthz', '/metrics/']) expect((await fetch(new URL(path, metricsUrl))).status).toBe(404);
        expect((await fetch(metricsUrl, { method: 'POST' })).status).toBe(404);
        await hub.stop();
        await expect(fetch(metricsUrl)).rejects.toThrow();
      },
      { environment: { LIVEHOOK_METRICS_TOKEN: TOKEN, LIVEHOOK_METRICS_PORT: '0' } },
    );
  });

  test('on a port of their own need no token where none is set', async () => {
    const server = new MetricsServer(deps, timeouts);
    const url = await server.start('127.0.0.1', 0);
    expect(await (await fetch(url)).text()).toBe('livehook_up 1\n');
    await server.stop();
  });
});

describe('Every answer', () => {
  test.each([
    ['https://hooks.example.com', 'max-age=31536000'],
    ['http://hooks.example.com', null],
    ['', null],
  ])('with LIVEHOOK_PUBLIC_URL=%s says how browsers come back, and what they may keep', async (publicUrl, hsts) => {
    await withHub(
      createSqliteDatabase,
      async ({ url, application }) => {
        const { key } = await application();
        const authorization = `Bearer ${key}`;
        const json = { 'content-type': 'application/json' };
        const viewer = JSON.stringify({ query: '{ viewer { admin } }' });
        const schema = JSON.stringify({ query: '{ __schema { types { name } } }' });
        const answers: [string, string, RequestInit][] = [
          ['an answer', '/graphql', { method: 'POST', headers: { ...json, authorization }, body: viewer }],
          ['one without a key', '/graphql', { method: 'POST', headers: json, body: viewer }],
          ['the schema', '/graphql', { method: 'POST', headers: json, body: schema }],
          ['the schema, kept', '/graphql', { method: 'POST', headers: json, body: schema }],
          [
            'an event stream',
            '/graphql',
            { method: 'POST', headers: { ...json, authorization, accept: 'text/event-stream' }, body: viewer },
          ],
          ['no JSON', '/graphql', { method: 'POST', headers: json, body: '{' }],
          ['too much without a key', '/graphql', { method: 'POST', headers: json, body: ' '.repeat(100_000) }],
          ['no such path', '/nothing', {}],
          ['a probe', '/readyz', {}],
          ['metrics', '/metrics', {}],
        ];
        for (const [what, path, request] of answers) {
          const { headers } = await fetch(`${url}${path}`, request);
          expect([what, headers.get('cache-control')]).toEqual([what, expect.stringMatching(/^no-store(, no-transform)?$/)]);
          expect([what, headers.get('strict-transport-security')]).toEqual([what, hsts]);
          expect([what, headers.get('x-content-type-options')]).toEqual([what, 'nosniff']);
          expect([what, headers.get('referrer-policy')]).toEqual([what, 'no-referrer']);
        }
        for (const [path, accept] of [
          ['/', '*/*'],
          ['/graphql', 'text/html'],
          ['/assets/livehook-graphiql.js', '*/*'],
        ] as const) {
          const { headers } = await fetch(`${url}${path}`, { headers: { accept } });
          expect([path, headers.get('cache-control'), headers.get('strict-transport-security')]).toEqual([path, 'no-cache', hsts]);
        }
      },
      { environment: { LIVEHOOK_PUBLIC_URL: publicUrl } },
    );
  });
});

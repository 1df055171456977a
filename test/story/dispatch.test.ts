import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { gate } from '../support/gate';
import type { Client } from '../support/graphql-client';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

interface Header {
  readonly name: string;
  readonly value: string;
}

interface AttemptNode {
  readonly number: number;
  readonly trigger: string;
  readonly outcome: string;
  readonly statusCode: number | null;
  readonly error: string | null;
  readonly durationMs: number;
  readonly requestHeaders: readonly Header[];
  readonly responseHeaders: readonly Header[];
  readonly responseBody: string | null;
  readonly responseTruncated: boolean;
}

interface DeliveryNode {
  readonly status: string;
  readonly attemptCount: number;
  readonly nextAttemptAt: string | null;
  readonly attempts: { readonly nodes: readonly AttemptNode[] };
}

const DELIVERIES = `query ($id: ID!) { webhook(id: $id) { status deliveries(first: 10) { nodes { status attemptCount nextAttemptAt
  attempts(first: 10) { nodes { number trigger outcome statusCode error durationMs responseBody responseTruncated
    requestHeaders { name value } responseHeaders { name value } } } } } } }`;

async function look(client: Client, id: string): Promise<{ status: string; deliveries: readonly DeliveryNode[] }> {
  const { webhook } = await client.query<{ webhook: { status: string; deliveries: { nodes: DeliveryNode[] } } }>(DELIVERIES, { id });
  return { status: webhook.status, deliveries: webhook.deliveries.nodes };
}

/** The deliveries of a webhook once so many attempts of the newest one are written down. */
async function attempted(client: Client, id: string, attempts = 1): Promise<readonly DeliveryNode[]> {
  return until(
    async () => {
      const { deliveries } = await look(client, id);
      return (deliveries[0]?.attemptCount ?? 0) >= attempts && deliveries;
    },
    { description: `${attempts} attempts of ${id}` },
  );
}

const publishMany = (shop: TestApplication, count: number, type = 'order.created') =>
  shop.client.mutate('mutation ($input: EventsPublishInput!) { eventsPublish(input: $input) { userErrors { message } } }', {
    input: { events: Array.from({ length: count }, (_, no) => ({ type, payload: { no } })) },
  });

const ONCE = { retrySchedule: [] };

/** A server below HTTP, for answers that Node would not give. */
async function rawServer(answer: (socket: Socket) => void): Promise<{ url: string; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

describeEachDatabase('What an attempt leaves behind', (makeDatabase) => {
  test('each kind of outcome is recorded with a readable error, and the request as it was sent', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const cut = await rawServer((socket) => socket.destroy());
      const noise = await rawServer((socket) => socket.end('this is not HTTP\r\n\r\n'));
      receiver.answer('/ok', { status: 201, body: 'done', headers: { 'x-answer': 'yes' } });
      receiver.answer('/broken', { status: 503, body: 'later' });
      receiver.answer('/moved', { status: 302, headers: { location: 'http://127.0.0.1:1/elsewhere' } });
      receiver.answer('/hangs', { hang: true });
      const cases = [
        { url: receiver.url('/ok'), outcome: 'SUCCESS', error: null, statusCode: 201, responseBody: 'done' },
        { url: receiver.url('/broken'), outcome: 'HTTP_ERROR', error: /answered 503/, statusCode: 503, responseBody: 'later' },
        {
          url: receiver.url('/moved'),
          outcome: 'REDIRECT',
          error: /redirect to http:\/\/127\.0\.0\.1:1\/elsewhere/,
          statusCode: 302,
          responseBody: '',
        },
        {
          url: receiver.url('/hangs'),
          outcome: 'TIMEOUT',
          error: /no complete response within 1000 ms/,
          statusCode: null,
          responseBody: null,
        },
        {
          url: 'http://127.0.0.1:1/',
          outcome: 'CONNECT',
          error: /connection refused by 127\.0\.0\.1:1/,
          statusCode: null,
          responseBody: null,
        },
        { url: cut.url, outcome: 'CONNECT', error: /connection was/, statusCode: null, responseBody: null },
        { url: noise.url, outcome: 'HTTP_ERROR', error: /not HTTP/, statusCode: null, responseBody: null },
        { url: receiver.url('/').replace('http:', 'https:'), outcome: 'TLS', error: /TLS/, statusCode: null, responseBody: null },
        { url: 'http://nowhere.invalid/', outcome: 'DNS', error: /cannot resolve nowhere\.invalid/, statusCode: null, responseBody: null },
      ];
      const webhooks = await Promise.all(
        cases.map(({ url }, index) =>
          shop.webhook(`/case-${index}`, {
            url,
            timeoutSeconds: url.includes('hangs') ? 1 : 15,
            ...ONCE,
            headers: [{ name: 'X-Own', value: 'mine' }],
          }),
        ),
      );
      try {
        await shop.publish();
        for (const [index, { url: _, error, ...expected }] of cases.entries()) {
          const [delivery] = await attempted(shop.client, webhooks[index]?.id ?? '');
          expect(delivery).toMatchObject({
            status: expected.outcome === 'SUCCESS' ? 'SUCCEEDED' : 'FAILED',
            attemptCount: 1,
            nextAttemptAt: null,
          });
          const [attempt] = delivery?.attempts.nodes ?? [];
          expect(attempt).toMatchObject({ ...expected, number: 1, trigger: 'FIRST', responseTruncated: false });
          if (error === null) expect(attempt?.error).toBeNull();
          else expect(attempt?.error).toMatch(error);
          const names = attempt?.requestHeaders.map(({ name }) => name) ?? [];
          expect(names).toEqual(expect.arrayContaining(['content-type', 'webhook-id', 'webhook-signature', 'livehook-attempt', 'x-own']));
        }
        const [ok] = (await attempted(shop.client, webhooks[0]?.id ?? ''))[0]?.attempts.nodes ?? [];
        expect(ok?.responseHeaders).toContainEqual({ name: 'x-answer', value: 'yes' });
        const [request] = receiver.requests('/ok');
        // Of the webhook's own headers the record has masks.
        const sent: Record<string, unknown> = { ...request?.headers, 'x-own': '••••' };
        for (const { name, value } of ok?.requestHeaders ?? []) expect([name, sent[name]]).toEqual([name, value]);
        expect(receiver.requests('/moved')).toHaveLength(1);
      } finally {
        await Promise.all([cut.close(), noise.close()]);
      }
    });
  });

  test('a response body that is no text, or too long, is kept as far as it can be', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const bodies: Record<string, Buffer> = {
        '/nul': Buffer.from('a\0b'),
        '/latin': Buffer.from([0x63, 0x61, 0x66, 0xe9, 0xff]),
        '/wide': Buffer.from('漢'.repeat(20_000)),
        '/long': Buffer.alloc(200_000, 'x'),
        '/invalid': Buffer.alloc(64 * 1024, 0xff),
      };
      for (const [path, body] of Object.entries(bodies)) receiver.answer(path, { status: 200, body });
      const ids = new Map<string, string>();
      for (const path of Object.keys(bodies)) ids.set(path, (await shop.webhook(path, ONCE)).id);
      await shop.publish();
      const kept = new Map<string, AttemptNode | undefined>();
      for (const [path, id] of ids) kept.set(path, (await attempted(shop.client, id))[0]?.attempts.nodes[0]);
      for (const attempt of kept.values()) expect(attempt).toMatchObject({ outcome: 'SUCCESS', statusCode: 200 });
      expect(kept.get('/nul')).toMatchObject({ responseBody: 'a\ufffdb', responseTruncated: false });
      expect(kept.get('/latin')).toMatchObject({ responseBody: 'caf\ufffd\ufffd', responseTruncated: false });
      expect(kept.get('/wide')).toMatchObject({ responseBody: '漢'.repeat(20_000), responseTruncated: false });
      expect(kept.get('/long')).toMatchObject({ responseBody: 'x'.repeat(64 * 1024), responseTruncated: true });
      expect(kept.get('/invalid')).toMatchObject({ responseBody: '\ufffd'.repeat(64 * 1024), responseTruncated: false });
    });
  });

  test('410 disables the webhook: what had left ends, what waits is kept, nothing new comes', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/gone', { status: 410 });
      const { id } = await shop.webhook('/gone', { maxConcurrency: 1, retrySchedule: [1, 1, 1] });
      await shop.publish();
      await until(async () => (await look(shop.client, id)).status === 'DISABLED', { description: 'the webhook to be disabled' });
      await shop.publish();
      const { deliveries } = await look(shop.client, id);
      expect(deliveries).toMatchObject([{ status: 'FAILED', attemptCount: 1, nextAttemptAt: null }]);
      expect(receiver.requests('/gone')).toHaveLength(1);
    });
  });

  test('Retry-After is followed where it is later than the schedule, up to the longest delay of it; jitter only adds', async () => {
    await withHub(
      makeDatabase,
      async ({ application, receiver, databaseUrl }) => {
        const shop = await application();
        const cases = [
          { path: '/none', retryAfter: undefined, from: 100_000, to: 110_000 },
          { path: '/seconds', retryAfter: '200', from: 200_000, to: 200_000 },
          { path: '/earlier', retryAfter: '3', from: 100_000, to: 110_000 },
          { path: '/too-late', retryAfter: '9999', from: 300_000, to: 300_000 },
          { path: '/date', retryAfter: new Date(Date.now() + 250_000).toUTCString(), from: 200_000, to: 250_000 },
          { path: '/nonsense', retryAfter: 'soon', from: 100_000, to: 110_000 },
        ];
        const ids: string[] = [];
        for (const { path, retryAfter } of cases) {
          receiver.answer(path, { status: 503, ...(retryAfter && { headers: { 'retry-after': retryAfter } }) });
          ids.push((await shop.webhook(path, { retrySchedule: [100, 300] })).id);
        }
        await shop.publish();
        for (const [index, { path, from, to }] of cases.entries()) {
          await attempted(shop.client, ids[index] ?? '');
          const delayMs = await withRows(databaseUrl, async (query) => {
            const [row] = await query<{ due_at: number; ended: number }>(
              `SELECT d.due_at, a.started_at + a.duration_ms AS ended FROM deliveries d, attempts a
                WHERE d.webhook_id = ? AND a.id > ? AND SUBSTR(a.id, 5, 31) = SUBSTR(d.id, 5, 31)`,
              [ids[index], 'att_'],
            );
            return Number(row?.due_at) - Number(row?.ended);
          });
          // The outcome is written, and the delay begins, a moment after the attempt has ended.
          expect([path, delayMs >= from - 5 && delayMs <= to + 5_000]).toEqual([path, true]);
        }
      },
      { random: () => 0.999 },
    );
  });

  test('a webhook’s own schedule decides how often and a delivery that ran out of it has FAILED', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/own', { status: 500 }).answer('/default', { status: 500 });
      const own = await shop.webhook('/own', { retrySchedule: [1] });
      const byDefault = await shop.webhook('/default');
      await shop.publish();
      const [delivery] = await attempted(shop.client, own.id, 2);
      expect(delivery).toMatchObject({ status: 'FAILED', attemptCount: 2 });
      expect(delivery?.attempts.nodes.map(({ trigger }) => trigger)).toEqual(['FIRST', 'AUTOMATIC']);
      expect(await attempted(shop.client, byDefault.id, 4)).toMatchObject([{ status: 'FAILED', attemptCount: 4 }]);
      expect(receiver.requests('/own').map(({ headers }) => headers['livehook-attempt'])).toEqual(['1', '2']);
    });
  });

  test('the deadline covers a body that trickles in for ever', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const timers = new Set<NodeJS.Timeout>();
      const trickle = await rawServer((socket) => {
        socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
        timers.add(setInterval(() => socket.write('1\r\nx\r\n'), 20));
      });
      try {
        const { id } = await shop.webhook('/unused', { url: trickle.url, timeoutSeconds: 1, ...ONCE });
        await shop.publish();
        const [delivery] = await attempted(shop.client, id);
        expect(delivery?.attempts.nodes).toMatchObject([
          { outcome: 'TIMEOUT', statusCode: 200, responseBody: expect.stringMatching(/^x+$/) },
        ]);
      } finally {
        for (const timer of timers) clearInterval(timer);
        await trickle.close();
      }
    });
  });
});

describe('Sending', () => {
  test('maxConcurrency is reached and never exceeded, over connections that are used again', async () => {
    await withHub(createSqliteDatabase, async ({ application, receiver }) => {
      const shop = await application();
      let now = 0;
      let most = 0;
      receiver.answer('/hook', async () => {
        most = Math.max(most, ++now);
        await until(() => most === 7, { description: 'seven requests at once' });
        await new Promise((resolve) => setImmediate(resolve));
        now--;
        return {};
      });
      await shop.webhook('/hook', { maxConcurrency: 7 });
      await publishMany(shop, 200);
      await receiver.waitFor(200, '/hook');
      expect(most).toBe(7);
      expect(receiver.connections('/hook')).toBeLessThanOrEqual(7);
    });
  });

  test('webhooks that hang delay neither their neighbours nor publishing', async () => {
    await withHub(createSqliteDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const hanging = gate();
      receiver.answer('/hangs', hanging.answer);
      for (let count = 0; count < 10; count++) await shop.webhook('/hangs', { timeoutSeconds: 30, maxConcurrency: 10 });
      await shop.webhook('/healthy');
      for (let round = 0; round < 5; round++) await publishMany(shop, 100);
      await receiver.waitFor(500, '/healthy');
      await receiver.waitFor(100, '/hangs');
      expect(receiver.requests('/hangs')).toHaveLength(100); // ten each, and no more
      hanging.open();
    });
  });

  test('300 webhooks that hang leave room for a healthy one, even one that comes last', async () => {
    await withHub(createSqliteDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const hanging = gate();
      const paths = Array.from({ length: 300 }, (_, index) => `/hangs-${index}`);
      for (const path of paths) receiver.answer(path, hanging.answer);
      const settings = { timeoutSeconds: 30, maxConcurrency: 10, eventTypes: ['order.created'] };
      for (let start = 0; start < paths.length; start += 20)
        await Promise.all(paths.slice(start, start + 20).map((path) => shop.webhook(path, settings)));
      await publishMany(shop, 10);
      await receiver.waitFor(900);
      await shop.webhook('/healthy', { eventTypes: ['order.paid'] });
      await publishMany(shop, 50, 'order.paid');
      await receiver.waitFor(50, '/healthy');
      expect(receiver.requests().length).toBeLessThanOrEqual(1_024 + 50);
      hanging.open();
    });
  });

  test('what is changed applies to what already waits: the new URL, and nothing while it is paused', async () => {
    await withHub(createSqliteDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const held = gate();
      receiver.answer('/old', held.answer);
      const { id, signingSecret } = await shop.webhook('/old', { maxConcurrency: 1 });
      receiver.trust('/new', signingSecret);
      await publishMany(shop, 20);
      await receiver.waitFor(1, '/old');
      await shop.client.mutate('mutation ($id: ID!) { webhookPause(id: $id) { userErrors { message } } }', { id });
      held.open();
      await until(async () => (await look(shop.client, id)).deliveries.length === 10, { description: 'the deliveries' });
      await shop.client.mutate(
        'mutation ($id: ID!, $url: String!) { webhookUpdate(id: $id, input: { url: $url }) { userErrors { message } } }',
        {
          id,
          url: receiver.url('/new'),
        },
      );
      expect(receiver.requests('/old')).toHaveLength(1);
      expect(receiver.requests('/new')).toHaveLength(0);
      await shop.client.mutate('mutation ($id: ID!) { webhookResume(id: $id) { userErrors { message } } }', { id });
      const requests = await receiver.waitFor(19, '/new');
      expect(requests.every(({ verified }) => verified)).toBe(true);
      expect(receiver.requests('/old')).toHaveLength(1);
    });
  });
});

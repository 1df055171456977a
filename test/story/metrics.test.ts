import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { gate } from '../support/gate';
import { startMariadb } from '../support/mariadb';
import { mutate } from '../support/mutate';
import { askOver, codesOf, TRANSPORTS } from '../support/transports';
import { until } from '../support/until';
import { type TestHub, withHub } from '../support/with-hub';

type Samples = ReadonlyMap<string, number>;

/** What `/metrics` says: values by name and labels, as they are written. */
async function scrape(url: string): Promise<Samples> {
  const response = await fetch(`${url}/metrics`);
  expect(response.status).toBe(200);
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

/** Scrapes until a value is as expected: what is written down is counted a moment after the receiver has answered. */
async function scraped(url: string, name: string, value: number): Promise<Samples> {
  return until(
    async () => {
      const samples = await scrape(url);
      return samples.get(name) === value && samples;
    },
    { description: `${name} to be ${value}` },
  );
}

describeEachDatabase('/metrics', (makeDatabase) => {
  test('counts what was accepted, deduplicated, refused, delivered and failed, by cause', async () => {
    await withHub(makeDatabase, async ({ application, receiver, url }) => {
      const shop = await application();
      await shop.webhook('/good');
      await shop.webhook('/bad', { retrySchedule: [] });
      await shop.webhook('/wobbly', { retrySchedule: [1] });
      receiver.answer('/bad', { status: 500 });
      receiver.answer('/wobbly', (_request, nth) => (nth === 1 ? { destroy: true } : {}));
      await shop.publish({ idempotencyKey: 'once' });
      await shop.publish({ idempotencyKey: 'once' });
      await mutate(shop.client, 'eventPublish', { input: { type: 'no type', payload: {} } });
      await mutate(shop.client, 'eventsPublish', {
        input: {
          events: [
            { type: 'no type', payload: {} },
            { type: 'order.created', applicationId: 'another', payload: {} },
          ],
        },
      });

      const samples = await scraped(url, 'livehook_deliveries_succeeded_total', 2);
      expect(
        Object.fromEntries(
          [...samples].filter(([name, value]) => value > 0 && /^livehook_(events|attempts|deliveries_\w+_total)/.test(name)),
        ),
      ).toEqual({
        livehook_events_accepted_total: 1,
        livehook_events_deduplicated_total: 1,
        'livehook_events_refused_total{code="INVALID"}': 3,
        'livehook_attempts_total{outcome="SUCCESS"}': 2,
        'livehook_attempts_total{outcome="HTTP_ERROR"}': 1,
        'livehook_attempts_total{outcome="CONNECT"}': 1,
        livehook_deliveries_succeeded_total: 2,
        livehook_deliveries_failed_total: 1,
      });
      expect(samples.get('livehook_commit_seconds_count')).toBeGreaterThanOrEqual(2); // and those of the hub's own events
      expect(samples.get('livehook_settle_attempts_sum')).toBe(4);
      expect(samples.get('livehook_dispatch_delay_seconds_count')).toBe(3);
    });
  });

  test('says what waits and since when, but for webhooks that are paused', async () => {
    await withHub(makeDatabase, async ({ application, receiver, url, hub, startAnother }) => {
      const shop = await application();
      const { id } = await shop.webhook('/paused');
      await mutate(shop.client, 'webhookPause', { id });
      await shop.publish();
      await shop.webhook('/failing', { retrySchedule: [3_600] });
      receiver.answer('/failing', { status: 503 });
      await shop.publish();
      const samples = await scraped(url, 'livehook_attempts_total{outcome="HTTP_ERROR"}', 1);
      expect(samples.get('livehook_lease_held')).toBe(1);
      expect(samples.get('livehook_lease_age_seconds')).toBeLessThan(9);
      expect(samples.get('livehook_database_up')).toBe(1);
      expect(samples.get('livehook_instances')).toBe(1);
      await hub.stop();
      const { url: next } = await startAnother(); // whose first look is after all that
      const after = await scrape(next);
      expect(after.get('livehook_deliveries_waiting')).toBe(3);
      expect(after.get('livehook_deliveries_oldest_due_seconds')).toBe(0);
    });
  });
});

describe('/metrics', () => {
  test('is open, in the text format, with those of the process, and names no tenant', async () => {
    await withHub(createSqliteDatabase, async ({ application, receiver, url }) => {
      const shop = await application();
      const { id } = await shop.webhook('/orders');
      await shop.publish();
      await receiver.waitFor(1);
      const response = await fetch(`${url}/metrics`);
      expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
      const text = await response.text();
      expect(text).toContain('process_cpu_seconds_total');
      expect(text).toContain('nodejs_eventloop_lag_seconds');
      expect(text).toMatch(/^livehook_build_info\{version="\d/m);
      for (const name of [shop.id, id, 'order.created']) expect(text).not.toContain(name);
      expect((await fetch(`${url}/metrics`, { method: 'HEAD' })).status).toBe(200);
      expect((await fetch(`${url}/metrics`, { method: 'POST' })).status).toBe(404);
    });
  });

  test('of two hubs in one process are apart', async () => {
    await withHub(createSqliteDatabase, async (one: TestHub) => {
      await withHub(createSqliteDatabase, async (other: TestHub) => {
        await (await one.application()).publish();
        expect((await scrape(one.url)).get('livehook_events_accepted_total')).toBe(1);
        expect((await scrape(other.url)).get('livehook_events_accepted_total')).toBe(0);
      });
    });
  });

  test('counts the live subscribers by transport', async () => {
    await withHub(createSqliteDatabase, async ({ application, url }) => {
      const shop = await application();
      const sse = shop.client.subscribeSse('subscription { event { id } }');
      const socket = shop.client.subscribe('subscription { event { id } }');
      const samples = await scraped(url, 'livehook_live_followers', 2);
      expect(samples.get('livehook_subscribers{transport="sse"}')).toBe(1);
      expect(samples.get('livehook_subscribers{transport="websocket"}')).toBe(1);
      await sse.return();
      await socket.return();
      await scraped(url, 'livehook_live_followers', 0);
    });
  });
});

describe('livehook_events_refused_total', () => {
  const ONE = 'mutation eventPublish($input: EventPublishInput!) { eventPublish(input: $input) { event { id } } }';
  const MANY = 'mutation ($input: EventsPublishInput!) { eventsPublish(input: $input) { userErrors { code } } }';
  const event = { type: 'a.b', payload: {} };

  test.each(TRANSPORTS)('counts every event of what is refused before it runs, once, over %s', async (transport) => {
    await withHub(
      createSqliteDatabase,
      async ({ application, client, url }) => {
        const shop = await application();
        const counted = async (code: string) => (await scrape(url)).get(`livehook_events_refused_total{code="${code}"}`);
        await until(async () => !codesOf(await askOver(transport, shop.client, '{ viewer { admin } }')).includes('RATE_LIMITED'), {
          description: 'the key to have a request to spare',
        });
        const codes = await Promise.all([
          ...[1, 2, 3].map(async () => codesOf(await askOver(transport, shop.client, ONE, { input: event }))[0]),
          ...[1, 2, 3].map(
            async () => codesOf(await askOver(transport, shop.client, MANY, { input: { events: [event, event, event] } }))[0],
          ),
          askOver(transport, shop.client, '{ viewer { admin } }').then(() => undefined),
        ]);
        const refused = codes.reduce<number>((sum, code, index) => sum + (code === 'RATE_LIMITED' ? (index < 3 ? 1 : 3) : 0), 0);
        expect(refused).toBeGreaterThan(6);
        await scraped(url, 'livehook_events_refused_total{code="RATE_LIMITED"}', refused);

        if (transport === 'HTTP') {
          const stranger = client('lhk_unknown');
          expect(codesOf(await askOver(transport, stranger, ONE, { input: event }))).toEqual(['UNAUTHENTICATED']);
          expect(await counted('UNAUTHENTICATED')).toBe(1);
        }
        const wrong = await until(
          async () => {
            const [code] = codesOf(await askOver(transport, shop.client, ONE, { input: { type: 'a.b' } }));
            return code !== 'RATE_LIMITED' && code;
          },
          { description: 'the key to have a request to spare' },
        );
        expect([wrong, await counted(String(wrong))]).toEqual(['BAD_USER_INPUT', 1]);
      },
      { environment: { LIVEHOOK_REQUESTS_PER_SECOND: '1' } },
    );
  });
});

describe('/metrics while the database is away', () => {
  test('answers, says so, and counts what was turned away and what waits to be written', async () => {
    const server = await startMariadb();
    const makeDatabase = async () => ({ url: server.url, drop: () => server.stop() });
    await withHub(makeDatabase, async ({ application, client, receiver, url }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const slow = gate();
      receiver.answer('/hook', slow.answer);
      await shop.publish();
      await receiver.waitFor(1, '/hook');
      expect((await scraped(url, 'livehook_database_up', 1)).get('livehook_dispatch_in_flight')).toBe(1);
      await server.kill('SIGKILL');
      slow.open();
      await shop.client.request('mutation { eventPublish(input: { type: "a", payload: 1 }) { event { id } } }');
      const away = await scraped(url, 'livehook_database_up', 0);
      expect(away.get('livehook_events_refused_total{code="UNAVAILABLE"}')).toBe(1);
      // Nobody knows whose key it is.
      const stranger = await client('lhk_unknown').request('mutation { eventPublish(input: { type: "a", payload: 1 }) { event { id } } }');
      expect(codesOf(stranger)).toEqual(['UNAVAILABLE']);
      await scraped(url, 'livehook_events_refused_total{code="UNAVAILABLE"}', 2);
      expect(away.get('livehook_attempts_total{outcome="SUCCESS"}')).toBe(0);
      await server.restart();
      await scraped(url, 'livehook_attempts_total{outcome="SUCCESS"}', 1);
      await scraped(url, 'livehook_database_up', 1);
    });
  });
});

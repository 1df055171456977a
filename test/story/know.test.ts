import { describeEachDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { mutate, mutated } from '../support/mutate';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

interface OwnEvent {
  readonly type: string;
  readonly payload: Record<string, unknown>;
}

interface Stats {
  readonly attempts: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

/** Oldest first. */
async function ownEventsOf({ client }: TestApplication): Promise<OwnEvent[]> {
  const { events } = await client.query<{ events: { nodes: OwnEvent[] } }>(
    '{ events(first: 100, filter: { types: ["livehook.*"] }) { nodes { type payload } } }',
  );
  return events.nodes.reverse();
}

const ownTypes = async (shop: TestApplication) => (await ownEventsOf(shop)).map(({ type }) => type);

async function statsOf({ client }: TestApplication, id: string, window = ''): Promise<Stats> {
  const { webhook } = await client.query<{ webhook: { stats: Stats } }>(
    `query ($id: ID!) { webhook(id: $id) { stats${window} { attempts succeeded failed p50Ms p95Ms p99Ms } } }`,
    { id },
  );
  return webhook.stats;
}

describeEachDatabase('Knowing how webhooks do', (makeDatabase) => {
  test('statistics count every attempt, and tell how long they take', async () => {
    await withHub(makeDatabase, async ({ application, receiver, startAnother, databaseUrl }) => {
      const shop = await application();
      const { id } = await shop.webhook('/mixed', { retrySchedule: [1] });
      expect(await statsOf(shop, id)).toEqual({ attempts: 0, succeeded: 0, failed: 0, p50Ms: null, p95Ms: null, p99Ms: null });
      receiver.answer('/mixed', (_, nth) => (nth === 2 ? { status: 500 } : {}));
      for (let no = 0; no < 4; no++) await shop.publish({ payload: { no } });
      const stats = await until(
        async () => {
          const now = await statsOf(shop, id);
          return now.attempts === 5 && now;
        },
        { description: 'five attempts to be counted' },
      );
      expect(stats).toMatchObject({ succeeded: 4, failed: 1 });
      const { p50Ms, p95Ms, p99Ms } = stats;
      expect(p50Ms).toBeGreaterThan(0);
      expect([p50Ms, p95Ms, p99Ms]).toEqual([p50Ms, p95Ms, p99Ms].sort((a, b) => Number(a) - Number(b)));
      for (const window of ['HOUR', 'DAY', 'WEEK']) expect(await statsOf(shop, id, `(window: ${window})`)).toEqual(stats);
      if (databaseUrl.startsWith('sqlite')) return;
      const other = await startAnother();
      expect(await statsOf({ ...shop, client: new Client(other.url, shop.key) }, id)).toEqual(stats);
    });
  });

  test('attempts tell where the time went', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook', { maxConcurrency: 1 });
      const timings = async () => {
        const { webhook } = await shop.client.query<{
          webhook: { deliveries: { nodes: { attempts: { nodes: { durationMs: number; timings: Record<string, number | null> }[] } }[] } };
        }>(
          `query ($id: ID!) { webhook(id: $id) { deliveries { nodes { attempts { nodes {
            durationMs timings { dnsMs connectMs tlsMs firstByteMs totalMs } } } } } } }`,
          { id },
        );
        return webhook.deliveries.nodes.flatMap(({ attempts }) => attempts.nodes).reverse();
      };
      for (const count of [1, 2]) {
        await shop.publish();
        await until(async () => (await timings()).length === count, { description: `${count} attempts` });
      }
      const took = expect.any(Number);
      const [first, second] = await timings();
      expect(first?.timings).toEqual({ dnsMs: null, connectMs: took, tlsMs: null, firstByteMs: took, totalMs: first?.durationMs });
      expect(second?.timings).toEqual({ dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: took, totalMs: second?.durationMs });
    });
  });

  test('the hub tells of failing, recovered and disabled webhooks and of failed deliveries, to those who ask for it by name', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      let status = 500;
      receiver.answer('/partner', () => ({ status }));
      const partner = await shop.webhook('/partner?token=hush', { retrySchedule: [], eventTypes: ['*'] });
      receiver.trust('/partner', partner.signingSecret);
      await shop.webhook('/watcher', { eventTypes: ['livehook.*'] });
      await shop.webhook('/picky', { eventTypes: ['livehook.webhook.disabled', 'order.refused'] });
      const live = shop.client.subscribe<{ event: OwnEvent }>(
        'subscription ($after: String) { event(types: ["livehook.*"], after: $after) { type payload } }',
        { after: Buffer.from(`event:${shop.id}:0`).toString('base64url') },
      );
      const failed = await shop.publish();
      const turned = await until(
        async () => {
          const events = await ownEventsOf(shop);
          return events.length === 2 && events;
        },
        { description: 'the failure to be told' },
      );
      const about = { webhookId: partner.id, url: receiver.url('/partner'), reason: 'the receiver answered 500' };
      expect(turned).toContainEqual({ type: 'livehook.webhook.failing', payload: { ...about, failingSince: expect.any(String) } });
      expect(turned).toContainEqual({
        type: 'livehook.delivery.failed',
        payload: {
          ...about,
          deliveryId: expect.stringMatching(/^dlv_/),
          eventId: failed.id,
          eventType: 'order.created',
          attempts: 1,
          failedAt: expect.any(String),
        },
      });
      status = 204;
      await shop.publish();
      await until(async () => (await ownTypes(shop)).at(-1) === 'livehook.webhook.recovered', { description: 'the recovery to be told' });
      status = 410;
      await shop.publish();
      await until(async () => (await ownTypes(shop)).includes('livehook.webhook.disabled'), { description: 'the disabling to be told' });
      const all = await until(
        async () => {
          const types = await ownTypes(shop);
          return types.filter((type) => type === 'livehook.delivery.failed').length === 2 && types;
        },
        { description: 'both failed deliveries to be told' },
      );
      expect((await live.take(all.length)).map(({ event }) => event.type)).toEqual(all);
      const watched = await receiver.waitFor(all.length, '/watcher');
      expect(watched.map(({ headers }) => headers['livehook-event-type']).sort()).toEqual([...all].sort());
      expect(watched.every(({ verified }) => verified)).toBe(true);
      const [picked] = await receiver.waitFor(1, '/picky');
      expect(JSON.parse(String(picked?.body)).data).toMatchObject({ webhookId: partner.id, reason: 'The receiver answered 410 Gone' });
      expect(JSON.stringify(await ownEventsOf(shop))).not.toContain('hush');
      const types = receiver.requests('/partner').map(({ headers }) => headers['livehook-event-type']);
      expect(types).toEqual(['order.created', 'order.created', 'order.created']);
    });
  });

  test("the hub's own events never tell of themselves: a watcher that fails is told nobody", async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/partner', { status: 500 }).answer('/watcher', { status: 500 });
      await shop.webhook('/partner', { retrySchedule: [] });
      const watcher = await shop.webhook('/watcher', { eventTypes: ['livehook.*'], retrySchedule: [] });
      await shop.publish();
      await receiver.waitFor(2, '/watcher');
      await until(
        async () => {
          const { webhook } = await shop.client.query<{ webhook: { health: string; stats: Stats } }>(
            'query ($id: ID!) { webhook(id: $id) { health stats { failed } } }',
            { id: watcher.id },
          );
          return webhook.health === 'FAILING' && webhook.stats.failed === 2;
        },
        { description: 'the watcher to be known as failing' },
      );
      // Whatever it would have caused stands in the log before the next event of somebody else.
      await shop.publish({ type: 'order.refused' });
      await until(async () => (await ownTypes(shop)).length === 3, { description: 'the second failed delivery to be told' });
      expect((await ownTypes(shop)).sort()).toEqual(['livehook.delivery.failed', 'livehook.delivery.failed', 'livehook.webhook.failing']);
      expect((await ownEventsOf(shop)).filter(({ payload }) => payload.webhookId === watcher.id)).toEqual([]);
    });
  });

  test('webhooks that watch each other and all fail come to an end: one event a webhook and delivery, whoever hears of it', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      const count = 8;
      for (let no = 0; no < count; no++) {
        receiver.answer(`/watcher/${no}`, { status: 400 });
        await shop.webhook(`/watcher/${no}`, { eventTypes: ['order.*', 'livehook.*'], retrySchedule: [] });
      }
      await withRows(databaseUrl, async (rows) => {
        const counted = async (sql: string) => Number((await rows<{ n: number }>(sql))[0]?.n);
        /** Every event has reached every webhook, and been given up. */
        const untilEnded = () =>
          until(
            async () =>
              (await counted("SELECT COUNT(*) AS n FROM deliveries WHERE status = 'FAILED'")) ===
              count * (await counted('SELECT COUNT(*) AS n FROM events')),
            { description: 'all deliveries to be given up' },
          );
        const told = async (type: string) => (await ownTypes(shop)).filter((each) => each === type).length;
        for (const orders of [1, 2]) {
          await shop.publish();
          await until(async () => (await told('livehook.delivery.failed')) === orders * count, {
            description: 'each delivery to be told of',
          });
          await untilEnded();
        }
        // One whose first failure was that of the hub's own event is not told of.
        expect(await told('livehook.webhook.failing')).toBeLessThanOrEqual(count);
        expect(await ownTypes(shop)).toHaveLength(2 * count + (await told('livehook.webhook.failing')));
      });
    });
  });

  test('nobody else publishes or registers types of the hub', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const input = { type: 'livehook.webhook.failing', payload: {} };
      const refused = [{ field: ['type'], message: expect.stringContaining("the hub's own"), code: 'INVALID' }];
      expect((await mutate(shop.client, 'eventPublish', { input })).userErrors).toEqual(refused);
      const { results } = await mutated<{ results: { userErrors: object[] }[] }>(
        shop.client,
        'eventsPublish',
        { input: { events: [input, { type: 'livehooks.x', payload: {} }] } },
        'results { userErrors { field message code } }',
      );
      expect(results).toEqual([{ userErrors: [{ ...refused[0], field: ['events', '0', 'type'] }] }, { userErrors: [] }]);
      const registered = await mutate(shop.client, 'eventTypeRegister', { input: { name: 'livehook.x' } });
      expect(registered.userErrors).toMatchObject([{ field: ['name'] }]);
    });
  });
});

import { describeEachDatabase } from '../support/databases';
import { createMysqlDatabase } from '../support/mariadb';
import { mutate, mutated } from '../support/mutate';
import type { ReceivedRequest } from '../support/receiver';
import { until } from '../support/until';
import { type TestApplication, type TestHub, withHub } from '../support/with-hub';

interface Health {
  readonly status: string;
  readonly health: string;
  readonly healthReason: string | null;
}

async function healthOf({ client }: Pick<TestApplication, 'client'>, id: string): Promise<Health> {
  const { webhook } = await client.query<{ webhook: Health }>('query ($id: ID!) { webhook(id: $id) { status health healthReason } }', {
    id,
  });
  return webhook;
}

async function publishAll({ client }: TestApplication, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, no) => ({ type: 'order.created', payload: { no } }));
  const { results } = await mutated<{ results: { event: object | null }[] }>(
    client,
    'eventsPublish',
    { input: { events } },
    'results { event { id } }',
  );
  expect(results.every(({ event }) => event !== null)).toBe(true);
}

async function deliveriesOf({ client }: TestApplication, webhookId: string): Promise<{ status: string; attemptCount: number }[]> {
  const { webhook } = await client.query<{ webhook: { deliveries: { nodes: { status: string; attemptCount: number }[] } } }>(
    'query ($id: ID!) { webhook(id: $id) { deliveries(first: 100) { nodes { status attemptCount } } } }',
    { id: webhookId },
  );
  return webhook.deliveries.nodes;
}

/** When the attempts of a webhook left; milliseconds since the epoch. */
async function startsOf({ client }: TestApplication, webhookId: string): Promise<number[]> {
  const { webhook } = await client.query<{ webhook: { deliveries: { nodes: { attempts: { nodes: { startedAt: string }[] } }[] } } }>(
    'query ($id: ID!) { webhook(id: $id) { deliveries(first: 40) { nodes { attempts(first: 5) { nodes { startedAt } } } } } }',
    { id: webhookId },
  );
  return webhook.deliveries.nodes.flatMap(({ attempts }) => attempts.nodes.map(({ startedAt }) => Date.parse(startedAt)));
}

const allSucceeded = (shop: TestApplication, id: string, count: number) =>
  until(
    async () => {
      const nodes = await deliveriesOf(shop, id);
      return nodes.length === count && nodes.every(({ status }) => status === 'SUCCEEDED');
    },
    { description: `${count} deliveries to succeed` },
  );

/** Milliseconds between the first and the last, by the receiver's clock; requests may be a little late, never early. */
const spanOf = (requests: readonly ReceivedRequest[]) => (requests.at(-1)?.receivedAt ?? 0) - (requests[0]?.receivedAt ?? 0);
/** The system's clock and the one that paces may differ by so much. */
const NOISE_MS = 50;

describeEachDatabase('Pace', (makeDatabase) => {
  test('a webhook gets no more requests a second than it asked for, and its neighbour all it can take', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/paced', { ratePerSecond: 10 });
      await shop.webhook('/free');
      await publishAll(shop, 31);
      const free = await receiver.waitFor(31, '/free');
      const paced = await receiver.waitFor(31, '/paced');
      await allSucceeded(shop, id, 31);
      const starts = (await startsOf(shop, id)).sort((a, b) => a - b);
      expect((starts.at(-1) ?? 0) - (starts[0] ?? 0)).toBeGreaterThanOrEqual(3_000 - NOISE_MS);
      expect(new Set(paced.map(({ headers }) => headers['webhook-id'])).size).toBe(31);
      expect(paced.every(({ headers, verified }) => verified && headers['livehook-attempt'] === '1')).toBe(true);
      const half = paced[15];
      expect(free.at(-1)?.receivedAt).toBeLessThan(half?.receivedAt ?? 0); // it did not stand in line
      expect(await healthOf(shop, id)).toMatchObject({ health: 'HEALTHY', healthReason: null });
    });
  });

  /** The examples of the guide on pace and health, word for word. */
  test('a slow partner is given a pace, and asked how it does', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { webhookCreate } = await shop.client.mutate<{ webhookCreate: { webhook: { id: string }; userErrors: object[] } }>(
        `mutation ($url: String!) {
          webhookCreate(input: { url: $url, ratePerSecond: 5, maxConcurrency: 2 }) {
            webhook { id ratePerSecond maxConcurrency }
            userErrors { field message code }
          }
        }`,
        { url: receiver.url('/partner') },
      );
      const { id } = webhookCreate.webhook;
      expect(webhookCreate).toEqual({ webhook: { id, ratePerSecond: 5, maxConcurrency: 2 }, userErrors: [] });
      await shop.publish();
      await allSucceeded(shop, id, 1);
      const { webhook } = await shop.client.query<{ webhook: { stats: object } }>(
        `query ($id: ID!) {
          webhook(id: $id) {
            status health healthReason
            stats(window: HOUR) { attempts succeeded failed p50Ms p95Ms p99Ms }
          }
        }`,
        { id },
      );
      expect(webhook).toMatchObject({ status: 'ACTIVE', health: 'HEALTHY', healthReason: null, stats: { attempts: 1, failed: 0 } });
    });
  });

  test('the pace is changed and lifted while deliveries wait for it', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/paced', { ratePerSecond: 0.01 });
      await publishAll(shop, 20);
      await receiver.waitFor(1, '/paced');
      expect((await deliveriesOf(shop, id)).filter(({ attemptCount }) => attemptCount > 0).length).toBeLessThanOrEqual(1);
      const { webhook } = await mutated<{ webhook: object }>(
        shop.client,
        'webhookUpdate',
        { id, input: { ratePerSecond: null } },
        'webhook { ratePerSecond }',
      );
      expect(webhook).toEqual({ ratePerSecond: null });
      await receiver.waitFor(20, '/paced');
    });
  });

  test.each([0, -1, 1_000.5])('a rate of %d is refused', async (ratePerSecond) => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const refused = await mutate(shop.client, 'webhookCreate', { input: { url: receiver.url('/x'), ratePerSecond } });
      expect(refused.userErrors).toEqual([{ field: ['ratePerSecond'], message: expect.stringContaining('above 0'), code: 'INVALID' }]);
      const { id } = await shop.webhook('/hook', { ratePerSecond: 2.5 });
      const changed = await mutate(shop.client, 'webhookUpdate', { id, input: { ratePerSecond } });
      expect(changed.userErrors).toMatchObject([{ field: ['ratePerSecond'] }]);
    });
  });

  test('no more requests are under way at once than the webhook allows', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      let atOnce = 0;
      let most = 0;
      receiver.answer('/narrow', async () => {
        atOnce++;
        most = Math.max(most, atOnce);
        await new Promise<void>((resolve) => setImmediate(resolve));
        atOnce--;
        return {};
      });
      const { id } = await shop.webhook('/narrow', { maxConcurrency: 3 });
      await publishAll(shop, 40);
      await allSucceeded(shop, id, 40);
      expect(most).toBeLessThanOrEqual(3);
    });
  });

  test('a receiver that says 429 with Retry-After is left alone as a whole until then, at the cost of one attempt', async () => {
    await withHub(
      makeDatabase,
      async ({ application, receiver }) => {
        const shop = await application();
        receiver.answer('/busy', (_, nth) => (nth === 1 ? { status: 429, headers: { 'retry-after': '2' } } : {}));
        const { id } = await shop.webhook('/busy', { maxConcurrency: 1 });
        await publishAll(shop, 5);
        await until(async () => (await healthOf(shop, id)).health === 'THROTTLED', { description: 'the pause to show' });
        expect((await healthOf(shop, id)).healthReason).toContain('asked for a pause');
        await allSucceeded(shop, id, 5);
        const [first, second] = receiver.requests('/busy');
        expect((second?.receivedAt ?? 0) - (first?.receivedAt ?? 0)).toBeGreaterThanOrEqual(2_000 - NOISE_MS);
        const counts = (await deliveriesOf(shop, id)).map(({ attemptCount }) => attemptCount);
        expect(counts.sort()).toEqual([1, 1, 1, 1, 2]);
      },
      { environment: { LIVEHOOK_RETRY_SCHEDULE: '1s,5s' } },
    );
  });

  test('a receiver that is away opens the circuit: deliveries wait untouched, one probes, and all go through when it is back', async () => {
    await withHub(
      makeDatabase,
      async ({ application, receiver }) => {
        const shop = await application();
        let isAway = true;
        receiver.answer('/away', () => (isAway ? { status: 502 } : {}));
        const { id } = await shop.webhook('/away', { maxConcurrency: 1 });
        await publishAll(shop, 30);
        await receiver.waitFor(5, '/away');
        await until(async () => (await healthOf(shop, id)).health === 'CIRCUIT_OPEN', { description: 'the circuit to open' });
        await receiver.waitFor(6, '/away');
        await until(async () => (await healthOf(shop, id)).health === 'CIRCUIT_OPEN', { description: 'the circuit to be open again' });
        expect((await healthOf(shop, id)).healthReason).toContain('the receiver answered 502');
        const waiting = await deliveriesOf(shop, id);
        expect(waiting.filter(({ attemptCount }) => attemptCount === 0).length).toBeGreaterThanOrEqual(20);
        expect(waiting.some(({ status }) => status === 'FAILED')).toBe(false);
        isAway = false;
        await allSucceeded(shop, id, 30);
        await until(async () => (await healthOf(shop, id)).health === 'HEALTHY', { description: 'it to be healthy' });
        const { webhook } = await shop.client.query<{ webhook: { healthHistory: { nodes: { health: string; reason: string | null }[] } } }>(
          'query ($id: ID!) { webhook(id: $id) { healthHistory { nodes { health reason } } } }',
          { id },
        );
        expect(webhook.healthHistory.nodes.slice(0, 2)).toEqual([
          { health: 'HEALTHY', reason: null },
          { health: 'CIRCUIT_OPEN', reason: expect.stringContaining('the receiver answered 502') },
        ]);
        const [probe] = receiver.requests('/away').slice(5);
        const fifth = receiver.requests('/away')[4];
        expect((probe?.receivedAt ?? 0) - (fifth?.receivedAt ?? 0)).toBeGreaterThanOrEqual(1_000 - NOISE_MS);
      },
      { environment: { LIVEHOOK_RETRY_SCHEDULE: '1s,1s,1s,1s,1s,1s,1s,1s' } },
    );
  });

  test('one delivery that is tried again and again opens the circuit, too: what is known of a receiver outlives its queue', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/slow', (_, nth) => (nth <= 5 ? { status: 504 } : {}));
      const { id } = await shop.webhook('/slow', { retrySchedule: [1, 1, 1, 1, 1, 1] });
      await shop.publish();
      await until(async () => (await healthOf(shop, id)).health === 'CIRCUIT_OPEN', { description: 'the circuit to open' });
      await shop.publish(); // not sent before the probe
      await allSucceeded(shop, id, 2);
      expect(
        receiver
          .requests('/slow')
          .slice(0, 5)
          .map(({ headers }) => headers['livehook-attempt']),
      ).toEqual(['1', '2', '3', '4', '5']);
      expect(spanOf(receiver.requests('/slow').slice(4, 6))).toBeGreaterThanOrEqual(1_000 - NOISE_MS);
    });
  });

  test('an open circuit is the webhook’s own: its neighbours are sent, and a change of the webhook closes it', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/dead', { maxConcurrency: 1, retrySchedule: [60] });
      await mutated(shop.client, 'webhookUpdate', { id, input: { url: 'http://127.0.0.1:1/dead' } });
      await publishAll(shop, 10);
      await until(async () => (await healthOf(shop, id)).health === 'CIRCUIT_OPEN', { description: 'the circuit to open' });
      await shop.webhook('/well');
      await shop.publish();
      await receiver.waitFor(1, '/well');
      await mutated(shop.client, 'webhookUpdate', { id, input: { url: receiver.url('/dead') } });
      // Those that were tried wait for their schedule; all others are sent at once.
      const arrived = await receiver.waitFor(5, '/dead');
      expect(arrived.every(({ headers }) => headers['livehook-attempt'] === '1')).toBe(true);
      await until(async () => (await healthOf(shop, id)).health === 'HEALTHY', { description: 'it to be healthy' });
    });
  });

  test('a webhook that fails for too long is disabled, says why, and starts over when it is resumed', async () => {
    await withHub(
      makeDatabase,
      async (hub: TestHub) => {
        const { application, receiver } = hub;
        const shop = await application();
        receiver.answer('/broken', { status: 500 });
        const { id } = await shop.webhook('/broken', { retrySchedule: [1, 1, 1, 1, 1, 1, 1, 1] });
        await shop.publish();
        await until(async () => (await healthOf(shop, id)).health === 'FAILING', { description: 'it to be failing' });
        expect((await healthOf(shop, id)).healthReason).toMatch(/No attempt has succeeded since .*Z \(the receiver answered 500\)/);
        await until(async () => (await healthOf(shop, id)).status === 'DISABLED', { description: 'it to be disabled' });
        expect(await healthOf(shop, id)).toEqual({
          status: 'DISABLED',
          health: 'DISABLED',
          healthReason: expect.stringMatching(/^No attempt has succeeded for \d+ (seconds?|ms) \(the receiver answered 500\)\. .*resumed/),
        });
        expect(spanOf(receiver.requests('/broken'))).toBeGreaterThanOrEqual(2_000 - NOISE_MS);
        receiver.answer('/broken', {});
        await mutated(shop.client, 'webhookResume', { id });
        await allSucceeded(shop, id, 1);
        expect(await healthOf(shop, id)).toEqual({ status: 'ACTIVE', health: 'HEALTHY', healthReason: null });
      },
      { environment: { LIVEHOOK_DISABLE_AFTER: '2s' } },
    );
  });

  test('a webhook whose target is gone is disabled at once, with the reason', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/gone', { status: 410 });
      const { id } = await shop.webhook('/gone');
      await shop.publish();
      await until(async () => (await healthOf(shop, id)).health === 'DISABLED', { description: 'it to be disabled' });
      expect((await healthOf(shop, id)).healthReason).toContain('410 Gone');
    });
  });
});

test('what is known of a failing webhook is the same from every instance', async () => {
  await withHub(createMysqlDatabase, async ({ application, receiver, startAnother }) => {
    const shop = await application();
    receiver.answer('/broken', { status: 500 });
    const { id } = await shop.webhook('/broken', { retrySchedule: [1, 1, 600] });
    await shop.publish();
    await until(async () => (await healthOf(shop, id)).health === 'FAILING', { description: 'it to be failing' });
    const { url } = await startAnother();
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${shop.key}` },
      body: JSON.stringify({ query: `{ webhook(id: "${id}") { health healthReason } }` }),
    });
    expect(await response.json()).toEqual({
      data: { webhook: { health: 'FAILING', healthReason: expect.stringContaining('the receiver answered 500') } },
    });
  });
});

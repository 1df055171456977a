import { describeEachDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { mutate, mutated } from '../support/mutate';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

/** 500 objects to compare with each of 2,000 others: a million comparisons. */
const COSTLY = { 'payload.lines': { $in: Array.from({ length: 500 }, (_, no) => ({ no })) } };
const LARGE = { lines: Array.from({ length: 2_000 }, () => ({ sku: 'A-1' })) };
const SMALL = { lines: [{ no: 7 }] };

interface Health {
  readonly health: string;
  readonly healthReason: string | null;
}

async function healthOf(client: Pick<TestApplication['client'], 'query'>, id: string): Promise<Health> {
  const { webhook } = await client.query<{ webhook: Health }>('query ($id: ID!) { webhook(id: $id) { health healthReason } }', { id });
  return webhook;
}

describeEachDatabase('A filter that takes too many comparisons', (makeDatabase) => {
  test('keeps its webhook from that event alone, and is told in its health until it is changed', async () => {
    await withHub(makeDatabase, async ({ application, receiver, startAnother, databaseUrl }) => {
      const shop = await application();
      const costly = await shop.webhook('/costly', { filter: COSTLY });
      await shop.webhook('/plain');
      expect(await healthOf(shop.client, costly.id)).toEqual({ health: 'HEALTHY', healthReason: null });

      const missed = await shop.publish({ type: 'order.large', payload: LARGE });
      const got = await shop.publish({ payload: SMALL });
      await receiver.waitFor(2, '/plain');
      const [request] = await receiver.waitFor(1, '/costly');
      expect(request?.headers['webhook-id']).toBe(got.id);
      expect(receiver.requests('/costly')).toHaveLength(1);

      await until(async () => (await healthOf(shop.client, costly.id)).health === 'FILTER_TOO_COSTLY', {
        description: 'the health to tell',
      });
      const { healthReason } = await healthOf(shop.client, costly.id);
      expect(healthReason).toContain(`did not get the event ${missed.id} (order.large) of 20`);
      const { webhook } = await shop.client.query<{ webhook: { healthHistory: { nodes: { health: string; reason: string }[] } } }>(
        'query ($id: ID!) { webhook(id: $id) { healthHistory { nodes { health reason } } } }',
        { id: costly.id },
      );
      expect(webhook.healthHistory.nodes).toEqual([{ health: 'FILTER_TOO_COSTLY', reason: healthReason }]);
      if (databaseUrl.startsWith('mysql')) {
        const { url } = await startAnother();
        expect(await healthOf(new Client(url, shop.key), costly.id)).toEqual({ health: 'FILTER_TOO_COSTLY', healthReason });
      }

      await mutated(shop.client, 'webhookUpdate', { id: costly.id, input: { filter: { 'payload.lines.sku': 'A-1' } } });
      expect(await healthOf(shop.client, costly.id)).toEqual({ health: 'HEALTHY', healthReason: null });
    });
  });

  test('ends a live subscription at that event, after those before it', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const events = shop.client.subscribe<{ event: { sequence: number } }>(
        'subscription ($filter: JSON) { event(filter: $filter) { sequence } }',
        {
          filter: COSTLY,
        },
      );
      // Published until the first arrives: from then on it is subscribed.
      let isSubscribed = false;
      const first = events.take(1).then(() => {
        isSubscribed = true;
      });
      await until(() => shop.publish({ payload: SMALL }).then(() => isSubscribed), { description: 'an event over the subscription' });
      await first;
      const { id } = await shop.publish({ type: 'order.large', payload: LARGE });
      await expect(events.take(1_000)).rejects.toThrow(id);
    });
  });
});

describeEachDatabase('The webhooks of an application', (makeDatabase) => {
  test('are limited in number, however many are created at once; deleted ones do not count', async () => {
    const environment = { LIVEHOOK_WEBHOOKS_PER_APPLICATION: '3' };
    await withHub(
      makeDatabase,
      async ({ application, receiver }) => {
        const [shop, other] = [await application(), await application('other')];
        const input = { url: receiver.url('/hook') };
        const create = () => mutate<{ webhook: { id: string } | null }>(shop.client, 'webhookCreate', { input }, 'webhook { id }');
        const made = await Promise.all(Array.from({ length: 8 }, create));
        const ids = made.flatMap(({ webhook }) => webhook?.id ?? []);
        expect(ids).toHaveLength(3);
        expect(made.flatMap(({ userErrors }) => userErrors)).toEqual(
          Array.from({ length: 5 }, () => ({
            field: ['applicationId'],
            message: expect.stringContaining('at most 3 webhooks'),
            code: 'LIMIT_REACHED',
          })),
        );
        await mutated(shop.client, 'webhookDelete', { id: ids[0] ?? '' });
        expect((await create()).userErrors).toEqual([]);
        expect((await create()).userErrors).toHaveLength(1);
        await other.webhook('/hook');
      },
      { environment },
    );
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeEachDatabase } from '../support/databases';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';

const README = readFileSync(join(__dirname, '..', '..', 'README.md'), 'utf8');

/** The GraphQL document that follows `<!-- example: name -->` in the README. */
function example(name: string): string {
  const [, document] = new RegExp(`<!-- example: ${name} -->\\s+\x60{3}graphql\\n([^]*?)\x60{3}`).exec(README) ?? [];
  if (document === undefined) throw new Error(`README.md has no example named ${name}`);
  return document;
}

describeEachDatabase("The README's examples", (makeDatabase) => {
  test('of shaping and selecting do what they say', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { webhookCreate } = await shop.client.mutate<{ webhookCreate: { signingSecret: string; userErrors: unknown[] } }>(
        example('shape').replace('https://partner.example/orders', receiver.url('/orders')),
      );
      expect(webhookCreate.userErrors).toEqual([]);
      receiver.trust('/orders', webhookCreate.signingSecret);
      const order = { no: 'A-1', lines: [{ sku: 'mug' }] };
      await shop.publish({ type: 'order.created', payload: { total: 99, currency: 'EUR', order } });
      await shop.publish({ type: 'order.created', payload: { total: 100, currency: 'CHF', order } });
      const { id } = await shop.publish({ type: 'order.paid', payload: { total: 100, currency: 'EUR', order } });
      await receiver.waitFor(1, '/orders');
      const [request] = receiver.requests('/orders');
      expect(request?.verified).toBe(true);
      expect(JSON.parse(request?.body.toString() ?? '').data).toEqual({
        event: { id, type: 'order.paid', orderNo: 'A-1', firstSku: 'mug' },
      });
    });
  });

  test('of order, pace and replay do what they say', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const ordered = await shop.client.mutate<{ webhookCreate: { webhook: object; userErrors?: unknown[] } }>(
        example('order').replace('https://partner.example/hooks', receiver.url('/ordered')),
      );
      expect(ordered.webhookCreate.webhook).toMatchObject({ ordering: 'BY_KEY', health: 'HEALTHY', healthReason: null });
      const paced = await shop.client.mutate<{ webhookCreate: { webhook: object } }>(example('pace'), { url: receiver.url('/paced') });
      expect(paced.webhookCreate.webhook).toMatchObject({ ratePerSecond: 5, maxConcurrency: 2 });

      receiver.answer('/away', (_request, nth) => ({ status: nth <= 2 ? 500 : 204 }));
      const { id } = await shop.webhook('/away', { retrySchedule: [], eventTypes: ['order.missed'] });
      for (let no = 0; no < 2; no++) await shop.publish({ type: 'order.missed' });
      await until(
        async () => {
          const { deliveries } = await shop.client.query<{ deliveries: { nodes: unknown[] } }>(
            'query ($id: ID!) { deliveries(filter: { webhookIds: [$id], statuses: [FAILED] }) { nodes { id } } }',
            { id },
          );
          return deliveries.nodes.length === 2;
        },
        { description: 'two failed deliveries' },
      );
      const { deliveriesRetry } = await shop.client.mutate<{ deliveriesRetry: { retryJob: { id: string; total: number } } }>(
        example('replay'),
      );
      expect(deliveriesRetry.retryJob.total).toBe(2);
      const job = shop.client.subscribe<{ retryJob: { status: string; done: number } }>(example('watch-replay'), {
        id: deliveriesRetry.retryJob.id,
      });
      for await (const { data } of job)
        if (data?.retryJob.status === 'COMPLETED') expect(data.retryJob).toMatchObject({ total: 2, done: 2, failed: 0 });
      expect(await receiver.waitFor(4, '/away')).toHaveLength(4);
    });
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeEachDatabase } from '../support/databases';
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
});

import { encodeCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import { withHub } from '../support/with-hub';

describeEachDatabase('The main job', (makeDatabase) => {
  test('600 concurrent publishes get the sequences 1 to 600 and 600 signed requests', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      await shop.webhook('/hook', { maxConcurrency: 50 });
      const events = await Promise.all(Array.from({ length: 600 }, (_, no) => shop.publish({ payload: { no } })));

      const numbers = Array.from({ length: 600 }, (_, index) => index + 1);
      expect(events.map(({ sequence }) => sequence).sort((a, b) => a - b)).toEqual(numbers);

      await receiver.waitFor(600, '/hook');
      const requests = receiver.requests('/hook');
      expect(new Set(requests.map(({ headers }) => headers['webhook-id']))).toEqual(new Set(events.map(({ id }) => id)));
      expect(requests.every(({ verified }) => verified)).toBe(true);
      expect(requests.map(({ body }) => JSON.parse(body.toString()).sequence).sort((a, b) => a - b)).toEqual(numbers);
    });
  });

  test('a delivery that fails is tried again by the schedule, with the same bytes and id, until it succeeds', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/flaky', (_request, nth) => ({ status: nth <= 2 ? 503 : 204 }));
      const webhook = await shop.webhook('/flaky');
      const updates = shop.client.subscribe<{
        deliveryUpdates: { updates: { status: string; attempt: { number: number; outcome: string } | null }[] };
      }>(
        'subscription ($after: String!) { deliveryUpdates(intervalMs: 0, after: $after) { updates { status attempt { number outcome } } } }',
        { after: encodeCursor('update', shop.id, 0) },
      );
      await shop.publish();
      await receiver.waitFor(3, '/flaky');
      const requests = receiver.requests('/flaky');
      expect(new Set(requests.map(({ body }) => body.toString())).size).toBe(1);
      expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
      expect(requests.map(({ headers }) => headers['livehook-attempt'])).toEqual(['1', '2', '3']);
      expect(requests.every(({ verified }) => verified)).toBe(true);

      const seen: { status: string; attempt: { number: number; outcome: string } | null }[] = [];
      while (seen.at(-1)?.status !== 'SUCCEEDED') {
        const [page] = await updates.take(1);
        seen.push(...(page?.deliveryUpdates.updates ?? []));
      }
      expect(seen).toEqual([
        { status: 'PENDING', attempt: null },
        { status: 'RETRYING', attempt: { number: 1, outcome: 'HTTP_ERROR' } },
        { status: 'RETRYING', attempt: { number: 2, outcome: 'HTTP_ERROR' } },
        { status: 'SUCCEEDED', attempt: { number: 3, outcome: 'SUCCESS' } },
      ]);
      const { webhook: found } = await shop.client.query<{ webhook: { deliveries: { nodes: unknown[] } } }>(
        'query ($id: ID!) { webhook(id: $id) { deliveries { nodes { status attemptCount nextAttemptAt attempts { nodes { number trigger statusCode } } } } } }',
        { id: webhook.id },
      );
      expect(found.deliveries.nodes).toEqual([
        {
          status: 'SUCCEEDED',
          attemptCount: 3,
          nextAttemptAt: null,
          attempts: {
            nodes: [
              { number: 1, trigger: 'FIRST', statusCode: 503 },
              { number: 2, trigger: 'AUTOMATIC', statusCode: 503 },
              { number: 3, trigger: 'AUTOMATIC', statusCode: 204 },
            ],
          },
        },
      ]);
    });
  });
});

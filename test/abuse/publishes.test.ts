import { AbusedHub } from '../support/abused-hub';
import { describeEachDatabase } from '../support/databases';

const PUBLISH =
  'mutation ($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { event { sequence } } userErrors { code } } }';

describeEachDatabase('An application that publishes forty thousand events at once', (makeDatabase) => {
  test('waits for its own events, and the lone publish of a neighbour is not behind them', async () => {
    const hub = await AbusedHub.start({}, makeDatabase);
    try {
      const shop = await hub.tenant('shop');
      const events = Array.from({ length: 1_000 }, (_, no) => ({ type: 'a', payload: { no, filling: 'x'.repeat(100) } }));
      const codes: unknown[] = [];
      await hub.expectServed(async () => {
        const answers = await Promise.all(Array.from({ length: 40 }, () => shop.client.request(PUBLISH, { events })));
        codes.push(...answers.map(({ errors }) => errors?.[0]?.extensions?.code ?? 'stored'));
      });
      // Forty thousand events at once: half of twenty thousand may wait.
      expect(codes.filter((code) => code === 'stored').length).toBeGreaterThanOrEqual(10);
      expect(codes.filter((code) => code !== 'stored' && code !== 'RATE_LIMITED')).toEqual([]);
    } finally {
      await hub.stop();
    }
  });
});

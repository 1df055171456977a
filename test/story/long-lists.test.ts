import { describeEachDatabase } from '../support/databases';
import { mutate } from '../support/mutate';
import { withHub } from '../support/with-hub';

const LONG = 1_000;
const list = (value: string) => Array.from({ length: LONG }, () => value);

describeEachDatabase('A list of 1,000', (makeDatabase) => {
  test('in a filter is a mistake of the caller, on every transport, and one of 100 is none', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const { client, ...shop } = await application();
      const { id: webhookId } = await shop.webhook('/hook');
      const { id: eventId } = await shop.publish();
      const filters = { webhookIds: webhookId, eventIds: eventId, eventTypes: 'order.*', statuses: 'SUCCEEDED' };
      for (const [name, value] of Object.entries(filters)) {
        const filter = { [name]: list(value) };
        const problem = `filter.${name}: expected at most 100, got 1000`;
        const deliveries = 'query ($filter: DeliveryFilter) { deliveries(filter: $filter) { nodes { id } } }';
        const updates = 'subscription ($filter: DeliveryFilter) { deliveryUpdates(filter: $filter) { cursor } }';
        await expect(client.query(deliveries, { filter })).rejects.toThrow(problem);
        await expect(client.subscribe(updates, { filter }).take(1)).rejects.toThrow(problem);
        await expect(client.subscribeSse(updates, { filter }).take(1)).rejects.toThrow(problem);
        await client.query(deliveries, { filter: { [name]: list(value).slice(0, 100) } });
      }

      const types = list('order.*');
      await expect(
        client.query('query ($types: [String!]) { events(filter: { types: $types }) { nodes { id } } }', { types }),
      ).rejects.toThrow('filter.types: expected at most 100, got 1000');
      const events = 'subscription ($types: [String!]) { event(types: $types) { id } }';
      await expect(client.subscribe(events, { types }).take(1)).rejects.toThrow('types: expected at most 100, got 1000');
      await expect(client.subscribeSse(events, { types }).take(1)).rejects.toThrow('types: expected at most 100, got 1000');
      const statuses = list('ACTIVE');
      await expect(
        client.query('query ($statuses: [WebhookStatus!]) { webhooks(filter: { statuses: $statuses }) { nodes { id } } }', { statuses }),
      ).rejects.toThrow('filter.statuses: expected at most 100, got 1000');
    });
  });

  test('in an input is a user error, but for the events and webhooks of a retry', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const { client, ...shop } = await application();
      const { id: eventId } = await shop.publish();
      const types = list('order.*');
      const url = receiver.url('/hook');
      const created = await mutate(client, 'webhookCreate', { input: { url, eventTypes: types } });
      expect(created.userErrors).toEqual([{ field: ['eventTypes'], message: 'expected at most 100, got 1000', code: 'TOO_LARGE' }]);
      const payloadQuery = `subscription { event(types: ${JSON.stringify(types)}) { id } }`;
      const shaped = await mutate(client, 'webhookCreate', { input: { url, payloadQuery } });
      expect(shaped.userErrors).toEqual([{ field: ['payloadQuery'], message: 'types: expected at most 100, got 1000', code: 'INVALID' }]);

      const retry = (filter: object) => mutate(client, 'deliveriesRetry', { input: { filter, dryRun: true } });
      expect((await retry({ eventIds: list(eventId) })).userErrors).toEqual([]);
      expect((await retry({ eventTypes: types })).userErrors).toMatchObject([{ field: ['filter', 'eventTypes'], code: 'TOO_LARGE' }]);
      expect((await retry({ eventIds: [...list(eventId), eventId] })).userErrors).toMatchObject([{ code: 'TOO_LARGE' }]);
    });
  });
});

import { encodeCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import { gate } from '../support/gate';
import { Client } from '../support/graphql-client';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { ADMIN_KEY, type TestApplication, type TestHub, withHub } from '../support/with-hub';

async function publishMany(shop: TestApplication, count: number, payload: (no: number) => unknown = (no) => ({ no })): Promise<void> {
  for (let start = 0; start < count; start += 500)
    await shop.client.mutate('mutation ($input: EventsPublishInput!) { eventsPublish(input: $input) { userErrors { message } } }', {
      input: {
        events: Array.from({ length: Math.min(500, count - start) }, (_, index) => ({
          type: 'order.created',
          payload: payload(start + index),
        })),
      },
    });
}

const sequencesTo = ({ receiver }: TestHub, path: string) =>
  receiver.requests(path).map(({ headers }) => Number(headers['livehook-sequence']));

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

const webhookDo = (shop: TestApplication, verb: string, id: string) =>
  shop.client.mutate(`mutation ($id: ID!) { ${verb}(id: $id) { userErrors { message } } }`, { id });

/** How far from first in, first out: the longest way that an event was overtaken or held back. */
function disorder(sequences: readonly number[]): number {
  return Math.max(...sequences.map((sequence, index) => Math.abs(sequence - index - 1)));
}

const countOf = (databaseUrl: string, condition: string) =>
  withRows(databaseUrl, async (query) =>
    Number((await query<{ n: number }>(`SELECT COUNT(*) AS n FROM deliveries WHERE ${condition}`))[0]?.n),
  );

describeEachDatabase('A backlog', (makeDatabase) => {
  test('longer than a queue arrives whole, once and about in order, while a neighbour is served as ever', async () => {
    await withHub(makeDatabase, async (test) => {
      const { application, receiver, databaseUrl } = test;
      const shop = await application();
      const slow = gate();
      receiver.answer('/slow', slow.answer);
      await shop.webhook('/slow', { maxConcurrency: 20, timeoutSeconds: 30 });
      await shop.webhook('/quick', { maxConcurrency: 20 });
      await publishMany(shop, 3_000);
      await receiver.waitFor(3_000, '/quick');
      expect(await countOf(databaseUrl, "owner = ''")).toBeGreaterThanOrEqual(1_900);
      slow.open();
      await receiver.waitFor(3_000, '/slow');
      await until(async () => (await countOf(databaseUrl, "status <> 'SUCCEEDED'")) === 0, { description: 'all outcomes to be written' });
      for (const path of ['/slow', '/quick']) {
        const sequences = sequencesTo(test, path);
        expect([...sequences].sort((a, b) => a - b)).toEqual(numbers(3_000));
        expect(disorder(sequences)).toBeLessThan(300);
      }
    });
  });

  test('of a paused webhook is kept, and sent once it is resumed; what is published meanwhile comes after it', async () => {
    await withHub(makeDatabase, async (test) => {
      const { application, receiver, databaseUrl } = test;
      const shop = await application();
      const { id } = await shop.webhook('/hook', { maxConcurrency: 20 });
      await webhookDo(shop, 'webhookPause', id);
      await publishMany(shop, 3_000);
      expect(await countOf(databaseUrl, "owner = '' AND status = 'PENDING'")).toBe(3_000);
      expect(receiver.requests()).toEqual([]);
      await webhookDo(shop, 'webhookResume', id);
      await receiver.waitFor(300, '/hook');
      await publishMany(shop, 200);
      await receiver.waitFor(3_200, '/hook');
      const sequences = sequencesTo(test, '/hook');
      expect([...sequences].sort((a, b) => a - b)).toEqual(numbers(3_200));
      expect(disorder(sequences)).toBeLessThan(300);
    });
  });

  test('of a deleted webhook is cancelled, and each cancellation is an update', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      const slow = gate();
      receiver.answer('/slow', slow.answer);
      const { id } = await shop.webhook('/slow', { maxConcurrency: 3 });
      await publishMany(shop, 1_500);
      await receiver.waitFor(3, '/slow');
      await webhookDo(shop, 'webhookDelete', id);
      await until(async () => (await countOf(databaseUrl, "status = 'CANCELLED' AND owner IS NULL")) === 1_497, {
        description: 'what waits to be cancelled',
      });
      slow.open();
      await until(async () => (await countOf(databaseUrl, "status = 'SUCCEEDED'")) === 3, { description: 'what was in flight to end' });
      const updates = shop.client.subscribe<{ deliveryUpdates: { updates: { status: string }[] } }>(
        'subscription ($after: String!) { deliveryUpdates(intervalMs: 0, maxBatch: 500, after: $after) { updates { status } } }',
        { after: encodeCursor('update', shop.id, 0) },
      );
      const seen: string[] = [];
      while (seen.length < 3_000) seen.push(...((await updates.take(1))[0]?.deliveryUpdates.updates ?? []).map(({ status }) => status));
      const count = (status: string) => seen.filter((other) => other === status).length;
      expect([count('PENDING'), count('CANCELLED'), count('SUCCEEDED')]).toEqual([1_500, 1_497, 3]);
      expect(receiver.requests('/slow')).toHaveLength(3);
    });
  });

  test('that a hub finds at its start is sent', async () => {
    await withHub(makeDatabase, async (test) => {
      const { application, receiver, hub, startAnother } = test;
      const shop = await application();
      const slow = gate();
      receiver.answer('/hook', slow.answer);
      await shop.webhook('/hook', { maxConcurrency: 20, timeoutSeconds: 30 });
      await publishMany(shop, 3_000);
      const stopped = hub.stop();
      slow.open();
      await stopped;
      const { url } = await startAnother();
      await receiver.waitFor(3_000, '/hook');
      expect(sequencesTo(test, '/hook').sort((a, b) => a - b)).toEqual(numbers(3_000));
      await new Client(url, ADMIN_KEY).query('{ viewer { __typename } }');
    });
  });
});

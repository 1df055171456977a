import { readConfig } from '../../src/config';
import { encodeCursor } from '../../src/cursor';
import { createDatabase } from '../../src/data-source';
import { silentLog } from '../../src/log';
import { AbusedHub, type Tenant } from '../support/abused-hub';
import { mutated } from '../support/mutate';
import { testEnvironment } from '../support/with-hub';

/** As many webhooks as `inputs`, several at a time. */
async function createWebhooks({ client }: Tenant, inputs: readonly object[]): Promise<string[]> {
  const ids: string[] = [];
  for (let start = 0; start < inputs.length; start += 20) {
    const made = inputs
      .slice(start, start + 20)
      .map((input) => mutated<{ webhook: { id: string } }>(client, 'webhookCreate', { input }, 'webhook { id }'));
    for (const { webhook } of await Promise.all(made)) ids.push(webhook.id);
  }
  return ids;
}

/** Copies of a webhook, written beside the running hub: 10,000 by mutations would take minutes. */
async function copyWebhook({ databaseUrl }: AbusedHub, { id: applicationId }: Tenant, webhookId: string, copies: number): Promise<void> {
  const database = createDatabase(readConfig(testEnvironment(databaseUrl)).databaseUrl, silentLog);
  await database.open();
  try {
    await database.transaction(async (tx) => {
      const [row] = await tx.query<Record<string, unknown>>('SELECT * FROM webhooks WHERE id = ?', [webhookId]);
      const columns = Object.keys(row ?? {});
      const rows = Array.from({ length: copies }, (_, no) => {
        const id = webhookId.slice(0, 16) + no.toString(32).padStart(8, '0');
        return columns.map((column) => (column === 'id' ? id : row?.[column]));
      });
      await tx.insert('webhooks', columns, rows);
      await tx.execute("UPDATE counters SET version = version + 1 WHERE application_id = ? AND log = 'event'", [applicationId]);
    });
  } finally {
    await database.close();
  }
}

describe('One application', () => {
  let hub: AbusedHub;
  let attacker: Tenant;

  beforeEach(async () => {
    hub = await AbusedHub.start();
    attacker = await hub.tenant('attacker');
  });

  afterEach(() => hub.stop());

  test('does not hold up the others with filters that compare long lists with large payloads', async () => {
    const filter = { 'payload.numbers': { $in: Array.from({ length: 800 }, (_, no) => 1_000 + no) } };
    const objects = { 'payload.numbers': { $in: Array.from({ length: 1_300 }, (_, no) => ({ [`${no % 10}`]: no })) } };
    const url = hub.receiver.url('/attacker');
    await createWebhooks(
      attacker,
      Array.from({ length: 30 }, (_, no) => ({ url, filter: no % 2 === 0 ? filter : objects })),
    );
    await hub.expectServed(async () => {
      const numbers = Array.from({ length: 40_000 }, () => ({ 1: 2 }));
      for (let times = 0; times < 3; times++)
        await mutated(attacker.client, 'eventPublish', {
          input: { type: 'a.b', payload: { numbers: times === 0 ? numbers : numbers.map(() => 1) } },
        });
    });
  });

  test('does not hold up the others with costly filters of live subscriptions', async () => {
    const query = 'subscription ($filter: JSON, $after: String) { event(filter: $filter, after: $after) { id } }';
    const lines = Array.from({ length: 20_000 }, () => ({ sku: 1 }));
    for (let times = 0; times < 5; times++) await mutated(attacker.client, 'eventPublish', { input: { type: 'a.b', payload: { lines } } });
    const after = encodeCursor('event', attacker.id, 0);
    await hub.expectServed(async () => {
      const streams = Array.from({ length: 40 }, (_, no) => {
        // Each is below the budget for one event, and meets none.
        const filter = { $and: [{ 'payload.lines': { $in: [{ no }] } }, { 'payload.lines': { $in: [{ none: 1 }] } }] };
        return attacker.client.subscribe(query, { filter: no % 2 === 0 ? filter : { 'payload.lines.sku': { $in: [2, { no }] } }, after });
      });
      const last = await mutated<{ event: { id: string } }>(
        attacker.client,
        'eventPublish',
        { input: { type: 'a.b', payload: { lines: [{ sku: 2 }] } } },
        'event { id }',
      );
      const plain = streams.filter((_, no) => no % 2 === 1);
      for (const stream of plain) expect(await stream.take(1)).toEqual([{ event: { id: last.event.id } }]);
    });
  });

  test.each([
    { webhooks: 1_000, events: 100 },
    { webhooks: 5_000, events: 20 },
  ])('does not hold up the others with $events events for $webhooks webhooks', async ({ webhooks, events }) => {
    const [id = ''] = await createWebhooks(attacker, [{ url: hub.receiver.url('/attacker') }]);
    await mutated(attacker.client, 'webhookPause', { id }); // storing is what is tested here
    await copyWebhook(hub, attacker, id, webhooks - 1);
    await hub.expectServed(async () => {
      const input = { events: Array.from({ length: events }, (_, no) => ({ type: 'a.b', payload: { no } })) };
      const { results } = await mutated<{ results: { event: { sequence: number } | null }[] }>(
        attacker.client,
        'eventsPublish',
        { input },
        'results { event { sequence } }',
      );
      expect(results.map(({ event }) => event?.sequence)).toEqual(input.events.map((_, index) => index + 1));
      for (let times = 0; times < 5; times++) await mutated(attacker.client, 'webhookUpdate', { id, input: { description: `${times}` } });
    });
  });
});

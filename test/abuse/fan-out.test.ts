import { AbusedHub, type Tenant } from '../support/abused-hub';
import { mutated } from '../support/mutate';

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

  test('does not hold up the others with many events for many webhooks', async () => {
    const url = hub.receiver.url('/attacker');
    const ids = await createWebhooks(
      attacker,
      Array.from({ length: 1_000 }, () => ({ url })),
    );
    expect(ids).toHaveLength(1_000);
    await hub.expectServed(async () => {
      const events = Array.from({ length: 200 }, (_, no) => ({ type: 'a.b', payload: { no } }));
      const { results } = await mutated<{ results: { event: { sequence: number } | null }[] }>(
        attacker.client,
        'eventsPublish',
        { input: { events } },
        'results { event { sequence } }',
      );
      expect(results.map(({ event }) => event?.sequence)).toEqual(events.map((_, index) => index + 1));
    });
  });
});

import { AbusedHub, type Tenant } from '../support/abused-hub';
import { describeEachDatabase } from '../support/databases';
import { mutated } from '../support/mutate';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';

/** A document of its own, that repeats the payload. */
function repeating(times: number, document: number): string {
  const aliases = Array.from({ length: times }, (_, index) => `a${index}: payload`).join(' ');
  return `subscription D${document} { event { ${aliases} } }`;
}

async function webhooks(tenant: Tenant, count: number, input: (index: number) => object): Promise<void> {
  for (let index = 0; index < count; index++) await mutated(tenant.client, 'webhookCreate', { input: input(index) }, 'webhook { id }');
}

/** A receiver that remembers nothing of what it gets, and answers nothing. */
async function withSilentReceiver(work: (url: string) => Promise<void>): Promise<void> {
  const { createServer } = await import('node:http');
  const server = createServer((request) => void request.resume()).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  try {
    await work(`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Over all its labels. */
async function metric(hub: AbusedHub, name: string): Promise<number> {
  const text = await (await fetch(new URL('/metrics', hub.url))).text();
  const samples = text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'));
  return [...samples].reduce((sum, [, value]) => sum + Number(value), 0);
}

describe('Payload queries of one application', () => {
  test('that repeat a payload forty times, to receivers that hang, stay within the memory of the hub', async () => {
    const hub = await AbusedHub.start();
    try {
      await withSilentReceiver(async (url) => {
        const attacker = await hub.tenant('attacker');
        await webhooks(attacker, 100, (index) => ({ url, timeoutSeconds: 5, maxConcurrency: 20, payloadQuery: repeating(40, index) }));
        const payload = { text: 'x'.repeat(24 * 1024) };
        const served = await hub.expectServed(async () => {
          for (let times = 0; times < 20; times++)
            await mutated(attacker.client, 'eventPublish', { input: { type: 'order.created', payload } }, 'event { id }');
          await until(async () => (await metric(hub, 'livehook_attempts_total')) > 60, { description: 'requests to have hung' });
        });
        expect(served.peakMemoryBytes).toBeLessThan(600 * 1024 * 1024);
      });
    } finally {
      await hub.stop();
    }
  });

  test('in a document for each webhook, over a payload of 1 MiB, leave the event loop to others', async () => {
    const hub = await AbusedHub.start();
    try {
      await withSilentReceiver(async (url) => {
        const attacker = await hub.tenant('attacker');
        await webhooks(attacker, 300, (index) => ({
          url,
          timeoutSeconds: 1,
          retrySchedule: [3_600],
          payloadQuery: `subscription D${index} { event { payload } }`,
        }));
        const payload = { items: Array.from({ length: 48_000 }, (_, no) => ({ no, x: [] })) };
        await hub.expectServed(async () => {
          await mutated(attacker.client, 'eventPublish', { input: { type: 'order.created', payload } }, 'event { id }');
          await until(async () => (await metric(hub, 'livehook_attempts_total')) > 30, { description: 'many documents to have been run' });
        });
      });
    } finally {
      await hub.stop();
    }
  });
});

const ORDERINGS = ['NONE', 'STRICT', 'BY_KEY'] as const;

interface AttemptSeen {
  readonly outcome: string;
  readonly error: string | null;
}

describeEachDatabase('A body that is too large', (makeDatabase) => {
  test('is never sent: its delivery ends, and the next event of an ordered webhook has its turn', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const input = { payloadQuery: repeating(50, 1), retrySchedule: [1] };
      for (const ordering of ORDERINGS) await shop.webhook(`/${ordering}`, { ...input, ordering });
      const large = await shop.publish({ payload: 'x'.repeat(100_000), orderingKey: 'one' });
      await shop.publish({ payload: 'small', orderingKey: 'one' });
      for (const ordering of ORDERINGS) await receiver.waitFor(1, `/${ordering}`);
      const nodes = await until(
        async () => {
          const { event } = await shop.client.query<{
            event: { deliveries: { nodes: { status: string; attempts: { nodes: AttemptSeen[] } }[] } };
          }>('query ($id: ID!) { event(id: $id) { deliveries { nodes { status attempts { nodes { outcome error } } } } } }', {
            id: large.id,
          });
          return event.deliveries.nodes.every(({ status }) => status === 'FAILED') && event.deliveries.nodes;
        },
        { description: 'every delivery of the large body to end' },
      );
      expect(nodes).toHaveLength(3);
      for (const { attempts } of nodes) {
        expect(attempts.nodes.map(({ outcome }) => outcome)).toEqual(['PAYLOAD_ERROR', 'PAYLOAD_ERROR']);
        expect(attempts.nodes[0]?.error).toMatch(/selects more than the \d+ bytes that a body may have/);
      }
      for (const ordering of ORDERINGS) expect(receiver.requests(`/${ordering}`)).toHaveLength(1);
    });
  });

  test('is a problem in the preview and the outcome of a test', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const payloadQuery = repeating(50, 1);
      const { id } = await shop.webhook('/hook', { payloadQuery, eventTypes: ['nothing.else'] });
      const event = await shop.publish({ payload: 'x'.repeat(100_000) });
      const { payloadPreview } = await shop.client.query<{ payloadPreview: { body: string | null; errors: string[] } }>(
        'query ($payloadQuery: String!, $eventId: ID!) { payloadPreview(payloadQuery: $payloadQuery, eventId: $eventId) { body errors } }',
        { payloadQuery, eventId: event.id },
      );
      expect(payloadPreview).toEqual({ body: null, errors: [expect.stringContaining('bytes that a body may have')] });
      const { attempt } = await mutated<{ attempt: AttemptSeen }>(
        shop.client,
        'webhookTest',
        { id, input: { eventType: 'order.created', payload: 'x'.repeat(100_000) } },
        'attempt { outcome error }',
      );
      expect(attempt).toEqual({ outcome: 'PAYLOAD_ERROR', error: expect.stringContaining('bytes that a body may have') });
    });
  });

  test('of 1 MiB and its envelope is not: it arrives in every format and through a payload query', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const settings = {
        '/standard': {},
        '/structured': { format: 'CLOUDEVENTS_STRUCTURED' },
        '/binary': { format: 'CLOUDEVENTS_BINARY' },
        '/shaped': { payloadQuery: 'subscription { event { id type payload } }' },
      };
      for (const [path, input] of Object.entries(settings)) await shop.webhook(path, input);
      const payload = 'x'.repeat(1024 * 1024 - 2);
      await shop.publish({ payload });
      for (const path of Object.keys(settings)) await receiver.waitFor(1, path);
      const data = (path: string) => JSON.parse(String(receiver.requests(path)[0]?.body)).data;
      expect([data('/standard'), data('/structured'), data('/shaped').event.payload].every((text) => text === payload)).toBe(true);
    });
  });
});

import type { Log } from '../../src/log';
import { FakeClock } from '../support/fake-clock';
import { gate } from '../support/gate';
import { Client, type Subscription } from '../support/graphql-client';
import { createMysqlDatabase } from '../support/mariadb';
import { Redis } from '../support/redis';
import { until } from '../support/until';
import { type TestHub, withHub } from '../support/with-hub';

const EVENTS = 'subscription { event { sequence } }';
const UPDATES = 'subscription { deliveryUpdates(intervalMs: 0) { updates { status } } }';

interface Other {
  /** Stands still unless the test moves it: nothing that is done now and then, such as polling, happens by itself. */
  readonly clock: FakeClock;
  /** What the first hub has logged of its doorbell, in order. */
  readonly here: string[];
  /** What this one has. */
  readonly said: string[];
  client(key?: string): Client;
}

/** A hub, and another one on the same database that never polls; Redis is between them. */
async function withTwo(redis: Redis, work: (hub: TestHub, other: Other) => Promise<void>): Promise<void> {
  const clients: Client[] = [];
  const here: string[] = [];
  const said: string[] = [];
  const environment = { REDIS_URL: redis.url };
  await withHub(
    createMysqlDatabase,
    async (hub) => {
      const clock = new FakeClock(Date.now());
      const another = await hub.startAnother({ clock, environment, log: noting(said) });
      const client = (key?: string) => {
        const made = new Client(another.url, key);
        clients.push(made);
        return made;
      };
      await listening(here, said);
      try {
        await work(hub, { clock, here, said, client });
      } finally {
        await Promise.all(clients.map((made) => made.close()));
      }
    },
    { environment, log: noting(here) },
  );
}

function noting(said: string[]): Log {
  const note = (_facts: object, event: string) => void (event.startsWith('doorbell.') && said.push(event));
  return { debug: note, info: note, warn: note, error: note };
}

const listening = (...logs: string[][]) =>
  until(() => logs.every((said) => said.at(-1) === 'doorbell.connected'), { description: 'every instance to hear the doorbell' });

/** Gathers the statuses that a subscription brings, for as long as it does. */
function statusesFrom(pages: Subscription<{ deliveryUpdates: { updates: { status: string }[] } }>): string[] {
  const statuses: string[] = [];
  const gather = async () => {
    for await (const { data } of pages) statuses.push(...(data?.deliveryUpdates.updates ?? []).map(({ status }) => status));
  };
  gather().catch(() => {}); // its key is revoked at the end
  return statuses;
}

describe('Two instances with Redis between them', () => {
  let redis: Redis;
  beforeAll(async () => {
    redis = await Redis.start();
  });
  afterAll(() => redis.stop());

  test('tell each other of events and deliveries, of keys, types and jobs, without a poll', async () => {
    await withTwo(redis, async ({ admin, application, receiver }, { client, clock }) => {
      const shop = await application();
      await shop.webhook('/hook', { retrySchedule: [] });
      const there = client(shop.key);
      const events = there.subscribe<{ event: { sequence: number } }>(EVENTS);
      const updates = there.subscribe<{ deliveryUpdates: { updates: { status: string }[] } }>(UPDATES);
      await there.mutate('mutation { eventPublish(input: { type: "order.paid", payload: 1 }) { event { id } } }');
      expect(await events.take(1)).toEqual([{ event: { sequence: 1 } }]);
      receiver.answer('/hook', async () => ({ status: 500 }));
      await shop.publish();
      expect(await events.take(1)).toEqual([{ event: { sequence: 2 } }]);
      const statuses = statusesFrom(updates);
      const hasFailed = () => {
        clock.advance(0); // pages are told apart by the clock, even where nothing lies between them
        return statuses.includes('FAILED');
      };
      await until(hasFailed, { description: 'what became of a delivery of the other instance' });

      await shop.client.mutate('mutation { eventTypeRegister(input: { name: "order.paid" }) { eventType { name } } }');
      await shop.client.mutate('mutation { eventTypeArchive(input: { name: "order.paid" }) { eventType { name } } }');
      await until(
        async () => {
          const { eventPublish } = await there.mutate<{ eventPublish: { userErrors: unknown[] } }>(
            'mutation { eventPublish(input: { type: "order.paid", payload: 1 }) { userErrors { code } } }',
          );
          return eventPublish.userErrors.length > 0;
        },
        { description: 'the archived type to be refused' },
      );

      receiver.answer('/hook', async () => ({ status: 204 }));
      const { deliveriesRetry } = await shop.client.mutate<{ deliveriesRetry: { retryJob: { id: string } } }>(
        'mutation { deliveriesRetry(input: {}) { retryJob { id } } }',
      );
      const job = there.subscribe<{ retryJob: { status: string } }>('subscription ($id: ID!) { retryJob(id: $id) { status } }', {
        id: deliveriesRetry.retryJob.id,
      });
      await until(async () => (await job.take(1))[0]?.retryJob.status === 'COMPLETED', { description: 'the job to end' });

      const { viewer } = await there.query<{ viewer: { apiKey: { id: string } } }>('{ viewer { apiKey { id } } }');
      await admin.mutate('mutation ($id: ID!) { apiKeyRevoke(id: $id) { apiKey { id } } }', { id: viewer.apiKey.id });
      const refusal = async () => (await there.request('{ viewer { admin } }')).errors?.[0]?.extensions?.code === 'UNAUTHENTICATED';
      await until(refusal, { description: 'the revoked key to be refused' });
      await until(
        () =>
          events.next().then(
            () => false,
            () => true,
          ),
        { description: 'its streams to end' },
      );
    });
  });

  test('hand over what one leaves behind when it stops, without a poll', async () => {
    await withTwo(redis, async ({ hub, application, receiver }, { client }) => {
      const shop = await application();
      const first = gate();
      receiver.answer('/hook', first.answer);
      await shop.webhook('/hook', { maxConcurrency: 2 });
      for (let count = 0; count < 4; count++) await shop.publish();
      await receiver.waitFor(1, '/hook');
      const stopping = hub.stop();
      first.open();
      await stopping;
      await receiver.waitFor(4, '/hook');
      await until(
        async () => {
          const { deliveries } = await client(shop.key).query<{ deliveries: { nodes: { status: string }[] } }>(
            '{ deliveries { nodes { status } } }',
          );
          return deliveries.nodes.every(({ status }) => status === 'SUCCEEDED');
        },
        { description: 'all four to be delivered' },
      );
      expect(receiver.requests('/hook')).toHaveLength(4);
    });
  });

  test('go on polling while Redis is away, publish as ever, and hear the doorbell again when it is back', async () => {
    await withTwo(redis, async ({ application }, { client, clock, here, said }) => {
      const shop = await application();
      const events = client(shop.key).subscribe<{ event: { sequence: number } }>(EVENTS);
      await until(() => client(shop.key).query('{ viewer { admin } }'), { description: 'the other instance to answer' });
      await shop.publish();
      expect(await events.take(1)).toEqual([{ event: { sequence: 1 } }]);

      await redis.kill();
      await until(() => said.at(-1) === 'doorbell.away', { description: 'Redis to be missed' });
      await shop.publish();
      let isThere = false;
      const second = events.take(1).then((seen) => {
        isThere = true;
        return seen;
      });
      const polled = () => {
        clock.advance(100);
        return isThere;
      };
      await until(polled, { description: 'the poll to find the event' });
      expect(await second).toEqual([{ event: { sequence: 2 } }]);

      await redis.restart();
      const reconnected = () => {
        clock.advance(10);
        return said.at(-1) === 'doorbell.connected';
      };
      await until(reconnected, { description: 'the doorbell to be heard again' });
      await listening(here);
      await shop.publish();
      expect(await events.take(1)).toEqual([{ event: { sequence: 3 } }]);
      expect(said).toEqual(['doorbell.connected', 'doorbell.away', 'doorbell.connected']);
    });
  });
});

describe('Two instances without Redis', () => {
  test('see by polling that a type is taken again, that a schema has changed, and that a key is revoked', async () => {
    await withHub(createMysqlDatabase, async ({ admin, application, startAnother }) => {
      const shop = await application();
      const there = new Client((await startAnother()).url, shop.key);
      try {
        const taken = async () => {
          const { eventPublish } = await there.mutate<{ eventPublish: { event: object | null } }>(
            'mutation { eventPublish(input: { type: "order.paid", payload: 1 }) { event { id } userErrors { code } } }',
          );
          return eventPublish.event !== null;
        };
        const register = (schema: object | null) =>
          shop.client.mutate(
            'mutation ($schema: JSON) { eventTypeRegister(input: { name: "order.paid", schema: $schema }) { eventType { name } } }',
            {
              schema,
            },
          );
        await register({ type: 'string' });
        expect(await taken()).toBe(false);
        await register(null);
        await until(taken, { description: 'a payload to be taken that the schema refused' });
        await shop.client.mutate('mutation { eventTypeArchive(input: { name: "order.paid" }) { eventType { name } } }');
        await until(async () => !(await taken()), { description: 'the archived type to be refused' });
        await register(null);
        await until(taken, { description: 'the type to be taken again' });

        const events = there.subscribe(EVENTS);
        const ended = events.next().then(
          () => false,
          () => true,
        );
        const { viewer } = await there.query<{ viewer: { apiKey: { id: string } } }>('{ viewer { apiKey { id } } }');
        await admin.mutate('mutation ($id: ID!) { apiKeyRevoke(id: $id) { apiKey { id } } }', { id: viewer.apiKey.id });
        const refusal = async () => (await there.request('{ viewer { admin } }')).errors?.[0]?.extensions?.code === 'UNAUTHENTICATED';
        await until(refusal, { description: 'the revoked key to be refused' });
        expect(await ended).toBe(true);
      } finally {
        await there.close();
      }
    });
  });
});

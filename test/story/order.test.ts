import { describeEachDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { createMysqlDatabase } from '../support/mariadb';
import { mutated } from '../support/mutate';
import type { Answer, Behaviour, ReceivedRequest } from '../support/receiver';
import { changeRows, withRows } from '../support/rows';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

/** As in the guide. */
const EXAMPLE = `mutation {
  webhookCreate(input: { url: "https://partner.example/hooks", ordering: BY_KEY, retrySchedule: [5, 60, 600] }) {
    webhook { id ordering health healthReason }
    signingSecret
  }
}`;

/** What a path of the receiver saw: in which order events succeeded, and how many requests were open at once. */
class Watch {
  readonly succeeded: number[] = [];
  readonly attempts: number[] = [];
  readonly overlaps: string[] = [];
  #open: { sequence: number; key: unknown }[] = [];

  /** `mayOverlap`: null: nothing may; otherwise what belongs together. */
  behaviour(
    answer: (sequence: number, key: unknown) => Answer | Promise<Answer>,
    keyOf: (key: unknown) => unknown = () => 'all',
  ): Behaviour {
    return async (request) => {
      const { sequence, key } = facts(request);
      const other = this.#open.find((open) => keyOf(open.key) === keyOf(key));
      if (other) this.overlaps.push(`${sequence} while ${other.sequence} was open`);
      const mine = { sequence, key };
      this.#open.push(mine);
      this.attempts.push(sequence);
      await new Promise((resolve) => setImmediate(resolve));
      const given = await answer(sequence, key);
      this.#open = this.#open.filter((open) => open !== mine);
      if ((given.status ?? 204) < 300) this.succeeded.push(sequence);
      return given;
    };
  }
}

function facts({ headers, body }: ReceivedRequest): { sequence: number; key: unknown } {
  return { sequence: Number(headers['livehook-sequence']), key: (JSON.parse(body.toString()) as { data: { key?: unknown } }).data.key };
}

/** Numbers from 0 up to 1 that are the same each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
}

const upTo = (count: number, from = 1) => Array.from({ length: count }, (_, index) => from + index);

async function publishAll(shop: TestApplication, keys: readonly (string | null)[]): Promise<void> {
  await Promise.all(keys.map((key, no) => shop.publish({ payload: { no, key }, orderingKey: key })));
}

/** One after the other, so that `keys[0]` has sequence 1 and so on. */
async function publishInTurn(shop: TestApplication, keys: readonly (string | null)[]): Promise<void> {
  const { eventsPublish } = await shop.client.mutate<{ eventsPublish: { results: { event: unknown }[] } }>(
    'mutation ($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { event { id } } } }',
    { events: keys.map((orderingKey) => ({ type: 'order.changed', payload: { key: orderingKey }, orderingKey })) },
  );
  expect(eventsPublish.results.every(({ event }) => event !== null)).toBe(true);
}

async function health(client: Client, id: string): Promise<{ health: string; healthReason: string | null }> {
  const { webhook } = await client.query<{ webhook: { health: string; healthReason: string | null } }>(
    'query ($id: ID!) { webhook(id: $id) { health healthReason } }',
    { id },
  );
  return webhook;
}

async function deliveryOf(client: Client, sequence: number): Promise<{ id: string; status: string; nextAttemptAt: string | null }> {
  type Row = { id: string; status: string; nextAttemptAt: string | null; event: { sequence: number } };
  const { deliveries } = await client.query<{ deliveries: { nodes: Row[] } }>(
    '{ deliveries(first: 100) { nodes { id status nextAttemptAt event { sequence } } } }',
  );
  const found = deliveries.nodes.find(({ event }) => event.sequence === sequence);
  if (found === undefined) throw new Error(`expected a delivery of event ${sequence}`);
  return found;
}

const change = (shop: TestApplication, id: string, input: object) => mutated(shop.client, 'webhookUpdate', { id, input });
const pause = (shop: TestApplication, id: string) => mutated(shop.client, 'webhookPause', { id });
const resume = (shop: TestApplication, id: string) => mutated(shop.client, 'webhookResume', { id });

const succeeded = (watch: Watch, count: number) =>
  until(() => watch.succeeded.length >= count, { description: `${count} events to succeed`, timeoutMs: 45_000 });

describeEachDatabase('Order', (makeDatabase) => {
  test('STRICT: events published at once to a receiver that fails now and then arrive in sequence order, one at a time', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const watch = new Watch();
      const random = seeded(7);
      receiver.answer(
        '/strict',
        watch.behaviour(() => ({ status: random() < 0.02 ? 500 : 204 })),
      );
      await shop.webhook('/strict', { ordering: 'STRICT', retrySchedule: [1, 1, 1, 1, 1, 1] });
      await publishAll(shop, Array(300).fill(null));
      await succeeded(watch, 300);
      expect(watch.succeeded).toEqual(upTo(300));
      expect(watch.overlaps).toEqual([]);
      expect(watch.attempts.length).toBeGreaterThan(300);
      expect(watch.attempts).toEqual([...watch.attempts].sort((a, b) => a - b));
    });
  });

  test('BY_KEY: each key keeps its order, and different keys are under way together', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const watch = new Watch();
      const random = seeded(11);
      const waiting = new Map<unknown, () => void>();
      // The first of each key is answered once both are there.
      const bothAreThere = async (key: unknown) =>
        new Promise<void>((resolve) => {
          waiting.set(key, resolve);
          if (waiting.size === 2) for (const go of waiting.values()) go();
        });
      const seen = new Set<unknown>();
      receiver.answer(
        '/by-key',
        watch.behaviour(
          async (_, key) => {
            if ((key === 'A' || key === 'B') && !seen.has(key)) {
              seen.add(key);
              await bothAreThere(key);
            }
            return { status: random() < 0.03 ? 500 : 204 };
          },
          (key) => key ?? Symbol('each by itself'),
        ),
      );
      await shop.webhook('/by-key', { ordering: 'BY_KEY', retrySchedule: [1, 1, 1, 1, 1] });
      const keys = Array.from({ length: 120 }, (_, no) => ['A', 'B', 'C', null][no % 4] ?? null);
      await publishInTurn(shop, keys);
      await succeeded(watch, 120);
      expect(watch.overlaps).toEqual([]);
      expect([...watch.succeeded].sort((a, b) => a - b)).toEqual(upTo(120));
      for (const key of ['A', 'B', 'C']) {
        const own = watch.succeeded.filter((sequence) => keys[sequence - 1] === key);
        expect(own).toEqual([...own].sort((a, b) => a - b));
      }
    });
  });

  test('a poisoned event blocks its own key alone, says so, and lets the next go when it has failed for good', async () => {
    await withHub(makeDatabase, async ({ application, receiver, admin, client, databaseUrl }) => {
      const shop = await application();
      const watch = new Watch();
      const poison = new Map([[2, 500]]);
      receiver.answer(
        '/hook',
        watch.behaviour(
          (sequence) => ({ status: poison.get(sequence) ?? 204 }),
          (key) => key,
        ),
      );
      const { id } = await shop.webhook('/hook', { ordering: 'BY_KEY', retrySchedule: [3600] });
      await publishInTurn(shop, ['A', 'B', 'A', 'B', 'A', null, 'B', 'A']);
      await succeeded(watch, 5);
      expect([...watch.succeeded].sort()).toEqual([1, 3, 5, 6, 8]);
      expect(await health(shop.client, id)).toEqual({
        health: 'ORDER_BLOCKED',
        healthReason: expect.stringMatching(
          /^Event 2 blocks the ordering key "B": 1 attempt failed, the next is due at \d{4}-\S+Z\. Later ones wait .* Other keys go on\.$/,
        ),
      });
      // Its key belongs to the event: who may not read that is told no more than that there is one.
      const scoped = { applicationId: shop.id, scopes: ['WEBHOOKS_READ'] };
      const { token } = await mutated<{ token: string }>(admin, 'apiKeyCreate', { input: scoped }, 'token');
      expect(await health(client(token), id)).toEqual({
        health: 'ORDER_BLOCKED',
        healthReason: 'An event that keeps failing holds up those after it until it succeeds, fails for good or is cancelled.',
      });
      const next = await deliveryOf(shop.client, 4);
      expect(next).toMatchObject({ status: 'PENDING', nextAttemptAt: expect.stringMatching(/^20/) });

      // An attempt by hand that fails, too, changes nothing: the key stays blocked until the schedule's own.
      const poisoned = await deliveryOf(shop.client, 2);
      await mutated(shop.client, 'deliveryRetry', { id: poisoned.id });
      const again = async () => {
        const { healthReason } = await health(shop.client, id);
        return healthReason?.startsWith('Event 2 blocks the ordering key "B": 2 attempts failed, the next is due at') && healthReason;
      };
      expect(await until(again, { description: 'the second attempt to be recorded' })).toContain(poisoned.nextAttemptAt);
      expect(watch.succeeded).toHaveLength(5);

      await changeRows(databaseUrl, "UPDATE deliveries SET due_at = 1 WHERE status = 'RETRYING'");
      await succeeded(watch, 7);
      expect(watch.succeeded.slice(-2)).toEqual([4, 7]);
      expect(watch.attempts.filter((sequence) => sequence === 2)).toHaveLength(3);
      expect(await deliveryOf(shop.client, 2)).toMatchObject({ status: 'FAILED' });
      // One that had failed for good holds up nothing once it has failed again.
      await mutated(shop.client, 'deliveryRetry', { id: poisoned.id });
      await until(() => watch.attempts.filter((sequence) => sequence === 2).length === 4, { description: 'the fourth attempt' });
      await publishInTurn(shop, ['B']);
      await succeeded(watch, 8);
      expect(await deliveryOf(shop.client, 2)).toMatchObject({ status: 'FAILED' });
      expect(await health(shop.client, id)).toEqual({ health: 'HEALTHY', healthReason: null });
    });
  });

  test('a blocked STRICT webhook says so; cancelling the event lets the next go, retrying an older one puts it before the rest', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const watch = new Watch();
      const poison = new Map([
        [1, 409],
        [2, 500],
        [3, 500],
      ]);
      receiver.answer(
        '/hook',
        watch.behaviour((sequence) => ({ status: poison.get(sequence) ?? 204 })),
      );
      const { id } = await shop.webhook('/hook', { ordering: 'STRICT', retrySchedule: [3600] });
      await publishInTurn(shop, Array(5).fill(null));
      const blocked = async (sequence: number) =>
        until(
          async () => (await health(shop.client, id)).healthReason?.startsWith(`Event ${sequence} blocks the webhook: 1 attempt failed`),
          {
            description: `event ${sequence} to block`,
          },
        );
      await blocked(1);
      await mutated(shop.client, 'deliveryCancel', { id: (await deliveryOf(shop.client, 1)).id });
      await blocked(2);
      await mutated(shop.client, 'deliveryCancel', { id: (await deliveryOf(shop.client, 2)).id });
      await blocked(3);
      expect(watch.attempts).toEqual([1, 2, 3]);

      // An attempt by hand that fails, too, lets nothing pass, and leaves the next one due when it was.
      const third = await deliveryOf(shop.client, 3);
      await mutated(shop.client, 'deliveryRetry', { id: third.id });
      const reason = `Event 3 blocks the webhook: 2 attempts failed, the next is due at ${third.nextAttemptAt}.`;
      await until(async () => (await health(shop.client, id)).healthReason?.startsWith(reason), { description: 'event 3 to block again' });
      expect(watch.attempts).toEqual([1, 2, 3, 3]);

      // Event 1 is taken up again, before what waits behind event 3.
      poison.clear();
      await mutated(shop.client, 'deliveryRetry', { id: (await deliveryOf(shop.client, 1)).id });
      await succeeded(watch, 1);
      await mutated(shop.client, 'deliveryRetry', { id: (await deliveryOf(shop.client, 3)).id });
      await succeeded(watch, 4);
      expect(watch.succeeded).toEqual([1, 3, 4, 5]);
    });
  });

  test('the example of the guide: a webhook by key, made and read as it stands there', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { webhookCreate } = await shop.client.mutate<{ webhookCreate: { webhook: { id: string }; signingSecret: string } }>(
        EXAMPLE.replace('https://partner.example/hooks', receiver.url('/hook')),
      );
      receiver.trust('/hook', webhookCreate.signingSecret);
      expect(webhookCreate.webhook).toEqual({ id: expect.any(String), ordering: 'BY_KEY', health: 'HEALTHY', healthReason: null });
      await publishInTurn(shop, ['order-42', 'order-42']);
      const requests = await receiver.waitFor(2, '/hook');
      expect(requests.map(({ headers, verified }) => [headers['livehook-sequence'], verified])).toEqual([
        ['1', true],
        ['2', true],
      ]);
    });
  });

  test('holds through pauses, and through stopping and starting the hub in the middle', async () => {
    await withHub(makeDatabase, async ({ application, receiver, hub, startAnother }) => {
      const shop = await application();
      const watch = new Watch();
      const random = seeded(3);
      receiver.answer(
        '/hook',
        watch.behaviour(() => ({ status: random() < 0.03 ? 503 : 204 })),
      );
      const { id } = await shop.webhook('/hook', { ordering: 'STRICT', retrySchedule: [1, 1, 1, 1, 1] });
      await publishAll(shop, Array(150).fill(null));
      await succeeded(watch, 20);
      await pause(shop, id);
      await shop.publish();
      await resume(shop, id);
      await succeeded(watch, 60);
      await hub.stop();
      await startAnother();
      await succeeded(watch, 151);
      expect(watch.succeeded).toEqual(upTo(151));
      expect(watch.overlaps).toEqual([]);
    });
  });

  test('what a killed instance had under way comes first again', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      const watch = new Watch();
      receiver.answer(
        '/hook',
        watch.behaviour(() => ({ status: 204 })),
      );
      const { id } = await shop.webhook('/hook', { ordering: 'STRICT' });
      await pause(shop, id);
      await publishInTurn(shop, Array(6).fill(null));
      // As it is left when the process dies: a window of it claimed, the webhook its own, its heartbeat gone.
      const dead = 'ins_000000000000';
      await withRows(databaseUrl, async (query, database) => {
        const rows = await query<{ id: string }>('SELECT id FROM deliveries ORDER BY id LIMIT 3');
        await database.transaction(async (tx) => {
          for (const row of rows) await tx.execute('UPDATE deliveries SET owner = ? WHERE id = ?', [dead, row.id]);
          await tx.execute('DELETE FROM webhook_owners WHERE webhook_id = ?', [id]);
          await tx.execute('INSERT INTO webhook_owners (webhook_id, owner) VALUES (?, ?)', [id, dead]);
        });
      });
      await resume(shop, id);
      await succeeded(watch, 6);
      expect(watch.succeeded).toEqual(upTo(6));
    });
  });

  test('the ordering can be changed on the fly: nothing is lost or repeated, and from then on the new one holds', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const watch = new Watch();
      const held: (() => void)[] = [];
      let isHolding = true;
      receiver.answer(
        '/hook',
        watch.behaviour(
          async () => {
            if (isHolding) await new Promise<void>((resolve) => held.push(resolve));
            return {};
          },
          (key) => (isHolding ? Symbol('any') : key),
        ),
      );
      const { id } = await shop.webhook('/hook', { maxConcurrency: 3 });
      await publishInTurn(shop, Array(30).fill('A'));
      await until(() => held.length === 3, { description: 'three requests to be open' });
      await change(shop, id, { ordering: 'STRICT' });
      await publishInTurn(shop, Array(10).fill('A'));
      isHolding = false;
      for (const go of held) go();
      await succeeded(watch, 40);
      expect([...watch.succeeded.slice(0, 3)].sort()).toEqual([1, 2, 3]);
      expect(watch.succeeded.slice(3)).toEqual(upTo(37, 4));
      expect(watch.overlaps).toEqual([]);

      await change(shop, id, { ordering: 'BY_KEY' });
      await publishInTurn(shop, Array(10).fill('A'));
      await succeeded(watch, 50);
      await change(shop, id, { ordering: 'NONE' });
      await publishInTurn(shop, Array(10).fill('A'));
      await succeeded(watch, 60);
      expect(watch.succeeded.slice(40, 50)).toEqual(upTo(10, 41));
      expect([...watch.attempts].sort((a, b) => a - b)).toEqual(upTo(60));
    });
  });
});

describe('Two instances on one MariaDB', () => {
  test('one of them sends an ordered webhook, and hands it over in order when it stops', async () => {
    await withHub(createMysqlDatabase, async ({ application, receiver, hub, startAnother }) => {
      const shop = await application();
      const watch = new Watch();
      receiver.answer(
        '/hook',
        watch.behaviour(() => ({ status: 204 })),
      );
      await shop.webhook('/hook', { ordering: 'STRICT' });
      const { url } = await startAnother();
      const second = new Client(url, shop.key);
      await Promise.all([
        publishAll(shop, Array(60).fill(null)),
        ...upTo(60).map(() => mutated(second, 'eventPublish', { input: { type: 'order.created', payload: {} } })),
      ]);
      await second.close();
      await succeeded(watch, 40);
      await hub.stop();
      await succeeded(watch, 120);
      expect(watch.succeeded).toEqual(upTo(120));
      expect(watch.overlaps).toEqual([]);
    });
  });
});

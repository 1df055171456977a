import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { type Clock, HOUR, systemClock } from '../../src/clock';
import { deliveryId, newWebhookId } from '../../src/ids';
import { silentLog } from '../../src/log';
import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { gate } from '../support/gate';
import { Client } from '../support/graphql-client';
import { Build } from '../support/hub-process';
import { insertCopies, insertEvents } from '../support/many-rows';
import { createMysqlDatabase } from '../support/mariadb';
import { withRows } from '../support/rows';
import { StallingProxy } from '../support/stalling-proxy';
import { until } from '../support/until';
import { ADMIN_KEY, withHub } from '../support/with-hub';

const countOf = (databaseUrl: string, condition: string) =>
  withRows(databaseUrl, async (query) =>
    Number((await query<{ n: number }>(`SELECT COUNT(*) AS n FROM deliveries WHERE ${condition}`))[0]?.n),
  );

describeEachDatabase('Clocks that step', (makeDatabase) => {
  test("the hub's own, forwards and back by an hour: retries come when they are due, and new events at once", async () => {
    let stepMs = 0;
    const clock: Clock = { ...systemClock, now: () => systemClock.now() + stepMs };
    await withHub(
      makeDatabase,
      async ({ application, receiver, databaseUrl }) => {
        const shop = await application();
        receiver.answer('/hook', (_request, nth) => ({ status: nth % 2 === 1 ? 503 : 204 }));
        await shop.webhook('/hook', { retrySchedule: [1] });
        for (const step of [HOUR, -HOUR, 0]) {
          const before = receiver.requests('/hook').length;
          await shop.publish();
          await receiver.waitFor(before + 1, '/hook');
          stepMs = step;
          await receiver.waitFor(before + 2, '/hook');
        }
        await until(async () => (await countOf(databaseUrl, "status = 'SUCCEEDED'")) === 3, { description: 'all three to succeed' });
        expect(receiver.requests('/hook')).toHaveLength(6);
      },
      { clock },
    );
  });

  test("the database's, forwards by an hour: every lease looks over, yet all is delivered and written", async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      const slow = gate();
      receiver.answer('/hook', slow.answer);
      await shop.webhook('/hook', { maxConcurrency: 5, timeoutSeconds: 30 });
      for (let count = 0; count < 12; count++) await shop.publish();
      await receiver.waitFor(5, '/hook');
      // As seen from a clock that is an hour ahead, whatever is stored lies an hour further back.
      await withRows(databaseUrl, async (_query, database) => {
        await database.transaction((tx) => tx.execute(`UPDATE instances SET heartbeat_at = heartbeat_at - ${HOUR}`));
        await database.transaction((tx) => tx.execute(`UPDATE deliveries SET due_at = due_at - ${HOUR} WHERE due_at IS NOT NULL`));
      });
      slow.open();
      await until(async () => (await countOf(databaseUrl, "status = 'SUCCEEDED'")) === 12, { description: 'all to be written' });
      await shop.publish();
      await until(async () => (await countOf(databaseUrl, "status = 'SUCCEEDED'")) === 13, { description: 'one more' });
    });
  });
});

describeEachDatabase('After a crash', (makeDatabase) => {
  test('a circuit that the dead instance had opened is not shown as open: the next attempt is due as any other', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl, hub, startAnother }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook');
      await hub.stop();
      await withRows(databaseUrl, (_query, database) =>
        database.transaction((tx) =>
          tx.execute(
            "INSERT INTO webhook_health (webhook_id, failing_since, circuit_open, reason) VALUES (?, 1000, 1, 'it answered 503')",
            [id],
          ),
        ),
      );
      const there = new Client((await startAnother()).url, shop.key);
      try {
        const { webhook } = await there.query<{ webhook: { health: string } }>('query ($id: ID!) { webhook(id: $id) { health } }', { id });
        expect(webhook.health).toBe('FAILING');
      } finally {
        await there.close();
      }
    });
  });
});

describeEachDatabase('After an outage of a receiver for a day', (makeDatabase) => {
  test('what is due at once goes out within the limits of its webhook, and new events do not wait for it, to whichever webhook', async () => {
    const due = 20_000;
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl, hub, startAnother }) => {
      const shop = await application();
      const late = await shop.webhook('/late', { maxConcurrency: 4, eventTypes: ['order.created'] });
      await shop.webhook('/other', { eventTypes: ['order.paid'] });
      let underWay = 0;
      let most = 0;
      receiver.answer('/late', async () => {
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => setImmediate(resolve));
        underWay--;
        return {};
      });
      await shop.publish();
      await receiver.waitFor(1, '/late');
      await hub.stop();
      await withRows(databaseUrl, async (query, database) => {
        const [first] = await query<{ id: string }>('SELECT id FROM deliveries');
        await database.transaction((tx) => tx.execute('DELETE FROM events'));
        await insertEvents(database, shop.id, due);
        const change = (no: number) => ({
          id: deliveryId(no + 2, late.id),
          owner: '',
          status: 'RETRYING',
          attempt_count: 5,
          due_at: 1_000 + no,
          completed_at: null,
        });
        await insertCopies(database, { table: 'deliveries', id: first?.id ?? '', count: due - 1, change });
      });
      const { url } = await startAnother();
      await receiver.waitFor(200, '/late');
      const there = new Client(url, shop.key);
      try {
        const publish = 'mutation ($type: String!) { eventPublish(input: { type: $type, payload: {} }) { event { id } } }';
        await there.mutate(publish, { type: 'order.paid' });
        await receiver.waitFor(1, '/other');
        const { eventPublish } = await there.mutate<{ eventPublish: { event: { id: string } } }>(publish, { type: 'order.created' });
        await receiver.waitFor((requests) => requests.some(({ headers }) => headers['webhook-id'] === eventPublish.event.id), '/late');
        expect(await countOf(databaseUrl, "status = 'RETRYING'")).toBeGreaterThan(due / 4);
        expect(most).toBeLessThanOrEqual(4);
      } finally {
        await there.close();
      }
    });
  });

  test('thousands of webhooks with one retry each are seen to in seconds', async () => {
    const webhooks = 2_000;
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl, hub, startAnother }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook');
      await shop.publish();
      await receiver.waitFor(1);
      await hub.stop();
      await withRows(databaseUrl, async (query, database) => {
        const [first] = await query<{ id: string }>('SELECT id FROM deliveries');
        const ids = Array.from({ length: webhooks }, () => newWebhookId(shop.id));
        await insertCopies(database, { table: 'webhooks', id, count: webhooks, change: (no) => ({ id: ids[no] }) });
        const change = (no: number) => ({
          id: deliveryId(1, ids[no] ?? ''),
          webhook_id: ids[no],
          owner: '',
          status: 'RETRYING',
          due_at: 1_000,
          completed_at: null,
        });
        await insertCopies(database, { table: 'deliveries', id: first?.id ?? '', count: webhooks, change });
      });
      await startAnother();
      await receiver.waitFor(webhooks + 1);
      await until(async () => (await countOf(databaseUrl, "status <> 'SUCCEEDED'")) === 0, { description: 'all to be written' });
      expect(receiver.requests()).toHaveLength(webhooks + 1);
    });
  });
});

describe('A disk that is full, under SQLite', () => {
  let build: Build;
  beforeAll(async () => {
    build = await Build.make();
  });
  afterAll(() => build.remove());

  /** The system refuses to let files of the process grow past this, as a full disk would; it can be lifted again. */
  const limitFiles = (pid: number, bytes: number | 'unlimited') => {
    const { status, stderr } = spawnSync('prlimit', [`--pid=${pid}`, `--fsize=${bytes}:unlimited`]);
    if (status !== 0) throw new Error(`prlimit failed: ${stderr}`);
  };

  test('publishes answer UNAVAILABLE and store nothing, reads go on, and all goes on by itself when there is room', async () => {
    const { url: databaseUrl, drop } = await createSqliteDatabase();
    const hub = await build.serve(databaseUrl);
    const client = new Client(hub.url, ADMIN_KEY);
    try {
      const { applicationCreate } = await client.mutate<{ applicationCreate: { application: { id: string } } }>(
        'mutation { applicationCreate(input: { name: "shop" }) { application { id } } }',
      );
      const { id } = applicationCreate.application;
      const publish = () =>
        client.request<{ eventPublish: { event: { sequence: number } } }>(
          'mutation ($id: ID!, $payload: JSON!) { eventPublish(input: { applicationId: $id, type: "a", payload: $payload }) { event { sequence } } }',
          { id, payload: 'x'.repeat(100_000) },
        );
      let stored = 0;
      const path = databaseUrl.slice('sqlite:'.length);
      limitFiles(hub.pid, Math.max(statSync(path).size, statSync(`${path}-wal`).size) + 500_000);
      const isRefused = async () => {
        const { data, errors } = await publish();
        if (errors === undefined) stored = data?.eventPublish.event.sequence ?? 0;
        else expect(errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE' } }]);
        return errors !== undefined;
      };
      await until(isRefused, { description: 'the disk to be full' });
      expect(stored).toBeGreaterThan(0);
      const { events } = await client.query<{ events: { nodes: { sequence: number }[] } }>(
        'query ($id: ID!) { events(applicationId: $id, first: 100) { nodes { sequence } } }',
        { id },
      );
      expect(events.nodes[0]?.sequence).toBe(stored);
      expect((await publish()).errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE' } }]);

      limitFiles(hub.pid, 'unlimited');
      const { data } = await until(
        async () => {
          const answer = await publish();
          return answer.errors === undefined && answer;
        },
        { description: 'a publish to be taken' },
      );
      expect(data?.eventPublish.event.sequence).toBe(stored + 1);
      expect(hub.hasExited).toBe(false);
    } finally {
      await client.close();
      await hub.kill('SIGTERM');
      await drop();
    }
  });
});

describe('A database that is slow', () => {
  test('makes everything slow and nothing else: what is published together shares its commits, and is delivered once', async () => {
    const direct = await createMysqlDatabase();
    const proxy = await StallingProxy.to(Number(new URL(direct.url).port));
    const lines: string[] = [];
    const log = { ...silentLog, warn: (_facts: object, event: string) => void lines.push(event) };
    try {
      await withHub(
        async () => ({ url: proxy.url(direct.url), drop: direct.drop }),
        async ({ application, receiver, url, databaseUrl }) => {
          const shop = await application();
          await shop.webhook('/hook', { maxConcurrency: 20 });
          proxy.delayMs = 100;
          const published = await Promise.all(Array.from({ length: 200 }, () => shop.publish()));
          expect(published.map(({ sequence }) => sequence).sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, n) => n + 1));
          expect((await fetch(`${url}/readyz`)).status).toBe(200);
          await receiver.waitFor(200, '/hook');
          await until(async () => (await countOf(databaseUrl, "status <> 'SUCCEEDED'")) === 0, {
            description: 'all outcomes to be written',
          });
          const ids = receiver.requests('/hook').map(({ headers }) => headers['webhook-id']);
          expect(ids.sort()).toEqual(published.map(({ id }) => id).sort());
          expect(lines).toEqual([]);
          proxy.delayMs = 0;
        },
        { log },
      );
    } finally {
      await proxy.close();
    }
  });
});

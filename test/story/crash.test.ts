import { describeEachDatabase } from '../support/databases';
import { gate } from '../support/gate';
import { Client } from '../support/graphql-client';
import { Build, type HubProcess } from '../support/hub-process';
import { Receiver } from '../support/receiver';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { ADMIN_KEY } from '../support/with-hub';

let build: Build;

beforeAll(async () => {
  build = await Build.make();
});

afterAll(() => build.remove());

const PUBLISH = 'mutation ($input: EventsPublishInput!) { eventsPublish(input: $input) { results { event { id sequence } } } }';

interface Published {
  readonly id: string;
  readonly sequence: number;
}

async function publish(hub: HubProcess, applicationId: string, count: number): Promise<Published[]> {
  const { eventsPublish } = await new Client(hub.url, ADMIN_KEY).mutate<{ eventsPublish: { results: { event: Published }[] } }>(PUBLISH, {
    input: { applicationId, events: Array.from({ length: count }, (_, no) => ({ type: 'order.created', payload: { no } })) },
  });
  return eventsPublish.results.map(({ event }) => event);
}

async function createApplication(hub: HubProcess): Promise<string> {
  const { applicationCreate } = await new Client(hub.url, ADMIN_KEY).mutate<{ applicationCreate: { application: { id: string } } }>(
    'mutation { applicationCreate(input: { name: "shop" }) { application { id } } }',
  );
  return applicationCreate.application.id;
}

async function createWebhook(
  hub: HubProcess,
  applicationId: string,
  url: string,
  maxConcurrency: number,
  ordering = 'NONE',
): Promise<string> {
  const { webhookCreate } = await new Client(hub.url, ADMIN_KEY).mutate<{ webhookCreate: { webhook: { id: string } } }>(
    'mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id } userErrors { message } } }',
    { input: { applicationId, url, maxConcurrency, ordering } },
  );
  return webhookCreate.webhook.id;
}

const idsOf = (receiver: Receiver, path: string) => receiver.requests(path).map(({ headers }) => headers['webhook-id'] ?? '');

const settledCount = (databaseUrl: string, condition: string) =>
  withRows(databaseUrl, async (query) =>
    Number((await query<{ n: number }>(`SELECT COUNT(*) AS n FROM deliveries WHERE ${condition}`))[0]?.n),
  );

describeEachDatabase('A hub that dies', (makeDatabase) => {
  test('keeps the order of a STRICT webhook: what was under way is repeated, then the next follow', async () => {
    const { url: databaseUrl } = await makeDatabase();
    const receiver = await Receiver.listen();
    const hubs: HubProcess[] = [];
    try {
      const first = await build.serve(databaseUrl);
      hubs.push(first);
      const applicationId = await createApplication(first);
      const held = gate();
      receiver.answer('/strict', (_request, nth) => (nth === 8 ? held.answer() : {}));
      await createWebhook(first, applicationId, receiver.url('/strict'), 10, 'STRICT');
      const events = await publish(first, applicationId, 20);
      await receiver.waitFor(8, '/strict');
      await first.kill('SIGKILL');
      held.open();

      hubs.push(await build.serve(databaseUrl));
      await receiver.waitFor(21, '/strict');
      const order = events.map(({ id }) => id);
      expect(idsOf(receiver, '/strict')).toEqual([...order.slice(0, 8), ...order.slice(7)]);
      await until(async () => (await settledCount(databaseUrl, "status = 'SUCCEEDED' AND owner IS NULL")) === 20, {
        description: 'every delivery to be settled',
      });
    } finally {
      for (const hub of hubs) await hub.kill('SIGKILL');
      await receiver.close();
    }
  });

  test('loses nothing that was acknowledged: all of it is delivered after the next start, in sequences without gaps', async () => {
    const { url: databaseUrl } = await makeDatabase();
    const receiver = await Receiver.listen();
    const hubs: HubProcess[] = [];
    try {
      const first = await build.serve(databaseUrl);
      hubs.push(first);
      const applicationId = await createApplication(first);
      const slow = gate();
      receiver.answer('/slow', slow.answer);
      await createWebhook(first, applicationId, receiver.url('/fast'), 20);
      await createWebhook(first, applicationId, receiver.url('/slow'), 5);

      const acknowledged: Published[] = [];
      const publishing = Array.from({ length: 6 }, async () => {
        for (;;) {
          const events = await publish(first, applicationId, 5).catch(() => null);
          if (events === null) return;
          acknowledged.push(...events);
        }
      });
      await receiver.waitFor(300, '/fast');
      await first.kill('SIGKILL');
      await Promise.all(publishing);
      slow.open();
      const beforeRestart = receiver.requests().length;

      const second = await build.serve(databaseUrl);
      hubs.push(second);
      const later = await publish(second, applicationId, 20);
      const wanted = [...acknowledged, ...later].map(({ id }) => id);
      for (const path of ['/fast', '/slow'])
        await receiver.waitFor((requests) => isSubset(wanted, new Set(requests.map(({ headers }) => headers['webhook-id']))), path, 30_000);
      await until(async () => (await settledCount(databaseUrl, "status <> 'SUCCEEDED' OR owner IS NOT NULL")) === 0, {
        description: 'every delivery to be finished',
      });

      const sequences = await withRows(databaseUrl, (query) =>
        query<{ sequence: number }>('SELECT sequence FROM events ORDER BY sequence'),
      );
      expect(sequences.map(({ sequence }) => Number(sequence))).toEqual(sequences.map((_, index) => index + 1));
      expect(sequences.length).toBeGreaterThanOrEqual(wanted.length);
      const early = new Set(
        receiver
          .requests()
          .slice(0, beforeRestart)
          .map(({ headers, path }) => `${path} ${headers['webhook-id']}`),
      );
      for (const path of ['/fast', '/slow']) {
        const times = new Map<string, number>();
        for (const id of idsOf(receiver, path)) times.set(id, (times.get(id) ?? 0) + 1);
        const repeated = [...times].filter(([, count]) => count > 1);
        expect(repeated.filter(([id, count]) => count > 2 || !early.has(`${path} ${id}`))).toEqual([]);
      }
    } finally {
      for (const hub of hubs) await hub.kill('SIGKILL');
      await receiver.close();
    }
  });

  test('by SIGTERM ends what is in flight, exits 0, and leaves the rest to the next start at once, repeating nothing', async () => {
    const { url: databaseUrl } = await makeDatabase();
    const receiver = await Receiver.listen();
    const hubs: HubProcess[] = [];
    try {
      const first = await build.serve(databaseUrl);
      hubs.push(first);
      const applicationId = await createApplication(first);
      const slow = gate();
      receiver.answer('/slow', slow.answer);
      await createWebhook(first, applicationId, receiver.url('/slow'), 5);
      await publish(first, applicationId, 40);
      await receiver.waitFor(5, '/slow');

      const exit = first.kill('SIGTERM');
      await until(async () => (await settledCount(databaseUrl, "owner = ''")) === 35, {
        description: 'what had not left to be given back',
      });
      expect(first.hasExited).toBe(false);
      slow.open();
      expect(await exit).toEqual({ code: 0, signal: null });
      expect(first.log).toBe('');
      expect(receiver.requests('/slow')).toHaveLength(5);
      expect(await settledCount(databaseUrl, "status = 'SUCCEEDED' AND attempt_count = 1")).toBe(5);
      expect(await withRows(databaseUrl, (query) => query('SELECT id FROM instances'))).toEqual([]);

      hubs.push(await build.serve(databaseUrl));
      await receiver.waitFor(40, '/slow');
      await until(async () => (await settledCount(databaseUrl, "status = 'SUCCEEDED'")) === 40, { description: 'all to be delivered' });
      expect(new Set(idsOf(receiver, '/slow')).size).toBe(40);
      expect(receiver.requests('/slow')).toHaveLength(40);
    } finally {
      for (const hub of hubs) await hub.kill('SIGKILL');
      await receiver.close();
    }
  });

  test('right after an answer has left the event and its deliveries on disk', async () => {
    const { url: databaseUrl } = await makeDatabase();
    const hub = await build.serve(databaseUrl);
    try {
      const applicationId = await createApplication(hub);
      for (const path of ['a', 'b', 'c']) await createWebhook(hub, applicationId, `http://127.0.0.1:1/${path}`, 1);
      const [event] = await publish(hub, applicationId, 1);
      await hub.kill('SIGKILL');
      await withRows(databaseUrl, async (query) => {
        expect(await query('SELECT id FROM events')).toEqual([{ id: event?.id }]);
        expect(await query('SELECT webhook_id FROM deliveries')).toHaveLength(3);
      });
    } finally {
      await hub.kill('SIGKILL');
    }
  });
});

/** Refuses the hub's own events, as a database would that goes away at that very moment. */
const REFUSING = {
  SQLite: `CREATE TRIGGER refusing BEFORE INSERT ON events WHEN NEW.type LIKE 'livehook.%' BEGIN SELECT RAISE(ABORT, 'refused'); END`,
  MariaDB: `CREATE TRIGGER refusing BEFORE INSERT ON events FOR EACH ROW
    IF NEW.type LIKE 'livehook.%' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF`,
};

describeEachDatabase('A delivery that is given up', (makeDatabase) => {
  test.each(['NONE', 'BY_KEY', 'STRICT'])(
    'of a webhook with the order %s is told of in the log, whatever happens between the two',
    async (ordering) => {
      const { url: databaseUrl } = await makeDatabase();
      const receiver = await Receiver.listen();
      const dying = await build.serve(databaseUrl);
      let surviving: HubProcess | undefined;
      try {
        const applicationId = await createApplication(dying);
        const { webhookCreate } = await new Client(dying.url, ADMIN_KEY).mutate<{ webhookCreate: { webhook: { id: string } } }>(
          'mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id } userErrors { message } } }',
          { input: { applicationId, url: receiver.url('/down'), ordering, retrySchedule: [] } },
        );
        receiver.answer('/down', { status: 500 });
        await withRows(databaseUrl, async (query, database) => {
          const refusing = database.dialect.supportsManyInstances ? REFUSING.MariaDB : REFUSING.SQLite;
          await database.transaction((tx) => tx.execute(refusing));
          await publish(dying, applicationId, 1);
          const isGivenUp = async () => (await query<{ status: string }>('SELECT status FROM deliveries'))[0]?.status === 'FAILED';
          await until(async () => dying.log.includes('settle.failed') || (await isGivenUp()), {
            description: 'the attempt to be written down',
          });
          await dying.kill('SIGKILL');
          await database.transaction((tx) => tx.execute('DROP TRIGGER refusing'));
          surviving = await build.serve(databaseUrl);
          await until(isGivenUp, { description: 'the delivery to be given up' });
          const told = await query<{ payload: string }>("SELECT payload FROM events WHERE type = 'livehook.delivery.failed'");
          expect(told.map(({ payload }) => JSON.parse(payload).webhookId)).toEqual([webhookCreate.webhook.id]);
        });
      } finally {
        await dying.kill('SIGKILL');
        await surviving?.kill('SIGKILL');
        await receiver.close();
      }
    },
  );
});

function isSubset(wanted: readonly string[], found: ReadonlySet<string | undefined>): boolean {
  return wanted.every((id) => found.has(id));
}

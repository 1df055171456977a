import { gate } from '../support/gate';
import { Client, type Subscription } from '../support/graphql-client';
import { Build, type HubProcess } from '../support/hub-process';
import { createMysqlDatabase } from '../support/mariadb';
import { mutated } from '../support/mutate';
import { type Answer, type ReceivedRequest, Receiver } from '../support/receiver';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { ADMIN_KEY, type TestApplication, type TestHub, withHub } from '../support/with-hub';

/** Two hubs on one MariaDB. Each tells receivers which it is, by its origin. */
async function withTwo(work: (one: TestHub, other: string) => Promise<void>): Promise<void> {
  await withHub(
    createMysqlDatabase,
    async (one) => {
      const { url } = await one.startAnother({ environment: { LIVEHOOK_ORIGIN: 'other' } });
      await work(one, url);
    },
    { environment: { LIVEHOOK_ORIGIN: 'one' } },
  );
}

/** An instance counts the others after each of its heartbeats: after the second one it has seen whoever was there at the first. */
async function eachKnowsTheOther(databaseUrl: string, count: number): Promise<void> {
  await withRows(databaseUrl, async (query) => {
    for (let beats = 0, last: readonly number[] = []; beats < 3; beats++) {
      const beaten = await until(
        async () => {
          const rows = await query<{ at: number }>('SELECT heartbeat_at AS at FROM instances ORDER BY id');
          const times = rows.map(({ at }) => Number(at));
          return times.length === count && times.every((at, index) => at > (last[index] ?? 0)) && times;
        },
        { description: 'every instance to have a heartbeat' },
      );
      last = beaten;
    }
  });
}

/** By their places. */
const NAMES = ['one', 'other'];
const CONSENT: Answer = { status: 200, headers: { 'webhook-allowed-origin': '*' } };

/** A receiver that also consents to what names itself. */
const consenting =
  (answer: () => Answer | Promise<Answer>) =>
  ({ method }: ReceivedRequest) =>
    method === 'OPTIONS' ? CONSENT : answer();

const sendersOf = (requests: readonly ReceivedRequest[]) => new Set(requests.map(({ headers }) => headers['webhook-request-origin']));
const deliveriesTo = (receiver: Receiver, path: string) => receiver.requests(path).filter(({ method }) => method === 'POST');
const sequencesAt = (receiver: Receiver, path: string) =>
  deliveriesTo(receiver, path).map(({ headers }) => Number(headers['livehook-sequence']));
const firsts = (sequences: readonly number[]) => [...new Set(sequences)];
const upTo = (count: number, from = 1) => Array.from({ length: count }, (_, index) => from + index);

async function publishMany(client: Client, count: number, more: object = {}): Promise<void> {
  const events = Array.from({ length: count }, (_, no) => ({ type: 'order.created', payload: { no } }));
  const { results } = await mutated<{ results: { event: object | null }[] }>(
    client,
    'eventsPublish',
    { input: { events, ...more } },
    'results { event { id } }',
  );
  expect(results.every(({ event }) => event !== null)).toBe(true);
}

const unsettled = (databaseUrl: string) =>
  withRows(databaseUrl, async (query) =>
    Number((await query<{ n: number }>('SELECT COUNT(*) AS n FROM deliveries WHERE owner IS NOT NULL'))[0]?.n),
  );

const allSettled = (databaseUrl: string) =>
  until(async () => (await unsettled(databaseUrl)) === 0, { description: 'every delivery to have ended', timeoutMs: 45_000 });

/** A webhook for which both instances have something to send at the same moment: it was paused while its events came. */
async function prepare(shop: TestApplication, path: string, clients: readonly Client[], count: number, input: object): Promise<string> {
  const { id } = await shop.webhook(path, { verification: 'CLOUDEVENTS', ...input });
  await mutated(shop.client, 'webhookPause', { id });
  await Promise.all(clients.map((client) => publishMany(client, count / clients.length)));
  return id;
}

describe('On two instances', () => {
  test('a change of a webhook on one goes for the next event on the other', async () => {
    await withTwo(async ({ application, receiver }, url) => {
      const shop = await application();
      const other = new Client(url, shop.key);
      const { id } = await shop.webhook('/before', { eventTypes: ['order.*'] });
      receiver.answer('/after', {});
      await publishMany(other, 1);
      await receiver.waitFor(1, '/before');
      await mutated(shop.client, 'webhookUpdate', { id, input: { url: receiver.url('/after') } });
      await publishMany(other, 1);
      await receiver.waitFor(1, '/after');
      await mutated(shop.client, 'webhookUpdate', { id, input: { eventTypes: ['user.*'] } });
      await publishMany(other, 1);
      await mutated(other, 'eventPublish', { input: { type: 'user.created', payload: {} } });
      await receiver.waitFor(2, '/after');
      await mutated(shop.client, 'webhookDelete', { id });
      await mutated(other, 'eventPublish', { input: { type: 'user.created', payload: {} } });
      await shop.webhook('/last');
      await mutated(other, 'eventPublish', { input: { type: 'user.created', payload: {} } });
      await receiver.waitFor(1, '/last');
      expect(sequencesAt(receiver, '/before')).toEqual([1]);
      expect(sequencesAt(receiver, '/after')).toEqual([2, 4]);
      expect(sequencesAt(receiver, '/last')).toEqual([6]);
      await other.close();
    });
  });

  test('a key that is revoked on one is refused by the other, and its streams there end', async () => {
    await withTwo(async ({ application, admin }, url) => {
      const shop = await application();
      const { token, apiKey } = await mutated<{ token: string; apiKey: { id: string } }>(
        admin,
        'apiKeyCreate',
        { input: { applicationId: shop.id, name: 'guest' } },
        'token apiKey { id }',
      );
      const guest = new Client(url, token);
      const stream = guest.subscribe('subscription { event { sequence } }');
      const first = stream.take(1);
      await until(() => shop.publish().then(() => Promise.race([first, new Promise((done) => setImmediate(done))])), {
        description: 'the stream to run',
      });
      await mutated(admin, 'apiKeyRevoke', { id: apiKey.id });
      await until(async () => (await guest.request('{ viewer { admin } }')).errors?.[0]?.extensions?.code === 'UNAUTHENTICATED', {
        description: 'the other instance to refuse the key',
      });
      await expect(ended(stream)).resolves.toBe(4401);
      await guest.close().catch(() => {});
    });
  });

  test('a webhook gets no more requests a second than it asked for, of both together', async () => {
    await withTwo(async ({ application, receiver, databaseUrl }, url) => {
      const shop = await application();
      const other = new Client(url, shop.key);
      await eachKnowsTheOther(databaseUrl, 2);
      receiver.answer(
        '/paced',
        consenting(() => ({})),
      );
      const id = await prepare(shop, '/paced', [shop.client, other], 40, { ratePerSecond: 10 });
      await mutated(shop.client, 'webhookResume', { id });
      await until(() => deliveriesTo(receiver, '/paced').length >= 40, { description: 'all to be delivered' });
      const requests = deliveriesTo(receiver, '/paced');
      expect(requests).toHaveLength(40);
      expect(sendersOf(requests)).toEqual(new Set(['one', 'other']));
      // Each may begin with one request; half a second is for a receiver that takes note late.
      const spanMs = (requests.at(-1)?.receivedAt ?? 0) - (requests[0]?.receivedAt ?? 0);
      expect(spanMs).toBeGreaterThanOrEqual(((40 - 2) / 10) * 1_000 - 500);
      await other.close();
    });
  });

  test.each([5, 1])('no more than maxConcurrency: %i requests of a webhook are under way, of both together', async (maxConcurrency) => {
    await withTwo(async ({ application, receiver, databaseUrl }, url) => {
      const shop = await application();
      const other = new Client(url, shop.key);
      await eachKnowsTheOther(databaseUrl, 2);
      let open = 0;
      let most = 0;
      receiver.answer(
        '/narrow',
        consenting(async () => {
          most = Math.max(most, ++open);
          await new Promise((resolve) => setTimeout(resolve, 20)); // long enough for others to come
          open--;
          return {};
        }),
      );
      const id = await prepare(shop, '/narrow', [shop.client, other], 60, { maxConcurrency });
      await mutated(shop.client, 'webhookResume', { id });
      await until(() => deliveriesTo(receiver, '/narrow').length >= 60, { description: 'all to be delivered' });
      await Promise.all([publishMany(shop.client, 60), publishMany(other, 60)]);
      await until(() => deliveriesTo(receiver, '/narrow').length >= 180, { description: 'all to be delivered' });
      await allSettled(databaseUrl);
      expect(most).toBe(maxConcurrency);
      expect(firsts(sequencesAt(receiver, '/narrow'))).toHaveLength(180);
      await other.close();
    });
  });
});

async function ended<Data>(stream: Subscription<Data>): Promise<number | undefined> {
  try {
    for await (const _ of stream);
    return undefined;
  } catch (error) {
    return (error as { closeCode?: number }).closeCode;
  }
}

describe('Of two hub processes', () => {
  let build: Build;
  beforeAll(async () => {
    build = await Build.make();
  });
  afterAll(() => build.remove());

  interface Pair {
    readonly one: HubProcess;
    readonly other: HubProcess;
    readonly databaseUrl: string;
    readonly receiver: Receiver;
    /** Of an application, on either. */
    readonly clients: readonly [Client, Client];
    webhook(path: string, input?: object): Promise<void>;
  }

  async function withPair(work: (pair: Pair) => Promise<void>): Promise<void> {
    const database = await createMysqlDatabase();
    const receiver = await Receiver.listen();
    const hubs: HubProcess[] = [];
    const clients: Client[] = [];
    const connect = (hub: HubProcess, key: string) => {
      const client = new Client(hub.url, key);
      clients.push(client);
      return client;
    };
    try {
      const one = await build.serve(database.url, { LIVEHOOK_ORIGIN: 'one' });
      hubs.push(one);
      const other = await build.serve(database.url, { LIVEHOOK_ORIGIN: 'other' });
      hubs.push(other);
      const admin = connect(one, ADMIN_KEY);
      const { application } = await mutated<{ application: { id: string } }>(
        admin,
        'applicationCreate',
        { input: { name: 'shop' } },
        'application { id }',
      );
      const { token } = await mutated<{ token: string }>(
        admin,
        'apiKeyCreate',
        { input: { applicationId: application.id, name: 'test' } },
        'token',
      );
      const own = [connect(one, token), connect(other, token)] as const;
      await work({
        one,
        other,
        databaseUrl: database.url,
        receiver,
        clients: own,
        webhook: async (path, input = {}) =>
          void (await mutated(own[0], 'webhookCreate', {
            input: { url: receiver.url(path), verification: 'CLOUDEVENTS', retrySchedule: [1, 1, 1], ...input },
          })),
      });
    } finally {
      for (const hub of hubs) {
        hub.signal('SIGCONT');
        await hub.kill('SIGKILL');
      }
      await Promise.all(clients.map((client) => client.close().catch(() => {})));
      await receiver.close();
      await database.drop();
    }
  }

  /** Which of the two sends an ordered webhook, known from its first request; it is the `victim` of what follows. */
  async function ownerOf({ one, other, receiver }: Pair, path: string): Promise<{ victim: HubProcess; survivor: 0 | 1 }> {
    await until(() => deliveriesTo(receiver, path).length > 0, { description: 'a first request' });
    return sendersOf(deliveriesTo(receiver, path)).has('one') ? { victim: one, survivor: 1 } : { victim: other, survivor: 0 };
  }

  test('one that is killed in the midst of a STRICT webhook is followed by the other, which keeps the order', async () => {
    await withPair(async (pair) => {
      const { clients, receiver, webhook, databaseUrl } = pair;
      receiver.answer(
        '/strict',
        consenting(() => ({})),
      );
      await webhook('/strict', { ordering: 'STRICT' });
      await publishMany(clients[0], 40);
      const { victim, survivor } = await ownerOf(pair, '/strict');
      await publishMany(clients[survivor], 40);
      await victim.kill('SIGKILL');
      await publishMany(clients[survivor], 20);
      await until(() => sequencesAt(receiver, '/strict').includes(100), { description: 'the last event', timeoutMs: 45_000 });
      await allSettled(databaseUrl);
      const sequences = sequencesAt(receiver, '/strict');
      expect(firsts(sequences)).toEqual(upTo(100));
      expect(sequences.length - 100).toBeLessThanOrEqual(1); // what was under way
    });
  });

  test('one that is frozen for longer than its lease and goes on does no harm: nothing lost, no order broken', async () => {
    await withPair(async (pair) => {
      const { clients, receiver, webhook, databaseUrl } = pair;
      const taken = { victim: 0, survivor: 0 };
      const held = gate();
      receiver.answer('/strict', async (request) => {
        if (request.method === 'OPTIONS') return CONSENT;
        const { victim, survivor } = await ownerOf(pair, '/strict');
        if (request.headers['webhook-request-origin'] === NAMES[survivor]) {
          // What the other has sent so far is settled; the rest must not come from the one that wakes up.
          return ++taken.survivor > 10 ? held.answer() : {};
        }
        if (++taken.victim === 5) victim.signal('SIGSTOP'); // with a request under way, and fifty events in its memory
        return {};
      });
      receiver.answer(
        '/free',
        consenting(() => ({})),
      );
      await webhook('/strict', { ordering: 'STRICT', eventTypes: ['order.*'], timeoutSeconds: 30 });
      await webhook('/free');
      await publishMany(clients[0], 60);
      const { victim, survivor } = await ownerOf(pair, '/strict');
      await until(() => taken.survivor > 10, { description: 'the other to have taken over', timeoutMs: 45_000 });
      victim.signal('SIGCONT');
      await until(() => victim.log.includes('lease.regained'), { description: 'it to know that its lease is lost' });
      const sender = clients[1 - survivor] ?? clients[0];
      await until(
        async () => {
          await mutated(sender, 'eventPublish', { input: { type: 'user.created', payload: {} } });
          return deliveriesTo(receiver, '/free').some(
            ({ headers }) => headers['livehook-event-type'] === 'user.created' && headers['webhook-request-origin'] === NAMES[1 - survivor],
          );
        },
        { description: 'it to send again' },
      );
      held.open();
      await until(() => new Set(sequencesAt(receiver, '/strict')).size === 60, { description: 'all events', timeoutMs: 45_000 });
      await allSettled(databaseUrl);
      expect(firsts(sequencesAt(receiver, '/strict'))).toEqual(upTo(60));
      expect(sequencesAt(receiver, '/strict').length - 60).toBeLessThanOrEqual(1); // what was under way
      expect(upTo(60).filter((sequence) => !sequencesAt(receiver, '/free').includes(sequence))).toEqual([]);
      const statuses = await withRows(databaseUrl, (query) => query('SELECT DISTINCT status FROM deliveries'));
      expect(statuses).toEqual([{ status: 'SUCCEEDED' }]);
    });
  });

  test('a subscriber who goes on with the other when its own is killed has seen every event once', async () => {
    await withPair(async ({ one, clients }) => {
      const seen: number[] = [];
      let after: string | undefined;
      const follow = async (client: Client, until: () => boolean) => {
        const stream = client.subscribe<{ event: { sequence: number; cursor: string } }>(
          'subscription ($after: String) { event(after: $after) { sequence cursor } }',
          { after },
        );
        for await (const { data } of stream) {
          if (!data) throw new Error('the stream has failed');
          seen.push(data.event.sequence);
          after = data.event.cursor;
          if (until()) break;
        }
      };
      const [own, other] = clients;
      const first = follow(own, () => false).catch(() => {});
      await until(
        async () => {
          await publishMany(other, 1); // until the stream runs
          return seen.length > 0;
        },
        { description: 'the stream to run' },
      );
      const start = seen[0] ?? 0;
      const publishing = Promise.all([publishMany(other, 300), publishMany(other, 300)]);
      await until(() => seen.length > 20, { description: 'some events to be seen' });
      await one.kill('SIGKILL');
      await first;
      await publishing;
      const last = await lastSequence(other);
      await follow(other, () => seen.at(-1) === last);
      expect(seen).toEqual(upTo(last - start + 1, start));
    });
  });
});

async function lastSequence(client: Client): Promise<number> {
  const { events } = await client.query<{ events: { nodes: { sequence: number }[] } }>('{ events(first: 1) { nodes { sequence } } }');
  return events.nodes[0]?.sequence ?? 0;
}

import { encodeCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import { Client, type Subscription } from '../support/graphql-client';
import { createMysqlDatabase } from '../support/mariadb';
import { RawWebSocket } from '../support/raw-web-socket';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

interface Seen {
  readonly event: { readonly sequence: number; readonly cursor: string };
}

interface SeenPage {
  readonly deliveryUpdates: {
    readonly updates: { readonly status: string; readonly delivery: { readonly id: string } }[];
    readonly cursor: string;
  };
}

const EVENTS = 'subscription ($after: String, $types: [String!]) { event(after: $after, types: $types) { sequence cursor } }';
const UPDATES =
  'subscription ($after: String, $filter: DeliveryFilter) { deliveryUpdates(after: $after, filter: $filter, maxBatch: 7, intervalMs: 0) { updates { status delivery { id } } cursor } }';
const TRANSPORTS = ['WebSocket', 'SSE'] as const;

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const start = (shop: TestApplication, log: 'event' | 'update' = 'event') => encodeCursor(log, shop.id, 0);

function subscribe<Data>(transport: (typeof TRANSPORTS)[number], client: Client, query: string, variables: object): Subscription<Data> {
  return transport === 'SSE' ? client.subscribeSse<Data>(query, { ...variables }) : client.subscribe<Data>(query, { ...variables });
}

/** Reads `count` events, reconnecting to the next of `clients` with the cursor of the last event after every few. */
async function readEvents(transport: (typeof TRANSPORTS)[number], clients: readonly Client[], after: string, count: number) {
  const sequences: number[] = [];
  let cursor = after;
  for (let round = 0; sequences.length < count; round++) {
    const stream = subscribe<Seen>(transport, clients[round % clients.length] as Client, EVENTS, { after: cursor });
    for (const { event } of await stream.take(Math.min(1 + (round % 11), count - sequences.length))) {
      sequences.push(event.sequence);
      cursor = event.cursor;
    }
    await stream.return();
  }
  return sequences;
}

/** As `readEvents`, for `count` updates. */
async function readUpdates(transport: (typeof TRANSPORTS)[number], clients: readonly Client[], after: string, count: number) {
  const updates: string[] = [];
  let cursor = after;
  for (let round = 0; updates.length < count; round++) {
    const stream = subscribe<SeenPage>(transport, clients[round % clients.length] as Client, UPDATES, { after: cursor });
    const [page] = await stream.take(1);
    for (const { delivery, status } of page?.deliveryUpdates.updates ?? []) updates.push(`${delivery.id} ${status}`);
    cursor = page?.deliveryUpdates.cursor ?? cursor;
    await stream.return();
  }
  return updates;
}

/** Four publishers at once, taking turns among the clients. */
async function publishConcurrently(clients: readonly Client[], count: number): Promise<void> {
  const mutation = 'mutation ($no: JSON!) { eventPublish(input: { type: "order.created", payload: $no }) { event { sequence } } }';
  let no = 0;
  const publisher = async () => {
    while (no < count) await clients[no % clients.length]?.mutate(mutation, { no: no++ });
  };
  await Promise.all([publisher(), publisher(), publisher(), publisher()]);
}

function expectWhole(updates: readonly string[], deliveries: number): void {
  expect(new Set(updates).size).toBe(2 * deliveries);
  const ids = new Set(updates.map((update) => update.split(' ')[0]));
  expect(ids.size).toBe(deliveries);
  for (const id of ids) expect(updates.indexOf(`${id} PENDING`)).toBeLessThan(updates.indexOf(`${id} SUCCEEDED`));
}

describeEachDatabase('Live', (makeDatabase) => {
  test('events and updates come in order, none missed or repeated, while four publish and subscribers reconnect again and again', async () => {
    await withHub(makeDatabase, async ({ application, client, hub }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const count = 300;
      const events = TRANSPORTS.map((transport) => readEvents(transport, [client(shop.key)], start(shop), count));
      const updates = TRANSPORTS.map((transport) => readUpdates(transport, [client(shop.key)], start(shop, 'update'), 2 * count));
      await publishConcurrently([shop.client], count);
      for (const sequences of await Promise.all(events)) expect(sequences).toEqual(upTo(count));
      const [overWebSocket = [], overSse] = await Promise.all(updates);
      expectWhole(overWebSocket, count);
      expect(overSse).toEqual(overWebSocket);
      await until(() => hub.live.followers === 0, { description: 'what was followed to be let go' });
    });
  });

  test.each(TRANSPORTS)('a stream over %s goes on behind any cursor, and without one begins at the end', async (transport) => {
    await withHub(makeDatabase, async ({ application, hub }) => {
      const shop = await application();
      const published = 50;
      await publishConcurrently([shop.client], published);
      for (const from of [0, 1, 25, published - 1, published]) {
        const stream = subscribe<Seen>(transport, shop.client, EVENTS, { after: encodeCursor('event', shop.id, from) });
        if (from === published) {
          await until(() => hub.live.followers === 1, { description: 'the stream to run' });
          await shop.publish();
        }
        const { event } = (await stream.take(1))[0] as Seen;
        expect(event).toEqual({ sequence: from + 1, cursor: encodeCursor('event', shop.id, from + 1) });
        await stream.return();
        await until(() => hub.live.followers === 0, { description: 'the stream to end' });
      }
      const live = subscribe<Seen>(transport, shop.client, EVENTS, {});
      await until(() => hub.live.followers === 1, { description: 'the stream to run' });
      const { sequence } = await shop.publish();
      expect((await live.take(1))[0]?.event.sequence).toBe(sequence);
      await live.return();
    });
  });

  test('a stream of some types leaves the others out and goes on behind any cursor', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const types = ['order.created', 'order.paid', 'invoice.created', 'order'];
      for (const type of [...types, ...types]) await shop.publish({ type });
      const stream = shop.client.subscribe<Seen>(EVENTS, { after: start(shop), types: ['order.*'] });
      const first = await stream.take(2);
      expect(first.map(({ event }) => event.sequence)).toEqual([1, 2]);
      const resumed = shop.client.subscribeSse<Seen>(EVENTS, { after: first[1]?.event.cursor, types: ['*.created'] });
      expect((await resumed.take(3)).map(({ event }) => event.sequence)).toEqual([3, 5, 7]);
      await Promise.all([stream.return(), resumed.return()]);
    });
  });

  test('two applications never see each other', async () => {
    await withHub(makeDatabase, async ({ application, hub }) => {
      const [shop, other] = [await application(), await application('other')];
      const streams = [shop, other].flatMap(({ client }) => [client.subscribe<Seen>(EVENTS), client.subscribeSse<Seen>(EVENTS)]);
      await until(() => hub.live.followers === 4, { description: 'the streams to run' });
      await Promise.all([publishConcurrently([shop.client], 20), publishConcurrently([other.client], 30)]);
      const seen = await Promise.all(streams.map((stream, index) => stream.take(index < 2 ? 20 : 30)));
      for (const [index, events] of seen.entries()) {
        const { id } = index < 2 ? shop : other;
        expect(events.map(({ event }) => event.cursor)).toEqual(
          upTo(index < 2 ? 20 : 30).map((sequence) => encodeCursor('event', id, sequence)),
        );
      }
      for (const stream of streams) expect(stream.buffered).toBe(0);
      await Promise.all(streams.map((stream) => stream.return()));
    });
  });

  test('a thousand subscriptions on a socket and fifty streams leave nothing behind, and no warning', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => warnings.push(warning);
    process.on('warning', warned);
    await withHub(makeDatabase, async ({ application, hub }) => {
      const shop = await application();
      const streams = [
        ...Array.from({ length: 1_000 }, () => shop.client.subscribe<Seen>(EVENTS)),
        ...Array.from({ length: 50 }, () => shop.client.subscribeSse<Seen>(EVENTS)),
      ];
      await until(() => hub.live.followers === streams.length, { description: 'the streams to run' });
      await publishConcurrently([shop.client], 5);
      for (const events of await Promise.all(streams.map((stream) => stream.take(5))))
        expect(events.map(({ event }) => event.sequence)).toEqual(upTo(5));
      await Promise.all(streams.map((stream) => stream.return()));
      await until(() => hub.live.followers === 0, { description: 'everything to be let go' });
      expect(hub.live).toMatchObject({ followers: 0, eventStreams: 0, keptEntries: 0, unsentBytes: 0 });
    });
    process.off('warning', warned);
    expect(warnings).toEqual([]);
  });
});

/** Counts events that come in order from 1. */
class Tally {
  #count = 0;

  get count(): number {
    return this.#count;
  }

  readonly add = (sequence: number | undefined): void => {
    if (sequence !== this.#count + 1) throw new Error(`expected sequence ${this.#count + 1}, got ${sequence}`);
    this.#count++;
  };
}

function readSlowly(url: string, key: string, query: string): { begin: (tally: Tally) => Promise<void>; stop: () => void } {
  const stopped = new AbortController();
  const opened = fetch(`${url}/graphql?query=${encodeURIComponent(query)}`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${key}` },
    signal: stopped.signal,
  });
  const begin = async (tally: Tally) => {
    let rest = '';
    const { body } = await opened;
    for await (const text of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const frames = (rest + text).split('\n\n');
      rest = frames.pop() ?? '';
      for (const frame of frames) {
        const [, data] = /^event: next\ndata: (.*)$/.exec(frame) ?? [];
        if (data !== undefined) tally.add((JSON.parse(data) as { data: Seen }).data.event.sequence);
      }
    }
  };
  return { begin, stop: () => stopped.abort() };
}

describeEachDatabase('A burst', (makeDatabase) => {
  test('costs subscribers that read nothing no event, the hub no memory, and others no time', async () => {
    await withHub(makeDatabase, async ({ application, hub, url, databaseUrl }) => {
      const shop = await application();
      const count = databaseUrl.startsWith('sqlite:') ? 100_000 : 20_000;
      const batch = 1_000;
      const query = `subscription { event(after: "${start(shop)}") { sequence payload } }`;
      const read = (tally: Tally) => (message: { payload?: unknown }) => tally.add((message.payload as { data: Seen }).data.event.sequence);
      const fast = await RawWebSocket.connect(url, shop.key);
      const slow = await RawWebSocket.connect(url, shop.key);
      const slowSse = readSlowly(url, shop.key, query);
      const [fastTally, slowTally, sseTally] = [new Tally(), new Tally(), new Tally()];
      fast.each(read(fastTally));
      slow.each(read(slowTally));
      slow.pause();
      for (const socket of [fast, slow]) socket.subscribe('events', query);
      await until(() => hub.live.followers === 3, { description: 'the three to follow' });

      const mutation =
        'mutation ($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { userErrors { code } results { userErrors { code } } } }';
      const events = Array.from({ length: batch }, () => ({ type: 'order.created', payload: 'x'.repeat(400) }));
      let [keptEntries, unsentBytes, published] = [0, 0, 0];
      const publisher = async () => {
        while (published < count) {
          published += batch;
          await shop.client.mutate(mutation, { events });
          keptEntries = Math.max(keptEntries, hub.live.keptEntries);
          unsentBytes = Math.max(unsentBytes, hub.live.unsentBytes);
        }
      };
      await Promise.all([publisher(), publisher(), publisher(), publisher()]);
      await until(() => fastTally.count === count, { description: 'the reader to have every event', timeoutMs: 60_000 });
      expect(slowTally.count).toBe(0);
      expect(hub.live.unsentBytes).toBeGreaterThan(0); // the slow one is clogged, not just waiting in the kernel
      expect(keptEntries).toBeLessThanOrEqual(2_500);
      expect(unsentBytes).toBeLessThan(1024 * 1024);

      slow.resume();
      const reading = slowSse.begin(sseTally).catch((error: Error) => error);
      await until(() => slowTally.count === count && sseTally.count === count, {
        description: 'those that were slow to catch up',
        timeoutMs: 60_000,
      });
      slowSse.stop();
      expect(await reading).toMatchObject({ name: 'AbortError' });
      fast.terminate();
      slow.terminate();
      await until(() => hub.live.followers === 0, { description: 'what was followed to be let go' });
    });
  }, 180_000);
});

describe('Live on MariaDB', () => {
  test('whatever instance publishes or serves, and whichever a subscriber connects to next, none is missed or repeated', async () => {
    await withHub(createMysqlDatabase, async ({ application, startAnother, url }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const other = await startAnother();
      const clients = () => [new Client(url, shop.key), new Client(other.url, shop.key)];
      const all = [clients(), clients(), clients(), clients(), clients()];
      const [publishers = [], ...readers] = all;
      const count = 200;
      const events = TRANSPORTS.map((transport, index) => readEvents(transport, readers[index] ?? [], start(shop), count));
      const updates = TRANSPORTS.map((transport, index) =>
        readUpdates(transport, readers[index + 2] ?? [], start(shop, 'update'), 2 * count),
      );
      await publishConcurrently(publishers, count);
      for (const sequences of await Promise.all(events)) expect(sequences).toEqual(upTo(count));
      const [overWebSocket = [], overSse] = await Promise.all(updates);
      expectWhole(overWebSocket, count);
      expect(overSse).toEqual(overWebSocket);
      await Promise.all(all.flat().map((client) => client.close()));
    });
  });

  test('a stream on one instance shows what another publishes', async () => {
    await withHub(createMysqlDatabase, async ({ application, startAnother }) => {
      const shop = await application();
      const { hub, url } = await startAnother();
      const watcher = new Client(url, shop.key);
      const streams = [watcher.subscribe<Seen>(EVENTS), watcher.subscribeSse<Seen>(EVENTS)];
      await until(() => hub.live.followers === 2, { description: 'the streams to run' });
      await publishConcurrently([shop.client], 50);
      for (const stream of streams) {
        expect((await stream.take(50)).map(({ event }) => event.sequence)).toEqual(upTo(50));
        await stream.return();
      }
      await watcher.close();
    });
  });
});

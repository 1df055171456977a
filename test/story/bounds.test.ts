import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { LIMITS } from '../../src/api/limits';
import { createSqliteDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { holdLog } from '../support/hold-log';
import { createMysqlDatabase } from '../support/mariadb';
import { RawWebSocket } from '../support/raw-web-socket';
import { withRows } from '../support/rows';
import { askOver, codesOf, TRANSPORTS } from '../support/transports';
import { until } from '../support/until';
import { type TestApplication, type TestHub, withHub } from '../support/with-hub';

const EVENTS = 'subscription { event { sequence } }';
const VIEWER = '{ viewer { admin } }';
const RATE_LIMITED = { code: 'RATE_LIMITED', retryAfter: 1 };

async function openTcp(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {}); // 'close' follows
  await once(socket, 'connect');
  return socket;
}

/** Status, headers and body of one request over a connection of its own. */
async function ask(url: string, path: string, key?: string): Promise<string> {
  const socket = await openTcp(url);
  const authorization = key === undefined ? '' : `authorization: Bearer ${key}\r\n`;
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\naccept: application/json\r\n${authorization}connection: close\r\n\r\n`);
  return text(socket);
}

const viewerPath = `/graphql?query=${encodeURIComponent(VIEWER)}`;

/** Asks for `count` subscriptions on a socket; how many run and what the others are told. */
async function subscribeMany(socket: RawWebSocket, hub: TestHub['hub'], count: number, expected: number, prefix = 's') {
  const before = hub.live.subscriptions;
  for (let index = 0; index < count; index++) socket.subscribe(`${prefix}${index}`, EVENTS);
  const refusals = [];
  for (let index = expected; index < count; index++) refusals.push(await socket.next(({ type }) => type === 'next'));
  await until(() => hub.live.subscriptions - before === expected && hub.live.followers === hub.live.subscriptions, {
    description: 'the others to run',
  });
  return refusals;
}

async function expectNothingLeft({ hub }: TestHub): Promise<void> {
  const { live } = hub;
  await until(
    () => {
      const { followers, subscriptions, sockets, eventStreams, requestBytes, unsentBytes } = hub.live;
      return [followers, subscriptions, sockets, eventStreams, requestBytes, unsentBytes].every((count) => count === 0);
    },
    { description: `everything to be let go, of ${JSON.stringify(live)}` },
  );
}

describe('The requests of a key', () => {
  test('beyond its pace are refused on every transport, with the time to wait, and cost others nothing', async () => {
    const clock = new FakeClock();
    await withHub(
      createSqliteDatabase,
      async ({ url, admin, application }) => {
        const [shop, other] = [await application(), await application('other')];
        const answers = await Promise.all(Array.from({ length: 100 }, () => shop.client.request(VIEWER)));
        const refused = answers.filter(({ status }) => status === 429);
        expect([answers.filter(({ status }) => status === 200).length, refused.length]).toEqual([10, 90]);
        for (const { errors } of refused) expect(errors).toEqual([{ message: expect.any(String), extensions: RATE_LIMITED }]);
        expect(await ask(url, viewerPath, shop.key)).toMatch(/^HTTP\/1.1 429 .*\r\nretry-after: 1\r\n/is);
        for (const transport of TRANSPORTS) {
          const answer = await askOver(transport, shop.client, VIEWER);
          expect(answer.errors).toEqual(refused[0]?.errors);
        }
        expect(await other.client.query(VIEWER)).toEqual({ viewer: { admin: false } });
        for (let times = 0; times < 100; times++) await admin.query(VIEWER);
        await clock.advanceAsync(1_000);
        expect(await shop.client.query(VIEWER)).toEqual({ viewer: { admin: false } });
      },
      { clock, environment: { LIVEHOOK_REQUESTS_PER_SECOND: '10' } },
    );
  });

  test('over a socket are refused one by one, and what runs there goes on', async () => {
    const clock = new FakeClock();
    await withHub(
      createSqliteDatabase,
      async ({ url, hub, application }) => {
        const shop = await application();
        const socket = await RawWebSocket.connect(url, shop.key);
        socket.subscribe('live', EVENTS);
        await until(() => hub.live.followers === 1, { description: 'the subscription to run' });
        for (let index = 0; index < 50; index++) socket.subscribe(String(index), VIEWER);
        for (let index = 0; index < 41; index++)
          expect(await socket.next(({ type }) => type === 'error')).toMatchObject({ payload: [{ extensions: RATE_LIMITED }] });
        for (let index = 0; index < 9; index++) await socket.next(({ type }) => type === 'complete');
        await clock.advanceAsync(1_000);
        const { sequence } = await shop.publish();
        expect(await socket.next(({ id }) => id === 'live')).toMatchObject({ payload: { data: { event: { sequence } } } });
        socket.terminate();
      },
      { clock, environment: { LIVEHOOK_REQUESTS_PER_SECOND: '10' } },
    );
  });
});

describe('Connections', () => {
  const few = { environment: { LIVEHOOK_CONNECTIONS: '20' } };

  test('without a key fill half of the places, and keep nobody out who has one', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ url, hub, application }) => {
        const shop = await application();
        const idle: Socket[] = [];
        for (let index = 0; index < 200; index++) {
          idle.push(await openTcp(url));
          expect(hub.live.unauthenticated).toBeLessThanOrEqual(10);
          expect(hub.live.connections).toBeLessThanOrEqual(20 + 16);
        }
        expect(await ask(url, viewerPath, shop.key)).toMatch(/^HTTP\/1.1 200 /);
        const socket = await RawWebSocket.connect(url, shop.key);
        for (let index = 0; index < 50; index++) idle.push(await openTcp(url));
        socket.subscribe('1', VIEWER);
        expect(await socket.next()).toMatchObject({ payload: { data: { viewer: { admin: false } } } });
        for (const connection of idle) connection.destroy();
        socket.terminate();
        await until(() => hub.live.unauthenticated === 0, { description: 'the unauthenticated to be gone' });
      },
      few,
    );
  });

  test('beyond the limit are told so and closed, and the next ones find their places when others leave', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ url, hub, application }) => {
        const [shop, other, last] = [await application(), await application('other'), await application('last')];
        await until(() => hub.live.connections === 0, { description: 'idle connections to be closed' });
        const admitted: RawWebSocket[] = [];
        // Each as many as it may have beside the others: the next found room.
        for (const [{ key }, share] of [
          [shop, 10],
          [other, 6],
          [last, 4],
        ] as const)
          for (let index = 0; index < share; index++) admitted.push(await RawWebSocket.connect(url, key));
        expect(hub.live).toMatchObject({ connections: 20, unauthenticated: 0, sockets: 20 });
        for (let index = 0; index < 100; index++) {
          const answer = await ask(url, viewerPath, shop.key);
          expect(answer).toMatch(/^HTTP\/1.1 503 .*\r\nretry-after: 1\r\n.*"code":"UNAVAILABLE","retryAfter":1/is);
          const socket = await RawWebSocket.open(url);
          expect(await socket.closed).toEqual({ code: 1013, reason: 'Too many connections' });
          expect(hub.live.connections).toBeLessThanOrEqual(20 + 16);
        }
        expect(await ask(url, '/healthz')).toMatch(/^HTTP\/1.1 200 /);
        await until(() => hub.live.connections === 20, { description: 'those that were refused to be gone' });

        // So many that the system refuses the rest.
        const { hostname, port } = new URL(url);
        const crowd = Array.from({ length: 200 }, () => connect(Number(port), hostname).on('error', () => {}));
        await until(() => crowd.filter(({ destroyed }) => destroyed).length >= 200 - 16, { description: 'the rest to be refused' });
        expect(hub.live.connections).toBeLessThanOrEqual(20 + 16);
        for (const connection of crowd) connection.destroy();
        await until(() => hub.live.connections === 20, { description: 'the crowd to be gone' });

        admitted.pop()?.terminate();
        await until(() => hub.live.connections === 19, { description: 'a place to be free' });
        expect(await ask(url, viewerPath, last.key)).toMatch(/^HTTP\/1.1 200 /);
        for (const socket of admitted) socket.terminate();
        await until(() => hub.live.connections === 0, { description: 'all of them to be gone' });
      },
      few,
    );
  });

  test('without a key make room one by one when every place is taken, and those with one find it', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ url, hub, application }) => {
        const [shop, other] = [await application(), await application('other')];
        await until(() => hub.live.connections === 0, { description: 'idle connections to be closed' });
        const idle: Socket[] = [];
        const admitted: RawWebSocket[] = [];
        for (let index = 0; index < 10; index++) idle.push(await openTcp(url));
        for (let index = 0; index < 10; index++) admitted.push(await RawWebSocket.connect(url, shop.key));
        for (let index = 0; index < 5; index++) admitted.push(await RawWebSocket.connect(url, other.key));
        expect(hub.live).toMatchObject({ connections: 20, unauthenticated: 5, sockets: 15 });
        for (const connection of idle) connection.destroy();
        for (const socket of admitted) socket.terminate();
      },
      few,
    );
  });

  test('of a key are bounded over plain HTTP as well, and a connection counts for the key that used it last', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ url, hub, application }) => {
        const [shop, other] = [await application(), await application('other')];
        await until(() => hub.live.connections === 0, { description: 'idle connections to be closed' });
        const request = (key: string) =>
          `GET ${viewerPath} HTTP/1.1\r\nhost: x\r\naccept: application/json\r\nauthorization: Bearer ${key}\r\n\r\n`;
        const askOn = async (socket: Socket, key: string) => {
          socket.write(request(key));
          const [answer] = (await once(socket, 'data')) as [Buffer];
          return answer.toString();
        };
        const open: Socket[] = [];
        for (let index = 0; index < 3; index++) {
          open.push(await openTcp(url));
          for (let times = 0; times < 3; times++) expect(await askOn(open[index] as Socket, shop.key)).toMatch(/^HTTP\/1.1 200 /);
        }
        const late = await openTcp(url);
        expect(await askOn(late, shop.key)).toMatch(/^HTTP\/1.1 429 .*\r\nretry-after: 1\r\n.*"code":"RATE_LIMITED","retryAfter":1/is);
        const socket = await RawWebSocket.open(url);
        socket.send({ type: 'connection_init', payload: { authorization: `Bearer ${shop.key}` } });
        expect(await socket.closed).toEqual({ code: 1013, reason: 'RATE_LIMITED' });
        expect(await askOn(open[0] as Socket, other.key)).toMatch(/^HTTP\/1.1 200 /);
        expect(await askOn(late, shop.key)).toMatch(/^HTTP\/1.1 200 /);
        late.destroy();
        await until(() => hub.live.connections === 3, { description: 'it to be gone' });
        (await RawWebSocket.connect(url, shop.key)).terminate();
        for (const connection of open) connection.destroy();
      },
      { environment: { LIVEHOOK_CONNECTIONS_PER_KEY: '3' } },
    );
  });

  test('of a key are bounded, sockets and event streams together, and other keys have theirs', async () => {
    await withHub(
      createSqliteDatabase,
      async (scene) => {
        const { url, hub, application } = scene;
        const [shop, other] = [await application(), await application('other')];
        const sockets = [await RawWebSocket.connect(url, shop.key), await RawWebSocket.connect(url, shop.key)];
        const stream = shop.client.subscribeSse(EVENTS);
        await until(() => hub.live.eventStreams === 1, { description: 'the stream to run' });
        for (let index = 0; index < 30; index++) {
          const socket = await RawWebSocket.open(url);
          socket.send({ type: 'connection_init', payload: { authorization: `Bearer ${shop.key}` } });
          expect(await socket.closed).toEqual({ code: 1013, reason: 'RATE_LIMITED' });
          const streamed = await fetch(`${url}/graphql?query=${encodeURIComponent(EVENTS)}`, {
            headers: { accept: 'text/event-stream', authorization: `Bearer ${shop.key}` },
          });
          expect([streamed.status, await streamed.json()]).toMatchObject([429, { errors: [{ extensions: RATE_LIMITED }] }]);
          expect([hub.live.eventStreams, hub.live.subscriptions]).toEqual([1, 1]);
        }
        sockets.push(await RawWebSocket.connect(url, other.key));
        await stream.return();
        await until(() => hub.live.eventStreams === 0, { description: 'the stream to be gone' });
        sockets.push(await RawWebSocket.connect(url, shop.key));
        for (const socket of sockets) socket.terminate();
        await expectNothingLeft(scene);
      },
      { environment: { LIVEHOOK_CONNECTIONS_PER_KEY: '3' } },
    );
  });

  test('without a key send little: a socket that goes on before its connection_init is closed with 1009', async () => {
    await withHub(createSqliteDatabase, async (scene) => {
      const socket = await RawWebSocket.open(scene.url);
      socket.send({ type: 'ping', payload: { filling: 'x'.repeat(LIMITS.unauthenticatedRequestBytes) } });
      expect((await socket.closed).code).toBe(1009);
      const response = await fetch(`${scene.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query: `${VIEWER} #${'x'.repeat(LIMITS.unauthenticatedRequestBytes)}` }),
      });
      expect([response.status, await response.json()]).toMatchObject([
        413,
        { errors: [{ message: 'expected a body of at most 65536 bytes without a valid key' }] },
      ]);
      await expectNothingLeft(scene);
    });
  });

  test('without a key hold 16 MiB of bodies together at most, and those with one are served meanwhile', async () => {
    await withHub(createSqliteDatabase, async (scene) => {
      const { url, hub, application } = scene;
      const shop = await application();
      const head = 'POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 65536\r\n\r\n';
      let refused = 0;
      const connections: Socket[] = [];
      for (let index = 0; index < 600; index++) {
        const connection = await openTcp(url);
        connection.on('data', (answer) => {
          if (answer.toString().startsWith('HTTP/1.1 429 ')) refused++;
        });
        connection.write(head + 'x'.repeat(65_535));
        connections.push(connection);
      }
      await until(() => refused >= 600 - 257, { description: 'those beyond to be refused' });
      expect(hub.live.requestBytes).toBeLessThanOrEqual(LIMITS.unauthenticatedIntakeBytes);
      expect(hub.live.requestBytes).toBeGreaterThan(LIMITS.unauthenticatedIntakeBytes / 2);
      expect((await shop.publish()).sequence).toBe(1);
      for (const connection of connections) connection.destroy();
      await expectNothingLeft(scene);
    });
  });
});

describe('Subscriptions', () => {
  test('of a key stay at the limit over all its sockets and streams; what is refused costs its socket nothing', async () => {
    await withHub(
      createSqliteDatabase,
      async (scene) => {
        const { url, hub, application } = scene;
        const [shop, other] = [await application(), await application('other')];
        const [first, second, stranger] = [
          await RawWebSocket.connect(url, shop.key),
          await RawWebSocket.connect(url, shop.key),
          await RawWebSocket.connect(url, other.key),
        ];
        // Those that fail take no place.
        for (let index = 0; index < 50; index++) {
          first.subscribe(`wrong${index}`, 'subscription { event(after: "x") { id } }');
          expect(await first.next()).toMatchObject({ payload: { errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] } });
          await first.next(({ type }) => type === 'complete');
        }
        expect(await subscribeMany(first, hub, 6, 6)).toEqual([]);
        const refusals = await subscribeMany(second, hub, 100, 4);
        for (const refusal of refusals) expect(refusal).toMatchObject({ payload: { errors: [{ extensions: RATE_LIMITED }] } });
        for (const transport of ['SSE', 'WebSocket'] as const)
          expect((await askOver(transport, shop.client, EVENTS)).errors).toMatchObject([{ extensions: RATE_LIMITED }]);
        expect(hub.live).toMatchObject({ subscriptions: 10, followers: 10 });
        await subscribeMany(stranger, hub, 3, 3);
        await shop.publish();
        for (let index = 0; index < 6; index++)
          expect(await first.next(({ id }) => id === `s${index}`)).toMatchObject({ payload: { data: { event: { sequence: 1 } } } });

        first.send({ id: 's0', type: 'complete' });
        await until(() => hub.live.subscriptions === 12, { description: 'a place to be free' });
        await subscribeMany(second, hub, 1, 1, 'again');
        for (const socket of [first, second, stranger]) socket.terminate();
        await shop.client.close();
        await expectNothingLeft(scene);
      },
      { environment: { LIVEHOOK_SUBSCRIPTIONS_PER_KEY: '10' } },
    );
  });

  test('of an instance stay at the limit, divided between those who ask for them', async () => {
    await withHub(
      createSqliteDatabase,
      async (scene) => {
        const { url, hub, admin, application } = scene;
        const shops = [await application('a'), await application('b'), await application('c')];
        const sockets = await Promise.all(shops.map(({ key }) => RawWebSocket.connect(url, key)));
        await subscribeMany(sockets[0] as RawWebSocket, hub, 10, 7);
        await subscribeMany(sockets[1] as RawWebSocket, hub, 50, 5);
        await subscribeMany(sockets[2] as RawWebSocket, hub, 90, 3);
        expect(codesOf(await askOver('SSE', (shops[2] as TestApplication).client, EVENTS))).toEqual(['RATE_LIMITED']);
        expect(await admin.query(VIEWER)).toEqual({ viewer: { admin: true } });
        for (const socket of sockets) socket.terminate();
        await expectNothingLeft(scene);
      },
      { environment: { LIVEHOOK_SUBSCRIPTIONS: '15' } },
    );
  });

  test('opened and dropped ten thousand times, over sockets and event streams, leave no listener behind', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => warnings.push(warning);
    const listeners = () => process.eventNames().map((name) => [name, process.listenerCount(name)]);
    await withHub(createSqliteDatabase, async (scene) => {
      const { url, hub, application } = scene;
      const shop = await application();
      const job = 'subscription { deliveryUpdates(intervalMs: 60000) { cursor } }';
      const before = listeners();
      process.on('warning', warned);
      const idle = hub.live;

      // 9,000 over ten sockets, dropped in each of the ways there are.
      for (let round = 0; round < 10; round++) {
        const socket = await RawWebSocket.connect(url, shop.key);
        const ids = Array.from({ length: 900 }, (_, index) => String(index));
        for (const id of ids) socket.subscribe(id, Number(id) % 2 === 0 ? EVENTS : job);
        await until(() => hub.live.followers === 900, { description: 'the subscriptions to run' });
        if (round % 3 === 0) for (const id of ids) socket.send({ id, type: 'complete' });
        else if (round % 3 === 1) socket.close();
        else socket.terminate();
        await until(() => hub.live.followers === 0 && hub.live.subscriptions === 0, { description: 'the subscriptions to be let go' });
        socket.terminate();
      }
      // 1,000 over event streams, fifty at a time.
      for (let round = 0; round < 20; round++) {
        const streams: Socket[] = [];
        for (let index = 0; index < 50; index++) {
          const stream = await openTcp(url);
          const headers = `host: x\r\naccept: text/event-stream\r\nauthorization: Bearer ${shop.key}`;
          stream.write(`GET /graphql?query=${encodeURIComponent(EVENTS)} HTTP/1.1\r\n${headers}\r\n\r\n`);
          streams.push(stream);
        }
        await until(() => hub.live.followers === 50, { description: 'the streams to run' });
        for (const stream of streams) stream.destroy();
        await until(() => hub.live.followers === 0 && hub.live.eventStreams === 0, { description: 'the streams to be let go' });
      }
      await expectNothingLeft(scene);
      const { connections: _now, ...left } = hub.live;
      const { connections: _then, ...then } = idle;
      expect(left).toEqual(then);
      expect(listeners().filter(([name]) => name !== 'warning')).toEqual(before.filter(([name]) => name !== 'warning'));
      expect((await shop.publish()).sequence).toBe(1);
    });
    process.off('warning', warned);
    expect(warnings).toEqual([]);
  });
});

describe('Publishes that wait for their commit', () => {
  test('stay at half of the limit for one application, each is stored or told to come back, and others are stored', async () => {
    await withHub(createMysqlDatabase, async (scene) => {
      const { application, databaseUrl, hub } = scene;
      const [shop, other] = [await application(), await application('other')];
      await shop.publish({ type: 'a' });
      const query =
        'mutation ($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { event { sequence } } } }';
      const events = Array.from({ length: 1_000 }, () => ({ type: 'a', payload: 1 }));
      const bodyBytes = JSON.stringify({ query, variables: { events } }).length;
      await withRows(databaseUrl, async (_query, database) => {
        const held = await holdLog(database, shop.id);
        const publish = (count: number) =>
          shop.client.request<{ eventsPublish: { results: unknown[] } }>(query, { events: events.slice(0, count) });
        const waiting = Array.from({ length: 10 }, () => publish(1_000));
        await until(async () => pendingIn(await hub.ownMetrics()) === 10_000, { description: 'ten batches to wait for their commit' });
        // Each of these finds its application's half of the twenty thousand that may wait.
        const refused = await Promise.all(Array.from({ length: 200 }, () => publish(1)));
        expect(hub.live.requestBytes).toBeLessThanOrEqual(11 * bodyBytes);
        expect((await other.publish()).sequence).toBe(1);
        for (const { errors } of refused) expect(errors?.[0]?.extensions).toEqual(RATE_LIMITED);
        await held.release();
        for (const { data } of await Promise.all(waiting)) expect(data?.eventsPublish.results).toHaveLength(1_000);
      });
      await expectNothingLeft(scene);
      expect((await shop.publish()).sequence).toBe(10_002);
    });
  });
});

function pendingIn(metrics: string): number {
  return Number(/^livehook_publishes_pending(?:\{[^}]*\})? (\d+)$/m.exec(metrics)?.[1]);
}

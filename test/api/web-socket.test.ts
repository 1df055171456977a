import { LIMITS } from '../../src/api/limits';
import { createSqliteDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { RawWebSocket } from '../support/raw-web-socket';
import { until } from '../support/until';
import { type TestApplication, type TestHub, withHub } from '../support/with-hub';

const EVENTS = 'subscription { event { sequence } }';

interface Scene extends TestHub {
  readonly shop: TestApplication;
  readonly socket: RawWebSocket;
}

/** A hub, and a socket on which a subscription `live` runs. */
async function withSocket(work: (scene: Scene) => Promise<void>): Promise<void> {
  await withHub(createSqliteDatabase, async (hub) => {
    const shop = await hub.application();
    const socket = await RawWebSocket.connect(hub.url, shop.key);
    socket.subscribe('live', EVENTS);
    await until(() => hub.hub.live.followers === 1, { description: 'the subscription to run' });
    await work({ ...hub, shop, socket });
    socket.terminate();
  });
}

async function stillLives({ shop, socket }: Scene): Promise<void> {
  const { sequence } = await shop.publish();
  const message = await socket.next();
  expect(message).toEqual({ id: 'live', type: 'next', payload: { data: { event: { sequence } } } });
}

describe('a WebSocket', () => {
  test.each<[what: string, payload: Record<string, unknown>, code: string]>([
    ['a syntax error', { query: '{ viewer {' }, 'GRAPHQL_PARSE_FAILED'],
    ['an empty document', { query: '' }, 'GRAPHQL_PARSE_FAILED'],
    ['a document nested by the thousand', { query: '{ a '.repeat(4_900) }, 'GRAPHQL_PARSE_FAILED'],
    ['an unknown field', { query: '{ nothing }' }, 'GRAPHQL_VALIDATION_FAILED'],
    [
      'a document that is too deep',
      { query: `${'{ deliveries { nodes { event '.repeat(5)}{ id }${' } } }'.repeat(5)}` },
      'GRAPHQL_VALIDATION_FAILED',
    ],
    ['two fields in one subscription', { query: 'subscription { event { id } deliveryUpdates { cursor } }' }, 'GRAPHQL_VALIDATION_FAILED'],
    ['an unknown operation', { query: '{ __typename }', operationName: 'Other' }, 'OPERATION_RESOLUTION_FAILURE'],
    ['no operation', { query: 'fragment F on Query { __typename }' }, 'GRAPHQL_VALIDATION_FAILED'],
    ['a wrong variable', { query: 'query ($id: ID!) { event(id: $id) { id } }', variables: { id: {} } }, 'BAD_USER_INPUT'],
  ])('answers %s with an error of that operation, and its other subscriptions go on', async (_what, payload, code) => {
    await withSocket(async (scene) => {
      const { socket } = scene;
      socket.send({ id: 'wrong', type: 'subscribe', payload });
      const answer = await socket.next();
      expect(answer).toMatchObject({ id: 'wrong', type: 'error', payload: [{ extensions: { code } }] });
      await stillLives(scene); // and no `complete` came before
      socket.send({ id: 'wrong', type: 'complete' }); // which may be under way when the error comes
      socket.subscribe('wrong', '{ __typename }');
      expect(await socket.next()).toMatchObject({ id: 'wrong', type: 'next', payload: { data: { __typename: 'Query' } } });
    });
  });

  test.each<[what: string, query: string, code: string]>([
    ['a cursor that is none', 'subscription { event(after: "x") { id } }', 'BAD_USER_INPUT'],
    ["an admin key's field", '{ applications { nodes { id } } }', 'FORBIDDEN'],
  ])('answers %s with a result that has the error, and its other subscriptions go on', async (_what, query, code) => {
    await withSocket(async (scene) => {
      const { socket } = scene;
      socket.subscribe('wrong', query);
      expect(await socket.next()).toMatchObject({ id: 'wrong', type: 'next', payload: { errors: [{ extensions: { code } }] } });
      expect(await socket.next()).toEqual({ id: 'wrong', type: 'complete' });
      await stillLives(scene);
    });
  });

  test.each<[what: string, frame: unknown]>([
    ['is not JSON', '{'],
    ['is JSON but no object', '[]'],
    ['is null', 'null'],
    ['has no type', {}],
    ['has an unknown type', { type: 'start', id: '1' }],
    ['has a type that only servers send', { type: 'next', id: '1', payload: { data: null } }],
    ['subscribes without an id', { type: 'subscribe', payload: { query: EVENTS } }],
    ['subscribes with an id that is no string', { type: 'subscribe', id: 7, payload: { query: EVENTS } }],
    ['subscribes with an empty id', { type: 'subscribe', id: '', payload: { query: EVENTS } }],
    ['subscribes without a payload', { type: 'subscribe', id: '1' }],
    ['subscribes with a payload that is no object', { type: 'subscribe', id: '1', payload: EVENTS }],
    ['subscribes with a list as payload', { type: 'subscribe', id: '1', payload: [{ query: EVENTS }] }],
    ['subscribes without a query', { type: 'subscribe', id: '1', payload: {} }],
    ['subscribes with a query that is null', { type: 'subscribe', id: '1', payload: { query: null } }],
    ['subscribes with a query that is no string', { type: 'subscribe', id: '1', payload: { query: { kind: 'Document' } } }],
    ['subscribes with variables that are a list', { type: 'subscribe', id: '1', payload: { query: EVENTS, variables: [1] } }],
    ['subscribes with variables that are a string', { type: 'subscribe', id: '1', payload: { query: EVENTS, variables: '{}' } }],
    ['subscribes with an operation name that is no string', { type: 'subscribe', id: '1', payload: { query: EVENTS, operationName: 1 } }],
    ['subscribes with extensions that are no object', { type: 'subscribe', id: '1', payload: { query: EVENTS, extensions: 'x' } }],
    ['completes without an id', { type: 'complete' }],
    ['completes with an id that is no string', { type: 'complete', id: 7 }],
    ['acknowledges, as only servers do', { type: 'connection_ack' }],
    ['is an error, as only servers send it', { type: 'error', id: '1', payload: [{ message: 'x' }] }],
    ['pings with a payload that is no object', { type: 'ping', payload: 'x' }],
    ['pongs with a payload that is no object', { type: 'pong', payload: [] }],
    ['has a type that is no string', { type: 7 }],
    ['is binary', Buffer.from([0, 255, 254])],
  ])('closes with 4400 on a frame that %s, and the hub goes on', async (_what, frame) => {
    await withSocket(async ({ socket, hub, shop }) => {
      socket.send(frame);
      expect(await socket.closed).toEqual({ code: 4400, reason: 'Invalid message received' });
      await until(() => hub.live.followers === 0 && hub.live.sockets === 0, { description: 'what the socket held to be let go' });
      await shop.publish();
    });
  });

  test('does nothing any more of what its client had sent after a message that closes it', async () => {
    await withSocket(async ({ socket, shop }) => {
      socket.send({ type: 'subscribe', id: '1' });
      socket.subscribe('late', 'mutation { eventPublish(input: { type: "too.late", payload: {} }) { event { id } } }');
      expect((await socket.closed).code).toBe(4400);
      expect((await shop.publish({ type: 'first.one' })).sequence).toBe(1);
    });
  });

  test.each<[what: string, id: string, reason: string]>([
    ['a short id', 'live-1', 'Subscriber for live-1 already exists'],
    ['the name of what every object has', '__proto__', 'Subscriber for __proto__ already exists'],
    ['an id that is longer than a close frame', 'é'.repeat(500), `Subscriber for ${'é'.repeat(51)}…`],
  ])('closes with 4409 when %s is used twice, whatever the operations', async (_what, id, reason) => {
    for (const second of [EVENTS, '{ __typename }'])
      await withSocket(async ({ socket, hub }) => {
        socket.subscribe(id, EVENTS);
        await until(() => hub.live.followers === 2, { description: 'the first of them to run' });
        socket.subscribe(id, second);
        expect(await socket.closed).toEqual({ code: 4409, reason });
        await until(() => hub.live.followers === 0, { description: 'what the socket held to be let go' });
      });
  });

  test('closes with 4409 when the id of a query is used again before its answer', async () => {
    await withSocket(async ({ socket }) => {
      for (let times = 0; times < 2; times++) socket.subscribe('query', '{ deliveries { nodes { id } } }');
      expect(await socket.closed).toEqual({ code: 4409, reason: 'Subscriber for query already exists' });
    });
  });

  test('lets an id be used again once its operation has completed, by either side', async () => {
    await withSocket(async (scene) => {
      const { socket, hub } = scene;
      for (let times = 0; times < 2; times++) {
        socket.subscribe('again', '{ __typename }');
        expect(await socket.next()).toEqual({ id: 'again', type: 'next', payload: { data: { __typename: 'Query' } } });
        expect(await socket.next()).toEqual({ id: 'again', type: 'complete' });
        socket.send({ id: 'again', type: 'complete' }); // which may cross the hub's
      }
      socket.subscribe('again', EVENTS);
      await until(() => hub.live.followers === 2, { description: 'the subscription to run' });
      socket.send({ id: 'again', type: 'complete' });
      await until(() => hub.live.followers === 1, { description: 'the subscription to end' });
      await stillLives(scene); // and neither an event nor a `complete` came for the other
    });
  });

  test('sends no answer to a query that its client has completed meanwhile', async () => {
    await withSocket(async (scene) => {
      const { socket } = scene;
      socket.subscribe('given up', '{ deliveries { nodes { id } } }');
      socket.send({ id: 'given up', type: 'complete' });
      socket.subscribe('last', '{ __typename }');
      expect((await socket.next()).id).toBe('last');
      expect((await socket.next()).id).toBe('last');
      await stillLives(scene);
    });
  });

  test('reads messages in the order in which they came, also where one takes several turns', async () => {
    await withSocket(async (scene) => {
      const { socket } = scene;
      const x = Array.from({ length: 3 }, (_, no) => ({ payload: Array(50_000).fill(no) }));
      socket.send({ id: 'large', type: 'subscribe', payload: { query: EVENTS, variables: { x } } });
      socket.send({ id: 'large', type: 'complete' });
      socket.send({ type: 'ping' });
      expect(await socket.next()).toMatchObject({ type: 'pong' });
      await stillLives(scene); // and what is complete has no events
      await stillLives(scene);
    });
  });

  test('ignores ids that it does not know, and pongs that nobody asked for', async () => {
    await withSocket(async (scene) => {
      const { socket } = scene;
      for (const id of ['unknown', '__proto__']) socket.send({ id, type: 'complete' });
      socket.send({ type: 'pong' });
      socket.send({ type: 'pong', payload: { at: 1 } });
      await stillLives(scene);
    });
  });

  test('answers a ping with its payload, before connection_init as well', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const socket = await RawWebSocket.open(url);
      socket.send({ type: 'ping', payload: { at: 1 } });
      expect(await socket.next()).toEqual({ type: 'pong', payload: { at: 1 } });
      for (const payload of [null, undefined]) {
        socket.send({ type: 'ping', payload });
        expect(await socket.next()).toEqual({ type: 'pong' });
      }
      socket.terminate();
    });
  });

  test('acknowledges a connection_init without more than its type', async () => {
    await withHub(createSqliteDatabase, async ({ url, application }) => {
      const { key } = await application();
      const socket = await RawWebSocket.open(url);
      socket.send({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } });
      expect(await socket.next()).toEqual({ type: 'connection_ack' });
      socket.terminate();
    });
  });

  test('closes with 4400 on a connection_init whose payload is no object', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      for (const payload of ['x', [], 7]) {
        const socket = await RawWebSocket.open(url);
        socket.send({ type: 'connection_init', payload });
        expect(await socket.closed).toEqual({ code: 4400, reason: 'Invalid message received' });
      }
    });
  });

  test('closes with 4429 on a second connection_init', async () => {
    await withSocket(async ({ socket }) => {
      socket.send({ type: 'connection_init' });
      expect(await socket.closed).toEqual({ code: 4429, reason: 'Too many initialisation requests' });
    });
  });

  test('closes with 4429 on a second connection_init while the first is being looked at', async () => {
    await withHub(createSqliteDatabase, async ({ url, application }) => {
      const { key } = await application();
      const socket = await RawWebSocket.open(url);
      for (let times = 0; times < 2; times++) socket.send({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } });
      expect((await socket.closed).code).toBe(4429);
    });
  });

  test('closes with 4406 when the subprotocol is another', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const socket = await RawWebSocket.open(url, []);
      expect((await socket.closed).code).toBe(4406);
    });
  });

  test.each<[what: string, init: Record<string, unknown>]>([
    ['no key', { type: 'connection_init' }],
    ['a payload that is null', { type: 'connection_init', payload: null }],
    ['a wrong key', { type: 'connection_init', payload: { authorization: 'Bearer lhk_no' } }],
    ['a key that is no string', { type: 'connection_init', payload: { authorization: ['Bearer x'] } }],
    ['another scheme', { type: 'connection_init', payload: { authorization: 'Basic eDp5' } }],
  ])('closes with 4401 on %s in connection_init', async (_what, init) => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const socket = await RawWebSocket.open(url);
      socket.send(init);
      expect((await socket.closed).code).toBe(4401);
    });
  });

  test('closes with 4401 on a subscription before connection_init', async () => {
    await withHub(createSqliteDatabase, async ({ url }) => {
      const socket = await RawWebSocket.open(url);
      socket.subscribe('1', EVENTS);
      expect((await socket.closed).code).toBe(4401);
    });
  });

  test('closes with 4408 when connection_init does not come within ten seconds', async () => {
    const clock = new FakeClock();
    await withHub(
      createSqliteDatabase,
      async ({ url, hub, application }) => {
        const { key } = await application();
        const silent = await RawWebSocket.open(url);
        const admitted = await RawWebSocket.connect(url, key);
        await clock.advanceAsync(9_999);
        expect(hub.live.sockets).toBe(2);
        await clock.advanceAsync(1);
        expect((await silent.closed).code).toBe(4408);
        admitted.subscribe('1', '{ __typename }');
        expect(await admitted.next()).toMatchObject({ type: 'next' });
        admitted.terminate();
      },
      { clock },
    );
  });

  test('is dropped when its client answers no ping for two minutes, and kept while it does', async () => {
    const clock = new FakeClock();
    await withHub(
      createSqliteDatabase,
      async ({ url, hub, application }) => {
        const { key } = await application();
        const vanished = await RawWebSocket.connect(url, key);
        const present = await RawWebSocket.connect(url, key);
        vanished.pause();
        for (let pings = 1; hub.live.sockets === 2; pings++) {
          const ponged = present.pinged();
          await clock.advanceAsync(12_000);
          await ponged;
          present.subscribe(String(pings), '{ __typename }'); // whose answer says that the pong was read
          await present.next(({ type }) => type === 'complete');
          expect(pings).toBeLessThanOrEqual(12);
        }
        expect(hub.live.sockets).toBe(1);
        vanished.terminate();
        present.terminate();
      },
      { clock },
    );
  });

  test('closes with 1009 on a frame over the limit, and takes one just below it', async () => {
    await withSocket(async (scene) => {
      const { socket } = scene;
      socket.subscribe('large', `{ __typename } #${' '.repeat(LIMITS.requestBytes - 100)}`);
      expect(await socket.next()).toMatchObject({ id: 'large', type: 'next' });
      expect(await socket.next()).toMatchObject({ id: 'large', type: 'complete' });
      await stillLives(scene);
      socket.subscribe('larger', `{ __typename } #${' '.repeat(LIMITS.requestBytes)}`);
      expect((await socket.closed).code).toBe(1009);
    });
  });

  test('runs a thousand operations at a time, refuses one more, and lets each of them go', async () => {
    await withSocket(async (scene) => {
      const { socket, hub } = scene;
      const ids = Array.from({ length: 999 }, (_, index) => String(index));
      for (const id of ids) socket.subscribe(id, EVENTS);
      await until(() => hub.live.followers === 1_000, { description: 'a thousand subscriptions to run' });
      socket.subscribe('more', EVENTS);
      const refusal = { message: expect.any(String), extensions: { code: 'RATE_LIMITED', retryAfter: 1 } };
      expect(await socket.next()).toEqual({ id: 'more', type: 'error', payload: [refusal] });
      for (const id of ids) socket.send({ id, type: 'complete' });
      await until(() => hub.live.followers === 1, { description: 'the subscriptions to be let go' });
      await stillLives(scene);
    });
  });

  test('lets go of a subscription whose id is used again before it ran', async () => {
    await withSocket(async ({ socket, hub }) => {
      for (let times = 0; times < 20; times++) {
        socket.subscribe('again', EVENTS);
        socket.send({ id: 'again', type: 'complete' });
      }
      socket.subscribe('again', EVENTS);
      await until(() => hub.live.followers >= 2, { description: 'the last of them to run' });
      socket.terminate();
      await until(() => hub.live.followers === 0, { description: 'all of them to be let go' });
    });
  });

  test('does not read on while its client takes no answers', async () => {
    await withHub(createSqliteDatabase, async ({ url, hub, application }) => {
      const shop = await application();
      const { id } = await shop.publish({ payload: 'x'.repeat(1e6) });
      const socket = await RawWebSocket.connect(url, shop.key);
      socket.pause();
      const asked = 200;
      for (let index = 0; index < asked; index++) socket.subscribe(String(index), `{ event(id: "${id}") { payload } }`);
      await until(() => hub.live.unsentBytes > 1e6, { description: 'answers to wait' });
      await shop.publish(); // by then it has read what it will read
      expect(hub.live.unsentBytes).toBeLessThan(asked * 0.9e6);
      socket.resume();
      for (let index = 0; index < asked; index++) await socket.next(({ type }) => type === 'complete');
      socket.terminate();
    });
  });
});

import { encodeCursor } from '../../src/cursor';
import type { Log } from '../../src/log';
import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { Client, GraphqlFailure, type Subscription } from '../support/graphql-client';
import { holdLog } from '../support/hold-log';
import { createMysqlDatabase, startMariadb } from '../support/mariadb';
import { mutated } from '../support/mutate';
import { RawWebSocket } from '../support/raw-web-socket';
import { withRows } from '../support/rows';
import { askOver, codesOf, TRANSPORTS } from '../support/transports';
import { until } from '../support/until';
import { ADMIN_KEY, type TestHub, withHub } from '../support/with-hub';

const EVENTS = 'subscription { event { sequence } }';
const STREAMS = ['SSE', 'WebSocket'] as const;

interface LogLine {
  readonly level: keyof Log;
  readonly event: string;
  readonly facts: object;
}

function memoryLog(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const writer = (level: keyof Log) => (facts: object, event: string) => void lines.push({ level, event, facts });
  return { log: { debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error') }, lines };
}

async function createKey(admin: Client, input: Record<string, unknown>): Promise<{ id: string; token: string }> {
  const { apiKey, token } = await mutated<{ apiKey: { id: string }; token: string }>(
    admin,
    'apiKeyCreate',
    { input },
    'apiKey { id } token',
  );
  return { id: apiKey.id, token };
}

const revoke = (admin: Client, id: string) => mutated(admin, 'apiKeyRevoke', { id });

/** The error that ends a stream without one more result. */
async function endOf(subscription: Subscription<Record<string, unknown>>): Promise<unknown> {
  const last = await subscription.next().catch((error: unknown) => error);
  if (!(last instanceof GraphqlFailure)) {
    const { value } = last as IteratorResult<{ errors?: { extensions?: { code?: unknown } }[] }>;
    const after = await subscription.next();
    return { codes: value?.errors?.map(({ extensions }: { extensions?: { code?: unknown } }) => extensions?.code), isComplete: after.done };
  }
  return { closeCode: last.closeCode, message: last.message };
}

/** Two streams of one key, both running. */
async function openStreams({ hub, client }: Pick<TestHub, 'hub' | 'client'>, token: string) {
  const before = hub.live.followers;
  const caller = client(token);
  const streams = { webSocket: caller.subscribe(EVENTS), sse: caller.subscribeSse(EVENTS) };
  await until(() => hub.live.followers === before + 2, { description: 'the streams to run' });
  return streams;
}

const KEY_ENDED = {
  webSocket: { closeCode: 4401, message: 'the WebSocket was closed with 4401 The key has ended' },
  sse: { codes: ['UNAUTHENTICATED'], isComplete: true },
};

describeEachDatabase('The edge', (makeDatabase) => {
  test('a key that is revoked loses its streams, and others keep theirs', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const key = await createKey(hub.admin, { applicationId: shop.id });
      const ended = await openStreams(hub, key.token);
      const kept = await openStreams(hub, shop.key);
      await revoke(hub.admin, key.id);
      expect({ webSocket: await endOf(ended.webSocket), sse: await endOf(ended.sse) }).toEqual(KEY_ENDED);
      await until(() => hub.hub.live.followers === 2, { description: 'what they followed to be let go' });
      await expect(hub.client(key.token).request('{ viewer { admin } }')).resolves.toMatchObject({
        errors: [{ extensions: { code: 'UNAUTHENTICATED' } }],
      });
      await shop.publish();
      expect(await kept.webSocket.take(1)).toEqual([{ event: { sequence: 1 } }]);
      expect(await kept.sse.take(1)).toEqual([{ event: { sequence: 1 } }]);
    });
  });

  test('a key that expires loses its streams', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const key = await createKey(hub.admin, { applicationId: shop.id, expiresAt: new Date(Date.now() + 1_500).toISOString() });
      const ended = await openStreams(hub, key.token);
      expect({ webSocket: await endOf(ended.webSocket), sse: await endOf(ended.sse) }).toEqual(KEY_ENDED);
    });
  });

  test('a client that reads nothing loses its stream with its key all the same', async () => {
    await withHub(makeDatabase, async ({ hub, url, admin, application }) => {
      const shop = await application();
      for (let index = 0; index < 100; index++) await shop.publish({ payload: 'x'.repeat(500_000) });
      const key = await createKey(admin, { applicationId: shop.id });
      const reader = new AbortController();
      const query = `subscription { event(after: "${encodeCursor('event', shop.id, 0)}") { payload } }`;
      const unread = await fetch(`${url}/graphql?query=${encodeURIComponent(query)}`, {
        headers: { accept: 'text/event-stream', authorization: `Bearer ${key.token}` },
        signal: reader.signal,
      });
      const socket = await RawWebSocket.connect(url, key.token);
      socket.pause();
      socket.subscribe('unread', query);
      await until(() => hub.live.followers === 2 && hub.live.unsentBytes > 0, { description: 'the streams to be clogged' });
      await revoke(admin, key.id);
      await until(() => hub.live.followers === 0 && hub.live.eventStreams === 0, { description: 'the streams to end' });
      reader.abort();
      await unread.text().catch(() => {});
      socket.terminate();
    });
  });

  test('what goes wrong inside is masked on every transport alike, and logged once', async () => {
    const { log, lines } = memoryLog();
    await withHub(
      makeDatabase,
      async ({ application, databaseUrl }) => {
        const shop = await application();
        await shop.publish();
        await withRows(databaseUrl, (_query, database) => database.transaction((tx) => tx.execute('ALTER TABLE events RENAME TO gone')));
        const query = '{ viewer { admin } events { nodes { id } } }';
        for (const transport of TRANSPORTS) {
          const answer = await askOver(transport, shop.client, query);
          expect(answer).toEqual({
            data: null,
            errors: [
              {
                message: 'Internal error: it has been logged.',
                locations: expect.any(Array),
                path: ['events'],
                extensions: { code: 'INTERNAL_SERVER_ERROR' },
              },
            ],
          });
        }
        const faults = () => lines.filter(({ event }) => event === 'request.fault');
        expect(faults()).toHaveLength(TRANSPORTS.length);
        for (const { level, facts } of faults()) {
          expect(level).toBe('error');
          expect(facts).toMatchObject({ error: expect.stringMatching(/events/), path: ['events'] });
        }
        const after = encodeCursor('event', shop.id, 0);
        for (const transport of STREAMS) {
          const answer = await askOver(transport, shop.client, 'subscription ($after: String!) { event(after: $after) { id } }', { after });
          expect(answer).toMatchObject({
            errors: [{ message: 'Internal error: it has been logged.', extensions: { code: 'INTERNAL_SERVER_ERROR' } }],
          });
        }
        expect(faults()).toHaveLength(TRANSPORTS.length + STREAMS.length);
        await withRows(databaseUrl, (_query, database) => database.transaction((tx) => tx.execute('ALTER TABLE gone RENAME TO events')));
      },
      { log },
    );
  });

  test('the errors of a stream are the same over SSE and WebSocket: at its start and in its midst', async () => {
    await withHub(makeDatabase, async ({ application, admin, client, url, databaseUrl, hub }) => {
      const [shop, other] = [await application(), await application('other')];
      const events = 200;
      for (let index = 0; index < events; index++) await shop.publish({ payload: 'x'.repeat(200_000) });
      const { token } = await createKey(admin, { applicationId: shop.id, scopes: ['DELIVERIES_READ'] });
      const query =
        'subscription ($applicationId: ID, $after: String) { event(applicationId: $applicationId, after: $after) { sequence payload } }';
      const asks = [
        [client(token), {}, 'FORBIDDEN'],
        [shop.client, { applicationId: other.id }, 'FORBIDDEN'],
        [admin, {}, 'BAD_USER_INPUT'],
        [admin, { applicationId: 'app_nothing' }, 'BAD_USER_INPUT'],
        [shop.client, { after: 'x' }, 'BAD_USER_INPUT'],
        [shop.client, { after: encodeCursor('event', shop.id, events + 1) }, 'BAD_USER_INPUT'],
        [shop.client, { after: encodeCursor('event', other.id, 0) }, 'BAD_USER_INPUT'],
        [shop.client, { after: encodeCursor('update', shop.id, 0) }, 'BAD_USER_INPUT'],
      ] as const;
      for (const [caller, variables, code] of asks) {
        const answers = await Promise.all(STREAMS.map((transport) => askOver(transport, caller, query, variables)));
        expect(codesOf(answers[0] ?? {})).toEqual([code]);
        expect(answers[1]).toEqual(answers[0]);
      }
      const anonymous = await askOver('SSE', client(), query);
      expect(codesOf(anonymous)).toEqual(['UNAUTHENTICATED']);

      // Retention removes what two streams have yet to read.
      const after = encodeCursor('event', shop.id, 0);
      const socket = await RawWebSocket.connect(url, shop.key);
      socket.pause();
      socket.subscribe('slow', query, { variables: { after } });
      const sse = await fetch(
        `${url}/graphql?query=${encodeURIComponent(query)}&variables=${encodeURIComponent(JSON.stringify({ after }))}`,
        {
          headers: { accept: 'text/event-stream', authorization: `Bearer ${shop.key}` },
        },
      );
      await until(() => hub.live.followers === 2 && hub.live.unsentBytes > 0, { description: 'the streams to be clogged' });
      const last = encodeCursor('event', shop.id, events);
      await shop.publish();
      await withRows(databaseUrl, (_query, database) =>
        database.transaction((tx) => tx.execute('DELETE FROM events WHERE application_id = ? AND sequence <= ?', [shop.id, events])),
      );
      socket.resume();
      const error = { message: 'Retention has removed what follows this cursor.', extensions: { code: 'CURSOR_EXPIRED' } };
      expect(await socket.next(({ type }) => type !== 'next')).toEqual({ id: 'slow', type: 'error', payload: [error] });
      const [final, complete] = (await sse.text()).split('\n\n').slice(-3);
      expect(final?.slice(0, 200)).toBe(`event: next\ndata: ${JSON.stringify({ errors: [error] })}`);
      expect(complete).toBe('event: complete\ndata:');
      for (const transport of STREAMS) expect(await askOver(transport, shop.client, query, { after })).toMatchObject({ errors: [error] });
      for (const transport of STREAMS)
        expect(await askOver(transport, shop.client, query, { after: last })).toMatchObject({ data: { event: { sequence: events + 1 } } });
      socket.terminate();
    });
  });
});

describe('The edge on MariaDB', () => {
  test('a stop ends the streams as going away, whoever reads them or not, and leaves no connection', async () => {
    const connections = () => process.getActiveResourcesInfo().filter((name) => /^TCP(Server|Socket)Wrap$/.test(name)).length;
    await withHub(createMysqlDatabase, async ({ application, client, startAnother }) => {
      const before = connections();
      const second = await startAnother();
      const shop = await application();
      const caller = new Client(second.url, shop.key);
      const streams = await openStreams({ hub: second.hub, client: () => caller }, shop.key);
      const stalled = await RawWebSocket.connect(second.url, shop.key);
      stalled.pause();
      const silent = await RawWebSocket.open(second.url);
      const ends = Promise.all([endOf(streams.webSocket), streams.sse.next().catch((error: unknown) => error), silent.closed]);
      await second.hub.stop();
      const [webSocket, sse, other] = await ends;
      expect(webSocket).toEqual({ closeCode: 1001, message: 'the WebSocket was closed with 1001 Going away' });
      expect(sse).toBeInstanceOf(GraphqlFailure); // not complete: a client connects again
      expect(other).toEqual({ code: 1001, reason: 'Going away' });
      await until(() => second.hub.live.connections === 0, { description: 'the last connection to be closed' });
      expect(second.hub.live).toEqual({
        connections: 0,
        unauthenticated: 0,
        subscriptions: 0,
        requestBytes: 0,
        sockets: 0,
        eventStreams: 0,
        unsentBytes: 0,
        followers: 0,
        keptEntries: 0,
      });
      await expect(client().request('{ __typename }')).resolves.toMatchObject({ status: 200 });
      await expect(caller.request('{ __typename }')).rejects.toThrow();
      stalled.terminate();
      await caller.close();
      await until(() => connections() <= before + 1, { description: 'the connections to be gone' });
    });
  });

  test('a key that is revoked on one instance loses its streams on another', async () => {
    await withHub(createMysqlDatabase, async ({ admin, application, startAnother }) => {
      const shop = await application();
      const key = await createKey(admin, { applicationId: shop.id });
      const { hub, url } = await startAnother();
      const caller = new Client(url, key.token);
      const ended = await openStreams({ hub, client: () => caller }, key.token);
      await revoke(admin, key.id);
      expect({ webSocket: await endOf(ended.webSocket), sse: await endOf(ended.sse) }).toEqual(KEY_ENDED);
      await caller.close();
    });
  });

  test('too much at once is refused on every transport alike with a time to wait, and a stop waits for what is under way', async () => {
    await withHub(createMysqlDatabase, async ({ application, databaseUrl, startAnother }) => {
      const shop = await application();
      const { hub, url } = await startAnother();
      const caller = new Client(url, shop.key);
      const query =
        'mutation ($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { event { sequence } } } }';
      const batch = (length: number) => ({ events: Array.from({ length }, () => ({ type: 'a', payload: 1 })) });
      await withRows(databaseUrl, async (_query, database) => {
        const held = await holdLog(database, shop.id);
        const asked = Array.from({ length: 11 }, () => caller.request<{ eventsPublish: { results: unknown[] } }>(query, batch(1_000)));
        const first = await Promise.race(asked);
        expect(first.errors?.[0]?.extensions).toEqual({ code: 'RATE_LIMITED', retryAfter: 1 });
        for (const transport of TRANSPORTS) {
          const { errors } = await askOver(transport, caller, query, batch(1));
          expect(errors).toMatchObject([{ extensions: { code: 'RATE_LIMITED', retryAfter: 1 } }]);
          expect(errors?.[0]?.message).toBe(first.errors?.[0]?.message);
        }
        await caller.close();
        const stopped = hub.stop();
        await Promise.all([stopped, held.release()]);
        const answers = await Promise.all(asked);
        expect(answers.filter(({ data }) => data?.eventsPublish.results.length === 1_000)).toHaveLength(10);
      });
    });
  });

  test('without its database the hub says so, refuses what it cannot store, and goes on when it is back', async () => {
    const server = await startMariadb();
    try {
      await withHub(
        async () => ({ url: server.url, drop: async () => {} }),
        async ({ url, hub, admin, application }) => {
          const shop = await application();
          const live = shop.client.subscribe<{ event: { sequence: number } }>(EVENTS);
          await until(() => hub.live.followers === 1, { description: 'the subscription to run' });
          await shop.publish();
          expect(await live.take(1)).toEqual([{ event: { sequence: 1 } }]);
          await server.kill();

          const ready = await fetch(`${url}/readyz`);
          expect([ready.status, await ready.json()]).toEqual([
            503,
            { status: 'not ready', isReady: false, database: 'unreachable', migrations: 'unknown', secretKey: 'unknown' },
          ]);
          expect((await fetch(`${url}/healthz`)).status).toBe(200);
          const publish = 'mutation { eventPublish(input: { type: "a", payload: 1 }) { event { sequence } } }';
          const refused = await shop.client.request(publish);
          expect(refused.errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE' } }]);
          const unknown = await new Client(url, 'lhk_unknown').request('{ viewer { admin } }');
          expect(unknown).toMatchObject({ status: 503, errors: [{ extensions: { code: 'UNAVAILABLE' } }] });
          const socket = await RawWebSocket.open(url);
          socket.send({ type: 'connection_init', payload: { authorization: 'Bearer lhk_unknown' } });
          expect(await socket.closed).toEqual({ code: 1013, reason: 'UNAVAILABLE' });

          await server.restart();
          await until(async () => (await fetch(`${url}/readyz`)).status === 200, { description: 'the hub to be ready again' });
          const { sequence } = await until(() => shop.publish(), { description: 'a publish to be stored' });
          expect(sequence).toBe(2);
          expect(await live.take(1)).toEqual([{ event: { sequence: 2 } }]);
          expect(await admin.query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });
        },
      );
    } finally {
      await server.stop();
    }
  });
});

test('a subscription over plain HTTP is told where to go', async () => {
  await withHub(createSqliteDatabase, async ({ url }) => {
    const { status, errors } = await new Client(url, ADMIN_KEY).request(EVENTS);
    expect(status).toBe(406);
    expect(errors).toMatchObject([{ message: expect.stringContaining('accept: text/event-stream'), extensions: { code: 'BAD_REQUEST' } }]);
  });
});

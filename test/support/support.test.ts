import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GraphQLInt, GraphQLNonNull, GraphQLObjectType, GraphQLSchema } from 'graphql';
import { createHandler } from 'graphql-http/lib/use/http';
import { createHandler as createSseHandler } from 'graphql-sse/lib/use/http';
import { useServer } from 'graphql-ws/use/ws';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { Webhook } from 'standardwebhooks';
import { WebSocketServer } from 'ws';
import { SECOND, sleep } from '../../src/clock';
import { createSqliteDatabase, describeEachDatabase } from './databases';
import { FakeClock } from './fake-clock';
import { Client } from './graphql-client';
import { createMysqlDatabase, startMariadb } from './mariadb';
import { Receiver } from './receiver';
import { until } from './until';

async function select(url: string, sql: string): Promise<Record<string, unknown> | undefined> {
  const connection = await createConnection(url);
  try {
    const [rows] = await connection.query<RowDataPacket[]>(sql);
    return rows[0];
  } finally {
    await connection.end();
  }
}

describe('the MariaDB of a run', () => {
  it('commits durably and keeps no binary log', async () => {
    const database = await createMysqlDatabase();
    const settings = await select(
      database.url,
      `SELECT @@innodb_flush_log_at_trx_commit flush, @@innodb_buffer_pool_size pool, @@innodb_doublewrite doublewrite,
              @@max_connections connections, @@log_bin binlog, @@skip_name_resolve unresolved, @@bind_address address,
              @@character_set_database charset`,
    );
    expect(settings).toEqual({
      flush: 1,
      pool: 256 * 1024 * 1024,
      doublewrite: 1,
      connections: 400,
      binlog: 0,
      unresolved: 1,
      address: '127.0.0.1',
      charset: 'utf8mb4',
    });
    await database.drop();
  });

  it('gives a database of its own to each who asks, and nothing after it is dropped', async () => {
    const [one, other] = await Promise.all([createMysqlDatabase(), createMysqlDatabase()]);
    expect(one.url).not.toBe(other.url);
    await one.drop();
    await expect(select(one.url, 'SELECT 1')).rejects.toThrow('Unknown database');
    expect(await select(other.url, 'SELECT 1 AS one')).toEqual({ one: 1 });
    await other.drop();
  });
});

describe('a MariaDB of its own', () => {
  it('keeps what was committed before a crash, under the same URL, until it is stopped', async () => {
    const server = await startMariadb({ settings: { 'max-connections': '20' } });
    try {
      const { pid } = server;
      await select(server.url, 'CREATE TABLE kept AS SELECT 7 AS number, @@max_connections AS connections');
      await server.kill();
      await expect(select(server.url, 'SELECT 1')).rejects.toThrow('ECONNREFUSED');
      await server.restart();
      expect(server.pid).not.toBe(pid);
      expect(await select(server.url, 'SELECT * FROM kept')).toEqual({ number: 7, connections: 20 });
      expect(await select(server.url, 'SELECT @@datadir AS folder')).toEqual({ folder: expect.stringContaining('livehook-mariadb-') });
    } finally {
      await server.stop();
    }
    await expect(select(server.url, 'SELECT 1')).rejects.toThrow('ECONNREFUSED');
  });

  it('says what its server said when it does not start', async () => {
    await expect(startMariadb({ settings: { 'no-such-setting': '1' } })).rejects.toThrow(/ended before it answered[\s\S]*no-such-setting/);
  });
});

describeEachDatabase('makeDatabase', (makeDatabase) => {
  it('makes another one each time', async () => {
    const [one, other] = await Promise.all([makeDatabase(), makeDatabase()]);
    expect(one.url).toMatch(/^(sqlite:\/.+livehook\.db|mysql:\/\/livehook:.+@127\.0\.0\.1:\d+\/test_[0-9a-f]+)$/);
    expect(one.url).not.toBe(other.url);
  });
});

describe('until', () => {
  it('returns the first truthy value', async () => {
    let looks = 0;
    expect(await until(() => ++looks === 3 && 'third', { description: 'the third look' })).toBe('third');
  });

  it('names what it waited for and the last value', async () => {
    const waiting = until(async () => null, { description: 'a delivery', timeoutMs: 20 });
    await expect(waiting).rejects.toThrow('waited 20 ms for a delivery; the last value was null');
  });

  it('names the last error, and carries it as the cause', async () => {
    const broken = new Error('no such table');
    const waiting = until(() => Promise.reject(broken), { description: 'a row', timeoutMs: 20 });
    await expect(waiting).rejects.toMatchObject({ message: expect.stringContaining('no such table'), cause: broken });
  });

  it('does not wait for a look that never ends', async () => {
    const waiting = until(() => new Promise<true>(() => {}), { description: 'an answer', timeoutMs: 20 });
    await expect(waiting).rejects.toThrow('the last look never ended');
  });
});

describe('FakeClock', () => {
  it('runs timers in the order in which they are due, each at its own instant', () => {
    const clock = new FakeClock(1_000);
    const ran: [string, number][] = [];
    clock.after(30, () => ran.push(['late', clock.now()]));
    clock.after(10, () => {
      ran.push(['early', clock.now()]);
      clock.after(10, () => ran.push(['set while running', clock.monotonic()]));
    });
    clock.after(10, () => ran.push(['early, set second', clock.now()]));
    clock.after(31, () => ran.push(['not yet due', clock.now()]));
    clock.advance(30);
    expect(ran).toEqual([
      ['early', 1_010],
      ['early, set second', 1_010],
      ['set while running', 20],
      ['late', 1_030],
    ]);
    expect([clock.now(), clock.monotonic(), clock.pending]).toEqual([1_030, 30, 1]);
  });

  it('forgets a cancelled timer', () => {
    const clock = new FakeClock();
    const step = jest.fn();
    const cancel = clock.after(5, step);
    cancel();
    cancel();
    clock.advance(10);
    expect(step).not.toHaveBeenCalled();
  });

  it('lets a sleeping loop go round as often as the time allows', async () => {
    const clock = new FakeClock(0);
    const rounds: number[] = [];
    const stop = new AbortController();
    const loop = (async () => {
      while (!stop.signal.aborted) {
        await sleep(clock, SECOND, stop.signal);
        rounds.push(clock.now());
      }
    })();
    await clock.advanceAsync(3.5 * SECOND);
    expect(rounds).toEqual([1_000, 2_000, 3_000]);
    stop.abort();
    await loop;
  });
});

describe('Receiver', () => {
  const secret = `whsec_${randomBytes(24).toString('base64')}`;
  let receiver: Receiver;
  beforeEach(async () => {
    receiver = await Receiver.listen();
  });
  afterEach(() => receiver.close());

  function post(path: string, body = '{}', headers: Record<string, string> = {}): Promise<Response> {
    return fetch(receiver.url(path), { method: 'POST', body, headers });
  }

  function signed(body: string, key = secret): Record<string, string> {
    const at = new Date();
    const timestamp = String(Math.floor(at.getTime() / 1000));
    return { 'webhook-id': 'evt_1', 'webhook-timestamp': timestamp, 'webhook-signature': new Webhook(key).sign('evt_1', at, body) };
  }

  it('tells a request signed with one of the secrets of its path from every other', async () => {
    const body = '{"no":"é 1"}';
    const other = `whsec_${randomBytes(24).toString('base64')}`;
    receiver.trust('/hook', other).trust('/hook', secret);
    await post('/hook', body, signed(body));
    await post('/hook', body, signed(body, other));
    await post('/hook', `${body} `, signed(body));
    await post('/hook', body, signed(body, `whsec_${randomBytes(24).toString('base64')}`));
    await post('/hook', body);
    await post('/elsewhere', body, signed(body));
    expect(receiver.requests().map((request) => request.verified)).toEqual([true, true, false, false, false, false]);
  });

  it('records what came, byte for byte, and answers 204', async () => {
    const response = await post('/hook?tenant=7', 'ü', { 'X-Trace': 'a' });
    expect(response.status).toBe(204);
    const [request] = receiver.requests('/hook');
    expect(request).toMatchObject({ method: 'POST', path: '/hook', headers: { 'x-trace': 'a' }, body: Buffer.from('ü'), verified: false });
    expect(request?.rawHeaders).toContainEqual(['content-length', '2']);
  });

  it('answers as it is told, by the count of the path', async () => {
    receiver.answer('/flaky', (_request, nth) => (nth < 2 ? { status: 503, headers: { 'retry-after': '7' }, body: 'later' } : {}));
    const first = await post('/flaky');
    expect([first.status, first.headers.get('retry-after'), await first.text()]).toEqual([503, '7', 'later']);
    expect((await post('/flaky')).status).toBe(204);
  });

  it('hangs up and keeps waiting as it is told', async () => {
    receiver
      .answer('/cut', { destroy: true })
      .answer('/short', { status: 200, body: 'half', destroy: true })
      .answer('/hang', { hang: true });
    await expect(post('/cut')).rejects.toThrow('fetch failed');
    const short = await post('/short');
    expect(short.status).toBe(200);
    await expect(short.text()).rejects.toThrow('terminated');
    const hanging = expect(post('/hang')).rejects.toThrow('fetch failed');
    await receiver.waitFor(1, '/hang');
    receiver.answer('/stall', { status: 200, body: 'so far', hang: true });
    const reader = (await post('/stall')).body?.getReader();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('so far');
    const stalled = expect(reader?.read()).rejects.toThrow('terminated');
    await receiver.close();
    await Promise.all([hanging, stalled]);
    receiver = await Receiver.listen();
  });

  it('answers late when the behaviour is a promise', async () => {
    const gate = deferred();
    receiver.answer('/slow', () => gate.promise.then(() => ({ status: 202 })));
    const answer = post('/slow');
    await receiver.waitFor(1, '/slow');
    gate.resolve();
    expect((await answer).status).toBe(202);
  });

  it('resolves a wait when the condition holds, and says what it saw when it does not', async () => {
    const waiting = receiver.waitFor((requests) => requests.some((request) => request.body.toString() === 'b'), '/hook');
    await Promise.all([post('/hook', 'a'), post('/hook', 'b')]);
    expect((await waiting).length).toBeGreaterThan(0);
    await expect(receiver.waitFor(3, '/hook', 20)).rejects.toThrow(
      /^waited 20 ms for 3 requests to \/hook; saw 2, the last of them:\n {2}POST \/hook without webhook-id, not verified\n/,
    );
  });
});

describe('Client', () => {
  const schema = countingSchema();
  let server: Server;
  let close: () => Promise<void>;
  let client: Client;

  beforeEach(async () => {
    const http = createHandler({ schema });
    const sse = createSseHandler({ schema });
    server = createServer((request, response) => (request.headers.accept?.includes('event-stream') ? sse : http)(request, response));
    const sockets = new WebSocketServer({ server, path: '/graphql' });
    const graphql = useServer({ schema, onConnect: ({ connectionParams }) => connectionParams?.authorization === 'Bearer right' }, sockets);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    client = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'right');
    close = async () => {
      await graphql.dispose();
      server.close();
      server.closeAllConnections();
    };
  });
  afterEach(() => close());

  it('returns data and errors with the status, and throws the errors from mutate', async () => {
    expect(await client.request('{ one }')).toEqual({ status: 200, data: { one: 1 } });
    expect(await client.request('{ two }')).toMatchObject({ status: 400, errors: [{ message: expect.stringContaining('two') }] });
    await expect(client.mutate('mutation { fail }')).rejects.toMatchObject({ message: 'failed', errors: [{ path: ['fail'] }] });
  });

  it.each(['subscribe', 'subscribeSse'] as const)('%s yields the results in order and then ends', async (transport) => {
    const subscription = client[transport]<{ count: number }>('subscription ($to: Int!) { count(to: $to) }', { to: 3 });
    expect(await subscription.take(2)).toEqual([{ count: 1 }, { count: 2 }]);
    expect(await subscription.next()).toEqual({ done: false, value: { data: { count: 3 } } });
    expect(await subscription.next()).toEqual({ done: true, value: undefined });
  });

  it.each(['subscribe', 'subscribeSse'] as const)('%s lets go when it is told to return', async (transport) => {
    const subscription = client[transport]<{ count: number }>('subscription { count(to: 1, endless: 1) }');
    await subscription.take(1);
    const next = subscription.next();
    await subscription.return();
    expect(await next).toEqual({ done: true, value: undefined });
    await until(() => new Promise<boolean>((resolve) => server.getConnections((_error, count) => resolve(count <= 1))), {
      description: 'all but the idle HTTP connection to close',
    });
  });

  it.each(['subscribe', 'subscribeSse'] as const)('%s times out with a sentence', async (transport) => {
    const subscription = client[transport]('subscription { count(to: 1, endless: 1) }');
    await expect(subscription.take(2, 200)).rejects.toThrow('waited 200 ms for 2 results, got 1');
  });

  it('fails with the close code of the WebSocket', async () => {
    const stranger = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const subscription = stranger.subscribe('subscription { count(to: 1) }');
    await expect(subscription.next()).rejects.toMatchObject({ closeCode: 4403, message: 'the WebSocket was closed with 4403 Forbidden' });
    await expect(subscription.next()).rejects.toMatchObject({ closeCode: 4403 });
  });

  it('fails with the errors of an invalid subscription', async () => {
    await expect(client.subscribe('subscription { nope }').next()).rejects.toMatchObject({
      errors: [{ message: expect.stringContaining('nope') }],
    });
  });
});

describe('a SQLite database', () => {
  it('takes its folder with it when it is dropped', async () => {
    const database = await createSqliteDatabase();
    const folder = database.url.slice('sqlite:'.length, -'/livehook.db'.length);
    expect(existsSync(folder)).toBe(true);
    await database.drop();
    expect(existsSync(folder)).toBe(false);
  });
});

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function countingSchema(): GraphQLSchema {
  const count = new GraphQLNonNull(GraphQLInt);
  return new GraphQLSchema({
    query: new GraphQLObjectType({ name: 'Query', fields: { one: { type: count, resolve: () => 1 } } }),
    mutation: new GraphQLObjectType({
      name: 'Mutation',
      fields: {
        fail: {
          type: GraphQLInt,
          resolve: () => {
            throw new Error('failed');
          },
        },
      },
    }),
    subscription: new GraphQLObjectType({
      name: 'Subscription',
      fields: {
        count: {
          type: count,
          args: { to: { type: count }, endless: { type: GraphQLInt } },
          subscribe: (_root, { to, endless }) => counting(to, Boolean(endless)),
          resolve: (value: number) => value,
        },
      },
    }),
  });
}

/** Counts up to `to` and ends, or then stays silent until it is returned. */
function counting(to: number, endless: boolean): AsyncIterableIterator<number> {
  const { promise: returned, resolve } = deferred();
  const end = () => ({ done: true, value: undefined }) as const;
  let count = 0;
  return {
    next: async () => {
      if (count < to) return { done: false, value: ++count };
      if (endless) await returned;
      return end();
    },
    return: async () => {
      resolve();
      return end();
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

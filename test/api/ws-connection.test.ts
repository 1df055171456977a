import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { WebSocket } from 'ws';
import { Intake } from '../../src/api/intake';
import { LIMITS } from '../../src/api/limits';
import type { Results } from '../../src/api/shared-results';
import { Unsent } from '../../src/api/unsent';
import { WsConnection } from '../../src/api/ws-connection';
import type { Caller } from '../../src/applications/api-keys';
import { SECOND } from '../../src/clock';
import { HubError } from '../../src/errors';
import { silentLog } from '../../src/log';
import { Slices } from '../../src/slices';
import { FakeClock } from '../support/fake-clock';

const CALLER = { applicationId: 'app_1' } as unknown as Caller;
const MIB = 1024 * 1024;

/** A TCP socket, the other side of which a test is. */
class Socket extends EventEmitter {
  readonly frames: string[] = [];
  bytesWritten = 0;
  destroyed = false;
  writableNeedDrain = false;

  write(bytes: Buffer): boolean {
    this.bytesWritten += bytes.length;
    this.frames.push(...textsOf(bytes));
    return !this.writableNeedDrain;
  }

  /** The other side has read everything. */
  drain(): void {
    this.writableNeedDrain = false;
    this.emit('drain');
  }
}

/** The texts of frames as servers send them. */
function textsOf(bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const short = bytes[at + 1] ?? 0;
    const [start, length] = short < 126 ? [2, short] : short === 126 ? [4, bytes.readUInt16BE(at + 2)] : [10, bytes.readUInt32BE(at + 6)];
    texts.push(bytes.subarray(at + start, at + start + length).toString());
    at += start + length;
  }
  return texts;
}

/** What ws makes of it. */
class Client extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  isPaused = false;
  readonly sent: { readonly text: string; readonly taken: () => void }[] = [];
  readonly closings: (readonly [code: number | undefined, reason: string | undefined])[] = [];
  pings = 0;
  isTerminated = false;

  send(text: string, taken: () => void): void {
    this.sent.push({ text, taken });
  }

  close(code?: number, reason?: string): void {
    if (this.readyState === this.OPEN) this.closings.push([code, reason]);
    this.readyState = 2;
  }

  ping(): void {
    this.pings++;
  }

  terminate(): void {
    this.isTerminated = true;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }
}

function setUp({ isAdmitted = true } = {}) {
  const clock = new FakeClock();
  const [socket, client, unsent, intake] = [new Socket(), new Client(), new Unsent(64 * MIB), new Intake()];
  const request = { socket } as unknown as IncomingMessage;
  const deps = { intake, unsent, slices: new Slices(), clock, log: silentLog };
  const connection = new WsConnection(client as unknown as WebSocket, request, deps);
  let endKey = () => {};
  let isWatched = false;
  if (isAdmitted) {
    connection.initialised();
    connection.admit(CALLER, (_, ended) => {
      endKey = ended;
      isWatched = true;
      return () => {
        isWatched = false;
      };
    });
  }
  return { clock, socket, client, unsent, intake, connection, endKey: () => endKey(), isWatched: () => isWatched };
}

/** Results that a test makes, as `pump` takes them. */
function results() {
  const waiting: ((texts: readonly Buffer[]) => void)[] = [];
  let hasReturned = false;
  let asked = 0;
  const stub = {
    async take(roomFor: (bytes: number) => Promise<void> | undefined) {
      asked++;
      for (let wait = roomFor(1); wait; wait = roomFor(1)) await wait;
      if (hasReturned) return [];
      return new Promise<readonly Buffer[]>((resolve) => waiting.push(resolve));
    },
    async return() {
      hasReturned = true;
      for (const resolve of waiting.splice(0)) resolve([]);
    },
  };
  return {
    results: stub as unknown as Results,
    come: (...texts: string[]) => waiting.shift()?.(texts.map((text) => Buffer.from(text))),
    asked: () => asked,
    /** Whether one is being made. */
    isMaking: () => waiting.length > 0,
    hasReturned: () => hasReturned,
  };
}

const turn = async () => {
  for (let count = 0; count < 5; count++) await new Promise<void>((resolve) => setImmediate(resolve));
};

describe('A WebSocket', () => {
  test('is closed when nobody has signed on in time, and kept once somebody has', () => {
    const [silent, signedOn] = [setUp({ isAdmitted: false }), setUp()];
    for (const { clock } of [silent, signedOn]) clock.advance(10 * SECOND);
    expect(silent.client.closings).toEqual([[4408, 'Connection initialisation timeout']]);
    expect(signedOn.client.closings).toEqual([]);
  });

  test('is closed on a message that is too large for somebody without a key, before all of it is there', () => {
    const [stranger, known] = [setUp({ isAdmitted: false }), setUp()];
    for (const { socket } of [stranger, known]) socket.emit('data', Buffer.alloc(LIMITS.unauthenticatedRequestBytes + 1));
    expect([stranger.client.closings, known.client.closings]).toEqual([[[1009, 'No valid key came so far']], []]);
  });

  test('is closed when its key ends; one that has left is not watched any more', () => {
    const { connection, client, endKey, isWatched } = setUp();
    expect(isWatched()).toBe(true);
    endKey();
    expect(client.closings).toEqual([[4401, 'The key has ended']]);
    connection.closed();
    expect(isWatched()).toBe(false);
    const late = setUp({ isAdmitted: false });
    late.client.readyState = 3;
    let isStopped = false;
    late.connection.admit(CALLER, () => () => {
      isStopped = true;
    });
    expect(isStopped).toBe(true);
  });

  test('is pinged while it is idle, and dropped after ten pings that nobody has answered', () => {
    const { clock, client } = setUp();
    clock.advance(9 * 12 * SECOND);
    client.emit('pong');
    clock.advance(10 * 12 * SECOND);
    expect([client.pings, client.isTerminated]).toEqual([19, false]);
    clock.advance(12 * SECOND);
    expect(client.isTerminated).toBe(true);
  });

  test('is kept while its client takes what waits, which no ping is sent behind, and dropped when it takes nothing', () => {
    const { clock, client, socket } = setUp();
    client.bufferedAmount = 1_000;
    for (let round = 0; round < 30; round++) {
      socket.bytesWritten += 10;
      clock.advance(12 * SECOND);
    }
    expect([client.pings, client.isTerminated]).toEqual([0, false]);
    clock.advance(11 * 12 * SECOND);
    expect(client.isTerminated).toBe(true);
  });

  test('takes no more of its client while a megabyte waits to be read, and goes on after that', async () => {
    const { connection, client } = setUp();
    client.bufferedAmount = MIB + 1;
    let isTaken = false;
    const sent = connection.send('{}').then(() => {
      isTaken = true;
    });
    await turn();
    expect([client.isPaused, isTaken]).toEqual([true, false]);
    client.bufferedAmount = 0;
    client.sent[0]?.taken();
    await sent;
    expect(client.isPaused).toBe(false);
    connection.close(1000);
    expect(await connection.send('{}')).toBeUndefined(); // one that has left misses nothing
    expect(client.sent).toHaveLength(1);
  });

  test('sends what has come together in one write, and asks for more when that is taken', async () => {
    const { connection, socket, unsent } = setUp();
    const { results: source, come, asked, isMaking } = results();
    const pumped = connection.pump('op', source).next();
    await turn();
    socket.writableNeedDrain = true;
    come('{"data":1}', '{"data":2}');
    await turn();
    expect(socket.frames).toEqual(['{"id":"op","type":"next","payload":{"data":1}}', '{"id":"op","type":"next","payload":{"data":2}}']);
    expect([asked(), unsent.bytes > 0]).toEqual([1, true]);
    socket.drain();
    await turn();
    expect([asked(), unsent.bytes, isMaking()]).toEqual([2, 0, true]);
    come();
    expect(await pumped).toEqual({ done: true, value: undefined });
  });

  test('makes the messages of one stream at a time, in turn', async () => {
    const { connection } = setUp();
    const [one, two] = [results(), results()];
    const pumps = [one, two].map(({ results: source }, no) => connection.pump(String(no), source).next());
    await turn();
    expect([one.isMaking(), two.isMaking()]).toEqual([true, false]);
    one.come('{}');
    await turn();
    expect([one.isMaking(), two.isMaking()]).toEqual([false, true]);
    two.come('{}');
    await turn();
    expect([one.isMaking(), two.isMaking()]).toEqual([true, false]);
    for (const { results: source } of [one, two]) await source.return();
    await Promise.all(pumps);
  });

  test('that is closed ends its streams, and holds nothing any more', async () => {
    const { connection, socket, unsent, client, intake } = setUp();
    const { results: source, come, hasReturned } = results();
    connection.track({}, source as never);
    const pumped = connection.pump('op', source).next();
    await turn();
    socket.writableNeedDrain = true;
    come('{"data":1}');
    await turn();
    socket.emit('data', Buffer.alloc(100));
    expect([unsent.bytes > 0, intake.bytes]).toEqual([true, 100]);
    client.readyState = 3;
    socket.destroyed = true;
    socket.emit('close');
    connection.closed();
    await pumped;
    expect([hasReturned(), unsent.bytes, intake.bytes]).toEqual([true, 0, 0]);
  });

  test.each<[string, unknown, number, string]>([
    ['nothing is free for', new HubError('RATE_LIMITED', 'too many'), 1013, 'RATE_LIMITED'],
    ['is not allowed', new HubError('FORBIDDEN', 'not with this key'), 4403, 'not with this key'],
    ['only servers send', new Error('Unexpected message of type next received'), 4400, 'Invalid message received'],
    ['meets a fault of the hub', new Error('broken'), 1011, 'Internal error'],
  ])('is closed for a message that %s', async (_, error, code, reason) => {
    const { connection, client, intake } = setUp();
    connection.onMessage(() => Promise.reject(error));
    client.emit('message', Buffer.from('{"type":"subscribe"}'));
    await turn();
    expect([client.closings, connection.running, intake.bytes]).toEqual([[[code, reason]], 0, 0]);
  });

  test('that closes while a message is made for it ends the stream, which nobody else knows any more', async () => {
    const { client, connection } = setUp();
    const stream = results();
    const next = connection.pump('1', stream.results).next();
    await turn();
    expect(stream.isMaking()).toBe(true);
    client.readyState = 2; // the other side is gone, and its close not heard yet
    stream.come('"late"');
    expect(await next).toEqual({ done: true, value: undefined }); // graphql-ws takes it for complete, and returns nothing
    expect(stream.hasReturned()).toBe(true);
  });

  test('is closed for a message that is no JSON, and no other message is read after that', async () => {
    const { connection, client } = setUp();
    const read: unknown[] = [];
    connection.onMessage(async (message) => void read.push(message));
    for (const message of ['{"type":"ping"}', '{', '{"type":"ping"}']) client.emit('message', Buffer.from(message));
    await turn();
    expect([read, client.closings]).toEqual([[{ type: 'ping' }], [[4400, 'Invalid message received']]]);
  });

  test('reads messages in the order in which they came, however large the first is', async () => {
    const { connection, client } = setUp();
    const read: string[] = [];
    connection.onMessage(async (message) => void read.push((message as unknown as { type: string }).type));
    const large = { type: 'subscribe', id: '1', payload: { query: '{ a }', variables: { list: Array(200_000).fill(1) } } };
    client.emit('message', Buffer.from(JSON.stringify(large)));
    client.emit('message', Buffer.from('{"type":"complete","id":"1"}'));
    for (let count = 0; count < 20; count++) await turn();
    expect(read).toEqual(['subscribe', 'complete']);
  });

  test('says why it is closed in no more than a close frame has room for', () => {
    const { connection, client } = setUp();
    connection.close(4409, `Subscriber for ${'ü'.repeat(200)} already exists`);
    const [[, reason = ''] = []] = client.closings;
    expect(reason).toMatch(/^Subscriber for ü+.?…$/);
    expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123);
  });

  test('that was paused is read again when it is closed, or its client’s close would never come', () => {
    const { connection, client } = setUp();
    client.pause();
    connection.goAway();
    expect([client.isPaused, client.closings]).toEqual([false, [[1001, 'Going away']]]);
  });
});

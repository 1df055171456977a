import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { type Clock, MINUTE, systemClock } from '../../src/clock';
import type { OutgoingRequest } from '../../src/delivery/transport/exchange';
import { MAX_RECEIVED_BYTES_PER_EXCHANGE } from '../../src/delivery/transport/http/connection';
import { MAX_RESPONSE_BODY_BYTES, MAX_RESPONSE_HEADERS } from '../../src/delivery/transport/http/received';
import { Sender, type SenderOptions } from '../../src/delivery/transport/http/sender';
import { silentLog } from '../../src/log';
import { AddressPolicy } from '../../src/net/address-policy';
import { systemLookup } from '../../src/net/system-lookup';
import {
  AUTHORITY,
  EXPIRED_CERTIFICATE,
  FUTURE_CERTIFICATE,
  OTHER_NAMES_CERTIFICATE,
  SERVER_CERTIFICATE,
  SERVER_KEY,
  TLS_NAME,
} from '../support/tls-certificates';

const BODY = '{"id":"evt_1"}';
const SHORT_MS = 150;
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** Self-signed for hook.example.test, valid from 2020 to 2120. Protects nothing. */
const TLS_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPJKr0tuQFVMEGY7b
0zRBRT9vOi9Imz9FkZ37ZYJADsWhRANCAATLO+7YTFDhHAKy1oQ+vzPU858oQGmO
F/1Jmw2727mOgJtXxSFn57im5kX3jfCEX8Ndab6D2k7dAwgUHpOe6RGy
-----END PRIVATE KEY-----`;
const TLS_CERT = `-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIBATAKBggqhkjOPQQDAjAcMRowGAYDVQQDDBFob29rLmV4
YW1wbGUudGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowHDEa
MBgGA1UEAwwRaG9vay5leGFtcGxlLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMB
BwNCAATLO+7YTFDhHAKy1oQ+vzPU858oQGmOF/1Jmw2727mOgJtXxSFn57im5kX3
jfCEX8Ndab6D2k7dAwgUHpOe6RGyo1AwTjAcBgNVHREEFTATghFob29rLmV4YW1w
bGUudGVzdDAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBTy1oin5k48JcNv9iFC
3QpOAsXGfTAKBggqhkjOPQQDAgNIADBFAiB79rrxI0KtqcnCPhcOADYG2pwSINh9
NjY8jEiR5BbvHwIhANZO2+yBa2lEzAZisJm0rn6dPn/GAT6rPdK+D1LeQyHY
-----END CERTIFICATE-----`;

/** A receiver below HTTP: it may say anything, at any time. */
interface RawReceiver {
  readonly port: number;
  readonly url: string;
  /** Every connection so far, open or not. */
  readonly connections: Socket[];
  /** Every request so far, as text. */
  readonly requests: string[];
}

type OnRequest = (socket: Socket, nth: number) => void;

/** The same for names without an address and for those whose addresses are blocked. */
const UNRESOLVED = (name: string) => `cannot resolve ${name} to a public address: check the name and its A and AAAA records`;

const connectionsOfProcess = () =>
  process.getActiveResourcesInfo().filter((resource) => /TCPSocket|TLS|GetAddrInfo|DNS|CARES/i.test(resource));
/** Of other test files in this process: clients of theirs keep connections for a while. */
const connectionsBefore = connectionsOfProcess().length;

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(
  server: Server,
  onConnection: (socket: Socket, receiver: RawReceiver) => void,
  event = 'connection',
): Promise<RawReceiver> {
  const connections: Socket[] = [];
  server.on('connection', (socket: Socket) => {
    connections.push(socket);
    socket.on('error', () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const receiver = { port, url: `http://127.0.0.1:${port}/hook?from=test`, connections, requests: [] };
  server.on(event, (socket: Socket) => onConnection(socket, receiver));
  cleanups.push(async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of connections) socket.destroy();
    await closed;
  });
  return receiver;
}

/** Calls `onRequest` when a whole request has arrived; counts from 1 over all connections. */
function perRequest(onRequest: OnRequest) {
  return (socket: Socket, receiver: RawReceiver) => {
    let text = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (!text.endsWith('}')) return;
      const nth = receiver.requests.push(text);
      text = '';
      onRequest(socket, nth);
    });
  };
}

function receiver(onRequest: OnRequest): Promise<RawReceiver> {
  return listen(createServer(), perRequest(onRequest));
}

function tlsReceiver(onRequest: OnRequest, options: TlsOptions = { key: TLS_KEY, cert: TLS_CERT }): Promise<RawReceiver> {
  return listen(createTlsServer(options), perRequest(onRequest), 'secureConnection');
}

function sender(options: Partial<SenderOptions> = {}): Sender {
  const made = new Sender({ policy: new AddressPolicy(['127.0.0.1/32']), clock: systemClock, ...options });
  cleanups.push(() => made.destroy());
  return made;
}

function outgoing(url: string, overrides: Partial<OutgoingRequest> = {}): OutgoingRequest {
  const headers = [
    ['content-type', 'application/json'],
    ['webhook-id', 'evt_1'],
  ] as const;
  return { url, headers, body: BODY, timeoutMs: 10_000, ...overrides };
}

/** Writes `start`, then `piece` again and again until the other side is gone. */
function drip(socket: Socket, piece: string, start = ''): void {
  socket.write(start);
  const timer = setInterval(() => socket.write(piece), 5);
  socket.once('close', () => clearInterval(timer));
}

/** Writes `piece` as fast as the other side takes it, until it is gone. */
function flood(socket: Socket, piece: string, start = ''): void {
  const block = piece.repeat(Math.ceil(65_536 / piece.length));
  const pour = () => {
    while (!socket.destroyed && socket.write(block, 'latin1'));
  };
  socket.write(start);
  socket.on('drain', pour);
  pour();
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

async function allClosed(sockets: readonly Socket[]): Promise<void> {
  await Promise.all(sockets.map(closed));
}

/** Milliseconds that a test moves by hand, on top of real timers. */
function movableClock(): Clock & { move(ms: number): void } {
  let offset = 0;
  return {
    ...systemClock,
    monotonic: () => systemClock.monotonic() + offset,
    move: (ms) => {
      offset += ms;
    },
  };
}

describe('an exchange', () => {
  test('posts the headers in order and the exact body, and adds only what HTTP needs', async () => {
    const { port, url, requests } = await receiver((socket) => socket.write(OK));
    await sender().send(outgoing(url));
    expect(requests).toEqual([
      [
        'POST /hook?from=test HTTP/1.1',
        `host: 127.0.0.1:${port}`,
        'connection: keep-alive',
        'content-type: application/json',
        'webhook-id: evt_1',
        `content-length: ${BODY.length}`,
        '',
        BODY,
      ].join('\r\n'),
    ]);
  });

  test('brings back status, headers and body of a 2xx as SUCCESS', async () => {
    const { url } = await receiver((socket) =>
      socket.write('HTTP/1.1 202 Accepted\r\nX-Request-Id: r1\r\nX-Request-Id: r2\r\ncontent-length: 5\r\n\r\nünö'),
    );
    expect(await sender().send(outgoing(url))).toEqual({
      outcome: 'SUCCESS',
      statusCode: 202,
      error: null,
      responseHeaders: [
        ['x-request-id', 'r1'],
        ['x-request-id', 'r2'],
        ['content-length', '5'],
      ],
      responseBody: 'ünö',
      responseTruncated: false,
      durationMs: expect.any(Number),
      phases: [null, expect.any(Number), null, expect.any(Number)],
    });
  });

  test('keeps every byte of a header value, and replaces broken UTF-8 in the body', async () => {
    const { url } = await receiver((socket) =>
      socket.write(Buffer.from('HTTP/1.1 200 OK\r\nx-note: caf\xe9\r\ncontent-length: 2\r\n\r\na\xff', 'latin1')),
    );
    const exchange = await sender().send(outgoing(url));
    expect(exchange.responseHeaders[0]).toEqual(['x-note', 'caf\xe9']);
    expect(exchange.responseBody).toBe('a\ufffd');
  });

  test.each([
    ['204 No Content', 'HTTP/1.1 204 No Content\r\n\r\n', 'SUCCESS', null],
    ['a body up to the end of the connection', 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n', 'SUCCESS', null],
    ['404', 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n', 'HTTP_ERROR', 'the receiver answered 404'],
    ['503', 'HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n', 'HTTP_ERROR', 'the receiver answered 503'],
    ['304', 'HTTP/1.1 304 Not Modified\r\n\r\n', 'REDIRECT', 'the receiver answered 304, a redirect without a location'],
    [
      '302',
      'HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/x\r\ncontent-length: 0\r\n\r\n',
      'REDIRECT',
      'the receiver answered 302, a redirect to http://10.0.0.1/x: redirects are not followed',
    ],
  ])('takes %s as its status says', async (_, answer, outcome, error) => {
    const { url, requests } = await receiver((socket) => {
      socket.write(answer);
      if (answer.includes('connection: close')) socket.end();
    });
    expect(await sender().send(outgoing(url))).toMatchObject({ outcome, error, responseBody: '' });
    expect(requests).toHaveLength(1);
  });

  test('skips informational answers before the real one', async () => {
    const { url } = await receiver((socket) => socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}`));
    expect(await sender().send(outgoing(url))).toMatchObject({
      outcome: 'SUCCESS',
      statusCode: 200,
      responseHeaders: [['content-length', '2']],
    });
  });

  test('that cannot be put into HTTP ends as PAYLOAD_ERROR without being sent', async () => {
    const { url, requests } = await receiver((socket) => socket.write(OK));
    const ours = sender();
    for (const request of [
      outgoing('not a url'),
      outgoing(url, { headers: [['expect', '100-continue']] }),
      outgoing(url, { headers: [['x', 'a\nb']] }),
    ]) {
      expect(await ours.send(request)).toMatchObject({ outcome: 'PAYLOAD_ERROR', statusCode: null, responseBody: null });
    }
    expect(requests).toHaveLength(0);
  });
});

describe('the response body', () => {
  test.each([
    ['whole at the limit', MAX_RESPONSE_BODY_BYTES, false],
    ['cut one byte above it', MAX_RESPONSE_BODY_BYTES + 1, true],
  ])('is kept %s', async (_, length, responseTruncated) => {
    for (const connection of ['keep-alive', 'close']) {
      const { url } = await receiver((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nconnection: ${connection}\r\ncontent-length: ${length}\r\n\r\n${'a'.repeat(length)}`);
      });
      const exchange = await sender().send(outgoing(url));
      expect(exchange).toMatchObject({ outcome: 'SUCCESS', responseTruncated });
      expect(exchange.responseBody).toBe('a'.repeat(MAX_RESPONSE_BODY_BYTES));
    }
  });

  test('without an end is cut, the connection is dropped, and the status decides', async () => {
    for (const [status, outcome] of [
      ['200 OK', 'SUCCESS'],
      ['500 Oops', 'HTTP_ERROR'],
      ['302 Found', 'REDIRECT'],
    ] as const) {
      const { url, connections } = await receiver((socket) => {
        drip(socket, `1000\r\n${'b'.repeat(0x1000)}\r\n`, `HTTP/1.1 ${status}\r\ntransfer-encoding: chunked\r\n\r\n`);
      });
      const exchange = await sender().send(outgoing(url));
      expect(exchange).toMatchObject({ outcome, responseTruncated: true });
      expect(exchange.responseBody).toHaveLength(MAX_RESPONSE_BODY_BYTES);
      await allClosed(connections);
    }
  });

  test('is put together from many small pieces', async () => {
    const { url } = await receiver((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      for (let piece = 0; piece < 1_000; piece++) socket.write(`3\r\n${String(piece).padStart(3, '0')}\r\n`);
      socket.write('0\r\n\r\n');
    });
    const exchange = await sender().send(outgoing(url));
    expect(exchange.responseBody).toBe(Array.from({ length: 1_000 }, (_, piece) => String(piece).padStart(3, '0')).join(''));
  });

  test('that is compressed unasked comes as it is', async () => {
    const { url, requests } = await receiver((socket) =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f?'),
    );
    expect(await sender().send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS', responseBody: '\x1f?' });
    expect(requests[0]).not.toContain('accept-encoding');
  });
});

describe('an answer that breaks the rules of HTTP', () => {
  test.each([
    ['noise', 'SSH-2.0-OpenSSH_9.6\r\n', null],
    ['an endless header', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}`, null],
    ['too many header bytes', `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(20_000)}\r\n`, null],
    ['100 Continue', 'HTTP/1.1 100 Continue\r\n\r\n', null],
    ['101 Switching Protocols', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n', null],
    ['a broken chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n', 200],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!', null],
    ['endless trailers', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ${'y'.repeat(20_000)}`, 200],
  ])('%s: is HTTP_ERROR, and the connection is dropped', async (_, answer, statusCode) => {
    const { url, connections } = await receiver((socket) => socket.write(answer));
    const exchange = await sender().send(outgoing(url));
    expect(exchange).toMatchObject({ outcome: 'HTTP_ERROR', statusCode, error: expect.stringContaining('the receiver answered ') });
    await allClosed(connections);
  });

  test('a second answer to one request is not taken for that to the next', async () => {
    const { url } = await receiver((socket, nth) => socket.write(nth === 1 ? `${OK}HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n` : OK));
    const ours = sender();
    expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS' });
    expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS', responseBody: 'ok' });
  });

  test(`more than ${MAX_RESPONSE_HEADERS} headers are cut`, async () => {
    const { url } = await receiver((socket) => socket.write(`HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(500)}content-length: 0\r\n\r\n`));
    const { outcome, responseHeaders } = await sender().send(outgoing(url));
    expect(outcome).toBe('SUCCESS');
    expect(responseHeaders).toEqual(Array.from({ length: MAX_RESPONSE_HEADERS }, () => ['x', 'y']));
  });
});

describe('what a receiver sends', () => {
  /** What the buffers of both systems may hold beside it. */
  const MAX_BUFFERED_BYTES = 16 * 1_024 * 1_024;
  const CHUNKED = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';

  test.each<[string, string, string, number | null]>([
    ['1xx answers', '', 'HTTP/1.1 102 Processing\r\n\r\n', null],
    ['1xx answers with headers', '', `HTTP/1.1 103 Early Hints\r\n${'link: </x>\r\n'.repeat(50)}\r\n`, null],
    ['line breaks before the answer', '', '\r\n', null],
    ['a reason phrase', 'HTTP/1.1 200 ', 'O', null],
    ['headers', 'HTTP/1.1 200 OK\r\n', 'x: y\r\n', null],
    ['the value of a header', 'HTTP/1.1 200 OK\r\nx: ', 'y', null],
    ['a chunk extension', `${CHUNKED}1;x=`, 'y', 200],
    ['chunk extensions of small chunks', CHUNKED, `1;x=${'y'.repeat(1_000)}\r\nx\r\n`, 200],
    ['zeros before the size of a chunk', CHUNKED, '0', 200],
    ['chunks of one byte', CHUNKED, '1\r\nx\r\n', 200],
    ['trailers', `${CHUNKED}0\r\n`, 'x: y\r\n', 200],
    ['the value of a trailer', `${CHUNKED}0\r\nx: `, 'y', 200],
  ])('is counted: %s without end close the connection', async (_, start, piece, statusCode) => {
    const { url, connections } = await receiver((socket) => flood(socket, piece, start));
    const exchange = await sender().send(outgoing(url, { timeoutMs: 30_000 }));
    expect(exchange).toMatchObject({ statusCode });
    expect(exchange.outcome).not.toBe('TIMEOUT');
    await allClosed(connections);
    expect(connections[0]?.bytesWritten).toBeLessThan(MAX_BUFFERED_BYTES);
  });

  test('is counted for each exchange: a kept connection carries as much again and again', async () => {
    const body = 'x'.repeat(MAX_RESPONSE_BODY_BYTES);
    const { url, connections } = await receiver((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`),
    );
    const ours = sender();
    for (let n = 0; n < 10; n++) expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS', responseTruncated: false });
    expect(connections).toHaveLength(1);
  });

  test('after its answer closes the connection', async () => {
    const { url, connections } = await receiver((socket) => {
      socket.write(OK);
      setImmediate(() => flood(socket, '\r\n'));
    });
    const ours = sender();
    expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS' });
    await allClosed(connections);
    expect(connections[0]?.bytesWritten).toBeLessThan(MAX_BUFFERED_BYTES);
  });

  test('beyond the limit leaves the status to decide, and without one says so', async () => {
    const small = await receiver((socket) => flood(socket, '1;x\r\nx\r\n', CHUNKED));
    expect(await sender().send(outgoing(small.url))).toMatchObject({ outcome: 'SUCCESS', responseTruncated: true });
    const early = await receiver((socket) => flood(socket, '\r\n'));
    expect(await sender().send(outgoing(early.url))).toMatchObject({
      outcome: 'HTTP_ERROR',
      error: `the receiver sent more than ${MAX_RECEIVED_BYTES_PER_EXCHANGE / 1_024} KiB without completing its response`,
    });
    const interim = await receiver((socket) => flood(socket, 'HTTP/1.1 102 Processing\r\n\r\n'));
    expect(await sender().send(outgoing(interim.url))).toMatchObject({
      outcome: 'HTTP_ERROR',
      error: 'the receiver sent more than 32 interim (1xx) responses before its answer',
    });
  });

  test('inside TLS is counted as well', async () => {
    const { port, connections } = await tlsReceiver((socket) => flood(socket, 'HTTP/1.1 102 Processing\r\n\r\n'));
    const ours = sender({ lookup: async () => ['127.0.0.1'], tls: { extraCa: [TLS_CERT] } });
    expect(await ours.send(outgoing(`https://${TLS_NAME}:${port}/`))).toMatchObject({ outcome: 'HTTP_ERROR' });
    await allClosed(connections);
    expect(connections[0]?.bytesWritten).toBeLessThan(MAX_BUFFERED_BYTES);
  });
});

describe('the deadline', () => {
  test.each<[string, OnRequest, number | null]>([
    ['never answers', () => undefined, null],
    ['sends its headers in drops', (socket) => drip(socket, 'x: y\r\n', 'HTTP/1.1 200 OK\r\n'), null],
    ['sends its status line in drops', (socket) => drip(socket, 'O', 'HTTP/1.1 200 '), null],
    ['sends 1xx without end', (socket) => drip(socket, 'HTTP/1.1 102 Processing\r\n\r\n'), null],
    ['sends its body in drops', (socket) => drip(socket, '1\r\nx\r\n', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'), 200],
    ['never finishes its body', (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok'), 200],
  ])('ends an exchange with a receiver that %s', async (_, onRequest, statusCode) => {
    const { url, connections } = await receiver(onRequest);
    const exchange = await sender().send(outgoing(url, { timeoutMs: SHORT_MS }));
    const doing = statusCode === null ? 'waiting for the response' : 'reading the response body';
    expect(exchange).toMatchObject({ outcome: 'TIMEOUT', statusCode, error: `no complete response within ${SHORT_MS} ms: still ${doing}` });
    await allClosed(connections);
  });

  test('does not end an exchange whose answer came in time, however late the hub gets to read it', async () => {
    const { url } = await receiver((socket) => {
      socket.write(OK);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * SHORT_MS); // the process does something else
    });
    expect(await sender().send(outgoing(url, { timeoutMs: SHORT_MS }))).toMatchObject({ outcome: 'SUCCESS', responseBody: 'ok' });
  });

  test('ends an exchange with a receiver that does not read', async () => {
    const { url, connections } = await listen(createServer({ pauseOnConnect: true }), () => undefined);
    const body = Buffer.alloc(32 * 1_024 * 1_024);
    expect(await sender().send(outgoing(url, { body, timeoutMs: SHORT_MS }))).toMatchObject({ outcome: 'TIMEOUT', statusCode: null });
    for (const socket of connections) socket.resume();
    await allClosed(connections);
  });

  test('ends an exchange with a receiver that leaves the TLS handshake unanswered', async () => {
    const { port, connections } = await listen(createServer(), (socket) => socket.resume());
    expect(await sender().send(outgoing(`https://127.0.0.1:${port}/`, { timeoutMs: SHORT_MS }))).toMatchObject({
      outcome: 'TIMEOUT',
      error: `no complete response within ${SHORT_MS} ms: still in the TLS handshake with 127.0.0.1:${port}`,
    });
    await allClosed(connections);
  });

  test('ends an exchange whose name is not resolved in time, and a late answer connects to nobody', async () => {
    const { port, connections } = await receiver((socket) => socket.write(OK));
    let answer: (addresses: string[]) => void = () => undefined;
    const ours = sender({
      lookup: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    });
    expect(await ours.send(outgoing(`http://slow.test:${port}/`, { timeoutMs: SHORT_MS }))).toMatchObject({
      outcome: 'TIMEOUT',
      error: `no complete response within ${SHORT_MS} ms: still resolving slow.test:${port}`,
    });
    answer(['127.0.0.1']);
    await ours.close();
    expect(connections).toHaveLength(0);
  });
});

describe('a connection that cannot be made', () => {
  test('refused is CONNECT', async () => {
    const { port } = await receiver(() => undefined);
    await cleanups.pop()?.();
    expect(await sender().send(outgoing(`http://127.0.0.1:${port}/`))).toMatchObject({
      outcome: 'CONNECT',
      statusCode: null,
      error: `connection refused by 127.0.0.1:${port}`,
      responseHeaders: [],
      responseBody: null,
    });
  });

  test('to a name without an address is DNS', async () => {
    const failing = sender({ lookup: () => Promise.reject(Object.assign(new Error('queryA ENOTFOUND'), { code: 'ENOTFOUND' })) });
    expect(await failing.send(outgoing('http://gone.test/'))).toMatchObject({
      outcome: 'DNS',
      error: UNRESOLVED('gone.test'),
    });
    const empty = sender({ lookup: async () => [] });
    expect(await empty.send(outgoing('http://gone.test/'))).toMatchObject({
      outcome: 'DNS',
      error: UNRESOLVED('gone.test'),
    });
  });

  test('that resolves by the hosts file is made', async () => {
    const { port } = await receiver((socket) => socket.write(OK));
    const ours = sender({ lookup: systemLookup({ clock: systemClock }) });
    expect(await ours.send(outgoing(`http://localhost:${port}/`))).toMatchObject({ outcome: 'SUCCESS' });
  });
});

describe('a connection that is lost', () => {
  test.each<[string, OnRequest, number | null]>([
    ['closed instead of an answer', (socket) => socket.end(), null],
    ['reset instead of an answer', (socket) => socket.resetAndDestroy(), null],
    ['closed within the headers', (socket) => socket.end('HTTP/1.1 200 OK\r\nx: '), null],
    ['closed within the body', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok'), 200],
    [
      'closed within the body it had announced to close after',
      (socket) => socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\nok'),
      200,
    ],
    [
      'closed within a chunk',
      (socket) => socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n9\r\nok'),
      200,
    ],
  ])('%s: is CONNECT, and the request is not repeated', async (_, onRequest, statusCode) => {
    const { url, requests } = await receiver(onRequest);
    expect(await sender().send(outgoing(url))).toMatchObject({
      outcome: 'CONNECT',
      statusCode,
      error: expect.stringMatching(/^the connection was (closed|lost) before/),
    });
    expect(requests).toHaveLength(1);
  });

  test('right after being accepted is CONNECT', async () => {
    const { url, connections } = await listen(createServer(), (socket) => socket.resetAndDestroy());
    expect(await sender().send(outgoing(url))).toMatchObject({ outcome: 'CONNECT' });
    expect(connections).toHaveLength(1);
  });
});

describe('TLS', () => {
  const lookup = async () => ['127.0.0.1'];
  const trusting = { lookup, tls: { extraCa: [TLS_CERT] } };

  test('works with a certificate that is trusted and names the host, and keeps the connection', async () => {
    const { port, connections } = await tlsReceiver((socket) => socket.write(OK));
    const ours = sender(trusting);
    for (let n = 0; n < 3; n++) expect(await ours.send(outgoing(`https://${TLS_NAME}:${port}/`))).toMatchObject({ outcome: 'SUCCESS' });
    expect(connections).toHaveLength(1);
  });

  test.each([
    ['that signed itself', TLS_CERT, TLS_NAME, [], 'its certificate is self-signed: install one from a public certificate authority'],
    [
      'whose issuer is unknown',
      SERVER_CERTIFICATE,
      TLS_NAME,
      [],
      'the issuer of its certificate is unknown: serve the intermediate certificates with it, from a public certificate authority',
    ],
    [
      'with an authority in its chain that is not trusted',
      `${SERVER_CERTIFICATE}\n${AUTHORITY}`,
      TLS_NAME,
      [],
      'its certificate comes from an authority that is not publicly trusted: install one from a public certificate authority',
    ],
    ['that has expired', EXPIRED_CERTIFICATE, TLS_NAME, [AUTHORITY], 'its certificate has expired: renew it'],
    [
      'that is not valid yet',
      FUTURE_CERTIFICATE,
      TLS_NAME,
      [AUTHORITY],
      'its certificate is not valid yet: check the dates in it, and the clock of the receiver',
    ],
    [
      'for other names',
      OTHER_NAMES_CERTIFICATE,
      TLS_NAME,
      [AUTHORITY],
      'its certificate is for other names (other.example.test, www.example.test): install one that names the host of the URL',
    ],
    [
      'that does not name the address',
      SERVER_CERTIFICATE,
      '127.0.0.1',
      [AUTHORITY],
      'its certificate is for other names (hook.example.test): install one that names the host of the URL',
    ],
  ])('with a certificate %s is TLS in words, and nothing is sent', async (_, cert, host, extraCa, reason) => {
    const key = cert === TLS_CERT ? TLS_KEY : SERVER_KEY;
    const { port, requests } = await tlsReceiver((socket) => socket.write(OK), { key, cert });
    expect(await sender({ lookup, tls: { extraCa } }).send(outgoing(`https://${host}:${port}/`))).toMatchObject({
      outcome: 'TLS',
      statusCode: null,
      error: `TLS handshake with ${host}:${port} failed: ${reason}`,
    });
    expect(requests).toHaveLength(0);
  });

  test.each([
    [{ maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as const, /supports no version of TLS from 1\.2 on/],
    [
      { ciphers: 'ECDHE-ECDSA-AES128-SHA', maxVersion: 'TLSv1.2', honorCipherOrder: true, ecdhCurve: 'brainpoolP256r1' } as const,
      /refused the handshake/,
    ],
  ])('with a receiver that asks for what we do not have is TLS in words: %j', async (options, reason) => {
    const { port } = await tlsReceiver((socket) => socket.write(OK), { key: TLS_KEY, cert: TLS_CERT, ...options });
    const { outcome, error } = await sender(trusting).send(outgoing(`https://${TLS_NAME}:${port}/`));
    expect({ outcome, error }).toEqual({ outcome: 'TLS', error: expect.stringMatching(reason) });
  });

  test.each<[string, (socket: Socket) => void]>([
    [
      'the receiver does not speak TLS on this port: check the port of the URL',
      (socket) => socket.once('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')),
    ],
    ['the receiver closed the connection during the handshake', (socket) => socket.once('data', () => socket.end())],
  ])('says of a handshake that fails: %s', async (reason, onConnection) => {
    const { port } = await listen(createServer(), onConnection);
    expect(await sender(trusting).send(outgoing(`https://${TLS_NAME}:${port}/`))).toMatchObject({
      outcome: 'TLS',
      error: `TLS handshake with ${TLS_NAME}:${port} failed: ${reason}`,
    });
  });
});

describe('a blocked address', () => {
  test.each(['http://127.0.0.2:9/', 'http://[::1]:9/', 'http://[::ffff:127.0.0.2]:9/', 'https://10.0.0.1/', 'http://169.254.169.254/'])(
    '%s is not connected to',
    async (url) => {
      expect(await sender().send(outgoing(url))).toMatchObject({
        outcome: 'BLOCKED_ADDRESS',
        statusCode: null,
        error: expect.stringMatching(/^webhooks may not reach .* \((loopback|private|link-local)\)$/),
      });
    },
  );

  test('behind a name looks like a name without an address; the log of the operator tells them apart', async () => {
    const logged: [object, string][] = [];
    const note = (facts: object, event: string) => logged.push([facts, event]);
    const log = { ...silentLog, info: note, warn: note };
    const inside = await sender({ log, lookup: async () => ['10.0.0.7', 'fd00::7'] }).send(outgoing('http://probed.test/'));
    const unknown = await sender({ log, lookup: () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' })) }).send(
      outgoing('http://probed.test/'),
    );
    const same = { outcome: 'DNS', error: UNRESOLVED('probed.test'), phases: [null, null, null, null] };
    expect(inside).toMatchObject(same);
    expect(unknown).toMatchObject(same);
    for (const { durationMs } of [inside, unknown]) expect(durationMs).toBeGreaterThanOrEqual(240);
    expect(logged).toEqual([
      [{ hostname: 'probed.test', addresses: ['10.0.0.7', 'fd00::7'], reasons: ['private', 'unique local'] }, 'target.blocked'],
      [{ hostname: 'probed.test', problem: 'ENOTFOUND' }, 'target.unresolved'],
    ]);
  });

  test('is named in no error: a refused connection tells the name only', async () => {
    const { port } = await receiver(() => undefined);
    await cleanups.pop()?.();
    expect(await sender({ lookup: async () => ['127.0.0.1'] }).send(outgoing(`http://closed.test:${port}/`))).toMatchObject({
      outcome: 'CONNECT',
      error: `connection refused by closed.test:${port}`,
    });
  });

  test('among allowed ones is left out', async () => {
    const { port } = await receiver((socket) => socket.write(OK));
    const ours = sender({ lookup: async () => ['10.0.0.7', 'not an address', '::1', '127.0.0.1'] });
    expect(await ours.send(outgoing(`http://mixed.test:${port}/`))).toMatchObject({ outcome: 'SUCCESS' });
  });

  test('is not reached by a name that changes its answer between two connections', async () => {
    const { port, requests } = await receiver((socket) => socket.end(OK.replace('\r\n', '\r\nconnection: close\r\n')));
    const answers = [['127.0.0.1'], ['127.0.0.2'], ['127.0.0.1']];
    const ours = sender({ lookup: async () => answers.shift() ?? [] });
    const outcomes = [];
    for (let n = 0; n < 3; n++) outcomes.push((await ours.send(outgoing(`http://rebind.test:${port}/`))).outcome);
    expect(outcomes).toEqual(['SUCCESS', 'DNS', 'SUCCESS']);
    expect(requests).toHaveLength(2);
  });

  test('is noticed on the socket itself, before anything is written', async () => {
    class SecondThoughts extends AddressPolicy {
      #asked = 0;

      override check(): string | null {
        this.#asked += 1;
        return this.#asked === 1 ? null : 'loopback';
      }
    }
    const { url, requests, connections } = await receiver((socket) => socket.write(OK));
    expect(await sender({ policy: new SecondThoughts() }).send(outgoing(url))).toMatchObject({ outcome: 'BLOCKED_ADDRESS' });
    await allClosed(connections);
    expect(requests).toHaveLength(0);
  });
});

describe('the timings', () => {
  const took = expect.any(Number);

  test('name every phase of a new connection; an exchange on a kept one has only its first byte', async () => {
    const { port } = await tlsReceiver((socket) => socket.write(OK));
    const ours = sender({ lookup: async () => ['127.0.0.1'], tls: { extraCa: [TLS_CERT] } });
    const request = outgoing(`https://${TLS_NAME}:${port}/`);
    const { phases = [], durationMs } = await ours.send(request);
    expect(phases).toEqual([took, took, took, took]);
    expect(phases.reduce<number>((sum, phase) => sum + (phase ?? 0), 0)).toBeLessThanOrEqual(durationMs + phases.length);
    expect((await ours.send(request)).phases).toEqual([null, null, null, took]);
  });

  test('end where the exchange did', async () => {
    const unknown = sender({ lookup: () => Promise.reject(new Error('no')) });
    expect((await unknown.send(outgoing('http://nowhere.test/'))).phases).toEqual([null, null, null, null]);
    const { port } = await tlsReceiver((socket) => socket.write(OK));
    const distrusting = sender({ lookup: async () => ['127.0.0.1'] });
    expect((await distrusting.send(outgoing(`https://${TLS_NAME}:${port}/`))).phases).toEqual([took, took, null, null]);
  });
});

describe('connections', () => {
  test('are kept: requests one after another share one', async () => {
    const { url, connections } = await receiver((socket) => socket.write(OK));
    const ours = sender();
    for (let n = 0; n < 50; n++) expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS' });
    expect(connections).toHaveLength(1);
  });

  test('are as many as the requests at once, and are used again', async () => {
    const waiting: Socket[] = [];
    const { url, connections } = await receiver((socket) => {
      if (waiting.push(socket) % 20 === 0) for (const each of waiting) each.write(OK);
      if (waiting.length === 20) waiting.length = 0;
    });
    const ours = sender();
    for (let round = 0; round < 3; round++) await Promise.all(Array.from({ length: 20 }, () => ours.send(outgoing(url))));
    expect(connections).toHaveLength(20);
  });

  test('that fall idle beyond the limit are closed', async () => {
    const waiting: Socket[] = [];
    const { url, connections } = await receiver((socket) => {
      if (waiting.push(socket) === 3) for (const each of waiting) each.write(OK);
    });
    const ours = sender({ maxIdleConnections: 1 });
    await Promise.all(Array.from({ length: 3 }, () => ours.send(outgoing(url))));
    await Promise.race(connections.map(closed));
    expect(connections).toHaveLength(3);
    await ours.close();
    await allClosed(connections);
  });

  test('that grow old are replaced, so that a name that has moved is noticed', async () => {
    const { url, connections } = await receiver((socket) => socket.write(OK));
    const clock = movableClock();
    const ours = sender({ clock });
    await ours.send(outgoing(url));
    clock.move(5 * MINUTE);
    await ours.send(outgoing(url));
    await ours.send(outgoing(url));
    expect(connections).toHaveLength(2);
  });

  test('on which a receiver answers without reading are not used again', async () => {
    const { url, connections } = await listen(createServer({ pauseOnConnect: true }), (socket) => socket.write(OK));
    const ours = sender();
    const body = Buffer.alloc(32 * 1_024 * 1_024);
    for (let n = 0; n < 2; n++) expect(await ours.send(outgoing(url, { body }))).toMatchObject({ outcome: 'SUCCESS' });
    expect(connections).toHaveLength(2);
  });

  test('that the receiver closed while idle cost no attempt', async () => {
    const { url, connections, requests } = await receiver((socket) => socket.end(OK));
    const ours = sender();
    for (let n = 0; n < 5; n++) {
      expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS' });
      await allClosed(connections);
    }
    expect(connections).toHaveLength(5);
    expect(requests).toHaveLength(5);
  });

  test.each<[string, (socket: Socket) => void]>([
    ['closed', (socket) => socket.end()],
    ['reset', (socket) => socket.resetAndDestroy()],
  ])('that are %s when used again have the request sent once more, on a new one', async (_, leave) => {
    const { url, connections, requests } = await receiver((socket, nth) => (nth === 2 ? leave(socket) : socket.write(OK)));
    const ours = sender();
    expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS' });
    expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS' });
    expect(connections).toHaveLength(2);
    expect(requests).toHaveLength(3);
  });

  test('that are lost again on that second try end the attempt', async () => {
    const { url, requests } = await receiver((socket, nth) => (nth === 1 ? socket.write(OK) : socket.end()));
    const ours = sender();
    await ours.send(outgoing(url));
    expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'CONNECT' });
    expect(requests).toHaveLength(3);
  });

  test('that are lost after the first byte of an answer end the attempt', async () => {
    const { url, requests } = await receiver((socket, nth) => (nth === 1 ? socket.write(OK) : socket.end('HTTP/1.1 2')));
    const ours = sender();
    await ours.send(outgoing(url));
    expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'CONNECT', statusCode: null });
    expect(requests).toHaveLength(2);
  });
});

describe('a sender', () => {
  test('that is closed lets exchanges finish, takes no new ones, and leaves no connection open', async () => {
    const waiting: Socket[] = [];
    const { url, connections } = await receiver((socket, nth) => (nth === 1 ? socket.write(OK) : waiting.push(socket)));
    const ours = sender();
    await ours.send(outgoing(url));
    const underWay = ours.send(outgoing(url));
    const closed = Promise.all([ours.close(), ours.close()]);
    expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'CONNECT', error: 'the sender is closed' });
    while (waiting.length === 0) await new Promise(setImmediate);
    waiting[0]?.write(OK);
    expect(await underWay).toMatchObject({ outcome: 'SUCCESS' });
    await closed;
    await allClosed(connections);
  });

  test('that is destroyed cuts exchanges short, whatever they wait for', async () => {
    const silent = await receiver(() => undefined);
    const mute = await listen(createServer(), (socket) => socket.resume());
    const ours = sender({ lookup: () => new Promise(() => undefined) });
    const underWay = [
      ours.send(outgoing(silent.url)),
      ours.send(outgoing(`https://127.0.0.1:${mute.port}/`)),
      ours.send(outgoing('http://unresolved.test/')),
    ];
    while (silent.requests.length === 0 || mute.connections.length === 0) await new Promise(setImmediate);
    await ours.destroy();
    for (const exchange of await Promise.all(underWay))
      expect(exchange).toMatchObject({ outcome: 'CONNECT', error: 'the sender is closed' });
    await allClosed([...silent.connections, ...mute.connections]);
  });

  test('leaves no socket behind', async () => {
    const { url } = await receiver((socket, nth) => (nth % 2 === 0 ? socket.end() : socket.write(OK)));
    const ours = sender();
    await Promise.all(Array.from({ length: 20 }, () => ours.send(outgoing(url))));
    await ours.close();
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    expect(connectionsOfProcess().length).toBeLessThanOrEqual(connectionsBefore);
  });
});

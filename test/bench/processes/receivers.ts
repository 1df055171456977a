import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { answerQuestions } from '../helper';
import { type ReadRequest, readRequest } from '../http-request';
import { monotonicMs } from '../monotonic';

/** A request that is kept whole, to verify its signature when the measuring is over. */
export interface Sample {
  readonly path: string;
  readonly head: string;
  readonly body: string;
}

/** All that came, since the start or the last `forget`. */
export interface Received {
  /** By path and `webhook-id`: when the first byte of the first request with it came. */
  readonly firstBytes: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Requests with a path and id that had come before. */
  readonly repeated: number;
  /** Requests without an id. */
  readonly nameless: number;
  readonly samples: readonly Sample[];
}

export type Receivers = typeof questions;

const ANSWER = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
const NOTHING: Buffer = Buffer.alloc(0);
const ONE_SAMPLE_OF = 100;
const MAX_SAMPLES = 2_000;
const LOOK_EVERY_MS = 10;

const servers: Server[] = [];
const firstBytes = new Map<string, Map<string, number>>();
const samples: Sample[] = [];
let distinct = 0;
let repeated = 0;
let nameless = 0;
let lastNewAt = 0;

function serve(socket: Socket): void {
  let rest = NOTHING;
  let firstByteAt = 0;
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    const now = monotonicMs();
    if (rest.length === 0) firstByteAt = now;
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let request = readRequest(rest); request; request = readRequest(rest)) {
      note(request, rest, firstByteAt);
      rest = rest.subarray(request.end);
      firstByteAt = now;
      socket.write(ANSWER);
    }
  });
}

/** What most partners have: Node's own server. */
function respond(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? '';
  const id = request.headers['webhook-id'];
  const isSampled = count(path, typeof id === 'string' ? id : undefined, monotonicMs());
  if (isSampled) {
    const body: Buffer[] = [];
    request.on('data', (chunk: Buffer) => body.push(chunk));
    request.on('end', () => samples.push({ path, head: headOf(request), body: Buffer.concat(body).toString() }));
  } else request.resume();
  request.on('end', () => response.writeHead(200, { 'content-length': 0 }).end());
}

function headOf({ method, url, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  return lines.join('\r\n');
}

function hang(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  socket.resume();
}

function note({ path, id, head, bodyStart, end }: ReadRequest, bytes: Buffer, firstByteAt: number): void {
  if (count(path, id, firstByteAt)) samples.push({ path, head, body: bytes.toString('utf8', bodyStart, end) });
}

/** Whether this one is to be kept whole. */
function count(path: string, id: string | undefined, firstByteAt: number): boolean {
  if (id === undefined) {
    nameless++;
    return false;
  }
  const own = firstBytes.get(path) ?? new Map<string, number>();
  if (own.size === 0) firstBytes.set(path, own);
  if (own.has(id)) {
    repeated++;
    return false;
  }
  own.set(id, firstByteAt);
  distinct++;
  lastNewAt = firstByteAt;
  return distinct % ONE_SAMPLE_OF === 0 && samples.length < MAX_SAMPLES;
}

/** `http`: Node's server; `raw`: reads just enough of HTTP, at half the cost. */
export type ReceiverKind = 'http' | 'raw';

function serverOf(kind: ReceiverKind | 'hanging'): Server {
  switch (kind) {
    case 'http':
      return createHttpServer({ noDelay: true, keepAliveTimeout: 60_000 }, respond);
    case 'raw':
      return createServer({ noDelay: true }, serve);
    case 'hanging':
      return createServer({ noDelay: true }, hang);
  }
}

const questions = {
  /** Opens so many receivers and returns their ports. Those that hang take what comes and never answer. */
  async listen({ count, kind }: { count: number; kind: ReceiverKind | 'hanging' }): Promise<number[]> {
    const ports: number[] = [];
    for (let opened = 0; opened < count; opened++) {
      const server = serverOf(kind);
      servers.push(server);
      await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 }, resolve));
      ports.push((server.address() as AddressInfo).port);
    }
    return ports;
  },

  /** Resolves with how many different ones have come: `total`, or fewer when nothing new has come for `quietMs`. */
  arrived({ total, quietMs }: { total: number; quietMs: number }): Promise<number> {
    const since = monotonicMs();
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        if (distinct < total && monotonicMs() - Math.max(since, lastNewAt) < quietMs) return;
        clearInterval(timer);
        resolve(distinct);
      }, LOOK_EVERY_MS);
    });
  },

  distinct: () => distinct,

  received: (): Received => ({ firstBytes, repeated, nameless, samples }),
};

answerQuestions(questions);

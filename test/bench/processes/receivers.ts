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
const MOST_SAMPLES = 2_000;
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

function hang(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  socket.resume();
}

function note(request: ReadRequest, bytes: Buffer, firstByteAt: number): void {
  const { path, id } = request;
  if (id === undefined) {
    nameless++;
    return;
  }
  const own = firstBytes.get(path) ?? new Map<string, number>();
  if (own.size === 0) firstBytes.set(path, own);
  if (own.has(id)) {
    repeated++;
    return;
  }
  own.set(id, firstByteAt);
  distinct++;
  lastNewAt = firstByteAt;
  if (distinct % ONE_SAMPLE_OF === 0 && samples.length < MOST_SAMPLES)
    samples.push({ path, head: request.head, body: bytes.toString('utf8', request.bodyStart, request.end) });
}

const questions = {
  /** Opens so many receivers and returns their ports. Those that hang take what comes and never answer. */
  async listen({ count, hanging }: { count: number; hanging: boolean }): Promise<number[]> {
    const ports: number[] = [];
    for (let opened = 0; opened < count; opened++) {
      const server = createServer({ noDelay: true }, hanging ? hang : serve);
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

import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import { mutated } from '../support/mutate';
import { until } from '../support/until';
import { expectNothingOfTheInside } from './answers';
import { sizes } from './costly-values';
import { FuzzedHub } from './fuzzed-hub';

/** What a receiver sends, piece by piece, and how it ends: with a `flood` the last piece comes again and again, as fast as it is taken, with `drops` byte by byte. */
interface Response {
  readonly pieces: readonly Uint8Array[];
  readonly end: 'end' | 'reset' | 'hang' | 'flood' | 'drops';
}

const bytes = (text: string) => Buffer.from(text, 'latin1');

const headerName = fc.oneof(
  fc.constantFrom(
    'content-length',
    'content-length',
    'transfer-encoding',
    'content-encoding',
    'content-type',
    'connection',
    'retry-after',
    'location',
    'set-cookie',
    'upgrade',
    'trailer',
    '__proto__',
    'constructor',
    'x',
    '',
    'a b',
    'x\u0000',
  ),
  fc.string({ maxLength: 10 }),
);
const headerValue = fc.oneof(
  fc.constantFrom(
    '0',
    '5',
    '-5',
    '5, 5',
    '99999999999999999999',
    '0x5',
    'chunked',
    'chunked, gzip',
    'identity',
    'gzip',
    'br',
    'close',
    'keep-alive',
    'h2c',
    'Fri, 31 Feb 2026 99:99:99 GMT',
    '1e9',
    'NaN',
    'x'.repeat(20_000),
    'x'.repeat(200_000),
    'http://169.254.169.254/',
    '\r',
  ),
  fc.string({ unit: 'binary', maxLength: 30 }),
);
const headers = fc.oneof(
  { arbitrary: fc.array(fc.tuple(headerName, headerValue), { maxLength: 5 }), weight: 9 },
  {
    arbitrary: fc.integer({ min: 100, max: 5_000 }).map((count) => Array.from({ length: count }, (_, no) => [`x-${no}`, 'y'] as const)),
    weight: 1,
  },
);
const body = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((content) => Buffer.from(content)),
  fc
    .constantFrom(
      '',
      'ok',
      '5\r\nhello\r\n0\r\n\r\n',
      'ffffffffffffffff\r\n',
      '5;ext="\u0000"\r\nhello\r\n',
      '-1\r\n',
      '0\r\nx: y\r\n\r\n',
      '\u0000'.repeat(100),
      '\ud83d',
      '<script>alert(1)</script>',
    )
    .map(bytes),
  fc.integer({ min: 60_000, max: 300_000 }).map((length) => Buffer.alloc(length, 0x80)),
);
const status = fc.oneof(
  fc.constantFrom(
    '200 OK',
    '204 No Content',
    '304 Not Modified',
    '301 Moved',
    '410 Gone',
    '429 Slow',
    '503 x',
    '101 Switching Protocols',
    '100 Continue',
    '199 x',
    '999 x',
    '99 x',
    '1000 x',
    '0 x',
    '200',
    '-200 OK',
    'OK',
    '200 \u0000',
    `200 ${'x'.repeat(9_000)}`,
  ),
  fc.integer({ min: 100, max: 599 }).map((code) => `${code} x`),
);
const informational = fc.oneof(
  { arbitrary: fc.constant(''), weight: 6 },
  {
    arbitrary: fc
      .tuple(fc.constantFrom('100 Continue', '102 Processing', '103 Early Hints'), fc.nat(2_000))
      .map(([line, times]) => `HTTP/1.1 ${line}\r\n\r\n`.repeat(times)),
    weight: 1,
  },
);
const http = fc
  .tuple(informational, fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2', 'HTTP', 'ICY'), status, headers, body)
  .map(([before, version, line, fields, content]) =>
    Buffer.concat([
      bytes(`${before}${version} ${line}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`),
      content,
    ]),
  );
const response: fc.Arbitrary<Response> = fc
  .record({
    pieces: fc
      .tuple(
        fc.oneof({ arbitrary: http, weight: 8 }, { arbitrary: fc.uint8Array({ maxLength: 500 }), weight: 1 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
      )
      .map(([whole, cuts]) => cut(whole, cuts)),
    end: fc.constantFrom('end', 'end', 'end', 'reset', 'hang'),
  })
  .map((one) => shown(one));

const shown = (one: Response): Response =>
  Object.assign(one, {
    [fc.toStringMethod]: () => JSON.stringify([...one.pieces.map((piece) => Buffer.from(piece).toString('latin1').slice(0, 500)), one.end]),
  });

const CHUNKED = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
const START = fc.constantFrom(
  '',
  'HTTP/1.1 200 ',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 200 OK\r\nx: ',
  'HTTP/1.1 200 OK\r\n\r\n',
  'HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\n',
  CHUNKED,
  `${CHUNKED}1;x="`,
  `${CHUNKED}0\r\n`,
  `${CHUNKED}fffffff\r\n`,
);
const AGAIN = fc.constantFrom(
  'HTTP/1.1 102 Processing\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n',
  'HTTP/1.1 204 No Content\r\n\r\n',
  '\r\n',
  '\n',
  ' ',
  'x: y\r\n',
  ': \r\n',
  'x: y\r\n z\r\n',
  'set-cookie: a=b; path=/\r\n',
  '1\r\nx\r\n',
  '1;x=y\r\nx\r\n',
  `1;x=${'y'.repeat(4_000)}\r\nx\r\n`,
  '0',
  '0\r\n',
  'x',
  '\u0000',
);
/** All that may go on for ever. */
const endless: fc.Arbitrary<Response> = fc
  .tuple(
    START,
    fc.array(AGAIN, { minLength: 1, maxLength: 2 }),
    sizes(65_536),
    fc.constantFrom('flood', 'flood', 'flood', 'drops', 'hang', 'reset'),
  )
  .map(([start, again, length, end]) => {
    const piece = again.join('');
    return shown({ pieces: [bytes(start), bytes(piece.repeat(Math.ceil((length + 1) / piece.length)))], end });
  });

/** One of each outcome that a receiver can bring about, and successes. */
function ordinary(count: number): Response[] {
  const answer = (text: string, end: Response['end'] = 'end') => ({ pieces: [bytes(text)], end });
  const few = [answer('', 'hang'), answer('', 'reset'), answer('HTTP/1.1 302 x\r\nlocation: /\r\n\r\n'), answer('HTTP/1.1 500 x\r\n\r\n')];
  return Array.from({ length: count }, (_, no) => few[no] ?? answer('HTTP/1.1 204 x\r\n\r\n'));
}

function cut(whole: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [0, ...places.map((place) => Math.floor(place * whole.length)).sort((a, b) => a - b), whole.length];
  return at.slice(1).map((to, index) => whole.subarray(at[index], to));
}

/** Answers the request to `/<number>` with the response of that number, byte for byte. */
class RawReceiver {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  responses: readonly Response[] = [];

  static async listen(): Promise<RawReceiver> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new RawReceiver(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('data', (chunk) => {
        const [, no] = /^POST \/(\d+) /.exec(chunk.toString('latin1')) ?? [];
        const answer = this.responses[Number(no)];
        if (no !== undefined && answer) void this.#answer(socket, answer);
      });
    });
  }

  url(no: number): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${no}`;
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #answer(socket: Socket, { pieces, end }: Response): Promise<void> {
    const written = (piece: Uint8Array) => new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
    for (const piece of end === 'drops' ? pieces.flatMap((whole) => [...whole].map((byte) => Uint8Array.of(byte))) : pieces) {
      if (socket.destroyed) return;
      await written(piece);
    }
    const last = pieces.at(-1) ?? bytes(' ');
    while (end === 'flood' && !socket.destroyed) await written(last);
    if (end === 'end') socket.end();
    else if (end === 'reset') socket.resetAndDestroy();
  }
}

interface Shown {
  readonly webhook: {
    readonly healthReason: string | null;
    readonly deliveries: {
      readonly nodes: readonly {
        readonly status: string;
        readonly attempts: {
          readonly nodes: readonly { readonly outcome: string; readonly error: string | null; readonly statusCode: number | null }[];
        };
      }[];
    };
  };
}

const SHOW = `query ($id: ID!) { webhook(id: $id) { health healthReason deliveries(first: 10) { nodes { status attempts(first: 5) { nodes {
  outcome error statusCode durationMs responseTruncated responseBody curl requestHeaders { name value } responseHeaders { name value } } } } } } }`;

let hub: FuzzedHub;
let receiver: RawReceiver;
beforeAll(async () => {
  receiver = await RawReceiver.listen();
  hub = await FuzzedHub.start();
});
afterAll(async () => {
  await hub.stop();
  await receiver.close();
});

describe('Whatever a receiver answers', () => {
  const AT_ONCE = 25;
  const webhookIds: string[] = [];
  beforeAll(async () => {
    for (let no = 0; no < AT_ONCE; no++) {
      const input = { url: receiver.url(no), eventTypes: ['raw.sent'], retrySchedule: [], timeoutSeconds: 1 };
      const { webhook } = await mutated<{ webhook: { id: string } }>(hub.client, 'webhookCreate', { input }, 'webhook { id }');
      webhookIds.push(webhook.id);
    }
  });

  /** Each to a webhook of its own; the outcomes. */
  async function delivered(responses: readonly Response[]): Promise<Set<string>> {
    const outcomes = new Set<string>();
    receiver.responses = responses;
    for (const id of webhookIds) await mutated(hub.client, 'webhookResume', { id });
    const { event } = await mutated<{ event: { id: string } }>(
      hub.client,
      'eventPublish',
      { input: { type: 'raw.sent', payload: { no: 1 } } },
      'event { id }',
    );
    const unfinished = 'query ($ids: [ID!]) { deliveries(filter: { eventIds: $ids, statuses: [PENDING, RETRYING] }) { nodes { id } } }';
    await until(
      async () => {
        const { deliveries } = await hub.client.query<{ deliveries: { nodes: unknown[] } }>(unfinished, { ids: [event.id] });
        return deliveries.nodes.length === 0;
      },
      { description: 'every delivery to be finished', timeoutMs: 30_000 },
    );
    for (const [no, id] of webhookIds.entries()) {
      const shown = await hub.client.query<Shown>(SHOW, { id });
      const { deliveries, healthReason } = shown.webhook;
      const sent = responses[no]?.pieces.map((piece) => Buffer.from(piece).toString('latin1')).join('') ?? '';
      for (const { status: state, attempts } of deliveries.nodes) {
        const [attempt] = attempts.nodes;
        if (attempt === undefined) throw new Error(`a delivery is ${state} without an attempt`);
        if ((attempt.outcome === 'SUCCESS') !== (attempt.error === null)) throw new Error(`odd attempt ${JSON.stringify(attempt)}`);
        outcomes.add(attempt.outcome);
        expectNothingOfTheInside(`${attempt.error} ${healthReason}`, sent);
      }
    }
    await hub.expectHealthy();
    return outcomes;
  }

  test('the attempt is written down with an outcome and a reason, and the hub goes on', async () => {
    const outcomes = new Set<string>();
    await hub.holds(
      fc.asyncProperty(fc.array(response, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (responses) => {
        for (const outcome of await delivered(responses)) outcomes.add(outcome);
      }),
      8,
      [[ordinary(AT_ONCE)]],
    );
    expect([...outcomes].sort()).toEqual(['CONNECT', 'HTTP_ERROR', 'REDIRECT', 'SUCCESS', 'TIMEOUT']);
  });

  test('without end, or drop by drop, is cut off', async () => {
    await hub.holds(
      fc.asyncProperty(fc.array(endless, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (responses) => {
        await delivered(responses);
      }),
      8,
    );
  });
});

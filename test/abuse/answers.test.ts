import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createDatabase } from '../../src/data-source';
import { attemptId } from '../../src/ids';
import { silentLog } from '../../src/log';
import { AbusedHub, MAX_HOLD_MS, type Tenant } from '../support/abused-hub';
import { insertCopies } from '../support/many-rows';
import { mutated } from '../support/mutate';
import { RawWebSocket } from '../support/raw-web-socket';
import { askOver, TRANSPORTS, type Transport } from '../support/transports';
import { until } from '../support/until';

const KIB = 1024;
const MIB = 1024 * KIB;
const ANSWER_BYTES = 8 * MIB;

const aliased = (times: number, field: string) => Array.from({ length: times }, (_, no) => `a${no}: ${field}`).join(' ');

let hub: AbusedHub;
let attacker: Tenant;

beforeAll(async () => {
  hub = await AbusedHub.start();
});

afterAll(() => hub.stop());

beforeEach(async () => {
  attacker = await hub.tenant('attacker');
});

async function publish(payload: unknown): Promise<string> {
  const { event } = await mutated<{ event: { id: string } }>(
    attacker.client,
    'eventPublish',
    { input: { type: 'big.one', payload } },
    'event { id }',
  );
  return event.id;
}

/** The sum of what the hub counts under this name, or only what has this label. */
async function metric(name: string): Promise<number> {
  const text = await (await fetch(new URL('/metrics', hub.url))).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const overBudget = (reason: string) => metric(`livehook_operations_over_budget_total{reason="${reason}"`);

/** A client that asks and never reads. */
class Unread {
  readonly #close: () => void;

  private constructor(close: () => void) {
    this.#close = close;
  }

  /** The same query `times` over one connection: pipelined, or as operations of one WebSocket. */
  static async ask(transport: Transport, query: string, times = 1): Promise<Unread> {
    if (transport === 'WebSocket') return Unread.#askSocket(query, times);
    const body = JSON.stringify({ query });
    const { host, hostname, port } = new URL(hub.url);
    const request = [
      'POST /graphql HTTP/1.1',
      `host: ${host}`,
      `authorization: Bearer ${attacker.key}`,
      'content-type: application/json',
      `accept: ${transport === 'SSE' ? 'text/event-stream' : 'application/json'}`,
      `content-length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n');
    const socket: Socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.pause();
    socket.write(request.repeat(times));
    return new Unread(() => socket.destroy());
  }

  static async #askSocket(query: string, times: number): Promise<Unread> {
    const socket = await RawWebSocket.connect(hub.url, attacker.key);
    socket.pause();
    for (let no = 0; no < times; no++) socket.subscribe(String(no), query);
    return new Unread(() => socket.terminate());
  }

  close(): void {
    this.#close();
  }
}

async function whileOpen(clients: readonly Promise<Unread>[], work: () => Promise<unknown>): Promise<void> {
  const open = await Promise.all(clients);
  try {
    await work();
  } finally {
    for (const client of open) client.close();
  }
}

describe.each(TRANSPORTS)('Large fields under aliases, over %s', (transport) => {
  test('end their query at the limit of an answer, read or unread', async () => {
    const id = await publish('x'.repeat(MIB - 100));
    const query = `{ event(id: "${id}") { ${aliased(50, 'payload')} } }`;
    await hub.expectServed(async () => {
      const { data, errors } = await askOver(transport, attacker.client, query);
      expect(data ?? null).toBeNull();
      expect(errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' }, message: expect.stringContaining(String(ANSWER_BYTES)) }]);
      const ended = async () => (await overBudget('bytes')) + (await overBudget('unsent'));
      const before = await ended();
      await whileOpen(
        Array.from({ length: 30 }, () => Unread.ask(transport, query)),
        () => until(async () => (await ended()) >= before + 30, { description: 'the end of 30 queries' }),
      );
    });
  });

  test('just within that limit are held unread for an application up to its share, and its connection up to its own', async () => {
    const id = await publish('x'.repeat(MIB - 100));
    const query = `{ event(id: "${id}") { ${aliased(7, 'payload')} } }`;
    await hub.expectServed(async () => {
      const before = await overBudget('unsent');
      await whileOpen(
        [...Array.from({ length: 40 }, () => Unread.ask(transport, query)), Unread.ask(transport, query, transport === 'SSE' ? 1 : 20)],
        async () => {
          await until(async () => (await overBudget('unsent')) >= before + 30, { description: '30 refused answers' });
          expect(await metric('livehook_unsent_bytes')).toBeLessThanOrEqual(66 * MIB);
          const refused = await askOver(transport, attacker.client, query);
          expect(refused.errors).toMatchObject([{ extensions: { code: 'RATE_LIMITED', retryAfter: 1 } }]);
        },
      );
      await until(async () => (await metric('livehook_unsent_bytes')) === 0, { description: 'nothing unsent' });
      expect((await askOver(transport, attacker.client, query)).errors).toBeUndefined();
    });
  });
});

describe('The attempts of many deliveries', () => {
  const BODY = 'r'.repeat(60 * KIB);
  const DELIVERIES = 100;
  const ATTEMPTS = 20;

  beforeEach(async () => {
    const { webhook } = await mutated<{ webhook: { id: string } }>(
      attacker.client,
      'webhookCreate',
      { input: { url: hub.receiver.url('/attacker') } },
      'webhook { id }',
    );
    hub.receiver.answer('/attacker', { body: BODY });
    for (let no = 0; no < DELIVERIES; no++) await publish({ no, note: "it's" });
    const list = `{ deliveries(first: 100, filter: { webhookIds: ["${webhook.id}"] }) { nodes { id status attempts(first: 1) { nodes { id } } } } }`;
    interface Listed {
      deliveries: { nodes: { id: string; status: string; attempts: { nodes: { id: string }[] } }[] };
    }
    let deliveries: Listed['deliveries']['nodes'] = [];
    await until(
      async () => {
        deliveries = (await attacker.client.query<Listed>(list)).deliveries.nodes;
        return deliveries.length === DELIVERIES && deliveries.every(({ status }) => status === 'SUCCEEDED');
      },
      { description: 'the deliveries' },
    );
    const database = createDatabase({ kind: 'sqlite', path: hub.databaseUrl.replace(/^sqlite:/, '') }, silentLog);
    await database.open();
    for (const { id, attempts } of deliveries)
      await insertCopies(database, {
        table: 'attempts',
        id: attempts.nodes[0]?.id ?? '',
        count: ATTEMPTS - 1,
        change: (no) => ({ id: attemptId(id, no + 2) }),
      });
    await database.close();
  });

  test('are judged by what is there: what a dashboard asks for is answered, and large fields end the query over every transport', async () => {
    const { longestHoldMs } = await hub.expectServed(async () => {
      for (const transport of TRANSPORTS) {
        const ask = (fields: string) =>
          askOver(transport, attacker.client, `{ deliveries(first: 100) { nodes { id status attempts { nodes { ${fields} } } } } }`);
        const dashboard = await ask('id number trigger startedAt durationMs outcome statusCode error requestHeaders { name value }');
        expect(dashboard.errors).toBeUndefined();
        expect(dashboard).toHaveProperty(`data.deliveries.nodes.99.attempts.nodes.${ATTEMPTS - 1}.outcome`, 'SUCCESS');
        for (const fields of [
          'responseBody',
          aliased(8, 'responseBody'),
          aliased(8, 'curl'),
          `number ${aliased(30, 'requestHeaders { name value }')}`,
        ])
          expect((await ask(fields)).errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }]);
      }
    });
    expect(longestHoldMs).toBeLessThanOrEqual(MAX_HOLD_MS); // whatever else the machine does
  });

  test('asked for by many at once leave the memory bounded and the neighbour served', async () => {
    const query = `{ deliveries(first: 100) { nodes { id attempts { nodes { number responseBody } } } } }`;
    await hub.expectServed(async () => {
      const answers = await Promise.all(Array.from({ length: 40 }, () => askOver('HTTP', attacker.client, query)));
      for (const { errors } of answers) expect(['BAD_USER_INPUT', 'RATE_LIMITED']).toContain(errors?.[0]?.extensions?.code);
    });
  });
});

describe('Streams that nobody reads', () => {
  test.each([
    ['a thousand of one socket', 1, 1_000],
    ['ten of each of a hundred sockets', 100, 10],
  ])('hold one message each connection: %s', async (_what, sockets, subscriptions) => {
    const selection = aliased(49, 'payload');
    await hub.expectServed(async () => {
      const open = await Promise.all(Array.from({ length: sockets }, () => RawWebSocket.connect(hub.url, attacker.key)));
      for (const [no, socket] of open.entries()) {
        socket.pause();
        // Each selects a little something of its own: nothing is shared.
        for (let id = 0; id < subscriptions; id++) socket.subscribe(String(id), `subscription { event { s${no}x${id}: id ${selection} } }`);
      }
      await until(async () => (await metric('livehook_live_followers')) >= sockets * subscriptions, { description: 'the subscriptions' });
      for (let no = 0; no < 20; no++) await publish({ no, text: 'x'.repeat(150 * KIB) });
      expect(await metric('livehook_unsent_bytes')).toBeLessThanOrEqual(80 * MIB);
      for (const socket of open) socket.terminate();
      await until(async () => (await metric('livehook_live_followers')) === 0 && (await metric('livehook_unsent_bytes')) === 0, {
        description: 'the end of all streams',
      });
    });
  });
});

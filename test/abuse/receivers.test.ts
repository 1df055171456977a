import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { AbusedHub, type Tenant } from '../support/abused-hub';
import { mutated } from '../support/mutate';
import { until } from '../support/until';

const CHUNKED = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';

/** What receivers send, again and again, as fast as the hub takes it; all of it is HTTP that may go on for ever. */
const FLOODS: Readonly<Record<string, readonly [start: string, piece: string]>> = {
  '/1xx': ['', 'HTTP/1.1 102 Processing\r\n\r\n'],
  '/breaks': ['', '\r\n'],
  '/reason': ['HTTP/1.1 200 ', 'O'],
  '/extensions': [CHUNKED, `1;x=${'y'.repeat(4_000)}\r\nx\r\n`],
  '/zeros': [CHUNKED, '0'],
  '/headers': ['HTTP/1.1 200 OK\r\n', 'x: y\r\n'],
  '/chunks': [CHUNKED, '1\r\nx\r\n'],
  '/trailers': [`${CHUNKED}0\r\n`, 'x: y\r\n'],
};

const WEBHOOKS_PER_FLOOD = 3;
const EVENTS = 5;
/** The limit, and what the buffers of both systems hold beside it. */
const MAX_WRITTEN_PER_CONNECTION = 16 * 1024 * 1024;

interface Flooder {
  readonly server: Server;
  readonly origin: string;
  readonly sockets: Socket[];
}

async function flooder(): Promise<Flooder> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.once('data', (head: Buffer) => {
      const [, path = ''] = /^POST (\S+) /.exec(head.toString('latin1')) ?? [];
      const [start = '', piece = ' '] = FLOODS[path] ?? [];
      const block = piece.repeat(Math.ceil(65_536 / piece.length));
      const pour = () => {
        while (!socket.destroyed && socket.write(block, 'latin1'));
      };
      socket.write(start);
      socket.on('drain', pour).resume();
      pour();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets };
}

async function furnish({ client }: Tenant, origin: string): Promise<void> {
  for (const path of Object.keys(FLOODS))
    for (let n = 0; n < WEBHOOKS_PER_FLOOD; n++)
      await mutated(client, 'webhookCreate', { input: { url: origin + path, retrySchedule: [], timeoutSeconds: 30 } });
}

test('Receivers that send without end get 256 KiB an exchange, and hold up nobody', async () => {
  const [hub, { server, origin, sockets }] = [await AbusedHub.start(), await flooder()];
  try {
    const attacker = await hub.tenant('attacker');
    await furnish(attacker, origin);
    const deliveries = Object.keys(FLOODS).length * WEBHOOKS_PER_FLOOD * EVENTS;
    const served = await hub.expectServed(async () => {
      for (let n = 0; n < EVENTS; n++) await mutated(attacker.client, 'eventPublish', { input: { type: 'a.b', payload: n } });
      await until(
        async () => {
          const { deliveries } = await attacker.client.query<{ deliveries: { nodes: object[] } }>(
            '{ deliveries(first: 1, filter: { statuses: [PENDING, RETRYING] }) { nodes { id } } }',
          );
          return sockets.length > 0 && deliveries.nodes.length === 0;
        },
        { description: `${deliveries} deliveries to be over`, timeoutMs: 90_000 },
      );
    });
    for (const socket of sockets) expect(socket.bytesWritten).toBeLessThan(MAX_WRITTEN_PER_CONNECTION);
    expect(served.peakMemoryBytes).toBeLessThan(512 * 1024 * 1024);
    expect(sockets.length).toBeGreaterThanOrEqual(deliveries);
  } finally {
    await hub.stop();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

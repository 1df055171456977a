import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { AbusedHub, type Tenant } from '../support/abused-hub';
import { mutated } from '../support/mutate';
import { until } from '../support/until';

const REQUESTS = 10_000;

async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {}); // 'close' follows
  await once(socket, 'connect');
  return socket;
}

const request = (query: string, key?: string) =>
  `GET /graphql?query=${encodeURIComponent(query)} HTTP/1.1\r\nhost: x\r\naccept: application/json\r\n${
    key === undefined ? '' : `authorization: Bearer ${key}\r\n`
  }\r\n`;

describe('Requests pipelined by the thousand over one connection', () => {
  let hub: AbusedHub;
  let shop: Tenant;
  beforeAll(async () => {
    hub = await AbusedHub.start();
    shop = await hub.tenant('shop');
    for (let no = 0; no < 10; no++)
      await mutated(shop.client, 'eventPublish', { input: { type: 'a', payload: { no, filling: 'x'.repeat(100_000) } } });
  });
  afterAll(() => hub.stop());

  test.each([
    ['whose answers are a megabyte each and are not read', true],
    ['without a key', false],
  ])('%s are worked on a few at a time', async (_what, hasKey) => {
    await hub.expectServed(async () => {
      const socket = await open(hub.url);
      socket.pause();
      const query = hasKey ? '{ events(first: 10) { nodes { payload } } }' : '{ viewer { admin } }';
      const text = request(query, hasKey ? shop.key : undefined).repeat(100);
      let sent = 0;
      while (sent < REQUESTS && socket.writable) {
        sent += 100;
        if (!socket.write(text)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
      }
      for (let times = 0; times < 20; times++) await hub.admin.query('{ viewer { admin } }');
      socket.destroy();
    });
  });

  test('by a client that reads are answered in their order, fifty at a time', async () => {
    const socket = await open(hub.url);
    let answers = '';
    socket.on('data', (chunk: Buffer) => {
      answers += chunk.toString();
    });
    for (let round = 1; round <= 3; round++) {
      socket.write(Array.from({ length: 50 }, (_, index) => request(`{ a${index}: viewer { admin } }`, shop.key)).join(''));
      await until(() => [...answers.matchAll(/HTTP\/1\.1 200 /g)].length === 50 * round, { description: 'all answers' });
    }
    const order = [...answers.matchAll(/\{"data":\{"a(\d+)"/g)].map(([, no]) => Number(no));
    expect(order).toEqual([1, 2, 3].flatMap(() => Array.from({ length: 50 }, (_, index) => index)));
    socket.destroy();
  });
});

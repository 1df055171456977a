import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { AbusedHub, type Tenant } from '../support/abused-hub';
import { RawWebSocket } from '../support/raw-web-socket';
import { until } from '../support/until';

const MEBIBYTE = 1024 * 1024;

/** A request whose body is announced and begun, and goes no further. */
async function stall(url: string, { announced, sent, key }: { announced: number; sent: number; key?: string }): Promise<Stalled> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {}); // 'close' follows
  await once(socket, 'connect');
  const stalled: Stalled = { socket, answer: '' };
  socket.on('data', (chunk: Buffer) => {
    stalled.answer += chunk.toString();
  });
  const authorization = key === undefined ? '' : `authorization: Bearer ${key}\r\n`;
  socket.write(
    `POST /graphql HTTP/1.1\r\nhost: x\r\n${authorization}content-type: application/json\r\ncontent-length: ${announced}\r\n\r\n`,
  );
  socket.write('x'.repeat(sent));
  return stalled;
}

interface Stalled {
  readonly socket: Socket;
  answer: string;
}

const refusedOf = (stalled: readonly Stalled[]) => stalled.filter(({ answer }) => answer.startsWith('HTTP/1.1 429 '));

describe('Bodies that stall', () => {
  let hub: AbusedHub;
  let shop: Tenant;
  beforeAll(async () => {
    hub = await AbusedHub.start();
    shop = await hub.tenant('shop');
  });
  afterAll(() => hub.stop());

  test('without a key keep out nobody who opens a WebSocket and has one, and make room for each other', async () => {
    const stalled: Stalled[] = [];
    await hub.expectServed(async () => {
      for (let index = 0; index < 320; index++) stalled.push(await stall(hub.url, { announced: 65_536, sent: 60_000 }));
      await until(() => refusedOf(stalled).length > 0, { description: 'the oldest to make room' });
      for (let times = 0; times < 20; times++) {
        const socket = await RawWebSocket.connect(hub.url, shop.key);
        socket.subscribe('1', '{ viewer { admin } }');
        expect(await socket.next()).toMatchObject({ payload: { data: { viewer: { admin: false } } } });
        socket.terminate();
      }
    });
    const refused = refusedOf(stalled);
    expect(refused).toEqual(stalled.slice(0, refused.length)); // those that stall for longest
    expect(refused[0]?.answer).toMatch(/\r\nretry-after: 1\r\n.*"code":"RATE_LIMITED"/is);
    for (const { socket } of stalled) socket.destroy();
  });

  test('of WebSockets that have not sent their key do the same', async () => {
    const sockets: Socket[] = [];
    const { hostname, port } = new URL(hub.url);
    const handshake =
      'GET /graphql HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n' +
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n';
    // A masked text frame of 60,000 bytes, of which the last is missing.
    const frame = Buffer.concat([Buffer.from([0x81, 0xfe, 60_000 >> 8, 60_000 & 255, 0, 0, 0, 0]), Buffer.alloc(59_999, 'x')]);
    await hub.expectServed(async () => {
      for (let index = 0; index < 320; index++) {
        const socket = connect(Number(port), hostname).on('error', () => {});
        socket.write(handshake);
        await once(socket, 'data');
        socket.write(frame);
        sockets.push(socket);
      }
      for (let times = 0; times < 20; times++) (await RawWebSocket.connect(hub.url, shop.key)).terminate();
      await until(() => sockets[0]?.destroyed === true, { description: 'the oldest to make room' });
    });
    for (const socket of sockets) socket.destroy();
  });

  test('of one application leave the half to others, whoever they are', async () => {
    const stalled: Stalled[] = [];
    await hub.expectServed(async () => {
      for (let index = 0; index < 20; index++)
        stalled.push(await stall(hub.url, { announced: 16 * MEBIBYTE, sent: 15 * MEBIBYTE, key: shop.key }));
      await until(() => refusedOf(stalled).length >= 11, { description: 'what is beyond its share to be refused' });
      const payload = 'x'.repeat(MEBIBYTE - 100);
      const events = Array.from({ length: 15 }, () => ({ applicationId: shop.id, type: 'a', payload }));
      const answer = await hub.admin.request(
        'mutation ($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { event { sequence } } userErrors { message } } }',
        { events },
      );
      expect(answer.status).toBe(200);
    });
    for (const { socket } of stalled) socket.destroy();
  });
});

describe('A subscription that runs', () => {
  test('holds nothing of what requests may have, however long its message was', async () => {
    const hub = await AbusedHub.start();
    try {
      const shop = await hub.tenant('shop');
      const sockets: RawWebSocket[] = [];
      let accepted = 0;
      await hub.expectServed(async () => {
        for (let index = 0; index < 12; index++) {
          const socket = await RawWebSocket.connect(hub.url, shop.key);
          sockets.push(socket);
          // Over its share of what subscriptions may keep, it is refused, and what is refused costs the rest nothing.
          socket.subscribe('1', 'subscription { event { id } }', { variables: { filling: 'x'.repeat(15 * MEBIBYTE) } });
          socket.subscribe('2', '{ viewer { admin } }');
          const first = await socket.next(({ id, type }) => id === '2' || (id === '1' && type === 'error'));
          if (first.id === '2') accepted++;
          else expect(first).toMatchObject({ payload: [{ extensions: { code: 'RATE_LIMITED', retryAfter: 1 } }] });
        }
        const body = { type: 'a', payload: 'x'.repeat(MEBIBYTE - 100) };
        for (let times = 0; times < 3; times++) {
          const { errors } = await shop.client.request(
            'mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { id } } }',
            { input: body },
          );
          expect(errors).toBeUndefined();
        }
      });
      expect(accepted).toBe(2); // 128 MiB, four bytes of them for each character
      for (const socket of sockets) socket.terminate();
    } finally {
      await hub.stop();
    }
  });

  test('keeps no more memory for its document, together with others, than there is for that', async () => {
    const hub = await AbusedHub.start();
    try {
      const shop = await hub.tenant('shop');
      const fields = 'id sequence type cursor '.repeat(240);
      let refused = 0;
      const socket = await RawWebSocket.connect(hub.url, shop.key);
      await hub.expectServed(async () => {
        // Half a megabyte of syntax tree each: 2 GB together.
        for (let index = 0; index < 4_000; index++) {
          socket.subscribe(String(index), `subscription S${index} { event { ${fields} } }`);
          socket.subscribe(`after ${index}`, '{ __typename }');
          const answer = await socket.next(({ id, type }) => id === `after ${index}` || (id === String(index) && type === 'error'));
          if (answer.id !== String(index)) continue;
          expect(answer).toMatchObject({ payload: [{ extensions: { code: 'RATE_LIMITED', retryAfter: 1 } }] });
          refused++;
          if (refused === 500) return;
        }
      });
      expect(refused).toBe(500);
      socket.terminate();
    } finally {
      await hub.stop();
    }
  });
});

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { systemClock } from '../../src/clock';
import type { OutgoingRequest } from '../../src/delivery/transport/exchange';
import { Sender, type SenderOptions } from '../../src/delivery/transport/http/sender';
import { silentLog } from '../../src/log';
import { AddressPolicy } from '../../src/net/address-policy';
import { parseEgressProxy } from '../../src/net/egress-proxy';
import { ConnectProxy } from '../support/connect-proxy';
import { Tinyproxy } from '../support/tinyproxy';
import { AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY, TLS_NAME } from '../support/tls-certificates';
import { until } from '../support/until';

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function connectProxy(): Promise<ConnectProxy> {
  const proxy = await ConnectProxy.start();
  cleanups.push(() => proxy.stop());
  return proxy;
}

async function target(make: typeof createServer | typeof createTlsServer = createServer): Promise<{ port: number; connections: Socket[] }> {
  const connections: Socket[] = [];
  const server: Server = (make as typeof createTlsServer)({ key: SERVER_KEY, cert: SERVER_CERTIFICATE }, (request, response) => {
    request.resume();
    response.end(request.headers.host);
  });
  server.on('connection', (socket: Socket) => connections.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  return { port: (server.address() as AddressInfo).port, connections };
}

function sender(proxy: string, options: Partial<SenderOptions> = {}): Sender {
  const made = new Sender({
    policy: new AddressPolicy(['127.0.0.1/32']),
    clock: systemClock,
    lookup: async () => ['127.0.0.1'],
    tls: { extraCa: [AUTHORITY] },
    proxy: parseEgressProxy(proxy),
    ...options,
  });
  cleanups.push(() => made.destroy());
  return made;
}

function outgoing(url: string, timeoutMs = 10_000): OutgoingRequest {
  return { url, headers: [['content-type', 'application/json']], body: '{}', timeoutMs };
}

describe('Through an egress proxy', () => {
  test('requests reach http and https targets by a tunnel each, which is kept', async () => {
    const proxy = await Tinyproxy.start();
    cleanups.push(() => proxy.stop());
    const plain = await target();
    const secure = await target(createTlsServer);
    const ours = sender(proxy.url);
    for (const url of [`http://${TLS_NAME}:${plain.port}/`, `https://${TLS_NAME}:${secure.port}/`])
      for (let n = 0; n < 3; n++)
        expect(await ours.send(outgoing(url))).toMatchObject({ outcome: 'SUCCESS', responseBody: new URL(url).host });
    expect([plain.connections.length, secure.connections.length]).toEqual([1, 1]);
    expect(await proxy.tunnels()).toEqual([`127.0.0.1:${plain.port}`, `127.0.0.1:${secure.port}`]);
  });

  test("a wrong password is the operator's to see to", async () => {
    const proxy = await Tinyproxy.start();
    cleanups.push(() => proxy.stop());
    const { port, connections } = await target();
    expect(await sender(`http://hub:wrong@127.0.0.1:${proxy.port}`).send(outgoing(`http://hook.test:${port}/`))).toMatchObject({
      outcome: 'CONNECT',
      error: expect.stringMatching(/^the hub's egress proxy does not permit connections to hook\.test:\d+$/),
    });
    expect(connections).toHaveLength(0);
  });

  test('the hub resolves and checks the name, and names the address to the proxy', async () => {
    const proxy = await connectProxy();
    const { port } = await target();
    const answers = [['127.0.0.1'], ['10.0.0.7'], ['127.0.0.9', '127.0.0.1']];
    const ours = sender(`http://127.0.0.1:${proxy.port}`, { lookup: async () => answers.shift() ?? [] });
    expect(await ours.send(outgoing(`http://rebind.test:${port}/`))).toMatchObject({ outcome: 'SUCCESS' });
    await ours.close();
    const later = sender(`http://127.0.0.1:${proxy.port}`, { lookup: async () => answers.shift() ?? [] });
    expect(await later.send(outgoing(`http://rebind.test:${port}/`))).toMatchObject({ outcome: 'DNS' });
    expect(await later.send(outgoing(`http://rebind.test:${port}/`))).toMatchObject({ outcome: 'SUCCESS' });
    expect(proxy.asked).toEqual([`127.0.0.1:${port}`, `127.0.0.1:${port}`]);
  });

  test.each(['http://10.0.0.1/', 'https://169.254.169.254/', 'http://[::1]/'])(
    '%s stays blocked, and the proxy is not asked',
    async (url) => {
      const proxy = await connectProxy();
      expect(await sender(`http://127.0.0.1:${proxy.port}`).send(outgoing(url))).toMatchObject({ outcome: 'BLOCKED_ADDRESS' });
      expect(proxy.asked).toEqual([]);
    },
  );

  test('credentials of the proxy go to the proxy alone', async () => {
    const proxy = await connectProxy();
    const { port } = await target();
    await sender(`http://hub:p%40ss@127.0.0.1:${proxy.port}`).send(outgoing(`http://hook.test:${port}/`));
    expect(proxy.headers).toEqual([
      expect.objectContaining({ 'proxy-authorization': `Basic ${Buffer.from('hub:p@ss').toString('base64')}`, host: `127.0.0.1:${port}` }),
    ]);
  });

  test.each([
    [403, "the hub's egress proxy does not permit connections to hook.test"],
    [407, "the hub's egress proxy does not permit connections to hook.test"],
    [502, "the hub's egress proxy cannot connect to hook.test"],
    [504, "the hub's egress proxy cannot connect to hook.test"],
    [302, "the hub's egress proxy cannot connect to hook.test"],
  ])('an answer of %i is CONNECT; what the proxy says goes to the log of the operator alone', async (status, error) => {
    const proxy = await connectProxy();
    proxy.answer = (_request, socket) => {
      socket.end(`HTTP/1.1 ${status} proxy7.corp.internal says no\r\ncontent-length: 6\r\n\r\nsecret`);
      return 'answered';
    };
    const logged: object[] = [];
    const log = { ...silentLog, warn: (facts: object) => logged.push(facts) };
    expect(await sender(`http://127.0.0.1:${proxy.port}`, { log }).send(outgoing('http://hook.test/'))).toMatchObject({
      outcome: 'CONNECT',
      statusCode: null,
      error,
      responseHeaders: [],
      responseBody: null,
    });
    expect(logged).toEqual([{ host: 'hook.test', address: '127.0.0.1', port: 80, status, reason: 'proxy7.corp.internal says no' }]);
  });

  test('an address that the proxy cannot reach is followed by the next one', async () => {
    const proxy = await connectProxy();
    proxy.answer = (request, socket) => {
      if (request.url?.startsWith('127.0.0.1:')) return undefined;
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
      return 'answered';
    };
    const { port } = await target();
    const policy = new AddressPolicy(['127.0.0.0/8', '::1/128']);
    const ours = sender(`http://127.0.0.1:${proxy.port}`, { policy, lookup: async () => ['::1', '127.0.0.9', '127.0.0.1'] });
    expect(await ours.send(outgoing(`http://hook.test:${port}/`))).toMatchObject({ outcome: 'SUCCESS' });
    expect(proxy.asked).toEqual([`127.0.0.9:${port}`, `127.0.0.1:${port}`]);
  });

  test('a proxy that is down, or hangs up, is CONNECT and named to nobody', async () => {
    const error = "the hub's egress proxy cannot be reached: tell the operator of the hub";
    const proxy = await connectProxy();
    proxy.answer = (_request, socket) => {
      socket.destroy();
      return 'answered';
    };
    const ours = sender(`http://127.0.0.1:${proxy.port}`);
    expect(await ours.send(outgoing('http://hook.test/'))).toMatchObject({ outcome: 'CONNECT', error });
    await cleanups.shift()?.();
    expect(await ours.send(outgoing('http://hook.test/'))).toMatchObject({ outcome: 'CONNECT', error });
  });

  test.each(['http', 'https'])('the deadline covers a proxy that never answers, for %s', async (scheme) => {
    const proxy = await connectProxy();
    proxy.answer = (_request, socket) => {
      socket.resume().once('end', () => socket.destroy());
      return 'answered';
    };
    const timeoutMs = 150;
    expect(await sender(`http://127.0.0.1:${proxy.port}`).send(outgoing(`${scheme}://hook.test/`, timeoutMs))).toMatchObject({
      outcome: 'TIMEOUT',
      error: `no complete response within ${timeoutMs} ms: still connecting to hook.test`,
    });
    await until(() => proxy.sockets.size === 0, { description: 'the connection to the proxy to close' });
  });

  test('a certificate is judged as without a proxy', async () => {
    const proxy = await connectProxy();
    const { port } = await target(createTlsServer);
    expect(await sender(`http://127.0.0.1:${proxy.port}`, { tls: {} }).send(outgoing(`https://${TLS_NAME}:${port}/`))).toMatchObject({
      outcome: 'TLS',
      error: expect.stringContaining('the issuer of its certificate is unknown'),
    });
  });
});

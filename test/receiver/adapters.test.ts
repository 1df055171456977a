import { once } from 'node:events';
import { createServer, request as httpRequest, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Readable } from 'node:stream';
import express from 'express';
import Fastify from 'fastify';
import { Hono } from 'hono';
import { expressHandler, fastifyPlugin, fetchHandler, nodeHandler, WebhookReceiver } from '../../src/receiver';
import { newSigningSecret } from '../../src/webhooks/signing-secret';
import { signatureHeaders } from './signed-request';

const SECRET = newSigningSecret();
/** Bytes that no parser gives back: spaces, an escaped letter, a number beyond 53 bits. */
const BODY = `{"id":"evt_1", "type":"a.b","timestamp":"2026-01-31T12:00:00.000Z","sequence":1,"data":{"\\u00fc":"ü🦄","n":12345678901234567890}}`;
const MAX_BODY_BYTES = 10_000;

const seen: unknown[] = [];
const receiver = new WebhookReceiver({
  secrets: SECRET,
  maxBodyBytes: MAX_BODY_BYTES,
  handlers: { 'a.b': (event, { headers }) => seen.push([event.data, typeof headers]) },
});

/** Servers that are closed at the end. */
const opened: (() => Promise<unknown> | unknown)[] = [];
afterAll(() => Promise.all(opened.map((close) => close())));
beforeEach(() => seen.splice(0));

async function listen(listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`;
}

function headersFor(body: string, type = 'application/json') {
  return { 'content-type': type, ...signatureHeaders(SECRET, body) };
}

async function post(url: string, body = BODY, headers: Record<string, string> = headersFor(body)) {
  const response = await fetch(url, { method: 'POST', body, headers });
  return { status: response.status, text: await response.text() };
}

const adapters: Record<string, () => Promise<string>> = {
  'node:http': () => listen(nodeHandler(receiver)),
  'Express 5': async () => {
    const app = express();
    app.all('/hooks', expressHandler(receiver));
    app.use(express.json());
    app.post('/others', (request, response) => void response.json(request.body));
    return listen(app);
  },
  'Express 5 behind express.raw': async () => {
    const app = express();
    app.use('/hooks', express.raw({ type: () => true }));
    app.all('/hooks', expressHandler(receiver));
    app.post('/others', express.json(), (request, response) => void response.json(request.body));
    return listen(app);
  },
  'Fastify 5': async () => {
    const app = Fastify();
    app.register(fastifyPlugin(receiver), { path: '/hooks' });
    app.post('/others', async (request) => request.body);
    await app.listen({ port: 0, host: '127.0.0.1' });
    opened.push(() => app.close());
    return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/hooks`;
  },
  Hono: async () => {
    const app = new Hono();
    const handle = fetchHandler(receiver);
    app.all('/hooks', (context) => handle(context.req.raw));
    app.post('/others', async (context) => context.json((await context.req.json()) as object));
    return listen(overFetch(app.fetch));
  },
};

/** What serves a Fetch handler in Node, in the few lines that this test needs of it. */
function overFetch(handle: (request: Request) => Response | Promise<Response>): RequestListener {
  return async (request, response) => {
    const { method = '', headers, url } = request;
    const hasBody = method !== 'GET' && method !== 'OPTIONS';
    const body = hasBody ? Readable.toWeb(request.once('error', () => {})) : null;
    const init: RequestInit & { duplex: 'half' } = {
      method,
      headers: headers as Record<string, string>,
      body: body as RequestInit['body'],
      duplex: 'half',
    };
    try {
      const answer = await handle(new Request(`http://${headers.host}${url}`, init));
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(Buffer.from(await answer.arrayBuffer()));
    } catch {
      response.destroy();
    }
  };
}

describe.each(Object.keys(adapters))('A receiver in %s', (name) => {
  let url: string;
  beforeAll(async () => {
    url = (await adapters[name]?.()) ?? '';
  });

  test.each(['application/json', 'application/cloudevents+json', 'text/plain'])(
    'gets the very bytes that are signed, sent as %s',
    async (type) => {
      expect(await post(url, BODY, headersFor(BODY, type))).toEqual({ status: 204, text: '' });
      expect(seen).toEqual([[JSON.parse(BODY).data, 'object']]);
    },
  );

  test('refuses other bytes, and says why', async () => {
    const { status, text } = await post(url, BODY.replace(' ', ''), headersFor(BODY));
    expect(status).toBe(401);
    expect(JSON.parse(text)).toEqual({ error: expect.stringContaining('verify it before it is parsed'), code: 'SIGNATURE_MISMATCH' });
    expect(seen).toEqual([]);
  });

  test('refuses a request without a body', async () => {
    expect((await post(url, '', {})).status).toBe(401);
  });

  test('answers a handshake', async () => {
    const response = await fetch(url, { method: 'OPTIONS', headers: { 'webhook-request-origin': 'hub.example' } });
    expect([response.status, response.headers.get('webhook-allowed-origin')]).toEqual([204, 'hub.example']);
  });

  test('refuses a body that is too large, and lives', async () => {
    const body = JSON.stringify({ data: 'x'.repeat(MAX_BODY_BYTES) });
    expect((await post(url, body)).status).toBe(413);
    expect((await post(url)).status).toBe(204);
  });

  test('lives when a client leaves in the middle of a body', async () => {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port) });
    socket.write(`POST /hooks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"half":`);
    socket.end();
    socket.resume();
    await once(socket, 'close');
    expect((await post(url)).status).toBe(204);
  });

  if (name !== 'node:http')
    test('leaves other routes their parsers', async () => {
      const response = await fetch(url.replace('/hooks', '/others'), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"a":1}',
      });
      expect(await response.json()).toEqual({ a: 1 });
    });
});

test('A receiver behind a parser says that the signed bytes are gone', async () => {
  const app = express();
  app.use(express.json());
  app.all('/hooks', expressHandler(receiver));
  const { status, text } = await post(await listen(app));
  expect([status, (JSON.parse(text) as { code: string }).code]).toEqual([500, 'BODY_PARSED']);
});

test('A receiver reads no body without end', async () => {
  const url = new URL(await listen(nodeHandler(receiver)));
  const sending = httpRequest(url, { method: 'POST', headers: { 'content-type': 'application/json' } });
  const ended = new Promise<string>((resolve) => {
    sending.once('response', (response) => resolve(String(response.statusCode)));
    sending.once('error', () => resolve('cut off'));
  });
  let written = 0;
  const write = () => {
    while (!sending.destroyed && written < 100 * MAX_BODY_BYTES && sending.write('x'.repeat(1_000))) written += 1_000;
  };
  sending.on('drain', write);
  write();
  expect(await ended).toMatch(/413|cut off/);
  sending.destroy();
});

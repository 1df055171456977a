import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Answer, problem, tooLarge, type WebhookReceiver } from './receiver';

type AnyReceiver = Pick<WebhookReceiver, 'receive' | 'maxBodyBytes'>;

/** For `createServer` of `node:http`, and wherever its requests and responses come. */
export function nodeHandler(receiver: AnyReceiver): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    const body = await rawBody(request, receiver.maxBodyBytes);
    const answer = body instanceof Uint8Array ? await receiver.receive({ method: request.method, headers: request.headers, body }) : body;
    if (answer !== undefined) send(response, answer);
  };
}

/**
 * For Express: `app.post('/hooks', expressHandler(receiver))`, before `express.json()`, which drops the bytes that are
 * signed. With `express.raw({ type: () => true })` before it, it takes the bytes from there.
 */
export function expressHandler(
  receiver: AnyReceiver,
): (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void {
  const handle = nodeHandler(receiver);
  return (request, response, next) => void handle(request, response).catch(next);
}

/** What it needs of Fastify 4 and 5. */
interface FastifyLike {
  removeAllContentTypeParsers(): void;
  addContentTypeParser(
    type: string,
    options: { parseAs: 'buffer'; bodyLimit: number },
    parse: (request: unknown, body: Buffer, done: (error: Error | null, body?: unknown) => void) => void,
  ): unknown;
  route(route: {
    method: ('POST' | 'OPTIONS')[];
    url: string;
    handler: (
      request: { method: string; headers: IncomingMessage['headers']; body: unknown },
      reply: { code(status: number): { headers(headers: Record<string, string>): { send(body: string): unknown } } },
    ) => unknown;
  }): unknown;
}

/** A plugin for Fastify: `app.register(fastifyPlugin(receiver), { path: '/hooks' })`. Other routes keep their parsers. */
export function fastifyPlugin(receiver: AnyReceiver): (app: FastifyLike, options: { readonly path?: string }) => Promise<void> {
  return async (app, { path = '/' }) => {
    app.removeAllContentTypeParsers();
    // One more than is accepted, so that the receiver refuses it as everywhere.
    app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: receiver.maxBodyBytes + 1 }, (_request, body, done) => done(null, body));
    app.route({
      method: ['POST', 'OPTIONS'],
      url: path,
      handler: async ({ method, headers, body }, reply) => {
        const bytes = body instanceof Uint8Array ? body : new Uint8Array();
        const answer = await receiver.receive({ method, headers, body: bytes });
        return reply.code(answer.status).headers(answer.headers).send(answer.body);
      },
    });
  };
}

/** For what speaks Fetch: Hono (`(c) => handle(c.req.raw)`), route handlers of Next.js, Deno, Bun. */
export function fetchHandler(receiver: AnyReceiver): (request: Request) => Promise<Response> {
  return async (request) => {
    const body = await bytesOf(request.body, receiver.maxBodyBytes);
    const { method, headers } = request;
    const answer = body === undefined ? tooLarge(receiver.maxBodyBytes) : await receiver.receive({ method, headers, body });
    return new Response(answer.body === '' ? null : answer.body, { status: answer.status, headers: answer.headers });
  };
}

/** The bytes that came, an answer that refuses them, or undefined where the client is gone. */
async function rawBody(
  request: IncomingMessage & { readonly body?: unknown; readonly rawBody?: unknown },
  maxBytes: number,
): Promise<Uint8Array | Answer | undefined> {
  for (const kept of [request.rawBody, request.body]) {
    if (kept instanceof Uint8Array) return kept;
    if (typeof kept === 'string') return Buffer.from(kept);
  }
  if (request.readableEnded)
    return problem(500, 'BODY_PARSED', 'The body was parsed before: its signed bytes are gone. Receive webhooks before any parser.');
  try {
    return (await bytesOf(request, maxBytes)) ?? tooLarge(maxBytes);
  } catch {
    return undefined;
  }
}

/** Undefined: there are too many. A little more than is accepted is read, as a client that still sends would lose its answer. */
async function bytesOf(stream: AsyncIterable<Uint8Array> | null, maxBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream ?? []) {
    bytes += chunk.byteLength;
    if (bytes <= maxBytes) chunks.push(chunk);
    else if (bytes > 4 * maxBytes) break;
  }
  return bytes > maxBytes ? undefined : Buffer.concat(chunks);
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { DASHBOARD_CSP, dashboardPage } from '../dashboard/page';
import { HubError } from '../errors';
import type { Log } from '../log';
import { GRAPHIQL_CSP, graphiqlPage } from './graphiql';
import { GraphqlHttp } from './graphql-http';
import { GraphqlSse } from './graphql-sse';
import { GraphqlWs } from './graphql-ws';
import { Operations } from './operations';
import { BadRequest } from './request-body';
import { createSchema } from './schema';
import type { Services } from './services';
import { staticFile } from './static-files';

/** Whether the hub can do its work, and if not, why. */
export interface Readiness {
  readonly isReady: boolean;
  readonly database: string;
  readonly migrations: string;
}

interface Deps {
  readonly services: Services;
  readonly log: Log;
  readonly readiness: () => Promise<Readiness>;
}

const MOST_HEADER_BYTES = 16 * 1024;

/** One port: GraphQL over HTTP, WebSocket and server-sent events, the pages, the probes. */
export class ApiServer {
  readonly #deps: Deps;
  readonly #http: Server;
  #graphql: GraphqlHttp | undefined;
  #sse: GraphqlSse | undefined;
  #ws: GraphqlWs | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#http = createServer({ maxHeaderSize: MOST_HEADER_BYTES, requestTimeout: 60_000, headersTimeout: 15_000 }, (request, response) => {
      this.#serve(request, response).catch((error: unknown) => this.#fail(response, error));
    });
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Listens and returns the address, e.g. `http://127.0.0.1:4000`. */
  async start(host: string, port: number): Promise<string> {
    const { services, log } = this.#deps;
    const schema = await createSchema();
    const operations = new Operations({ schema, services, log });
    this.#graphql = new GraphqlHttp({ schema, services, log });
    await this.#graphql.start();
    this.#sse = new GraphqlSse({ operations, apiKeys: services.apiKeys, clock: services.clock });
    this.#ws = new GraphqlWs({ operations, apiKeys: services.apiKeys });
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(port, host, resolve);
    });
    const { address, port: actual, family } = this.#http.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`;
  }

  /** Takes no more connections, ends the streams, lets requests under way finish. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#sse?.stop();
    await this.#ws?.stop();
    this.#http.closeIdleConnections();
    await closed;
    await this.#graphql?.stop();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('x-content-type-options', 'nosniff');
    const url = new URL(request.url ?? '/', 'http://localhost');
    const accept = request.headers.accept ?? '';
    switch (url.pathname) {
      case '/graphql':
        if (accept.includes('text/event-stream') && (request.method === 'GET' || request.method === 'POST'))
          return this.#sse?.handle(request, response, url);
        response.setHeader('vary', 'accept');
        if (request.method === 'GET' && accept.includes('text/html')) return sendPage(response, graphiqlPage(), GRAPHIQL_CSP);
        return this.#graphql?.handle(request, response, url);
      case '/':
        return sendPage(response, dashboardPage(), DASHBOARD_CSP);
      case '/healthz':
        return sendJson(response, 200, { status: 'ok' });
      case '/readyz': {
        const readiness = await this.#deps.readiness();
        return sendJson(response, readiness.isReady ? 200 : 503, { status: readiness.isReady ? 'ready' : 'not ready', ...readiness });
      }
      default:
        return sendStatic(request, response, url.pathname);
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (pathname === '/graphql' && this.#ws) this.#ws.upgrade(request, socket, head);
    else socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  }

  #fail(response: ServerResponse, error: unknown): void {
    if (response.destroyed) return;
    const { status, message, code } = describe(error);
    if (status === 500) this.#deps.log.error({ error: (error as Error).stack }, 'request.fault');
    if (response.headersSent) {
      response.destroy();
      return;
    }
    response.setHeader('connection', 'close'); // what is left of the request is not read
    sendJson(response, status, { errors: [{ message, extensions: { code } }] });
  }
}

function describe(error: unknown): { status: number; message: string; code: string } {
  if (error instanceof BadRequest) return { status: error.status, message: error.message, code: 'BAD_REQUEST' };
  if (error instanceof HubError) return { status: error.code === 'UNAVAILABLE' ? 503 : 400, message: error.message, code: error.code };
  return { status: 500, message: 'Internal error: it has been logged.', code: 'INTERNAL_SERVER_ERROR' };
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.end(JSON.stringify(value));
}

function sendPage(response: ServerResponse, page: string, policy: string): void {
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.setHeader('content-security-policy', policy);
  response.setHeader('referrer-policy', 'no-referrer');
  response.setHeader('cache-control', 'no-cache');
  response.end(page);
}

function sendStatic(request: IncomingMessage, response: ServerResponse, path: string): void {
  const file = request.method === 'GET' || request.method === 'HEAD' ? staticFile(path) : undefined;
  if (!file) {
    sendJson(response, 404, { errors: [{ message: 'Not found', extensions: { code: 'NOT_FOUND' } }] });
    return;
  }
  response.setHeader('content-type', file.contentType);
  response.setHeader('etag', file.etag);
  response.setHeader('cache-control', 'no-cache');
  response.setHeader('vary', 'accept-encoding');
  if (request.headers['if-none-match'] === file.etag) {
    response.statusCode = 304;
    response.end();
    return;
  }
  const isZipped = file.gzip !== undefined && /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  const body = isZipped && file.gzip ? file.gzip : file.body;
  if (isZipped) response.setHeader('content-encoding', 'gzip');
  response.setHeader('content-length', body.length);
  response.end(request.method === 'HEAD' ? undefined : body);
}

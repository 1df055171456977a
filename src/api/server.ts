import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { GraphQLSchema } from 'graphql';
import { MINUTE, SECOND } from '../clock';
import { DASHBOARD_CSP, dashboardPage } from '../dashboard/page';
import { HubError } from '../errors';
import type { Log } from '../log';
import { parseUrl } from '../net/url';
import { clientAddresses } from './client-address';
import { Connections } from './connections';
import type { CrossOrigin } from './cross-origin';
import { GRAPHIQL_CSP, graphiqlPage } from './graphiql';
import { GraphqlHttp } from './graphql-http';
import { GraphqlSse } from './graphql-sse';
import { GraphqlWs } from './graphql-ws';
import { identifier } from './identify';
import { Intake } from './intake';
import type { IntrospectionAccess } from './introspection';
import { listen } from './listen';
import { type MetricsDeps, serveMetrics } from './metrics-access';
import { isJsonBody, negotiate } from './negotiate';
import { Operations } from './operations';
import { Pipelines } from './pipelines';
import { Refusals } from './refusals';
import { BadRequest } from './request-body';
import { failureOf, isRead, refuseUnread, sendError, sendJson, sendPage, sendStatic } from './respond';
import type { Services } from './services';

/** Whether the hub can do its work, and if not, why. */
export interface Readiness {
  readonly isReady: boolean;
  readonly database: string;
  readonly migrations: string;
  /** Whether it opens the secrets that are stored. */
  readonly secretKey: string;
}

/** What clients hold open. */
export interface OpenStreams {
  /** TCP connections, and those of them over which no valid key has come. */
  readonly connections: number;
  readonly unauthenticated: number;
  readonly subscriptions: number;
  /** Bytes of requests that are being read or worked on. */
  readonly requestBytes: number;
  readonly sockets: number;
  readonly eventStreams: number;
  /** Bytes that wait for sockets to take them. */
  readonly unsentBytes: number;
}

interface Deps {
  readonly services: Services;
  readonly log: Log;
  readonly readiness: () => Promise<Readiness>;
  /** For Prometheus; undefined: they have a port of their own. */
  readonly metrics: MetricsDeps | undefined;
  /** Others reach the hub by TLS: browsers are to insist on it. */
  readonly isSecure: boolean;
  readonly mostConnections: number;
  /** CIDRs of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  readonly introspection: IntrospectionAccess;
  readonly crossOrigin: CrossOrigin;
}

interface Graphql {
  readonly http: GraphqlHttp;
  readonly sse: GraphqlSse;
  readonly ws: GraphqlWs;
}

const MAX_HEADER_BYTES = 16 * 1024;
/** For the headers of a request, and for all of it. Node looks every 30 s unless it is told otherwise, so 60 were up to 90. */
export const TIMEOUTS = { headersTimeout: 15 * SECOND, requestTimeout: 60 * SECOND, connectionsCheckingInterval: 1 * SECOND } as const;
/** A year, and for this name alone: what else its domain has is none of the hub's business. */
const HSTS = 'max-age=31536000';
/** How long requests under way may take to finish when the hub stops. */
const DRAIN_MS = 10 * SECOND;
/** A connection on which nothing moves for so long is dropped, such as one whose client takes no answer. Streams are pinged. */
const IDLE_MS = 2 * MINUTE;

/** One port: GraphQL over HTTP, WebSocket and server-sent events, the pages, the probes. */
export class ApiServer {
  readonly #deps: Deps;
  readonly #http: Server;
  readonly #connections: Connections;
  readonly #intake = new Intake();
  readonly #refusals: Refusals;
  readonly #pipelines = new Pipelines();
  readonly #underWay = new Set<ServerResponse>();
  #graphql: Graphql | undefined;
  #lastDone: (() => void) | undefined;
  #readiness: Promise<Readiness> | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#refusals = new Refusals(deps.services.refused);
    this.#http = createServer({ maxHeaderSize: MAX_HEADER_BYTES, ...TIMEOUTS }, (request, response) =>
      this.#pipelines.add(request.socket, response, () => {
        this.#track(request, response);
        this.#serve(request, response).catch((error: unknown) => this.#fail(request, response, error));
      }),
    );
    this.#connections = new Connections(deps.mostConnections);
    this.#http.timeout = IDLE_MS;
    this.#http.on('connection', this.#connections.add);
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  get open(): OpenStreams {
    const { sse, ws } = this.#graphql ?? {};
    return {
      connections: this.#connections.open,
      unauthenticated: this.#connections.unauthenticated,
      subscriptions: this.#deps.services.keyLimits.subscriptions,
      requestBytes: this.#intake.bytes,
      sockets: ws?.sockets ?? 0,
      eventStreams: sse?.streams ?? 0,
      unsentBytes: ws?.unsentBytes ?? 0,
    };
  }

  /** Listens and returns the address, e.g. `http://127.0.0.1:4000`. */
  async start(schema: GraphQLSchema, host: string, port: number): Promise<string> {
    const { services, log } = this.#deps;
    const { apiKeys, keyLimits, unsent, slices, clock } = services;
    const addressOf = clientAddresses(this.#deps.trustedProxies);
    const identify = identifier(apiKeys, this.#connections, keyLimits, addressOf);
    const [intake, refusals] = [this.#intake, this.#refusals];
    const operations = new Operations({ schema, services, clock, log, introspection: this.#deps.introspection });
    const sse = new GraphqlSse({ operations, apiKeys, keyLimits, identify, addressOf, intake, refusals, unsent, slices, clock });
    this.#graphql = {
      sse,
      http: new GraphqlHttp({ schema, operations, services, sse, identify, addressOf, intake, refusals, log }),
      ws: new GraphqlWs({ operations, apiKeys, keyLimits, identify, addressOf, intake, refusals, unsent, slices, clock, log }),
    };
    await this.#graphql.http.start();
    return listen(this.#http, host, port, 'PORT');
  }

  /** Takes no more connections, ends the streams, lets requests under way finish within 10 s. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#graphql?.sse.stop();
    await Promise.all([this.#graphql?.ws.stop(), this.#drained()]);
    this.#http.closeAllConnections();
    await closed;
    await this.#graphql?.http.stop();
  }

  #track(request: IncomingMessage, response: ServerResponse): void {
    const { log, services } = this.#deps;
    const began = services.clock.monotonic();
    this.#underWay.add(response);
    response.once('close', () => {
      this.#underWay.delete(response);
      const ms = Math.round(services.clock.monotonic() - began);
      const [path] = (request.url ?? '').split('?', 1); // what is behind it may hold payloads
      log.debug({ method: request.method, path, status: response.statusCode, ms }, 'request.served');
      if (this.#underWay.size === 0) this.#lastDone?.();
    });
  }

  async #drained(): Promise<void> {
    if (this.#underWay.size === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#deps.services.clock.after(DRAIN_MS, resolve);
      this.#lastDone = () => {
        cancel();
        resolve();
      };
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#setSecurityHeaders(response);
    if (hostsOf(request) > 1) throw new BadRequest(400, 'expected one Host header, got several');
    const url = urlOf(request);
    const isOverLimit = this.#connections.isOverLimit(request.socket);
    if (isOverLimit) response.setHeader('connection', 'close');
    if (url?.pathname === '/graphql') {
      response.setHeader('vary', 'accept');
      if (this.#deps.crossOrigin.answers(request, response)) return;
      if (isOverLimit) throw this.#overLimit(request);
      return this.#serveGraphql(request, response, url);
    }
    const page = url && isRead(request) ? this.#pages[url.pathname] : undefined;
    if (page) return page(response, request);
    sendStatic(request, response, url?.pathname ?? '');
  }

  #overLimit(request: IncomingMessage): HubError {
    const error = new HubError('UNAVAILABLE', 'There are too many connections: try again in 1 s.', 1);
    this.#refusals.unread(request, error);
    return error;
  }

  readonly #pages: Readonly<Record<string, (response: ServerResponse, request: IncomingMessage) => void | Promise<void>>> = {
    '/': (response) => sendPage(response, dashboardPage(), DASHBOARD_CSP),
    '/healthz': (response) => sendJson(response, 200, JSON.stringify({ status: 'ok' })),
    '/readyz': async (response) => {
      // However many ask at once, the database is asked once.
      this.#readiness ??= this.#deps.readiness().finally(() => {
        this.#readiness = undefined;
      });
      const readiness = await this.#readiness;
      const { isReady } = readiness;
      sendJson(response, isReady ? 200 : 503, JSON.stringify({ status: isReady ? 'ready' : 'not ready', ...readiness }));
    },
    '/metrics': (response, request) => {
      const { metrics } = this.#deps;
      return metrics ? serveMetrics(request, response, metrics) : sendStatic(request, response, '/metrics');
    },
  };

  /** Pages and their files are kept by browsers all the same: they say so themselves. */
  #setSecurityHeaders(response: ServerResponse): void {
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('referrer-policy', 'no-referrer');
    response.setHeader('cache-control', 'no-store');
    if (this.#deps.isSecure) response.setHeader('strict-transport-security', HSTS);
  }

  async #serveGraphql(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const accepted = negotiate(request.headers.accept);
    if (isRead(request) && accepted.prefersPage) return sendPage(response, graphiqlPage(), GRAPHIQL_CSP);
    if (accepted.json) response.setHeader('content-type', accepted.json); // of errors, too
    if (request.method !== 'GET' && request.method !== 'POST') throw new BadRequest(405, 'expected GET or POST', 'GET, POST');
    if (request.method === 'POST' && !isJsonBody(request.headers['content-type']))
      throw new BadRequest(415, 'expected a body with content-type: application/json, in UTF-8');
    if (accepted.json) return this.#graphql?.http.handle(request, response, url, { ...accepted, json: accepted.json });
    if (accepted.stream) return this.#graphql?.sse.handle(request, response, url);
    throw new BadRequest(406, 'expected to accept application/graphql-response+json, application/json or text/event-stream');
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    if (hostsOf(request) > 1) endWith(socket, '400 Bad Request');
    else if (!this.#graphql || !this.#http.listening || urlOf(request)?.pathname !== '/graphql') endWith(socket, '404 Not Found');
    else if (!this.#deps.crossOrigin.permitsSocket(request)) {
      this.#deps.log.debug({ origin: request.headers.origin, host: request.headers.host }, 'socket.origin_refused');
      endWith(socket, '403 Forbidden');
    } else this.#graphql.ws.upgrade(request, socket, head, this.#connections.isOverLimit(request.socket));
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.destroyed) return;
    const failure = failureOf(error);
    if (error instanceof BadRequest && error.allow) response.setHeader('allow', error.allow);
    if (failure.status === 500) this.#deps.log.error({ error: (error as Error).stack }, 'request.fault');
    if (response.headersSent) response.destroy();
    else if (request.complete) sendError(response, failure);
    else refuseUnread(request, response, this.#deps.services.clock, failure);
  }
}

function endWith(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}

/** Node takes the first and says nothing; a proxy before the hub may have taken the last. */
function hostsOf({ rawHeaders }: IncomingMessage): number {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts;
}

/** Parsed once, for nearly all requests. */
const GRAPHQL_URL = new URL('http://localhost/graphql');

/** What a request asks for; undefined for a target that is no path, like the `*` of `OPTIONS *`. */
function urlOf({ url = '/' }: IncomingMessage): URL | undefined {
  if (url === '/graphql') return GRAPHQL_URL;
  const text = url.startsWith('/') ? `http://localhost${url}` : url;
  return parseUrl(text);
}

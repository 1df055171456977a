import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Connections } from './connections';
import { listen } from './listen';
import { isRead, sendError, sendText } from './respond';

/** Scrapers are few; of more the oldest have to go. */
const MAX_CONNECTIONS = 100;
const MAX_HEADER_BYTES = 16 * 1024;

export interface MetricsDeps {
  readonly metrics: () => Promise<{ readonly contentType: string; readonly content: string }>;
  /** What a scraper has to send as its bearer token; undefined: nothing. */
  readonly token: string | undefined;
}

/** Answers a scrape, if the scraper may see it. */
export async function serveMetrics(request: IncomingMessage, response: ServerResponse, { metrics, token }: MetricsDeps): Promise<void> {
  if (token !== undefined && !isBearer(request.headers.authorization, token)) {
    response.setHeader('www-authenticate', 'Bearer');
    const message = 'expected the header `authorization: Bearer <token>` with the value of LIVEHOOK_METRICS_TOKEN';
    return sendError(response, { status: 401, message, code: 'UNAUTHENTICATED' });
  }
  const { contentType, content } = await metrics();
  sendText(response, contentType, content);
}

/** Takes the same time however much of the token is right. */
function isBearer(authorization: string | undefined, token: string): boolean {
  const [, given = ''] = /^Bearer +(\S{1,4096})\s*$/i.exec(authorization ?? '') ?? [];
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** `/metrics` on a port of its own, which can be kept from everyone but scrapers. Nothing else is there. */
export class MetricsServer {
  readonly #http: Server;

  constructor(deps: MetricsDeps, timeouts: { readonly headersTimeout: number; readonly requestTimeout: number }) {
    this.#http = createServer({ maxHeaderSize: MAX_HEADER_BYTES, ...timeouts }, (request, response) => {
      response.setHeader('x-content-type-options', 'nosniff');
      response.setHeader('cache-control', 'no-store');
      const [path] = (request.url ?? '').split('?', 1);
      if (path !== '/metrics' || !isRead(request)) return sendError(response, { status: 404, message: 'Not found', code: 'NOT_FOUND' });
      serveMetrics(request, response, deps).catch(() => response.destroy());
    });
    this.#http.timeout = timeouts.requestTimeout;
    this.#http.on('connection', new Connections(MAX_CONNECTIONS).add);
  }

  /** Listens and returns the address. */
  async start(host: string, port: number): Promise<string> {
    return `${await listen(this.#http, host, port, 'LIVEHOOK_METRICS_PORT')}/metrics`;
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#http.closeAllConnections();
    await closed;
  }
}

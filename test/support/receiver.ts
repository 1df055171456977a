import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

export interface ReceivedRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** As sent: order, case and repeats kept. */
  readonly rawHeaders: readonly (readonly [name: string, value: string])[];
  /** Names in lower case; of a repeated header the last value. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Milliseconds since the epoch, when the body was complete. */
  readonly receivedAt: number;
  /** Whether the `standardwebhooks` library accepts it with one of the path's secrets; without secrets, false. */
  readonly verified: boolean;
}

/**
 * What to answer; nothing given is a 204. `hang` leaves the request open and `destroy` cuts the connection: before
 * any byte when there is no `status`, else after the headers and `body`.
 */
export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly hang?: boolean;
  readonly destroy?: boolean;
}

/** `nth` counts the requests of the path from 1. To answer late, return a promise. */
export type Behaviour = (request: ReceivedRequest, nth: number) => Answer | Promise<Answer>;

type Condition = number | ((requests: readonly ReceivedRequest[]) => boolean);

interface Waiter {
  readonly look: () => void;
}

/** A real HTTP receiver of webhooks, on 127.0.0.1. */
export class Receiver {
  readonly #server: Server;
  readonly #origin: string;
  readonly #requests: ReceivedRequest[] = [];
  readonly #behaviours = new Map<string, Behaviour>();
  readonly #secrets = new Map<string, Webhook[]>();
  readonly #waiters = new Set<Waiter>();
  readonly #sockets = new Map<string, Set<unknown>>();

  static async listen(): Promise<Receiver> {
    const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Receiver(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    this.#origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (incoming, response) => {
      this.#receive(incoming, response).catch((error) => response.destroy(error));
    });
  }

  url(path = '/'): string {
    return this.#origin + path;
  }

  /** What `path` answers from now on. */
  answer(path: string, behaviour: Behaviour | Answer): this {
    this.#behaviours.set(path, typeof behaviour === 'function' ? behaviour : () => behaviour);
    return this;
  }

  /** Adds a secret (`whsec_…`) that requests to `path` may be signed with, from now on. */
  trust(path: string, secret: string): this {
    this.#secrets.set(path, [...(this.#secrets.get(path) ?? []), new Webhook(secret)]);
    return this;
  }

  /** In the order of arrival: those of `path`, or all. */
  requests(path?: string): ReceivedRequest[] {
    return path === undefined ? [...this.#requests] : this.#requests.filter((request) => request.path === path);
  }

  /** How many connections the requests of `path` came over. */
  connections(path: string): number {
    return this.#sockets.get(path)?.size ?? 0;
  }

  /**
   * Resolves with the requests as soon as there are at least so many, or the predicate holds of them. They may not
   * have been answered yet.
   */
  waitFor(condition: Condition, path?: string, timeoutMs = 45_000): Promise<ReceivedRequest[]> {
    const holds = typeof condition === 'number' ? (requests: readonly unknown[]) => requests.length >= condition : condition;
    return new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(guard);
        this.#waiters.delete(waiter);
      };
      const look = () => {
        try {
          const requests = this.requests(path);
          if (!holds(requests)) return;
          stop();
          resolve(requests);
        } catch (error) {
          stop();
          reject(error);
        }
      };
      const waiter = { look };
      const guard = setTimeout(() => {
        stop();
        reject(new Error(`waited ${timeoutMs} ms for ${expectation(condition, path)}; ${this.#seen(path)}`));
      }, timeoutMs);
      this.#waiters.add(waiter);
      look();
    });
  }

  /** Drops open connections, those of requests left hanging included. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #receive(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = this.#record(incoming, await readBody(incoming));
    this.#sockets.set(request.path, (this.#sockets.get(request.path) ?? new Set()).add(incoming.socket));
    const nth = this.requests(request.path).length;
    const behaviour = this.#behaviours.get(request.path);
    for (const waiter of [...this.#waiters]) waiter.look();
    respond(response, (await behaviour?.(request, nth)) ?? {});
  }

  #record(incoming: IncomingMessage, body: Buffer): ReceivedRequest {
    const { pathname: path } = new URL(incoming.url ?? '/', this.#origin);
    const rawHeaders = pairs(incoming.rawHeaders);
    const headers = Object.fromEntries(rawHeaders.map(([name, value]) => [name.toLowerCase(), value]));
    const verified = (this.#secrets.get(path) ?? []).some((secret) => accepts(secret, body, headers));
    const request = { method: incoming.method ?? '', path, rawHeaders, headers, body, receivedAt: Date.now(), verified };
    this.#requests.push(request);
    return request;
  }

  #seen(path?: string): string {
    const requests = this.requests(path);
    const last = requests.slice(-10).map(({ method, path, headers, verified }) => {
      return `\n  ${method} ${path} ${headers['webhook-id'] ?? 'without webhook-id'}, ${verified ? 'verified' : 'not verified'}`;
    });
    return `saw ${requests.length}${last.length ? `, the last of them:${last.join('')}` : ''}`;
  }
}

function expectation(condition: Condition, path?: string): string {
  const what = typeof condition === 'number' ? `${condition} requests` : 'requests that satisfy the predicate';
  return path === undefined ? what : `${what} to ${path}`;
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? '', flat[2 * i + 1] ?? '']);
}

function accepts(secret: Webhook, body: Buffer, headers: Record<string, string>): boolean {
  try {
    secret.verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

function respond(response: ServerResponse, { status, headers, body, hang = false, destroy = false }: Answer): void {
  const stays = hang || destroy;
  if (stays && status === undefined) {
    if (destroy) response.destroy();
    return;
  }
  response.writeHead(status ?? (body === undefined ? 204 : 200), headers);
  if (!stays) {
    response.end(body);
    return;
  }
  response.flushHeaders();
  const cut = () => destroy && response.destroy();
  if (body === undefined) cut();
  else response.write(body, cut);
}

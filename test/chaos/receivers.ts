import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { Receipt, Treatment } from './facts';
import { nameOf } from './fleet';
import { between, type Random } from './random';

/** How often, of all requests, a receiver behaves badly. What is left is answered with 204 at once. */
export interface Manners {
  /** Answers 500. */
  readonly refuses?: number;
  /** Never answers. */
  readonly hangs?: number;
  /** Drops the connection when the head of the request is there. */
  readonly drops?: number;
  /** Reads all of it and drops the connection in the midst of its answer: the hub can't know. */
  readonly loses?: number;
  /** Takes up to `SLOW_MS` before it accepts. */
  readonly dawdles?: number;
}

type Mood = keyof Manners | 'accepts';

const SLOW_MS = 400;

interface Endpoint {
  readonly manners: Manners;
  readonly isHopeless: boolean;
  secret: Webhook | undefined;
}

/** All webhooks' targets: one server, a path for each. */
export class Receivers {
  readonly receipts: Receipt[] = [];
  readonly #server: Server;
  readonly #random: Random;
  readonly #endpoints = new Map<string, Endpoint>();
  #isHealed = false;
  #open = 0;

  static async listen(random: Random): Promise<Receivers> {
    const server = createServer({ keepAliveTimeout: 600_000, requestTimeout: 0, headersTimeout: 0 });
    const receivers = new Receivers(server, random);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return receivers;
  }

  private constructor(server: Server, random: Random) {
    this.#server = server;
    this.#random = random;
    server.on('request', (request, response) => void this.#receive(request, response));
  }

  /** Requests that have not ended. */
  get open(): number {
    return this.#open;
  }

  add(name: string, { manners, isHopeless }: { manners: Manners; isHopeless: boolean }): void {
    this.#endpoints.set(name, { manners, isHopeless, secret: undefined });
  }

  /** Of a webhook's target, after so many moves. */
  url(name: string, moves = 0): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${name}/${moves}`;
  }

  trust(name: string, secret: string): void {
    const endpoint = this.#endpoints.get(name);
    if (endpoint) endpoint.secret = new Webhook(secret);
  }

  /** From now on all behave, but for the hopeless ones. */
  heal(): void {
    this.#isHealed = true;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // It is asked for permission before a webhook is stored.
    if (request.method === 'OPTIONS') return void response.writeHead(200, { 'webhook-allowed-origin': '*' }).end();
    const [, name = '', moves] = (request.url ?? '/').split('/');
    const endpoint = this.#endpoints.get(name);
    if (endpoint === undefined) return void response.writeHead(404).end();
    const arrivedAt = Date.now();
    const index = this.receipts.length;
    const receipt: Receipt = {
      webhook: name,
      moves: Number(moves),
      eventId: headerOf(request, 'webhook-id'),
      attempt: Number(headerOf(request, 'livehook-attempt')),
      sender: nameOf(headerOf(request, 'webhook-request-origin')),
      arrivedAt,
      endedAt: Number.POSITIVE_INFINITY,
      treatment: 'unanswered',
      isVerified: false,
      digest: null,
    };
    this.receipts.push(receipt);
    this.#open++;
    const note = (facts: Partial<Receipt>) => {
      const known = this.receipts[index];
      if (known) this.receipts[index] = { ...known, ...facts };
    };
    response.on('close', () => {
      this.#open--;
      note({ endedAt: Date.now() });
    });
    note({ treatment: await this.#treat(endpoint, request, response, note) });
  }

  async #treat(
    endpoint: Endpoint,
    request: IncomingMessage,
    response: ServerResponse,
    note: (facts: Partial<Receipt>) => void,
  ): Promise<Treatment> {
    const mood = this.#moodOf(endpoint);
    if (mood === 'drops') {
      response.destroy();
      return 'dropped';
    }
    const body = await readBody(request);
    if (body === undefined) return 'unanswered';
    note({ digest: createHash('sha1').update(body).digest('base64'), isVerified: isSigned(endpoint.secret, body, request) });
    switch (mood) {
      case 'hangs':
        return 'unanswered';
      case 'refuses':
        return (await answer(response, 500)) ? 'refused' : 'unanswered';
      case 'loses':
        response.writeHead(200, { 'content-length': '10' }).write('half', () => response.destroy());
        return 'lost';
      case 'dawdles':
        await new Promise((resolve) => setTimeout(resolve, between(this.#random, 20, SLOW_MS)));
        return (await answer(response, 204)) ? 'accepted' : 'unanswered';
      case 'accepts':
        return (await answer(response, 204)) ? 'accepted' : 'unanswered';
    }
  }

  #moodOf({ manners, isHopeless }: Endpoint): Mood {
    if (isHopeless) return 'refuses';
    if (this.#isHealed) return 'accepts';
    let chance = this.#random();
    for (const [mood, share] of Object.entries(manners) as [keyof Manners, number][]) {
      if (chance < share) return mood;
      chance -= share;
    }
    return 'accepts';
  }
}

/** Undefined when the connection ended before. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk);
    return request.complete ? Buffer.concat(chunks) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the whole answer was handed to the connection while that was open. */
function answer(response: ServerResponse, status: number): Promise<boolean> {
  return new Promise((resolve) => {
    if (response.destroyed) return resolve(false);
    response.on('finish', () => resolve(true)).on('close', () => resolve(response.writableFinished));
    response.writeHead(status).end();
  });
}

function isSigned(secret: Webhook | undefined, body: Buffer, request: IncomingMessage): boolean {
  try {
    secret?.verify(body, {
      'webhook-id': headerOf(request, 'webhook-id'),
      'webhook-timestamp': headerOf(request, 'webhook-timestamp'),
      'webhook-signature': headerOf(request, 'webhook-signature'),
    });
    return secret !== undefined;
  } catch {
    return false;
  }
}

function headerOf({ headers }: IncomingMessage, name: string): string {
  return String(headers[name] ?? '');
}

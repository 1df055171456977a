import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { systemClock } from '../clock';
import type { Receipt } from './balance';

interface Options {
  readonly received: (receipt: Receipt) => void;
  /** What becomes of a request on its way in: other bytes, or null for one that is lost though it was answered. */
  readonly alter?: Alteration | undefined;
}

export type Alteration = (body: Buffer, webhook: string, eventId: string) => Buffer | null;

interface Door {
  readonly verifier: Webhook;
  /** Requests still to be refused with 503. */
  refusals: number;
}

const DATA_KEY = Buffer.from('"data":');

/**
 * What a partner runs: takes webhooks, verifies each with the `standardwebhooks` library, and answers 204, 401 to
 * what is not verified, 503 while it is down. One path for each webhook.
 */
export class Receiver {
  readonly #server: Server;
  readonly #options: Options;
  readonly #doors = new Map<string, Door>();

  constructor(options: Options) {
    this.#options = options;
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      this.#receive(request, response).catch(() => response.destroy());
    });
  }

  /** Listens on a free port of this machine; returns its origin. */
  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Opens `/<webhook>` for requests signed with `secret`; the first `refusals` of them are refused. */
  open(webhook: string, secret: string, refusals: number): void {
    this.#doors.set(webhook, { verifier: new Webhook(secret), refusals });
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = await readBody(request);
    const receivedAt = systemClock.monotonic();
    const webhook = (request.url ?? '/').slice(1);
    const eventId = String(request.headers['webhook-id']);
    const door = this.#doors.get(webhook);
    const body = this.#options.alter ? this.#options.alter(sent, webhook, eventId) : sent;
    if (!door || body === null) {
      response.writeHead(door ? 204 : 404).end();
      return;
    }
    const isVerified = accepts(door.verifier, body, request.headers);
    const status = statusFor(door, isVerified);
    response.writeHead(status).end();
    const type = String(request.headers['livehook-event-type']);
    this.#options.received({ webhook, eventId, type, isVerified, status, data: dataOf(body), receivedAt });
  }
}

function statusFor(door: Door, isVerified: boolean): number {
  if (door.refusals > 0) {
    door.refusals--;
    return 503;
  }
  return isVerified ? 204 : 401;
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function accepts(verifier: Webhook, body: Buffer, headers: IncomingHttpHeaders): boolean {
  try {
    verifier.verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}

/** The bytes of `data`, the body's last key, as they came: parsing and writing them again could hide a difference. */
function dataOf(body: Buffer): Buffer {
  const at = body.indexOf(DATA_KEY);
  return at < 0 ? Buffer.alloc(0) : body.subarray(at + DATA_KEY.length, -1);
}

import type { DuplicateStore } from './duplicates';
import { challengeIn, eventIn, type WebhookEvent } from './event';
import { type HeadersLike, headerOf, verifySignature, WebhookVerificationError } from './verify';

/** What came beside the event. */
export interface DeliveryInfo<Context = unknown> {
  readonly deliveryId: string | undefined;
  /** 1, 2, 3 … */
  readonly attempt: number | undefined;
  readonly headers: HeadersLike;
  /** What `transaction` gave, such as the transaction to work in. */
  readonly context: Context;
}

/** A method's type: where the types of events are not known, a handler of one type is one of any. */
export type Handler<Type extends string = string, Data = unknown, Context = unknown> = {
  handle(event: WebhookEvent<Type, Data>, delivery: DeliveryInfo<Context>): unknown;
}['handle'];

/** By event type; `*` gets what has no handler of its own. Without it such events are accepted, and nothing is done. */
export type Handlers<Events extends object, Context = unknown> = {
  readonly [Type in keyof Events & string]?: Handler<Type, Events[Type], Context>;
} & { readonly '*'?: Handler<string, unknown, Context> };

/** What an event is handled in. */
export interface Scope<Context> {
  readonly duplicates?: DuplicateStore;
  readonly context: Context;
}

export interface ReceiverOptions<Events extends object, Context = unknown> {
  /** `whsec_…` for `v1`, `whpk_…` for `v1a`; several while one replaces another. */
  readonly secrets: string | readonly string[];
  readonly handlers: Handlers<NoInfer<Events>, NoInfer<Context>>;
  /** Where repeats are known from. Without it each handler gets them. */
  readonly duplicates?: DuplicateStore;
  /**
   * Handles each event in a transaction: calls `work` once with what belongs to it, and rolls back when that rejects.
   * Its `duplicates` stand in for those of the receiver.
   */
  readonly transaction?: (work: (scope: Scope<Context>) => Promise<void>) => Promise<void>;
  /** How long an id is remembered. Default: 3 days, longer than the hub goes on trying by itself. */
  readonly duplicateSeconds?: number;
  /** How far `webhook-timestamp` may be off. Default: 300. */
  readonly toleranceSeconds?: number;
  /** A larger body is refused. Default: 2 MiB, more than a hub sends. */
  readonly maxBodyBytes?: number;
  /** Told what a handler has thrown: the hub is only told that it failed. */
  readonly onError?: (error: unknown, event: WebhookEvent) => void;
}

export interface IncomingWebhook {
  readonly method: string | undefined;
  readonly headers: HeadersLike;
  /** As it came, before anything has parsed it. */
  readonly body: string | Uint8Array;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A handler throws it when it can't handle the event now: the hub tries again after this many seconds at the earliest. */
export class RetryLater extends Error {
  override readonly name = 'RetryLater';

  constructor(readonly seconds: number) {
    super(`The event can't be handled before ${seconds} s have passed.`);
  }
}

const DUPLICATE_SECONDS = 3 * 24 * 60 * 60;
export const MAX_BODY_BYTES = 2 * 1024 * 1024;

/** Verifies webhooks, drops repeats, and hands each event to the handler of its type. */
export class WebhookReceiver<Events extends object = Readonly<Record<string, unknown>>, Context = unknown> {
  readonly #options: ReceiverOptions<Events, Context>;
  /** Those that are being handled, by id: a repeat that comes meanwhile gets the same answer. */
  readonly #running = new Map<string, Promise<Answer>>();

  constructor(options: ReceiverOptions<Events, Context>) {
    this.#options = options;
  }

  get maxBodyBytes(): number {
    return this.#options.maxBodyBytes ?? MAX_BODY_BYTES;
  }

  /** The answer to a request; never rejects. */
  async receive(request: IncomingWebhook): Promise<Answer> {
    if (request.method === 'OPTIONS') return handshake(request.headers);
    if (request.method !== 'POST') return problem(405, 'METHOD_NOT_ALLOWED', 'Expected POST.', { allow: 'POST, OPTIONS' });
    if (byteLength(request.body) > this.maxBodyBytes) return tooLarge(this.maxBodyBytes);
    try {
      const { id } = verifySignature(request.body, request.headers, this.#options);
      const challenge = challengeIn(request.body);
      if (challenge !== undefined) return json(200, { challenge });
      return await this.#once(id, eventIn(request.body, request.headers), request.headers);
    } catch (error) {
      if (!(error instanceof WebhookVerificationError)) throw error;
      return problem(STATUS[error.code] ?? 401, error.code, error.message);
    }
  }

  #once(id: string, event: WebhookEvent, headers: HeadersLike): Promise<Answer> {
    const running = this.#running.get(id);
    if (running) return running;
    const answer = this.#answer(id, event, headers).finally(() => this.#running.delete(id));
    this.#running.set(id, answer);
    return answer;
  }

  async #answer(id: string, event: WebhookEvent, headers: HeadersLike): Promise<Answer> {
    const { duplicates, transaction, onError } = this.#options;
    const work = (scope: Scope<Context>) => this.#handle(id, event, headers, scope);
    try {
      await (transaction ? transaction(work) : work({ duplicates, context: undefined as Context }));
      return DONE;
    } catch (error) {
      if (error instanceof RetryLater)
        return problem(503, 'RETRY_LATER', error.message, { 'retry-after': String(Math.ceil(error.seconds)) });
      onError?.(error, event);
      return problem(500, 'HANDLER_FAILED', 'The handler of this event has failed.');
    }
  }

  async #handle(id: string, event: WebhookEvent, headers: HeadersLike, scope: Scope<Context>): Promise<void> {
    const { handlers, duplicates: common, duplicateSeconds = DUPLICATE_SECONDS } = this.#options;
    const { duplicates = common, context } = scope;
    if (duplicates && !(await duplicates.add(id, duplicateSeconds))) return;
    const attempt = headerOf(headers, 'livehook-attempt');
    const deliveryId = headerOf(headers, 'livehook-delivery-id');
    try {
      await handlerFor(handlers, event.type)?.(event, { deliveryId, attempt: attempt ? Number(attempt) : undefined, headers, context });
    } catch (error) {
      await forget(duplicates, id);
      throw error;
    }
  }
}

const DONE: Answer = { status: 204, headers: {}, body: '' };

/** What can't be read is the sender's fault, a secret that is none the receiver's own; all else is refused as not genuine. */
const STATUS: Partial<Record<string, number>> = { BODY_INVALID: 400, SECRET_INVALID: 500 };

function handlerFor(handlers: object, type: string): Handler | undefined {
  const known = handlers as Readonly<Record<string, Handler | undefined>>;
  return Object.hasOwn(known, type) ? known[type] : known['*'];
}

/** When even that fails, the event is refused all the same: it comes again, and is dropped until its id runs out. */
async function forget(duplicates: DuplicateStore | undefined, id: string): Promise<void> {
  try {
    await duplicates?.delete?.(id);
  } catch {}
}

/** HTTP 1.1 Web Hooks for Event Delivery, section 4: a target of CloudEvents is asked before anything is sent. */
function handshake(headers: HeadersLike): Answer {
  const origin = headerOf(headers, 'webhook-request-origin');
  if (origin === undefined) return { ...DONE, headers: { allow: 'POST, OPTIONS' } };
  return { ...DONE, headers: { allow: 'POST, OPTIONS', 'webhook-allowed-origin': origin, 'webhook-allowed-rate': '*' } };
}

export function tooLarge(maxBytes: number): Answer {
  return problem(413, 'BODY_TOO_LARGE', `Expected at most ${maxBytes} bytes.`);
}

export function problem(status: number, code: string, error: string, headers: Answer['headers'] = {}): Answer {
  return json(status, { error, code }, headers);
}

function json(status: number, value: object, headers: Answer['headers'] = {}): Answer {
  return { status, headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

function byteLength(body: string | Uint8Array): number {
  return typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
}

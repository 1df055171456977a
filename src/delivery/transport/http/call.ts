import type { Dispatcher } from 'undici';
import type { Cancel, Clock } from '../../../clock';
import type { ClientCertificate } from '../../../webhooks/credentials';
import type { Exchange, HeaderPair, Outcome, OutgoingRequest, Phases } from '../exchange';
import { type Connection, MAX_RESPONSE_HEADER_BYTES, NOT_MADE, type Route } from './connection';
import { CLOSED, classify, ReceivedTooMuch, SendFailure, tooManyInterim } from './failure';

export const MAX_RESPONSE_BODY_BYTES = 64 * 1_024;
export const MAX_RESPONSE_HEADERS = 100;
/** Each costs as much as an answer. */
const MAX_INTERIM_RESPONSES = 32;
/** Of a body: each chunk costs 3 µs, however small. */
const MAX_RESPONSE_CHUNKS = 4_096;
const MAX_ECHOED_LOCATION = 500;

export interface Pool {
  /** An idle connection on this route, else a new one; null when the sender is closed. */
  take(route: Route, applicationId: string): Connection | null;
  /** A new connection; null when the sender is closed. */
  open(route: Route, applicationId: string): Connection | null;
  /** Gives a connection back after a whole exchange. */
  release(connection: Connection): void;
}

/**
 * One exchange under way: undici's handler, in the form it calls without a wrapper.
 *
 * A request goes out a second time, at once and on a new connection, when all of this holds: it went out on a connection
 * that had carried one before, that connection was closed, and nothing of an answer had come. That is what a receiver
 * looks like whose idle timeout ran out while our request was on its way; undici notices only those whose end has
 * already arrived. It may also be a receiver that took the request and died. Sending a POST again is then right because
 * `webhook-id` names it, as `Idempotency-Key` does for Go's client, which resends by the same rule: delivery is at least
 * once, a lost response allows a repeat, and the alternative is the same repeat minutes later.
 */
export class Call implements Dispatcher.DispatchHandler {
  readonly #request: OutgoingRequest;
  readonly #clock: Clock;
  readonly #pool: Pool;
  readonly #finish: (exchange: Exchange) => void;
  readonly #startedAt: number;
  #writtenAt = 0;
  #firstByteMs: number | null = null;
  #cancelDeadline: Cancel | null = null;
  #route: Route | null = null;
  #options: Dispatcher.DispatchOptions | null = null;
  #connection: Connection | null = null;
  #onUsedSocket = false;
  #answered = false;
  #resent = false;
  #settled = false;
  #statusCode: number | null = null;
  #headers: readonly Buffer[] = [];
  #body: Buffer | null = null;
  #bodyLength = 0;
  #interim = 0;
  #chunks = 0;
  #truncated = false;

  constructor(request: OutgoingRequest, clock: Clock, pool: Pool, finish: (exchange: Exchange) => void) {
    this.#request = request;
    this.#clock = clock;
    this.#pool = pool;
    this.#finish = finish;
    this.#startedAt = clock.monotonic();
  }

  get #applicationId(): string {
    return this.#request.applicationId ?? '';
  }

  start(target: Target | null): void {
    const { method = 'POST', headers, body, timeoutMs, credentials } = this.#request;
    if (target === null) {
      this.#settle('PAYLOAD_ERROR', 'the request could not be built: its URL is not valid');
      return;
    }
    this.#route = routeFor(target, credentials?.clientCertificate ?? null);
    this.#options = { path: target.path, method, headers: flatten(headers), body };
    this.#cancelDeadline = this.#clock.after(timeoutMs, () => this.#expire());
    this.#dispatch(this.#pool.take(this.#route, this.#applicationId));
  }

  #dispatch(connection: Connection | null): void {
    if (connection === null || this.#options === null) {
      this.#settle('CONNECT', CLOSED);
      return;
    }
    this.#connection = connection;
    connection.client.dispatch(this.#options, this);
  }

  onConnect(): void {
    this.#onUsedSocket = this.#connection?.noteWrite() ?? false;
    this.#writtenAt = this.#clock.monotonic();
  }

  onResponseStarted(): void {
    this.#answered = true;
    this.#firstByteMs ??= Math.round(this.#clock.monotonic() - this.#writtenAt);
  }

  onHeaders(statusCode: number, headers: Buffer[]): boolean {
    // 1xx are not the answer; however many come, the deadline stands.
    if (statusCode < 200) {
      this.#interim += 1;
      // Thrown, undici stops parsing: the rest of what has come is left alone.
      if (this.#interim > MAX_INTERIM_RESPONSES) throw tooManyInterim(MAX_INTERIM_RESPONSES);
      return true;
    }
    this.#statusCode = statusCode;
    this.#headers = headers;
    return true;
  }

  onData(chunk: Buffer): boolean {
    if (this.#settled) return false;
    const room = MAX_RESPONSE_BODY_BYTES - this.#bodyLength;
    this.#keep(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.#chunks += 1;
    if (chunk.length <= room && this.#chunks <= MAX_RESPONSE_CHUNKS) return true;
    this.#truncated = true;
    this.#settleByStatus();
    this.#drop();
    return false;
  }

  onComplete(): void {
    if (this.#settled || this.#connection === null) return;
    this.#settleByStatus();
    this.#pool.release(this.#connection);
  }

  onError(error: Error): void {
    if (this.#settled) return;
    this.#drop();
    if (error instanceof ReceivedTooMuch && this.#statusCode !== null) {
      this.#truncated = true;
      this.#settleByStatus();
      return;
    }
    const cause = error instanceof SendFailure ? error : (this.#connection?.tlsError ?? error);
    const failure = classify(cause, this.#connection?.endedByReceiver ?? false, MAX_RESPONSE_HEADER_BYTES);
    if (failure.outcome === 'CONNECT' && this.#onUsedSocket && !this.#answered && !this.#resent) {
      this.#resent = true;
      this.#onUsedSocket = false;
      this.#dispatch(this.#route && this.#pool.open(this.#route, this.#applicationId));
      return;
    }
    this.#settle(failure.outcome, failure.message);
  }

  /**
   * An answer that has come is read first. After a long turn of the event loop timers come before sockets: a hub that was
   * busy for a second would take requests for failed that were answered at once, and repeat them.
   */
  #expire(): void {
    setImmediate(() => this.#timeOut());
  }

  #timeOut(): void {
    if (this.#settled) return;
    const doing = this.#statusCode === null ? this.#connection?.whatItWaitsFor() : 'reading the response body';
    this.#settle('TIMEOUT', `no complete response within ${this.#request.timeoutMs} ms: still ${doing}`);
    this.#drop();
  }

  #drop(): void {
    void this.#connection?.discard();
  }

  /** Copies, so that a receiver sending single bytes cannot make each of them hold a buffer of its own. */
  #keep(chunk: Buffer): void {
    const length = this.#bodyLength + chunk.length;
    if (this.#body === null) {
      this.#body = Buffer.from(chunk);
    } else {
      if (length > this.#body.length) this.#body = Buffer.concat([this.#body], Math.min(2 * length, MAX_RESPONSE_BODY_BYTES));
      chunk.copy(this.#body, this.#bodyLength);
    }
    this.#bodyLength = length;
  }

  #settleByStatus(): void {
    const status = this.#statusCode ?? 0;
    if (status >= 200 && status <= 299) this.#settle('SUCCESS', null);
    else if (status >= 300 && status <= 399) this.#settle('REDIRECT', this.#redirect(status));
    else this.#settle('HTTP_ERROR', `the receiver answered ${status}`);
  }

  #redirect(status: number): string {
    const location = keptHeaders(this.#headers).find(([name]) => name === 'location')?.[1];
    if (location === undefined) return `the receiver answered ${status}, a redirect without a location`;
    return `the receiver answered ${status}, a redirect to ${location.slice(0, MAX_ECHOED_LOCATION)}: redirects are not followed`;
  }

  #settle(outcome: Outcome, error: string | null): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#cancelDeadline?.();
    this.#finish({
      outcome,
      statusCode: this.#statusCode,
      error,
      responseHeaders: keptHeaders(this.#headers),
      responseBody: this.#statusCode === null ? null : (this.#body?.toString('utf8', 0, this.#bodyLength) ?? ''),
      responseTruncated: this.#truncated,
      durationMs: Math.round(this.#clock.monotonic() - this.#startedAt),
      phases: this.#phases(),
    });
  }

  #phases(): Phases {
    const { dnsMs = null, connectMs = null, tlsMs = null } = this.#connection?.laps ?? NOT_MADE;
    return [dnsMs, connectMs, tlsMs, this.#firstByteMs];
  }
}

export interface Target {
  /** Without a client certificate. */
  readonly route: Route;
  readonly path: string;
}

export function readTarget(url: string): Target | null {
  try {
    const { origin, pathname, search } = new URL(url);
    return { route: { key: origin, origin, clientCertificate: null }, path: pathname + search };
  } catch {
    return null;
  }
}

/** Connections that show a certificate are for those alone that send with it. */
function routeFor({ route }: Target, clientCertificate: ClientCertificate | null): Route {
  if (clientCertificate === null) return route;
  return { origin: route.origin, key: `${route.origin} ${clientCertificate.id}`, clientCertificate };
}

/** undici takes headers as one flat list. */
function flatten(headers: readonly HeaderPair[]): string[] {
  const flat: string[] = [];
  for (const [name, value] of headers) flat.push(name, value);
  return flat;
}

/** Values are bytes by the standard; latin1 keeps each of them. */
function keptHeaders(raw: readonly Buffer[]): HeaderPair[] {
  const kept: HeaderPair[] = [];
  const end = Math.min(raw.length, 2 * MAX_RESPONSE_HEADERS);
  for (let at = 0; at < end; at += 2) {
    kept.push([raw[at]?.toString('latin1').toLowerCase() ?? '', raw[at + 1]?.toString('latin1') ?? '']);
  }
  return kept;
}

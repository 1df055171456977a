import type { Dispatcher } from 'undici';
import type { Cancel, Clock } from '../../../clock';
import type { ClientCertificate } from '../../../webhooks/credentials';
import type { Exchange, HeaderPair, Outcome, OutgoingRequest, Phases } from '../exchange';
import { type Connection, MAX_RESPONSE_HEADER_BYTES, NOT_MADE, type Route } from './connection';
import { CLOSED, classify, ReceivedTooMuch, SendFailure } from './failure';
import { Received } from './received';

/** `answered`: something of an answer has come. */
type State = 'unanswered' | 'answered' | 'settled';

interface Plan {
  readonly route: Route;
  readonly options: Dispatcher.DispatchOptions;
}

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
  readonly #received = new Received();
  #cancelDeadline: Cancel | null = null;
  /** Where it goes, and what; null until it starts. */
  #plan: Plan | null = null;
  #connection: Connection | null = null;
  #state: State = 'unanswered';
  /** On the connection that it is on. */
  #onUsedSocket = false;
  #isResent = false;
  #writtenAt = 0;
  #firstByteMs: number | null = null;

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
    const route = routeFor(target, credentials?.clientCertificate ?? null);
    this.#plan = { route, options: { path: target.path, method, headers: flatten(headers), body } };
    this.#cancelDeadline = this.#clock.after(timeoutMs, () => this.#expire());
    this.#dispatch(this.#pool.take(route, this.#applicationId));
  }

  #dispatch(connection: Connection | null): void {
    if (connection === null || this.#plan === null) {
      this.#settle('CONNECT', CLOSED);
      return;
    }
    this.#connection = connection;
    connection.client.dispatch(this.#plan.options, this);
  }

  onConnect(): void {
    this.#onUsedSocket = this.#connection?.noteWrite() ?? false;
    this.#writtenAt = this.#clock.monotonic();
  }

  onResponseStarted(): void {
    if (this.#state === 'unanswered') this.#state = 'answered';
    this.#firstByteMs ??= Math.round(this.#clock.monotonic() - this.#writtenAt);
  }

  onHeaders(statusCode: number, headers: Buffer[]): boolean {
    this.#received.head(statusCode, headers);
    return true;
  }

  onData(chunk: Buffer): boolean {
    if (this.#state === 'settled') return false;
    if (this.#received.add(chunk)) return true;
    this.#settleByStatus();
    this.#drop();
    return false;
  }

  onComplete(): void {
    if (this.#state === 'settled' || this.#connection === null) return;
    this.#settleByStatus();
    this.#pool.release(this.#connection);
  }

  onError(error: Error): void {
    if (this.#state === 'settled') return;
    this.#drop();
    if (error instanceof ReceivedTooMuch && this.#received.statusCode !== null) {
      this.#received.isTruncated = true;
      this.#settleByStatus();
      return;
    }
    const cause = error instanceof SendFailure ? error : (this.#connection?.tlsError ?? error);
    const failure = classify(cause, this.#connection?.endedByReceiver ?? false, MAX_RESPONSE_HEADER_BYTES);
    if (failure.outcome === 'CONNECT' && this.#mayResend()) this.#resend();
    else this.#settle(failure.outcome, failure.message);
  }

  #mayResend(): boolean {
    return this.#onUsedSocket && this.#state === 'unanswered' && !this.#isResent;
  }

  #resend(): void {
    this.#isResent = true;
    this.#onUsedSocket = false;
    this.#dispatch(this.#plan && this.#pool.open(this.#plan.route, this.#applicationId));
  }

  /**
   * An answer that has come is read first. After a long turn of the event loop timers come before sockets: a hub that was
   * busy for a second would take requests for failed that were answered at once, and repeat them.
   */
  #expire(): void {
    setImmediate(() => this.#timeOut());
  }

  #timeOut(): void {
    if (this.#state === 'settled') return;
    const doing = this.#received.statusCode === null ? this.#connection?.whatItWaitsFor() : 'reading the response body';
    this.#settle('TIMEOUT', `no complete response within ${this.#request.timeoutMs} ms: still ${doing}`);
    this.#drop();
  }

  #drop(): void {
    void this.#connection?.discard();
  }

  #settleByStatus(): void {
    const { outcome, error } = this.#received.meaning;
    this.#settle(outcome, error);
  }

  #settle(outcome: Outcome, error: string | null): void {
    if (this.#state === 'settled') return;
    this.#state = 'settled';
    this.#cancelDeadline?.();
    const { statusCode, headers, body, isTruncated } = this.#received;
    this.#finish({
      outcome,
      statusCode,
      error,
      responseHeaders: headers,
      responseBody: body,
      responseTruncated: isTruncated,
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

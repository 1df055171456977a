import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { type buildConnector, Client, type Dispatcher, errors } from 'undici';
import { type Cancel, type Clock, MINUTE, SECOND } from '../clock';
import type { AddressPolicy } from './address-policy';
import type { Exchange, HeaderPair, Outcome, OutgoingRequest, Phases } from './exchange';
import { type Lookup, systemLookup } from './system-lookup';

export const MAX_RESPONSE_BODY_BYTES = 64 * 1_024;
/** Node's own limit. Each header costs far more memory than bytes, so a hostile receiver gets no more than this. */
export const MAX_RESPONSE_HEADER_BYTES = 16 * 1_024;
export const MAX_RESPONSE_HEADERS = 100;

/** Below the 5 s after which Node, Apache and uvicorn close an idle connection, to meet few that are just closing. */
const IDLE_MS = 4 * SECOND;
/** The longest that a receiver's `keep-alive: timeout=` may ask for. */
const MAX_IDLE_MS = MINUTE;
/** After this a connection takes no more requests: a busy one would never notice that the name has moved. */
const MAX_CONNECTION_AGE_MS = 5 * MINUTE;
const DEFAULT_MAX_IDLE_CONNECTIONS = 1_024;
/** Of one name's addresses, how many are tried: a hostile zone may list thousands. */
const MAX_ADDRESSES = 8;
/** How long one of several addresses may take to accept. Node's 250 ms gives up on receivers a continent away. */
const ADDRESS_ATTEMPT_MS = SECOND;
const MAX_ECHOED_LOCATION = 500;
const MOST_TARGETS = 10_000;

export interface SenderOptions {
  /** Decides which addresses may be reached. Asked about every address of every new connection. */
  readonly policy: AddressPolicy;
  readonly clock: Clock;
  /** Default: {@link systemLookup}. */
  readonly lookup?: Lookup;
  readonly tls?: {
    /** PEM certificates of authorities that are trusted beside the public ones. */
    readonly extraCa?: readonly string[];
  };
  /** Beyond so many, a connection that falls idle is closed instead of kept. Default 1,024. */
  readonly maxIdleConnections?: number;
}

/**
 * Sends webhooks over HTTP/1.1 connections that are kept alive per origin. Opens as many connections as there are
 * requests at once: limiting those is the caller's part.
 */
export class Sender {
  readonly #rim: Rim;
  readonly #maxIdle: number;
  /** Every connection, from before its name is resolved until it is gone. */
  readonly #connections = new Set<Connection>();
  /** By origin, used last at the end; an origin without idle connections has no entry. */
  readonly #idle = new Map<string, Connection[]>();
  #idleCount = 0;
  #inFlight = 0;
  #closed = false;
  readonly #waitingForLast: (() => void)[] = [];
  readonly #targets = new Map<string, Target | null>();

  constructor({ policy, clock, lookup = systemLookup(), tls, maxIdleConnections = DEFAULT_MAX_IDLE_CONNECTIONS }: SenderOptions) {
    const ca = tls?.extraCa === undefined ? undefined : [...rootCertificates, ...tls.extraCa];
    // Made once: parsing the root certificates takes longer than a handshake.
    this.#rim = { policy, clock, lookup, secureContext: createSecureContext({ ca, minVersion: 'TLSv1.2' }) };
    this.#maxIdle = maxIdleConnections;
  }

  /** One HTTP exchange from resolving the name to the last byte of the response. Never rejects. */
  send(request: OutgoingRequest): Promise<Exchange> {
    return new Promise((resolve) => {
      this.#inFlight += 1;
      const finish = (exchange: Exchange) => {
        resolve(exchange);
        this.#inFlight -= 1;
        if (this.#inFlight === 0) for (const proceed of this.#waitingForLast.splice(0)) proceed();
      };
      new Call(request, this.#rim.clock, this.#pool, finish).start(this.#targetOf(request.url));
    });
  }

  /** Parsing a URL takes 2 µs, and there are few of them beside the requests that go there. */
  #targetOf(url: string): Target | null {
    const known = this.#targets.get(url);
    if (known !== undefined) return known;
    const target = readTarget(url);
    if (this.#targets.size >= MOST_TARGETS) this.#targets.clear();
    this.#targets.set(url, target);
    return target;
  }

  /** Takes no new requests, lets those under way finish, then closes all connections. Later sends end as CONNECT. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const connection of [...this.#idle.values()].flat()) connection.discard();
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#waitingForLast.push(resolve));
    await this.#dropAll();
  }

  /** Cuts everything at once: exchanges under way end as CONNECT. */
  async destroy(): Promise<void> {
    this.#closed = true;
    await this.#dropAll();
  }

  async #dropAll(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.discard(new SendFailure('CONNECT', CLOSED))));
  }

  /** What an exchange may do to the connections. */
  readonly #pool: Pool = {
    take: (origin) => (this.#closed ? null : (this.#takeIdle(origin) ?? this.#open(origin))),
    open: (origin) => (this.#closed ? null : this.#open(origin)),
    release: (connection) => this.#release(connection),
  };

  #open(origin: string): Connection {
    const connection: Connection = new Connection(origin, this.#rim, {
      lost: () => this.#forgetIdle(connection),
      gone: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    return connection;
  }

  /** The connection used last is the likeliest to be still open, and lets the others run into their idle limit. */
  #takeIdle(origin: string): Connection | undefined {
    const idle = this.#idle.get(origin);
    const connection = idle?.pop();
    if (idle === undefined || connection === undefined) return undefined;
    if (idle.length === 0) this.#idle.delete(origin);
    this.#idleCount -= 1;
    return connection;
  }

  #release(connection: Connection): void {
    if (this.#closed || this.#idleCount >= this.#maxIdle || !connection.reusable()) {
      connection.discard();
      return;
    }
    this.#idleCount += 1;
    const idle = this.#idle.get(connection.origin);
    if (idle === undefined) this.#idle.set(connection.origin, [connection]);
    else idle.push(connection);
  }

  #forgetIdle(connection: Connection): void {
    const idle = this.#idle.get(connection.origin);
    const at = idle?.indexOf(connection) ?? -1;
    if (idle === undefined || at === -1) return;
    idle.splice(at, 1);
    if (idle.length === 0) this.#idle.delete(connection.origin);
    this.#idleCount -= 1;
    connection.discard();
  }
}

const CLOSED = 'the sender is closed';

/** What every connection needs from outside. */
interface Rim {
  readonly policy: AddressPolicy;
  readonly clock: Clock;
  readonly lookup: Lookup;
  readonly secureContext: SecureContext;
}

interface Pool {
  /** An idle connection to `origin`, else a new one; null when the sender is closed. */
  take(origin: string): Connection | null;
  /** A new connection; null when the sender is closed. */
  open(origin: string): Connection | null;
  /** Gives a connection back after a whole exchange. */
  release(connection: Connection): void;
}

interface Failure {
  readonly outcome: Outcome;
  readonly message: string;
}

/** A failure whose outcome is known where it happens. Without a `code`, so that undici hands it on as it is. */
class SendFailure extends Error implements Failure {
  constructor(
    readonly outcome: Outcome,
    message: string,
  ) {
    super(message);
  }
}

/** How long the steps of making a connection took, in milliseconds; one that has not ended is absent. */
type Laps = Partial<Record<'dnsMs' | 'connectMs' | 'tlsMs', number>>;

const NOT_MADE: Laps = {};

/** How far a connection has come; a timeout names it. */
type Stage = 'resolving' | 'connecting' | 'handshaking' | 'open';

/**
 * One connection, used by one exchange at a time: an undici `Client` and the socket under it. undici's own pool can
 * neither limit idle connections apart from busy ones nor give up a connection that is still being made.
 */
class Connection {
  readonly origin: string;
  readonly client: Client;
  stage: Stage = 'resolving';
  readonly #rim: Rim;
  readonly #host: string;
  readonly #gone: () => void;
  #socket: Socket | null = null;
  /** Requests written to the present socket. */
  #written = 0;
  #openedAt = 0;
  #laps: Laps = {};
  /** When the present step of making the connection began. */
  #lapAt = 0;
  #discarded: Promise<void> | null = null;

  constructor(origin: string, rim: Rim, on: { lost: () => void; gone: () => void }) {
    this.origin = origin;
    this.#host = origin.slice(origin.indexOf('://') + 3);
    this.#rim = rim;
    this.#gone = on.gone;
    this.client = new Client(origin, {
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: MAX_IDLE_MS,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
      // The exchange has one deadline over everything.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: (target, done) => this.#connect(target, done),
    });
    this.client.on('disconnect', on.lost);
  }

  /** Notes that a request is being written, and says whether the socket has carried one before. */
  noteWrite(): boolean {
    this.#written += 1;
    return this.#written > 1;
  }

  /** What making the connection took, for the exchange that it was made for; later ones found it open. */
  get laps(): Readonly<Laps> {
    return this.#written > 1 ? NOT_MADE : this.#laps;
  }

  /** Whether the receiver has ended its side: tells an answer cut short from a malformed one. */
  get endedByReceiver(): boolean {
    return this.#socket?.readableEnded ?? false;
  }

  reusable(): boolean {
    // A receiver that answers without reading would otherwise have our bodies pile up in the socket.
    if (this.#discarded !== null || this.#socket === null || this.#socket.writableLength > 0) return false;
    return this.#rim.clock.monotonic() - this.#openedAt < MAX_CONNECTION_AGE_MS;
  }

  whatItWaitsFor(): string {
    switch (this.stage) {
      case 'resolving':
        return `resolving ${this.#host}`;
      case 'connecting':
        return `connecting to ${this.#host}`;
      case 'handshaking':
        return `in the TLS handshake with ${this.#host}`;
      case 'open':
        return 'waiting for the response';
    }
  }

  /** Drops the connection, whatever state it is in, and fails what waits on it. Resolves when the socket is closed. */
  discard(reason: Error = new SendFailure('CONNECT', 'the connection was dropped')): Promise<void> {
    if (this.#discarded === null) {
      this.#discarded = this.client.destroy(reason).then(this.#gone);
      this.#socket?.destroy();
    }
    return this.#discarded;
  }

  /** undici's connector: makes the socket, and lets none pass that leads to a blocked address. */
  #connect({ hostname, port, protocol }: buildConnector.Options, done: buildConnector.Callback): void {
    const secure = protocol === 'https:';
    this.stage = 'resolving';
    this.#written = 0;
    this.#laps = {};
    this.#lapAt = this.#rim.clock.monotonic();
    if (isIP(hostname) !== 0) {
      // Sockets look up names only: a literal address has to be judged here.
      const reason = this.#rim.policy.check(hostname);
      if (reason !== null) {
        queueMicrotask(() => done(blocked(hostname, [reason]), null));
        return;
      }
      this.stage = 'connecting';
    }
    const target = {
      host: hostname,
      port: Number(port) || (secure ? 443 : 80),
      lookup: this.#lookup,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
    };
    const socket = secure ? connectTls({ ...target, ...this.#tlsOptions(hostname) }) : connectTcp(target);
    this.#socket = socket.setNoDelay(true).setKeepAlive(true, MINUTE);
    this.#watch(socket, secure, done);
  }

  #tlsOptions(hostname: string) {
    const servername = isIP(hostname) === 0 ? hostname.replace(/\.$/, '') : undefined;
    return { servername, secureContext: this.#rim.secureContext, ALPNProtocols: ['http/1.1'] };
  }

  /** Calls `done` once, when the socket can carry requests or never will. */
  #watch(socket: Socket, secure: boolean, done: buildConnector.Callback): void {
    let isDone = false;
    const fail = (error: Error) => {
      if (isDone) return;
      isDone = true;
      done(this.#connectFailure(error), null);
    };
    const succeed = () => {
      if (isDone || socket.destroyed) return;
      isDone = true;
      this.stage = 'open';
      if (secure) this.#lap('tlsMs');
      this.#openedAt = this.#rim.clock.monotonic();
      done(null, socket);
    };
    socket.once('connect', () => {
      this.stage = 'handshaking';
      this.#lap('connectMs');
      const problem = this.#judgePeer(socket);
      if (problem !== null) socket.destroy(problem);
      else if (!secure) succeed();
    });
    if (secure) socket.once('secureConnect', succeed);
    // Stays for the life of the socket: an error nobody listens to would end the process.
    socket.on('error', fail);
    socket.once('close', () => fail(new Error('closed')));
  }

  /** Looks at where the socket has really arrived, whatever was asked for. */
  #judgePeer(socket: Socket): SendFailure | null {
    const { remoteAddress } = socket;
    // The system has forgotten the peer of a connection that was reset at once.
    if (remoteAddress === undefined) return new SendFailure('CONNECT', `the connection was closed at once by ${this.#host}`);
    const reason = this.#rim.policy.check(remoteAddress);
    return reason === null ? null : blocked(this.#host, [reason]);
  }

  #lap(step: keyof Laps): void {
    const now = this.#rim.clock.monotonic();
    this.#laps[step] = Math.round(now - this.#lapAt);
    this.#lapAt = now;
  }

  #connectFailure(error: NodeJS.ErrnoException): SendFailure {
    if (error instanceof SendFailure) return error;
    if (this.stage === 'handshaking') return new SendFailure('TLS', `TLS handshake with ${this.#host} failed: ${error.message}`);
    return new SendFailure('CONNECT', refusal(error, this.#host));
  }

  /** Runs inside each connection attempt of a socket, so that a name is judged by the very answer that is used. */
  readonly #lookup: LookupFunction = (hostname, options, callback) => {
    this.#allowedAddresses(hostname).then(
      (addresses) => {
        this.stage = 'connecting';
        this.#lap('dnsMs');
        const [first] = addresses;
        if (options.all) callback(null, addresses);
        else callback(null, first?.address ?? '', first?.family);
      },
      (error: Error) => callback(error, []),
    );
  };

  async #allowedAddresses(hostname: string): Promise<{ address: string; family: number }[]> {
    const found = await this.#rim.lookup(hostname).catch((error: NodeJS.ErrnoException) => {
      throw new SendFailure('DNS', `cannot resolve ${hostname}: ${error.code ?? error.message}`);
    });
    if (found.length === 0) throw new SendFailure('DNS', `cannot resolve ${hostname}: no address`);
    const reasons = new Set<string>();
    const allowed = found.slice(0, MAX_ADDRESSES).filter((address) => {
      const reason = this.#rim.policy.check(address);
      if (reason !== null) reasons.add(reason);
      return reason === null;
    });
    if (allowed.length === 0) throw blocked(hostname, reasons);
    return allowed.map((address) => ({ address, family: isIP(address) }));
  }
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
class Call implements Dispatcher.DispatchHandler {
  readonly #request: OutgoingRequest;
  readonly #clock: Clock;
  readonly #pool: Pool;
  readonly #finish: (exchange: Exchange) => void;
  readonly #startedAt: number;
  #writtenAt = 0;
  #firstByteMs: number | null = null;
  #cancelDeadline: Cancel | null = null;
  #origin = '';
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
  #truncated = false;

  constructor(request: OutgoingRequest, clock: Clock, pool: Pool, finish: (exchange: Exchange) => void) {
    this.#request = request;
    this.#clock = clock;
    this.#pool = pool;
    this.#finish = finish;
    this.#startedAt = clock.monotonic();
  }

  start(target: Target | null): void {
    const { method = 'POST', headers, body, timeoutMs } = this.#request;
    if (target === null) {
      this.#settle('PAYLOAD_ERROR', 'the request could not be built: its URL is not valid');
      return;
    }
    this.#origin = target.origin;
    this.#options = { path: target.path, method, headers: flatten(headers), body };
    this.#cancelDeadline = this.#clock.after(timeoutMs, () => this.#expire());
    this.#dispatch(this.#pool.take(target.origin));
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
    if (statusCode < 200) return true;
    this.#statusCode = statusCode;
    this.#headers = headers;
    return true;
  }

  onData(chunk: Buffer): boolean {
    if (this.#settled) return true;
    const room = MAX_RESPONSE_BODY_BYTES - this.#bodyLength;
    this.#keep(chunk.length > room ? chunk.subarray(0, room) : chunk);
    if (chunk.length > room) {
      this.#truncated = true;
      this.#settleByStatus();
      this.#drop();
    }
    return true;
  }

  onComplete(): void {
    if (this.#settled || this.#connection === null) return;
    this.#settleByStatus();
    this.#pool.release(this.#connection);
  }

  onError(error: Error): void {
    if (this.#settled) return;
    const failure = classify(error, this.#connection?.endedByReceiver ?? false);
    this.#drop();
    if (failure.outcome === 'CONNECT' && this.#onUsedSocket && !this.#answered && !this.#resent) {
      this.#resent = true;
      this.#onUsedSocket = false;
      this.#dispatch(this.#pool.open(this.#origin));
      return;
    }
    this.#settle(failure.outcome, failure.message);
  }

  #expire(): void {
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

interface Target {
  readonly origin: string;
  readonly path: string;
}

function readTarget(url: string): Target | null {
  try {
    const { origin, pathname, search } = new URL(url);
    return { origin, path: pathname + search };
  } catch {
    return null;
  }
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

/** Names no address that a lookup brought: the error is shown to tenants, who must not map a private network by it. */
function blocked(host: string, reasons: Iterable<string>): SendFailure {
  return new SendFailure('BLOCKED_ADDRESS', `webhooks may not reach ${host} (${[...reasons].join(', ')})`);
}

/** Why no connection came about. Of several addresses tried, the first one's reason. */
function refusal(error: Error, host: string): string {
  const first: NodeJS.ErrnoException & { address?: string; port?: number } = error instanceof AggregateError ? error.errors[0] : error;
  const peer = first.address === undefined ? host : `${isIP(first.address) === 6 ? `[${first.address}]` : first.address}:${first.port}`;
  switch (first.code) {
    case 'ECONNREFUSED':
      return `connection refused by ${peer}`;
    case 'ETIMEDOUT':
      return `no answer from ${peer}`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `no route to ${peer}`;
    default:
      return `cannot connect to ${peer}: ${first.code ?? first.message}`;
  }
}

/** undici's codes for a request that breaks HTTP's rules before any byte of it is sent. */
const UNSENDABLE = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH']);

/**
 * What a failure on an open connection means. An answer that is not HTTP, or breaks its limits, is the receiver's
 * mistake as much as a 500 and thus HTTP_ERROR; one that ends too early is a lost connection.
 */
function classify(error: NodeJS.ErrnoException, endedByReceiver: boolean): Failure {
  if (error instanceof SendFailure) return error;
  const code = error.code ?? '';
  if (UNSENDABLE.has(code)) return { outcome: 'PAYLOAD_ERROR', message: `the request could not be built: ${error.message}` };
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') return { outcome: 'TLS', message: `TLS failed: ${error.message}` };
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return httpError(`more than ${MAX_RESPONSE_HEADER_BYTES} bytes of headers`);
  // The two 1xx that undici does not skip. We never send what would ask for them.
  if (error.message === 'bad response') return httpError('an unexpected 100 Continue');
  if (error.message === 'bad upgrade') return httpError('an unexpected 101 Switching Protocols');
  if (endedByReceiver) return { outcome: 'CONNECT', message: 'the connection was closed before the response was complete' };
  if (isMalformed(error)) return httpError(`something that is not HTTP/1.1: ${error.message}`);
  return { outcome: 'CONNECT', message: `the connection was lost before the response was complete: ${error.code ?? error.message}` };
}

/** What undici's parser finds wrong, or an assertion in it that an answer out of turn trips. */
function isMalformed(error: NodeJS.ErrnoException): boolean {
  if (error instanceof errors.HTTPParserError || error instanceof errors.ResponseContentLengthMismatchError) return true;
  return error.code === 'ERR_ASSERTION';
}

function httpError(what: string): Failure {
  return { outcome: 'HTTP_ERROR', message: `the receiver answered ${what}` };
}

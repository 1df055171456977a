import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import { type buildConnector, Client } from 'undici';
import { type Clock, MINUTE, SECOND, sleep } from '../../../clock';
import type { Log } from '../../../log';
import type { AddressPolicy } from '../../../net/address-policy';
import { type EgressProxy, TunnelRefused, tunnelThrough } from '../../../net/egress-proxy';
import type { Lookup } from '../../../net/system-lookup';
import type { ClientCertificate } from '../../../webhooks/credentials';
import { blocked, proxyFailure, ReceivedTooMuch, refusal, SendFailure, unresolved } from './failure';
import type { ReadBudget } from './read-budget';
import { tlsReason } from './tls-reason';

/** Node's own limit. Each header costs far more memory than bytes, so a hostile receiver gets no more than this. */
export const MAX_RESPONSE_HEADER_BYTES = 16 * 1_024;
/**
 * Everything that comes over the wire for one exchange: 1xx answers, line breaks, chunk extensions, trailers, padding of
 * TLS. Four times the body that is kept, so that an honest one of small chunks is not cut before it.
 */
export const MAX_RECEIVED_BYTES_PER_EXCHANGE = 256 * 1_024;

/** Below the 5 s after which Node, Apache and uvicorn close an idle connection, to meet few that are just closing. */
const IDLE_MS = 4 * SECOND;
/** The longest that a receiver's `keep-alive: timeout=` may ask for. */
const MAX_IDLE_MS = MINUTE;
/** After this a connection takes no more requests: a busy one would never notice that the name has moved. */
const MAX_CONNECTION_AGE_MS = 5 * MINUTE;
/** Of one name's addresses, how many are tried: a hostile zone may list thousands. */
const MAX_ADDRESSES = 8;
/** The proxy is asked for one after the other. */
const MAX_ADDRESSES_BY_PROXY = 3;
/** How long one of several addresses may take to accept. Node's 250 ms gives up on receivers a continent away. */
const ADDRESS_ATTEMPT_MS = SECOND;
/** A name that brings no address that may be reached fails at a multiple of this: how fast it did says nothing about why. */
const UNRESOLVED_STEP_MS = 250;

/** What every connection needs from outside. */
export interface Rim {
  readonly policy: AddressPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly lookup: Lookup;
  readonly secureContext: (certificate: ClientCertificate | null) => SecureContext;
  readonly readBudget: ReadBudget;
  /** Null: connections are made directly. */
  readonly proxy: EgressProxy | null;
}

/** Where a connection leads, and what it shows there. */
export interface Route {
  /** Requests with the same key may share connections. */
  readonly key: string;
  readonly origin: string;
  readonly clientCertificate: ClientCertificate | null;
}

/** How long the steps of making a connection took, in milliseconds; one that has not ended is absent. */
type Laps = Partial<Record<'dnsMs' | 'connectMs' | 'tlsMs', number>>;

export const NOT_MADE: Laps = {};

/** How far a connection has come; a timeout names it. */
type Stage = 'resolving' | 'connecting' | 'handshaking' | 'open';

/**
 * One connection, used by one exchange at a time: an undici `Client` and the socket under it. undici's own pool can
 * neither limit idle connections apart from busy ones nor give up a connection that is still being made.
 */
export class Connection {
  readonly route: Route;
  readonly client: Client;
  stage: Stage = 'resolving';
  /** Whose request it was opened for. */
  readonly #applicationId: string;
  readonly #rim: Rim;
  readonly #host: string;
  readonly #gone: () => void;
  /** What requests are written to. */
  #socket: Socket | null = null;
  /** The socket that meets the network: the same one, or the one under TLS. */
  #wire: { readonly bytesRead?: number; destroy(): unknown } | null = null;
  /** What had come over the wire when the present exchange began. */
  #receivedBefore = 0;
  /** Requests written to the present socket. */
  #written = 0;
  #openedAt = 0;
  #laps: Laps = {};
  /** When the present step of making the connection began. */
  #lapAt = 0;
  #discarded: Promise<void> | null = null;
  #tlsError: Error | null = null;

  constructor({ route, applicationId }: { route: Route; applicationId: string }, rim: Rim, on: { lost: () => void; gone: () => void }) {
    const { origin } = route;
    this.route = route;
    this.#applicationId = applicationId;
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
      connect: (target, done) => {
        this.#connect(target).then(
          (socket) => done(null, socket),
          (error: Error) => done(error, null),
        );
      },
    });
    this.client.on('disconnect', on.lost);
  }

  /** Notes that a request is being written, and says whether the socket has carried one before. */
  noteWrite(): boolean {
    this.#written += 1;
    this.#receivedBefore = this.#wire?.bytesRead ?? 0;
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

  /** undici forgets an alert for the end of the connection that follows it, such as one that asks for a client certificate. */
  get tlsError(): Error | null {
    return this.#tlsError;
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
      this.#wire?.destroy();
    }
    return this.#discarded;
  }

  /** undici's connector: makes the socket, and lets none pass that leads to a blocked address. */
  async #connect({ hostname, port, protocol }: buildConnector.Options): Promise<Socket> {
    const secure = protocol === 'https:';
    const portNumber = Number(port) || (secure ? 443 : 80);
    this.#checkWritten(hostname, portNumber);
    this.stage = 'resolving';
    this.#written = 0;
    this.#laps = {};
    this.#lapAt = this.#rim.clock.monotonic();
    const addresses = isIP(hostname) === 0 ? await this.#resolve(hostname) : [this.#checked(hostname)];
    this.#refuseIfDiscarded();
    this.stage = 'connecting';
    const { proxy } = this.#rim;
    const wire = await (proxy === null ? this.#reach(addresses, portNumber) : this.#tunnel(proxy, addresses, portNumber));
    this.#lap('connectMs');
    const socket = secure ? await this.#handshake(wire, hostname) : wire;
    this.stage = 'open';
    this.#openedAt = this.#rim.clock.monotonic();
    this.#socket = socket;
    this.#countWhatComes(socket, wire);
    return socket;
  }

  /** What the owner of a webhook has written himself: he may know that it is blocked. */
  #checkWritten(hostname: string, port: number): void {
    const { policy } = this.#rim;
    const badPort = policy.checkPort(port);
    if (badPort !== null) throw blocked(`port ${port}`, badPort);
    const badHost = policy.checkHost(hostname);
    if (badHost !== null) throw blocked(hostname, badHost);
  }

  #checked(address: string): string {
    const reason = this.#rim.policy.check(address);
    if (reason !== null) throw blocked(address, reason);
    return address;
  }

  /** The addresses of a name that may be reached. A connection is made to these alone, so that no second answer counts. */
  async #resolve(hostname: string): Promise<string[]> {
    const { policy, clock, log, lookup } = this.#rim;
    const since = clock.monotonic();
    let found: readonly string[] = [];
    let problem = 'no address';
    try {
      found = await lookup(hostname, this.#applicationId);
    } catch (error) {
      problem = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    }
    const reasons = new Set<string>();
    const allowed = found.slice(0, MAX_ADDRESSES).filter((address) => {
      const reason = policy.check(address);
      if (reason !== null) reasons.add(reason);
      return reason === null;
    });
    if (allowed.length > 0) {
      this.#lap('dnsMs');
      return allowed;
    }
    if (reasons.size > 0) log.warn({ hostname, addresses: found.slice(0, MAX_ADDRESSES), reasons: [...reasons] }, 'target.blocked');
    else log.info({ hostname, problem }, 'target.unresolved');
    await sleep(clock, UNRESOLVED_STEP_MS - ((clock.monotonic() - since) % UNRESOLVED_STEP_MS));
    throw unresolved(hostname);
  }

  /** An open TCP connection to the first of these addresses that accepts. */
  async #reach(addresses: readonly string[], port: number): Promise<Socket> {
    const found = addresses.map((address) => ({ address, family: isIP(address) }));
    const socket = connectTcp({
      host: this.#host,
      port,
      lookup: (_hostname, { all }, callback) => {
        if (all) callback(null, found);
        else callback(null, found[0]?.address ?? '', found[0]?.family);
      },
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
    });
    this.#wire = socket.setNoDelay(true).setKeepAlive(true, MINUTE);
    try {
      await established(socket, 'connect');
    } catch (error) {
      throw new SendFailure('CONNECT', refusal(error as Error, this.#host));
    }
    const problem = this.#judgePeer(socket);
    if (problem === null) return socket;
    socket.destroy();
    throw problem;
  }

  /** A tunnel to the first of these addresses that the proxy reaches; IPv4 first, since many proxies have no other. */
  async #tunnel(proxy: EgressProxy, addresses: readonly string[], port: number): Promise<Socket> {
    const ordered = [...addresses].sort((one, other) => isIP(one) - isIP(other)).slice(0, MAX_ADDRESSES_BY_PROXY);
    let failure = new Error('no address');
    for (const address of ordered) {
      const [request, tunnel] = tunnelThrough(proxy, address, port);
      this.#wire = request;
      try {
        const socket = await tunnel;
        this.#refuseIfDiscarded();
        this.#wire = socket.setNoDelay(true).setKeepAlive(true, MINUTE);
        return socket;
      } catch (error) {
        request.destroy();
        this.#refuseIfDiscarded();
        failure = error as Error;
        const { status, reason } = error instanceof TunnelRefused ? error : { status: undefined, reason: failure.message };
        this.#rim.log.warn({ host: this.#host, address, port, status, reason }, 'egress_proxy.failed');
        if (!(error instanceof TunnelRefused && error.isUnreachable)) break;
      }
    }
    throw proxyFailure(failure, this.#host);
  }

  /** Looks at where the socket has really arrived, whatever was asked for. */
  #judgePeer({ remoteAddress }: Socket): SendFailure | null {
    // The system has forgotten the peer of a connection that was reset at once.
    if (remoteAddress === undefined) return new SendFailure('CONNECT', `the connection was closed at once by ${this.#host}`);
    const reason = this.#rim.policy.check(remoteAddress);
    return reason === null ? null : blocked(this.#host, reason);
  }

  async #handshake(wire: Socket, hostname: string): Promise<Socket> {
    this.stage = 'handshaking';
    const socket = connectTls({
      socket: wire,
      // What the certificate has to name. An address is no server name.
      host: hostname,
      servername: isIP(hostname) === 0 ? hostname.replace(/\.$/, '') : '',
      secureContext: this.#secureContext(),
      ALPNProtocols: ['http/1.1'],
    });
    this.#socket = socket;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith('ERR_SSL_')) this.#tlsError ??= error;
    });
    try {
      await established(socket, 'secureConnect');
    } catch (error) {
      throw new SendFailure('TLS', `TLS handshake with ${this.#host} failed: ${tlsReason(error as Error)}`);
    }
    this.#lap('tlsMs');
    return socket;
  }

  #secureContext(): SecureContext {
    try {
      return this.#rim.secureContext(this.route.clientCertificate);
    } catch {
      throw new SendFailure('TLS', 'the client certificate of the webhook cannot be used: set clientCertificate and clientKey again');
    }
  }

  /**
   * undici limits headers and we the body; between and around them a receiver may send what neither sees. Looked at
   * before undici's own listener reads; session tickets are the one thing that TLS takes without end by itself.
   */
  #countWhatComes(socket: Socket, wire: Socket): void {
    const count = () => {
      if (wire.bytesRead - this.#receivedBefore > MAX_RECEIVED_BYTES_PER_EXCHANGE)
        void this.discard(new ReceivedTooMuch(MAX_RECEIVED_BYTES_PER_EXCHANGE));
    };
    this.#receivedBefore = wire.bytesRead;
    this.#rim.readBudget.limit(socket);
    socket.on('readable', count);
    if (socket !== wire) socket.on('session', count);
  }

  #lap(step: keyof Laps): void {
    const now = this.#rim.clock.monotonic();
    this.#laps[step] = Math.round(now - this.#lapAt);
    this.#lapAt = now;
  }

  #refuseIfDiscarded(): void {
    if (this.#discarded !== null) throw new SendFailure('CONNECT', 'the connection was dropped');
  }
}

/** Resolves when the socket has come so far, rejects when it never will. */
function established(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve);
    // Stays for the life of the socket: an error nobody listens to would end the process.
    socket.on('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

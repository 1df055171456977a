import { createSecureContext, rootCertificates, type SecureContext, type SecureContextOptions } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../../clock';
import { type Log, silentLog } from '../../../log';
import type { AddressPolicy } from '../../../net/address-policy';
import type { EgressProxy } from '../../../net/egress-proxy';
import { type Lookup, systemLookup } from '../../../net/system-lookup';
import type { Exchange, OutgoingRequest } from '../exchange';
import { Call, type Pool, readTarget, type Target } from './call';
import { Connection, type Rim, type Route } from './connection';
import { CLOSED, SendFailure } from './failure';
import { ReadBudget } from './read-budget';

const DEFAULT_MAX_IDLE_CONNECTIONS = 1_024;
const MAX_TARGETS = 10_000;
const MAX_SECURE_CONTEXTS = 1_000;

export interface SenderOptions {
  /** Decides which addresses may be reached. Asked about every address of every new connection. */
  readonly policy: AddressPolicy;
  readonly clock: Clock;
  /** Gets what tenants are not told: the addresses of names, answers of the proxy. Default: none. */
  readonly log?: Log;
  /** Default: {@link systemLookup}. */
  readonly lookup?: Lookup;
  /** Every connection goes through it. Default: none. */
  readonly proxy?: EgressProxy | undefined;
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
  /** By the key of its route, used last at the end; one without idle connections has no entry. */
  readonly #idle = new Map<string, Connection[]>();
  #idleCount = 0;
  #inFlight = 0;
  #closed = false;
  readonly #waitingForLast: (() => void)[] = [];
  readonly #targets = new LRUCache<string, Target>({ max: MAX_TARGETS });

  constructor({
    policy,
    clock,
    log = silentLog,
    lookup = systemLookup({ clock }),
    proxy,
    tls,
    maxIdleConnections = DEFAULT_MAX_IDLE_CONNECTIONS,
  }: SenderOptions) {
    const ca = tls?.extraCa === undefined ? undefined : [...rootCertificates, ...tls.extraCa];
    this.#rim = { policy, clock, log, lookup, proxy: proxy ?? null, secureContext: secureContexts(ca), readBudget: new ReadBudget() };
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
    if (target !== null) this.#targets.set(url, target);
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
    take: (route, applicationId) => (this.#closed ? null : (this.#takeIdle(route) ?? this.#open(route, applicationId))),
    open: (route, applicationId) => (this.#closed ? null : this.#open(route, applicationId)),
    release: (connection) => this.#release(connection),
  };

  #open(route: Route, applicationId: string): Connection {
    const connection: Connection = new Connection({ route, applicationId }, this.#rim, {
      lost: () => this.#forgetIdle(connection),
      gone: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    return connection;
  }

  /** The connection used last is the likeliest to be still open, and lets the others run into their idle limit. */
  #takeIdle({ key }: Route): Connection | undefined {
    const idle = this.#idle.get(key);
    const connection = idle?.pop();
    if (idle === undefined || connection === undefined) return undefined;
    if (idle.length === 0) this.#idle.delete(key);
    this.#idleCount -= 1;
    return connection;
  }

  #release(connection: Connection): void {
    if (this.#closed || this.#idleCount >= this.#maxIdle || !connection.reusable()) {
      connection.discard();
      return;
    }
    this.#idleCount += 1;
    const idle = this.#idle.get(connection.route.key);
    if (idle === undefined) this.#idle.set(connection.route.key, [connection]);
    else idle.push(connection);
  }

  #forgetIdle(connection: Connection): void {
    const idle = this.#idle.get(connection.route.key);
    const at = idle?.indexOf(connection) ?? -1;
    if (idle === undefined || at === -1) return;
    idle.splice(at, 1);
    if (idle.length === 0) this.#idle.delete(connection.route.key);
    this.#idleCount -= 1;
    connection.discard();
  }
}

/** Made once each: parsing the root certificates takes longer than a handshake. */
function secureContexts(ca: string[] | undefined): Rim['secureContext'] {
  const make = (options: SecureContextOptions = {}) => createSecureContext({ ca, minVersion: 'TLSv1.2', ...options });
  const plain = make();
  const byId = new LRUCache<string, SecureContext>({ max: MAX_SECURE_CONTEXTS });
  return (shown) => {
    if (shown === null) return plain;
    const { id, certificate, key } = shown;
    const context = byId.get(id) ?? make({ cert: certificate, key });
    byId.set(id, context);
    return context;
  };
}

import type { Socket } from 'node:net';
import type { Release } from './key-limits';

/** Connections beyond the limit that are still taken, to be told so; past them they are dropped. */
const HEADROOM = 0.1;
const MIN_HEADROOM = 16;
/** Of all connections, those over which no valid key has come may be this many. */
const UNAUTHENTICATED_SHARE = 0.5;

/** The key that a connection counts for: the one of the last request that came over it. */
interface Owner {
  readonly keyId: string;
  readonly release: Release;
}

/**
 * The server's TCP connections. Those over which no valid key has come have a share of their own: when it is full, or when
 * there is no other place, the one that is silent longest has to go for each that comes, so that a client that holds connections
 * open without a key holds nobody else's place.
 */
export class Connections {
  readonly #most: number;
  /** What is taken at all. */
  readonly #hardLimit: number;
  readonly #mostUnauthenticated: number;
  readonly #open = new Set<Socket>();
  readonly #unauthenticated = new Set<Socket>();
  readonly #owners = new Map<Socket, Owner>();
  /** Those that came when all places were taken. */
  readonly #overLimit = new Set<Socket>();

  constructor(most: number) {
    this.#most = most;
    this.#hardLimit = most + Math.max(MIN_HEADROOM, Math.ceil(most * HEADROOM));
    this.#mostUnauthenticated = Math.max(1, Math.floor(most * UNAUTHENTICATED_SHARE));
  }

  get open(): number {
    return this.#open.size;
  }

  /** Without a valid key so far. */
  get unauthenticated(): number {
    return this.#unauthenticated.size;
  }

  /**
   * Not `server.maxConnections`: a process that is full by that hands the connection on to its siblings, and when all are
   * full they hand it around for ever, at half a core.
   */
  readonly add = (socket: Socket): void => {
    if (this.#isFull || this.#unauthenticated.size >= this.#mostUnauthenticated) this.#evictOldestUnauthenticated();
    if (this.#open.size >= this.#hardLimit) {
      socket.destroy();
      return;
    }
    if (this.#isFull) this.#overLimit.add(socket);
    this.#open.add(socket);
    this.#unauthenticated.add(socket);
    socket.once('close', () => this.#remove(socket));
  };

  /**
   * A request of a valid key came over it. A reverse proxy sends those of many keys over one: it counts for the last.
   * @throws HubError RATE_LIMITED from `open`, when the key has too many
   */
  introduce(socket: Socket, keyId: string, open: () => Release): void {
    const owner = this.#owners.get(socket);
    if (owner?.keyId === keyId || !this.#open.has(socket)) return;
    this.#owners.set(socket, { keyId, release: open() });
    owner?.release();
    this.#unauthenticated.delete(socket);
  }

  /** There is no place for it: it may be told so, and nothing else. */
  isOverLimit(socket: Socket): boolean {
    return this.#overLimit.has(socket);
  }

  get #isFull(): boolean {
    return this.#open.size - this.#overLimit.size >= this.#most;
  }

  /** Those that are to be told that there is no place go by themselves. */
  #evictOldestUnauthenticated(): void {
    for (const oldest of this.#unauthenticated) {
      if (this.#overLimit.has(oldest)) continue;
      this.#remove(oldest);
      oldest.destroy();
      return;
    }
  }

  #remove(socket: Socket): void {
    if (!this.#open.delete(socket)) return;
    this.#unauthenticated.delete(socket);
    this.#owners.get(socket)?.release();
    this.#owners.delete(socket);
    if (this.#overLimit.delete(socket)) return;
    const [next] = this.#overLimit;
    if (next) this.#overLimit.delete(next);
  }
}

import type { Socket } from 'node:net';

/** Connections beyond the limit that are still taken, to be told so; past them they are dropped. */
const HEADROOM = 0.1;
const LEAST_HEADROOM = 16;
/** Of all connections, those over which no valid key has come may be this many. */
const STRANGERS = 0.5;

/**
 * The server's TCP connections. Those over which no valid key has come have a share of their own: when it is full, the
 * one that is silent longest has to go for each that comes, so that whoever holds connections open without a key holds
 * nobody else's place.
 */
export class Connections {
  readonly #most: number;
  /** What is taken at all. */
  readonly #hardLimit: number;
  readonly #mostStrangers: number;
  #open = 0;
  readonly #strangers = new Set<Socket>();
  /** Those that came when all places were taken. */
  readonly #surplus = new Set<Socket>();

  constructor(most: number) {
    this.#most = most;
    this.#hardLimit = most + Math.max(LEAST_HEADROOM, Math.ceil(most * HEADROOM));
    this.#mostStrangers = Math.max(1, Math.floor(most * STRANGERS));
  }

  get open(): number {
    return this.#open;
  }

  /** Without a valid key so far. */
  get strangers(): number {
    return this.#strangers.size;
  }

  /**
   * Not `server.maxConnections`: a process that is full by that hands the connection on to its siblings, and when all are
   * full they hand it around for ever, at half a core.
   */
  readonly add = (socket: Socket): void => {
    if (this.#open >= this.#hardLimit) {
      socket.destroy();
      return;
    }
    this.#open++;
    this.#strangers.add(socket);
    if (this.#open - this.#surplus.size > this.#most) this.#surplus.add(socket);
    socket.once('close', () => this.#remove(socket));
    const [oldest] = this.#strangers;
    if (oldest === undefined || this.#strangers.size <= this.#mostStrangers) return;
    this.#strangers.delete(oldest);
    oldest.destroy();
  };

  /** A valid key came over it. */
  introduce(socket: Socket): void {
    this.#strangers.delete(socket);
  }

  /** There is no place for it: it may be told so, and nothing else. */
  isSurplus(socket: Socket): boolean {
    return this.#surplus.has(socket);
  }

  #remove(socket: Socket): void {
    this.#open--;
    this.#strangers.delete(socket);
    if (this.#surplus.delete(socket)) return;
    const [next] = this.#surplus;
    if (next) this.#surplus.delete(next);
  }
}

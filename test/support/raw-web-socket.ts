import { once } from 'node:events';
import { WebSocket } from 'ws';

export interface Message {
  readonly type: string;
  readonly id?: string;
  readonly payload?: unknown;
}

/** A WebSocket without a library that would keep to the protocol. */
export class RawWebSocket {
  readonly #socket: WebSocket;
  readonly #messages: Message[] = [];
  readonly #closed: Promise<{ code: number; reason: string }>;
  #wake: (() => void) | undefined;
  #take: ((message: Message) => void) | undefined;

  /** `baseUrl` as `http://127.0.0.1:4000`; nothing is sent yet. */
  static async open(baseUrl: string, protocols: string | string[] = 'graphql-transport-ws'): Promise<RawWebSocket> {
    const socket = new WebSocket(new URL('/graphql', baseUrl.replace(/^http/, 'ws')), protocols);
    const raw = new RawWebSocket(socket);
    await once(socket, 'open');
    return raw;
  }

  /** As `open`, and lets itself in with a key. */
  static async connect(baseUrl: string, key: string): Promise<RawWebSocket> {
    const raw = await RawWebSocket.open(baseUrl);
    raw.send({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } });
    await raw.next((message) => message.type === 'connection_ack');
    return raw;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.#closed = new Promise((resolve) => socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })));
    socket.on('error', () => {}); // 'close' follows
    socket.on('message', (data) => {
      const message = JSON.parse(data.toString()) as Message;
      if (this.#take) return this.#take(message);
      this.#messages.push(message);
      this.#wake?.();
    });
  }

  send(message: unknown): void {
    this.#socket.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  subscribe(id: string, query: unknown, more: Record<string, unknown> = {}): void {
    this.send({ id, type: 'subscribe', payload: { query, ...more } });
  }

  /** Takes the first message that fits, and leaves the others. */
  async next(fits: (message: Message) => boolean = () => true): Promise<Message> {
    for (;;) {
      const index = this.#messages.findIndex(fits);
      const [found] = index < 0 ? [] : this.#messages.splice(index, 1);
      if (found) return found;
      const gone = await Promise.race([this.#arrival(), this.#closed]);
      if (gone) throw new Error(`the socket was closed with ${gone.code} ${gone.reason} while a message was waited for`);
    }
  }

  /** Hands every message that comes from now on to `take`, for tests that would not want to keep them. */
  each(take: (message: Message) => void): void {
    this.#take = take;
  }

  /** Resolves when the socket is closed. */
  get closed(): Promise<{ code: number; reason: string }> {
    return this.#closed;
  }

  /** Resolves after the next ping of the server, which is answered. */
  async pinged(): Promise<void> {
    await once(this.#socket, 'ping');
  }

  /** Stops reading from the network, as a client does that is busy or hostile. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.close();
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #arrival(): Promise<undefined> {
    return new Promise((resolve) => {
      this.#wake = () => resolve(undefined);
    });
  }
}

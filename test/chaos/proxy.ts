import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What to do with the next COMMIT: cut its connection before the server sees it, or after it has answered. */
export type Loss = 'before' | 'after';

/** A packet of the MySQL protocol: its length and number, the command, the statement. Others may leave along with it. */
const COMMIT = Buffer.from('\x07\0\0\0\x03COMMIT', 'latin1');

/** Stands between one hub and the database, and is the network that fails. */
export class DatabaseProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;
  #isStalled = false;
  #loss: Loss | undefined;
  #lost: (() => void) | undefined;

  static async to(port: number): Promise<DatabaseProxy> {
    const server = createServer();
    const proxy = new DatabaseProxy(server, port);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  private constructor(server: Server, port: number) {
    this.#server = server;
    server.on('connection', (outer) => this.#join(outer, port));
  }

  /** The database's URL by way of here. */
  url(direct: string): string {
    const url = new URL(direct);
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  /** Ends all connections and takes no more. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Keeps all connections open and lets no byte through. */
  stall(): void {
    this.#isStalled = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Everything passes again; what was held up, in its order. */
  heal(): void {
    this.#isCut = false;
    this.#isStalled = false;
    this.#loss = undefined;
    for (const socket of this.#sockets) socket.resume();
  }

  /** Cuts at the next COMMIT; resolves when that has happened. */
  loseCommit(loss: Loss): Promise<void> {
    this.#loss = loss;
    return new Promise((resolve) => (this.#lost = resolve));
  }

  async close(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  #join(outer: Socket, port: number): void {
    if (this.#isCut) return void outer.destroy();
    const inner = connect(port, '127.0.0.1');
    let isSwallowing = false;
    const end = () => {
      for (const socket of [inner, outer]) {
        this.#sockets.delete(socket);
        socket.destroy();
      }
    };
    for (const socket of [inner, outer]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true).on('error', end).on('close', end);
    }
    outer.on('data', (chunk: Buffer) => {
      const loss = this.#lossOf(chunk);
      if (loss === 'before') return end();
      if (loss === 'after') isSwallowing = true;
      inner.write(chunk);
    });
    inner.on('data', (chunk: Buffer) => (isSwallowing ? end() : void outer.write(chunk)));
    if (this.#isStalled) for (const socket of [inner, outer]) socket.pause();
  }

  #lossOf(chunk: Buffer): Loss | undefined {
    const loss = this.#loss;
    if (loss === undefined || !chunk.includes(COMMIT)) return undefined;
    this.#loss = undefined;
    this.#lost?.();
    return loss;
  }
}

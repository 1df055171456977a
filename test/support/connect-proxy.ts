import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

/** What the proxy does with a request for a tunnel; nothing: it makes it. */
type Answer = (request: IncomingMessage, socket: Socket) => 'answered' | undefined;

/** An HTTP proxy that makes tunnels, or fails in the way that a test wants. */
export class ConnectProxy {
  /** The targets of all tunnels that were asked for, such as `127.0.0.1:8080`. */
  readonly asked: string[] = [];
  readonly headers: IncomingMessage['headers'][] = [];
  readonly sockets = new Set<Socket>();
  readonly #server: Server = createServer((_request, response) => response.writeHead(405).end());
  answer: Answer = () => undefined;

  static async start(): Promise<ConnectProxy> {
    const proxy = new ConnectProxy();
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor() {
    this.#server.on('connection', (socket) => this.#keep(socket));
    this.#server.on('connect', (request, socket: Socket) => {
      this.asked.push(request.url ?? '');
      this.headers.push(request.headers);
      if (this.answer(request, socket) === undefined) this.#tunnel(request.url ?? '', socket);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  #tunnel(authority: string, socket: Socket): void {
    const at = authority.lastIndexOf(':');
    const target = connect(Number(authority.slice(at + 1)), authority.slice(0, at).replace(/^\[|\]$/g, ''));
    this.#keep(target);
    target.once('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(target).pipe(socket);
    });
    target.once('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
    for (const [one, other] of [
      [socket, target],
      [target, socket],
    ] as const)
      one.once('close', () => other.destroy());
  }

  #keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.sockets.delete(socket));
  }
}

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly outer: Socket;
  readonly inner: Socket;
}

/**
 * Stands between a hub and its MySQL server like a network or proxy that stalls when told to: it takes connections and
 * bytes, passes nothing on, and closes nothing, until it is told to go on. What it holds meanwhile it passes on then.
 */
export class StallingProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #isStalled = false;
  #held: (() => void)[] = [];
  /** At the next COMMIT it stalls by itself: before the server sees it, or when it has answered. */
  stallAtCommit: 'before' | 'after' | undefined;
  /** Everything takes so much longer, each way. */
  delayMs = 0;

  static async to(port: number): Promise<StallingProxy> {
    const proxy = new StallingProxy(port);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor(port: number) {
    this.#server = createServer((outer) => {
      const pair = { outer, inner: connect(port, '127.0.0.1') };
      this.#pairs.add(pair);
      // Whoever gives up is not heard of at the other end either, as long as everything stalls.
      const end = () => this.#pass(() => this.#cut(pair));
      for (const socket of [outer, pair.inner]) socket.on('error', end).on('close', end);
      let isAwaited = false;
      outer.on('data', (chunk: Buffer) => {
        const isCommit = chunk.subarray(5).toString('latin1') === 'COMMIT';
        if (isCommit && this.stallAtCommit === 'before') this.stall();
        isAwaited = isCommit && this.stallAtCommit === 'after';
        this.#pass(() => pair.inner.write(chunk));
      });
      pair.inner.on('data', (chunk: Buffer) => {
        if (isAwaited) this.stall();
        isAwaited = false;
        this.#pass(() => outer.write(chunk));
      });
    }).listen(0, '127.0.0.1');
  }

  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** The address of the server behind it, by way of this proxy. */
  url(direct: string): string {
    const url = new URL(direct);
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  stall(): void {
    this.#isStalled = true;
    this.stallAtCommit = undefined;
  }

  /** Passes on what was held, and whatever comes. */
  goOn(): void {
    this.#isStalled = false;
    for (const pass of this.#held.splice(0)) pass();
  }

  /** Forgets what was held and cuts every connection; new ones work. */
  cutAndGoOn(): void {
    this.#held = [];
    for (const pair of this.#pairs) this.#cut(pair);
    this.#isStalled = false;
  }

  async close(): Promise<void> {
    this.cutAndGoOn();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pass(step: () => void): void {
    if (this.#isStalled) this.#held.push(step);
    else if (this.delayMs > 0) setTimeout(step, this.delayMs);
    else step();
  }

  #cut(pair: Pair): void {
    this.#pairs.delete(pair);
    pair.inner.destroy();
    pair.outer.destroy();
  }
}

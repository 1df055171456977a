import type { Socket } from 'node:net';

/**
 * What receivers send costs up to 0.5 µs a byte to parse: chunks of one byte, 1xx answers. A thousand of them that
 * answer at the same moment would hold the event loop for as long as all of it takes; so it is parsed in turns.
 */
const MAX_BYTES_READ_PER_TURN = 128 * 1_024;
/**
 * undici goes on parsing what it was given after it has found a mistake: of headers beyond its limit each costs an error
 * with its stack, and 64 KiB of them 145 ms. A destroyed connection gets no second piece.
 */
const MAX_BYTES_PER_READ = 1_024;

/** Lets all connections together read so much in one turn of the event loop; the rest waits for the next. */
export class ReadBudget {
  #left = MAX_BYTES_READ_PER_TURN;
  #isRenewing = false;
  readonly #waiting = new Set<Socket>();

  /** From now on `socket.read()` answers null while the budget is used up, as if nothing had come yet. */
  limit(socket: Socket): void {
    const read = socket.read.bind(socket);
    socket.read = (size?: number) => {
      // With a size it is the stream asking itself for more.
      if (size !== undefined) return read(size);
      if (socket.destroyed) return null;
      if (this.#left <= 0) {
        this.#waiting.add(socket);
        return null;
      }
      // Without a size where nothing is there: that is how a stream finds its end.
      const chunk: Buffer | null = socket.readableLength === 0 ? read() : read(Math.min(socket.readableLength, MAX_BYTES_PER_READ));
      if (chunk !== null) this.#spend(chunk.length);
      return chunk;
    };
  }

  #spend(bytes: number): void {
    this.#left -= bytes;
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    setImmediate(() => this.#renew());
  }

  #renew(): void {
    this.#left = MAX_BYTES_READ_PER_TURN;
    this.#isRenewing = false;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const socket of waiting) if (!socket.destroyed) socket.emit('readable');
  }
}

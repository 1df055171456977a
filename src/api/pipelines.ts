import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests that may wait behind the one that is worked on. Clients that pipeline at all send a handful ahead. */
const MAX_PIPELINED_PER_CONNECTION = 100;

interface Waiting {
  readonly response: ServerResponse;
  readonly start: () => void;
}

/**
 * Of each connection one request after the other is worked on, as their answers have to come in that order anyway: all at
 * once, ten thousand requests of 1.3 MB each, sent ahead by a client that read no answer, took 1.7 GB and then the process.
 */
export class Pipelines {
  readonly #waiting = new Map<Socket, Waiting[]>();

  /** Starts at once, or when what came before over `socket` is answered and taken; never, when that ends the connection. */
  add(socket: Socket, response: ServerResponse, start: () => void): void {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) {
      this.#waiting.set(socket, []);
      this.#run(socket, { response, start });
    } else if (waiting.length < MAX_PIPELINED_PER_CONNECTION) waiting.push({ response, start });
    else socket.destroy();
  }

  #run(socket: Socket, { response, start }: Waiting): void {
    response.once('close', () => {
      const next = socket.writable ? this.#waiting.get(socket)?.shift() : undefined;
      if (next) this.#run(socket, next);
      else this.#waiting.delete(socket);
    });
    start();
  }
}

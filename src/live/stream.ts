/**
 * An async iterator over steps that may wait. An `async function*` would keep `return()` waiting behind a pending
 * `next()`, and with it everything that a client who left has open; here `return()` settles it at once.
 */
export class Stream<T> implements AsyncIterableIterator<T> {
  readonly #step: () => Promise<T | undefined>;
  #close: () => void;
  #isDone = false;
  #endPending: (() => void) | undefined;

  /** `step` gives the next value or undefined at the end; `close` lets go of what it holds, and is called once. */
  constructor(step: () => Promise<T | undefined>, close: () => void) {
    this.#step = step;
    this.#close = close;
  }

  async next(): Promise<IteratorResult<T>> {
    if (this.#isDone) return { done: true, value: undefined };
    const ended = new Promise<undefined>((resolve) => {
      this.#endPending = () => resolve(undefined);
    });
    try {
      const value = await Promise.race([this.#step(), ended]);
      if (!this.#isDone && value !== undefined) return { done: false, value };
    } catch (error) {
      this.#finish();
      throw error;
    }
    this.#finish();
    return { done: true, value: undefined };
  }

  /** Calls `step` when the stream ends, or at once when it has. */
  whenClosed(step: () => void): this {
    const close = this.#close;
    this.#close = () => {
      close();
      step();
    };
    if (this.#isDone) step();
    return this;
  }

  async return(): Promise<IteratorResult<T>> {
    this.#finish();
    return { done: true, value: undefined };
  }

  async throw(error?: unknown): Promise<IteratorResult<T>> {
    this.#finish();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #finish(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#close();
    this.#endPending?.();
  }
}

/**
 * An async iterator over steps that may wait. An `async function*` would keep `return()` waiting behind a pending
 * `next()`, and with it everything that a client who left has open; here `return()` settles it at once.
 */
export class Stream<T> implements AsyncIterableIterator<T> {
  readonly #step: () => Promise<T | undefined>;
  #close: () => void;
  #isDone = false;
  #endPending: (() => void) | undefined;
  readonly #takeSome: (() => Promise<readonly T[]>) | undefined;

  /**
   * `step` gives the next value or undefined at the end; `close` lets go of what it holds, and is called once.
   * `takeSome` gives what is there, none at the end, and ends when it is closed.
   */
  constructor(step: () => Promise<T | undefined>, close: () => void, takeSome?: () => Promise<readonly T[]>) {
    this.#step = step;
    this.#close = close;
    this.#takeSome = takeSome;
  }

  /** What is there, at least one value; none at the end. */
  async take(): Promise<readonly T[]> {
    if (this.#takeSome === undefined || this.#isDone) {
      const { done, value } = await this.next();
      return done ? [] : [value];
    }
    try {
      const values = await this.#takeSome();
      if (values.length > 0 && !this.#isDone) return values;
    } catch (error) {
      this.#finish();
      throw error;
    }
    this.#finish();
    return [];
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

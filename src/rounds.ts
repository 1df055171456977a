import type { Cancel, Clock } from './clock';

interface Options {
  readonly clock: Clock;
  /** From the end of one round to the beginning of the next. */
  readonly everyMs: number;
  readonly round: () => Promise<unknown>;
  /** A round has failed; the next one comes all the same. */
  readonly failed: (error: Error) => void;
}

/** Work that is done now and then, one round at a time, until it is stopped. */
export class Rounds {
  readonly #options: Options;
  #cancelTimer: Cancel | undefined;
  #running: Promise<void> | undefined;
  #isWantedAgain = false;
  #isStopping = false;

  constructor(options: Options) {
    this.#options = options;
  }

  /** For long rounds: whether to leave off. */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** The first round comes in `everyMs`. */
  start(): void {
    if (this.#isStopping) return;
    const { clock, everyMs } = this.#options;
    this.#cancelTimer = clock.after(everyMs, () => this.now());
  }

  /** A round now, or once more right after the one that is under way. */
  now(): void {
    if (this.#isStopping) return;
    if (this.#running) {
      this.#isWantedAgain = true;
      return;
    }
    this.#cancelTimer?.();
    const { round, failed } = this.#options;
    this.#running = round()
      .then(() => {}, failed)
      .finally(() => {
        this.#running = undefined;
        const isWanted = this.#isWantedAgain;
        this.#isWantedAgain = false;
        if (isWanted) this.now();
        else this.start();
      });
  }

  /** Resolves when the round that is under way has ended. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelTimer?.();
    await this.#running;
  }
}

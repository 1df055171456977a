import type { Cancel, Clock } from './clock';

interface Options {
  readonly clock: Clock;
  /** From the end of one round to the beginning of the next, where nobody asks for one sooner. */
  readonly everyMs: number;
  /** `isTimely`: its time has come, or somebody asked for a whole round; otherwise for a part of one. */
  readonly round: (isTimely: boolean) => Promise<unknown>;
  /** A round has failed; the next one comes all the same. */
  readonly failed: (error: Error) => void;
}

/** Work that is done now and then, and when somebody asks for it: one round at a time, until it is stopped. */
export class WakeableLoop {
  readonly #options: Options;
  #cancelTimer: Cancel | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;
  #isAsked = false;
  #isTimely = false;
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
    this.wakeIn(this.#options.everyMs);
  }

  /** A whole round now, or right after the one that is under way. */
  wake(): void {
    this.#isTimely = true;
    this.ask();
  }

  /** A round now, or right after the one that is under way, of which only what was asked for has to be done. */
  ask(): void {
    this.#isAsked = true;
    if (this.#isStopping) return;
    this.#running ??= this.#run();
  }

  /** A whole round in so many milliseconds, unless one is planned before. */
  wakeIn(delayMs: number): void {
    const { clock } = this.#options;
    const dueAt = clock.monotonic() + delayMs;
    if (this.#isStopping || dueAt >= this.#dueAt) return;
    this.#cancelTimer?.();
    this.#dueAt = dueAt;
    this.#cancelTimer = clock.after(delayMs, () => this.wake());
  }

  /** Resolves when the round that is under way has ended. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { round, failed, everyMs } = this.#options;
    while (this.#isAsked && !this.#isStopping) {
      const isTimely = this.#isTimely;
      this.#isAsked = false;
      this.#isTimely = false;
      if (isTimely) this.#unplan();
      await round(isTimely).then(
        () => {},
        (error: Error) => failed(error),
      );
    }
    this.#running = undefined;
    this.wakeIn(everyMs);
  }

  #unplan(): void {
    this.#cancelTimer?.();
    this.#dueAt = Number.POSITIVE_INFINITY;
  }
}

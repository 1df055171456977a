import type { Clock } from '../clock';

const MAX_MS_PER_TURN = 10;

/**
 * SQLite works in the thread that asks it, and its answers come in the same turn of the event loop: one transaction
 * after the other, each begun by a promise of the one before, is one turn. A thousand requests that time out at the same
 * moment were 1.7 s of them, for which nothing was sent, received or answered.
 */
export class LoopTurn {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** Of the turn's first piece of work. */
  #startedAt: number | undefined;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Whether what comes next should wait for another turn. Ask before each piece of work, and again after waiting. */
  get isOver(): boolean {
    const now = this.#clock.monotonic();
    if (this.#startedAt !== undefined) return now - this.#startedAt >= MAX_MS_PER_TURN;
    this.#startedAt = now;
    setImmediate(() => {
      this.#startedAt = undefined;
    });
    return false;
  }
}

import type { Clock } from '../clock';

const MAX_MS_PER_TURN = 10;

/** Urgent: writes, and reads that every request waits for. */
export type Urgency = 'urgent' | 'usual';

/**
 * SQLite works in the thread that asks it, and its answers come in the same turn of the event loop: one transaction
 * after the other, each begun by a promise of the one before, is one turn. A thousand requests that time out at the same
 * moment were 1.7 s of them, for which nothing was sent, received or answered.
 *
 * What has to wait goes on in the order it came, one in each turn, the urgent and the usual by turns: beside 160
 * reads of one caller's queries a publish waited for as long as they took, 2.4 s.
 */
export class LoopTurn {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** Of the turn's first piece of work. */
  #startedAt: number | undefined;
  readonly #waiting = { urgent: [] as (() => void)[], usual: [] as (() => void)[] };
  #next: Urgency = 'urgent';

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Before each piece of work. Undefined: it may begin at once; else it may when this resolves. */
  take(urgency: Urgency): Promise<void> | undefined {
    if (!this.#isOver) return undefined;
    return new Promise((resolve) => this.#waiting[urgency].push(resolve));
  }

  get #isOver(): boolean {
    if (this.#startedAt !== undefined) return this.#clock.monotonic() - this.#startedAt >= MAX_MS_PER_TURN;
    this.#begin();
    return false;
  }

  #begin(): void {
    this.#startedAt = this.#clock.monotonic();
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#startedAt = undefined;
    const { urgent, usual } = this.#waiting;
    const [first, second] = this.#next === 'urgent' ? [urgent, usual] : [usual, urgent];
    const queue = first.length > 0 ? first : second;
    const go = queue.shift();
    if (go === undefined) return;
    this.#next = queue === urgent ? 'usual' : 'urgent';
    this.#begin();
    go();
  }
}

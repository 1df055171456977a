import { setImmediate as turn } from 'node:timers/promises';
import type { Cancel, Clock } from '../../src/clock';

interface Timer {
  readonly dueAt: number;
  readonly step: () => void;
}

/**
 * A clock that a test moves by hand. It starts at a fixed date; pass `Date.now()` where something judges
 * timestamps by the real time, as the `standardwebhooks` library does.
 */
export class FakeClock implements Clock {
  readonly #startedAt: number;
  #elapsed = 0;
  /** In the order they were set: among timers due at the same instant the oldest goes first. */
  readonly #timers = new Set<Timer>();

  constructor(startedAt = Date.UTC(2026, 0, 31, 12)) {
    this.#startedAt = startedAt;
  }

  now(): number {
    return this.#startedAt + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(delayMs: number, step: () => void): Cancel {
    const timer = { dueAt: this.#elapsed + Math.max(delayMs, 0), step };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** How many timers are set and have not run. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves time by `ms`, running each timer at its own instant, those that it sets within the span included. */
  advance(ms: number): void {
    const end = this.#elapsed + ms;
    while (this.#runNext(end));
    this.#elapsed = end;
  }

  /** As `advance`, and lets promises settle before, between and after the timers: for loops that `await sleep(clock, …)`. */
  async advanceAsync(ms: number): Promise<void> {
    const end = this.#elapsed + ms;
    do await turn();
    while (this.#runNext(end));
    this.#elapsed = end;
    await turn();
  }

  #runNext(end: number): boolean {
    const timer = this.#earliest();
    if (!timer || timer.dueAt > end) return false;
    this.#timers.delete(timer);
    this.#elapsed = timer.dueAt;
    timer.step();
    return true;
  }

  #earliest(): Timer | undefined {
    let earliest: Timer | undefined;
    for (const timer of this.#timers) {
      if (!earliest || timer.dueAt < earliest.dueAt) earliest = timer;
    }
    return earliest;
  }
}

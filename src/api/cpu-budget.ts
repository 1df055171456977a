import { type Clock, SECOND } from '../clock';
import { HubError } from '../errors';

interface Settings {
  /** Of CPU time that may be used up at once, in milliseconds. */
  readonly burstMs: number;
  /** And over time, a second. */
  readonly perSecondMs: number;
}

/** What a piece of work has used so far. */
export interface Meter {
  add(tookMs: number): void;
  /** Runs a step, and adds what it took. */
  run<T>(step: () => T): T;
}

/**
 * A token bucket of CPU time, which all share who have no valid key. What a piece of work takes is known when it is done:
 * each pays an estimate before it begins, and the rest as it goes. The next have to wait until a debt is paid off.
 */
export class CpuBudget {
  readonly #clock: Clock;
  readonly #settings: Settings;
  #tokensMs: number;
  #filledAt: number;

  constructor(clock: Clock, settings: Settings) {
    this.#clock = clock;
    this.#settings = settings;
    this.#tokensMs = settings.burstMs;
    this.#filledAt = clock.monotonic();
  }

  /** @throws HubError RATE_LIMITED before anything is done */
  begin(estimateMs: number): Meter {
    this.#fill();
    if (this.#tokensMs < estimateMs) throw this.#refusal(estimateMs);
    this.#tokensMs -= estimateMs;
    let prepaidMs = estimateMs;
    const add = (tookMs: number) => {
      const paidMs = Math.min(prepaidMs, tookMs);
      prepaidMs -= paidMs;
      this.#tokensMs -= tookMs - paidMs;
    };
    const run = <T>(step: () => T): T => {
      const began = this.#clock.monotonic();
      try {
        return step();
      } finally {
        add(this.#clock.monotonic() - began);
      }
    };
    return { add, run };
  }

  #fill(): void {
    const now = this.#clock.monotonic();
    const { burstMs, perSecondMs } = this.#settings;
    this.#tokensMs = Math.min(burstMs, this.#tokensMs + ((now - this.#filledAt) / SECOND) * perSecondMs);
    this.#filledAt = now;
  }

  #refusal(estimateMs: number): HubError {
    const waitSeconds = Math.max(1, Math.ceil((estimateMs - this.#tokensMs) / this.#settings.perSecondMs));
    return new HubError('RATE_LIMITED', `Requests without a valid key take too much time: try again in ${waitSeconds} s.`, waitSeconds);
  }
}

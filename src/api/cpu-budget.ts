import { type Clock, SECOND } from '../clock';
import { HubError } from '../errors';
import { type Bucket, charged, fullBucket, type Rate, refilled, waitMs } from '../token-bucket';

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
  /** A token is a millisecond. */
  readonly #rate: Rate;
  #bucket: Bucket;

  constructor(clock: Clock, { burstMs, perSecondMs }: Settings) {
    this.#clock = clock;
    this.#rate = { perSecond: perSecondMs, burst: burstMs };
    this.#bucket = fullBucket(this.#rate, clock.monotonic());
  }

  /** @throws HubError RATE_LIMITED before anything is done */
  begin(estimateMs: number): Meter {
    const now = this.#clock.monotonic();
    const wait = waitMs(this.#bucket, this.#rate, now, estimateMs);
    if (wait > 0) throw refusal(wait);
    this.#bucket = charged(refilled(this.#bucket, this.#rate, now), estimateMs);
    let prepaidMs = estimateMs;
    const add = (tookMs: number) => {
      const paidMs = Math.min(prepaidMs, tookMs);
      prepaidMs -= paidMs;
      this.#bucket = charged(this.#bucket, tookMs - paidMs);
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
}

function refusal(waitMs: number): HubError {
  const waitSeconds = Math.ceil(waitMs / SECOND);
  return new HubError('RATE_LIMITED', `Requests without a valid key take too much time: try again in ${waitSeconds} s.`, waitSeconds);
}

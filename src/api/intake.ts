import type { Caller } from '../applications/api-keys';
import { HubError } from '../errors';
import { LIMITS } from './limits';

const RETRY_AFTER_SECONDS = 1;

/** What one request holds of the intake, until it is answered. */
export interface Holding {
  /** The most bytes that the request may have. */
  readonly mostBytes: number;
  readonly bytes: number;
  /** @throws HubError RATE_LIMITED when requests hold too much already */
  take(bytes: number): void;
  release(): void;
}

/**
 * Bytes of requests that are being read or worked on, over all connections. Those without a valid key have an
 * allowance of their own, so that they fill nobody else's.
 */
export class Intake {
  readonly #known = new Allowance(LIMITS.intakeBytes);
  readonly #strangers = new Allowance(LIMITS.strangersIntakeBytes);

  get bytes(): number {
    return this.#known.bytes + this.#strangers.bytes;
  }

  hold(caller: Caller | null): Holding {
    return caller === null ? new Held(this.#strangers, LIMITS.strangerRequestBytes) : new Held(this.#known, LIMITS.requestBytes);
  }
}

class Allowance {
  readonly #most: number;
  bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  take(bytes: number): void {
    if (this.bytes + bytes > this.#most)
      throw new HubError(
        'RATE_LIMITED',
        `Requests under way are too large together: try again in ${RETRY_AFTER_SECONDS} s.`,
        RETRY_AFTER_SECONDS,
      );
    this.bytes += bytes;
  }
}

class Held implements Holding {
  readonly mostBytes: number;
  readonly #allowance: Allowance;
  bytes = 0;

  constructor(allowance: Allowance, mostBytes: number) {
    this.#allowance = allowance;
    this.mostBytes = mostBytes;
  }

  take(bytes: number): void {
    this.#allowance.take(bytes);
    this.bytes += bytes;
  }

  release(): void {
    this.#allowance.bytes -= this.bytes;
    this.bytes = 0;
  }
}

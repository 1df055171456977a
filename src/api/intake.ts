import { type Caller, holderOf } from '../applications/api-keys';
import { HubError } from '../errors';
import { FairShare } from '../fair-share';
import type { Release } from './key-limits';
import { LIMITS } from './limits';
import { SubscriptionMemory } from './subscription-memory';

const RETRY_AFTER_SECONDS = 1;

/** What one request holds of the intake, until it is answered. */
export interface Holding {
  /** The most bytes that the request may have. */
  readonly mostBytes: number;
  readonly bytes: number;
  /**
   * What to do when this request, whose sender has no valid key, has to make room for a newer one. Undefined: it is read
   * and under way, and keeps what it has.
   */
  evicted: ((reason: HubError) => void) | undefined;
  /** @throws HubError RATE_LIMITED when its application's requests, or all together, hold too much already */
  take(bytes: number): void;
  /**
   * The request is a subscription that is about to run: it holds nothing of the intake any more, but memory.
   * @throws HubError RATE_LIMITED when subscriptions hold too much already
   */
  keepForSubscription(document: object, documentChars: number): void;
  release(): void;
}

/**
 * Bytes of requests that are being read or worked on, over all connections, divided between applications. Those without a
 * valid key have an allowance of their own, in which the newest find room: 320 bodies that stall would otherwise keep
 * everyone out who is about to send a key over a new WebSocket.
 */
export class Intake {
  readonly #known = new FairShare(LIMITS.intakeBytes);
  readonly #subscriptions = new SubscriptionMemory();
  readonly #unauthenticated = new Allowance(LIMITS.unauthenticatedIntakeBytes);

  /** Without those of subscriptions that run. */
  get bytes(): number {
    return this.#known.total + this.#unauthenticated.bytes;
  }

  get subscriptionBytes(): number {
    return this.#subscriptions.bytes;
  }

  hold(caller: Caller | null): Holding {
    if (caller === null) return new UnauthenticatedHolding(this.#unauthenticated);
    return new KnownHolding(holderOf(caller), this.#known, this.#subscriptions);
  }
}

class KnownHolding implements Holding {
  readonly mostBytes = LIMITS.requestBytes;
  readonly #holder: string;
  readonly #subscriptions: SubscriptionMemory;
  readonly #share: FairShare;
  #leaveMemory: Release | undefined;
  evicted = undefined;
  bytes = 0;

  constructor(holder: string, share: FairShare, subscriptions: SubscriptionMemory) {
    this.#holder = holder;
    this.#share = share;
    this.#subscriptions = subscriptions;
  }

  take(bytes: number): void {
    if (!this.#share.take(this.#holder, bytes)) throw tooLarge('Requests under way are too large together');
    this.bytes += bytes;
  }

  keepForSubscription(document: object, documentChars: number): void {
    const leaveMemory = this.#subscriptions.take(this.#holder, { messageChars: this.bytes, document, documentChars });
    this.release();
    this.#leaveMemory = leaveMemory;
  }

  release(): void {
    this.#share.giveBack(this.#holder, this.bytes);
    this.bytes = 0;
    this.#leaveMemory?.();
    this.#leaveMemory = undefined;
  }
}

class Allowance {
  readonly #most: number;
  readonly #oldestFirst = new Set<UnauthenticatedHolding>();
  bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** For `newest`, at the cost of those that have been there for longest without getting to their end. */
  take(newest: UnauthenticatedHolding, bytes: number): void {
    if (this.bytes + bytes > this.#most) this.#makeRoom(newest, bytes);
    this.bytes += bytes;
    this.#oldestFirst.add(newest);
  }

  giveBack(holding: UnauthenticatedHolding): void {
    this.bytes -= holding.bytes;
    this.#oldestFirst.delete(holding);
  }

  #makeRoom(newest: UnauthenticatedHolding, bytes: number): void {
    for (const oldest of this.#oldestFirst) {
      if (oldest !== newest && oldest.evicted) oldest.evict();
      if (this.bytes + bytes <= this.#most) return;
    }
    throw tooLarge('Requests without a valid key are too large together');
  }
}

class UnauthenticatedHolding implements Holding {
  readonly mostBytes = LIMITS.unauthenticatedRequestBytes;
  readonly #allowance: Allowance;
  evicted: ((reason: HubError) => void) | undefined;
  bytes = 0;

  constructor(allowance: Allowance) {
    this.#allowance = allowance;
  }

  take(bytes: number): void {
    this.#allowance.take(this, bytes);
    this.bytes += bytes;
  }

  evict(): void {
    this.release();
    const { evicted } = this;
    this.evicted = undefined;
    evicted?.(tooLarge('Requests without a valid key are too large together, and this one has been unfinished for longest'));
  }

  /** Nothing runs without a key. */
  keepForSubscription(): void {}

  release(): void {
    this.#allowance.giveBack(this);
    this.bytes = 0;
  }
}

function tooLarge(what: string): HubError {
  return new HubError('RATE_LIMITED', `${what}: try again in ${RETRY_AFTER_SECONDS} s.`, RETRY_AFTER_SECONDS);
}

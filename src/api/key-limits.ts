import { type Caller, holderOf } from '../applications/api-keys';
import { type Clock, SECOND } from '../clock';
import { HubError } from '../errors';
import { FairShare } from '../fair-share';

export interface KeyLimitSettings {
  /** That this instance has open at most. */
  readonly connections: number;
  /** Over which the last request of one key has come, whatever the transport. */
  readonly connectionsPerKey: number;
  /** Subscriptions that may run on this instance. */
  readonly subscriptions: number;
  readonly subscriptionsPerKey: number;
  /** Undefined: as many as come. */
  readonly requestsPerSecond: number | undefined;
}

/** Lets go of what was taken; calling it again does nothing. */
export type Release = () => void;

const RETRY_AFTER_SECONDS = 1;
/** Of keys that asked within the last second: beyond it the one that asked longest ago begins anew. */
const MAX_PACED_KEYS = 10_000;
/** What sums of fractions may be off by, in milliseconds. */
const ROUNDING = 1e-6;

/** What one key may have open and ask for on this instance. Other instances count for themselves. */
export class KeyLimits {
  readonly #connections: Shares;
  readonly #subscriptions: Shares;
  readonly #pace: Pace | undefined;

  constructor(clock: Clock, { connections, connectionsPerKey, subscriptions, subscriptionsPerKey, requestsPerSecond }: KeyLimitSettings) {
    this.#connections = new Shares('connections', connectionsPerKey, connections);
    this.#subscriptions = new Shares('subscriptions', subscriptionsPerKey, subscriptions);
    this.#pace = requestsPerSecond === undefined ? undefined : new Pace(clock, requestsPerSecond);
  }

  /** Subscriptions that run. */
  get subscriptions(): number {
    return this.#subscriptions.total;
  }

  /** Keys of which something is remembered. */
  get keys(): number {
    return Math.max(this.#connections.keys, this.#subscriptions.keys, this.#pace?.keys ?? 0);
  }

  /** @throws HubError RATE_LIMITED */
  openConnection(caller: Caller): Release {
    return this.#connections.take(caller);
  }

  /** @throws HubError RATE_LIMITED */
  openSubscription(caller: Caller): Release {
    return this.#subscriptions.take(caller);
  }

  /**
   * One request of a key; those without a valid key share the pace of one. Admin keys are the operator's own.
   * @throws HubError RATE_LIMITED
   */
  request(caller: Caller | null): void {
    if (caller === null || caller.applicationId !== null) this.#pace?.take(caller?.apiKey.id ?? '');
  }
}

/** How many of something each key has open, and each application. A key that has none is forgotten. */
class Shares {
  readonly #what: string;
  readonly #mostPerKey: number;
  readonly #held = new Map<string, number>();
  readonly #byHolder: FairShare;

  constructor(what: string, mostPerKey: number, most: number) {
    this.#what = what;
    this.#mostPerKey = mostPerKey;
    this.#byHolder = new FairShare(most);
  }

  get total(): number {
    return this.#byHolder.total;
  }

  get keys(): number {
    return this.#held.size;
  }

  take(caller: Caller): Release {
    const keyId = caller.apiKey.id;
    const holder = holderOf(caller);
    if (this.#of(keyId) >= this.#mostPerKey) throw tooMany(`A key has at most ${this.#mostPerKey} ${this.#what} open at a time.`);
    if (!this.#byHolder.take(holder, 1))
      throw tooMany(`The hub has at most ${this.#byHolder.most} ${this.#what} open at a time, divided between applications.`);
    this.#add(keyId, 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#add(keyId, -1);
      this.#byHolder.giveBack(holder, 1);
    };
  }

  #of(keyId: string): number {
    return this.#held.get(keyId) ?? 0;
  }

  #add(keyId: string, change: 1 | -1): void {
    const held = this.#of(keyId) + change;
    if (held === 0) this.#held.delete(keyId);
    else this.#held.set(keyId, held);
  }
}

/** A token bucket a key, of a second's worth, as the one number that says all of it: when the bucket is full again. */
class Pace {
  readonly #clock: Clock;
  readonly #perSecond: number;
  /** By when a key asked last. */
  readonly #fullAt = new Map<string, number>();

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  get keys(): number {
    return this.#fullAt.size;
  }

  take(keyId: string): void {
    const now = this.#clock.monotonic();
    const fullAt = Math.max(now, this.#fullAt.get(keyId) ?? now) + SECOND / this.#perSecond;
    const waitMs = fullAt - now - SECOND;
    if (waitMs > ROUNDING) throw tooMany(`A key may send ${this.#perSecond} requests a second to an instance.`, Math.ceil(waitMs / SECOND));
    this.#fullAt.delete(keyId);
    this.#fullAt.set(keyId, fullAt);
    this.#forget(now);
  }

  /** Two at most for each that comes, so that the map shrinks to the keys of the last second. */
  #forget(now: number): void {
    let looked = 0;
    for (const [keyId, fullAt] of this.#fullAt) {
      if (looked++ === 2 || (fullAt > now && this.#fullAt.size <= MAX_PACED_KEYS)) return;
      this.#fullAt.delete(keyId);
    }
  }
}

function tooMany(message: string, retryAfterSeconds = RETRY_AFTER_SECONDS): HubError {
  return new HubError('RATE_LIMITED', message, retryAfterSeconds);
}

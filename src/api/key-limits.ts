import { type Caller, holderOf } from '../applications/api-keys';
import { type Clock, SECOND } from '../clock';
import { HubError } from '../errors';
import { FairShare } from '../fair-share';
import { type Bucket, fullBucket, isFull, type Rate, taken, waitMs } from '../token-bucket';

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
/** Of keys that asked within the last second: beyond it the one that asked longest ago starts over. */
const MAX_PACED_KEYS = 10_000;

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

/**
 * A token bucket a key, of a second's worth. No LRU cache: a key is forgotten when its bucket is full again, and needs
 * nothing remembered.
 */
class Pace {
  readonly #clock: Clock;
  readonly #rate: Rate;
  /** By when a key asked last. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#rate = { perSecond, burst: perSecond };
  }

  get keys(): number {
    return this.#buckets.size;
  }

  take(keyId: string): void {
    const now = this.#clock.monotonic();
    const bucket = this.#buckets.get(keyId) ?? fullBucket(this.#rate, now);
    const wait = waitMs(bucket, this.#rate, now);
    if (wait > 0) throw tooMany(`A key may send ${this.#rate.perSecond} requests a second to an instance.`, Math.ceil(wait / SECOND));
    this.#buckets.delete(keyId);
    this.#buckets.set(keyId, taken(bucket, this.#rate, now));
    this.#forget(now);
  }

  /** Two at most for each that comes, so that the map shrinks to the keys of the last second. */
  #forget(now: number): void {
    let looked = 0;
    for (const [keyId, bucket] of this.#buckets) {
      if (looked++ === 2 || (this.#buckets.size <= MAX_PACED_KEYS && !isFull(bucket, this.#rate, now))) return;
      this.#buckets.delete(keyId);
    }
  }
}

function tooMany(message: string, retryAfterSeconds = RETRY_AFTER_SECONDS): HubError {
  return new HubError('RATE_LIMITED', message, retryAfterSeconds);
}

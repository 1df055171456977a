import { type Bucket, fullBucket, isFull, type Rate, taken, waitMs } from '../../token-bucket';
import { Ordering } from '../../webhooks/webhook';
import type { LiveWebhook } from '../../webhooks/webhook-cache';
import { type Fleet, quotaOf } from '../instances/quota';
import type { Exchange } from '../transport/exchange';
import { type AimdLimit, grown, narrowest, shrunk, WIDE } from './aimd-limit';
import { type Breaker, breakerAfter, breakerAt, CLOSED, MAX_FAILURES, probing, type Sign } from './circuit-breaker';
import { paceOf } from './pace';
import { retryAfterMs } from './retry-policy';

/** One request that left; handed back with what came of it. */
export interface Ticket {
  readonly isProbe: boolean;
  readonly sentAt: number;
}

/** What this instance does about a receiver that it has to be careful with. */
export type Caution = { readonly kind: 'CIRCUIT_OPEN'; readonly reason: string } | { readonly kind: 'THROTTLED'; readonly reason: string };

/** What a flow goes by: the webhook, and the instances that share what it allows. */
export interface Terms {
  readonly webhook: LiveWebhook;
  readonly fleet: Fleet;
}

/** Of a paced webhook so many seconds' worth is kept in memory; the rest waits in the database, for any instance. */
const QUEUED_SECONDS = 2;

/**
 * What a webhook may be sent now: its rate, what its receiver asked for, its circuit breaker, its limit of requests in flight.
 * Times are milliseconds of a clock that never goes back, but for `endedAt`.
 */
export class FlowControl {
  /** The webhook's version that this was learnt about: a change of it is a fresh start. */
  #version: number;
  #bucket: Bucket | undefined;
  #breaker: Breaker = CLOSED;
  #aimdLimit: AimdLimit = WIDE;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  /** The failure that was last met. */
  #trouble = '';

  constructor(version: number) {
    this.#version = version;
  }

  get isCircuitClosed(): boolean {
    return this.#breaker.state === 'CLOSED';
  }

  /** Forgets what was learnt about an earlier version of the webhook; the pace goes on. */
  follow(version: number): void {
    if (version === this.#version) return;
    this.#version = version;
    this.#breaker = CLOSED;
    this.#aimdLimit = WIDE;
    this.#pausedUntil = Number.NEGATIVE_INFINITY;
  }

  /** Milliseconds for which nothing at all is sent: the breaker is open, or the receiver asked for a pause. */
  heldMs(now: number): number {
    const breaker = breakerAt(this.#breaker, now);
    return Math.max(0, this.#pausedUntil - now, breaker.state === 'OPEN' ? breaker.until - now : 0);
  }

  /** Milliseconds until one more request may leave; 0: now; Infinity: not before one that is under way has ended. */
  waitMs(terms: Terms, inFlight: number, now: number): number {
    const heldMs = this.heldMs(now);
    if (heldMs > 0) return heldMs;
    const most = mostInFlight(terms);
    if (most === 0) return Number.POSITIVE_INFINITY;
    const breaker = breakerAt(this.#breaker, now);
    if (breaker.state === 'HALF_OPEN' && breaker.isProbing) return Number.POSITIVE_INFINITY;
    if (breaker.state === 'CLOSED' && inFlight >= Math.min(most, this.#aimdLimit.limit)) return Number.POSITIVE_INFINITY;
    const pace = paceFor(terms);
    return pace === null ? 0 : waitMs(this.#bucketAt(pace, now), pace, now);
  }

  /** How many deliveries may wait in memory; `most` where nothing slows them. */
  mostQueued(terms: Terms, most: number, now: number): number {
    if (this.heldMs(now) > 0 || mostInFlight(terms) === 0) return 0;
    if (breakerAt(this.#breaker, now).state !== 'CLOSED') return 1;
    const pace = paceFor(terms);
    return pace === null ? most : Math.min(most, Math.ceil(pace.perSecond * QUEUED_SECONDS));
  }

  /** A request leaves. */
  begin(terms: Terms, now: number): Ticket {
    const pace = paceFor(terms);
    if (pace !== null) this.#bucket = taken(this.#bucketAt(pace, now), pace, now);
    this.#breaker = probing(breakerAt(this.#breaker, now));
    return { isProbe: this.#breaker.state === 'HALF_OPEN', sentAt: now };
  }

  /** It has ended. `endedAt`: milliseconds since the epoch, which a `Retry-After` date is judged by. */
  end(
    ticket: Ticket,
    exchange: Exchange,
    { terms, now, endedAt, random }: { terms: Terms; now: number; endedAt: number; random: number },
  ): void {
    const { webhook } = terms;
    if (webhook.version !== this.#version) return; // it was asked of a webhook that has changed since
    const sign = signOf(exchange);
    if (sign === 'FAILED') this.#trouble = exchange.error ?? '';
    const before = this.#breaker.state;
    this.#breaker = breakerAfter(this.#breaker, sign, { isProbe: ticket.isProbe, now, random });
    const most = mostInFlight(terms);
    if (this.#breaker.state === 'OPEN' && before !== 'OPEN') this.#aimdLimit = narrowest(now);
    else if (isOverload(exchange)) this.#aimdLimit = shrunk(this.#aimdLimit, { sentAt: ticket.sentAt, now, most });
    else if (exchange.outcome === 'SUCCESS' && this.#breaker.state === 'CLOSED') this.#aimdLimit = grown(this.#aimdLimit, most);
    this.#pausedUntil = Math.max(this.#pausedUntil, now + pauseMs(exchange, webhook, endedAt));
  }

  /** Nothing was sent after all. */
  abandon({ isProbe }: Ticket, now: number): void {
    this.#breaker = breakerAfter(this.#breaker, 'NOTHING', { isProbe, now, random: 0 });
  }

  /** Whether there is nothing to remember. */
  isNeutral(terms: Terms, now: number): boolean {
    if (this.#breaker !== CLOSED || this.#aimdLimit !== WIDE || this.#pausedUntil > now) return false;
    const pace = paceFor(terms);
    return pace === null || this.#bucket === undefined || isFull(this.#bucket, pace, now);
  }

  /** Why the webhook gets less than it asked for; null: it does not. */
  caution(now: number): Caution | null {
    if (this.#breaker.state !== 'CLOSED')
      return {
        kind: 'CIRCUIT_OPEN',
        reason: `After ${MAX_FAILURES} failures in a row or more (${this.#trouble}) deliveries wait; one at a time tries whether the receiver is back.`,
      };
    const pauseMs = this.#pausedUntil - now;
    if (pauseMs > 0)
      return { kind: 'THROTTLED', reason: `The receiver asked for a pause: deliveries wait for ${Math.ceil(pauseMs / 1_000)} s more.` };
    if (this.#aimdLimit === WIDE) return null;
    return {
      kind: 'THROTTLED',
      reason: `The receiver is overloaded (${this.#trouble}): at most ${this.#aimdLimit.limit} in flight, more with every round that succeeds.`,
    };
  }

  #bucketAt(pace: Rate, now: number): Bucket {
    this.#bucket ??= fullBucket(pace, now);
    return this.#bucket;
  }
}

/** Requests a second that may leave here; null: unlimited. */
function paceFor({ webhook: { ratePerSecond }, fleet }: Terms): Rate | null {
  return ratePerSecond === null ? null : paceOf(ratePerSecond / fleet.instances);
}

/** Of an ordered webhook one instance sends everything. */
function mostInFlight({ webhook: { id, ordering, maxConcurrency }, fleet }: Terms): number {
  return ordering === Ordering.NONE ? quotaOf(maxConcurrency, id, fleet) : maxConcurrency;
}

/** 429, 502, 504 and time-outs. */
function isOverload({ outcome, statusCode }: Exchange): boolean {
  return outcome === 'TIMEOUT' || (outcome === 'HTTP_ERROR' && (statusCode === 429 || statusCode === 502 || statusCode === 504));
}

function signOf(exchange: Exchange): Sign {
  switch (exchange.outcome) {
    case 'TIMEOUT':
    case 'DNS':
    case 'CONNECT':
    case 'TLS':
      return 'FAILED';
    case 'HTTP_ERROR':
      return isOverload(exchange) ? 'FAILED' : 'ANSWERED';
    case 'SUCCESS':
    case 'REDIRECT':
      return 'ANSWERED';
    case 'BLOCKED_ADDRESS':
    case 'PAYLOAD_ERROR':
      return 'NOTHING';
  }
}

/** What the `Retry-After` of a 429 or 503 asks for, no longer than the schedule's longest delay. */
function pauseMs({ outcome, statusCode, responseHeaders }: Exchange, { retryDelaysMs }: LiveWebhook, endedAt: number): number {
  if (outcome !== 'HTTP_ERROR' || (statusCode !== 429 && statusCode !== 503)) return 0;
  const header = responseHeaders.find(([name]) => name === 'retry-after')?.[1];
  return Math.min(retryAfterMs(header, endedAt), Math.max(0, ...retryDelaysMs));
}

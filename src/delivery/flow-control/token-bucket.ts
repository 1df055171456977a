import { SECOND } from '../../clock';

/** A token bucket: what it held at a time. Each request takes a token; `ratePerSecond` of them come in a second. */
export interface Bucket {
  readonly tokens: number;
  /** Milliseconds of a clock that never goes back. */
  readonly at: number;
}

/**
 * How far a webhook that was late may catch up at once: a tenth of a second's worth, at least one request. A bucket of a
 * whole second's worth would let twice the rate through in the first second, which is what a receiver's own limit refuses.
 */
const BURST_SECONDS = 0.1;

/** The most tokens a bucket holds: N requests take at least (N - burst) / rate seconds, whenever they are counted. */
export const burstOf = (ratePerSecond: number) => Math.max(1, ratePerSecond * BURST_SECONDS);

export function fullBucket(ratePerSecond: number, now: number): Bucket {
  return { tokens: burstOf(ratePerSecond), at: now };
}

/** Milliseconds until a request may leave; 0: now. */
export function paceMs(bucket: Bucket, ratePerSecond: number, now: number): number {
  const missing = 1 - tokensAt(bucket, ratePerSecond, now);
  return missing <= ROUNDING ? 0 : Math.ceil((missing / ratePerSecond) * SECOND);
}

/** The bucket after a request has left. */
export function taken(bucket: Bucket, ratePerSecond: number, now: number): Bucket {
  return { tokens: tokensAt(bucket, ratePerSecond, now) - 1, at: now };
}

export function isFull(bucket: Bucket, ratePerSecond: number, now: number): boolean {
  return tokensAt(bucket, ratePerSecond, now) >= burstOf(ratePerSecond) - ROUNDING;
}

/** What sums of fractions may be off by; no request is let through early by more than a microsecond of it. */
const ROUNDING = 1e-9;

function tokensAt({ tokens, at }: Bucket, ratePerSecond: number, now: number): number {
  return Math.min(burstOf(ratePerSecond), tokens + (Math.max(0, now - at) / SECOND) * ratePerSecond);
}

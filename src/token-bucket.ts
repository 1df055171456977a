import { SECOND } from './clock';

/** What a token bucket held at a time. */
export interface Bucket {
  /** Less than none: a debt, to be paid off first. */
  readonly tokens: number;
  /** Milliseconds of a clock that never goes back. */
  readonly at: number;
}

export interface Rate {
  /** Tokens that come in a second. */
  readonly perSecond: number;
  /** The most tokens a bucket holds: N are taken within no less than (N - burst) / perSecond seconds, whenever they are counted. */
  readonly burst: number;
}

/** What sums of fractions may be off by; nothing is let through early by more than a microsecond of it. */
const ROUNDING = 1e-9;

export function fullBucket({ burst }: Rate, now: number): Bucket {
  return { tokens: burst, at: now };
}

/** Whole milliseconds until so many tokens may be taken; 0: now. */
export function waitMs(bucket: Bucket, rate: Rate, now: number, tokens = 1): number {
  const missing = tokens - tokensAt(bucket, rate, now);
  return missing <= ROUNDING ? 0 : Math.ceil((missing / rate.perSecond) * SECOND);
}

/** The bucket after a token has been taken. */
export function taken(bucket: Bucket, rate: Rate, now: number): Bucket {
  return { tokens: tokensAt(bucket, rate, now) - 1, at: now };
}

/** The same bucket with what has come in since. */
export function refilled(bucket: Bucket, rate: Rate, now: number): Bucket {
  return { tokens: tokensAt(bucket, rate, now), at: now };
}

/** The bucket after so many more have been used, as it turns out later: may leave a debt. */
export function charged({ tokens, at }: Bucket, more: number): Bucket {
  return { tokens: tokens - more, at };
}

export function isFull(bucket: Bucket, rate: Rate, now: number): boolean {
  return tokensAt(bucket, rate, now) >= rate.burst - ROUNDING;
}

function tokensAt({ tokens, at }: Bucket, { perSecond, burst }: Rate, now: number): number {
  return Math.min(burst, tokens + (Math.max(0, now - at) / SECOND) * perSecond);
}

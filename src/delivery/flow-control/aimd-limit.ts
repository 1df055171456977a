/**
 * How many requests a webhook may have in flight, below what it asks for itself: additive increase, multiplicative
 * decrease, as TCP does it.
 */
export interface AimdLimit {
  /** Infinity: as many as the webhook allows. */
  readonly limit: number;
  /** Successes since the limit last changed. */
  readonly successes: number;
  /** When it last shrank; milliseconds of a clock that never goes back. */
  readonly shrunkAt: number;
}

export const WIDE: AimdLimit = { limit: Number.POSITIVE_INFINITY, successes: 0, shrunkAt: Number.NEGATIVE_INFINITY };

/** After an opened breaker: one at a time. */
export function narrowest(now: number): AimdLimit {
  return { limit: 1, successes: 0, shrunkAt: now };
}

/** Halved, once for all requests that were under way together. `most` is the webhook's own `maxConcurrency`. */
export function shrunk(current: AimdLimit, { sentAt, now, most }: { sentAt: number; now: number; most: number }): AimdLimit {
  if (sentAt < current.shrunkAt) return current;
  return { limit: Math.max(1, Math.floor(Math.min(current.limit, most) / 2)), successes: 0, shrunkAt: now };
}

/** One more after a round of successes: as many as may be in flight. */
export function grown(current: AimdLimit, most: number): AimdLimit {
  if (current.limit === Number.POSITIVE_INFINITY) return current;
  const successes = current.successes + 1;
  if (successes < current.limit) return { ...current, successes };
  const limit = current.limit + 1;
  return limit >= most ? WIDE : { ...current, limit, successes: 0 };
}

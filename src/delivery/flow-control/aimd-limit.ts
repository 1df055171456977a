/**
 * How many requests a webhook may have in flight, below what it asks for itself: additive increase, multiplicative
 * decrease, as TCP does it.
 */
export interface Window {
  /** Infinity: as many as the webhook allows. */
  readonly limit: number;
  /** Successes since the limit last changed. */
  readonly successes: number;
  /** When it last shrank; milliseconds of a clock that never goes back. */
  readonly shrunkAt: number;
}

export const WIDE: Window = { limit: Number.POSITIVE_INFINITY, successes: 0, shrunkAt: Number.NEGATIVE_INFINITY };

/** After an opened breaker: one at a time. */
export function narrowest(now: number): Window {
  return { limit: 1, successes: 0, shrunkAt: now };
}

/** Halved, once for all requests that were under way together. `most` is the webhook's own `maxConcurrency`. */
export function shrunk(window: Window, { sentAt, now, most }: { sentAt: number; now: number; most: number }): Window {
  if (sentAt < window.shrunkAt) return window;
  return { limit: Math.max(1, Math.floor(Math.min(window.limit, most) / 2)), successes: 0, shrunkAt: now };
}

/** One more after a round of successes: as many as may be in flight. */
export function grown(window: Window, most: number): Window {
  if (window.limit === Number.POSITIVE_INFINITY) return window;
  const successes = window.successes + 1;
  if (successes < window.limit) return { ...window, successes };
  const limit = window.limit + 1;
  return limit >= most ? WIDE : { ...window, limit, successes: 0 };
}

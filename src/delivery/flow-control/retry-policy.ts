/** Jitter only adds, so that a schedule's delay is the least a receiver waits. */
const MAX_JITTER = 0.1;

export interface FailedAttempt {
  /** 1 for the first attempt of the delivery. */
  readonly number: number;
  /** Milliseconds after the first, second … attempt. */
  readonly delaysMs: readonly number[];
  /** The response's `Retry-After`: whole seconds or an HTTP date. */
  readonly retryAfter: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** From 0 up to 1. */
  readonly random: number;
}

/**
 * How long to wait for the next attempt, in milliseconds, or null when the schedule has run out. `Retry-After` wins
 * where it is later, but no further than the schedule's longest delay.
 */
export function nextDelayMs({ number, delaysMs, retryAfter, now, random }: FailedAttempt): number | null {
  const planned = delaysMs[number - 1];
  if (planned === undefined) return null;
  const asked = Math.min(retryAfterMs(retryAfter, now), Math.max(...delaysMs));
  return Math.round(Math.max(planned * (1 + random * MAX_JITTER), asked));
}

/** 0 when it is absent, past or not understood. */
export function retryAfterMs(header: string | undefined, now: number): number {
  const text = header?.trim() ?? '';
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1_000;
  // An HTTP date begins with its weekday; `Date.parse` alone would take almost anything for a date.
  // All three forms are in GMT; that of asctime does not say so.
  const date = /^[A-Z][a-z]{2,8},? /.test(text) ? Date.parse(text.endsWith('GMT') ? text : `${text} GMT`) : Number.NaN;
  return Number.isNaN(date) ? 0 : Math.max(0, date - now);
}

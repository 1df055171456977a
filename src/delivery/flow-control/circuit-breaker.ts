import { MINUTE, SECOND } from '../../clock';

/**
 * A circuit breaker. Times are milliseconds of a clock that never goes back; `openings` counts how often it has opened
 * since the last answer, which is what the pauses grow by.
 */
export type Breaker =
  | { readonly state: 'CLOSED'; readonly failures: number }
  | { readonly state: 'OPEN'; readonly until: number; readonly openings: number }
  | { readonly state: 'HALF_OPEN'; readonly isProbing: boolean; readonly openings: number };

/** What an attempt says of the receiver: it answered; it is overloaded or away; nothing, as it was not asked. */
export type Sign = 'ANSWERED' | 'FAILED' | 'NOTHING';

export const CLOSED: Breaker = { state: 'CLOSED', failures: 0 };

/** So many failures in a row open it. */
export const MAX_FAILURES = 5;
const FIRST_PAUSE_MS = 1 * SECOND;
const MAX_PAUSE_MS = 1 * MINUTE;
/** Jitter only adds: receivers that serve many webhooks are not probed by all of them at once. */
const MAX_JITTER = 0.1;

/** The breaker as time has left it: one that was open long enough lets a probe through. */
export function breakerAt(breaker: Breaker, now: number): Breaker {
  if (breaker.state !== 'OPEN' || now < breaker.until) return breaker;
  return { state: 'HALF_OPEN', isProbing: false, openings: breaker.openings };
}

/** The one request of a half-open breaker leaves. */
export function probing(breaker: Breaker): Breaker {
  return breaker.state === 'HALF_OPEN' ? { ...breaker, isProbing: true } : breaker;
}

/** Only a probe decides on a breaker that is not closed: what left before it opened is old news. */
export function breakerAfter(
  breaker: Breaker,
  sign: Sign,
  { isProbe, now, random }: { isProbe: boolean; now: number; random: number },
): Breaker {
  switch (breaker.state) {
    case 'OPEN':
      return breaker;
    case 'CLOSED':
      if (sign === 'NOTHING') return breaker;
      if (sign === 'ANSWERED') return CLOSED;
      return breaker.failures + 1 < MAX_FAILURES ? { ...breaker, failures: breaker.failures + 1 } : opened(1, now, random);
    case 'HALF_OPEN':
      if (!isProbe) return breaker;
      if (sign === 'NOTHING') return { ...breaker, isProbing: false };
      return sign === 'ANSWERED' ? CLOSED : opened(breaker.openings + 1, now, random);
  }
}

function opened(openings: number, now: number, random: number): Breaker {
  const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (openings - 1), MAX_PAUSE_MS);
  return { state: 'OPEN', until: now + pauseMs * (1 + random * MAX_JITTER), openings };
}

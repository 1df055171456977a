import type { Rate } from '../../token-bucket';

/**
 * How far a webhook that was late may catch up at once: a tenth of a second's worth, at least one request. A bucket of a
 * whole second's worth would let twice the rate through in the first second, which is what a receiver's own limit refuses.
 */
const BURST_SECONDS = 0.1;

/** The pace of a webhook that may be sent so many requests a second. */
export function paceOf(requestsPerSecond: number): Rate {
  return { perSecond: requestsPerSecond, burst: Math.max(1, requestsPerSecond * BURST_SECONDS) };
}

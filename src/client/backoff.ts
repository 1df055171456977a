/** How long to wait between tries. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

export const BACKOFF: Backoff = { firstMs: 200, mostMs: 30_000 };

/**
 * The delay before a try: doubled each time, and at random between half of it and all of it, so that clients which lost
 * the hub together do not come back together. What the hub has asked for is kept to.
 * @param failures how many tries have failed, from 1
 */
export function delayMs(failures: number, retryAfterSeconds: number | undefined, { firstMs, mostMs }: Backoff, random: number): number {
  const full = Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 30));
  const asked = (retryAfterSeconds ?? 0) * 1_000;
  return Math.round(Math.max(asked, full / 2) + (random * full) / 2);
}

/** Resolves early when `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

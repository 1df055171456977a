export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Cancels a timer; calling it again does nothing. */
export type Cancel = () => void;

/** Time, as everything in the hub sees it; tests pass one that they move by hand. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds from an arbitrary start, never going back: for durations and leases. */
  monotonic(): number;
  /** Runs `step` once after `delayMs`. It does not keep the process alive unless `holdsProcess`. */
  after(delayMs: number, step: () => void, holdsProcess?: boolean): Cancel;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, step, holdsProcess = false) {
    const timer = setTimeout(step, delayMs);
    if (!holdsProcess) timer.unref();
    return () => clearTimeout(timer);
  },
};

/**
 * For work under way that has to wait: the process does not end before it goes on, as it would while shutting down, when
 * nothing else holds it. Resolves after `delayMs`, or at once when `signal` aborts: who waits looks at the signal
 * next anyway.
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(delayMs, done, true);
    signal?.addEventListener('abort', done, { once: true });
  });
}

import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';

const POLL_MS = 5;

type Truthy<T> = Exclude<T, false | 0 | 0n | '' | null | undefined>;

export interface UntilOptions {
  /** What is waited for, as it reads after "waited for". */
  readonly description: string;
  readonly timeoutMs?: number;
}

/** Asks `check` every few milliseconds until it answers something truthy, and returns that. A check that throws counts as "not yet". */
export async function until<T>(check: () => T | Promise<T>, { description, timeoutMs = 45_000 }: UntilOptions): Promise<Truthy<T>> {
  const deadline = performance.now() + timeoutMs;
  let last: Observation<T> = { pending: true };
  do {
    last = await observe(check, deadline);
    if ('value' in last && last.value) return last.value as Truthy<T>;
    await pause(POLL_MS);
  } while (performance.now() < deadline);
  throw new Error(`waited ${timeoutMs} ms for ${description}; ${describe(last)}`, 'error' in last ? { cause: last.error } : undefined);
}

type Observation<T> = { value: T } | { error: unknown } | { pending: true };

/** One look. A check that never settles must not take the time-out's message with it. */
async function observe<T>(check: () => T | Promise<T>, deadline: number): Promise<Observation<T>> {
  const guard = new AbortController();
  const giveUp = pause(Math.max(deadline - performance.now(), POLL_MS), { pending: true } as const, { signal: guard.signal }).catch(
    () => ({ pending: true }) as const,
  );
  const look = Promise.resolve()
    .then(check)
    .then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
  try {
    return await Promise.race([look, giveUp]);
  } finally {
    guard.abort();
  }
}

function describe(last: Observation<unknown>): string {
  if ('value' in last) return `the last value was ${inspect(last.value, { depth: 4, breakLength: 120 })}`;
  if ('error' in last) return `the last look failed with ${inspect(last.error, { depth: 1 })}`;
  return 'the last look never ended';
}

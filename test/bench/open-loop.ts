import { setTimeout as pause } from 'node:timers/promises';
import { monotonicMs } from './monotonic';

const LEAD_MS = 50;

/** Starts `step` at each due moment, until `signal` says enough, whatever has become of those before; resolves when the last has ended. */
export async function openLoop(
  { count, perSecond, signal }: { readonly count: number; readonly perSecond: number; readonly signal?: AbortSignal | undefined },
  step: (dueAt: number, index: number) => Promise<void>,
): Promise<void> {
  const firstAt = monotonicMs() + LEAD_MS;
  const running: Promise<void>[] = [];
  for (let index = 0; index < count && !signal?.aborted; index++) {
    const dueAt = firstAt + (index * 1e3) / perSecond;
    await reach(dueAt);
    running.push(step(dueAt, index));
  }
  await Promise.all(running);
}

/** Timers know whole milliseconds: the rest of one is waited for awake. */
async function reach(at: number): Promise<void> {
  const whole = Math.floor(at - monotonicMs());
  if (whole > 0) await pause(whole);
  while (monotonicMs() < at);
}

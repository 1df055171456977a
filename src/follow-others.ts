import type { Clock } from './clock';
import type { Facts } from './facts';
import type { Topic } from './live/notifier';
import type { Log } from './log';
import { WakeableLoop } from './wakeable-loop';

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

const POLL_MS = 500;

/** Looks at what other instances may have changed: when one of them says so, and every half second. */
export function followOthers({ clock, log, facts }: Deps, topic: Topic, look: () => Promise<unknown>): WakeableLoop {
  const loop = new WakeableLoop({
    clock,
    everyMs: POLL_MS,
    round: look,
    failed: ({ message }) => log.warn({ topic, error: message }, 'follow.failed'),
  });
  facts.changedElsewhere.on((changed) => {
    if (changed.topic === topic || changed.topic === 'everything') loop.wake();
  });
  return loop;
}

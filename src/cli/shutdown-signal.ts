import { type Clock, SECOND } from '../clock';

interface Deps {
  readonly clock: Clock;
  /** Has what is under way end. */
  readonly stop: () => void;
  /** Leaves at once. */
  readonly end: (signal: NodeJS.Signals) => void;
}

/** What comes again so soon is the same signal: npm passes on a Ctrl-C that the process has had already, a service manager tells whole groups. */
const REPEAT_MS = 1 * SECOND;

/** A listener to SIGTERM and SIGINT: the first of them stops, one that comes later ends. */
export function onShutdownSignal({ clock, stop, end }: Deps): (signal: NodeJS.Signals) => void {
  let toldAt: number | undefined;
  return (signal) => {
    if (toldAt === undefined) {
      toldAt = clock.monotonic();
      stop();
    } else if (clock.monotonic() - toldAt >= REPEAT_MS) end(signal);
  };
}

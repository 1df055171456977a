import { type Clock, SECOND } from '../clock';

interface Deps {
  readonly clock: Clock;
  /** Has what is under way end. */
  readonly stop: () => void;
  /** Leaves at once. */
  readonly end: (signal: NodeJS.Signals) => void;
}

/** What comes again so soon is the same wish: npm passes on a Ctrl-C that the process has had already, a service manager tells whole groups. */
const SAME_WISH_MS = 1 * SECOND;

/** A listener to SIGTERM and SIGINT: the first of them stops, one that comes later ends. */
export function wishToEnd({ clock, stop, end }: Deps): (signal: NodeJS.Signals) => void {
  let wishedAt: number | undefined;
  return (signal) => {
    if (wishedAt === undefined) {
      wishedAt = clock.monotonic();
      stop();
    } else if (clock.monotonic() - wishedAt >= SAME_WISH_MS) end(signal);
  };
}

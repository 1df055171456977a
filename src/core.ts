import type { Clock } from './clock';
import type { Config } from './config';
import type { Facts } from './facts';
import type { Log } from './log';
import type { Database } from './store/database';

/** What every module of a hub is made with. */
export interface Core {
  readonly instanceId: string;
  readonly config: Config;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** `Livehook/<version>` */
  readonly userAgent: string;
  readonly facts: Facts;
}

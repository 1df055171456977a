import { setTimeout as pause } from 'node:timers/promises';
import type { Database } from '../../src/store/database';

export interface Held {
  /** Lets go, and resolves when it has. */
  release(): Promise<void>;
}

/**
 * Keeps an application's log of events locked, so that nothing can be appended to it. A transaction that only stands
 * still MariaDB would end.
 */
export async function holdLog(database: Database, applicationId: string): Promise<Held> {
  let isOver = false;
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = () => {
      isOver = true;
      resolve();
    };
  });
  let holding = Promise.resolve();
  await new Promise<void>((locked, failed) => {
    holding = database.transaction(async (tx) => {
      await tx.query("SELECT last_sequence FROM counters WHERE application_id = ? AND log = 'event' FOR UPDATE", [applicationId]);
      locked();
      while (!isOver) {
        await tx.query('SELECT 1');
        await Promise.race([released, pause(200)]);
      }
    });
    holding.catch(failed);
  });
  return {
    release() {
      release();
      return holding;
    },
  };
}

import { type Clock, SECOND } from '../clock';
import type { Log } from '../log';
import { Rounds } from '../rounds';
import type { Database } from '../store/database';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether this instance has the delivery in memory: queued, in flight or waiting to be written. */
  readonly isKnown: (deliveryId: string) => boolean;
  readonly released: () => void;
}

const SWEEP_MS = 15 * SECOND;

/**
 * After a fault (a commit whose answer was lost, a give-back that failed) a delivery may be this instance's in the
 * database and in nobody's memory. Such a stray, seen in two sweeps running, is released.
 */
export class Strays {
  readonly #deps: Deps;
  #suspects = new Set<string>();
  readonly #rounds: Rounds;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#rounds = new Rounds({
      clock: deps.clock,
      everyMs: SWEEP_MS,
      round: () => this.sweep(),
      failed: ({ message }) => deps.log.warn({ error: message }, 'strays.failed'),
    });
  }

  start(): void {
    this.#rounds.start();
  }

  async stop(): Promise<void> {
    await this.#rounds.stop();
  }

  async sweep(): Promise<void> {
    const { database, instanceId, isKnown, log, released } = this.#deps;
    const rows = await database.read.query<{ id: string }>('SELECT id FROM deliveries WHERE owner = ?', [instanceId]);
    const missing = rows.map((row) => row.id).filter((id) => !isKnown(id));
    const strays = missing.filter((id) => this.#suspects.has(id));
    this.#suspects = new Set(missing);
    if (strays.length === 0) return;
    await giveBack(database, instanceId, strays);
    log.warn({ deliveries: strays.length }, 'strays.released');
    released();
  }
}

/** Makes deliveries of this instance anybody's. */
export async function giveBack(database: Database, instanceId: string, deliveryIds: readonly string[]): Promise<void> {
  for (let start = 0; start < deliveryIds.length; start += 1_000)
    await database.transaction((tx) => {
      const { sql, parameters } = tx.dialect.oneOf('id', deliveryIds.slice(start, start + 1_000));
      return tx.execute(`UPDATE deliveries SET owner = '' WHERE ${sql} AND owner = ?`, [...parameters, instanceId]);
    });
}

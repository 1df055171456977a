import type { Clock } from '../../clock';
import type { Facts } from '../../facts';
import { followOthers } from '../../follow-others';
import type { Log } from '../../log';
import type { Database } from '../../store/database';
import type { WakeableLoop } from '../../wakeable-loop';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

const MAX_ROWS_PER_LOOK = 1_000;

/** Carries out what others have cancelled of the deliveries that this instance has in memory. */
export class Cancellations {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#loop = followOthers(deps, 'cancellations', () => this.carryOut());
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async carryOut(): Promise<void> {
    for (let found = MAX_ROWS_PER_LOOK; found === MAX_ROWS_PER_LOOK; ) found = await this.#step();
  }

  async #step(): Promise<number> {
    const { instanceId, database, facts } = this.#deps;
    const rows = await database.read.query<{ delivery_id: string }>(
      `SELECT delivery_id FROM cancellations WHERE owner = ? LIMIT ${MAX_ROWS_PER_LOOK}`,
      [instanceId],
    );
    if (rows.length === 0) return 0;
    const deliveryIds = rows.map((row) => row.delivery_id);
    facts.deliveriesCancelled.emit({ deliveryIds });
    await database.transaction((tx) => {
      const { sql, parameters } = tx.dialect.oneOf('delivery_id', deliveryIds);
      return tx.execute(`DELETE FROM cancellations WHERE ${sql} AND owner = ?`, [...parameters, instanceId]);
    });
    return rows.length;
  }
}

import { type Clock, SECOND } from '../../clock';
import { releaseRows } from '../../deliveries/release-rows';
import type { Facts } from '../../facts';
import type { Log } from '../../log';
import type { Database } from '../../store/database';
import { WakeableLoop } from '../../wakeable-loop';
import type { Dispatcher } from '../dispatcher';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly dispatcher: Pick<Dispatcher, 'has'>;
  readonly facts: Facts;
}

const EVERY_MS = 15 * SECOND;

/**
 * After a fault (a commit whose answer was lost, a release that failed) a delivery may be this instance's in the
 * database and in nobody's memory. One that is orphaned in two rounds running is released.
 */
export class Reconciler {
  readonly #deps: Deps;
  #suspects = new Set<string>();
  readonly #loop: WakeableLoop;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#loop = new WakeableLoop({
      clock: deps.clock,
      everyMs: EVERY_MS,
      round: () => this.reconcile(),
      failed: ({ message }) => deps.log.warn({ error: message }, 'reconcile.failed'),
    });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async reconcile(): Promise<void> {
    const { database, instanceId, dispatcher, log, facts } = this.#deps;
    const rows = await database.read.query<{ id: string }>('SELECT id FROM deliveries WHERE owner = ?', [instanceId]);
    const missing = rows.map((row) => row.id).filter((id) => !dispatcher.has(id));
    const orphaned = missing.filter((id) => this.#suspects.has(id));
    this.#suspects = new Set(missing);
    if (orphaned.length === 0) return;
    await releaseRows(database, instanceId, orphaned);
    log.warn({ deliveries: orphaned.length }, 'orphans.released');
    facts.deliveriesDue.emit({});
  }
}

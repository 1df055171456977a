import { type Clock, SECOND } from '../../clock';
import { releaseRows } from '../../deliveries/release-rows';
import type { Facts } from '../../facts';
import type { Log } from '../../log';
import { nextTurn } from '../../slices';
import type { Database, Queries } from '../../store/database';
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
/** Read in one turn of the event loop. One application may have 131,000 in memory, which held SQLite's for 160 ms at once. */
const ROWS_PER_PAGE = 2_000;

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
    const { database, instanceId, log, facts } = this.#deps;
    const missing = await this.#missing();
    const orphaned = missing.filter((id) => this.#suspects.has(id));
    this.#suspects = new Set(missing);
    if (orphaned.length === 0) return;
    await releaseRows(database, instanceId, orphaned);
    log.warn({ deliveries: orphaned.length }, 'orphans.released');
    facts.deliveriesDue.emit({});
  }

  /** What is this instance's in the database only. */
  async #missing(): Promise<string[]> {
    const { database, instanceId, dispatcher } = this.#deps;
    const missing: string[] = [];
    for await (const ids of ownedIds(database.read, instanceId, this.#loop))
      for (const id of ids) if (!dispatcher.has(id)) missing.push(id);
    return missing;
  }
}

interface OwnedRow {
  readonly id: string;
  readonly webhook_id: string;
}

/** The deliveries of an instance, a page at a time: whole webhooks, in the order of the index. */
async function* ownedIds(read: Queries, owner: string, loop: Pick<WakeableLoop, 'isStopping'>): AsyncIterable<readonly string[]> {
  for (let after = ''; !loop.isStopping; await nextTurn()) {
    const rows = await ownedRows(read, owner, `webhook_id > ? ORDER BY webhook_id LIMIT ${ROWS_PER_PAGE}`, after);
    const last = rows.at(-1)?.webhook_id;
    if (last === undefined) return;
    // A full page may end within a webhook, which is left to the next page; one that fills the page is read by itself.
    const whole = rows.length < ROWS_PER_PAGE ? rows : rows.filter(({ webhook_id }) => webhook_id !== last);
    yield (whole.length > 0 ? whole : await ownedRows(read, owner, 'webhook_id = ?', last)).map(({ id }) => id);
    after = whole.at(-1)?.webhook_id ?? last;
  }
}

function ownedRows(read: Queries, owner: string, which: string, webhookId: string): Promise<OwnedRow[]> {
  const { throughIndex } = read.dialect;
  return read.query(`SELECT id, webhook_id FROM deliveries ${throughIndex('deliveries_due')} WHERE owner = ? AND ${which}`, [
    owner,
    webhookId,
  ]);
}

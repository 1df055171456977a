import { hostname } from 'node:os';
import { type Cancel, type Clock, SECOND } from '../clock';
import type { Log } from '../log';
import type { Database, Tx } from '../store/database';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** The lease was lost for a while and holds again: what is owned may be owned by others now. */
  readonly regained: () => void;
  /** Deliveries of dead instances were released. */
  readonly rescued: () => void;
}

const HEARTBEAT_MS = 3 * SECOND;
/** Without a heartbeat for this long an instance stops sending … */
const LEASE_MS = 9 * SECOND;
/** … and a little later the others take over: within 15 s of its last heartbeat, however their rounds fall. */
const RESCUE_MS = 11 * SECOND;
const MOST_A_STEP = 1_000;

/**
 * Ownership is per instance: as long as its heartbeat is fresh, everything it owns is its own, without a write per
 * delivery. Each instance also watches the others and releases what the dead ones owned.
 */
export class Lease {
  readonly #deps: Deps;
  #beatenAt = Number.NEGATIVE_INFINITY;
  #cancelTimer: Cancel | undefined;
  #running: Promise<void> | undefined;
  #isStopping = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Judged from before the heartbeat was sent, by a clock that nobody sets: never held longer than the others think. */
  isHeld = (): boolean => this.#deps.clock.monotonic() - this.#beatenAt < LEASE_MS;

  async start(): Promise<void> {
    const { database, instanceId, clock } = this.#deps;
    const sentAt = clock.monotonic();
    await database.transaction((tx) => register(tx, instanceId));
    this.#beatenAt = sentAt;
    await this.#rescue();
    this.#schedule();
  }

  /** Releases what is owned here and signs off. */
  async stop(): Promise<void> {
    const { database, instanceId } = this.#deps;
    this.#isStopping = true;
    this.#cancelTimer?.();
    await this.#running;
    await this.#release(instanceId);
    await database.transaction((tx) => tx.execute('DELETE FROM instances WHERE id = ?', [instanceId]));
  }

  #schedule(): void {
    if (this.#isStopping) return;
    this.#cancelTimer = this.#deps.clock.after(HEARTBEAT_MS, () => {
      this.#running = this.#round().finally(() => this.#schedule());
    });
  }

  async #round(): Promise<void> {
    const { log } = this.#deps;
    try {
      await this.#beat();
      await this.#rescue();
    } catch (error) {
      log.warn({ error: (error as Error).message, isLeaseHeld: this.isHeld() }, 'heartbeat.failed');
    }
  }

  async #beat(): Promise<void> {
    const { database, instanceId, clock, log, regained } = this.#deps;
    const wasHeld = this.isHeld();
    const sentAt = clock.monotonic();
    const known = await database.transaction((tx) =>
      tx.execute(`UPDATE instances SET heartbeat_at = ${tx.dialect.now} WHERE id = ?`, [instanceId]),
    );
    if (known === 0) await database.transaction((tx) => register(tx, instanceId));
    this.#beatenAt = sentAt;
    if (wasHeld && known > 0) return;
    log.warn({ instanceId }, 'lease.regained');
    regained();
  }

  /** Whoever owns deliveries without a fresh heartbeat is dead; so is, on a file of this machine, a process that is gone. */
  async #rescue(): Promise<void> {
    const { database, instanceId, log, rescued } = this.#deps;
    // Owners first: one that starts between the two looks is then in the second and not taken for dead.
    const all = await owners(database);
    const live = await liveInstances(database);
    let total = 0;
    for (const owner of all)
      if (owner !== instanceId && !live.has(owner)) {
        const released = await this.#release(owner);
        total += released;
        log.warn({ instanceId: owner, deliveries: released }, 'instance.rescued');
      }
    if (total > 0) rescued();
  }

  async #release(owner: string): Promise<number> {
    const { database } = this.#deps;
    for (let total = 0; ; ) {
      const released = await database.transaction(async (tx) => {
        const rows = await tx.query<{ id: string }>(
          `SELECT id FROM deliveries WHERE owner = ? LIMIT ${MOST_A_STEP} ${tx.dialect.skipLocked}`,
          [owner],
        );
        if (rows.length === 0) return 0;
        const { sql, parameters } = tx.dialect.oneOf(
          'id',
          rows.map((row) => row.id),
        );
        return tx.execute(`UPDATE deliveries SET owner = '' WHERE ${sql} AND owner = ?`, [...parameters, owner]);
      });
      total += released;
      if (released < MOST_A_STEP) return total;
    }
  }
}

async function register(tx: Tx, instanceId: string): Promise<void> {
  await tx.execute(
    `INSERT INTO instances (id, host, pid, started_at, heartbeat_at) VALUES (?, ?, ?, ${tx.dialect.now}, ${tx.dialect.now})`,
    [instanceId, hostname(), process.pid],
  );
}

async function liveInstances(database: Database): Promise<Set<string>> {
  const rows = await database.read.query<{ id: string; host: string; pid: number; age: number }>(
    `SELECT id, host, pid, ${database.dialect.now} - heartbeat_at AS age FROM instances`,
  );
  const live = rows.filter((row) => Number(row.age) < RESCUE_MS && !isGoneProcess(database, row.host, Number(row.pid)));
  const dead = rows.filter((row) => !live.includes(row)).map((row) => row.id);
  if (dead.length > 0)
    await database.transaction(async (tx) => {
      const { sql, parameters } = tx.dialect.oneOf('id', dead);
      await tx.execute(
        `DELETE FROM instances WHERE ${sql} AND heartbeat_at < ${tx.dialect.now} - ${isOneMachine(database) ? -HEARTBEAT_MS : RESCUE_MS}`,
        parameters,
      );
    });
  return new Set(live.map((row) => row.id));
}

/** A SQLite file has its users on one machine, so after a crash the next start need not wait for the lease. */
const isOneMachine = (database: Database) => !database.dialect.supportsManyInstances;

function isGoneProcess(database: Database, host: string, pid: number): boolean {
  if (!isOneMachine(database) || host !== hostname() || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/** Everybody who owns deliveries, stepping along the index. */
async function owners(database: Database): Promise<string[]> {
  const rows = await database.read.query<{ owner: string }>(
    `WITH RECURSIVE owners (owner, n) AS (
       SELECT MIN(owner), 1 FROM deliveries WHERE owner > ''
       UNION ALL
       SELECT (SELECT MIN(d.owner) FROM deliveries d WHERE d.owner > owners.owner), n + 1 FROM owners WHERE owners.owner IS NOT NULL AND n < 500
     )
     SELECT owner FROM owners WHERE owner IS NOT NULL`,
  );
  return rows.map((row) => row.owner);
}

import { hostname } from 'node:os';
import { type Clock, SECOND } from '../clock';
import type { Log } from '../log';
import { Rounds } from '../rounds';
import type { Database, Queries, Tx } from '../store/database';
import { VERSION } from '../version';
import type { Fleet } from './share';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** The lease was lost for a while and holds again: what is owned may be owned by others now. */
  readonly regained: () => void;
  /** Deliveries of dead instances were released. */
  readonly rescued: () => void;
  /** Instances have come or gone. */
  readonly fleetChanged: () => void;
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
  readonly #rounds: Rounds;
  #beatenAt = Number.NEGATIVE_INFINITY;
  #fleet: Fleet = { instances: 1, place: 0 };

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#rounds = new Rounds({
      clock: deps.clock,
      everyMs: HEARTBEAT_MS,
      round: async () => {
        await this.#beat();
        await this.#rescue();
      },
      failed: ({ message }) => deps.log.warn({ error: message, isLeaseHeld: this.isHeld() }, 'heartbeat.failed'),
    });
  }

  /** Judged from before the heartbeat was sent, by a clock that nobody sets: never held longer than the others think. */
  isHeld = (): boolean => this.#deps.clock.monotonic() - this.#beatenAt < LEASE_MS;

  /** Milliseconds since the heartbeat that the lease is judged by; Infinity before the first. */
  get ageMs(): number {
    return this.#deps.clock.monotonic() - this.#beatenAt;
  }

  /** The instances that were alive at the last look, this one included. */
  get fleet(): Fleet {
    return this.#fleet;
  }

  async start(): Promise<void> {
    const { database, instanceId, clock } = this.#deps;
    const sentAt = clock.monotonic();
    await database.transaction((tx) => register(tx, instanceId));
    this.#beatenAt = sentAt;
    await this.#rescue();
    this.#rounds.start();
  }

  /** Releases what is owned here and signs off. Without the database that is left to the others. */
  async stop(): Promise<void> {
    const { database, instanceId, log } = this.#deps;
    await this.#rounds.stop();
    try {
      await this.#release(instanceId);
      await database.transaction((tx) => tx.execute('DELETE FROM instances WHERE id = ?', [instanceId]));
    } catch (error) {
      log.warn({ error: (error as Error).message }, 'lease.not_released');
    }
  }

  async #beat(): Promise<void> {
    const { database, instanceId, clock, log, regained } = this.#deps;
    const sentAt = clock.monotonic();
    const known = await database.transaction((tx) =>
      tx.execute(`UPDATE instances SET heartbeat_at = ${tx.dialect.now} WHERE id = ?`, [instanceId]),
    );
    if (known === 0) await database.transaction((tx) => register(tx, instanceId));
    const wasHeld = this.isHeld(); // up to now: others may have taken over while the heartbeat was on its way
    this.#beatenAt = sentAt;
    if (wasHeld && known > 0) return;
    log.warn({ instanceId }, 'lease.regained');
    regained();
  }

  /** Whoever owns deliveries without a fresh heartbeat is dead; so is, on a file of this machine, a process that is gone. */
  async #rescue(): Promise<void> {
    const { database, instanceId, log, rescued } = this.#deps;
    // Owners first: one that starts between the two looks is then in the second and not taken for dead.
    const all = await owners(database.read);
    const live = await liveInstances(database);
    this.#count(live);
    let total = 0;
    for (const owner of all)
      if (owner !== instanceId && !live.has(owner)) {
        const released = await this.#release(owner);
        total += released;
        log.warn({ instanceId: owner, deliveries: released }, 'instance.rescued');
      }
    if (total > 0) rescued();
  }

  #count(live: ReadonlySet<string>): void {
    const { instanceId, fleetChanged } = this.#deps;
    const all = [...new Set([...live, instanceId])].sort();
    const before = this.#fleet;
    this.#fleet = { instances: all.length, place: all.indexOf(instanceId) };
    if (before.instances !== this.#fleet.instances || before.place !== this.#fleet.place) fleetChanged();
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
    `INSERT INTO instances (id, host, pid, started_at, heartbeat_at, version) VALUES (?, ?, ?, ${tx.dialect.now}, ${tx.dialect.now}, ?)`,
    [instanceId, hostname(), process.pid, VERSION],
  );
}

/**
 * Whoever is left after the dead have been struck off: judged and written in one statement, so no heartbeat comes between.
 * A heartbeat of the future was left by one that died before the database's clock was set back: whoever lives and is
 * struck off for it as well registers anew with its next beat.
 */
async function liveInstances(database: Database): Promise<Set<string>> {
  await strikeGoneProcesses(database);
  await database.transaction(({ execute, dialect: { now } }) =>
    execute(`DELETE FROM instances WHERE heartbeat_at < ${now} - ${RESCUE_MS} OR heartbeat_at > ${now} + ${RESCUE_MS}`),
  );
  const rows = await database.read.query<{ id: string }>('SELECT id FROM instances');
  return new Set(rows.map((row) => row.id));
}

async function strikeGoneProcesses(database: Database): Promise<void> {
  if (!isOneMachine(database)) return;
  const rows = await database.read.query<{ id: string; host: string; pid: number }>('SELECT id, host, pid FROM instances');
  for (const { id, host, pid } of rows)
    if (isGoneProcess(host, Number(pid))) await database.transaction((tx) => tx.execute('DELETE FROM instances WHERE id = ?', [id]));
}

/** A SQLite file has its users on one machine, so after a crash the next start need not wait for the lease. */
const isOneMachine = (database: Database) => !database.dialect.supportsManyInstances;

function isGoneProcess(host: string, pid: number): boolean {
  if (host !== hostname() || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/** Everybody who owns deliveries: a probe of the index for each, however many deliveries they own. */
export async function owners(queries: Queries): Promise<string[]> {
  const found: string[] = [];
  for (let last = ''; ; ) {
    const [row] = await queries.query<{ owner: string | null }>('SELECT MIN(owner) AS owner FROM deliveries WHERE owner > ?', [last]);
    const owner = row?.owner ?? null;
    if (owner === null) return found;
    found.push(owner);
    last = owner;
  }
}

import { hostname } from 'node:os';
import { SECOND } from '../../clock';
import type { Database, Queries, Tx } from '../../store/database';
import { VERSION } from '../../version';

/** The others take over a little after the lease of an instance has ended: within 15 s of its last heartbeat, however their rounds fall. */
const RESCUE_MS = 11 * SECOND;

export async function register(tx: Tx, instanceId: string): Promise<void> {
  await tx.execute(
    `INSERT INTO instances (id, host, pid, started_at, heartbeat_at, version) VALUES (?, ?, ?, ${tx.dialect.now}, ${tx.dialect.now}, ?)`,
    [instanceId, hostname(), process.pid, VERSION],
  );
}

export async function signOff(tx: Tx, instanceId: string): Promise<void> {
  await tx.execute('DELETE FROM instances WHERE id = ?', [instanceId]);
  await dropCancellations(tx, instanceId);
}

/** It has nothing in memory any more that could be cancelled. */
export async function dropCancellations(tx: Tx, instanceId: string): Promise<void> {
  await tx.execute('DELETE FROM cancellations WHERE owner = ?', [instanceId]);
}

/** An instance as it has signed on. */
export interface InstanceRow {
  readonly id: string;
  readonly host: string;
  readonly startedAt: Date;
  readonly heartbeatAt: Date;
  /** Null: of a version that did not say. */
  readonly version: string | null;
}

/** Far more than anybody runs. */
const MAX_INSTANCES_LISTED = 1_000;

/** Those that have signed on and were not struck off, the oldest first. */
export async function listInstances({ query }: Queries): Promise<InstanceRow[]> {
  const rows = await query<{ id: string; host: string; started_at: number; heartbeat_at: number; version: string | null }>(
    `SELECT id, host, started_at, heartbeat_at, version FROM instances ORDER BY started_at, id LIMIT ${MAX_INSTANCES_LISTED}`,
  );
  return rows.map(({ id, host, started_at, heartbeat_at, version }) => ({
    id,
    host,
    startedAt: new Date(Number(started_at)),
    heartbeatAt: new Date(Number(heartbeat_at)),
    version,
  }));
}

/**
 * Who is left after the dead have been struck off: judged and written in one statement, so no heartbeat comes between.
 * A heartbeat of the future was left by one that died before the database's clock was set back: an instance that lives and
 * is struck off for it as well registers again with its next beat.
 */
export async function liveInstances(database: Database): Promise<Set<string>> {
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
  for (const { id, host, pid } of rows) if (isGoneProcess(host, Number(pid))) await database.transaction((tx) => signOff(tx, id));
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

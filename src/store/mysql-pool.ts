import type { Socket } from 'node:net';
import type { DataSource } from 'typeorm';
import { type Clock, SECOND } from '../clock';

/** How long the hub waits for a MySQL server that says nothing. A stalled network tells nobody that it stalls. */
export interface Patience {
  /** For a connection of the pool, when all of them are busy. */
  readonly acquireMs: number;
  /** For the next byte, while a statement is under way or a transaction is open; then the connection is given up. */
  readonly silenceMs: number;
}

/** Longer than any statement takes: the longest legitimate wait is for a lock, and the server ends that one after 5 s. */
export const PATIENCE: Patience = { acquireMs: 5 * SECOND, silenceMs: 8 * SECOND };

/** A lock that is not given within so many seconds will not be: the transaction is run again. MySQL's default is 50. */
const LOCK_WAIT_SECONDS = 5;
/**
 * A transaction whose hub says nothing for so long, frozen or cut off, is ended by MariaDB, and lets go of the counters
 * that all others wait for: before their own patience ends. MySQL has nothing like it.
 */
const STANDSTILL_SECONDS = 3;
/** The server ends connections that were silent for so long, and with them the locks of a hub that was cut off. */
export const WAIT_SECONDS = 30;
/** Connections of the pool that nobody uses are closed well before the server would. */
export const IDLE_MS = 10 * SECOND;

const SESSION = [
  // Without the gap locks of the default level, claims and settles of neighbours do not wait for each other.
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  `SET SESSION innodb_lock_wait_timeout = ${LOCK_WAIT_SECONDS} /*M! , idle_transaction_timeout = ${STANDSTILL_SECONDS} */`,
  `SET SESSION wait_timeout = ${WAIT_SECONDS}`,
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'", // too long a value is an error; a backslash escapes
] as const;

/** What the server takes in one packet, as it has said last. */
export interface PacketLimit {
  bytes: number;
}

/** MySQL's default is 64 MiB, MariaDB's 16; with less than this a payload of 1 MiB may not fit. */
export const MIN_PACKET_BYTES = 4 * 1024 * 1024;
const PACKET_LIMIT = 'SELECT @@max_allowed_packet AS bytes';
type PacketLimitRows = readonly { readonly bytes: number | string }[];

interface Connection {
  readonly stream: Socket;
  query(sql: string, answered?: (error: Error | null, rows: PacketLimitRows) => void): void;
  release(): void;
}

type Acquired = (error: Error | null, connection?: Connection) => void;

/** What the driver's pool offers, of which TypeORM's types say nothing. */
interface Pool {
  on(event: 'connection' | 'acquire' | 'release', listener: (connection: Connection) => void): void;
  getConnection: (acquired: Acquired) => void;
}

/**
 * Prepares each session of a pool, and bounds every wait. The bounds hold on the client's side, so that a server, proxy
 * or network that swallows everything and closes nothing is noticed as well. `isPatient`: no bound on statements for now.
 * `packets` is kept up to date.
 */
export async function supervise(
  source: DataSource,
  { acquireMs, silenceMs }: Patience,
  { clock, isPatient, packets }: { clock: Clock; isPatient: () => boolean; packets: PacketLimit },
): Promise<void> {
  const { pool } = source.driver as unknown as { pool: Pool };
  pool.on('connection', (connection) => {
    for (const statement of SESSION) connection.query(statement);
    connection.query(PACKET_LIMIT, (error, rows) => {
      if (error === null) note(packets, rows);
    });
  });
  pool.on('acquire', ({ stream }) => {
    if (stream.listenerCount('timeout') === 0)
      stream.on('timeout', () => stream.destroy(timedOut(`the database was silent for ${silenceMs} ms`)));
    stream.setTimeout(isPatient() ? 0 : silenceMs);
  });
  pool.on('release', ({ stream }) => void stream.setTimeout(0));
  const getConnection = pool.getConnection.bind(pool);
  pool.getConnection = (acquired) => getConnection(within(clock, acquireMs, acquired));
  for (const statement of SESSION) await source.query(statement); // the one connection that is open already
  note(packets, await source.query<PacketLimitRows>(PACKET_LIMIT));
}

function note(packets: PacketLimit, [row]: PacketLimitRows): void {
  if (row !== undefined) packets.bytes = Number(row.bytes);
}

/** Calls `acquired` once: with what comes, or with an error when nothing has come in time. A late connection goes back. */
function within(clock: Clock, acquireMs: number, acquired: Acquired): Acquired {
  let isOver = false;
  const cancel = clock.after(acquireMs, () => {
    isOver = true;
    acquired(timedOut(`no connection to the database was free within ${acquireMs} ms`));
  });
  return (error, connection) => {
    if (isOver) return connection?.release();
    isOver = true;
    cancel();
    acquired(error, connection);
  };
}

function timedOut(message: string): Error {
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' });
}

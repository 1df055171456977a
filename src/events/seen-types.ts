import { LRUCache } from 'lru-cache';
import { type Cancel, type Clock, MINUTE, SECOND } from '../clock';
import type { Facts } from '../facts';
import type { Log } from '../log';
import { isOwnEventType } from '../matching/event-type';
import type { Database, Queries, Tx } from '../store/database';
import { countUpTo, type SearchAllowance } from '../store/page';
import type { Event } from './event';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

/** A type that events had, whether or not it is registered. */
export interface SeenType {
  readonly name: string;
  readonly firstSeenAt: Date;
  readonly lastSeenAt: Date;
}

/** What is seen first is written within so long. */
const FLUSH_MS = 1 * SECOND;
/** A type that is seen all the time is written once in so long. */
const NOTED_MS = MINUTE;
const MAX_APPLICATIONS = 10_000;
/** Of an application; of those that are more, the ones that nobody has used for longest are forgotten. */
const MAX_SEEN_TYPES_PER_APPLICATION = 1_000;
/** For who makes up a type for each event. What is left out is seen with its next event. */
const MAX_TYPES_PER_FLUSH = 100;
const MAX_APPLICATIONS_PER_FLUSH = 1_000;
const MAX_TYPES_PER_TRANSACTION = 500;

type Pending = readonly [applicationId: string, types: ReadonlySet<string>];

/**
 * Which types events have, and when each came last, to the minute: gathered from what is stored, beside the publishes,
 * which do not wait for it. A publish costs a look into two maps an event.
 */
export class SeenTypes {
  readonly #deps: Deps;
  /** By application, when each type was noted last. */
  readonly #noted = new LRUCache<string, Map<string, number>>({ max: MAX_APPLICATIONS });
  #pending = new Map<string, Set<string>>();
  #cancelFlush: Cancel | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(deps: Deps) {
    this.#deps = deps;
    deps.facts.eventsStored.on(({ batch }) => this.see(batch.stored));
  }

  see(events: readonly Pick<Event, 'applicationId' | 'type'>[]): void {
    const now = this.#deps.clock.now();
    for (const { applicationId, type } of events) {
      let noted = this.#noted.get(applicationId);
      if (noted === undefined) {
        noted = new Map();
        this.#noted.set(applicationId, noted);
      }
      const at = noted.get(type);
      if (at === undefined || now - at >= NOTED_MS) this.#note(applicationId, type, noted, now);
    }
  }

  /** Writes what is not written yet; while the database is away it is left to the next event of the type. */
  async flush(): Promise<void> {
    this.#running = this.#running.then(() => this.#write());
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#cancelFlush?.();
    await this.flush();
  }

  #note(applicationId: string, type: string, noted: Map<string, number>, now: number): void {
    if (isOwnEventType(type)) return;
    const pending = this.#pending.get(applicationId) ?? new Set<string>();
    if (pending.size >= MAX_TYPES_PER_FLUSH || (pending.size === 0 && this.#pending.size >= MAX_APPLICATIONS_PER_FLUSH)) return;
    this.#pending.set(applicationId, pending.add(type));
    noted.delete(type); // and to the end: the first is the one that was not used for longest
    noted.set(type, now);
    const [oldest] = noted.keys();
    if (noted.size > MAX_SEEN_TYPES_PER_APPLICATION && oldest !== undefined) noted.delete(oldest);
    this.#cancelFlush ??= this.#deps.clock.after(FLUSH_MS, () => void this.flush());
  }

  async #write(): Promise<void> {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    const { database, clock, log } = this.#deps;
    const pending = this.#pending;
    this.#pending = new Map();
    const now = clock.now();
    for (const some of parts([...pending].sort(([one], [other]) => (one < other ? -1 : 1)))) {
      try {
        await database.transaction((tx) => store(tx, some, now));
      } catch (error) {
        for (const [applicationId] of some) this.#noted.delete(applicationId);
        log.warn({ applications: some.length, error: (error as Error).message }, 'event_types.seen_not_written');
      }
    }
  }
}

/** What goes into a transaction each. */
function parts(pending: readonly Pending[]): Pending[][] {
  const all: Pending[][] = [];
  let types = MAX_TYPES_PER_TRANSACTION;
  for (const one of pending) {
    types += one[1].size;
    if (types > MAX_TYPES_PER_TRANSACTION) {
      all.push([]);
      types = one[1].size;
    }
    all.at(-1)?.push(one);
  }
  return all;
}

/** A commit for many: of thousands of applications each has something to write once a minute. */
async function store(tx: Tx, pending: readonly Pending[], now: number): Promise<void> {
  const there = tx.dialect.oneOf(
    'application_id',
    pending.map(([applicationId]) => applicationId),
  );
  const counters = await tx.query<{ application_id: string }>(
    `SELECT application_id FROM counters WHERE log = 'event' AND ${there.sql}`,
    there.parameters,
  );
  const known = new Set(counters.map((row) => row.application_id));
  // Those that were deleted meanwhile are on their way out, with all of their rows.
  for (const [applicationId, types] of pending) if (known.has(applicationId)) await storeTypes(tx, applicationId, [...types], now);
}

async function storeTypes(tx: Tx, applicationId: string, names: readonly string[], now: number): Promise<void> {
  const { sql, parameters } = tx.dialect.oneOf('name', names);
  const updated = await tx.execute(
    `UPDATE seen_event_types SET last_seen_at = CASE WHEN last_seen_at < ? THEN ? ELSE last_seen_at END WHERE application_id = ? AND ${sql}`,
    [now, now, applicationId, ...parameters],
  );
  if (updated === names.length) return;
  const places = names.map(() => '(?,?,?,?)').join(',');
  const added = await tx.execute(
    `${tx.dialect.insertIgnore} INTO seen_event_types (application_id, name, first_seen_at, last_seen_at) VALUES ${places}`,
    names.flatMap((name) => [applicationId, name, now, now]),
  );
  if (added > 0) await forgetMost(tx, applicationId);
}

/** Keeps as many as there may be. */
async function forgetMost(tx: Tx, applicationId: string): Promise<void> {
  const [row] = await tx.query<{ types: number }>('SELECT COUNT(*) AS types FROM seen_event_types WHERE application_id = ?', [
    applicationId,
  ]);
  const tooMany = Number(row?.types ?? 0) - MAX_SEEN_TYPES_PER_APPLICATION;
  if (tooMany <= 0) return;
  const rows = await tx.query<{ name: string }>(
    `SELECT name FROM seen_event_types WHERE application_id = ? ORDER BY last_seen_at, name LIMIT ${tooMany}`,
    [applicationId],
  );
  const { sql, parameters } = tx.dialect.oneOf(
    'name',
    rows.map(({ name }) => name),
  );
  await tx.execute(`DELETE FROM seen_event_types WHERE application_id = ? AND ${sql}`, [applicationId, ...parameters]);
}

interface Row {
  readonly name: string;
  readonly first_seen_at: number;
  readonly last_seen_at: number;
}

const COLUMNS = 'name, first_seen_at, last_seen_at';

/** Of these types those that were seen. */
export async function readSeen({ dialect, query }: Queries, applicationId: string, names: readonly string[]): Promise<SeenType[]> {
  if (names.length === 0) return [];
  const { sql, parameters } = dialect.oneOf('name', names);
  return (
    await query<Row>(`SELECT ${COLUMNS} FROM seen_event_types WHERE application_id = ? AND ${sql}`, [applicationId, ...parameters])
  ).map(seenOf);
}

/** The next `most` after a name, by name. */
export async function readSeenAfter({ query }: Queries, applicationId: string, after: string, most: number): Promise<SeenType[]> {
  const rows = await query<Row>(
    `SELECT ${COLUMNS} FROM seen_event_types WHERE application_id = ? AND name > ? ORDER BY name LIMIT ${most}`,
    [applicationId, after],
  );
  return rows.map(seenOf);
}

/** How many types were seen that are not registered. */
export async function countSeenAlone(queries: Queries, applicationId: string, allowance: SearchAllowance): Promise<number> {
  const isRegistered = 'EXISTS (SELECT 1 FROM event_types t WHERE t.application_id = s.application_id AND t.name = s.name)';
  const sql = `SELECT s.name FROM seen_event_types s WHERE s.application_id = ? AND NOT ${isRegistered}`;
  return countUpTo(queries, sql, [applicationId], allowance);
}

function seenOf({ name, first_seen_at, last_seen_at }: Row): SeenType {
  return { name, firstSeenAt: new Date(Number(first_seen_at)), lastSeenAt: new Date(Number(last_seen_at)) };
}

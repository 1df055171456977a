import { type Clock, SECOND } from '../clock';
import { type Cancellable, cancelRows } from '../deliveries/cancel-rows';
import type { LoggedUpdate } from '../deliveries/update-log';
import { refuse, shown, UserErrorCode } from '../errors';
import type { Facts } from '../facts';
import { followOthers } from '../follow-others';
import { applicationIdOf, attemptRangeOf, deliveryRangeOf, isId, sequenceOf } from '../ids';
import type { Log } from '../log';
import type { Database, Tx } from '../store/database';
import type { WakeableLoop } from '../wakeable-loop';
import { type Event, REDACTED_PAYLOAD } from './event';
import { EVENT_COLUMNS, type EventRow, eventOf } from './events';

/** An event whose payload was blanked. */
export interface Redaction {
  readonly applicationId: string;
  readonly sequence: number;
  readonly at: Date;
}

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

/** Longer than a commit takes to become visible after its time was taken, and than a read takes to arrive in memory. */
const OVERLAP_MS = 5 * SECOND;

/** Blanks payloads: in the database at once, in the memory of this instance at once, of the others with their next poll. */
export class Redactions {
  readonly #deps: Deps;
  /** When the others were asked about last, by the monotonic clock. */
  #askedAt: number;
  readonly #loop: WakeableLoop;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#askedAt = deps.clock.monotonic();
    this.#loop = followOthers(deps, 'redactions', () => this.#followOthers());
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /**
   * Blanks the payload of an event and whatever was stored of it: shaped bodies, responses, which may echo it. On SQLite
   * no file has a byte of it any more when this resolves, unless another program is reading. Deliveries that are not finished are cancelled. The event keeps its place, type and keys. Again: nothing happens.
   */
  async redact(id: string): Promise<Event> {
    const { database, clock, facts } = this.#deps;
    if (!isId('evt', id)) return refuseUnknownEvent(id);
    const { event, updates } = await database.transaction((tx) => redactEvent(tx, id, clock.now()));
    const { applicationId, sequence, redactedAt } = event;
    if (redactedAt) facts.eventRedacted.emit({ applicationId, sequence, at: redactedAt, isOwn: true });
    facts.updatesLogged.emit(updates);
    await database.eraseTraces();
    return event;
  }

  /** Forgets what other instances have redacted lately. */
  async #followOthers(): Promise<void> {
    const { database, clock, facts } = this.#deps;
    const askedAt = clock.monotonic();
    const rows = await database.read.query<{ application_id: string; sequence: number; redacted_at: number }>(
      `SELECT application_id, sequence, redacted_at FROM redactions WHERE redacted_at > ${database.dialect.now} - ?`,
      [Math.ceil(askedAt - this.#askedAt) + OVERLAP_MS],
    );
    for (const { application_id: applicationId, sequence, redacted_at } of rows)
      facts.eventRedacted.emit({ applicationId, sequence: Number(sequence), at: new Date(Number(redacted_at)), isOwn: false });
    this.#askedAt = askedAt;
  }
}

export function refuseUnknownEvent(id: string): never {
  return refuse('id', `expected the id of an event, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
}

async function redactEvent(tx: Tx, id: string, now: number): Promise<{ event: Event; updates: ReadonlyMap<string, LoggedUpdate[]> }> {
  const place = [applicationIdOf(id), sequenceOf(id)] as const;
  const [row] = await tx.query<EventRow & { now: number }>(
    `SELECT ${EVENT_COLUMNS}, ${tx.dialect.now} AS now FROM events WHERE application_id = ? AND sequence = ? ${tx.dialect.forUpdate}`,
    place,
  );
  if (row?.id !== id) return refuseUnknownEvent(id);
  const event = eventOf(row);
  if (event.redactedAt !== null) return { event, updates: new Map() };
  event.redact(new Date(Number(row.now)));
  const unfinished = await lockUnfinished(tx, id);
  await tx.execute('UPDATE events SET payload = ?, redacted_at = ? WHERE application_id = ? AND sequence = ?', [
    REDACTED_PAYLOAD,
    Number(row.now),
    ...place,
  ]);
  await tx.execute('DELETE FROM bodies WHERE application_id = ? AND sequence = ?', place);
  await blankResponses(tx, id);
  await tx.insert('redactions', ['application_id', 'sequence', 'redacted_at'], [[...place, Number(row.now)]]);
  return { event, updates: await cancelRows(tx, unfinished, now) };
}

/** A request that is under way still ends, and is recorded without its response. */
async function lockUnfinished(tx: Tx, eventId: string): Promise<readonly Cancellable[]> {
  const { from, to } = deliveryRangeOf(eventId);
  const rows = await tx.query<Cancellable & { owner: string | null }>(
    `SELECT id, event_type, created_at, owner FROM deliveries WHERE id >= ? AND id < ? ${tx.dialect.forUpdate}`,
    [from, to],
  );
  return rows.filter(({ owner }) => owner !== null);
}

/** The attempts of all deliveries of the event: their ids begin as those of the event's deliveries do. */
async function blankResponses(tx: Tx, eventId: string): Promise<void> {
  const { from, to } = attemptRangeOf(deliveryRangeOf(eventId).from);
  await tx.execute("UPDATE attempts SET response_body = NULL, response_headers = '[]' WHERE id >= ? AND id < ?", [from, to]);
}

/** Which of these events are redacted, as `application id` and sequence in one text. */
export async function redactedAmong(tx: Tx, events: readonly Event[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (const { applicationId, sequence } of events) {
    const rows = await tx.query('SELECT sequence FROM events WHERE application_id = ? AND sequence = ? AND redacted_at IS NOT NULL', [
      applicationId,
      sequence,
    ]);
    if (rows.length > 0) found.add(`${applicationId}${sequence}`);
  }
  return found;
}

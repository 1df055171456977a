import { applicationIdOf, isId, sequenceOf } from '../ids';
import type { Database, Queries } from '../store/database';
import { Event } from './event';

/** A row of `events` as the drivers hand it over. */
export interface EventRow {
  readonly application_id: string;
  readonly sequence: number | string;
  readonly id: string;
  readonly type: string;
  readonly payload: string;
  readonly idempotency_key: string | null;
  readonly ordering_key: string | null;
  readonly occurred_at: number | string;
  readonly created_at: number | string;
  readonly redacted_at: number | string | null;
  readonly trace_context: string | null;
}

export const EVENT_COLUMNS =
  'application_id, sequence, id, type, payload, idempotency_key, ordering_key, occurred_at, created_at, redacted_at, trace_context';

/** What an event has beside its payload, which may be a thousand times as long. */
const SLIM_COLUMNS = EVENT_COLUMNS.replace('payload, ', '');

export interface EventColumns {
  /** False: events that are read only for what else they have. */
  readonly hasPayloads: boolean;
}

const WHOLE: EventColumns = { hasPayloads: true };

export function eventOf(row: EventRow): Event {
  const event = new Event();
  event.applicationId = row.application_id;
  event.sequence = Number(row.sequence);
  event.id = row.id;
  event.type = row.type;
  event.payloadText = row.payload;
  event.idempotencyKey = row.idempotency_key;
  event.orderingKey = row.ordering_key;
  event.occurredAt = new Date(Number(row.occurred_at));
  event.createdAt = new Date(Number(row.created_at));
  event.redactedAt = row.redacted_at === null ? null : new Date(Number(row.redacted_at));
  event.traceContext = row.trace_context;
  return event;
}

/** Reads of the event log. */
export class Events {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async byId(id: string): Promise<Event | null> {
    if (!isId('evt', id)) return null;
    const [event] = await readEvents(this.#database.read, applicationIdOf(id), [sequenceOf(id)]);
    return event?.id === id ? event : null;
  }

  /** Events of one application by their sequences; those that are not there are left out. */
  async bySequences(applicationId: string, sequences: readonly number[], columns = WHOLE): Promise<Event[]> {
    return readEvents(this.#database.read, applicationId, sequences, columns);
  }

  /** The ids alone of events of one application. */
  async idsBySequences(applicationId: string, sequences: readonly number[]): Promise<{ readonly sequence: number; readonly id: string }[]> {
    if (sequences.length === 0) return [];
    const { read } = this.#database;
    const { sql, parameters } = read.dialect.oneOf('sequence', sequences);
    const rows = await read.query<Pick<EventRow, 'sequence' | 'id'>>(
      `SELECT sequence, id FROM events WHERE application_id = ? AND ${sql}`,
      [applicationId, ...parameters],
    );
    return rows.map(({ sequence, id }) => ({ sequence: Number(sequence), id }));
  }

  /** Newest first: those before `sequence`, or of all. */
  async newest(applicationId: string, sequence: number | undefined, most: number): Promise<Event[]> {
    const rows = await this.#database.read.query<EventRow>(
      `SELECT ${EVENT_COLUMNS} FROM events WHERE application_id = ? AND sequence < ? ORDER BY sequence DESC LIMIT ${most}`,
      [applicationId, sequence ?? Number.MAX_SAFE_INTEGER],
    );
    return rows.map(eventOf);
  }

  /** In sequence order, without a gap: those after `sequence`. */
  async after(applicationId: string, sequence: number, most: number): Promise<Event[]> {
    const rows = await this.#database.read.query<EventRow>(
      `SELECT ${EVENT_COLUMNS} FROM events WHERE application_id = ? AND sequence > ? ORDER BY sequence LIMIT ${most}`,
      [applicationId, sequence],
    );
    return rows.map(eventOf);
  }
}

/** Events of one application by their sequences; those that are not there are left out. */
export async function readEvents(queries: Queries, applicationId: string, sequences: readonly number[], columns = WHOLE): Promise<Event[]> {
  if (sequences.length === 0) return [];
  const { sql, parameters } = queries.dialect.oneOf('sequence', sequences);
  const rows = await queries.query<EventRow>(`SELECT ${namesOf(columns)} FROM events WHERE application_id = ? AND ${sql}`, [
    applicationId,
    ...parameters,
  ]);
  return rows.map(eventOf);
}

export function namesOf({ hasPayloads }: EventColumns): string {
  return hasPayloads ? EVENT_COLUMNS : SLIM_COLUMNS;
}

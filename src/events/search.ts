import { CLOCK_SLACK_MS, sequenceBefore } from '../deliveries/sequences-between';
import { HubError } from '../errors';
import { type Condition, meets } from '../matching/condition';
import { matchesAnyType } from '../matching/event-type-pattern';
import { MatchBudget } from '../matching/match-budget';
import type { Queries } from '../store/database';
import { readHead } from '../store/heads';
import {
  countUpTo,
  MAX_COUNTED_ROWS,
  type Page,
  type PageRequest,
  type Place,
  pageEnd,
  type SearchAllowance,
  type TotalCount,
  totalOf,
} from '../store/page';
import type { Event } from './event';
import { EVENT_COLUMNS, type EventColumns, type EventRow, eventOf, namesOf, readEvents } from './events';

/** Which events; what is absent or null does not restrict. */
export interface EventSelection {
  /** Names or wildcards. */
  readonly types?: readonly string[] | null;
  readonly idempotencyKey?: string | null;
  readonly orderingKey?: string | null;
  readonly createdAfter?: Date | null;
  readonly createdBefore?: Date | null;
  /** Both included. */
  readonly minSequence?: number | null;
  readonly maxSequence?: number | null;
  /** On type and payload. */
  readonly condition?: Condition | null;
}

/** SQLite passes over the payloads of 1 MiB that stand between, page by page. */
const MAX_ROWS_PER_READ = 200;
/** Of payloads that are read to be looked into: at first so many, then as many as weigh this. */
const FIRST_PAYLOADS_PER_READ = 10;
const MAX_CHARS_PER_READ = 512 * 1024;
/** Parsing and looking into so much of a payload takes as long as looking at a row. */
const CHARS_PER_LOOK = 512;
/** The same of a match's budget. */
const UNITS_PER_LOOK = 100;

interface Range {
  readonly first: number;
  /** Included. */
  readonly last: number;
}

/** What filters ask of an event, without its payload. */
type Slim = Pick<EventRow, 'sequence' | 'type' | 'ordering_key' | 'created_at'>;

/** Newest first. `after` is a sequence in digits. */
export async function listEvents(
  read: Queries,
  applicationId: string,
  selection: EventSelection,
  { first, after }: PageRequest,
  columns: EventColumns,
  allowance: SearchAllowance,
): Promise<Page<Event>> {
  const range = await rangeOf(read, applicationId, selection);
  const count = (most: SearchAllowance) => countEvents(read, applicationId, selection, range, most);
  const rest = { ...range, last: after === undefined ? range.last : Math.min(range.last, Number(after) - 1) };
  if (typeof selection.idempotencyKey === 'string') return { ...(await keyed(read, applicationId, selection, rest)), count };
  if (isExact(selection)) {
    const rows = await read.query<EventRow>(
      `SELECT ${namesOf(columns)} FROM events WHERE application_id = ? AND sequence >= ? AND sequence <= ? ORDER BY sequence DESC LIMIT ${first + 1}`,
      [applicationId, rest.first, rest.last],
    );
    return { rows: rows.slice(0, first).map(eventOf), hasNextPage: rows.length > first, count };
  }
  const { found, leftOff } = await search(read, applicationId, selection, rest, first + 1, allowance);
  const sequences = found.slice(0, first);
  const events = await readEvents(read, applicationId, sequences, columns);
  return {
    rows: events.sort((a, b) => b.sequence - a.sequence),
    ...pageEnd(found.length, first, leftOff),
    count,
  };
}

/** Whether its range of sequences is all there is to a selection. */
function isExact({ types, idempotencyKey, orderingKey, createdAfter, createdBefore, condition }: EventSelection): boolean {
  return !types && typeof idempotencyKey !== 'string' && typeof orderingKey !== 'string' && !createdAfter && !createdBefore && !condition;
}

async function rangeOf(
  read: Queries,
  applicationId: string,
  { minSequence, maxSequence, createdAfter, createdBefore }: EventSelection,
): Promise<Range> {
  const first = Math.max(0, minSequence ?? 0);
  const last = maxSequence ?? Number.MAX_SAFE_INTEGER;
  const head = createdAfter || createdBefore ? await readHead({ read }, applicationId, 'event') : undefined;
  if (head === undefined) return { first, last };
  return {
    first: createdAfter ? Math.max(first, (await sequenceBefore(read, applicationId, createdAfter.getTime(), head)) + 1) : first,
    last: createdBefore
      ? Math.min(last, await sequenceBefore(read, applicationId, createdBefore.getTime() + 2 * CLOCK_SLACK_MS, head))
      : last,
  };
}

/** The one that was published with a key, if it is all else that is asked for. */
async function keyed(
  read: Queries,
  applicationId: string,
  selection: EventSelection,
  { first, last }: Range,
): Promise<Pick<Page<Event>, 'rows' | 'hasNextPage'>> {
  const rows = await read.query<EventRow>(`SELECT ${EVENT_COLUMNS} FROM events WHERE application_id = ? AND idempotency_key = ?`, [
    applicationId,
    selection.idempotencyKey,
  ]);
  const wanted = rows.filter((row) => Number(row.sequence) >= first && Number(row.sequence) <= last && matchesSlim(selection, row));
  const events = wanted.map(eventOf).filter((event) => !selection.condition || isMet(selection.condition, event, new MatchBudget()));
  return { rows: events, hasNextPage: false };
}

function matchesSlim({ types, orderingKey, createdAfter, createdBefore }: EventSelection, row: Slim): boolean {
  if (types && !matchesAnyType(types, row.type)) return false;
  if (typeof orderingKey === 'string' && row.ordering_key !== orderingKey) return false;
  if (createdAfter && Number(row.created_at) <= createdAfter.getTime()) return false;
  return !createdBefore || Number(row.created_at) < createdBefore.getTime();
}

interface Found {
  /** The sequences, newest first. */
  readonly found: readonly number[];
  readonly leftOff?: Place;
}

async function search(
  read: Queries,
  applicationId: string,
  selection: EventSelection,
  { first, last }: Range,
  most: number,
  allowance: SearchAllowance,
): Promise<Found> {
  const found: number[] = [];
  for (let to = last; ; ) {
    const rows = await read.query<Slim>(
      `SELECT sequence, type, ordering_key, created_at FROM events
        WHERE application_id = ? AND sequence >= ? AND sequence <= ? ORDER BY sequence DESC LIMIT ${MAX_ROWS_PER_READ}`,
      [applicationId, first, to],
    );
    await allowance.looked(rows.length);
    const own = rows.filter((row) => matchesSlim(selection, row));
    const passed = await matching(read, applicationId, selection, own, most - found.length, allowance);
    found.push(...passed.found);
    if (found.length >= most) return { found };
    if (passed.leftOff) return { found, leftOff: passed.leftOff };
    const end = rows.at(-1);
    if (end === undefined || rows.length < MAX_ROWS_PER_READ) return { found };
    if (allowance.rows <= 0) return { found, leftOff: placeOf(end) };
    to = Number(end.sequence) - 1;
  }
}

/** Those whose payloads meet the condition, as far as the search may look into them. */
async function matching(
  read: Queries,
  applicationId: string,
  { condition }: EventSelection,
  rows: readonly Slim[],
  most: number,
  allowance: SearchAllowance,
): Promise<Found> {
  const sequences = rows.map(({ sequence }) => Number(sequence));
  if (!condition) return { found: sequences.slice(0, most) };
  const found: number[] = [];
  let size = FIRST_PAYLOADS_PER_READ;
  for (let start = 0; start < sequences.length; ) {
    const events = await readEvents(read, applicationId, sequences.slice(start, start + size));
    start += size;
    let chars = 0;
    for (const event of events.sort((a, b) => b.sequence - a.sequence)) {
      const budget = new MatchBudget();
      await allowance.looked(event.payloadText.length / CHARS_PER_LOOK); // before it is parsed
      if (isMet(condition, event, budget) && found.push(event.sequence) >= most) return { found };
      await allowance.looked(budget.spent / UNITS_PER_LOOK);
      chars += event.payloadText.length;
    }
    const end = rows[start - 1];
    if (allowance.rows <= 0 && end && start < rows.length) return { found, leftOff: placeOf(end) };
    size = Math.max(1, Math.min(MAX_ROWS_PER_READ, Math.floor((MAX_CHARS_PER_READ * size) / Math.max(1, chars))));
  }
  return { found };
}

/**
 * Not by the event's own `payload`, which would keep what is looked at once in the place of what subscribers need.
 * @throws HubError where the budget of a match does not suffice to tell: none is left out silently
 */
function isMet(condition: Condition, { id, type, payloadText }: Event, budget: MatchBudget): boolean {
  const answer = meets(condition, { type, payload: JSON.parse(payloadText) }, budget);
  if (answer !== null) return answer;
  throw new HubError(
    'BAD_USER_INPUT',
    `filter.condition: takes too many comparisons for the event ${id} (${type}): compare with fewer values, or in fewer elements of its payload`,
  );
}

function placeOf({ sequence, created_at }: Slim): Place {
  return { key: String(sequence), at: new Date(Number(created_at)) };
}

async function countEvents(
  read: Queries,
  applicationId: string,
  selection: EventSelection,
  range: Range,
  allowance: SearchAllowance,
): Promise<TotalCount> {
  if (typeof selection.idempotencyKey === 'string') return totalOf((await keyed(read, applicationId, selection, range)).rows.length);
  if (isExact(selection)) {
    const sql = 'SELECT sequence FROM events WHERE application_id = ? AND sequence >= ? AND sequence <= ?';
    return totalOf(await countUpTo(read, sql, [applicationId, range.first, range.last], allowance));
  }
  const { found, leftOff } = await search(read, applicationId, selection, range, MAX_COUNTED_ROWS + 1, allowance);
  return totalOf(found.length, leftOff);
}

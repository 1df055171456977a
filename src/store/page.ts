import type { ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import type { Queries } from './database';

/** One page of a list, in the list's order. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly hasNextPage: boolean;
  /** Where a search that has looked at as many rows as it may left off: there may be more behind it. */
  readonly leftOff?: Place | undefined;
  /** How many rows the whole list has, by the same conditions as the page. */
  readonly count: (allowance: SearchAllowance) => Promise<TotalCount>;
}

/** A row that a search looked at last. */
export interface Place {
  /** As `after` takes it. */
  readonly key: string;
  /** When it was stored. */
  readonly at: Date;
}

export interface TotalCount {
  readonly count: number;
  /** There may be more. */
  readonly isCapped: boolean;
}

/** What a search may look at, row by row, where no index finds what is asked for. */
export interface SearchAllowance {
  /** How many more rows. A search takes a step at least, and ends with the one that uses it up. */
  readonly rows: number;
  /** So many rows were looked at; resolves when others have had their turn. */
  looked(rows: number): Promise<void>;
}

export interface PageRequest {
  /** How many rows at most. */
  readonly first: number;
  /** The key of the row before the page. */
  readonly after: string | undefined;
  /** The key of the row behind the page, which the page does not reach. */
  readonly before?: string | undefined;
}

export interface PageOrder {
  readonly column: string;
  readonly direction: 'ASC' | 'DESC';
}

/** Rows of a list that are counted; of a longer one it is only told that there are more. */
export const MAX_COUNTED_ROWS = 10_000;
/** Counting so many along an index takes as long as looking at one: 10,000 keys take SQLite 1 ms. */
const COUNTED_ROWS_PER_LOOK = 20;

const NONE: TotalCount = { count: 0, isCapped: false };

/** The page of a list that has no rows. */
export const NOTHING: Page<never> = { rows: [], hasNextPage: false, count: async () => NONE };

/** `leftOff`: where a search for them has stopped before its end. */
export function totalOf(rows: number, leftOff?: Place): TotalCount {
  return { count: Math.min(rows, MAX_COUNTED_ROWS), isCapped: rows > MAX_COUNTED_ROWS || leftOff !== undefined };
}

/** How a page of `first` rows ends of a search that was for one more: it tells where it left off only where it did not find that one. */
export function pageEnd(found: number, first: number, leftOff: Place | undefined): Pick<Page<never>, 'hasNextPage' | 'leftOff'> {
  const isFull = found > first;
  return { hasNextPage: isFull || leftOff !== undefined, leftOff: isFull ? undefined : leftOff };
}

/** Keyset paging: whatever is added or removed meanwhile, no row is shown twice or left out between two pages. */
export async function readPage<Row extends ObjectLiteral>(
  select: SelectQueryBuilder<Row>,
  { column, direction, first, after, before }: PageRequest & PageOrder,
): Promise<Page<Row>> {
  const all = select.clone();
  const [onward, back] = direction === 'ASC' ? ['>', '<'] : ['<', '>'];
  if (after !== undefined) select.andWhere(`${column} ${onward} :after`, { after });
  if (before !== undefined) select.andWhere(`${column} ${back} :before`, { before });
  const rows = await select
    .orderBy(column, direction)
    .limit(first + 1)
    .getMany();
  return { rows: rows.slice(0, first), hasNextPage: rows.length > first, count: (allowance) => countRows(all, column, allowance) };
}

async function countRows<Row extends ObjectLiteral>(
  select: SelectQueryBuilder<Row>,
  column: string,
  allowance: SearchAllowance,
): Promise<TotalCount> {
  const [sql, parameters] = select.select(column, 'counted').getQueryAndParameters();
  return totalOf(
    await countUpTo({ query: (text, values) => select.connection.query(text, values as unknown[]) }, sql, parameters, allowance),
  );
}

/** How many rows a SELECT finds, counted along its index no further than there is to tell. */
export async function countUpTo(
  { query }: Pick<Queries, 'query'>,
  sql: string,
  parameters: readonly unknown[],
  allowance: SearchAllowance,
): Promise<number> {
  const [row] = await query<{ n: number }>(`SELECT COUNT(*) AS n FROM (${sql} LIMIT ${MAX_COUNTED_ROWS + 1}) list`, parameters);
  const n = Number(row?.n);
  await allowance.looked(Math.ceil(n / COUNTED_ROWS_PER_LOOK));
  return n;
}

/** Where a row stands in a list by time: rows of the same millisecond stand in the order of their ids. */
export interface PlaceInTime {
  readonly at: number;
  readonly id: string;
}

/** As a page by time takes it for `after`. */
export function placeText({ at, id }: PlaceInTime): string {
  return `${at} ${id}`;
}

/** Undefined for any other text. */
export function parsePlace(text: string): PlaceInTime | undefined {
  const [, at, id] = /^(\d{1,15}) (\S+)$/.exec(text) ?? [];
  return at === undefined || id === undefined || String(Number(at)) !== at ? undefined : { at: Number(at), id };
}

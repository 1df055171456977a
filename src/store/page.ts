import type { ObjectLiteral, SelectQueryBuilder } from 'typeorm';

/** One page of a list, in the list's order. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly hasNextPage: boolean;
}

/** The page of a list that has no rows. */
export const NOTHING: Page<never> = { rows: [], hasNextPage: false };

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
  /** Of a list that goes forward by time, the column with it, which stands before `column` in an index: `after` is the text of a place. */
  readonly time?: string;
}

/** Keyset paging: whatever is added or removed meanwhile, no row is shown twice or left out between two pages. */
export async function readPage<Row extends ObjectLiteral>(
  select: SelectQueryBuilder<Row>,
  { column, direction, time, first, after, before }: PageRequest & PageOrder,
): Promise<Page<Row>> {
  const [onward, back] = direction === 'ASC' ? ['>', '<'] : ['<', '>'];
  if (after !== undefined && time !== undefined) goOnAfter(select, { time, id: column }, after);
  else if (after !== undefined) select.andWhere(`${column} ${onward} :after`, { after });
  if (before !== undefined) select.andWhere(`${column} ${back} :before`, { before });
  if (time !== undefined) select.orderBy(time, direction);
  const rows = await select
    .addOrderBy(column, direction)
    .limit(first + 1)
    .getMany();
  return { rows: rows.slice(0, first), hasNextPage: rows.length > first };
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

/** The first condition is a range of the index, the second leaves out what stands before the place within its millisecond. */
function goOnAfter<Row extends ObjectLiteral>(
  select: SelectQueryBuilder<Row>,
  { time, id }: { readonly time: string; readonly id: string },
  after: string,
): void {
  const place = parsePlace(after);
  if (place) select.andWhere(`${time} >= :at AND (${time} > :at OR ${id} > :afterId)`, { at: place.at, afterId: place.id });
}

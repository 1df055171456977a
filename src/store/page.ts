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

/** Keyset paging: whatever is added or removed meanwhile, no row is shown twice or left out between two pages. */
export async function readPage<Row extends ObjectLiteral>(
  select: SelectQueryBuilder<Row>,
  { column, direction, first, after, before }: PageRequest & { readonly column: string; readonly direction: 'ASC' | 'DESC' },
): Promise<Page<Row>> {
  const [onward, back] = direction === 'ASC' ? ['>', '<'] : ['<', '>'];
  if (after !== undefined) select.andWhere(`${column} ${onward} :after`, { after });
  if (before !== undefined) select.andWhere(`${column} ${back} :before`, { before });
  const rows = await select
    .orderBy(column, direction)
    .limit(first + 1)
    .getMany();
  return { rows: rows.slice(0, first), hasNextPage: rows.length > first };
}

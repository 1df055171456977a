import type { Tx } from './database';

/** Which rows go: found by `condition` along `key`, an indexed column. */
export interface RowsToRemove {
  readonly table: string;
  readonly key: string;
  readonly condition: string;
  readonly parameters: readonly unknown[];
  /** At most so many keys in this step. */
  readonly most: number;
}

/** One small step of a removal: reads no more than it removes. Returns how many rows it found. */
export async function removeRows(tx: Tx, { table, key, condition, parameters, most }: RowsToRemove): Promise<number> {
  const rows = await tx.query<{ row_key: string | number }>(
    `SELECT ${key} AS row_key FROM ${table} WHERE ${condition} LIMIT ${most} ${tx.dialect.forUpdate}`,
    parameters,
  );
  if (rows.length === 0) return 0;
  const keys = tx.dialect.oneOf(
    key,
    rows.map((row) => row.row_key),
  );
  await tx.execute(`DELETE FROM ${table} WHERE ${condition} AND ${keys.sql}`, [...parameters, ...keys.parameters]);
  return rows.length;
}

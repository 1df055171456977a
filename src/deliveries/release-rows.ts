import type { Database, Tx } from '../store/database';

const MAX_ROWS_PER_TRANSACTION = 1_000;

/** Makes deliveries anybody's that are owned by one instance. */
export async function releaseRows(database: Database, owner: string, deliveryIds: readonly string[]): Promise<void> {
  for (let start = 0; start < deliveryIds.length; start += MAX_ROWS_PER_TRANSACTION)
    await database.transaction((tx) => release(tx, owner, deliveryIds.slice(start, start + MAX_ROWS_PER_TRANSACTION)));
}

/** Makes everything that an instance owned anybody's; returns how many deliveries that were. */
export async function releaseOwner(database: Database, owner: string): Promise<number> {
  for (let total = 0; ; ) {
    const released = await database.transaction(async (tx) => {
      const rows = await tx.query<{ id: string }>(
        `SELECT id FROM deliveries WHERE owner = ? LIMIT ${MAX_ROWS_PER_TRANSACTION} ${tx.dialect.skipLocked}`,
        [owner],
      );
      if (rows.length === 0) return 0;
      return release(
        tx,
        owner,
        rows.map(({ id }) => id),
      );
    });
    total += released;
    if (released < MAX_ROWS_PER_TRANSACTION) return total;
  }
}

async function release(tx: Tx, owner: string, deliveryIds: readonly string[]): Promise<number> {
  const { sql, parameters } = tx.dialect.oneOf('id', deliveryIds);
  return tx.execute(`UPDATE deliveries SET owner = '' WHERE ${sql} AND owner = ?`, [...parameters, owner]);
}

import { newEventId } from '../../src/ids';
import type { Database } from '../../src/store/database';

type Row = Readonly<Record<string, unknown>>;

/** Copies of a row of a table, each with what `change` makes of its number, counted from 0. */
export async function insertCopies(
  database: Database,
  { table, id, count, change }: { table: string; id: string; count: number; change: (no: number) => Row },
): Promise<void> {
  const [row] = await database.read.query<Row>(`SELECT * FROM ${table} WHERE id = ?`, [id]);
  if (row === undefined) throw new Error(`expected a row ${id} in ${table}`);
  const columns = Object.keys(row);
  for (let start = 0; start < count; start += 5_000)
    await database.transaction((tx) =>
      tx.insert(
        table,
        columns,
        Array.from({ length: Math.min(5_000, count - start) }, (_, index) => {
          const copy = { ...row, ...change(start + index) };
          return columns.map((column) => copy[column]);
        }),
      ),
    );
}

/** Events 1 to `count` of a new application's log, as if they had been published. */
export async function insertEvents(database: Database, applicationId: string, count: number): Promise<void> {
  const columns = ['application_id', 'sequence', 'id', 'type', 'payload', 'occurred_at', 'created_at'];
  const now = Date.now();
  for (let start = 0; start < count; start += 2_000)
    await database.transaction((tx) =>
      tx.insert(
        'events',
        columns,
        Array.from({ length: Math.min(2_000, count - start) }, (_, index) => {
          const sequence = start + index + 1;
          return [applicationId, sequence, newEventId(applicationId, sequence), 'order.created', '{}', now, now];
        }),
      ),
    );
  await database.transaction((tx) =>
    tx.execute("UPDATE counters SET last_sequence = ? WHERE application_id = ? AND log = 'event'", [count, applicationId]),
  );
}

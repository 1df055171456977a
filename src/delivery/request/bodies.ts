import type { Queries, Tx } from '../../store/database';

export interface StoredBody {
  readonly applicationId: string;
  readonly sequence: number;
  readonly key: string;
  readonly body: string;
}

/** Fixes bodies; one that is stored already stays as it is. */
export async function insertBodies(tx: Tx, bodies: readonly StoredBody[]): Promise<void> {
  for (const { applicationId, sequence, key, body } of bodies)
    await tx.execute(
      `${tx.dialect.insertIgnore} INTO bodies (application_id, sequence, body_key, body) VALUES (?, ?, ?, ?)`,
      [applicationId, sequence, key, body],
      { later: true },
    );
}

/** Fixed bodies of events of one application, by sequence and key. */
export async function readBodies(queries: Queries, applicationId: string, sequences: readonly number[]): Promise<Map<string, string>> {
  if (sequences.length === 0) return new Map();
  const { sql, parameters } = queries.dialect.oneOf('sequence', sequences);
  const rows = await queries.query<{ sequence: number; body_key: string; body: string }>(
    `SELECT sequence, body_key, body FROM bodies WHERE application_id = ? AND ${sql}`,
    [applicationId, ...parameters],
  );
  return new Map(rows.map((row) => [bodyId(Number(row.sequence), row.body_key), row.body]));
}

/** One stored body, or null. */
export async function readBody(queries: Queries, applicationId: string, sequence: number, key: string): Promise<string | null> {
  const [row] = await queries.query<{ body: string }>(
    'SELECT body FROM bodies WHERE application_id = ? AND sequence = ? AND body_key = ?',
    [applicationId, sequence, key],
  );
  return row?.body ?? null;
}

export function bodyId(sequence: number, key: string): string {
  return `${sequence} ${key}`;
}

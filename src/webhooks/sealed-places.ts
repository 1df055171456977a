import { nextTurn } from '../slices';
import type { Queries } from '../store/database';
import { SEALED_COLUMNS } from './credentials';
import { KEY_ID_CHARS, type Seal } from './seal';

/** A column that holds secrets encrypted at rest. */
export interface SealedPlace {
  readonly table: string;
  readonly column: string;
  /** What a row's secret is sealed for. */
  readonly ownerOf: (id: string) => string;
}

/** Every one of them: signing secrets, headers, client certificates' keys, OAuth secrets. */
export const SEALED_PLACES: readonly SealedPlace[] = [
  { table: 'webhook_secrets', column: 'sealed', ownerOf: (id) => id },
  { table: 'webhooks', column: 'sealed_headers', ownerOf: (id) => id },
  ...SEALED_COLUMNS.map(([column, ownerOf]) => ({ table: 'webhooks', column, ownerOf })),
];

/** Only the ids of keys are read: about 2 ms. */
const ROWS_PER_STEP = 5_000;

/** The id of a key that some stored secret needs and `seal` does not have; undefined: there is none. */
export async function missingKeyId(queries: Queries, seal: Seal): Promise<string | undefined> {
  for (const place of SEALED_PLACES) {
    const missing = await missingIn(queries, seal, place);
    if (missing !== undefined) return missing;
  }
  return undefined;
}

async function missingIn(queries: Queries, seal: Seal, { table, column }: SealedPlace): Promise<string | undefined> {
  for (let after = ''; ; await nextTurn()) {
    const rows = await queries.query<{ key_id: string; last: string }>(
      `SELECT key_id, MAX(id) AS last FROM
         (SELECT id, SUBSTR(${column}, 1, ${KEY_ID_CHARS}) AS key_id FROM ${table}
            WHERE id > ? AND ${column} IS NOT NULL ORDER BY id LIMIT ${ROWS_PER_STEP}) AS step
         GROUP BY key_id`,
      [after],
    );
    const missing = rows.find(({ key_id: keyId }) => !seal.knows(keyId));
    if (missing) return missing.key_id;
    if (rows.length === 0) return undefined;
    for (const { last } of rows) if (last > after) after = last;
  }
}

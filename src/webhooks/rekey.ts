import type { Database } from '../store/database';
import type { Seal } from './seal';
import { SEALED_PLACES, type SealedPlace } from './sealed-places';

const ROWS_PER_STEP = 200;

interface Rekeyed {
  readonly changed: number;
  readonly total: number;
}

/** Seals again what was sealed with former keys, a few hundred rows a transaction; instances may be running meanwhile. */
export async function rekeySecrets(database: Database, seal: Seal): Promise<Rekeyed> {
  let [changed, total] = [0, 0];
  for (const place of SEALED_PLACES) {
    const done = await rekeyColumn(database, seal, place);
    changed += done.changed;
    total += done.total;
  }
  return { changed, total };
}

async function rekeyColumn(database: Database, seal: Seal, { table, column, ownerOf }: SealedPlace): Promise<Rekeyed> {
  let changed = 0;
  let total = 0;
  for (let after = ''; ; ) {
    const rows = await database.read.query<{ id: string; sealed: string }>(
      `SELECT id, ${column} AS sealed FROM ${table} WHERE id > ? AND ${column} IS NOT NULL ORDER BY id LIMIT ${ROWS_PER_STEP}`,
      [after],
    );
    if (rows.length === 0) return { changed, total };
    total += rows.length;
    after = rows.at(-1)?.id ?? after;
    const old = rows.filter(({ sealed }) => !sealed.startsWith(`${seal.keyId}.`));
    changed += await database.transaction(async (tx) => {
      let updated = 0;
      for (const { id, sealed } of old) {
        const resealed = seal.close(seal.open(sealed, ownerOf(id)), ownerOf(id));
        updated += await tx.execute(`UPDATE ${table} SET ${column} = ? WHERE id = ? AND ${column} = ?`, [resealed, id, sealed]);
      }
      return updated;
    });
  }
}

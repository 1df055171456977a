import type { Database } from '../store/database';
import type { Seal } from './seal';

const ROWS_A_STEP = 200;

/** Seals what was sealed with former keys anew, a few hundred rows a transaction; instances may be running meanwhile. */
export async function rekeySecrets(database: Database, seal: Seal): Promise<{ changed: number; total: number }> {
  let changed = 0;
  let total = 0;
  for (let after = ''; ; ) {
    const rows = await database.read.query<{ id: string; sealed: string }>(
      `SELECT id, sealed FROM webhook_secrets WHERE id > ? ORDER BY id LIMIT ${ROWS_A_STEP}`,
      [after],
    );
    if (rows.length === 0) return { changed, total };
    total += rows.length;
    after = rows.at(-1)?.id ?? after;
    const old = rows.filter(({ sealed }) => !sealed.startsWith(`${seal.keyId}.`));
    changed += await database.transaction(async (tx) => {
      let updated = 0;
      for (const { id, sealed } of old) {
        const anew = seal.close(seal.open(sealed, id), id);
        updated += await tx.execute('UPDATE webhook_secrets SET sealed = ? WHERE id = ? AND sealed = ?', [anew, id, sealed]);
      }
      return updated;
    });
  }
}

import type { Tx } from '../../store/database';
import type { Room } from '../dispatcher';
import { weightOf } from '../job';
import { orderedAmong } from './claim-in-order';
import { CLAIMED_COLUMNS, type ClaimedRow } from './load-jobs';

/** Of one webhook. */
const MAX_ROWS_PER_WEBHOOK = 200;
/** Of all of them; what comes last in a claim that is full takes its turn in the next one. */
const MAX_ROWS_PER_CLAIM = 1_000;
const MAX_BYTES_PER_CLAIM = 16 * 1024 * 1024;

/** A webhook for which something is due, and how much its queue takes. */
export interface Wanted {
  readonly webhookId: string;
  readonly room: Room;
}

export interface Claim {
  readonly rows: readonly ClaimedRow[];
  /** More is due, or may be. */
  readonly hasMore: boolean;
}

const NOTHING: Claim = { rows: [], hasMore: false };

/**
 * Takes due deliveries over, of each webhook the first due first; what another instance is claiming at the same moment is
 * left to it. Answers for the first webhooks in the list, as many as fit into a transaction of a bounded size.
 */
export async function claimDue(tx: Tx, wanted: readonly Wanted[], instanceId: string): Promise<readonly Claim[]> {
  const ordered = await orderedAmong(
    tx,
    wanted.map(({ webhookId }) => webhookId),
  );
  const claims: Claim[] = [];
  const taken: ClaimedRow[] = [];
  let bytes = 0;
  for (const { webhookId, room } of wanted) {
    if (taken.length >= MAX_ROWS_PER_CLAIM || bytes >= MAX_BYTES_PER_CLAIM) break;
    const found = ordered.has(webhookId) ? NOTHING : await findDue(tx, webhookId, room);
    claims.push(found);
    for (const row of found.rows) {
      taken.push(row);
      bytes += weightOf(Number(row.payload_chars));
    }
  }
  if (taken.length === 0) return claims;
  const { sql, parameters } = tx.dialect.oneOf(
    'id',
    taken.map((row) => row.id),
  );
  await tx.execute(`UPDATE deliveries SET owner = ? WHERE ${sql}`, [instanceId, ...parameters]);
  return claims;
}

async function findDue(tx: Tx, webhookId: string, room: Room): Promise<Claim> {
  const most = Math.min(room.deliveries, MAX_ROWS_PER_WEBHOOK);
  const due = await tx.query<ClaimedRow>(
    `SELECT ${CLAIMED_COLUMNS} FROM deliveries
      WHERE owner = '' AND webhook_id = ? AND due_at <= ${tx.dialect.now} ORDER BY due_at LIMIT ${most} ${tx.dialect.skipLocked}`,
    [webhookId],
  );
  const rows = fitting(due, room.bytes);
  return { rows, hasMore: rows.length < due.length || due.length === most };
}

/** The first one, and those after it that fit beside it. */
function fitting(rows: readonly ClaimedRow[], bytes: number): readonly ClaimedRow[] {
  let weight = 0;
  const end = rows.findIndex((row, index) => {
    weight += weightOf(Number(row.payload_chars));
    return index > 0 && weight > bytes;
  });
  return end === -1 ? rows : rows.slice(0, end);
}

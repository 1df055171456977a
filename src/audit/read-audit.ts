import { auditRange, HUBS_OWN } from '../ids';
import type { Queries } from '../store/database';
import {
  countUpTo,
  MAX_COUNTED_ROWS,
  type Page,
  type PageRequest,
  pageEnd,
  type SearchAllowance,
  type TotalCount,
  totalOf,
} from '../store/page';
import type { AuditAction, AuditEvent, KeyRefusal } from './audit-event';

export interface AuditSelection {
  readonly actorIds?: readonly string[] | null;
  readonly actions?: readonly string[] | null;
  readonly targetIds?: readonly string[] | null;
  readonly after?: Date | null;
  readonly before?: Date | null;
}

const ROWS_PER_QUERY = 500;

interface Row {
  readonly id: string;
  readonly actor_id: string | null;
  readonly actor_partner: string | null;
  readonly address: string | null;
  readonly action: AuditAction;
  readonly target_ids: string;
  readonly count: number;
  readonly reason: `${KeyRefusal}` | null;
  readonly created_at: number;
}

/** Newest first; of an application, or with null the hub's own. A filter has no index: it looks at row by row. */
export async function readAudit(
  queries: Queries,
  applicationId: string | null,
  selection: AuditSelection,
  { first, after }: PageRequest,
  allowance: SearchAllowance,
): Promise<Page<AuditEvent>> {
  const range = auditRange(applicationId ?? HUBS_OWN, selection.after?.getTime(), selection.before?.getTime());
  const from = after !== undefined && after < range.to ? after : range.to;
  const { rows, leftOff } = await search(queries, { from: range.from, to: from }, matcher(selection), first + 1, allowance);
  return {
    rows: rows.slice(0, first),
    ...pageEnd(rows.length, first, leftOff),
    count: (most) => count(queries, range, selection, most),
  };
}

interface Range {
  readonly from: string;
  readonly to: string;
}

type Found = Pick<Page<AuditEvent>, 'rows' | 'leftOff'>;

async function search(
  queries: Queries,
  { from, to }: Range,
  matches: (event: AuditEvent) => boolean,
  most: number,
  allowance: SearchAllowance,
): Promise<Found> {
  const found: AuditEvent[] = [];
  for (let before = to; ; ) {
    const rows = await queries.query<Row>(
      `SELECT id, actor_id, actor_partner, address, action, target_ids, count, reason, created_at FROM audit_events
        WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ${ROWS_PER_QUERY}`,
      [from, before],
    );
    await allowance.looked(rows.length);
    for (const row of rows) {
      const event = eventOf(row);
      if (matches(event) && found.push(event) === most) return { rows: found };
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_PER_QUERY) return { rows: found };
    if (allowance.rows <= 0) return { rows: found, leftOff: { key: last.id, at: new Date(Number(last.created_at)) } };
    before = last.id;
  }
}

async function count(queries: Queries, range: Range, selection: AuditSelection, allowance: SearchAllowance): Promise<TotalCount> {
  const { actorIds, actions, targetIds } = selection;
  if (!actorIds && !actions && !targetIds)
    return totalOf(await countUpTo(queries, 'SELECT id FROM audit_events WHERE id >= ? AND id < ?', [range.from, range.to], allowance));
  const { rows, leftOff } = await search(queries, range, matcher(selection), MAX_COUNTED_ROWS + 1, allowance);
  return totalOf(rows.length, leftOff);
}

function matcher({ actorIds, actions, targetIds }: AuditSelection): (event: AuditEvent) => boolean {
  const [actors, acts, targets] = [actorIds, actions, targetIds].map((wanted) => (wanted ? new Set<string | null>(wanted) : null));
  return ({ actorId, action, targetIds: own }) =>
    (!actors || actors.has(actorId)) && (!acts || acts.has(action)) && (!targets || own.some((id) => targets.has(id)));
}

function eventOf(row: Row): AuditEvent {
  return {
    id: row.id,
    actorId: row.actor_id,
    partner: row.actor_partner,
    address: row.address,
    action: row.action,
    targetIds: JSON.parse(row.target_ids),
    count: Number(row.count),
    reason: row.reason as KeyRefusal | null,
    at: new Date(Number(row.created_at)),
  };
}

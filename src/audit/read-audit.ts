import { auditRange, HUBS_OWN } from '../ids';
import type { Queries } from '../store/database';
import type { Page, PageRequest } from '../store/page';
import type { AuditAction, AuditEvent, KeyRefusal } from './audit-event';

export interface AuditSelection {
  readonly actorIds?: readonly string[] | null;
  readonly actions?: readonly string[] | null;
  readonly targetIds?: readonly string[] | null;
  readonly after?: Date | null;
  readonly before?: Date | null;
}

export interface AuditPage extends Page<AuditEvent> {
  /** Where a page that looked at as many rows as it may has left off; there may be more behind it. */
  readonly leftOffAt: string | null;
}

const ROWS_PER_QUERY = 500;
/** A filter has no index: a page looks at so many rows at most, and the next goes on from there. */
const MAX_ROWS_PER_PAGE = 5_000;

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

/** Newest first; of an application, or with null the hub's own. */
export async function readAudit(
  queries: Queries,
  applicationId: string | null,
  selection: AuditSelection,
  { first, after }: PageRequest,
): Promise<AuditPage> {
  const range = auditRange(applicationId ?? HUBS_OWN, selection.after?.getTime(), selection.before?.getTime());
  const matches = matcher(selection);
  const found: AuditEvent[] = [];
  let to = after !== undefined && after < range.to ? after : range.to;
  for (let looked = 0; looked < MAX_ROWS_PER_PAGE; looked += ROWS_PER_QUERY) {
    const rows = await queries.query<Row>(
      `SELECT id, actor_id, actor_partner, address, action, target_ids, count, reason, created_at FROM audit_events
        WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ${ROWS_PER_QUERY}`,
      [range.from, to],
    );
    for (const row of rows) {
      const event = eventOf(row);
      if (matches(event) && found.push(event) > first) return { rows: found.slice(0, first), hasNextPage: true, leftOffAt: null };
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_PER_QUERY) return { rows: found, hasNextPage: false, leftOffAt: null };
    to = last.id;
  }
  return { rows: found, hasNextPage: true, leftOffAt: to };
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

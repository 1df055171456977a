import type { Queries, Tx } from '../../store/database';
import { Ordering, WebhookStatus } from '../../webhooks/webhook';
import { owners } from '../instances/owners';
import { weightOf } from '../job';
import { keyOf } from '../queue/ordered-queue';
import { choose, type Space, type Waiting } from './choose';
import { CLAIMED_COLUMNS, type ClaimedRow } from './load-jobs';

const ROWS_PER_PAGE = 200;
/** A look goes past so many blocked deliveries and then lets others have the database. */
const MAX_PAGES_PER_LOOK = 50;
/** With more keys blocked than this nothing new is sent until some have come due. */
const MAX_HEADS = 20_000;
const MAX_DUE_PER_LOOK = 1_000;
/** A statement on SQLite has the process to itself: 20,000 heads in one took it for 100 ms. */
const HEADS_PER_PAGE = 2_000;

export interface Look {
  readonly webhookId: string;
  readonly ordering: Ordering;
  readonly instanceId: string;
  /** Only deliveries after this id are looked at. */
  readonly position: string;
  /** Whether it is known that nobody has deliveries of the webhook but this instance's queue. */
  readonly isClear: boolean;
  /** Whether a delivery waits in this instance's queue or is out of it. */
  readonly isKnown: (deliveryId: string) => boolean;
  /** Keys of which a retry is in the queue. */
  readonly probing: ReadonlySet<string>;
  /** Keys that waited for a retry at the last look, and for which. */
  readonly heads: ReadonlyMap<string, string>;
  /** Deliveries that were withdrawn from this instance's queue. */
  readonly withdrawn: ReadonlySet<string>;
  readonly space: Space;
}

export interface OrderedRow extends ClaimedRow, Waiting {}

export type View =
  /** Another instance sends this webhook, or it is not as it was thought to be. */
  | { readonly state: 'foreign' | 'changed' }
  /** Deliveries that were taken before the webhook was, or under another ordering, are still under way. */
  | { readonly state: 'unclear' }
  | {
      readonly state: 'open';
      readonly taken: readonly OrderedRow[];
      readonly position: string;
      readonly heads: ReadonlyMap<string, string>;
      /** Of the withdrawn deliveries those that are still in nobody's memory, and block their keys. */
      readonly withdrawn: ReadonlySet<string>;
      /** Milliseconds until the first retry that something waits for; null: there is none. */
      readonly dueInMs: number | null;
      /** Of each key the first of those that came due: before what follows it, even if that is in the queue already. */
      readonly due: ReadonlyMap<string, string>;
      /** More waits that could not be looked at. */
      readonly hasMore: boolean;
      /** It stopped to let others in, not for want of room. */
      readonly isCutShort: boolean;
    };

/** One look at an ordered webhook: makes sure of it, finds out what is blocked, and claims what may go next, in order. */
export async function claimInOrder(tx: Tx, look: Look): Promise<View> {
  if (!(await isStill(tx, look.webhookId, look.ordering))) return { state: 'changed' };
  if (!(await own(tx, look.webhookId, look.instanceId))) return { state: 'foreign' };
  if (!look.isClear && (await isElsewhere(tx, look))) return { state: 'unclear' };

  const stillAway = await stillWithdrawn(tx, look);
  const withdrawn = new Set(stillAway.map(({ id }) => id));
  const back = [...look.withdrawn].filter((id) => !withdrawn.has(id));
  const due = await putInLine(tx, look);
  const { heads, dueInMs, isAll } = await readHeads(tx, look, stillAway);
  const reopened = earliest([...(due.first === null ? [] : [due.first]), ...unblocked(look.heads, heads), ...back]);
  const position = reopened !== null && reopened <= look.position ? before(reopened) : look.position;
  const facts = { heads, withdrawn, dueInMs, due: due.byKey };
  // With some of them unknown, one that must wait might be taken.
  if (due.hasMore) return { ...facts, state: 'open', taken: [], position, hasMore: true, isCutShort: true };
  if (!isAll) return { ...facts, state: 'open', taken: [], position, hasMore: true, isCutShort: false };
  return { ...facts, state: 'open', ...(await claimNext(tx, look, heads, position)) };
}

/** Ordered webhooks are for the instance that owns them; a claim without order must know that this is none. Held until the commit. */
export async function orderedAmong(tx: Tx, webhookIds: readonly string[]): Promise<Set<string>> {
  const { sql, parameters } = tx.dialect.oneOf('id', webhookIds);
  const rows = await tx.query<{ id: string; ordering: Ordering }>(
    `SELECT id, ordering FROM webhooks WHERE ${sql} ${tx.dialect.forShare}`,
    parameters,
  );
  return new Set(rows.filter(({ ordering }) => ordering !== Ordering.NONE).map(({ id }) => id));
}

async function isStill(tx: Tx, webhookId: string, ordering: Ordering): Promise<boolean> {
  const [row] = await tx.query<{ ordering: Ordering; status: WebhookStatus; deleted_at: number | null }>(
    `SELECT ordering, status, deleted_at FROM webhooks WHERE id = ? ${tx.dialect.forShare}`,
    [webhookId],
  );
  return row?.ordering === ordering && row.status === WebhookStatus.ACTIVE && row.deleted_at === null;
}

/** Takes the webhook, where nobody alive has it. What a dead owner had under way comes first again, before anything after it. */
async function own(tx: Tx, webhookId: string, instanceId: string): Promise<boolean> {
  const [row] = await tx.query<{ owner: string }>(`SELECT owner FROM webhook_owners WHERE webhook_id = ? ${tx.dialect.forUpdate}`, [
    webhookId,
  ]);
  if (row === undefined) {
    const sql = `${tx.dialect.insertIgnore} INTO webhook_owners (webhook_id, owner) VALUES (?, ?)`;
    return (await tx.execute(sql, [webhookId, instanceId])) === 1;
  }
  if (row.owner === instanceId) return true;
  const [live] = await tx.query('SELECT id FROM instances WHERE id = ?', [row.owner]);
  if (live !== undefined) return false;
  await tx.execute('UPDATE webhook_owners SET owner = ? WHERE webhook_id = ?', [instanceId, webhookId]);
  await tx.execute("UPDATE deliveries SET owner = '' WHERE owner = ? AND webhook_id = ?", [row.owner, webhookId]);
  return true;
}

async function isElsewhere(tx: Tx, { webhookId, isKnown }: Look): Promise<boolean> {
  const all = await owners(tx);
  if (all.length === 0) return false;
  const { sql, parameters } = tx.dialect.oneOf('owner', all);
  const rows = await tx.query<{ id: string }>(`SELECT id FROM deliveries WHERE ${sql} AND webhook_id = ?`, [...parameters, webhookId]);
  return rows.some(({ id }) => !isKnown(id));
}

interface KeyedRow {
  readonly id: string;
  readonly ordering_key: string | null;
}

/** Before all else is read: what is put back meanwhile is then seen among the rest. */
async function stillWithdrawn(tx: Tx, { withdrawn, instanceId }: Look): Promise<KeyedRow[]> {
  if (withdrawn.size === 0) return [];
  const { sql, parameters } = tx.dialect.oneOf('id', [...withdrawn]);
  return tx.query<KeyedRow>(`SELECT id, ordering_key FROM deliveries WHERE ${sql} AND owner = ?`, [...parameters, instanceId]);
}

interface Due {
  readonly first: string | null;
  readonly byKey: ReadonlyMap<string, string>;
  readonly hasMore: boolean;
}

/** What has come due takes its place among those that wait, by its sequence. */
async function putInLine(tx: Tx, { webhookId, ordering }: Look): Promise<Due> {
  const rows = await tx.query<KeyedRow>(
    `SELECT id, ordering_key FROM deliveries ${tx.dialect.throughIndex('deliveries_due')}
      WHERE owner = '' AND webhook_id = ? AND due_at > 0 AND due_at <= ${tx.dialect.now} LIMIT ${MAX_DUE_PER_LOOK} ${tx.dialect.forUpdate}`,
    [webhookId],
  );
  if (rows.length === 0) return { first: null, byKey: new Map(), hasMore: false };
  const ids = rows.map(({ id }) => id);
  const { sql, parameters } = tx.dialect.oneOf('id', ids);
  await tx.execute(`UPDATE deliveries SET due_at = 0 WHERE ${sql}`, parameters);
  return { first: earliest(ids), byKey: firstByKey(ordering, rows), hasMore: ids.length === MAX_DUE_PER_LOOK };
}

interface Heads {
  readonly heads: ReadonlyMap<string, string>;
  readonly dueInMs: number | null;
  readonly isAll: boolean;
}

/** What waits for a later attempt, or was withdrawn: the first of each key blocks what comes after it. */
async function readHeads(tx: Tx, look: Look, withdrawn: readonly KeyedRow[]): Promise<Heads> {
  const heads = firstByKey(look.ordering, withdrawn);
  let first: WaitingHead | undefined;
  let last: WaitingHead | undefined;
  for (let read = 0; read < MAX_HEADS; read += HEADS_PER_PAGE) {
    const rows = await headsAfter(tx, look, last);
    for (const [key, id] of firstByKey(look.ordering, rows)) keepFirst(heads, key, id);
    first ??= rows[0];
    last = rows.at(-1);
    if (rows.length < HEADS_PER_PAGE) return { heads, dueInMs: first === undefined ? null : Number(first.due_in), isAll: true };
  }
  return { heads, dueInMs: first === undefined ? null : Number(first.due_in), isAll: false };
}

interface WaitingHead extends KeyedRow {
  readonly due_at: number;
  readonly due_in: number;
}

/** A page, those that come due first at its beginning. */
function headsAfter(tx: Tx, { webhookId, ordering }: Look, last: WaitingHead | undefined): Promise<WaitingHead[]> {
  const { now, throughIndex } = tx.dialect;
  return tx.query<WaitingHead>(
    `SELECT id, ordering_key, due_at, due_at - ${now} AS due_in FROM deliveries ${throughIndex('deliveries_due')}
      WHERE owner = '' AND webhook_id = ? AND due_at > 0 ${ordering === Ordering.BY_KEY ? 'AND ordering_key IS NOT NULL' : ''}
        ${last === undefined ? '' : 'AND due_at >= ? AND (due_at > ? OR id > ?)'}
      ORDER BY due_at, id LIMIT ${HEADS_PER_PAGE}`,
    last === undefined ? [webhookId] : [webhookId, last.due_at, last.due_at, last.id],
  );
}

function firstByKey(ordering: Ordering, rows: readonly KeyedRow[]): Map<string, string> {
  const first = new Map<string, string>();
  for (const { id, ordering_key } of rows) {
    const key = keyOf(ordering, ordering_key);
    if (key !== null) keepFirst(first, key, id);
  }
  return first;
}

/** Of each key the delivery that comes before the others. */
export function keepFirst(firsts: Map<string, string>, key: string, id: string): void {
  if (id < (firsts.get(key) ?? '~')) firsts.set(key, id);
}

/** Those that nothing waits for any more: sent, cancelled, or due. */
function unblocked(known: ReadonlyMap<string, string>, heads: ReadonlyMap<string, string>): string[] {
  return [...known].filter(([key, id]) => heads.get(key) !== id).map(([, id]) => id);
}

async function claimNext(tx: Tx, look: Look, heads: ReadonlyMap<string, string>, from: string) {
  const { ordering, probing: inQueue } = look;
  const probing = new Set(inQueue);
  const taken: OrderedRow[] = [];
  let position = from;
  let bytes = look.space.bytes;
  let hasMore = look.space.deliveries <= 0;
  let pages = hasMore ? MAX_PAGES_PER_LOOK : 0;
  for (let isThrough = hasMore; !isThrough && pages < MAX_PAGES_PER_LOOK; pages++) {
    const rows = await waitingAfter(tx, look.webhookId, position);
    const space = { deliveries: look.space.deliveries - taken.length, bytes, isEmpty: look.space.isEmpty && taken.length === 0 };
    const choice = choose(rows, { ordering, heads, probing, space });
    taken.push(...choice.taken);
    bytes -= choice.taken.reduce((sum, row) => sum + weightOf(Number(row.payload_chars)), 0);
    position = choice.position ?? position;
    isThrough = choice.stop !== null || rows.length < ROWS_PER_PAGE;
    hasMore = choice.stop === 'full' || (choice.stop === null && rows.length === ROWS_PER_PAGE);
  }
  const isCutShort = hasMore && pages === MAX_PAGES_PER_LOOK && look.space.deliveries > 0;
  return { taken: await claimRows(tx, taken, look.instanceId), position, hasMore, isCutShort };
}

async function waitingAfter(queries: Queries, webhookId: string, position: string): Promise<OrderedRow[]> {
  return queries.query<OrderedRow>(
    `SELECT ${CLAIMED_COLUMNS}, ordering_key
       FROM deliveries ${queries.dialect.throughIndex('deliveries_due')}
      WHERE owner = '' AND webhook_id = ? AND due_at = 0 AND id > ? ORDER BY id LIMIT ${ROWS_PER_PAGE}`,
    [webhookId, position],
  );
}

/** Nobody else claims of an owned webhook, but one may have been cancelled since it was read. */
async function claimRows(tx: Tx, rows: readonly OrderedRow[], instanceId: string): Promise<readonly OrderedRow[]> {
  if (rows.length === 0) return rows;
  const { sql, parameters } = tx.dialect.oneOf(
    'id',
    rows.map(({ id }) => id),
  );
  const locked = await tx.query<{ id: string; owner: string | null }>(
    `SELECT id, owner FROM deliveries WHERE ${sql} ${tx.dialect.forUpdate}`,
    parameters,
  );
  const free = new Set(locked.filter(({ owner }) => owner === '').map(({ id }) => id));
  const still = rows.filter(({ id }) => free.has(id));
  if (still.length === 0) return still;
  const those = tx.dialect.oneOf(
    'id',
    still.map(({ id }) => id),
  );
  await tx.execute(`UPDATE deliveries SET owner = ? WHERE ${those.sql}`, [instanceId, ...those.parameters]);
  return still;
}

function earliest(ids: readonly string[]): string | null {
  return [...ids].sort()[0] ?? null;
}

/** A position from which `id` is the first: ids have a fixed length, so its beginning stands right before it. */
export function before(id: string): string {
  return id.slice(0, -1);
}

import type { Queries } from '../store/database';
import {
  countUpTo,
  MAX_COUNTED_ROWS,
  type Page,
  type PageRequest,
  type Place,
  pageEnd,
  parsePlace,
  placeText,
  type SearchAllowance,
  type TotalCount,
  totalOf,
} from '../store/page';
import { Webhook, type WebhookHealth, type WebhookStatus } from './webhook';

/** Which webhooks; what is absent or null does not restrict. */
export interface WebhookSelection {
  readonly statuses?: readonly WebhookStatus[] | null;
  /** Only webhooks with this URL. */
  readonly url?: string | null;
  /** Within the URL or the description, in whatever case. */
  readonly text?: string | null;
  readonly health?: readonly WebhookHealth[] | null;
}

/** By the time of their creation. */
export type Direction = 'ASC' | 'DESC';

/** What is known of webhooks only where they are served. */
export type HealthOf = (webhook: Webhook) => Promise<WebhookHealth>;

const MAX_ROWS_PER_READ = 500;
/** Whole records, to ask for their health. */
const MAX_WEBHOOKS_PER_READ = 50;
/** A health is found out by up to three queries: that takes as long as looking at so many rows. */
const LOOKS_PER_HEALTH = 20;

interface Row {
  readonly id: string;
  readonly url: string;
  readonly description: string | null;
  readonly status: WebhookStatus;
  readonly created_at: number;
  readonly deleted_at: number | null;
}

/** What is listed, and how. */
export interface Listing {
  readonly applicationId: string;
  readonly selection: WebhookSelection;
  readonly direction: Direction;
  readonly healthOf: HealthOf;
}

/** Those that are not deleted. */
export async function listWebhooks(
  read: Queries,
  listing: Listing,
  { first, after }: PageRequest,
  allowance: SearchAllowance,
): Promise<Page<Webhook>> {
  const { ids, leftOff } = await search(read, listing, after, first + 1, allowance);
  const shown = ids.slice(0, first);
  const byId = new Map((await readWebhooks(read, shown)).map((webhook) => [webhook.id, webhook]));
  return {
    rows: shown.flatMap((id) => byId.get(id) ?? []),
    ...pageEnd(ids.length, first, leftOff),
    count: (most) => count(read, listing, most),
  };
}

interface Found {
  readonly ids: readonly string[];
  readonly leftOff?: Place;
}

async function search(
  read: Queries,
  listing: Listing,
  after: string | undefined,
  most: number,
  allowance: SearchAllowance,
): Promise<Found> {
  const ids: string[] = [];
  let place = after;
  for (let size = Math.min(most, MAX_ROWS_PER_READ); ; size = MAX_ROWS_PER_READ) {
    const rows = await readRows(read, listing, place, size);
    const own = rows.filter((row) => matches(listing.selection, row));
    // What is in the answer is counted there.
    await allowance.looked(rows.length - (isAll(listing.selection) ? own.length : 0));
    const passed = await withHealth(read, listing, own, most - ids.length, allowance);
    ids.push(...passed.ids);
    if (ids.length >= most) return { ids };
    if (passed.leftOff) return { ids, leftOff: passed.leftOff };
    const last = rows.at(-1);
    if (last === undefined || rows.length < size) return { ids };
    if (allowance.rows <= 0) return { ids, leftOff: placeOf(last) };
    place = placeOf(last).key;
  }
}

async function readRows(read: Queries, { applicationId, direction }: Listing, after: string | undefined, most: number): Promise<Row[]> {
  const onward = direction === 'ASC' ? '>' : '<';
  const place = after === undefined ? undefined : parsePlace(after);
  const isBehind = place === undefined ? '' : `AND created_at ${onward}= ? AND (created_at ${onward} ? OR id ${onward} ?)`;
  return read.query<Row>(
    `SELECT id, url, description, status, created_at, deleted_at FROM webhooks ${read.dialect.throughIndex('webhooks_by_creation')}
      WHERE application_id = ? ${isBehind} ORDER BY application_id ${direction}, created_at ${direction}, id ${direction} LIMIT ${most}`,
    place === undefined ? [applicationId] : [applicationId, place.at, place.at, place.id],
  );
}

function isAll({ statuses, url, text, health }: WebhookSelection): boolean {
  return !statuses && !url && !text && !health;
}

function matches({ statuses, url, text }: WebhookSelection, row: Row): boolean {
  if (row.deleted_at !== null) return false;
  if (statuses && !statuses.includes(row.status)) return false;
  if (url && row.url !== url) return false;
  return !text || contains(row.url, text) || contains(row.description ?? '', text);
}

function contains(whole: string, part: string): boolean {
  return whole.toLowerCase().includes(part.toLowerCase());
}

async function withHealth(
  read: Queries,
  { selection: { health }, healthOf }: Listing,
  rows: readonly Row[],
  most: number,
  allowance: SearchAllowance,
): Promise<Found> {
  if (!health) return { ids: rows.slice(0, most).map(({ id }) => id) };
  const ids: string[] = [];
  for (let start = 0; start < rows.length; start += MAX_WEBHOOKS_PER_READ) {
    const part = rows.slice(start, start + MAX_WEBHOOKS_PER_READ);
    const webhooks = await readWebhooks(
      read,
      part.map(({ id }) => id),
    );
    await allowance.looked(LOOKS_PER_HEALTH * part.length);
    const found = await Promise.all(webhooks.map(async (webhook) => [webhook.id, await healthOf(webhook)] as const));
    const healths = new Map(found);
    for (const { id } of part) {
      const own = healths.get(id);
      if (own !== undefined && health.includes(own) && ids.push(id) >= most) return { ids };
    }
    const last = part.at(-1);
    if (allowance.rows <= 0 && last && start + part.length < rows.length) return { ids, leftOff: placeOf(last) };
  }
  return { ids };
}

function placeOf({ id, created_at }: Row): Place {
  const at = Number(created_at);
  return { key: placeText({ at, id }), at: new Date(at) };
}

async function readWebhooks(read: Queries, ids: readonly string[]): Promise<Webhook[]> {
  return ids.length === 0 ? [] : read.manager.createQueryBuilder(Webhook, 'w').where('w.id IN (:...ids)', { ids }).getMany();
}

async function count(read: Queries, listing: Listing, allowance: SearchAllowance): Promise<TotalCount> {
  if (isAll(listing.selection)) {
    const sql = 'SELECT id FROM webhooks WHERE application_id = ? AND deleted_at IS NULL';
    return totalOf(await countUpTo(read, sql, [listing.applicationId], allowance));
  }
  const { ids, leftOff } = await search(read, listing, undefined, MAX_COUNTED_ROWS + 1, allowance);
  return totalOf(ids.length, leftOff);
}

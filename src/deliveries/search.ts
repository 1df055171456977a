import { type AttemptFacts, readAttemptFacts } from '../attempts/read-facts';
import { applicationIdOf, attemptId, deliveryId, deliveryRangeOf, isId, sequenceOf, sequenceRange } from '../ids';
import type { Queries } from '../store/database';
import {
  countUpTo,
  MAX_COUNTED_ROWS,
  type Page,
  type PageRequest,
  type Place,
  pageEnd,
  type SearchAllowance,
  type TotalCount,
  totalOf,
} from '../store/page';
import { Delivery, DeliveryStatus } from './delivery';
import {
  asksForAttempt,
  asksForOrderingKey,
  type DeliverySelection,
  matchesAttempt,
  matchesOrderingKey,
  matchesSelection,
} from './selection';
import { sequencesBetween } from './sequences-between';

/*
 * A page of deliveries, newest event first. Each comes along the index that suits the filter best: of some webhooks, of
 * some states, or all of them. What the index does not answer is asked of row by row, by the same code that judges live
 * updates and retry jobs, for as long as the search may take.
 */

/** As the drivers hand them over. */
interface Row {
  readonly id: string;
  readonly application_id: string;
  readonly webhook_id: string;
  readonly event_type: string;
  readonly payload_chars: number;
  readonly status: DeliveryStatus;
  readonly attempt_count: number;
  readonly owner: string | null;
  readonly due_at: number | null;
  readonly next_trigger: string | null;
  readonly body_key: string | null;
  readonly ordering_key: string | null;
  readonly created_at: number;
  readonly completed_at: number | null;
}

const COLUMNS =
  'id, application_id, webhook_id, event_type, payload_chars, status, attempt_count, owner, due_at, next_trigger, body_key, ordering_key, created_at, completed_at';

/** On SQLite the process does nothing else meanwhile: 5 ms. */
const MAX_ROWS_PER_READ = 1_000;
/** What a read is counted for at least, however few rows there are. */
const MIN_ROWS_PER_READ = 20;
/** Of more webhooks the deliveries are not read one webhook after the other. */
const MAX_LANES = 10;

interface KeyRange {
  readonly from: string;
  /** Not included. */
  readonly to: string;
}

/** Deliveries that an index has in the order of their ids. */
interface Lane {
  readonly hint: string;
  readonly condition: string;
  readonly parameters: readonly unknown[];
  /** The part of the selection that all of its rows meet. */
  readonly answers: 'statuses' | 'webhookIds' | null;
}

interface Plan {
  readonly lanes: readonly Lane[];
  /** Newest first; none overlap. */
  readonly ranges: readonly KeyRange[];
  /** Whether lanes and ranges leave something to be asked row by row. */
  readonly isExact: boolean;
}

export async function listDeliveries(
  read: Queries,
  applicationId: string,
  selection: DeliverySelection,
  { first, after }: PageRequest,
  allowance: SearchAllowance,
): Promise<Page<Delivery>> {
  const plan = await planFor(read, applicationId, selection);
  const { rows, leftOff } = await search(read, before(plan, after), selection, first + 1, allowance);
  return {
    rows: rows.slice(0, first).map(deliveryOf),
    ...pageEnd(rows.length, first, leftOff),
    count: (most) => count(read, plan, selection, most),
  };
}

async function planFor(read: Queries, applicationId: string, selection: DeliverySelection): Promise<Plan> {
  const { createdAfter, createdBefore, eventTypes, eventIds, webhookIds, statuses } = selection;
  const lanes = lanesFor(read, applicationId, selection);
  const answered = lanes[0]?.answers;
  const isExact =
    !createdAfter &&
    !createdBefore &&
    !eventTypes &&
    !asksForOrderingKey(selection) &&
    !asksForAttempt(selection) &&
    (!webhookIds || answered === 'webhookIds') &&
    (!statuses || answered === 'statuses');
  if (eventIds) return { lanes, ranges: rangesOf(applicationId, selection, eventIds), isExact };
  const stored = await sequencesBetween(read, applicationId, createdAfter, createdBefore);
  const first = Math.max(0, selection.minSequence ?? 0, stored.first);
  const last = Math.min(selection.maxSequence ?? Number.MAX_SAFE_INTEGER, stored.last);
  return { lanes, ranges: first <= last ? [sequenceRange('dlv', applicationId, first, last)] : [], isExact };
}

function rangesOf(applicationId: string, { minSequence, maxSequence }: DeliverySelection, eventIds: readonly string[]): KeyRange[] {
  const least = sequenceRange('dlv', applicationId, Math.max(0, minSequence ?? 0), 0).from;
  const most = sequenceRange('dlv', applicationId, 0, Math.max(0, maxSequence ?? Number.MAX_SAFE_INTEGER)).to;
  const ranges = eventIds.filter((id) => isId('evt', id) && applicationIdOf(id) === applicationId).map(deliveryRangeOf);
  const byStart = new Map(ranges.filter(({ from }) => from >= least && from < most).map((range) => [range.from, range]));
  return [...byStart.values()].sort((a, b) => (a.from < b.from ? 1 : -1));
}

/** SUCCEEDED is what nearly all deliveries come to: looking through those of the other states takes less than through a webhook's. */
function lanesFor({ dialect }: Queries, applicationId: string, { webhookIds, eventIds, statuses }: DeliverySelection): Lane[] {
  const all = { hint: dialect.byPrimaryKey, condition: '1 = 1', parameters: [], answers: null };
  const states = [...new Set(statuses)];
  const webhooks = [...new Set(webhookIds)].filter((id) => isId('whk', id) && applicationIdOf(id) === applicationId);
  if ((statuses && states.length === 0) || (webhookIds && webhooks.length === 0)) return [];
  const hasFew = webhookIds && webhooks.length <= MAX_LANES;
  if (eventIds) return hasFew && eventIds.length * webhooks.length <= MAX_LANES ? webhooks.map(toWebhook) : [all];
  if (statuses && !states.includes(DeliveryStatus.SUCCEEDED)) return states.map(inState);
  if (hasFew) return webhooks.map(toWebhook);
  return statuses && states.length === 1 ? states.map(inState) : [all];

  function inState(status: DeliveryStatus): Lane {
    return {
      hint: dialect.throughIndex('deliveries_by_status'),
      condition: 'application_id = ? AND status = ?',
      parameters: [applicationId, status],
      answers: 'statuses',
    };
  }

  function toWebhook(webhookId: string): Lane {
    return {
      hint: dialect.throughIndex('deliveries_by_webhook'),
      condition: 'webhook_id = ?',
      parameters: [webhookId],
      answers: 'webhookIds',
    };
  }
}

/** What of a plan lies after a cursor. */
function before(plan: Plan, after: string | undefined): Plan {
  if (after === undefined) return plan;
  const ranges = plan.ranges.filter(({ from }) => from < after).map(({ from, to }) => ({ from, to: [to, after].sort()[0] ?? to }));
  return { ...plan, ranges };
}

interface Found {
  readonly rows: readonly Row[];
  readonly leftOff?: Place;
}

async function search(
  read: Queries,
  { lanes, ranges, isExact }: Plan,
  selection: DeliverySelection,
  most: number,
  allowance: SearchAllowance,
): Promise<Found> {
  const found: Row[] = [];
  for (const [index, range] of ranges.entries()) {
    const merged = new Merge(read, lanes, range, Math.min(most, MAX_ROWS_PER_READ));
    for (;;) {
      const { rows, read: looked } = await merged.next(isExact ? MAX_ROWS_PER_READ : allowance.rows);
      // Those that an index finds are in the answer, where they are counted.
      if (!isExact) await allowance.looked(looked);
      found.push(...(await matching(read, selection, rows, allowance)));
      if (found.length >= most) return { rows: found.slice(0, most) };
      const last = rows.at(-1);
      if (last === undefined) break;
      if (allowance.rows <= 0 && !(merged.isDone && index === ranges.length - 1)) return leftOffAt(read, last, selection, found, allowance);
    }
  }
  return { rows: found };
}

/**
 * The end of a search that has come as far as a delivery. Among those to one webhook alone a page goes on behind one of its
 * own: the next that there can be, which is looked at, too.
 */
async function leftOffAt(
  read: Queries,
  { id, created_at }: Row,
  selection: DeliverySelection,
  found: readonly Row[],
  allowance: SearchAllowance,
): Promise<Found> {
  const at = new Date(Number(created_at));
  const [webhookId, ...others] = selection.webhookIds ?? [];
  if (webhookId === undefined || others.length > 0) return { rows: found, leftOff: { key: id, at } };
  const sequence = sequenceOf(id);
  const own = deliveryId(sequence, webhookId);
  const key = own < id ? own : deliveryId(sequence - 1, webhookId);
  const next = await read.query<Row>(`SELECT ${COLUMNS} FROM deliveries WHERE id = ?`, [key]);
  return { rows: [...found, ...(await matching(read, selection, next, allowance))], leftOff: { key, at } };
}

async function matching(read: Queries, selection: DeliverySelection, rows: readonly Row[], allowance: SearchAllowance): Promise<Row[]> {
  const own = rows.filter(
    (row) =>
      matchesOrderingKey(selection, row.ordering_key) &&
      matchesSelection(selection, {
        deliveryId: row.id,
        eventType: row.event_type,
        status: row.status,
        createdAt: Number(row.created_at),
      }),
  );
  if (!asksForAttempt(selection) || own.length === 0) return own;
  await allowance.looked(own.length);
  const attempts = await readLastAttempts(read, own);
  return own.filter((row) => matchesAttempt(selection, attempts.get(row.id)));
}

/** The last attempts of deliveries that have any, by the deliveries' ids. */
export async function readLastAttempts(
  read: Queries,
  deliveries: readonly { readonly id: string; readonly attempt_count: number }[],
): Promise<Map<string, AttemptFacts>> {
  const ids = new Map<string, string>();
  for (const { id, attempt_count } of deliveries) if (Number(attempt_count) > 0) ids.set(attemptId(id, Number(attempt_count)), id);
  const facts = new Map<string, AttemptFacts>();
  for (const [id, fact] of await readAttemptFacts(read, [...ids.keys()])) facts.set(ids.get(id) ?? '', fact);
  return facts;
}

interface Reading extends Lane {
  /** Read and not given yet, newest first. */
  waiting: readonly Row[];
  /** Where it goes on. */
  to: string;
  isDone: boolean;
}

/** Several lanes within a range as one, newest first, in chunks. */
class Merge {
  readonly #read: Queries;
  readonly #from: string;
  readonly #lanes: readonly Reading[];
  #size: number;

  constructor(read: Queries, lanes: readonly Lane[], { from, to }: KeyRange, firstSize: number) {
    this.#read = read;
    this.#from = from;
    this.#lanes = lanes.map((lane) => ({ ...lane, waiting: [], to, isDone: false }));
    this.#size = firstSize;
  }

  /** Everything is given. */
  get isDone(): boolean {
    return this.#lanes.every(({ isDone, waiting }) => isDone && waiting.length === 0);
  }

  /** The next rows, and how many were read for it, of each lane about `most` at most; none at the end. */
  async next(most: number): Promise<{ rows: readonly Row[]; read: number }> {
    let looked = 0;
    this.#size = Math.min(this.#size, Math.max(MIN_ROWS_PER_READ, most));
    for (const lane of this.#lanes)
      if (lane.waiting.length === 0 && !lane.isDone) looked += Math.max(MIN_ROWS_PER_READ, await this.#fill(lane));
    this.#size = Math.min(4 * this.#size, MAX_ROWS_PER_READ);
    // Below what a lane has shown last there may be others of its rows.
    const edges = this.#lanes.flatMap(({ isDone, to }) => (isDone ? [] : [to]));
    const edge = edges.sort().at(-1) ?? '';
    const byId = new Map<string, Row>(); // one that changes its state meanwhile may be in two lanes
    for (const lane of this.#lanes) {
      for (const row of lane.waiting) if (row.id >= edge) byId.set(row.id, row);
      lane.waiting = lane.waiting.filter(({ id }) => id < edge);
    }
    return { rows: [...byId.values()].sort((a, b) => (a.id < b.id ? 1 : -1)), read: looked };
  }

  async #fill(lane: Reading): Promise<number> {
    const rows = await this.#read.query<Row>(
      `SELECT ${COLUMNS} FROM deliveries ${lane.hint} WHERE ${lane.condition} AND id >= ? AND id < ? ORDER BY id DESC LIMIT ${this.#size}`,
      [...lane.parameters, this.#from, lane.to],
    );
    lane.waiting = rows;
    lane.isDone = rows.length < this.#size;
    lane.to = rows.at(-1)?.id ?? lane.to;
    return rows.length;
  }
}

async function count(read: Queries, plan: Plan, selection: DeliverySelection, allowance: SearchAllowance): Promise<TotalCount> {
  if (!plan.isExact) {
    const { rows, leftOff } = await search(read, plan, selection, MAX_COUNTED_ROWS + 1, allowance);
    return totalOf(rows.length, leftOff);
  }
  let n = 0;
  for (const { from, to } of plan.ranges)
    for (const { hint, condition, parameters } of plan.lanes) {
      const sql = `SELECT id FROM deliveries ${hint} WHERE ${condition} AND id >= ? AND id < ?`;
      n += await countUpTo(read, sql, [...parameters, from, to], allowance);
      if (n > MAX_COUNTED_ROWS) return totalOf(n);
    }
  return totalOf(n);
}

function deliveryOf(row: Row): Delivery {
  const delivery = new Delivery();
  delivery.id = row.id;
  delivery.applicationId = row.application_id;
  delivery.webhookId = row.webhook_id;
  delivery.eventType = row.event_type;
  delivery.payloadChars = Number(row.payload_chars);
  delivery.status = row.status;
  delivery.attemptCount = Number(row.attempt_count);
  delivery.owner = row.owner;
  delivery.dueAt = dateOf(row.due_at);
  delivery.nextTrigger = row.next_trigger;
  delivery.bodyKey = row.body_key;
  delivery.orderingKey = row.ordering_key;
  delivery.createdAt = new Date(Number(row.created_at));
  delivery.completedAt = dateOf(row.completed_at);
  return delivery;
}

function dateOf(ms: number | null): Date | null {
  return ms === null ? null : new Date(Number(ms));
}

import { withRows } from '../support/rows';
import type { Facts, StoredDelivery, StoredEvent, StoredFailure, StoredOwner, StoredUpdates } from './facts';

type Stored = Pick<Facts, 'events' | 'deliveries' | 'failures' | 'updates' | 'instances' | 'owners' | 'unfinishedJobs'>;

interface EventRow {
  readonly application_id: string;
  readonly sequence: number;
  readonly id: string;
  readonly type: string;
  readonly payload: string;
  readonly ordering_key: string | null;
}

interface DeliveryRow {
  readonly id: string;
  readonly event_id: string;
  readonly webhook_id: string;
  readonly status: string;
  readonly attempt_count: number;
  readonly owner: string | null;
  readonly due_in: number | null;
}

interface UpdatesRow {
  readonly application_id: string;
  readonly first_sequence: number;
  readonly last_sequence: number;
  readonly updates: string;
}

const NOW = 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)';

/** An event's id is its application, its sequence and five characters; a delivery's the first two and its webhook's. */
const DELIVERIES = `SELECT d.id, e.id AS event_id, d.webhook_id, d.status, d.attempt_count, d.owner, d.due_at - ${NOW} AS due_in
  FROM deliveries d JOIN events e ON e.application_id = d.application_id AND SUBSTRING(e.id, 5, 23) = SUBSTRING(d.id, 5, 23)`;

/** Whatever the hubs have stored, read past them. */
export function readStored(databaseUrl: string): Promise<Stored> {
  return withRows(databaseUrl, async (query) => {
    const events = await query<EventRow>(
      'SELECT application_id, sequence, id, type, payload, ordering_key FROM events ORDER BY application_id, sequence',
    );
    const deliveries = await query<DeliveryRow>(DELIVERIES);
    const failures = await query<StoredFailure>("SELECT id, outcome, duration_ms AS durationMs FROM attempts WHERE outcome <> 'SUCCESS'");
    const updates = await query<UpdatesRow>(
      'SELECT application_id, first_sequence, last_sequence, updates FROM delivery_updates ORDER BY application_id, last_sequence',
    );
    const instances = await query<{ id: string }>('SELECT id FROM instances');
    const owners = await query<StoredOwner>('SELECT webhook_id AS webhookId, owner FROM webhook_owners');
    const jobs = await query<{ id: string; status: string }>('SELECT id, status FROM retry_jobs WHERE completed_at IS NULL');
    return {
      events: events.map(eventOf),
      deliveries: deliveries.map(deliveryOf),
      failures: failures.map(({ id, outcome, durationMs }) => ({ id, outcome, durationMs: Number(durationMs) })),
      updates: updates.map(updatesOf),
      instances: instances.map(({ id }) => id),
      owners,
      unfinishedJobs: jobs.map(({ id, status }) => `${id}: ${status}`),
    };
  });
}

/** What has not come to its end yet, in short. */
export function countUnsettled(databaseUrl: string): Promise<number> {
  return withRows(databaseUrl, async (query) => {
    const [deliveries] = await query<{ n: number }>('SELECT COUNT(*) AS n FROM deliveries WHERE owner IS NOT NULL');
    const [jobs] = await query<{ n: number }>('SELECT COUNT(*) AS n FROM retry_jobs WHERE completed_at IS NULL');
    return Number(deliveries?.n) + Number(jobs?.n);
  });
}

/** Those that live, and those that died less than a lease ago. */
export function countInstances(databaseUrl: string): Promise<number> {
  return withRows(databaseUrl, async (query) => Number((await query<{ n: number }>('SELECT COUNT(*) AS n FROM instances'))[0]?.n));
}

/** How many updates of deliveries each application has had. */
export function countUpdates(databaseUrl: string): Promise<ReadonlyMap<string, number>> {
  return withRows(databaseUrl, async (query) => {
    const rows = await query<{ id: string; n: number }>(
      "SELECT application_id AS id, last_sequence AS n FROM counters WHERE log = 'update'",
    );
    return new Map(rows.map(({ id, n }) => [id, Number(n)]));
  });
}

/** The last event of a type. */
export interface Head {
  readonly applicationId: string;
  readonly type: string;
  readonly sequence: number;
}

export function readHeads(databaseUrl: string): Promise<Head[]> {
  return withRows(databaseUrl, async (query) => {
    const rows = await query<Head>(
      'SELECT application_id AS applicationId, type, MAX(sequence) AS sequence FROM events GROUP BY application_id, type',
    );
    return rows.map((row) => ({ ...row, sequence: Number(row.sequence) }));
  });
}

function eventOf({ application_id, sequence, id, type, payload, ordering_key }: EventRow): StoredEvent {
  const { no = null, total = 0 } = JSON.parse(payload) as { no?: number | null; total?: number };
  return { applicationId: application_id, sequence: Number(sequence), id, type, orderingKey: ordering_key, no, total };
}

function updatesOf({ application_id, first_sequence, last_sequence, updates }: UpdatesRow): StoredUpdates {
  const entries = JSON.parse(updates) as readonly [deliveryId: string, eventType: string, status: string, attempt: number][];
  return {
    applicationId: application_id,
    first: Number(first_sequence),
    last: Number(last_sequence),
    updates: entries.map(([deliveryId, , status, attempt]) => `${deliveryId} ${status} ${attempt}`),
  };
}

function deliveryOf({ id, event_id, webhook_id, status, attempt_count, owner, due_in }: DeliveryRow): StoredDelivery {
  return {
    id,
    eventId: event_id,
    webhookId: webhook_id,
    status,
    attemptCount: Number(attempt_count),
    owner,
    dueInMs: due_in === null ? null : Number(due_in),
  };
}

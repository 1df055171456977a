import { testBodyKey } from '../attempts/attempts';
import { type Clock, DAY, MINUTE } from '../clock';
import { auditRange, HUBS_OWN, idRange, sequenceOf, sequenceRange } from '../ids';
import type { Log } from '../log';
import type { Database, Queries, Tx } from '../store/database';
import { removeRows } from '../store/remove-rows';
import { WakeableLoop } from '../wakeable-loop';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Of applications without a retention of their own. Milliseconds. */
  readonly defaultRetentionMs: number;
}

const ROUND_MS = 10 * MINUTE;
const APPLICATIONS_PER_QUERY = 100;
const EVENTS_PER_STEP = 100;
/** Of the events in one step; a single event takes all of its own along. */
const DELIVERIES_PER_STEP = 2_000;
/** An attempt may hold 64 KiB of a response. */
const ATTEMPTS_PER_STEP = 200;
const JOBS_PER_STEP = 500;
const UPDATES_PER_STEP = 200;
/** A row may name a hundred targets. */
const MAX_AUDIT_ROWS_PER_STEP = 500;
/** How long other instances may take to hear of a redaction; they look twice a second. */
const REDACTIONS_KEPT_MS = DAY;

interface Tenant {
  readonly id: string;
  /** What is older goes. Milliseconds since the epoch, by the database's clock. */
  readonly cutoff: number;
  /** Whether there is anything so old: of a hundred thousand applications most have nothing to be looked for. */
  readonly hasOldEvents: boolean;
  readonly hasOldUpdates: boolean;
  readonly hasOldWebhookUpdates: boolean;
  readonly hasOldAudit: boolean;
  /** Of whatever age. */
  readonly hasTests: boolean;
  readonly hasJobs: boolean;
}

/**
 * Removes what is older than its application keeps it: events with their deliveries, attempts and bodies, delivery
 * updates, tests of webhooks, retry jobs that have ended. Oldest first along the clustered keys, in small transactions. An event waits for its last
 * delivery to finish; those after it don't wait. Sequences go on, so several instances may sweep at once: each step
 * locks what it judges.
 */
export class Retention {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#loop = new WakeableLoop({
      clock: deps.clock,
      everyMs: ROUND_MS,
      round: () => this.sweep(),
      failed: ({ message }) => deps.log.warn({ error: message }, 'retention.failed'),
    });
  }

  /** Sweeps now, and from then on now and again. */
  start(): void {
    this.#loop.wake();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** Once through all applications. */
  async sweep(): Promise<void> {
    const { database, defaultRetentionMs } = this.#deps;
    for (let after = ''; !this.#loop.isStopping; ) {
      const tenants = await tenantsAfter(database.read, after, defaultRetentionMs);
      for (const tenant of tenants) await this.#sweepTenant(tenant);
      after = tenants.at(-1)?.id ?? '';
      if (tenants.length < APPLICATIONS_PER_QUERY) break;
    }
    await this.#sweepAudit({ id: HUBS_OWN, cutoff: this.#deps.clock.now() - defaultRetentionMs });
    // Left by an instance that died before it noticed the deletion.
    const isDeleted = 'EXISTS (SELECT 1 FROM webhooks w WHERE w.id = webhook_owners.webhook_id AND w.deleted_at IS NOT NULL)';
    await database.transaction((tx) => tx.execute(`DELETE FROM webhook_owners WHERE ${isDeleted}`));
    await database.transaction((tx) => tx.execute(`DELETE FROM redactions WHERE redacted_at < ${tx.dialect.now} - ${REDACTIONS_KEPT_MS}`));
  }

  async #sweepTenant(tenant: Tenant): Promise<void> {
    const events = tenant.hasOldEvents ? await this.#sweepEvents(tenant) : 0;
    const updates = tenant.hasOldUpdates ? await this.#sweepUpdates(tenant) : 0;
    const webhookUpdates = tenant.hasOldWebhookUpdates ? await this.#sweepWebhookUpdates(tenant) : 0;
    const tests = tenant.hasTests ? await this.#sweepTests(tenant) : 0;
    const jobs = tenant.hasJobs ? await this.#sweepJobs(tenant) : 0;
    const audit = tenant.hasOldAudit ? await this.#sweepAudit(tenant) : 0;
    if (events + updates + webhookUpdates + tests + jobs + audit > 0)
      this.#deps.log.info({ applicationId: tenant.id, events, updates, webhookUpdates, tests, jobs, audit }, 'retention.swept');
  }

  async #sweepEvents({ id, cutoff }: Tenant): Promise<number> {
    const { database } = this.#deps;
    let total = 0;
    for (let after = 0; !this.#loop.isStopping; ) {
      const step = await expiredEvents(database.read, id, after, cutoff);
      if (step === null) return total;
      for (const run of step.runs) total += await this.#removeRun(id, run);
      after = step.last;
    }
    return total;
  }

  /** Attempts first and event last: cut short anywhere, what is left is found again by its event. */
  async #removeRun(applicationId: string, run: Run): Promise<number> {
    const { database } = this.#deps;
    const { from, to } = sequenceRange('att', applicationId, run.first, run.last);
    const attempts = { table: 'attempts', key: 'id', condition: 'id >= ? AND id < ?', parameters: [from, to], most: ATTEMPTS_PER_STEP };
    for (let removed = ATTEMPTS_PER_STEP; removed === ATTEMPTS_PER_STEP; ) {
      if (this.#loop.isStopping) return 0;
      removed = await database.transaction((tx) => removeRows(tx, attempts));
    }
    return database.transaction((tx) => removeEvents(tx, applicationId, run));
  }

  async #sweepUpdates({ id, cutoff }: Tenant): Promise<number> {
    let total = 0;
    for (let removed = UPDATES_PER_STEP; removed === UPDATES_PER_STEP && !this.#loop.isStopping; total += removed)
      removed = await this.#deps.database.transaction((tx) => removeUpdates(tx, id, cutoff));
    return total;
  }

  async #sweepWebhookUpdates({ id, cutoff }: Tenant): Promise<number> {
    const updates = {
      table: 'webhook_updates',
      key: 'sequence',
      condition: 'application_id = ? AND created_at < ?',
      parameters: [id, cutoff],
      most: UPDATES_PER_STEP,
    };
    let total = 0;
    for (let removed = UPDATES_PER_STEP; removed === UPDATES_PER_STEP && !this.#loop.isStopping; total += removed)
      removed = await this.#deps.database.transaction((tx) => removeRows(tx, updates));
    return total;
  }

  async #sweepAudit({ id, cutoff }: Pick<Tenant, 'id' | 'cutoff'>): Promise<number> {
    const { from, to } = auditRange(id, undefined, cutoff);
    const audit = {
      table: 'audit_events',
      key: 'id',
      condition: 'id >= ? AND id < ?',
      parameters: [from, to],
      most: MAX_AUDIT_ROWS_PER_STEP,
    };
    let total = 0;
    for (let removed = MAX_AUDIT_ROWS_PER_STEP; removed === MAX_AUDIT_ROWS_PER_STEP && !this.#loop.isStopping; total += removed)
      removed = await this.#deps.database.transaction((tx) => removeRows(tx, audit));
    return total;
  }

  /** Retry jobs that have ended: their items went with them. */
  async #sweepJobs({ id, cutoff }: Tenant): Promise<number> {
    const { from, to } = idRange('job', id);
    const jobs = {
      table: 'retry_jobs',
      key: 'id',
      condition: 'id >= ? AND id < ? AND completed_at < ?',
      parameters: [from, to, cutoff],
      most: JOBS_PER_STEP,
    };
    let total = 0;
    for (let removed = JOBS_PER_STEP; removed === JOBS_PER_STEP && !this.#loop.isStopping; total += removed)
      removed = await this.#deps.database.transaction((tx) => removeRows(tx, jobs));
    return total;
  }

  async #sweepTests({ id, cutoff }: Tenant): Promise<number> {
    let total = 0;
    for (let removed = ATTEMPTS_PER_STEP; removed === ATTEMPTS_PER_STEP && !this.#loop.isStopping; total += removed)
      removed = await this.#deps.database.transaction((tx) => removeTests(tx, id, cutoff));
    return total;
  }
}

async function tenantsAfter(queries: Queries, after: string, defaultRetentionMs: number): Promise<Tenant[]> {
  const rows = await queries.query<{ id: string; retention_days: number | null; now: number }>(
    `SELECT id, retention_days, ${queries.dialect.now} AS now FROM applications
      WHERE deleted_at IS NULL AND id > ? ORDER BY id LIMIT ${APPLICATIONS_PER_QUERY}`,
    [after],
  );
  if (rows.length === 0) return [];
  const traces = new Map(
    (
      await tracesOf(
        queries,
        rows.map(({ id }) => id),
      )
    ).map((trace) => [trace.id, trace]),
  );
  return rows.map(({ id, retention_days: days, now }) => {
    const cutoff = Number(now) - (days === null ? defaultRetentionMs : Number(days) * DAY);
    const trace = traces.get(id);
    const isOld = (time: number | null | undefined) => typeof time === 'number' && time < cutoff;
    return {
      id,
      cutoff,
      hasOldEvents: isOld(trace?.oldest_event),
      hasOldUpdates: isOld(trace?.oldest_update),
      hasOldWebhookUpdates: isOld(trace?.oldest_webhook_update),
      hasOldAudit: typeof trace?.oldest_audit === 'string' && trace.oldest_audit < auditRange(id, cutoff).from,
      hasTests: Number(trace?.has_tests) === 1,
      hasJobs: Number(trace?.has_jobs) === 1,
    };
  });
}

interface Trace {
  readonly id: string;
  readonly oldest_event: number | null;
  readonly oldest_update: number | null;
  readonly oldest_webhook_update: number | null;
  readonly oldest_audit: string | null;
  readonly has_tests: number;
  readonly has_jobs: number;
}

/**
 * A few probes of clustered keys an application, in one statement for many. With each application's keys written out,
 * since a range that depends on another row is not looked up in an index by MySQL.
 */
async function tracesOf(queries: Queries, applicationIds: readonly string[]): Promise<Trace[]> {
  const one = `SELECT ? AS id,
    (SELECT created_at FROM events WHERE application_id = ? ORDER BY sequence LIMIT 1) AS oldest_event,
    (SELECT created_at FROM delivery_updates WHERE application_id = ? ORDER BY last_sequence LIMIT 1) AS oldest_update,
    (SELECT created_at FROM webhook_updates WHERE application_id = ? ORDER BY sequence LIMIT 1) AS oldest_webhook_update,
    (SELECT id FROM audit_events WHERE id >= ? AND id < ? ORDER BY id LIMIT 1) AS oldest_audit,
    EXISTS (SELECT 1 FROM attempts WHERE id >= ? AND id < ?) AS has_tests,
    EXISTS (SELECT 1 FROM retry_jobs WHERE id >= ? AND id < ?) AS has_jobs`;
  return queries.query<Trace>(
    applicationIds.map(() => one).join(' UNION ALL '),
    applicationIds.flatMap((id) => {
      const tests = sequenceRange('att', id, 0, 0); // they belong to no event: the sequence in their ids is 0
      const jobs = idRange('job', id);
      const audit = idRange('aud', id);
      return [id, id, id, id, audit.from, audit.to, tests.from, tests.to, jobs.from, jobs.to];
    }),
  );
}

/** Sequences from `first` to `last`, of which all that are there may go. */
interface Run {
  readonly first: number;
  readonly last: number;
}

/** The next expired events after a sequence, or null when there are none. */
async function expiredEvents(
  queries: Queries,
  applicationId: string,
  after: number,
  cutoff: number,
): Promise<{ runs: readonly Run[]; last: number } | null> {
  const rows = await queries.query<{ sequence: number; created_at: number }>(
    `SELECT sequence, created_at FROM events WHERE application_id = ? AND sequence > ? ORDER BY sequence LIMIT ${EVENTS_PER_STEP}`,
    [applicationId, after],
  );
  const fresh = rows.findIndex((row) => Number(row.created_at) >= cutoff);
  const expired = (fresh === -1 ? rows : rows.slice(0, fresh)).map((row) => Number(row.sequence));
  const [first] = expired;
  const last = expired.at(-1);
  if (first === undefined || last === undefined) return null;
  const { from, to } = sequenceRange('dlv', applicationId, first, last);
  const deliveries = await queries.query<{ id: string; owner: string | null }>(
    `SELECT id, owner FROM deliveries WHERE id >= ? AND id < ? ORDER BY id LIMIT ${DELIVERIES_PER_STEP + 1}`,
    [from, to],
  );
  const unfinished = new Set(deliveries.filter(({ owner }) => owner !== null).map(({ id }) => sequenceOf(id)));
  const cut = deliveries.length > DELIVERIES_PER_STEP ? sequenceOf(deliveries.at(-1)?.id ?? '') : Number.POSITIVE_INFINITY;
  const taken = expired.filter((sequence) => sequence === first || sequence < cut);
  return { runs: runsOf(taken, unfinished), last: taken.at(-1) ?? first };
}

/** Pure: the runs of sequences between those that have to stay. */
function runsOf(sequences: readonly number[], staying: ReadonlySet<number>): Run[] {
  const runs: Run[] = [];
  let first: number | undefined;
  let last = 0;
  const end = () => {
    if (first !== undefined) runs.push({ first, last });
    first = undefined;
  };
  for (const sequence of sequences) {
    if (staying.has(sequence)) {
      end();
      continue;
    }
    first ??= sequence;
    last = sequence;
  }
  end();
  return runs;
}

/** All or none of a run: when one of its deliveries has been taken up again meanwhile, the next sweep looks again. */
async function removeEvents(tx: Tx, applicationId: string, { first, last }: Run): Promise<number> {
  const those = 'application_id = ? AND sequence >= ? AND sequence <= ?';
  const parameters = [applicationId, first, last];
  await tx.query(`SELECT sequence FROM events WHERE ${those} ${tx.dialect.forUpdate}`, parameters);
  const deliveries = sequenceRange('dlv', applicationId, first, last);
  const rows = await tx.query<{ owner: string | null }>(`SELECT owner FROM deliveries WHERE id >= ? AND id < ? ${tx.dialect.forUpdate}`, [
    deliveries.from,
    deliveries.to,
  ]);
  if (rows.some(({ owner }) => owner !== null)) return 0;
  await tx.execute('DELETE FROM deliveries WHERE id >= ? AND id < ?', [deliveries.from, deliveries.to]);
  const attempts = sequenceRange('att', applicationId, first, last);
  await tx.execute('DELETE FROM attempts WHERE id >= ? AND id < ?', [attempts.from, attempts.to]); // one that ended just now
  await tx.execute(`DELETE FROM bodies WHERE ${those}`, parameters);
  return tx.execute(`DELETE FROM events WHERE ${those}`, parameters);
}

async function removeUpdates(tx: Tx, applicationId: string, cutoff: number): Promise<number> {
  const rows = await tx.query<{ last_sequence: number; created_at: number }>(
    `SELECT last_sequence, created_at FROM delivery_updates WHERE application_id = ? ORDER BY last_sequence LIMIT ${UPDATES_PER_STEP}`,
    [applicationId],
  );
  const fresh = rows.findIndex((row) => Number(row.created_at) >= cutoff);
  const expired = fresh === -1 ? rows : rows.slice(0, fresh);
  const last = expired.at(-1)?.last_sequence;
  if (last === undefined) return 0;
  await tx.execute('DELETE FROM delivery_updates WHERE application_id = ? AND last_sequence <= ?', [applicationId, Number(last)]);
  return expired.length;
}

async function removeTests(tx: Tx, applicationId: string, cutoff: number): Promise<number> {
  const { from, to } = sequenceRange('att', applicationId, 0, 0);
  const rows = await tx.query<{ id: string }>(
    `SELECT id FROM attempts WHERE id >= ? AND id < ? AND started_at < ? LIMIT ${ATTEMPTS_PER_STEP} ${tx.dialect.forUpdate}`,
    [from, to, cutoff],
  );
  if (rows.length === 0) return 0;
  const attempts = tx.dialect.oneOf(
    'id',
    rows.map(({ id }) => id),
  );
  const bodies = tx.dialect.oneOf(
    'body_key',
    rows.map(({ id }) => testBodyKey(id)),
  );
  await tx.execute(`DELETE FROM bodies WHERE application_id = ? AND sequence = 0 AND ${bodies.sql}`, [applicationId, ...bodies.parameters]);
  await tx.execute(`DELETE FROM attempts WHERE ${attempts.sql}`, attempts.parameters);
  return rows.length;
}

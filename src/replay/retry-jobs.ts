import { refuseUnknown } from '../applications/applications';
import type { Clock } from '../clock';
import type { DeliverySelection } from '../deliveries/selection';
import { sequenceBefore } from '../deliveries/sequences-between';
import { Problems, refuse, shown, UserErrorCode } from '../errors';
import type { Events } from '../events/events';
import type { Facts } from '../facts';
import { idRange, isId, newRetryJobId, sequenceOf } from '../ids';
import type { Database, Tx } from '../store/database';
import { readHead } from '../store/heads';
import { type Page, type PageRequest, readPage } from '../store/page';
import type { Snapshot, WebhookCache } from '../webhooks/webhook-cache';
import { addUnknownEvent, checkReplay, checkRetry, type ReplayRequest } from './check-selection';
import { type FindWebhook, firstCursor, nextStretch } from './plan';
import { type ReplaySelection, RetryJob, RetryJobKind, RetryJobStatus, type RetrySelection } from './retry-job';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly webhooks: Pick<WebhookCache, 'refresh'>;
  readonly events: Pick<Events, 'bySequences'>;
  readonly facts: Facts;
}

type Selection = RetrySelection | ReplaySelection;
/** A selection before it is known where the log ends. */
type Unbounded = Omit<RetrySelection, 'lastSequence'> | Omit<ReplaySelection, 'lastSequence'>;

/** How a job is asked for. */
interface Asked {
  readonly isDryRun: boolean;
  /** The key. */
  readonly authorId: string;
}

/** They share the instances' time, so many of them would only finish later. */
const MAX_OPEN_JOBS = 10;

/** Asking for deliveries again, many at a time. The work itself is the `Replayer`'s. */
export class RetryJobs {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * New attempts of the deliveries that the filter names; without `statuses` the FAILED ones. What is on its way
   * already is left to it, what belongs to a disabled webhook is left out.
   * @throws InputRefused
   */
  async retry(applicationId: string, filter: DeliverySelection, asked: Asked): Promise<RetryJob> {
    const snapshot = await this.#deps.webhooks.refresh(applicationId);
    const selection = checkRetry(applicationId, filter, snapshot.byId);
    await this.#checkEvents(applicationId, selection.eventIds ?? []);
    return this.#make(applicationId, selection, snapshot, asked);
  }

  /**
   * Deliveries of earlier events to a webhook that has none for them, as far as it would get them today.
   * @throws InputRefused
   */
  async replay(applicationId: string, request: ReplayRequest, asked: Asked): Promise<RetryJob> {
    const snapshot = await this.#deps.webhooks.refresh(applicationId);
    return this.#make(applicationId, checkReplay(request, snapshot.byId), snapshot, asked);
  }

  /** Hands nothing more out and takes back what has not left; one that is cancelled already stays so. */
  async cancel(id: string): Promise<RetryJob> {
    const { database, facts } = this.#deps;
    const job = await database.transaction(async (tx) => {
      const found = isId('job', id) ? await lockJob(tx, id) : null;
      if (found === null) return refuseUnknownJob(id);
      if (found.status === RetryJobStatus.COMPLETED)
        refuse('id', 'expected a job that is not finished; this one has COMPLETED', UserErrorCode.CONFLICT);
      if (found.status === RetryJobStatus.CANCELLED) return found;
      found.status = RetryJobStatus.CANCELLED;
      return saveJob(tx, found);
    });
    facts.jobRequested.emit({ job });
    return job;
  }

  async byId(id: string): Promise<RetryJob | null> {
    return isId('job', id) ? this.#deps.database.read.manager.findOneBy(RetryJob, { id }) : null;
  }

  async byIds(ids: readonly string[]): Promise<RetryJob[]> {
    return this.#deps.database.read.manager.createQueryBuilder(RetryJob, 'j').where('j.id IN (:...ids)', { ids }).getMany();
  }

  /** Newest first. */
  async list(applicationId: string, page: PageRequest): Promise<Page<RetryJob>> {
    const select = this.#deps.database.read.manager
      .createQueryBuilder(RetryJob, 'j')
      .where('j.id >= :from AND j.id < :to', idRange('job', applicationId));
    return readPage(select, { ...page, column: 'j.id', direction: 'DESC' });
  }

  async #checkEvents(applicationId: string, eventIds: readonly string[]): Promise<void> {
    if (eventIds.length === 0) return;
    const events = await this.#deps.events.bySequences(applicationId, eventIds.map(sequenceOf));
    const known = new Set(events.map(({ id }) => id));
    const problems = new Problems();
    for (const [index, id] of eventIds.entries()) if (!known.has(id)) addUnknownEvent(id, index, problems);
    problems.throwIfAny();
  }

  async #make(applicationId: string, unbounded: Unbounded, { byId }: Snapshot, { isDryRun, authorId }: Asked): Promise<RetryJob> {
    const { database, clock, facts } = this.#deps;
    const lastSequence = (await readHead(database, applicationId, 'event')) ?? refuseUnknown(applicationId);
    const selection: Selection = { ...unbounded, lastSequence };
    const now = clock.now();
    const job = Object.assign(new RetryJob(), {
      id: newRetryJobId(applicationId, now),
      applicationId,
      authorId,
      kind: selection.kind,
      status: isDryRun ? RetryJobStatus.DRY_RUN : RetryJobStatus.RUNNING,
      selection,
      scanCursor: await this.#start(applicationId, selection),
      planned: 0,
      total: 0,
      done: 0,
      failed: 0,
      version: 1,
      worker: '',
      workerUntil: 0,
      createdAt: new Date(now),
      completedAt: null,
    });
    job.total = await this.#count(job, async (webhookId) => byId.get(webhookId));
    if (isDryRun) return Object.assign(job, { completedAt: new Date(now) });
    if (job.total === 0) Object.assign(job, { status: RetryJobStatus.COMPLETED, scanCursor: null, completedAt: new Date(now) });
    await database.transaction((tx) => insertJob(tx, job));
    facts.jobRequested.emit({ job });
    return job;
  }

  async #start(applicationId: string, selection: Selection): Promise<string> {
    if (selection.kind === RetryJobKind.RETRY || selection.createdAfter === null) return firstCursor(selection);
    return String(await sequenceBefore(this.#deps.database.read, applicationId, selection.createdAfter, selection.lastSequence));
  }

  async #count(job: RetryJob, find: FindWebhook): Promise<number> {
    let total = 0;
    for (let cursor = job.scanCursor; cursor !== null; ) {
      const stretch = await nextStretch(this.#deps.database.read, job, cursor, find);
      total += stretch.deliveryIds.length;
      cursor = stretch.cursor;
      await new Promise<void>((resolve) => setImmediate(resolve)); // on SQLite a read keeps the process to itself
    }
    return total;
  }
}

export function refuseUnknownJob(id: string): never {
  return refuse('id', `expected the id of a retry job, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
}

/** Takes the job's row: who holds it takes its next step alone. */
export async function lockJob(tx: Tx, id: string): Promise<RetryJob | null> {
  await tx.query(`SELECT id FROM retry_jobs WHERE id = ? ${tx.dialect.forUpdate}`, [id]);
  return tx.manager.findOneBy(RetryJob, { id });
}

/** Writes what changes of a job, under its lock. */
export async function saveJob(tx: Tx, job: RetryJob): Promise<RetryJob> {
  job.version++;
  const { id, status, scanCursor, planned, total, done, failed, version, worker, workerUntil, completedAt } = job;
  await tx.manager.update(
    RetryJob,
    { id },
    { status, scanCursor, planned, total, done, failed, version, worker, workerUntil, completedAt },
  );
  return job;
}

/** Under the lock of the application's counter: it exists, and only so many jobs can be made at once. */
async function insertJob(tx: Tx, job: RetryJob): Promise<void> {
  const { applicationId } = job;
  const [counter] = await tx.query(
    `SELECT application_id FROM counters WHERE application_id = ? AND log = 'event' ${tx.dialect.forUpdate}`,
    [applicationId],
  );
  if (counter === undefined) refuseUnknown(applicationId);
  const { from, to } = idRange('job', applicationId);
  const [row] = await tx.query<{ open: number }>(
    'SELECT COUNT(*) AS open FROM retry_jobs WHERE completed_at IS NULL AND id >= ? AND id < ?',
    [from, to],
  );
  if (job.completedAt === null && Number(row?.open) >= MAX_OPEN_JOBS)
    refuse(
      'applicationId',
      `expected at most ${MAX_OPEN_JOBS} jobs at a time: wait for one to end or cancel it`,
      UserErrorCode.LIMIT_REACHED,
    );
  await tx.manager.insert(RetryJob, job as never); // TypeORM's type for partial entities takes no unions in JSON columns
}

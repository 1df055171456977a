import type { Clock } from '../clock';
import type { Verdict } from '../delivery/completion/settle';
import type { Delivery } from '../delivery/delivery';
import type { Facts } from '../facts';
import type { Log } from '../log';
import type { Database } from '../store/database';
import { WakeableLoop } from '../wakeable-loop';
import type { WebhookCache } from '../webhooks/webhook-cache';
import { nextStretch } from './plan';
import { RetryJob, RetryJobStatus } from './retry-job';
import { completeJob, planStretch, takeStep } from './step';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly webhooks: Pick<WebhookCache, 'find'>;
  readonly delivery: Pick<Delivery, 'withdraw' | 'release'>;
  readonly facts: Facts;
}

/** For what other instances do: make a job, settle a delivery of one, die over one. */
const POLL_MS = 500;
/** What ends meanwhile is counted together, and what follows is handed out together. */
const STEP_MS = 25;
const JOBS_PER_ROUND = 100;

/**
 * Carries retry jobs out, a step at a time: plans what a job is for, hands deliveries out webhook by webhook as earlier
 * ones end, and counts. Every step stands in one transaction under the job's row, so that the instance that takes the next one,
 * here, elsewhere or after a restart, goes on from there.
 */
export class Replayer {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;
  /** Deliveries of jobs whose attempts are waited for: at most a window a job and webhook. */
  readonly #awaited = new Set<string>();

  constructor(deps: Deps) {
    this.#deps = deps;
    const { clock, log, facts } = deps;
    this.#loop = new WakeableLoop({
      clock,
      everyMs: POLL_MS,
      round: () => this.#round(),
      failed: ({ message }) => log.warn({ error: message }, 'replay.failed'),
    });
    facts.jobRequested.on(() => this.#loop.wake());
    facts.changedElsewhere.on(({ topic }) => void (topic === 'jobs' && this.#loop.wake()));
    facts.attemptsSettled.on(({ released }) => this.#settled(released));
  }

  start(): void {
    this.#loop.wake();
  }

  /** Attempts are written down: where a job waits for one of them, it goes on. */
  #settled(verdicts: readonly Verdict[]): void {
    if (this.#awaited.size === 0) return;
    let isAwaited = false;
    for (const { finished } of verdicts) isAwaited = this.#awaited.delete(finished.job.deliveryId) || isAwaited;
    if (isAwaited) this.#loop.wakeIn(STEP_MS);
  }

  /** Leaves its jobs to the other instances, or to the next start. */
  async stop(): Promise<void> {
    const { database, instanceId, log } = this.#deps;
    await this.#loop.stop();
    await database
      .transaction((tx) => tx.execute('UPDATE retry_jobs SET worker_until = 0 WHERE completed_at IS NULL AND worker = ?', [instanceId]))
      .catch((error: Error) => log.warn({ error: error.message }, 'replay.not_released')); // its lease ends by itself
  }

  async #round(): Promise<void> {
    const { database, instanceId, log } = this.#deps;
    const { read } = database;
    const open = await read.query<{ id: string }>(
      // Of one that is cancelled every instance takes back what it has queued, no matter which one works on it.
      `SELECT id FROM retry_jobs WHERE completed_at IS NULL AND (worker = ? OR worker_until <= ${read.dialect.now} OR status = ?)
        ORDER BY id LIMIT ${JOBS_PER_ROUND}`,
      [instanceId, RetryJobStatus.CANCELLED],
    );
    if (open.length === 0) this.#awaited.clear();
    for (const { id } of open) {
      if (this.#loop.isStopping) return;
      try {
        await this.#advance(id);
      } catch (error) {
        log.warn({ jobId: id, error: (error as Error).message }, 'replay.step_failed'); // tried again in the next round
      }
    }
  }

  async #advance(id: string): Promise<void> {
    const { database, instanceId, clock, log } = this.#deps;
    const job = await database.read.manager.findOneBy(RetryJob, { id });
    if (job === null) return;
    if (job.status === RetryJobStatus.RUNNING && job.scanCursor !== null) await this.#plan(job, job.scanCursor);
    let isEmpty = true;
    for await (const webhookId of this.#webhooksOf(id)) {
      if (this.#loop.isStopping) return;
      isEmpty = false;
      await this.#takeStep(job, webhookId);
    }
    if (!isEmpty) return;
    const completed = await database.transaction((tx) => completeJob(tx, id, instanceId, clock.now()));
    if (completed === null) return;
    this.#deps.facts.jobAdvanced.emit({ job: completed });
    const { status, total, done, failed } = completed;
    log.info({ jobId: id, status, total, done, failed }, 'replay.ended');
  }

  async #plan(job: RetryJob, cursor: string): Promise<void> {
    const { database, instanceId, webhooks, facts } = this.#deps;
    const stretch = await nextStretch(database.read, job, cursor, (webhookId) => webhooks.find(webhookId));
    const planned = await database.transaction((tx) => planStretch(tx, job.id, instanceId, cursor, stretch));
    if (planned) facts.jobAdvanced.emit({ job: planned });
    this.#loop.wakeIn(STEP_MS);
  }

  /** The webhooks for which a job has something left: a probe of the key for each. */
  async *#webhooksOf(jobId: string): AsyncIterable<string> {
    for (let last = ''; ; ) {
      const [row] = await this.#deps.database.read.query<{ webhook_id: string | null }>(
        'SELECT MIN(webhook_id) AS webhook_id FROM retry_job_items WHERE job_id = ? AND webhook_id > ?',
        [jobId, last],
      );
      const webhookId = row?.webhook_id ?? null;
      if (webhookId === null) return;
      yield webhookId;
      last = webhookId;
    }
  }

  async #takeStep({ id: jobId, status }: RetryJob, webhookId: string): Promise<void> {
    const { database, instanceId, clock, webhooks, delivery, facts } = this.#deps;
    const webhook = await webhooks.find(webhookId);
    const withdrawn = status === RetryJobStatus.CANCELLED ? await this.#withdraw(jobId, webhookId) : new Set<string>();
    try {
      const step = await database.transaction((tx) => takeStep(tx, { jobId, webhookId, webhook, instanceId, withdrawn, now: clock.now() }));
      for (const id of step.putBack) withdrawn.delete(id);
      for (const id of step.awaited) this.#awaited.add(id);
      facts.updatesLogged.emit(step.updates);
      if (step.handedOut > 0 || step.putBack.length > 0) facts.deliveriesDue.emit({ webhookId });
      if (step.job) facts.jobAdvanced.emit({ job: step.job });
      if (step.job || step.handedOut > 0) this.#loop.wakeIn(STEP_MS);
    } finally {
      if (withdrawn.size > 0) delivery.release([...withdrawn]);
    }
  }

  /** Takes what this instance has queued for a job, and has not sent, out of its queue. */
  async #withdraw(jobId: string, webhookId: string): Promise<Set<string>> {
    const { database, instanceId, delivery } = this.#deps;
    const rows = await database.read.query<{ id: string }>(
      `SELECT d.id FROM retry_job_items i JOIN deliveries d ON d.id = i.delivery_id
        WHERE i.job_id = ? AND i.webhook_id = ? AND i.prior_status IS NOT NULL AND d.owner = ?`,
      [jobId, webhookId, instanceId],
    );
    return new Set(delivery.withdraw(rows.map(({ id }) => id)));
  }
}

import { type Clock, MINUTE } from '../clock';
import type { Facts } from '../facts';
import { idRange } from '../ids';
import type { Log } from '../log';
import type { Database } from '../store/database';
import { removeRows } from '../store/remove-rows';
import { WakeableLoop } from '../wakeable-loop';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

const ROUND_MS = 5 * MINUTE;
const ROWS_PER_STEP = 500;

/** One table's rows of an application, found along its primary key so that a step reads no more than it removes. */
interface Share {
  readonly table: string;
  readonly key: string;
  /** The condition on the application and its parameters. */
  readonly where: (applicationId: string) => readonly [string, ...unknown[]];
}

const byRange =
  (kind: 'whk' | 'dlv' | 'att' | 'job' | 'aud') =>
  (applicationId: string): readonly [string, ...unknown[]] => {
    return ['id >= ? AND id < ?', ...bounds(kind, applicationId)];
  };
const bounds = (kind: 'whk' | 'dlv' | 'att' | 'job' | 'aud', applicationId: string) => {
  const { from, to } = idRange(kind, applicationId);
  return [from, to] as const;
};
const byWebhook = (applicationId: string): readonly [string, ...unknown[]] => [
  'webhook_id >= ? AND webhook_id < ?',
  ...bounds('whk', applicationId),
];
const byApplication = (applicationId: string): readonly [string, ...unknown[]] => ['application_id = ?', applicationId];

/**
 * Retry jobs go first: every step of one holds its row, so nothing is planned or created once it is gone. Then
 * deliveries: a settle holds its row, so no attempt can appear once its delivery is gone.
 */
const SHARES: readonly Share[] = [
  { table: 'retry_jobs', key: 'id', where: byRange('job') },
  {
    table: 'retry_job_items',
    key: 'delivery_id',
    where: (applicationId) => ['job_id >= ? AND job_id < ?', ...bounds('job', applicationId)],
  },
  {
    table: 'cancellations',
    key: 'delivery_id',
    where: (applicationId) => ['delivery_id >= ? AND delivery_id < ?', ...bounds('dlv', applicationId)],
  },
  { table: 'deliveries', key: 'id', where: byRange('dlv') },
  { table: 'attempts', key: 'id', where: byRange('att') },
  { table: 'delivery_updates', key: 'last_sequence', where: byApplication },
  { table: 'webhook_updates', key: 'sequence', where: byApplication },
  { table: 'events', key: 'sequence', where: byApplication },
  { table: 'bodies', key: 'sequence', where: byApplication },
  { table: 'redactions', key: 'sequence', where: byApplication },
  { table: 'event_types', key: 'name', where: byApplication },
  { table: 'seen_event_types', key: 'name', where: byApplication },
  { table: 'webhook_health', key: 'webhook_id', where: byWebhook },
  { table: 'webhook_filter_health', key: 'webhook_id', where: byWebhook },
  { table: 'webhook_stats', key: 'webhook_id', where: byWebhook },
  { table: 'webhook_stats', key: 'started_at', where: (applicationId) => ['webhook_id = ?', applicationId] },
  {
    table: 'webhook_secrets',
    key: 'id',
    where: (applicationId) => ['webhook_id >= ? AND webhook_id < ?', ...bounds('whk', applicationId)],
  },
  {
    table: 'webhook_owners',
    key: 'webhook_id',
    where: (applicationId) => ['webhook_id >= ? AND webhook_id < ?', ...bounds('whk', applicationId)],
  },
  { table: 'webhooks', key: 'id', where: byRange('whk') },
  { table: 'api_keys', key: 'id', where: byApplication },
  { table: 'audit_events', key: 'id', where: byRange('aud') },
];

/** Removes the rows of deleted applications, a few hundred at a time: nobody waits for it, and it goes on after a restart. */
export class Remover {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;

  constructor(deps: Deps) {
    this.#deps = deps;
    deps.facts.applicationDeleted.on(() => this.#loop.wake());
    this.#loop = new WakeableLoop({
      clock: deps.clock,
      everyMs: ROUND_MS,
      round: () => this.#round(),
      failed: ({ message }) => deps.log.warn({ error: message }, 'removal.failed'),
    });
  }

  /** Looks for deleted applications now, and from then on now and again. */
  start(): void {
    this.#loop.wake();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  async #round(): Promise<void> {
    const { database, log } = this.#deps;
    const deleted = await database.read.query<{ id: string }>('SELECT id FROM applications WHERE deleted_at IS NOT NULL LIMIT 100');
    for (const { id } of deleted) {
      let rows = 0;
      for (const share of SHARES) rows += await this.#removeShare(share, id);
      if (this.#loop.isStopping) return;
      await database.transaction((tx) => tx.execute('DELETE FROM applications WHERE id = ? AND deleted_at IS NOT NULL', [id]));
      log.info({ applicationId: id, rows }, 'application.removed');
    }
  }

  async #removeShare(share: Share, applicationId: string): Promise<number> {
    let total = 0;
    const { table, key, where } = share;
    const [condition, ...parameters] = where(applicationId);
    for (let removed = ROWS_PER_STEP; removed === ROWS_PER_STEP && !this.#loop.isStopping; total += removed)
      removed = await this.#deps.database.transaction((tx) => removeRows(tx, { table, key, condition, parameters, most: ROWS_PER_STEP }));
    return total;
  }
}

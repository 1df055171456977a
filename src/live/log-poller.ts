import { type Clock } from '../clock';
import type { LogName } from '../cursor';
import type { Facts } from '../facts';
import type { Log } from '../log';
import type { Database } from '../store/database';
import { WakeableLoop } from '../wakeable-loop';
import type { LiveLog, Sequenced } from './live-log';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly logs: Readonly<Record<LogName, Pick<LiveLog<Sequenced>, 'watched' | 'ring'>>>;
  readonly facts: Facts;
}

const POLL_MS = 500;
const APPLICATIONS_PER_QUERY = 500;

/** The doorbell that needs nothing: asks the database how far the watched logs go. */
export class LogPoller {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;
  /** Applications to be looked at before the next round. */
  readonly #asked = new Set<string>();
  #looking: Promise<void> | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#loop = new WakeableLoop({
      clock: deps.clock,
      everyMs: POLL_MS,
      round: () => this.#round(),
      failed: ({ message }) => deps.log.warn({ error: message }, 'log_poll.failed'),
    });
    deps.facts.changedElsewhere.on(({ topic, ids }) => {
      if (topic === 'logs') this.#look(ids);
      if (topic === 'everything') this.#loop.wake();
    });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
    this.#asked.clear();
    await this.#looking;
  }

  /** Looks how far the logs of these applications go, as far as somebody watches them here. One look at a time. */
  #look(applicationIds: readonly string[]): void {
    if (this.#loop.isStopping) return;
    const watched = this.#watched();
    for (const id of applicationIds) if (watched.has(id)) this.#asked.add(id);
    this.#looking ??= this.#lookAtAsked().finally(() => {
      this.#looking = undefined;
    });
  }

  async #lookAtAsked(): Promise<void> {
    while (this.#asked.size > 0) {
      const asked = [...this.#asked];
      this.#asked.clear();
      await this.#lookAt(asked).catch(() => this.#asked.clear()); // the next round is near, and tells
    }
  }

  async #round(): Promise<void> {
    await this.#lookAt([...this.#watched()]);
  }

  #watched(): Set<string> {
    const { event, update, webhook } = this.#deps.logs;
    return new Set([...event.watched, ...update.watched, ...webhook.watched]);
  }

  async #lookAt(applicationIds: readonly string[]): Promise<void> {
    for (let start = 0; start < applicationIds.length; start += APPLICATIONS_PER_QUERY)
      await this.#query(applicationIds.slice(start, start + APPLICATIONS_PER_QUERY));
  }

  async #query(applicationIds: readonly string[]): Promise<void> {
    const { database, logs } = this.#deps;
    const { sql, parameters } = database.dialect.oneOf('application_id', applicationIds);
    const rows = await database.read.query<{
      application_id: string;
      log: 'event' | 'update';
      last_sequence: number;
      webhook_sequence: number;
    }>(`SELECT application_id, log, last_sequence, webhook_sequence FROM counters WHERE ${sql}`, parameters);
    for (const row of rows) {
      logs[row.log].ring(row.application_id, Number(row.last_sequence));
      if (row.log === 'event') logs.webhook.ring(row.application_id, Number(row.webhook_sequence));
    }
  }
}

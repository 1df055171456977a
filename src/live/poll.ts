import { type Cancel, type Clock } from '../clock';
import type { LogName } from '../cursor';
import type { Log } from '../log';
import type { Database } from '../store/database';
import type { LiveLog, Sequenced } from './live-log';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly logs: Readonly<Record<LogName, Pick<LiveLog<Sequenced>, 'watched' | 'ring'>>>;
  /** Looks at what else other instances may have changed. */
  readonly alsoEachRound: () => Promise<void>;
}

const POLL_MS = 500;
const APPLICATIONS_A_QUERY = 500;

/** The doorbell that needs nothing: asks the database how far the watched logs go. */
export class Poll {
  readonly #deps: Deps;
  #cancelTimer: Cancel | undefined;
  #running: Promise<void> | undefined;
  #isStopping = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    if (this.#isStopping) return;
    this.#cancelTimer = this.#deps.clock.after(POLL_MS, () => {
      this.#running = this.#round()
        .catch((error: Error) => this.#deps.log.warn({ error: error.message }, 'poll.failed'))
        .finally(() => this.start());
    });
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  async #round(): Promise<void> {
    const { logs, alsoEachRound } = this.#deps;
    const watched = [...new Set([...logs.event.watched, ...logs.update.watched])];
    for (let start = 0; start < watched.length; start += APPLICATIONS_A_QUERY)
      await this.#look(watched.slice(start, start + APPLICATIONS_A_QUERY));
    await alsoEachRound();
  }

  async #look(applicationIds: readonly string[]): Promise<void> {
    const { database, logs } = this.#deps;
    const { sql, parameters } = database.dialect.oneOf('application_id', applicationIds);
    const rows = await database.read.query<{ application_id: string; log: LogName; last_sequence: number }>(
      `SELECT application_id, log, last_sequence FROM counters WHERE ${sql}`,
      parameters,
    );
    for (const row of rows) logs[row.log].ring(row.application_id, Number(row.last_sequence));
  }
}

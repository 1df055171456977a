import { type Clock } from '../clock';
import type { LogName } from '../cursor';
import type { Log } from '../log';
import { Rounds } from '../rounds';
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
  readonly #rounds: Rounds;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#rounds = new Rounds({
      clock: deps.clock,
      everyMs: POLL_MS,
      round: () => this.#round(),
      failed: ({ message }) => deps.log.warn({ error: message }, 'poll.failed'),
    });
  }

  start(): void {
    this.#rounds.start();
  }

  async stop(): Promise<void> {
    await this.#rounds.stop();
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

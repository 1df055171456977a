import { type Clock, MINUTE } from '../clock';
import type { Facts } from '../facts';
import { groupBy } from '../group-by';
import type { Log } from '../log';
import type { Database } from '../store/database';
import { WakeableLoop } from '../wakeable-loop';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

/** Keys whose use has not been written down yet: beyond it a key's next minute will do. */
const MAX_PENDING_KEYS = 10_000;
const MAX_KEYS_PER_STATEMENT = 500;

/** When keys were used, to the minute: gathered, and written once a minute. A crash loses the last minute of it. */
export class LastUses {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;
  #pending = new Map<string, number>();

  constructor(deps: Deps) {
    this.#deps = deps;
    deps.facts.keyUsed.on(({ apiKeyId }) => this.note(apiKeyId));
    this.#loop = new WakeableLoop({
      clock: deps.clock,
      everyMs: MINUTE,
      round: () => this.flush(),
      failed: ({ message }) => deps.log.warn({ error: message }, 'key.last_use_not_written'),
    });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.flush().catch((error: Error) => this.#deps.log.warn({ error: error.message }, 'key.last_use_not_written'));
  }

  note(apiKeyId: string): void {
    if (this.#pending.size < MAX_PENDING_KEYS || this.#pending.has(apiKeyId))
      this.#pending.set(apiKeyId, Math.floor(this.#deps.clock.now() / MINUTE) * MINUTE);
  }

  /** Writes what is not written yet. A row that has the minute already is left alone. */
  async flush(): Promise<void> {
    const byMinute = groupBy(this.#pending, ([, minute]) => minute);
    this.#pending = new Map();
    for (const [minute, uses] of byMinute) {
      const ids = uses.map(([id]) => id);
      for (let start = 0; start < ids.length; start += MAX_KEYS_PER_STATEMENT)
        await this.#write(minute, ids.slice(start, start + MAX_KEYS_PER_STATEMENT));
    }
  }

  async #write(minute: number, ids: readonly string[]): Promise<void> {
    await this.#deps.database.transaction((tx) => {
      const { sql, parameters } = tx.dialect.oneOf('id', ids);
      return tx.execute(`UPDATE api_keys SET last_used_at = ? WHERE ${sql} AND (last_used_at IS NULL OR last_used_at < ?)`, [
        minute,
        ...parameters,
        minute,
      ]);
    });
  }
}

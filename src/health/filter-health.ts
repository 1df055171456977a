import { LRUCache } from 'lru-cache';
import { type Clock, MINUTE } from '../clock';
import { lockCounters, type Unmatched } from '../events/append';
import type { Facts } from '../facts';
import type { Log } from '../log';
import type { Database } from '../store/database';
import { forgetCostlyFilter } from '../webhooks/costly-filter';
import { UpdatesOfHealth } from './updates-of-health';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

/** A webhook is written down once in so long, however many events it misses. */
const NOTED_MS = MINUTE;
const MAX_NOTED = 20_000;
const WEBHOOKS_PER_TRANSACTION = 100;

/** Writes down which webhooks missed events because of costly filters, beside the publishes, which do not wait for it. */
export class FilterHealth {
  readonly #deps: Deps;
  /** When each webhook, by its id and version, was written down last. */
  readonly #noted = new LRUCache<string, number>({ max: MAX_NOTED });
  #turn: Promise<void> = Promise.resolve();

  constructor(deps: Deps) {
    this.#deps = deps;
    deps.facts.eventsStored.on(({ batch }) => void (batch.unmatched.length > 0 && this.missed(batch.unmatched)));
  }

  /** Events are stored that these webhooks did not get. */
  missed(unmatched: readonly Unmatched[]): void {
    const { clock, log } = this.#deps;
    const now = clock.now();
    const latest = new Map<string, Unmatched>();
    for (const miss of unmatched) if (!this.#isNoted(keyOf(miss), now)) latest.set(keyOf(miss), miss);
    if (latest.size === 0) return;
    for (const key of latest.keys()) this.#noted.set(key, now);
    this.#turn = this.#turn
      .then(() => this.#store([...latest.values()]))
      .catch((error: Error) => {
        for (const key of latest.keys()) this.#noted.delete(key);
        log.warn({ webhooks: latest.size, error: error.message }, 'filter_health.not_stored'); // the next event tries again
      });
  }

  /** Resolves when everything noticed so far is written, or could not be. */
  async drain(): Promise<void> {
    await this.#turn;
  }

  #isNoted(key: string, now: number): boolean {
    return now - (this.#noted.get(key) ?? Number.NEGATIVE_INFINITY) < NOTED_MS;
  }

  async #store(misses: readonly Unmatched[]): Promise<void> {
    const { database, log } = this.#deps;
    for (let start = 0; start < misses.length; start += WEBHOOKS_PER_TRANSACTION) {
      const some = misses.slice(start, start + WEBHOOKS_PER_TRANSACTION);
      const updates = new UpdatesOfHealth(this.#deps);
      await database.transaction(async (tx) => {
        await lockCounters(tx, [...new Set(some.map(({ webhook }) => webhook.applicationId))]);
        for (const { webhook, event } of some) {
          // By another version it may well be tested.
          const current = await tx.query(
            `SELECT id FROM webhooks WHERE id = ? AND version = ? AND deleted_at IS NULL ${tx.dialect.forUpdate}`,
            [webhook.id, webhook.version],
          );
          if (current.length === 0) continue;
          await updates.before(tx, webhook);
          await forgetCostlyFilter(tx, webhook.id);
          await tx.execute('INSERT INTO webhook_filter_health (webhook_id, event_id, event_type, created_at) VALUES (?, ?, ?, ?)', [
            webhook.id,
            event.id,
            event.type,
            event.createdAt.getTime(),
          ]);
          await updates.after(tx, webhook);
        }
      });
      updates.tell();
      log.warn({ webhookIds: some.map(({ webhook }) => webhook.id) }, 'filter.too_costly');
    }
  }
}

const keyOf = ({ webhook }: Unmatched) => `${webhook.id} ${webhook.version}`;

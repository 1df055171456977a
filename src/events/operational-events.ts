import type { Clock } from '../clock';
import type { Facts } from '../facts';
import type { Database, Tx } from '../store/database';
import type { WebhookCache } from '../webhooks/webhook-cache';
import { append, type Batch, lockCounters } from './append';

/** What the hub itself has to say, in the log of the application it concerns. */
export type OperationalEventType =
  | 'livehook.webhook.failing'
  | 'livehook.webhook.recovered'
  | 'livehook.webhook.disabled'
  | 'livehook.delivery.failed';

export interface OperationalEvent {
  readonly applicationId: string;
  readonly type: OperationalEventType;
  /** Ids, reasons and times as ISO text. */
  readonly payload: Readonly<Record<string, string | number | null>>;
}

/** Has the log of an application tell of what the transaction does. */
export type Tell = (event: OperationalEvent) => void;

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly directory: Pick<WebhookCache, 'within'>;
  readonly facts: Facts;
}

/** Deliveries of the hub's own events wait in the database: their queues are for those who publish. */
const NO_ROOM = { ownerFor: () => '' };

/** The hub's own events: stored in the transaction that does what they tell of, so that neither is without the other. */
export class OperationalEvents {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * Runs a transaction that may tell something to these applications. Their counters are taken first, as an append takes
   * them: a transaction that needs both the log and what is below it takes the log first.
   */
  async transaction<T>(applicationIds: readonly string[], work: (tx: Tx, tell: Tell) => Promise<T>): Promise<T> {
    const { database, clock, facts } = this.#deps;
    const began = clock.monotonic();
    const { result, batch } = await database.transaction(async (tx) => {
      if (applicationIds.length > 0) await lockCounters(tx, applicationIds);
      const told: OperationalEvent[] = [];
      const done = await work(tx, (event) => told.push(event));
      return { result: done, batch: told.length === 0 ? undefined : await this.#append(tx, told) };
    });
    if (batch) {
      facts.eventsStored.emit({ batch, durationMs: clock.monotonic() - began, endedAt: clock.now() });
      facts.deliveriesDue.emit({});
    }
    return result;
  }

  /** Those of an application that was deleted meanwhile are told to nobody. */
  #append(tx: Tx, told: readonly OperationalEvent[]): Promise<Batch> {
    const requests = told.map(({ applicationId, type, payload }) => ({
      applicationId,
      events: [{ type, payloadText: JSON.stringify(payload), idempotencyKey: null, orderingKey: null, occurredAt: null }],
    }));
    const { directory } = this.#deps;
    return append(tx, requests, { at: (queries, id, version) => directory.within(queries, id, version) }, NO_ROOM);
  }
}

import type { Log } from '../log';
import type { Appender } from './appender';

/** What the hub itself has to say, in the log of the application it concerns. */
export type OwnEventType =
  | 'livehook.webhook.failing'
  | 'livehook.webhook.recovered'
  | 'livehook.webhook.disabled'
  | 'livehook.delivery.failed';

export interface OwnEvent {
  readonly applicationId: string;
  readonly type: OwnEventType;
  /** Ids, reasons and times as ISO text. */
  readonly payload: Readonly<Record<string, string | number | null>>;
}

interface Deps {
  readonly append: Appender['append'];
  readonly log: Log;
}

/** Beyond so many that wait to be stored, while the database is slow or away, more are only logged. */
const MOST_WAITING = 5_000;

/** Publishes the hub's own events beside the work they report, which neither waits for them nor fails with them. */
export class OwnEvents {
  readonly #deps: Deps;
  readonly #waiting = new Set<Promise<void>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  publish({ applicationId, type, payload }: OwnEvent): void {
    const { append, log } = this.#deps;
    if (this.#waiting.size >= MOST_WAITING) {
      log.warn({ applicationId, type, ...payload }, 'own_event.dropped');
      return;
    }
    const event = { type, payloadText: JSON.stringify(payload), idempotencyKey: null, orderingKey: null, occurredAt: null };
    const work = append({ applicationId, events: [event] })
      .then(() => {})
      .catch((error: Error) => log.warn({ applicationId, type, ...payload, error: error.message }, 'own_event.not_stored'))
      .finally(() => this.#waiting.delete(work));
    this.#waiting.add(work);
  }

  /** Resolves when everything published so far is stored or given up. */
  async drain(): Promise<void> {
    await Promise.all(this.#waiting);
  }
}

import { releaseRows } from '../../deliveries/release-rows';
import type { Facts } from '../../facts';
import { webhookIdOf } from '../../ids';
import type { Log } from '../../log';
import type { Database } from '../../store/database';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly log: Log;
  readonly facts: Facts;
}

/** Makes deliveries of this instance anybody's, in the background. What cannot be released now the reconciler finds. */
export class Releaser {
  readonly #deps: Deps;
  readonly #running = new Set<Promise<void>>();
  /** By webhook: what is under way. */
  readonly #ofWebhook = new Map<string, Set<Promise<void>>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  release(deliveryIds: readonly string[]): void {
    if (deliveryIds.length === 0) return;
    const { database, instanceId, facts, log } = this.#deps;
    const webhookIds = new Set(deliveryIds.map(webhookIdOf));
    const work = releaseRows(database, instanceId, deliveryIds)
      .then(() => facts.deliveriesReleased.emit({ deliveryIds }))
      .catch((error: Error) => {
        log.warn({ deliveries: deliveryIds.length, error: error.message }, 'release.failed');
        facts.releaseFailed.emit({ deliveryIds });
      })
      .finally(() => this.#ended(work, webhookIds));
    this.#running.add(work);
    for (const id of webhookIds) this.#ofWebhook.set(id, (this.#ofWebhook.get(id) ?? new Set()).add(work));
  }

  /** Resolves when nothing of a webhook is on its way back to the database. */
  async settled(webhookId: string): Promise<void> {
    for (let work = this.#ofWebhook.get(webhookId); work !== undefined; work = this.#ofWebhook.get(webhookId)) await Promise.all(work);
  }

  /** Resolves when nothing at all is. */
  async drain(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #ended(work: Promise<void>, webhookIds: ReadonlySet<string>): void {
    this.#running.delete(work);
    for (const id of webhookIds) {
      const left = this.#ofWebhook.get(id);
      left?.delete(work);
      if (left?.size === 0) this.#ofWebhook.delete(id);
    }
  }
}

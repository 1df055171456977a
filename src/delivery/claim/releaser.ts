import { releaseRows } from '../../deliveries/release-rows';
import type { Facts } from '../../facts';
import { webhookIdOf } from '../../ids';
import type { Log } from '../../log';
import { nextTurn } from '../../slices';
import type { Database } from '../../store/database';

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly log: Log;
  readonly facts: Facts;
}

/** Of how many webhooks they may be: a thousand circuits that opened at once were a thousand transactions. */
const MAX_ROWS_PER_BATCH = 1_000;

/** Makes deliveries of this instance anybody's, in the background. What cannot be released now the reconciler finds. */
export class Releaser {
  readonly #deps: Deps;
  #waiting: string[] = [];
  /** By webhook: how many wait or are under way. */
  readonly #left = new Map<string, number>();
  #batch: Promise<void> = Promise.resolve();
  #running: Promise<void> | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  release(deliveryIds: readonly string[]): void {
    if (deliveryIds.length === 0) return;
    for (const id of deliveryIds) {
      const webhookId = webhookIdOf(id);
      this.#waiting.push(id);
      this.#left.set(webhookId, (this.#left.get(webhookId) ?? 0) + 1);
    }
    this.#running ??= this.#run();
  }

  /** Resolves when nothing of a webhook is on its way back to the database. */
  async released(webhookId: string): Promise<void> {
    while (this.#left.has(webhookId)) await this.#batch;
  }

  /** Resolves when nothing at all is. */
  async drain(): Promise<void> {
    while (this.#running) await this.#running;
  }

  /** What this turn of the event loop brings, and then what comes while a batch is under way, is released together. */
  async #run(): Promise<void> {
    this.#batch = nextTurn();
    await this.#batch;
    while (this.#waiting.length > 0) {
      this.#batch = this.#release(this.#waiting.splice(0, MAX_ROWS_PER_BATCH));
      await this.#batch;
    }
    this.#running = undefined;
  }

  async #release(deliveryIds: readonly string[]): Promise<void> {
    const { database, instanceId, facts, log } = this.#deps;
    try {
      await releaseRows(database, instanceId, deliveryIds);
      facts.deliveriesReleased.emit({ deliveryIds });
    } catch (error) {
      log.warn({ deliveries: deliveryIds.length, error: (error as Error).message }, 'release.failed');
      facts.releaseFailed.emit({ deliveryIds });
    } finally {
      for (const id of deliveryIds) this.#leave(webhookIdOf(id));
    }
  }

  #leave(webhookId: string): void {
    const left = (this.#left.get(webhookId) ?? 0) - 1;
    if (left > 0) this.#left.set(webhookId, left);
    else this.#left.delete(webhookId);
  }
}

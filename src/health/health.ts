import type { Core } from '../core';
import type { OperationalEvents } from '../events/operational-events';
import { closeAllCircuits } from '../webhooks/health';
import type { Webhooks } from '../webhooks/webhooks';
import { FilterHealth } from './filter-health';
import { HealthMonitor } from './health-monitor';

interface Deps extends Core {
  readonly webhooks: Pick<Webhooks, 'disable'>;
  readonly operationalEvents: OperationalEvents;
}

/** What is noticed of webhooks that do not do well. */
export class Health {
  readonly #core: Core;
  readonly #monitor: HealthMonitor;
  readonly #filters: FilterHealth;

  constructor(deps: Deps) {
    this.#core = deps;
    this.#monitor = new HealthMonitor({ ...deps, disableAfterMs: deps.config.disableAfterMs });
    this.#filters = new FilterHealth(deps);
  }

  /** `isAlone`: no other instance has opened the circuits that are stored as open. */
  async start({ isAlone }: { readonly isAlone: boolean }): Promise<void> {
    if (isAlone) await this.#core.database.transaction(closeAllCircuits);
    await this.#monitor.start();
  }

  /** Resolves when what was noticed is written. */
  async stop(): Promise<void> {
    await this.#monitor.stop();
    await this.#filters.drain();
  }
}

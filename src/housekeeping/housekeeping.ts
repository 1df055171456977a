import type { Core } from '../core';
import { Remover } from './remover';
import { Retention } from './retention';

/** What is removed when its time has come: it knows every table, and nobody knows it. */
export class Housekeeping {
  readonly #remover: Remover;
  readonly #retention: Retention;

  constructor(core: Core) {
    this.#remover = new Remover(core);
    this.#retention = new Retention({ ...core, defaultRetentionMs: core.config.retention });
  }

  start(): void {
    this.#remover.start();
    this.#retention.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#remover.stop(), this.#retention.stop()]);
  }
}

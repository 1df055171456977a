import type { Core } from '../core';
import type { Delivery } from '../delivery/delivery';
import type { Events } from '../events/events';
import type { WebhookCache } from '../webhooks/webhook-cache';
import { Replayer } from './replayer';
import { RetryJobs } from './retry-jobs';

interface Deps extends Core {
  readonly webhooks: WebhookCache;
  readonly events: Events;
  readonly delivery: Delivery;
}

/** Deliveries that are asked for again, many at a time: the jobs, and the work on them. */
export class Replay {
  readonly jobs: RetryJobs;
  readonly #replayer: Replayer;

  constructor(deps: Deps) {
    this.jobs = new RetryJobs(deps);
    this.#replayer = new Replayer(deps);
  }

  start(): void {
    this.#replayer.start();
  }

  stop(): Promise<void> {
    return this.#replayer.stop();
  }
}

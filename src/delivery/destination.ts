import type { Cancel } from '../clock';
import { Ordering } from '../webhooks/webhook';
import type { LiveWebhook } from '../webhooks/webhook-cache';
import type { FlowControl } from './flow-control/flow-control';
import type { Job } from './job';
import { FifoQueue, MAX_WAITING_PER_WEBHOOK } from './queue/fifo-queue';
import { MAX_WAITING_PER_ORDERED_WEBHOOK, OrderedQueue } from './queue/ordered-queue';
import type { WebhookQueue } from './queue/webhook-queue';

/** A webhook as this instance sends to it: what waits, what is promised, what is in flight. */
export class Destination {
  webhook: LiveWebhook;
  readonly flow: FlowControl;
  queue: WebhookQueue;
  inFlight = 0;
  /** Room given to appends that have not committed yet. */
  reserved = 0;
  /** Bytes of whatever is promised, queued, in flight or waits to be written down. */
  weight = 0;
  /** Claimed for their next attempt before it was known here that the last one is written down. */
  readonly early = new Map<string, Job>();
  /** Others wait in the database. */
  hasBacklog = false;
  /** The backlog was asked for. */
  isAsking = false;
  /** More came to the database after it was asked for. */
  hasNews = false;
  /** Its last request ran into the deadline. */
  isTimingOut = false;
  /** The webhook was deleted. */
  isGone = false;
  /** Of the timer that looks at it again when it has to wait. */
  cancelWake: Cancel | undefined;

  constructor(webhook: LiveWebhook, flow: FlowControl) {
    this.webhook = webhook;
    this.flow = flow;
    this.queue = queueFor(webhook.ordering);
    flow.follow(webhook.version);
  }

  get applicationId(): string {
    return this.webhook.applicationId;
  }

  get timeoutMs(): number {
    return this.webhook.timeoutMs;
  }

  get isActive(): boolean {
    return !this.isGone && this.webhook.isSending;
  }

  /** Whether what comes next may well keep its slot until the deadline. */
  get mayHang(): boolean {
    return this.isTimingOut || this.queue.mayHang;
  }

  /** Nothing of it is in memory, and nothing has to be remembered about it. */
  get isIdle(): boolean {
    return this.weight === 0 && !this.hasBacklog;
  }

  /** Takes out what waits and is wanted: the one way out for what is not sent. */
  take(isWanted: (job: Job) => boolean): readonly Job[] {
    const taken = this.queue.take(isWanted);
    for (const job of this.early.values()) if (isWanted(job)) taken.push(job);
    for (const { deliveryId } of taken) this.early.delete(deliveryId);
    return taken;
  }

  /** Goes by the webhook as it is now. What waits is to be taken out first where its order has changed. */
  follow(webhook: LiveWebhook): void {
    if (webhook.ordering !== this.webhook.ordering) this.queue = queueFor(webhook.ordering);
    this.webhook = webhook;
    this.flow.follow(webhook.version);
  }
}

function queueFor(ordering: Ordering): WebhookQueue {
  return ordering === Ordering.NONE ? new FifoQueue() : new OrderedQueue(ordering);
}

/** How many deliveries of a webhook may wait here. */
export function capacityFor({ ordering }: LiveWebhook): number {
  return ordering === Ordering.NONE ? MAX_WAITING_PER_WEBHOOK : MAX_WAITING_PER_ORDERED_WEBHOOK;
}

import { AttemptTrigger } from '../attempts/attempt';
import { type Clock, sleep } from '../clock';
import type { Delivery } from '../deliveries/delivery';
import type { Reservation } from '../events/appender';
import type { Event } from '../events/event';
import type { Log } from '../log';
import type { LiveWebhook, Snapshot } from '../webhooks/directory';
import { WebhookStatus } from '../webhooks/webhook';
import { bodyOf } from './body';
import type { Exchange, HeaderPair, OutgoingRequest } from './exchange';
import { type Job, Lane, weightOf } from './lane';
import { sign } from './sign';

/** An attempt that has ended and waits to be written down. */
export interface Finished {
  readonly job: Job;
  readonly webhook: LiveWebhook;
  readonly request: OutgoingRequest;
  readonly exchange: Exchange;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

interface Deps {
  readonly instanceId: string;
  readonly userAgent: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly send: (request: OutgoingRequest) => Promise<Exchange>;
  /** Takes what has ended; `false` once too much waits to be written and sending must pause. */
  readonly settle: (finished: Finished) => boolean;
  /** Whether this instance may send at all: its lease holds. */
  readonly isLeaseHeld: () => boolean;
  /** Gives deliveries back to the database, for any instance. */
  readonly giveBack: (deliveryIds: readonly string[]) => void;
  /** The webhook's queue has room and the database has more for it. */
  readonly hungry: (webhookId: string) => void;
}

/** A queue longer than this is better kept in the database, where every instance can take from it. */
const MOST_QUEUED_A_WEBHOOK = 1_000;
const MOST_QUEUED_BYTES = 96 * 1024 * 1024;
const MOST_IN_FLIGHT = 1_024;
/** From here on a webhook gets no more than a few requests at a time, so that those that hang leave room for the rest. */
const CROWDED_IN_FLIGHT = MOST_IN_FLIGHT / 2;
const MOST_IN_FLIGHT_WHEN_CROWDED = 2;
const MOST_LOOKS_AT_HELD = 16;

/**
 * Sends what this instance owns: a queue a webhook, each within its own concurrency, all within what the process can
 * carry. It never touches the database; what it needs from there is brought, what has ended is handed on.
 */
export class Dispatcher {
  readonly #deps: Deps;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes that could send but for the limits of the whole process, in the order they came to it. */
  readonly #held = new Set<Lane>();
  /** Every delivery that is queued, in flight or waits to be written down. */
  readonly #owned = new Set<string>();
  #inFlight = 0;
  #queuedBytes = 0;
  #isStopping = false;
  #isSettlingBehind = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether a delivery is in this instance's memory. */
  has(deliveryId: string): boolean {
    return this.#owned.has(deliveryId);
  }

  /** Deliveries whose attempts are written down: what comes of them next is for the database to say. */
  settled(deliveryIds: readonly string[]): void {
    for (const id of deliveryIds) this.#owned.delete(id);
  }

  /** A claim on the queues for a batch that is about to be stored. */
  reserve(): Reservation {
    let reserved: { lane: Lane; bytes: number }[] = [];
    return {
      ownerFor: (webhook, event) => {
        const lane = this.#laneFor(webhook);
        const bytes = weightOf(event);
        if (!this.#hasRoom(lane, bytes)) {
          if (webhook.status === WebhookStatus.ACTIVE) lane.hasBacklog = true;
          return '';
        }
        lane.reserved++;
        this.#queuedBytes += bytes;
        reserved.push({ lane, bytes });
        return this.#deps.instanceId;
      },
      release: () => {
        for (const { lane, bytes } of reserved) {
          lane.reserved--;
          this.#queuedBytes -= bytes;
        }
        reserved = [];
      },
      take: (deliveries, events) => {
        for (const { lane, bytes } of reserved) {
          lane.reserved--;
          this.#queuedBytes -= bytes; // `accept` counts them again
        }
        reserved = [];
        this.acceptStored(deliveries, events);
      },
    };
  }

  /** Deliveries that were just stored; those owned elsewhere or nowhere are not for here. */
  acceptStored(deliveries: readonly Delivery[], events: readonly Event[]): void {
    const eventOf = new Map(events.map((event) => [`${event.applicationId}${event.sequence}`, event]));
    const jobs: { webhookId: string; job: Job }[] = [];
    const waiting = new Set<string>();
    for (const delivery of deliveries) {
      const event = eventOf.get(`${delivery.applicationId}${delivery.eventSequence}`);
      if (delivery.owner === '') waiting.add(delivery.webhookId);
      if (delivery.owner !== this.#deps.instanceId || event === undefined) continue;
      jobs.push({
        webhookId: delivery.webhookId,
        job: { deliveryId: delivery.id, event, attemptCount: 0, trigger: AttemptTrigger.FIRST, createdAt: delivery.createdAt.getTime() },
      });
    }
    for (const { webhookId, job } of jobs) this.#enqueue(this.#lanes.get(webhookId), job);
    for (const webhookId of new Set(jobs.map((item) => item.webhookId))) this.#pump(this.#lanes.get(webhookId));
    for (const webhookId of waiting) {
      const lane = this.#lanes.get(webhookId);
      if (lane && this.roomFor(lane.webhook) > 0) this.#deps.hungry(webhookId);
    }
  }

  /** Deliveries that were claimed from the database for a webhook. */
  acceptClaimed(webhook: LiveWebhook, jobs: readonly Job[], hasMore: boolean): void {
    const lane = this.#laneFor(webhook);
    lane.hasBacklog = hasMore;
    for (const job of jobs) this.#enqueue(lane, job);
    this.#pump(lane);
  }

  /** How many deliveries of a webhook could be taken in now. */
  roomFor(webhook: LiveWebhook): number {
    if (!this.#isSending() || webhook.status !== WebhookStatus.ACTIVE || this.#queuedBytes > MOST_QUEUED_BYTES / 2) return 0;
    const lane = this.#lanes.get(webhook.id);
    return lane ? Math.max(0, MOST_QUEUED_A_WEBHOOK - lane.queued - lane.reserved) : MOST_QUEUED_A_WEBHOOK;
  }

  /** The webhooks of an application have changed: what is queued goes by the new ones. */
  webhooksChanged(applicationId: string, { byId }: Snapshot): void {
    for (const [webhookId, lane] of this.#lanes) {
      if (lane.webhook.applicationId !== applicationId) continue;
      const webhook = byId.get(webhookId);
      if (webhook) lane.webhook = webhook;
      if (webhook?.status === WebhookStatus.ACTIVE) this.#pump(lane);
      else this.#empty(lane);
      if (webhook === undefined && lane.isIdle) this.#lanes.delete(webhookId);
    }
  }

  /** Forgets a delivery that waits here; one that is in flight ends by itself. */
  drop(deliveryId: string, webhookId: string): void {
    this.#forget(this.#lanes.get(webhookId)?.remove((queued) => queued.deliveryId === deliveryId) ?? []);
  }

  /** Gives everything back that has not left yet. */
  giveBackQueued(): void {
    for (const lane of this.#lanes.values()) this.#empty(lane);
  }

  /** Sending may go on: the lease holds again, or what waited to be written has been. */
  resume(): void {
    this.#isSettlingBehind = false;
    for (const lane of this.#lanes.values()) this.#pump(lane);
  }

  /** Starts nothing more, gives back what waits, and resolves when nothing is in flight. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.giveBackQueued();
    while (this.#inFlight > 0) await sleep(this.#deps.clock, 5);
  }

  #isSending(): boolean {
    return !this.#isStopping && !this.#isSettlingBehind && this.#deps.isLeaseHeld();
  }

  #laneFor(webhook: LiveWebhook): Lane {
    const known = this.#lanes.get(webhook.id);
    if (known) {
      if (webhook.version > known.webhook.version) known.webhook = webhook;
      return known;
    }
    const lane = new Lane(webhook);
    this.#lanes.set(webhook.id, lane);
    return lane;
  }

  #hasRoom(lane: Lane, bytes: number): boolean {
    return (
      this.#isSending() &&
      lane.webhook.status === WebhookStatus.ACTIVE &&
      lane.queued + lane.reserved < MOST_QUEUED_A_WEBHOOK &&
      this.#queuedBytes + bytes <= MOST_QUEUED_BYTES
    );
  }

  #enqueue(lane: Lane | undefined, job: Job): void {
    if (lane === undefined || lane.webhook.status !== WebhookStatus.ACTIVE || this.#isStopping) {
      this.#deps.giveBack([job.deliveryId]);
      return;
    }
    if (this.#owned.has(job.deliveryId)) return; // claimed again while its last attempt is being written: the fence decides
    this.#owned.add(job.deliveryId);
    lane.push(job);
    this.#queuedBytes += weightOf(job.event);
  }

  #empty(lane: Lane): void {
    const jobs = lane.remove(() => true);
    if (jobs.length === 0) return;
    this.#forget(jobs);
    this.#deps.giveBack(jobs.map((job) => job.deliveryId));
  }

  #forget(jobs: readonly Job[]): void {
    for (const job of jobs) {
      this.#queuedBytes -= weightOf(job.event);
      this.#owned.delete(job.deliveryId);
    }
  }

  #allowance(lane: Lane): number {
    const { maxConcurrency } = lane.webhook;
    return this.#inFlight < CROWDED_IN_FLIGHT ? maxConcurrency : Math.min(maxConcurrency, MOST_IN_FLIGHT_WHEN_CROWDED);
  }

  #pump(lane: Lane | undefined): void {
    if (lane === undefined || lane.webhook.status !== WebhookStatus.ACTIVE || !this.#isSending()) return;
    while (lane.queued > 0 && lane.inFlight < lane.webhook.maxConcurrency) {
      if (this.#inFlight >= MOST_IN_FLIGHT || lane.inFlight >= this.#allowance(lane)) {
        this.#held.add(lane);
        break;
      }
      const job = lane.shift();
      if (job === undefined) break;
      this.#queuedBytes -= weightOf(job.event);
      void this.#attempt(lane, job);
    }
    if (lane.hasBacklog && lane.queued <= MOST_QUEUED_A_WEBHOOK / 2) this.#deps.hungry(lane.webhook.id);
  }

  async #attempt(lane: Lane, job: Job): Promise<void> {
    const { clock, send, settle, log } = this.#deps;
    const { webhook } = lane;
    lane.inFlight++;
    this.#inFlight++;
    try {
      const startedAt = clock.now();
      const request = requestFor(job, webhook, startedAt, this.#deps.userAgent);
      const exchange = await send(request);
      if (!settle({ job, webhook, request, exchange, startedAt })) this.#isSettlingBehind = true;
    } catch (error) {
      // `send` reports failures as values, so this is a fault of ours; the delivery goes back and is tried again.
      log.error({ deliveryId: job.deliveryId, error: (error as Error).stack }, 'attempt.fault');
      this.#owned.delete(job.deliveryId);
      this.#deps.giveBack([job.deliveryId]);
    }
    lane.inFlight--;
    this.#inFlight--;
    this.#pump(lane);
    if (lane.isIdle && !lane.hasBacklog) this.#lanes.delete(webhook.id);
    this.#pumpHeld();
  }

  /** Whoever has waited longest comes first; a few are looked at, since some are held by their own allowance. */
  #pumpHeld(): void {
    let looks = Math.min(this.#held.size, MOST_LOOKS_AT_HELD);
    for (const lane of this.#held) {
      if (looks-- === 0 || this.#inFlight >= MOST_IN_FLIGHT) return;
      this.#held.delete(lane);
      this.#pump(lane);
    }
  }
}

function requestFor(job: Job, webhook: LiveWebhook, now: number, userAgent: string): OutgoingRequest {
  const { event } = job;
  const body = bodyOf(event);
  const timestamp = Math.floor(now / 1_000);
  const headers: HeaderPair[] = [
    ['content-type', 'application/json'],
    ['user-agent', userAgent],
    ['webhook-id', event.id],
    ['webhook-timestamp', String(timestamp)],
    ['webhook-signature', sign({ id: event.id, timestamp, body }, webhook.signingKeys, now)],
    ['livehook-delivery-id', job.deliveryId],
    ['livehook-attempt', String(job.attemptCount + 1)],
    ['livehook-sequence', String(event.sequence)],
    ['livehook-event-type', event.type],
    ...webhook.headers,
  ];
  return { url: webhook.url, headers, body, timeoutMs: webhook.timeoutMs };
}

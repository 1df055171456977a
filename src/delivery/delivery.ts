import { SECOND } from '../clock';
import type { Core } from '../core';
import type { Events } from '../events/events';
import type { Reservation } from '../events/group-committer';
import type { OperationalEvents } from '../events/operational-events';
import type { WebhookCache } from '../webhooks/webhook-cache';
import { Attempter } from './attempt';
import { Cancellations } from './claim/cancellations';
import { JobLoader } from './claim/load-jobs';
import { OrderedClaimer } from './claim/ordered-claimer';
import { Poller } from './claim/poller';
import { Reconciler } from './claim/reconciler';
import { Releaser } from './claim/releaser';
import { Completer } from './completion/completer';
import { Dispatcher } from './dispatcher';
import type { Caution } from './flow-control/flow-control';
import { Heartbeat } from './instances/heartbeat';
import { Membership } from './instances/membership';
import { forgetStandardBody } from './request/body';
import type { Shaper } from './request/shaper';
import { sign } from './request/sign';
import type { Sender } from './transport/http/sender';

interface Deps extends Core {
  readonly webhooks: Pick<WebhookCache, 'find' | 'fetch'>;
  readonly events: Pick<Events, 'bySequences'>;
  readonly sender: Pick<Sender, 'send'>;
  readonly shaper: Pick<Shaper, 'bodyFor' | 'forget'>;
  readonly operationalEvents: Pick<OperationalEvents, 'transaction'>;
}

/** What this instance is doing. */
export interface DeliveryStatistics {
  readonly inFlight: number;
  readonly queued: number;
  /** What everything in memory is taken to weigh. */
  readonly bytes: number;
  readonly settleWaiting: number;
  readonly instances: number;
  readonly isLeaseHeld: boolean;
  readonly leaseAgeMs: number;
}

/**
 * The delivery engine: takes up what is stored, sends it, writes down what came of it. What the others need of it is
 * here; what they do not have to ask for it tells as facts.
 */
export class Delivery {
  readonly #deps: Pick<Deps, 'webhooks' | 'clock'>;
  readonly #membership: Membership;
  readonly #heartbeat: Heartbeat;
  readonly #releaser: Releaser;
  readonly #completer: Completer;
  readonly #dispatcher: Dispatcher;
  readonly #orderedClaimer: OrderedClaimer;
  readonly #poller: Poller;
  readonly #reconciler: Reconciler;
  readonly #cancellations: Cancellations;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { instanceId, clock } = deps;
    deps.facts.eventBlanked.on(({ event }) => {
      forgetStandardBody(event);
      deps.shaper.forget(event);
    });
    const membership = new Membership(instanceId, clock);
    const releaser = new Releaser(deps);
    const completer = new Completer(deps);
    const attempter = new Attempter(deps);
    const dispatcher = new Dispatcher({ ...deps, membership, releaser, completer, attempter });
    const loader = new JobLoader({ ...deps, releaser });
    const orderedClaimer = new OrderedClaimer({ ...deps, membership, releaser, dispatcher, loader });
    this.#membership = membership;
    this.#releaser = releaser;
    this.#completer = completer;
    this.#dispatcher = dispatcher;
    this.#orderedClaimer = orderedClaimer;
    this.#heartbeat = new Heartbeat({ ...deps, membership });
    this.#poller = new Poller({ ...deps, dispatcher, orderedClaimer, loader });
    this.#reconciler = new Reconciler({ ...deps, dispatcher });
    this.#cancellations = new Cancellations(deps);
  }

  /** Signs on: from then on this instance may own deliveries. */
  async join(): Promise<void> {
    await this.#heartbeat.start();
  }

  /** Takes up what was left, and what comes. */
  start(): void {
    this.#orderedClaimer.start();
    this.#poller.start();
    this.#reconciler.start();
    this.#cancellations.start();
  }

  /** Takes nothing up any more, ends what is in flight, writes it down and releases the rest. */
  async stop(): Promise<void> {
    await Promise.all([this.#poller.stop(), this.#reconciler.stop(), this.#cancellations.stop(), this.#orderedClaimer.stop()]);
    await this.#dispatcher.stop();
    await this.#completer.drain();
  }

  /** Signs off, when nothing is left to be written: the others take over. */
  async leave(): Promise<void> {
    await this.#orderedClaimer.release();
    await this.#releaser.drain();
    await this.#heartbeat.stop();
  }

  /** A claim on the queues for a batch that is about to be stored. */
  reserve(): Reservation {
    return this.#dispatcher.reserve();
  }

  /**
   * Takes deliveries that wait here out of their queues; they stay this instance's in the database until the caller
   * has moved them on. Returns those that did wait here.
   */
  withdraw(deliveryIds: readonly string[]): readonly string[] {
    return this.#dispatcher.withdraw(deliveryIds);
  }

  /** Makes deliveries that were withdrawn anybody's. */
  release(deliveryIds: readonly string[]): void {
    this.#releaser.release(deliveryIds);
  }

  /** What this instance does about the receiver of a webhook; null: it sends as it is asked to. */
  throttling(webhookId: string, version: number): Caution | null {
    return this.#dispatcher.caution(webhookId, version);
  }

  /** What an attempt of now would say of itself: its time, and a signature by the secrets that the webhook has; null: there is none. */
  async sign(webhookId: string, eventId: string, body: string): Promise<{ timestamp: number; value: string } | null> {
    const { webhooks, clock } = this.#deps;
    const webhook = await webhooks.fetch(webhookId);
    if (webhook === undefined) return null;
    const now = clock.now();
    const timestamp = Math.floor(now / SECOND);
    return { timestamp, value: sign({ id: eventId, timestamp, body: Buffer.from(body) }, webhook.signingKeys, now) };
  }

  /** Whether no other instance shares the work. */
  get isAlone(): boolean {
    return this.#membership.fleet.instances === 1;
  }

  get statistics(): DeliveryStatistics {
    return {
      inFlight: this.#dispatcher.inFlight,
      queued: this.#dispatcher.queued,
      bytes: this.#dispatcher.bytes,
      settleWaiting: this.#completer.waiting,
      instances: this.#membership.fleet.instances,
      isLeaseHeld: this.#membership.isLeaseHeld(),
      leaseAgeMs: this.#membership.leaseAgeMs,
    };
  }
}

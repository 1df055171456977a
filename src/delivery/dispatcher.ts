import { LRUCache } from 'lru-cache';
import { AttemptTrigger } from '../attempts/attempt';
import { type Clock, HOUR, sleep } from '../clock';
import { type Delivery, DeliveryStatus } from '../deliveries/delivery';
import type { Event } from '../events/event';
import type { Reservation } from '../events/group-committer';
import type { Facts } from '../facts';
import { FairShare } from '../fair-share';
import type { Log } from '../log';
import { Ordering } from '../webhooks/webhook';
import type { LiveWebhook, Snapshot } from '../webhooks/webhook-cache';
import type { Attempter, Finished } from './attempt';
import type { Releaser } from './claim/releaser';
import type { Verdict } from './completion/settle';
import { capacityFor, Destination } from './destination';
import type { DeliveriesLeft } from './facts';
import { type Caution, FlowControl, type Terms, type Ticket } from './flow-control/flow-control';
import type { Membership } from './instances/membership';
import { type Job, weightOf } from './job';
import type { OrderedQueue } from './queue/ordered-queue';
import type { HeldBody } from './request/shaper';
import { Scheduler } from './scheduler';
import type { Exchange } from './transport/exchange';

interface Deps {
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly attempter: Pick<Attempter, 'attempt'>;
  /** Takes what has ended; `false` once too much waits to be written and sending must pause. */
  readonly completer: { add(finished: Finished): boolean };
  readonly releaser: Pick<Releaser, 'release'>;
  readonly membership: Pick<Membership, 'isLeaseHeld' | 'fleet'>;
  readonly facts: Facts;
}

/** How much of a webhook's backlog may be taken in. */
export interface Room {
  readonly deliveries: number;
  /** What they may weigh together; the first may weigh more. */
  readonly bytes: number;
}

const NO_ROOM: Room = { deliveries: 0, bytes: 0 };

/** Everything in memory: promised, queued, in flight, waiting to be written down. Divided between applications. */
const MAX_BYTES = 128 * 1024 * 1024;
/** With less left no backlog is brought in, whose ever it is. */
const MIN_FREE_BYTES = MAX_BYTES / 16;
const MAX_BYTES_PER_WEBHOOK = 16 * 1024 * 1024;
/**
 * Of the second half of its application's share a webhook gets this much, or one delivery: those with large payloads that
 * hang leave room for the rest. So does an ordered one, which sends little at a time.
 */
const MAX_BYTES_PER_WEBHOOK_WHEN_TIGHT = 1024 * 1024;

/** What is remembered of webhooks that have nothing in memory: paused by their receivers, circuit open, pace used up. */
const MAX_FLOWS = 20_000;
/** A timer takes no more than 24 days; waking early costs one look. */
const MAX_WAKE_MS = HOUR;

/** Deliveries that are being claimed: in the database they are this instance's, in its memory they are not yet. */
export interface OpenClaim {
  /** Whether a delivery has not been cancelled meanwhile. */
  readonly keeps: (job: Job) => boolean;
  readonly close: () => void;
}

/** A delivery in memory. */
interface Owned {
  readonly destination: Destination;
  readonly attemptCount: number;
  weight: number;
  /** Lets go of the body that was made for it, where one was. */
  release: (() => void) | undefined;
}

/**
 * Sends what this instance owns: a queue a webhook, each within its own concurrency, all within what the process can
 * carry. It never touches the database; what it needs from there is brought, what has ended is handed on.
 */
export class Dispatcher {
  readonly #deps: Deps;
  readonly #destinations = new Map<string, Destination>();
  /** Of webhooks without a destination, where there is something to remember; the longest unused is forgotten first. */
  readonly #flows = new LRUCache<string, FlowControl>({ max: MAX_FLOWS });
  /** Every delivery that is queued, in flight or waits to be written down. */
  readonly #owned = new Map<string, Owned>();
  readonly #scheduler = new Scheduler<Destination>((destination) => this.#goOn(destination));
  /** Of each open claim what was cancelled since it was opened. */
  readonly #openClaims = new Set<((job: Job) => boolean)[]>();
  /** Of everything in memory: promised, queued, in flight, waiting to be written down. */
  readonly #memory = new FairShare(MAX_BYTES);
  /** Applications whose backlog was not taken in, because they have their share of the memory in use. */
  readonly #turnedAway = new Set<string>();
  #isStopping = false;
  #isSettlingBehind = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { facts } = deps;
    facts.attemptsSettled.on(({ released }) => this.#settled(released));
    facts.webhooksChanged.on(({ applicationId, snapshot }) => this.#webhooksChanged(applicationId, snapshot));
    facts.eventRedacted.on(({ applicationId, sequence }) =>
      this.#forget(({ event }) => event.sequence === sequence && event.applicationId === applicationId, applicationId),
    );
    facts.deliveriesCancelled.on(({ deliveryIds }) => this.#cancelled(deliveryIds));
    facts.settlingCaughtUp.on(() => this.#resume());
    facts.membershipChanged.on(() => this.#membershipChanged());
    facts.leaseRegained.on(() => this.#leaseRegained());
  }

  get inFlight(): number {
    return this.#scheduler.inFlight;
  }

  /** Deliveries that wait here for their turn. */
  get queued(): number {
    let queued = 0;
    for (const { queue } of this.#destinations.values()) queued += queue.waiting;
    return queued;
  }

  /** What everything in memory is taken to weigh. */
  get bytes(): number {
    return this.#memory.total;
  }

  /** Whether no backlog can be taken in, of whatever webhook: the memory is full, or nothing may be sent now. */
  get isFull(): boolean {
    return !this.#isSending() || this.#memory.free < MIN_FREE_BYTES;
  }

  /** Whether a delivery is in this instance's memory. */
  has(deliveryId: string): boolean {
    return this.#owned.has(deliveryId);
  }

  /** A claim on the queues for a batch that is about to be stored. */
  reserve(): Reservation {
    let reserved: { destination: Destination; weight: number }[] = [];
    /** Of which something will wait in the database. */
    const declined = new Set<Destination>();
    const release = () => {
      for (const { destination, weight } of reserved) {
        destination.reserved--;
        this.#load(destination, -weight);
      }
      const destinations = new Set(reserved.map(({ destination }) => destination));
      reserved = [];
      return destinations;
    };
    return {
      ownerFor: (webhook, event) => {
        if (!webhook.isSending) return '';
        const destination = this.#destinationFor(webhook);
        const weight = weightOf(event.payloadText.length);
        if (!this.#hasRoom(destination, weight)) {
          destination.hasBacklog = true;
          declined.add(destination);
          return '';
        }
        destination.reserved++;
        this.#load(destination, weight);
        reserved.push({ destination, weight });
        return this.#deps.instanceId;
      },
      release: () => {
        for (const destination of new Set([...release(), ...declined])) this.#tidy(destination);
      },
      take: (deliveries, events) => {
        release(); // what is stored is counted again, in its queue
        this.#acceptStored(deliveries, events);
        // A look that saw nothing yet may have been the last of it here.
        for (const { webhook } of declined)
          if (!this.#destinations.has(webhook.id)) this.#deps.facts.deliveriesDue.emit({ webhookId: webhook.id });
      },
    };
  }

  /** Deliveries that were claimed from the database for a webhook; `hasMore`: others are due there. */
  acceptClaimed(webhook: LiveWebhook, jobs: readonly Job[], hasMore: boolean): void {
    const destination = jobs.length > 0 || hasMore ? this.#destinationFor(webhook) : this.#destinations.get(webhook.id);
    if (destination === undefined) return;
    destination.hasBacklog = hasMore || destination.hasNews;
    destination.hasNews = false;
    destination.isAsking = false;
    this.#enqueue(destination, jobs);
    this.#goOn(destination);
  }

  /** How much of a webhook's backlog to bring: nothing until it is worth a look at the database. */
  roomFor(webhook: LiveWebhook): Room {
    const destination = this.#destinations.get(webhook.id);
    return destination && !this.#isLow(destination) ? NO_ROOM : this.spaceFor(webhook);
  }

  /** How much of a webhook's backlog could be brought. */
  spaceFor(webhook: LiveWebhook): Room {
    if (!webhook.isSending || this.isFull) return NO_ROOM;
    if (this.#isHalfFull(webhook.applicationId)) {
      this.#turnedAway.add(webhook.applicationId);
      return NO_ROOM;
    }
    const known = this.#destinations.get(webhook.id);
    if (!known) return { deliveries: this.#maxQueued(webhook, this.#flowOf(webhook), capacityFor(webhook)), bytes: this.#share(webhook) };
    if (!known.isActive) return NO_ROOM;
    const most = this.#maxQueued(webhook, known.flow, known.queue.capacity);
    return { deliveries: Math.max(0, most - known.queue.waiting - known.reserved), bytes: this.#share(webhook) - known.weight };
  }

  /** What this instance holds of an ordered webhook; undefined: nothing. */
  orderedQueueOf({ id, ordering }: LiveWebhook): OrderedQueue | undefined {
    const destination = ordering === Ordering.NONE ? undefined : this.#destinations.get(id);
    return destination?.webhook.ordering === ordering ? (destination.queue as OrderedQueue) : undefined;
  }

  /** What this instance does about the receiver of a webhook; null: it sends as it is asked to. */
  caution(webhookId: string, version: number): Caution | null {
    const flow = this.#destinations.get(webhookId)?.flow ?? this.#flows.get(webhookId);
    flow?.follow(version);
    return flow?.caution(this.#deps.clock.monotonic()) ?? null;
  }

  /** Call it before deliveries are claimed, and close it once they are accepted. */
  openClaim(): OpenClaim {
    const cancelled: ((job: Job) => boolean)[] = [];
    this.#openClaims.add(cancelled);
    return { keeps: (job) => !cancelled.some((isCancelled) => isCancelled(job)), close: () => this.#openClaims.delete(cancelled) };
  }

  /**
   * Takes deliveries that wait here out of their queues; they stay this instance's in the database until the caller
   * has moved them on. Returns those that did wait here.
   */
  withdraw(deliveryIds: readonly string[]): readonly string[] {
    return this.#takeByIds(deliveryIds, 'WITHDRAWN').map(({ deliveryId }) => deliveryId);
  }

  /** Makes what waits here of a webhook anybody's, as far as it is wanted. */
  release(webhookId: string, isWanted: (job: Job) => boolean): readonly Job[] {
    const destination = this.#destinations.get(webhookId);
    return destination ? this.#takeOut(destination, isWanted, 'RELEASED') : [];
  }

  /** Starts nothing more, releases what waits, and resolves when nothing is in flight. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const destination of [...this.#destinations.values()]) {
      this.#takeOut(destination, all, 'RELEASED');
      destination.cancelWake?.();
    }
    while (this.inFlight > 0) await sleep(this.#deps.clock, 5);
  }

  /** Attempts are written down: what comes of them next is for the database to say. */
  #settled(verdicts: readonly Verdict[]): void {
    const wasFull = this.isFull;
    const touched = new Set<Destination>();
    for (const { finished, status } of verdicts) {
      const { deliveryId } = finished.job;
      const destination = this.#unload(finished.job);
      if (destination === undefined) continue;
      touched.add(destination);
      const blocked = destination.queue.finished(deliveryId, status === DeliveryStatus.RETRYING ? 'RETRYING' : 'ENDED');
      this.#left(destination, blocked, 'RELEASED');
      this.#takeUpEarly(destination, deliveryId);
    }
    for (const destination of touched) this.#goOn(destination);
    if ((wasFull && !this.isFull) || this.#letIn()) this.#deps.facts.roomFreed.emit({});
  }

  /** What is queued goes by the webhooks as they are now. */
  #webhooksChanged(applicationId: string, { byId }: Snapshot): void {
    for (const [webhookId, destination] of [...this.#destinations]) {
      if (destination.applicationId !== applicationId) continue;
      const webhook = byId.get(webhookId);
      if (webhook !== undefined && webhook === destination.webhook) continue; // as it was
      const mayStay = webhook?.isSending === true && webhook.ordering === destination.webhook.ordering;
      const jobs = mayStay ? [] : destination.take(all);
      destination.isGone = webhook === undefined;
      if (destination.isGone) destination.hasBacklog = false;
      if (webhook) destination.follow(webhook);
      destination.isAsking = false; // nothing was brought while it was paused
      this.#left(destination, jobs, 'RELEASED');
      this.#goOn(destination);
    }
  }

  /** Deliveries were cancelled: what of them waits here is not sent. One that is in flight ends by itself. */
  #cancelled(deliveryIds: readonly string[]): void {
    const ids = new Set(deliveryIds);
    for (const cancelled of this.#openClaims) cancelled.push(({ deliveryId }) => ids.has(deliveryId));
    this.#takeByIds(deliveryIds, 'FORGOTTEN');
  }

  #forget(isWanted: (job: Job) => boolean, applicationId: string): void {
    for (const cancelled of this.#openClaims) cancelled.push(isWanted);
    for (const destination of [...this.#destinations.values()])
      if (destination.applicationId === applicationId) this.#takeOut(destination, isWanted, 'FORGOTTEN');
  }

  /** What waits here may be another's by now; asking the database again is the safe way to it. */
  #leaseRegained(): void {
    for (const destination of [...this.#destinations.values()]) this.#takeOut(destination, all, 'RELEASED');
    this.#resume();
  }

  /** Sending may go on: the lease holds again, or what waited to be written has been. */
  #resume(): void {
    this.#isSettlingBehind = false;
    for (const destination of [...this.#destinations.values()]) this.#goOn(destination);
  }

  /** Where none of what a webhook allows is this instance's share any more, others send. */
  #membershipChanged(): void {
    for (const destination of [...this.#destinations.values()]) {
      const { webhook, flow, queue } = destination;
      if (queue.waiting > 0 && this.#maxQueued(webhook, flow, queue.capacity) === 0) this.#takeOut(destination, all, 'RELEASED');
      this.#goOn(destination);
    }
  }

  #takeByIds(deliveryIds: readonly string[], how: DeliveriesLeft['how']): readonly Job[] {
    const wanted = new Map<Destination, Set<string>>();
    for (const id of deliveryIds) {
      const destination = this.#owned.get(id)?.destination;
      if (destination) wanted.set(destination, (wanted.get(destination) ?? new Set()).add(id));
    }
    return [...wanted].flatMap(([destination, ids]) => this.#takeOut(destination, ({ deliveryId }) => ids.has(deliveryId), how));
  }

  /** Takes out of a queue what waits there and is wanted. */
  #takeOut(destination: Destination, isWanted: (job: Job) => boolean, how: DeliveriesLeft['how']): readonly Job[] {
    const jobs = destination.take(isWanted);
    this.#left(destination, jobs, how);
    if (jobs.length > 0) this.#goOn(destination);
    return jobs;
  }

  /** The one way out of memory for what has not been sent. */
  #left({ webhook }: Destination, jobs: readonly Job[], how: DeliveriesLeft['how']): void {
    if (jobs.length === 0) return;
    const { facts, releaser } = this.#deps;
    for (const job of jobs) this.#unload(job);
    facts.deliveriesLeft.emit({ webhook, jobs, how });
    if (how === 'RELEASED') releaser.release(jobs.map(({ deliveryId }) => deliveryId));
  }

  #isSending(): boolean {
    return !this.#isStopping && !this.#isSettlingBehind && this.#deps.membership.isLeaseHeld();
  }

  /** Deliveries that were just stored; those owned elsewhere are not for here. */
  #acceptStored(deliveries: readonly Delivery[], events: readonly Event[]): void {
    const eventOf = new Map(events.map((event) => [`${event.applicationId}${event.sequence}`, event]));
    const jobs = new Map<string, Job[]>();
    const waiting = new Set<string>();
    for (const { id, applicationId, eventSequence, webhookId, owner, createdAt } of deliveries) {
      if (owner === '') waiting.add(webhookId);
      const event = eventOf.get(`${applicationId}${eventSequence}`);
      if (owner !== this.#deps.instanceId || event === undefined) continue;
      const job: Job = {
        deliveryId: id,
        event,
        attemptCount: 0,
        manualAttempts: 0,
        trigger: AttemptTrigger.FIRST,
        automaticDueAt: null,
        body: null,
        createdAt: createdAt.getTime(),
        weight: weightOf(event.payloadText.length),
      };
      const own = jobs.get(webhookId);
      if (own) own.push(job);
      else jobs.set(webhookId, [job]);
    }
    for (const [webhookId, own] of jobs) this.#enqueue(this.#destinations.get(webhookId), own);
    for (const webhookId of new Set([...jobs.keys(), ...waiting])) {
      const destination = this.#destinations.get(webhookId);
      if (destination === undefined) continue;
      if (waiting.has(webhookId) && destination.isActive) this.#hasMore(destination);
      this.#goOn(destination);
    }
  }

  /** Something waits in the database that a look under way may not have seen. */
  #hasMore(destination: Destination): void {
    destination.hasBacklog = true;
    destination.hasNews = destination.isAsking;
  }

  #destinationFor(webhook: LiveWebhook): Destination {
    const known = this.#destinations.get(webhook.id);
    if (known) {
      if (webhook.version > known.webhook.version) {
        const jobs = webhook.ordering === known.webhook.ordering ? [] : known.take(all); // what is queued has the former order
        known.follow(webhook);
        this.#left(known, jobs, 'RELEASED');
      }
      return known;
    }
    const destination = new Destination(webhook, this.#flowOf(webhook));
    this.#flows.delete(webhook.id);
    this.#destinations.set(webhook.id, destination);
    return destination;
  }

  #flowOf(webhook: LiveWebhook): FlowControl {
    return this.#flows.get(webhook.id) ?? new FlowControl(webhook.version);
  }

  #termsOf(webhook: LiveWebhook): Terms {
    return { webhook, fleet: this.#deps.membership.fleet };
  }

  /** The most deliveries of a webhook that wait here: few where it is paced, none while nothing may be sent. */
  #maxQueued(webhook: LiveWebhook, flow: FlowControl, capacity: number): number {
    flow.follow(webhook.version);
    return flow.mostQueued(this.#termsOf(webhook), capacity, this.#deps.clock.monotonic());
  }

  /** Sends what may be sent, and asks for more. */
  #goOn(destination: Destination): void {
    this.#pump(destination);
    this.#tidy(destination);
  }

  /** Asks for the backlog of a destination that runs low; forgets one that holds nothing. */
  #tidy(destination: Destination): void {
    if (destination.isIdle) this.#retire(destination);
    if (!destination.hasBacklog || !destination.isActive) return;
    const heldMs = destination.flow.heldMs(this.#deps.clock.monotonic());
    if (heldMs > 0) this.#wakeIn(destination, heldMs);
    else if (!destination.isAsking && this.#isLow(destination) && !this.isFull && !this.#isHalfFull(destination.applicationId)) {
      destination.isAsking = true;
      this.#deps.facts.roomFreed.emit({ webhook: destination.webhook });
    }
  }

  /** Drops a destination; what was learnt about its receiver stays. */
  #retire(destination: Destination): void {
    const { webhook, flow } = destination;
    if (this.#destinations.get(webhook.id) !== destination) return;
    this.#destinations.delete(webhook.id);
    destination.cancelWake?.();
    if (destination.isGone || flow.isNeutral(this.#termsOf(webhook), this.#deps.clock.monotonic())) return;
    this.#flows.set(webhook.id, flow);
  }

  /** Looks at a destination again once it may send. */
  #wakeIn(destination: Destination, delayMs: number): void {
    destination.cancelWake?.();
    if (this.#isStopping) return;
    destination.cancelWake = this.#deps.clock.after(Math.min(delayMs, MAX_WAKE_MS), () => {
      destination.cancelWake = undefined;
      destination.isAsking = false; // what was asked for while nothing could be taken in was not brought
      this.#goOn(destination);
    });
  }

  /** Half empty: a look at the database brings enough to be worth it. */
  #isLow({ webhook, flow, queue, reserved, weight, isActive }: Destination): boolean {
    const most = this.#maxQueued(webhook, flow, queue.capacity);
    return isActive && most > 0 && queue.waiting + reserved <= most / 2 && weight <= this.#share(webhook) / 2;
  }

  /** Whether an application has half of its share of the memory in use: the other half is for what is new. */
  #isHalfFull(applicationId: string): boolean {
    return this.#memory.of(applicationId) >= this.#memory.limitOf(applicationId) / 2;
  }

  /** Whether there is room again for an application that was turned away. */
  #letIn(): boolean {
    let isAny = false;
    for (const applicationId of this.#turnedAway) if (!this.#isHalfFull(applicationId)) isAny = this.#turnedAway.delete(applicationId);
    return isAny;
  }

  /** What one webhook may have in memory. */
  #share({ applicationId, ordering }: LiveWebhook): number {
    const isTight = ordering !== Ordering.NONE || this.#isHalfFull(applicationId);
    return isTight ? MAX_BYTES_PER_WEBHOOK_WHEN_TIGHT : MAX_BYTES_PER_WEBHOOK;
  }

  #hasRoom(destination: Destination, weight: number): boolean {
    if (!this.#isSending() || !destination.isActive) return false;
    const { webhook, flow, queue, reserved, hasBacklog } = destination;
    if (!queue.admits({ most: this.#maxQueued(webhook, flow, queue.capacity), reserved, hasBacklog })) return false;
    if (!this.#memory.allows(destination.applicationId, weight)) return false;
    return destination.weight === 0 || destination.weight + weight <= this.#share(webhook);
  }

  #enqueue(destination: Destination | undefined, jobs: readonly Job[]): void {
    if (destination === undefined || !destination.isActive || this.#isStopping) {
      if (jobs.length > 0) this.#deps.releaser.release(jobs.map(({ deliveryId }) => deliveryId));
      return;
    }
    const fresh = jobs.filter((job) => !this.#isKnown(destination, job));
    for (const { deliveryId, attemptCount, weight } of fresh) {
      this.#owned.set(deliveryId, { destination, attemptCount, weight, release: undefined });
      this.#load(destination, weight);
    }
    destination.queue.push(fresh);
  }

  /** Whether a delivery that was claimed is in memory already. For the attempt that it has here: the fence decides. For the next one: that waits. */
  #isKnown(destination: Destination, job: Job): boolean {
    const owned = this.#owned.get(job.deliveryId);
    if (owned && owned.attemptCount < job.attemptCount) destination.early.set(job.deliveryId, job);
    return owned !== undefined;
  }

  #takeUpEarly(destination: Destination, deliveryId: string): void {
    const job = destination.early.get(deliveryId);
    if (job === undefined) return;
    destination.early.delete(deliveryId);
    this.#enqueue(destination, [job]);
  }

  /** Returns where it was, unless what is there is another attempt of the delivery. */
  #unload({ deliveryId, attemptCount }: Job): Destination | undefined {
    const owned = this.#owned.get(deliveryId);
    if (owned?.attemptCount !== attemptCount) return undefined;
    this.#owned.delete(deliveryId);
    this.#load(owned.destination, -owned.weight);
    owned.release?.();
    return owned.destination;
  }

  /** A body that was made for a delivery is in memory until the delivery is not. */
  #hold(deliveryId: string, { ownBytes, release }: HeldBody): void {
    const owned = this.#owned.get(deliveryId);
    if (owned === undefined) {
      release();
      return;
    }
    owned.release = release;
    owned.weight += ownBytes;
    this.#load(owned.destination, ownBytes);
  }

  #load(destination: Destination, weight: number): void {
    destination.weight += weight;
    this.#memory.giveBack(destination.applicationId, -weight);
  }

  #pump(destination: Destination): void {
    if (!destination.isActive || !this.#isSending()) return;
    const { queue, flow } = destination;
    while (queue.hasNext) {
      // First of all: one that has to wait takes no place among those that wait for a slot.
      const waitMs = flow.waitMs(this.#termsOf(destination.webhook), destination.inFlight, this.#deps.clock.monotonic());
      if (waitMs > 0) {
        if (waitMs < Number.POSITIVE_INFINITY) this.#wakeIn(destination, waitMs);
        return;
      }
      if (!this.#scheduler.admits(destination)) return;
      const job = queue.next();
      if (job) void this.#attempt(destination, job);
    }
  }

  async #attempt(destination: Destination, job: Job): Promise<void> {
    const { clock, attempter, completer, log } = this.#deps;
    const { webhook, flow } = destination;
    const ticket = flow.begin(this.#termsOf(webhook), clock.monotonic());
    const timeoutMs = this.#scheduler.started(destination, job.weight);
    try {
      const finished = await attempter.attempt(job, webhook, { timeoutMs, hold: (body) => this.#hold(job.deliveryId, body) });
      destination.isTimingOut = finished.exchange.outcome === 'TIMEOUT';
      this.#learn(destination, webhook, { ticket, exchange: finished.exchange, eventType: job.event.type });
      if (!completer.add(finished)) this.#isSettlingBehind = true;
    } catch (error) {
      // Failures of sending are values, so this is a fault of ours; the delivery is released and tried again.
      log.error({ deliveryId: job.deliveryId, error: (error as Error).stack }, 'attempt.fault');
      flow.abandon(ticket, clock.monotonic());
      this.#abandon(destination, job);
    }
    this.#scheduler.ended(destination);
    this.#tidy(destination);
  }

  /** One that was out was not sent. Behind it nothing of an ordered webhook may go before it is claimed again. */
  #abandon(destination: Destination, job: Job): void {
    const { deliveryId } = job;
    const isWithIt = destination.webhook.ordering === Ordering.NONE ? (other: Job) => other.deliveryId === deliveryId : all;
    destination.queue.dropped(deliveryId);
    this.#left(destination, [job, ...destination.take(isWithIt)], 'RELEASED');
  }

  /** What an exchange says of its receiver. Where nothing may be sent for a while, what waits goes back to the database. */
  #learn(
    destination: Destination,
    webhook: LiveWebhook,
    { ticket, exchange, eventType }: { ticket: Ticket; exchange: Exchange; eventType: string },
  ): void {
    const { clock, random, facts } = this.#deps;
    const { flow, queue } = destination;
    const [now, at] = [clock.monotonic(), clock.now()];
    const wasClosed = flow.isCircuitClosed;
    flow.end(ticket, exchange, { terms: this.#termsOf(webhook), now, endedAt: at, random: random() });
    if (flow.isCircuitClosed !== wasClosed) facts.circuitChanged.emit({ webhook, change: { isOpen: wasClosed, exchange, eventType, at } });
    if (queue.waiting === 0 || flow.heldMs(now) === 0) return;
    destination.hasBacklog = true;
    this.#takeOut(destination, all, 'RELEASED');
  }
}

const all = () => true;

import { AttemptTrigger } from '../attempts/attempt';
import { type Clock, HOUR, sleep } from '../clock';
import type { Delivery } from '../deliveries/delivery';
import type { Reservation } from '../events/appender';
import type { Event } from '../events/event';
import { FairShare } from '../fair-share';
import { newSpanId } from '../ids';
import type { Log } from '../log';
import { traceHeaders } from '../trace-context';
import type { LiveWebhook, Snapshot } from '../webhooks/directory';
import { Ordering } from '../webhooks/webhook';
import { contentHeaders, type FixedBody, readyBody, STANDARD_BODY } from './body';
import type { Exchange, HeaderPair, OutgoingRequest } from './exchange';
import { type Caution, Flow, type Terms, type Ticket } from './flow';
import { InFlight } from './in-flight';
import { type Job, Lane, weightOf } from './lane';
import { NextTurn } from './next-turn';
import type { HeldBody, Shaper } from './shaper';
import type { Fleet } from './share';
import { sign } from './sign';

/** An attempt that has ended and waits to be written down. */
export interface Finished {
  readonly job: Job;
  readonly webhook: LiveWebhook;
  readonly request: OutgoingRequest;
  readonly exchange: Exchange;
  /** What was sent; null when it could not be made. */
  readonly body: FixedBody | null;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

interface Deps {
  readonly instanceId: string;
  readonly userAgent: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly send: (request: OutgoingRequest) => Promise<Exchange>;
  /** Makes bodies that payload queries ask for. */
  readonly shaper: Pick<Shaper, 'bodyFor'>;
  /** Takes what has ended; `false` once too much waits to be written and sending must pause. */
  readonly settle: (finished: Finished) => boolean;
  /** Whether this instance may send at all: its lease holds. */
  readonly isLeaseHeld: () => boolean;
  /** Gives deliveries back to the database, for any instance. */
  readonly giveBack: (deliveryIds: readonly string[]) => void;
  /** The webhook's queue has room and the database has more for it; without a webhook: somebody's may. */
  readonly hungry: (webhookId?: string) => void;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Who shares what a webhook allows. */
  readonly fleet: () => Fleet;
  /** A webhook's circuit breaker has opened, or closed again. */
  readonly circuitChanged: (webhook: LiveWebhook, change: CircuitChange) => void;
}

export interface CircuitChange {
  readonly isOpen: boolean;
  /** What brought it about. */
  readonly exchange: Exchange;
  /** Of the event that was sent. */
  readonly eventType: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** How much of a webhook's backlog may be taken in. */
export interface LaneRoom {
  readonly deliveries: number;
  /** What they may weigh together; the first may weigh more. */
  readonly bytes: number;
}

/** A delivery in memory. */
interface Owned {
  readonly lane: Lane;
  weight: number;
  /** Lets go of the body that was made for it, where one was. */
  release: (() => void) | undefined;
}

const NO_ROOM: LaneRoom = { deliveries: 0, bytes: 0 };

/** A queue longer than this is better kept in the database, where every instance can take from it. */
const MOST_QUEUED_A_WEBHOOK = 1_000;
/** Everything in memory: promised, queued, in flight, waiting to be written down. Divided between applications. */
const MOST_BYTES = 128 * 1024 * 1024;
/** With less left no backlog is brought in, whose ever it is. */
const MIN_FREE_BYTES = MOST_BYTES / 16;
const MOST_BYTES_A_WEBHOOK = 16 * 1024 * 1024;
/** Of the second half of its application's share a webhook gets this much, or one delivery: those with large payloads that hang leave room for the rest. */
const MOST_BYTES_A_WEBHOOK_WHEN_CROWDED = 1024 * 1024;

/** An event for a thousand webhooks must not keep the process to itself: what others send, publish and ask goes between. */
const MOST_STARTS_A_TURN = 16;
/** Signing and sending take time by the byte: a delivery of so many bytes counts as another start. */
const BYTES_A_START = 64 * 1024;

/** What is remembered of webhooks that have nothing in memory: paused by their receivers, circuit open, pace used up. */
const MOST_FLOWS = 20_000;
/** A timer takes no more than 24 days; waking early costs one look. */
const MOST_WAKE_MS = HOUR;

/**
 * Sends what this instance owns: a queue a webhook, each within its own concurrency, all within what the process can
 * carry. It never touches the database; what it needs from there is brought, what has ended is handed on.
 */
export class Dispatcher {
  readonly #deps: Deps;
  readonly #lanes = new Map<string, Lane>();
  /** Of webhooks without a lane, where there is something to remember; the longest unused is forgotten first. */
  readonly #flows = new Map<string, Flow>();
  /** Requests under way, and the lanes that could send but for them. */
  readonly #inFlight = new InFlight();
  /** Every delivery that is queued, in flight or waits to be written down. */
  readonly #owned = new Map<string, Owned>();
  /** Lanes that could send, but in the next turn of the event loop. */
  readonly #nextTurn = new NextTurn();
  /** Requests started in this turn of the event loop; large ones count as several. */
  #started = 0;
  /** Of everything in memory: promised, queued, in flight, waiting to be written down. */
  readonly #memory = new FairShare(MOST_BYTES);
  /** Applications whose backlog was not taken in, because they have their share of the memory in use. */
  readonly #turnedAway = new Set<string>();
  #isStopping = false;
  #isSettlingBehind = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get inFlight(): number {
    return this.#inFlight.total;
  }

  /** Deliveries that wait here for their turn. */
  get queued(): number {
    let queued = 0;
    for (const lane of this.#lanes.values()) queued += lane.queued;
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

  /** Deliveries whose attempts are written down: what comes of them next is for the database to say. */
  settled(deliveryIds: readonly string[]): void {
    const wasFull = this.isFull;
    const lanes = new Set<Lane>();
    for (const id of deliveryIds) {
      const lane = this.#forget(id);
      if (lane) lanes.add(lane);
    }
    for (const lane of lanes) this.#tidy(lane);
    if ((wasFull && !this.isFull) || this.#letIn()) this.#deps.hungry();
  }

  /** A claim on the queues for a batch that is about to be stored. */
  reserve(): Reservation {
    let reserved: { lane: Lane; weight: number }[] = [];
    const release = () => {
      for (const { lane, weight } of reserved) {
        lane.reserved--;
        this.#load(lane, -weight);
      }
      const lanes = new Set(reserved.map(({ lane }) => lane));
      reserved = [];
      return lanes;
    };
    return {
      ownerFor: (webhook, event) => {
        if (!webhook.isSending || webhook.ordering !== Ordering.NONE) return '';
        const lane = this.#laneFor(webhook);
        const weight = weightOf(event.payloadText.length);
        if (!this.#hasRoom(lane, weight)) {
          lane.hasBacklog = true;
          return '';
        }
        lane.reserved++;
        this.#load(lane, weight);
        reserved.push({ lane, weight });
        return this.#deps.instanceId;
      },
      release: () => {
        for (const lane of release()) this.#tidy(lane);
      },
      take: (deliveries, events) => {
        release(); // what is stored is counted again, in its queue
        this.#acceptStored(deliveries, events);
      },
    };
  }

  /** Deliveries that were claimed from the database for a webhook; `hasMore`: others are due there. */
  acceptClaimed(webhook: LiveWebhook, jobs: readonly Job[], hasMore: boolean): void {
    const lane = jobs.length > 0 || hasMore ? this.#laneFor(webhook) : this.#lanes.get(webhook.id);
    if (lane === undefined) return;
    lane.hasBacklog = hasMore;
    lane.isAsking = false;
    this.#enqueue(lane, jobs);
    this.#pump(lane);
    this.#tidy(lane);
  }

  /** How much of a webhook's backlog to bring: nothing until it is worth a look at the database. */
  roomFor(webhook: LiveWebhook): LaneRoom {
    const { applicationId } = webhook;
    if (!webhook.isSending || this.isFull) return NO_ROOM;
    if (this.#isHalfFull(applicationId)) {
      this.#turnedAway.add(applicationId);
      return NO_ROOM;
    }
    const lane = this.#lanes.get(webhook.id);
    const share = this.#share(applicationId);
    if (lane === undefined) return { deliveries: this.#mostQueued(webhook, this.#flows.get(webhook.id)), bytes: share };
    if (!lane.isActive || !this.#isLow(lane)) return NO_ROOM;
    return { deliveries: this.#mostQueued(lane.webhook, lane.flow) - lane.queued - lane.reserved, bytes: share - lane.weight };
  }

  /** What this instance does about the receiver of a webhook; null: it sends as it is asked to. */
  caution(webhookId: string, version: number): Caution | null {
    const flow = this.#lanes.get(webhookId)?.flow ?? this.#flows.get(webhookId);
    flow?.follow(version);
    return flow?.caution(this.#deps.clock.monotonic()) ?? null;
  }

  /** The webhooks of an application have changed: what is queued goes by the new ones. */
  webhooksChanged(applicationId: string, { byId }: Snapshot): void {
    for (const [webhookId, lane] of this.#lanes) {
      if (lane.webhook.applicationId !== applicationId) continue;
      const webhook = byId.get(webhookId);
      if (webhook !== undefined && webhook === lane.webhook) continue; // as it was
      lane.isGone = webhook === undefined;
      if (webhook && webhook.ordering !== lane.webhook.ordering) this.#empty(lane); // what is queued has the former order
      if (webhook) this.#follow(lane, webhook);
      if (lane.isActive) this.#pump(lane);
      else this.#empty(lane);
      if (lane.isGone) lane.hasBacklog = false;
      this.#tidy(lane);
    }
  }

  /** Forgets a delivery that waits here; false when none does. One that is in flight ends by itself. */
  drop(deliveryId: string, webhookId: string): boolean {
    const lane = this.#lanes.get(webhookId);
    if (lane === undefined) return false;
    const dropped = lane.remove((queued) => queued.deliveryId === deliveryId);
    for (const job of dropped) this.#forget(job.deliveryId);
    this.#tidy(lane);
    return dropped.length > 0;
  }

  /** Forgets what waits here of an event, as `drop` does of a delivery. */
  dropEvent(applicationId: string, sequence: number): void {
    for (const lane of [...this.#lanes.values()]) {
      if (lane.webhook.applicationId !== applicationId) continue;
      for (const job of lane.remove(({ event }) => event.sequence === sequence)) this.#forget(job.deliveryId);
      this.#tidy(lane);
    }
  }

  /** Gives everything back that has not left yet. */
  giveBackQueued(): void {
    for (const lane of this.#lanes.values()) this.#empty(lane);
  }

  /** Sending may go on: the lease holds again, or what waited to be written has been. */
  resume(): void {
    this.#isSettlingBehind = false;
    for (const lane of this.#lanes.values()) this.#pump(lane);
    for (const lane of this.#lanes.values()) this.#tidy(lane);
  }

  /** Instances have come or gone: where none of what a webhook allows is this one's share any more, others send. */
  fleetChanged(): void {
    for (const lane of this.#lanes.values()) {
      if (lane.queued > 0 && this.#mostQueued(lane.webhook, lane.flow) === 0) this.#empty(lane);
      this.#pump(lane);
    }
    for (const lane of this.#lanes.values()) this.#tidy(lane);
  }

  /** Starts nothing more, gives back what waits, and resolves when nothing is in flight. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.giveBackQueued();
    for (const lane of this.#lanes.values()) lane.cancelWake?.();
    while (this.#inFlight.total > 0) await sleep(this.#deps.clock, 5);
  }

  #isSending(): boolean {
    return !this.#isStopping && !this.#isSettlingBehind && this.#deps.isLeaseHeld();
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
        trigger: AttemptTrigger.FIRST,
        body: null,
        createdAt: createdAt.getTime(),
        weight: weightOf(event.payloadText.length),
      };
      const own = jobs.get(webhookId);
      if (own) own.push(job);
      else jobs.set(webhookId, [job]);
    }
    for (const [webhookId, own] of jobs) this.#enqueue(this.#lanes.get(webhookId), own);
    for (const webhookId of new Set([...jobs.keys(), ...waiting])) {
      const lane = this.#lanes.get(webhookId);
      if (lane === undefined) continue;
      if (waiting.has(webhookId) && lane.isActive) lane.hasBacklog = true;
      this.#pump(lane);
      this.#tidy(lane);
    }
  }

  #laneFor(webhook: LiveWebhook): Lane {
    const known = this.#lanes.get(webhook.id);
    if (known) {
      if (webhook.version > known.webhook.version) this.#follow(known, webhook);
      return known;
    }
    const lane = new Lane(webhook, this.#flows.get(webhook.id) ?? new Flow(webhook.version));
    lane.flow.follow(webhook.version);
    this.#flows.delete(webhook.id);
    this.#lanes.set(webhook.id, lane);
    return lane;
  }

  #follow(lane: Lane, webhook: LiveWebhook): void {
    lane.webhook = webhook;
    lane.flow.follow(webhook.version);
  }

  #termsOf(webhook: LiveWebhook): Terms {
    return { webhook, fleet: this.#deps.fleet() };
  }

  /** The most deliveries of a webhook that wait here: few where it is paced, none while nothing may be sent. */
  #mostQueued(webhook: LiveWebhook, flow: Flow | undefined): number {
    flow?.follow(webhook.version);
    const now = this.#deps.clock.monotonic();
    return (flow ?? new Flow(webhook.version)).mostQueued(this.#termsOf(webhook), MOST_QUEUED_A_WEBHOOK, now);
  }

  /** Asks for the backlog of a lane that runs low; forgets one that holds nothing. */
  #tidy(lane: Lane): void {
    if (lane.isIdle) this.#retire(lane);
    if (!lane.hasBacklog || !lane.isActive) return;
    const heldMs = lane.flow.heldMs(this.#deps.clock.monotonic());
    if (heldMs > 0) this.#wakeIn(lane, heldMs);
    else if (!lane.isAsking && this.#isLow(lane) && !this.isFull && !this.#isHalfFull(lane.webhook.applicationId)) {
      lane.isAsking = true;
      this.#deps.hungry(lane.webhook.id);
    }
  }

  /** Drops a lane; what was learnt about its receiver stays. */
  #retire(lane: Lane): void {
    const { webhook, flow } = lane;
    if (this.#lanes.get(webhook.id) !== lane) return;
    this.#lanes.delete(webhook.id);
    lane.cancelWake?.();
    if (lane.isGone || flow.isNeutral(this.#termsOf(webhook), this.#deps.clock.monotonic())) return;
    this.#flows.set(webhook.id, flow);
    if (this.#flows.size > MOST_FLOWS) this.#flows.delete(this.#flows.keys().next().value ?? '');
  }

  /** Looks at a lane again once it may send. */
  #wakeIn(lane: Lane, delayMs: number): void {
    lane.cancelWake?.();
    if (this.#isStopping) return;
    lane.cancelWake = this.#deps.clock.after(Math.min(delayMs, MOST_WAKE_MS), () => {
      lane.cancelWake = undefined;
      lane.isAsking = false; // what was asked for while nothing could be taken in was not brought
      this.#pump(lane);
      this.#tidy(lane);
    });
  }

  /** Half empty: a look at the database brings enough to be worth it. */
  #isLow(lane: Lane): boolean {
    const most = this.#mostQueued(lane.webhook, lane.flow);
    return most > 0 && lane.queued + lane.reserved <= most / 2 && lane.weight <= this.#share(lane.webhook.applicationId) / 2;
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

  /** What one webhook of an application may have in memory. */
  #share(applicationId: string): number {
    return this.#isHalfFull(applicationId) ? MOST_BYTES_A_WEBHOOK_WHEN_CROWDED : MOST_BYTES_A_WEBHOOK;
  }

  #hasRoom(lane: Lane, weight: number): boolean {
    if (!this.#isSending() || !lane.isActive || (lane.hasBacklog && !lane.hasRetries)) return false;
    if (lane.fresh + lane.reserved >= this.#mostQueued(lane.webhook, lane.flow)) return false;
    const { applicationId } = lane.webhook;
    return this.#memory.allows(applicationId, weight) && (lane.weight === 0 || lane.weight + weight <= this.#share(applicationId));
  }

  #enqueue(lane: Lane | undefined, jobs: readonly Job[]): void {
    if (lane === undefined || !lane.isActive || this.#isStopping) {
      if (jobs.length > 0) this.#deps.giveBack(jobs.map(({ deliveryId }) => deliveryId));
      return;
    }
    for (const job of jobs) {
      if (this.#owned.has(job.deliveryId)) continue; // claimed again while its last attempt is being written: the fence decides
      this.#owned.set(job.deliveryId, { lane, weight: job.weight, release: undefined });
      this.#load(lane, job.weight);
      lane.push(job);
    }
  }

  #empty(lane: Lane): void {
    const jobs = lane.remove(() => true);
    if (jobs.length === 0) return;
    for (const job of jobs) this.#forget(job.deliveryId);
    this.#deps.giveBack(jobs.map((job) => job.deliveryId));
  }

  #forget(deliveryId: string): Lane | undefined {
    const owned = this.#owned.get(deliveryId);
    if (owned === undefined) return undefined;
    this.#owned.delete(deliveryId);
    this.#load(owned.lane, -owned.weight);
    owned.release?.();
    return owned.lane;
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
    this.#load(owned.lane, ownBytes);
  }

  #load(lane: Lane, weight: number): void {
    lane.weight += weight;
    this.#memory.giveBack(lane.webhook.applicationId, -weight);
  }

  #pump(lane: Lane): void {
    if (!lane.isActive || !this.#isSending()) return;
    while (lane.queued > 0) {
      // First of all: a lane that has to wait takes no place among those that wait for a slot.
      const waitMs = lane.flow.waitMs(this.#termsOf(lane.webhook), lane.inFlight, this.#deps.clock.monotonic());
      if (waitMs > 0) {
        if (waitMs < Number.POSITIVE_INFINITY) this.#wakeIn(lane, waitMs);
        return;
      }
      const obstacle = this.#inFlight.obstacle(lane);
      if (obstacle) {
        this.#inFlight.hold(lane, obstacle);
        return;
      }
      if (!this.#mayStart()) {
        this.#nextTurn.add(lane);
        return;
      }
      const job = lane.shift();
      if (job === undefined) return;
      this.#started += Math.floor(job.weight / BYTES_A_START);
      void this.#attempt(lane, job);
    }
  }

  #mayStart(): boolean {
    if (this.#started === 0) setImmediate(() => this.#turn());
    if (this.#started >= MOST_STARTS_A_TURN) return false;
    this.#started++;
    return true;
  }

  /** Another turn of the event loop. */
  #turn(): void {
    this.#started = 0;
    while (this.#started < MOST_STARTS_A_TURN) {
      const lane = this.#nextTurn.take();
      if (lane === undefined) return;
      this.#pump(lane);
      this.#tidy(lane);
    }
  }

  async #attempt(lane: Lane, job: Job): Promise<void> {
    const { clock, send, settle, log } = this.#deps;
    const { webhook } = lane;
    const ticket = lane.flow.begin(this.#termsOf(webhook), clock.monotonic());
    lane.inFlight++;
    const timeoutMs = this.#inFlight.begin(lane);
    try {
      const startedAt = clock.now();
      const body = readyBody(job.event, job.body, webhook.payloadQuery, webhook.format) ?? (await this.#shaped(job, webhook));
      const fixed = 'problem' in body ? null : body;
      const request = { ...requestFor(job, webhook, fixed, startedAt, this.#deps.userAgent), timeoutMs };
      const exchange = 'problem' in body ? payloadError(body.problem) : await send(request);
      lane.isTimingOut = exchange.outcome === 'TIMEOUT';
      this.#learn(lane, webhook, { ticket, exchange, eventType: job.event.type });
      if (!settle({ job, webhook, request, exchange, body: fixed, startedAt })) this.#isSettlingBehind = true;
    } catch (error) {
      // `send` reports failures as values, so this is a fault of ours; the delivery goes back and is tried again.
      log.error({ deliveryId: job.deliveryId, error: (error as Error).stack }, 'attempt.fault');
      lane.flow.abandon(ticket, clock.monotonic());
      this.#forget(job.deliveryId);
      this.#deps.giveBack([job.deliveryId]);
    }
    lane.inFlight--;
    this.#inFlight.end(lane);
    this.#goOn(lane);
  }

  async #shaped({ deliveryId, event }: Job, { payloadQuery, format }: LiveWebhook): Promise<FixedBody | { readonly problem: string }> {
    const held = await this.#deps.shaper.bodyFor(event, null, payloadQuery, format);
    if ('problem' in held) return held;
    this.#hold(deliveryId, held);
    return held.body;
  }

  /** What an exchange says of its receiver. Where nothing may be sent for a while, what waits goes back to the database. */
  #learn(
    lane: Lane,
    webhook: LiveWebhook,
    { ticket, exchange, eventType }: { ticket: Ticket; exchange: Exchange; eventType: string },
  ): void {
    const { clock, random, circuitChanged } = this.#deps;
    const { flow } = lane;
    const [now, at] = [clock.monotonic(), clock.now()];
    const wasClosed = flow.isCircuitClosed;
    flow.end(ticket, exchange, { terms: this.#termsOf(webhook), now, endedAt: at, random: random() });
    if (flow.isCircuitClosed !== wasClosed) circuitChanged(webhook, { isOpen: wasClosed, exchange, eventType, at });
    if (lane.queued === 0 || flow.heldMs(now) === 0) return;
    this.#empty(lane);
    lane.hasBacklog = true;
  }

  /** A slot is free: its lane's again, or, where others wait for slots, theirs in turn. */
  #goOn(lane: Lane): void {
    if (this.#inFlight.isNobodyHeld) this.#pump(lane);
    else {
      this.#inFlight.hold(lane, lane.mayHang ? 'spare' : 'full');
      for (let next = this.#inFlight.next(); next; next = this.#inFlight.next()) this.#pump(next);
    }
    this.#tidy(lane);
  }
}

const NO_BODY: FixedBody = { key: STANDARD_BODY, bytes: Buffer.alloc(0) };

/** Nothing was sent: the body could not be made. */
export function payloadError(problem: string): Exchange {
  return {
    outcome: 'PAYLOAD_ERROR',
    statusCode: null,
    error: problem,
    responseHeaders: [],
    responseBody: null,
    responseTruncated: false,
    durationMs: 0,
  };
}

/** The signed request of an attempt; `fixed` is null where no body could be made and nothing will be sent. */
export function requestFor(job: Job, webhook: LiveWebhook, fixed: FixedBody | null, now: number, userAgent: string): OutgoingRequest {
  const { event } = job;
  const { key, bytes: body } = fixed ?? NO_BODY;
  const timestamp = Math.floor(now / 1_000);
  const headers: HeaderPair[] = [
    ...contentHeaders(event, key),
    ['user-agent', userAgent],
    ['webhook-id', event.id],
    ['webhook-timestamp', String(timestamp)],
    ['webhook-signature', sign({ id: event.id, timestamp, body }, webhook.signingKeys, now)],
    ['livehook-delivery-id', job.deliveryId],
    ['livehook-attempt', String(job.attemptCount + 1)],
    ['livehook-sequence', String(event.sequence)],
    ['livehook-event-type', event.type],
    ...(event.traceContext === null ? [] : traceHeaders(event.traceContext, newSpanId())),
    ...webhook.headers,
  ];
  const { url, timeoutMs, applicationId, credentials } = webhook;
  return { url, headers, body, timeoutMs, applicationId, credentials };
}

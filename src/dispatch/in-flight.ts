import { SECOND } from '../clock';
import { FairShare } from '../fair-share';
import type { Lane } from './lane';

/** Twice what one application can have: it gets at most a half. */
export const MAX_IN_FLIGHT = 2_048;
/** With fewer requests under way than this nothing is scarce, whoever sends them. */
const CALM_IN_FLIGHT = MAX_IN_FLIGHT / 4;
/** From half of its application's share on a webhook gets no more than this at a time, so that those that hang leave room for the rest. */
const MAX_IN_FLIGHT_PER_WEBHOOK_WHEN_CROWDED = 2;
/** The last slots are for applications that hold none, and for a short time only. */
const SCARCE_SLOTS = MAX_IN_FLIGHT / 8;
/** What a request then has at most: with a hanging webhook in each of thousands of applications a slot is free every 20 ms. */
const MAX_TIMEOUT_MS_WHEN_SCARCE = 5 * SECOND;

/** What keeps a lane from sending although its webhook would take more. */
export type Obstacle = 'full' | 'spare' | 'crowded';
const OBSTACLES: readonly Obstacle[] = ['full', 'spare', 'crowded'];

type Held = Readonly<Record<Obstacle, Set<Lane>>>;

/**
 * Requests under way, and the lanes that wait for one of them to end. Divided between applications, and within the share of one
 * between its webhooks: beyond half of it each gets two at a time, and beyond three quarters only those that answer in time.
 */
export class InFlight {
  readonly #share = new FairShare(MAX_IN_FLIGHT);
  /** By application, in turn. */
  readonly #held = new Map<string, Held>();

  get total(): number {
    return this.#share.total;
  }

  /** A request starts; returns how long it may take. */
  begin({ webhook }: Lane): number {
    const isScarce = this.#share.free <= SCARCE_SLOTS;
    this.#share.take(webhook.applicationId, 1);
    return isScarce ? Math.min(webhook.timeoutMs, MAX_TIMEOUT_MS_WHEN_SCARCE) : webhook.timeoutMs;
  }

  end({ webhook }: Lane): void {
    this.#share.giveBack(webhook.applicationId, 1);
  }

  /** Why one more request of this lane cannot be carried now, if it can't. */
  obstacle(lane: Lane): Obstacle | undefined {
    if (this.#share.total < CALM_IN_FLIGHT) return undefined;
    const { applicationId } = lane.webhook;
    if (this.#isMet('full', applicationId)) return 'full';
    if (lane.inFlight >= MAX_IN_FLIGHT_PER_WEBHOOK_WHEN_CROWDED && this.#isMet('crowded', applicationId)) return 'crowded';
    return lane.mayHang && this.#isMet('spare', applicationId) ? 'spare' : undefined;
  }

  /** A lane waits until there is room for it. */
  hold(lane: Lane, obstacle: Obstacle): void {
    const { applicationId } = lane.webhook;
    let held = this.#held.get(applicationId);
    if (held === undefined) {
      held = { full: new Set(), spare: new Set(), crowded: new Set() };
      this.#held.set(applicationId, held);
    }
    held[obstacle].add(lane);
  }

  /** Whether no lane waits. */
  get isNobodyHeld(): boolean {
    return this.#held.size === 0;
  }

  /** The next lane that there is room for: of each application in turn, and of an application the one that came first. */
  next(): Lane | undefined {
    for (const [applicationId, held] of this.#held) {
      const obstacle = OBSTACLES.find((each) => held[each].size > 0 && !this.#isMet(each, applicationId));
      const [lane] = obstacle === undefined ? [] : held[obstacle];
      if (obstacle === undefined || lane === undefined) continue;
      held[obstacle].delete(lane);
      this.#held.delete(applicationId);
      if (OBSTACLES.some((each) => held[each].size > 0)) this.#held.set(applicationId, held); // behind the others
      return lane;
    }
    return undefined;
  }

  #isMet(obstacle: Obstacle, applicationId: string): boolean {
    const of = this.#share.of(applicationId);
    switch (obstacle) {
      case 'full':
        return !this.#share.allows(applicationId, 1) || (of > 0 && this.#share.free <= SCARCE_SLOTS);
      case 'spare':
        return this.#share.total >= CALM_IN_FLIGHT && of >= (this.#share.limitOf(applicationId) * 3) / 4;
      case 'crowded':
        return this.#share.total >= CALM_IN_FLIGHT && of >= this.#share.limitOf(applicationId) / 2;
    }
  }
}

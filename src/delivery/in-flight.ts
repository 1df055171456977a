import { SECOND } from '../clock';
import { FairShare } from '../fair-share';

/** Twice what one application can have: it gets at most a half. */
export const MAX_IN_FLIGHT = 2_048;
/** With fewer requests under way than this nothing is scarce, no matter who sends them. */
const CALM_IN_FLIGHT = MAX_IN_FLIGHT / 4;
/** From half of its application's share on a webhook gets no more than this at a time, so that those that hang leave room for the rest. */
const MAX_IN_FLIGHT_PER_WEBHOOK_WHEN_CROWDED = 2;
/** The last slots are for applications that hold none, and for a short time only. */
const SCARCE_SLOTS = MAX_IN_FLIGHT / 8;
/** What a request then has at most: with a hanging webhook in each of thousands of applications a slot is free every 20 ms. */
const MAX_TIMEOUT_MS_WHEN_SCARCE = 5 * SECOND;

/** What takes slots: a webhook that is sent to. */
export interface Sending {
  readonly applicationId: string;
  /** How long a request may take. */
  readonly timeoutMs: number;
  readonly inFlight: number;
  /** Whether what comes next may well keep its slot until the deadline. */
  readonly mayHang: boolean;
}

/** What keeps one from sending although its webhook would take more. */
export type Obstacle = 'full' | 'spare' | 'crowded';
const OBSTACLES: readonly Obstacle[] = ['full', 'spare', 'crowded'];

type Held<Destination> = Readonly<Record<Obstacle, Set<Destination>>>;

/**
 * Requests under way, and the destinations that wait for one of them to end. Divided between applications, and within the share of one
 * between its webhooks: beyond half of it each gets two at a time, and beyond three quarters only those that answer in time.
 */
export class InFlight<Destination extends Sending> {
  readonly #share = new FairShare(MAX_IN_FLIGHT);
  /** By application, in turn. */
  readonly #held = new Map<string, Held<Destination>>();

  get total(): number {
    return this.#share.total;
  }

  /** A request starts; returns how long it may take. */
  begin({ applicationId, timeoutMs }: Destination): number {
    const isScarce = this.#share.free <= SCARCE_SLOTS;
    this.#share.take(applicationId, 1);
    return isScarce ? Math.min(timeoutMs, MAX_TIMEOUT_MS_WHEN_SCARCE) : timeoutMs;
  }

  end({ applicationId }: Destination): void {
    this.#share.giveBack(applicationId, 1);
  }

  /** Why one more request of this destination cannot be carried now, if it can't. */
  obstacle(destination: Destination): Obstacle | undefined {
    if (this.#share.total < CALM_IN_FLIGHT) return undefined;
    const { applicationId } = destination;
    if (this.#isMet('full', applicationId)) return 'full';
    if (destination.inFlight >= MAX_IN_FLIGHT_PER_WEBHOOK_WHEN_CROWDED && this.#isMet('crowded', applicationId)) return 'crowded';
    return destination.mayHang && this.#isMet('spare', applicationId) ? 'spare' : undefined;
  }

  /** It waits until there is room for it. */
  hold(destination: Destination, obstacle: Obstacle): void {
    const { applicationId } = destination;
    let held = this.#held.get(applicationId);
    if (held === undefined) {
      held = { full: new Set(), spare: new Set(), crowded: new Set() };
      this.#held.set(applicationId, held);
    }
    held[obstacle].add(destination);
  }

  /** Whether nobody waits. */
  get isNobodyHeld(): boolean {
    return this.#held.size === 0;
  }

  /** The next one that there is room for: of each application in turn, and of an application the one that came first. */
  next(): Destination | undefined {
    for (const [applicationId, held] of this.#held) {
      const obstacle = OBSTACLES.find((each) => held[each].size > 0 && !this.#isMet(each, applicationId));
      const [next] = obstacle === undefined ? [] : held[obstacle];
      if (obstacle === undefined || next === undefined) continue;
      held[obstacle].delete(next);
      this.#held.delete(applicationId);
      if (OBSTACLES.some((each) => held[each].size > 0)) this.#held.set(applicationId, held); // behind the others
      return next;
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

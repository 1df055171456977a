import type { Clock } from '../../clock';
import type { Fleet } from './quota';

/** Without a heartbeat for this long an instance stops sending; a little later the others take over. */
const LEASE_MS = 9_000;

/** What this instance knows of itself and its peers: whether its lease holds, and who shares the work. Only the heartbeat writes. */
export class Membership {
  readonly instanceId: string;
  readonly #clock: Clock;
  #beatenAt = Number.NEGATIVE_INFINITY;
  #fleet: Fleet = { instances: 1, place: 0 };

  constructor(instanceId: string, clock: Clock) {
    this.instanceId = instanceId;
    this.#clock = clock;
  }

  /** The instances that were alive at the last look, this one included. */
  get fleet(): Fleet {
    return this.#fleet;
  }

  /** Milliseconds since the heartbeat that the lease is judged by; Infinity before the first. */
  get leaseAgeMs(): number {
    return this.#clock.monotonic() - this.#beatenAt;
  }

  /** Judged from before the heartbeat was sent, by a clock that nobody sets: never held longer than the others think. */
  isLeaseHeld(): boolean {
    return this.leaseAgeMs < LEASE_MS;
  }

  /** A heartbeat is stored that was sent at this time of the monotonic clock. */
  beat(sentAt: number): void {
    this.#beatenAt = sentAt;
  }

  /** Counts the instances that live; whether they, or this one's place among them, have changed. */
  count(live: Iterable<string>): boolean {
    const all = [...new Set([...live, this.instanceId])].sort();
    const { instances, place } = this.#fleet;
    this.#fleet = { instances: all.length, place: all.indexOf(this.instanceId) };
    return instances !== this.#fleet.instances || place !== this.#fleet.place;
  }
}

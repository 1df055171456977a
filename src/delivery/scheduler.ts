import { InFlight, type Sending } from './in-flight';

/** An event for a thousand webhooks must not keep the process to itself: what others send, publish and ask goes between. */
const MAX_STARTS_PER_TURN = 16;
/** Signing and sending take time by the byte: a delivery of so many bytes counts as another start. */
const BYTES_PER_START = 64 * 1024;

export interface Schedulable extends Sending {
  inFlight: number;
}

/** Gives out the slots of the process and the starts of each turn of the event loop, application by application. */
export class Scheduler<Destination extends Schedulable> {
  readonly #resume: (destination: Destination) => void;
  /** Requests under way, and those that could send but for them. */
  readonly #inFlight = new InFlight<Destination>();
  /** Those that could send, but in the next turn of the event loop. */
  readonly #nextTurn = new Rotation<Destination>();
  /** Requests started in this turn of the event loop; large ones count as several. */
  #started = 0;

  /** `resume` is called for one that was held up and may go on: it asks again for each request. */
  constructor(resume: (destination: Destination) => void) {
    this.#resume = resume;
  }

  get inFlight(): number {
    return this.#inFlight.total;
  }

  /** Whether one more request may start now. Where it may not, the destination is resumed once it may. */
  admits(destination: Destination): boolean {
    const obstacle = this.#inFlight.obstacle(destination);
    if (obstacle) this.#inFlight.hold(destination, obstacle);
    else if (!this.#mayStart()) this.#nextTurn.add(destination);
    else return true;
    return false;
  }

  /** A request of so many bytes starts; returns how long it may take. */
  started(destination: Destination, bytes: number): number {
    this.#started += Math.floor(bytes / BYTES_PER_START);
    destination.inFlight++;
    return this.#inFlight.begin(destination);
  }

  /** A slot is free: its destination's again, or, where others wait for slots, theirs in turn. */
  ended(destination: Destination): void {
    destination.inFlight--;
    this.#inFlight.end(destination);
    if (this.#inFlight.isNobodyHeld) this.#resume(destination);
    else this.#inFlight.hold(destination, destination.mayHang ? 'spare' : 'full');
    for (let next = this.#inFlight.next(); next; next = this.#inFlight.next()) this.#resume(next);
  }

  #mayStart(): boolean {
    if (this.#started === 0) setImmediate(() => this.#turn());
    if (this.#started >= MAX_STARTS_PER_TURN) return false;
    this.#started++;
    return true;
  }

  /** Another turn of the event loop. */
  #turn(): void {
    this.#started = 0;
    while (this.#started < MAX_STARTS_PER_TURN) {
      const destination = this.#nextTurn.take();
      if (destination === undefined) return;
      this.#resume(destination);
    }
  }
}

/** One of each application in rotation, each application's in the order they came. */
export class Rotation<Member extends { readonly applicationId: string }> {
  readonly #byApplication = new Map<string, Set<Member>>();

  get isEmpty(): boolean {
    return this.#byApplication.size === 0;
  }

  add(member: Member): void {
    const { applicationId } = member;
    const members = this.#byApplication.get(applicationId);
    if (members) members.add(member);
    else this.#byApplication.set(applicationId, new Set([member]));
  }

  /** The next one; its application's others come after those of all other applications. */
  take(): Member | undefined {
    for (const [applicationId, members] of this.#byApplication) {
      this.#byApplication.delete(applicationId);
      const [member] = members;
      if (member === undefined) continue;
      members.delete(member);
      if (members.size > 0) this.#byApplication.set(applicationId, members);
      return member;
    }
    return undefined;
  }
}

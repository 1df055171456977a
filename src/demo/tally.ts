import { type Balance, balance, type Plan, type Published, type Receipt, type Sighting, wantedDeliveries } from './balance';

/** What has happened so far, from the three sides: the publisher, the receiver, the live subscription. */
export class Tally {
  readonly #plans: readonly Plan[];
  readonly #planned: number;
  /** Deliveries that what is planned, and what is published so far, must become. */
  readonly #wantedAtLast: number;
  #wanted = 0;
  readonly #published: Published[] = [];
  readonly #receipts: Receipt[] = [];
  readonly #sightings: Sighting[] = [];
  #finished = 0;
  #retried = 0;
  #isClosed = false;

  /** `planned`: the events that are to be published. */
  constructor(plans: readonly Plan[], planned: readonly { readonly type: string }[]) {
    this.#plans = plans;
    this.#planned = planned.length;
    this.#wantedAtLast = wantedDeliveries(plans, planned);
  }

  published(event: Published): void {
    this.#published.push(event);
    this.#wanted += wantedDeliveries(this.#plans, [event]);
  }

  received(receipt: Receipt): void {
    if (!this.#isClosed) this.#receipts.push(receipt);
  }

  sighted(sighting: Sighting): void {
    if (this.#isClosed) return;
    this.#sightings.push(sighting);
    if (sighting.status !== 'RETRYING') this.#finished++;
    if (sighting.attempt > 1) this.#retried++;
  }

  /** Whether the live subscription has told the end of every delivery of what was published. */
  get isFinished(): boolean {
    return this.#finished >= this.#wanted;
  }

  get progress(): { done: number; all: number; label: string } {
    const published = `${this.#published.length}/${this.#planned} published`;
    const finished = `${this.#finished}/${this.#wantedAtLast} finished`;
    return { done: this.#finished, all: this.#wantedAtLast, label: `${published}, ${finished}, ${this.#retried} retried` };
  }

  /** The sums; what happens later is not counted any more. */
  close(): Balance {
    this.#isClosed = true;
    return balance({
      plans: this.#plans,
      planned: this.#planned,
      published: this.#published,
      receipts: this.#receipts,
      sightings: this.#sightings,
    });
  }
}

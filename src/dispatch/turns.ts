import { Ordering } from '../webhooks/webhook';
import { type Job, weightOf } from './lane';

/** A claimed delivery of an ordered webhook. */
export interface Turn {
  readonly job: Job;
  /** What it must keep its order within; null: nothing. */
  readonly key: string | null;
}

/** A waiting delivery as choosing needs it. Ids of one webhook are in the order of the events' sequences. */
export interface Waiting {
  readonly id: string;
  readonly ordering_key: string | null;
  readonly attempt_count: number;
  readonly payload_chars: number;
}

/** What STRICT keeps in order: everything. */
const WHOLE_WEBHOOK = '';

export function keyOf(ordering: Ordering, orderingKey: string | null): string | null {
  switch (ordering) {
    case Ordering.NONE:
      return null;
    case Ordering.STRICT:
      return WHOLE_WEBHOOK;
    case Ordering.BY_KEY:
      return orderingKey;
  }
}

export interface Choosing {
  readonly ordering: Ordering;
  /** Of each key that waits for a retry the id of the delivery it waits for: what comes after it is blocked. */
  readonly heads: ReadonlyMap<string, string>;
  /** Keys of which a retry is being sent: nothing of them is taken in until it is known what came of it. Added to. */
  readonly probing: Set<string>;
  readonly room: WindowRoom;
}

export interface WindowRoom {
  readonly deliveries: number;
  readonly bytes: number;
  /** Nothing is in the window: the first delivery may weigh whatever it does. */
  readonly isEmpty: boolean;
}

export interface Choice<Row> {
  readonly taken: readonly Row[];
  /** The last one that was taken or passed over; the next look begins after it. */
  readonly position: string | null;
  /** Why the rest of the rows was not looked at, if it was not: there is no room, or nothing after the last one may go. */
  readonly stop: 'full' | 'blocked' | null;
}

/** Pure: which of the waiting ones, given in order, may be taken in. Blocked keys are passed over and take no room. */
export function choose<Row extends Waiting>(rows: readonly Row[], { ordering, heads, probing, room }: Choosing): Choice<Row> {
  const taken: Row[] = [];
  let bytes = 0;
  let position: string | null = null;
  for (const row of rows) {
    const key = keyOf(ordering, row.ordering_key);
    if (key !== null && isBlocked(row.id, key, heads, probing)) {
      if (ordering === Ordering.STRICT) return { taken, position, stop: 'blocked' };
      position = row.id;
      continue;
    }
    bytes += weightOf(Number(row.payload_chars));
    if (taken.length >= room.deliveries || (bytes > room.bytes && !(room.isEmpty && taken.length === 0)))
      return { taken, position, stop: 'full' };
    taken.push(row);
    position = row.id;
    if (key !== null && Number(row.attempt_count) > 0) probing.add(key);
  }
  return { taken, position, stop: null };
}

function isBlocked(id: string, key: string, heads: ReadonlyMap<string, string>, probing: ReadonlySet<string>): boolean {
  const head = heads.get(key);
  return probing.has(key) || (head !== undefined && head < id);
}

/** The claimed deliveries of one ordered webhook: of each key the first may be out, the others wait behind it. */
export class Window {
  /** By key, in sequence order; of each the first may be out. */
  readonly #queues = new Map<string, Turn[]>();
  readonly #unordered: Turn[] = [];
  readonly #out = new Map<string, Turn>();
  #waiting = 0;
  #weight = 0;

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting;
  }

  get isEmpty(): boolean {
    return this.#waiting === 0 && this.#out.size === 0;
  }

  /** Bytes, of those that wait and those that are out. */
  get weight(): number {
    return this.#weight;
  }

  has(deliveryId: string): boolean {
    return this.ids.includes(deliveryId);
  }

  get ids(): string[] {
    const waiting = [...this.#queues.values(), this.#unordered].flat();
    return [...new Set([...waiting.map(idOf), ...this.#out.keys()])];
  }

  /** Keys whose turn is out for another attempt. */
  get probing(): Set<string> {
    const keys = new Set<string>();
    for (const [key, queue] of this.#queues) if (queue.some(({ job }) => job.attemptCount > 0)) keys.add(key);
    return keys;
  }

  add(turn: Turn): void {
    this.#waiting++;
    this.#weight += turn.job.weight;
    if (turn.key === null) {
      this.#unordered.push(turn);
      return;
    }
    const queue = this.#queues.get(turn.key) ?? [];
    this.#queues.set(turn.key, queue);
    const later = queue.findIndex((other) => idOf(other) > idOf(turn) && !this.#out.has(idOf(other)));
    queue.splice(later === -1 ? queue.length : later, 0, turn);
  }

  /** Hands out whatever may go now: of each key the first, once nothing of the key is out. */
  next(): Turn[] {
    const turns = this.#unordered.splice(0);
    for (const [first] of this.#queues.values()) if (first && !this.#out.has(idOf(first))) turns.push(first);
    for (const turn of turns) this.#out.set(idOf(turn), turn);
    this.#waiting -= turns.length;
    return turns;
  }

  /** One that was out is back, whatever came of it; undefined when it was not out. */
  returned(deliveryId: string): Turn | undefined {
    const turn = this.#out.get(deliveryId);
    if (turn === undefined) return undefined;
    this.#out.delete(deliveryId);
    this.#forget(turn);
    return turn;
  }

  /** Takes out those that wait and that `isWanted` names. */
  remove(isWanted: (turn: Turn) => boolean): Turn[] {
    const waiting = [...this.#queues.values(), this.#unordered].flat().filter((turn) => !this.#out.has(idOf(turn)));
    const removed = waiting.filter(isWanted);
    for (const turn of removed) this.#forget(turn);
    this.#waiting -= removed.length;
    return removed;
  }

  #forget(turn: Turn): void {
    this.#weight -= turn.job.weight;
    const queue = turn.key === null ? this.#unordered : (this.#queues.get(turn.key) ?? []);
    const index = queue.indexOf(turn);
    if (index !== -1) queue.splice(index, 1);
    if (turn.key !== null && queue.length === 0) this.#queues.delete(turn.key);
  }
}

function idOf(turn: Turn): string {
  return turn.job.deliveryId;
}

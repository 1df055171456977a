import { Ordering } from '../../webhooks/webhook';
import { weightOf } from '../job';
import { keyOf } from '../queue/ordered-queue';

/** A waiting delivery as choosing needs it. Ids of one webhook are in the order of the events' sequences. */
export interface Waiting {
  readonly id: string;
  readonly ordering_key: string | null;
  readonly attempt_count: number;
  readonly payload_chars: number;
}

export interface Choosing {
  readonly ordering: Ordering;
  /** Of each key that waits for a retry the id of the delivery it waits for: what comes after it is blocked. */
  readonly heads: ReadonlyMap<string, string>;
  /** Keys of which a retry is being sent: nothing of them is taken in until it is known what came of it. Added to. */
  readonly probing: Set<string>;
  readonly space: Space;
}

export interface Space {
  readonly deliveries: number;
  readonly bytes: number;
  /** The queue is empty: the first delivery may weigh whatever it does. */
  readonly isEmpty: boolean;
}

export interface Choice<Row> {
  readonly taken: readonly Row[];
  /** The last one that was taken or passed over; the next look begins after it. */
  readonly position: string | null;
  /** Why the rest of the rows was not looked at, if it was not: there is no room, or nothing after the last one may go. */
  readonly stop: 'full' | 'blocked' | null;
}

/** Pure: which of the waiting ones, given in order, may be taken in. Blocked keys are passed over and take no space. */
export function choose<Row extends Waiting>(rows: readonly Row[], { ordering, heads, probing, space }: Choosing): Choice<Row> {
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
    if (taken.length >= space.deliveries || (bytes > space.bytes && !(space.isEmpty && taken.length === 0)))
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

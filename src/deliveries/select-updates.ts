import { readAttemptFacts } from '../attempts/read-facts';
import { attemptId } from '../ids';
import type { Queries } from '../store/database';
import {
  asksForAttempt,
  asksForOrderingKey,
  type DeliverySelection,
  matchesAttempt,
  matchesOrderingKey,
  matchesSelection,
} from './selection';
import type { LoggedUpdate } from './update-log';

/**
 * The updates of deliveries that are selected, with the status that each brought. What the log does not say of them is
 * read, so that an update is selected live just as it is when it is read again later.
 */
export async function selectUpdates(
  read: Queries,
  selection: DeliverySelection,
  updates: readonly LoggedUpdate[],
): Promise<readonly LoggedUpdate[]> {
  const own = updates.filter((update) => matchesSelection(selection, update));
  return withOrderingKey(read, selection, await withAttempt(read, selection, own));
}

async function withAttempt(
  read: Queries,
  selection: DeliverySelection,
  updates: readonly LoggedUpdate[],
): Promise<readonly LoggedUpdate[]> {
  if (!asksForAttempt(selection) || updates.length === 0) return updates;
  const brought = updates.filter(({ attemptNumber }) => attemptNumber > 0);
  const idOf = ({ deliveryId, attemptNumber }: LoggedUpdate) => attemptId(deliveryId, attemptNumber);
  const stored = await readAttemptFacts(read, brought.filter(({ attempt }) => !attempt).map(idOf));
  return brought.filter((update) => matchesAttempt(selection, update.attempt ?? stored.get(idOf(update))));
}

async function withOrderingKey(
  read: Queries,
  selection: DeliverySelection,
  updates: readonly LoggedUpdate[],
): Promise<readonly LoggedUpdate[]> {
  if (!asksForOrderingKey(selection) || updates.length === 0) return updates;
  const missing = updates.filter(({ delivery }) => !delivery).map(({ deliveryId }) => deliveryId);
  const stored = await readOrderingKeys(read, [...new Set(missing)]);
  return updates.filter(({ delivery, deliveryId }) =>
    matchesOrderingKey(selection, (delivery ? delivery.orderingKey : stored.get(deliveryId)) ?? null),
  );
}

async function readOrderingKeys({ dialect, query }: Queries, ids: readonly string[]): Promise<Map<string, string | null>> {
  if (ids.length === 0) return new Map();
  const { sql, parameters } = dialect.oneOf('id', ids);
  const rows = await query<{ id: string; ordering_key: string | null }>(`SELECT id, ordering_key FROM deliveries WHERE ${sql}`, parameters);
  return new Map(rows.map(({ id, ordering_key }) => [id, ordering_key]));
}

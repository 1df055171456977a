import { shown } from '../errors';
import { sequenceOf } from '../ids';
import type { Queries } from '../store/database';
import { Ordering, type Webhook } from './webhook';

interface Blocking {
  readonly id: string;
  readonly ordering_key: string | null;
  readonly attempt_count: number;
  readonly owner: string;
  readonly due_at: number;
}

const MAX_ROWS = 1_000;

/** In plain words which event holds up those after it; null: none does, as far as is known. */
export async function orderProblem(queries: Queries, { id, ordering }: Webhook): Promise<string | null> {
  if (ordering === Ordering.NONE) return null;
  const rows = await readBlocking(queries, id);
  const blocking = ordering === Ordering.BY_KEY ? rows.filter((row) => row.ordering_key !== null) : rows;
  const [first] = blocking.sort((one, other) => (one.id < other.id ? -1 : 1));
  if (first === undefined) return null;
  return ordering === Ordering.STRICT ? sentence(first, 'the webhook') : keySentence(first, blocking);
}

/** What has failed and is to be tried again waits for its time, or is its owner's while it is being sent. */
async function readBlocking(queries: Queries, webhookId: string): Promise<Blocking[]> {
  const columns = 'id, ordering_key, attempt_count, owner, due_at';
  // What had failed for good, or succeeded, and is tried again by hand holds nothing up for long.
  const isAwaited = 'attempt_count > 0 AND (next_trigger IS NULL OR automatic_due_at IS NOT NULL)';
  const from = `FROM deliveries ${queries.dialect.throughIndex('deliveries_due')} WHERE`;
  const waiting = await queries.query<Blocking>(
    `SELECT ${columns} ${from} owner = '' AND webhook_id = ? AND due_at > 0 AND ${isAwaited} LIMIT ${MAX_ROWS}`,
    [webhookId],
  );
  const underWay = await queries.query<Blocking>(
    `SELECT ${columns} ${from} owner = (SELECT owner FROM webhook_owners WHERE webhook_id = ?) AND webhook_id = ? AND ${isAwaited} LIMIT ${MAX_ROWS}`,
    [webhookId, webhookId],
  );
  return [...waiting, ...underWay];
}

function keySentence(first: Blocking, blocking: readonly Blocking[]): string {
  const others = new Set(blocking.map((row) => row.ordering_key)).size - 1;
  const more = others === 0 ? '' : others === 1 ? ' One more key is blocked.' : ` ${others} more keys are blocked.`;
  return `${sentence(first, `the ordering key ${shown(first.ordering_key)}`)} Other keys go on.${more}`;
}

function sentence({ id, attempt_count, owner, due_at }: Blocking, what: string): string {
  const attempts = Number(attempt_count) === 1 ? '1 attempt' : `${attempt_count} attempts`;
  const next = owner === '' ? `the next is due at ${new Date(Number(due_at)).toISOString()}` : 'the next is under way';
  return `Event ${sequenceOf(id)} blocks ${what}: ${attempts} failed, ${next}. Later ones wait until it succeeds, fails for good or is cancelled.`;
}

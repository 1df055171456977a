import { DAY, MINUTE } from '../clock';
import { idRange } from '../ids';
import type { Queries } from '../store/database';
import { readHead } from '../store/heads';

/** A database's clock may be put back by so much without an event being missed. */
export const CLOCK_SLACK_MS = 1 * MINUTE;
/** So long a job that has ended is there at least, whatever retention its application has. */
const JOBS_KEPT_MS = DAY;

interface Sequences {
  /** Both included. */
  readonly first: number;
  readonly last: number;
}

/**
 * The sequences of the events whose deliveries can have been created between two times, so that a search begins and ends
 * there. A delivery is as old as its event, or younger where it was replayed.
 */
export async function sequencesBetween(
  read: Queries,
  applicationId: string,
  after: Date | null | undefined,
  before: Date | null | undefined,
): Promise<Sequences> {
  const all = { first: 0, last: Number.MAX_SAFE_INTEGER };
  if (!after && !before) return all;
  const head = await readHead({ read }, applicationId, 'event');
  if (head === undefined) return all;
  const isReplayed = !after || (await mayBeReplayed(read, applicationId, after.getTime()));
  return {
    first: isReplayed ? all.first : (await sequenceBefore(read, applicationId, after.getTime(), head)) + 1,
    last: before ? await sequenceBefore(read, applicationId, before.getTime() + 2 * CLOCK_SLACK_MS, head) : all.last,
  };
}

/** Whether there can be deliveries of older events that were created after a time. */
async function mayBeReplayed({ dialect, query }: Queries, applicationId: string, time: number): Promise<boolean> {
  const { from, to } = idRange('job', applicationId);
  const [row] = await query<{ now: number; replays: number }>(
    `SELECT ${dialect.now} AS now, (SELECT COUNT(*) FROM retry_jobs
       WHERE id >= ? AND id < ? AND kind = 'REPLAY' AND (completed_at IS NULL OR completed_at > ?)) AS replays`,
    [from, to, time - CLOCK_SLACK_MS],
  );
  return row === undefined || Number(row.replays) > 0 || time < Number(row.now) - JOBS_KEPT_MS + CLOCK_SLACK_MS;
}

/** The sequence before an application's first event that was stored after `time`, in milliseconds since the epoch, found by halving. */
export async function sequenceBefore(read: Queries, applicationId: string, time: number, lastSequence: number): Promise<number> {
  let [low, high] = [0, lastSequence];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [row] = await read.query<{ sequence: number; created_at: number }>(
      'SELECT sequence, created_at FROM events WHERE application_id = ? AND sequence > ? ORDER BY sequence LIMIT 1',
      [applicationId, middle],
    );
    if (row !== undefined && Number(row.created_at) <= time - CLOCK_SLACK_MS) low = Number(row.sequence);
    else high = middle;
  }
  return low;
}

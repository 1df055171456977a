import { type Clock, sleep } from '../clock';
import { decodeCursor, encodeCursor } from '../cursor';
import type { DeliverySelection } from '../deliveries/selection';
import type { LoggedUpdate } from '../deliveries/update-log';
import { HubError, refuseLongList } from '../errors';
import type { Event } from '../events/event';
import { type Condition, compileCondition, meets } from '../matching/condition';
import { eventTypePatternProblem } from '../matching/event-type';
import { matchesAnyType } from '../matching/event-type-pattern';
import { CHARS_PARSED_PER_UNIT, MatchBudget } from '../matching/match-budget';
import type { Slices } from '../slices';
import type { LoggedWebhookUpdate } from '../webhooks/update-log';
import type { LiveLog } from './live-log';
import { Stream } from './stream';

/** Entries looked at in one step; between steps other work gets its turn. */
const MAX_PER_STEP = 200;

export interface EventWatch {
  readonly applicationId: string;
  /** Names or wildcards; absent: all. */
  readonly types?: readonly string[] | null;
  /** A condition as a webhook's; absent: all. */
  readonly filter?: unknown;
  readonly after?: string | null;
}

/** Events of an application in sequence order: those after the cursor, then live ones. */
export async function eventStream(
  log: LiveLog<Event>,
  { applicationId, types, filter, after }: EventWatch,
  slices: Slices,
): Promise<Stream<Event>> {
  checkPatterns('types', types);
  const condition = conditionFor(filter);
  const follower = await log.follow(applicationId, typeof after === 'string' ? decodeCursor('event', applicationId, after) : undefined);
  const takeAll = () => follower.take(MAX_PER_STEP);
  const takeSome = types || condition ? wantedOf(takeAll, { applicationId, types, condition, slices }) : takeAll;
  let ready: readonly Event[] = [];
  let index = 0;
  const step = async (): Promise<Event | undefined> => {
    if (index === ready.length) {
      ready = await takeSome();
      index = 0;
    }
    return ready[index++];
  };
  return new Stream(step, () => follower.close(), takeSome);
}

interface Wanted {
  readonly applicationId: string;
  readonly types: EventWatch['types'];
  readonly condition: ReturnType<typeof conditionFor>;
  readonly slices: Slices;
}

/** Takes on until some of it is wanted; nothing: the log has ended. Once an event was too costly to match, it fails. */
function wantedOf(takeAll: () => Promise<readonly Event[]>, watched: Wanted): () => Promise<readonly Event[]> {
  let failure: HubError | undefined;
  return async () => {
    for (;;) {
      if (failure) throw failure;
      const entries = await takeAll();
      const { wanted, tooCostly: culprit } = await select(entries, watched);
      if (culprit) failure = tooCostly(culprit); // after those before it
      if (wanted.length > 0 || entries.length === 0) return wanted;
    }
  };
}

async function select(
  entries: readonly Event[],
  { applicationId, types, condition, slices }: Wanted,
): Promise<{ readonly wanted: readonly Event[]; readonly tooCostly?: Event }> {
  const wanted: Event[] = [];
  for (const event of entries) {
    // What was read from the database is parsed here first.
    if (condition && slices.isOver(event.payloadText.length / CHARS_PARSED_PER_UNIT)) await slices.next(applicationId);
    const budget = new MatchBudget();
    const isWanted = (!types || matchesAnyType(types, event.type)) && (condition === null || meets(condition, event, budget));
    if (isWanted === null) return { wanted, tooCostly: event };
    if (isWanted) wanted.push(event);
    if (slices.isOver(1 + budget.spent)) await slices.next(applicationId);
  }
  return { wanted };
}

export interface UpdateWatch {
  readonly applicationId: string;
  readonly selection: DeliverySelection;
  readonly after?: string | null;
  readonly maxBatch: number;
  readonly intervalMs: number;
}

interface UpdateSource {
  readonly updateLog: LiveLog<LoggedUpdate>;
  readonly deliveries: { selectUpdates(selection: DeliverySelection, updates: readonly LoggedUpdate[]): Promise<readonly LoggedUpdate[]> };
  readonly clock: Clock;
}

export interface UpdatePage {
  readonly updates: readonly LoggedUpdate[];
  readonly cursor: string;
}

export const DEFAULT_BATCH = 100;
export const MAX_BATCH = 1_000;
export const DEFAULT_INTERVAL_MS = 100;
const MAX_INTERVAL_MS = 60_000;

/** Changes of deliveries, gathered into pages: at most `maxBatch` in one, at most one every `intervalMs`. */
export async function updateStream({ updateLog, deliveries, clock }: UpdateSource, watch: UpdateWatch): Promise<Stream<UpdatePage>> {
  const { applicationId, selection, after, maxBatch, intervalMs } = watch;
  checkRange('maxBatch', maxBatch, 1, MAX_BATCH);
  checkRange('intervalMs', intervalMs, 0, MAX_INTERVAL_MS);
  checkPatterns('filter.eventTypes', selection.eventTypes);
  const follower = await updateLog.follow(
    applicationId,
    typeof after === 'string' ? decodeCursor('update', applicationId, after) : undefined,
  );
  const closed = new AbortController();
  let nextPageAt = 0;
  const step = async (): Promise<UpdatePage | undefined> => {
    await sleep(clock, Math.max(0, nextPageAt - clock.monotonic()), closed.signal);
    for (;;) {
      const entries = await follower.take(maxBatch);
      if (entries.length === 0) return undefined;
      const updates = await deliveries.selectUpdates(selection, entries);
      if (updates.length === 0) continue;
      nextPageAt = clock.monotonic() + intervalMs;
      return { updates, cursor: encodeCursor('update', applicationId, follower.sequence) };
    }
  };
  return new Stream(step, () => {
    follower.close();
    closed.abort();
  });
}

export interface WebhookWatch {
  readonly applicationId: string;
  /** Absent: all. */
  readonly webhookIds?: readonly string[] | null;
  readonly after?: string | null;
}

/** What happens to webhooks: after the cursor, then live. */
export async function webhookUpdateStream(
  log: LiveLog<LoggedWebhookUpdate>,
  { applicationId, webhookIds, after }: WebhookWatch,
): Promise<Stream<LoggedWebhookUpdate>> {
  refuseLongList('webhookIds', webhookIds);
  const follower = await log.follow(applicationId, typeof after === 'string' ? decodeCursor('webhook', applicationId, after) : undefined);
  const takeSome = async (): Promise<readonly LoggedWebhookUpdate[]> => {
    for (;;) {
      const entries = await follower.take(MAX_PER_STEP);
      const wanted = webhookIds ? entries.filter(({ webhookId }) => webhookIds.includes(webhookId)) : entries;
      if (wanted.length > 0 || entries.length === 0) return wanted;
    }
  };
  let ready: readonly LoggedWebhookUpdate[] = [];
  let index = 0;
  const step = async (): Promise<LoggedWebhookUpdate | undefined> => {
    if (index === ready.length) {
      ready = await takeSome();
      index = 0;
    }
    return ready[index++];
  };
  return new Stream(step, () => follower.close(), takeSome);
}

function conditionFor(filter: unknown): Condition | null {
  if (filter === undefined || filter === null) return null;
  const compiled = compileCondition(filter);
  if ('problem' in compiled) throw new HubError('BAD_USER_INPUT', `filter: ${compiled.problem}`);
  return compiled.condition;
}

/** None is missed silently: a filter that cannot be tested ends the stream. */
function tooCostly({ id, type }: Event): HubError {
  return new HubError(
    'BAD_USER_INPUT',
    `filter: takes too many comparisons for the event ${id} (${type}): compare with fewer values, or in fewer elements of its payload`,
  );
}

function checkPatterns(argument: string, patterns: readonly string[] | null | undefined): void {
  refuseLongList(argument, patterns);
  for (const pattern of patterns ?? []) {
    const problem = eventTypePatternProblem(pattern);
    if (problem) throw new HubError('BAD_USER_INPUT', `${argument}: ${problem}`);
  }
}

function checkRange(argument: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new HubError('BAD_USER_INPUT', `${argument}: expected a whole number from ${least} to ${most}, got ${value}`);
}

import { DeliveryStatus } from '../deliveries/delivery';
import { asksForAttempt, asksForOrderingKey, type DeliverySelection, selectionProblems } from '../deliveries/selection';
import { MAX_VALUES_PER_LIST, Problems, shown, UserErrorCode } from '../errors';
import { applicationIdOf, isId } from '../ids';
import { eventTypePatternProblem } from '../matching/event-type';
import { WebhookStatus } from '../webhooks/webhook';
import { type LiveWebhook } from '../webhooks/webhook-cache';
import type { NarrowedSelection, ReplaySelection, RetrySelection } from './retry-job';
import { RetryJobKind } from './retry-job';

/** Which events a webhook is to get. Both times are exclusive, and those at which the hub stored the events. */
export interface ReplayRequest {
  readonly webhookId: string;
  readonly after?: Date | null;
  readonly before?: Date | null;
  readonly eventTypes?: readonly string[] | null;
}

/** Without `statuses`, those that nobody would send again by themselves. */
const DEFAULT_STATUSES: readonly DeliveryStatus[] = [DeliveryStatus.FAILED];
export const MAX_IDS = 1_000;
export const MAX_TYPES = 100;

type WebhooksById = ReadonlyMap<string, LiveWebhook>;

/** Throws everything that is wrong with the filter but for events, which it does not know. */
export function checkRetry(applicationId: string, filter: DeliverySelection, byId: WebhooksById): Omit<RetrySelection, 'lastSequence'> {
  const problems = new Problems();
  const { webhookIds, eventIds, eventTypes, statuses, outcomes, statusCodes, createdAfter, createdBefore } = filter;
  if (checkLength(webhookIds, ['filter', 'webhookIds'], MAX_IDS, problems))
    for (const [index, id] of (webhookIds ?? []).entries()) checkWebhook(id, ['filter', 'webhookIds', String(index)], byId, problems);
  if (checkLength(eventIds, ['filter', 'eventIds'], MAX_IDS, problems))
    for (const [index, id] of (eventIds ?? []).entries())
      if (!isId('evt', id) || applicationIdOf(id) !== applicationId) addUnknownEvent(id, index, problems);
  checkTypes(eventTypes, ['filter', 'eventTypes'], problems);
  checkLength(statuses, ['filter', 'statuses'], Object.keys(DeliveryStatus).length * 2, problems);
  checkLength(outcomes, ['filter', 'outcomes'], MAX_VALUES_PER_LIST, problems);
  checkLength(statusCodes, ['filter', 'statusCodes'], MAX_VALUES_PER_LIST, problems);
  for (const [field, problem] of selectionProblems(filter)) problems.add(['filter', field], problem);
  checkOrder(createdAfter, createdBefore, ['filter', 'createdBefore'], problems);
  problems.throwIfAny();
  const wanted = unique(statuses) ?? DEFAULT_STATUSES;
  return {
    kind: RetryJobKind.RETRY,
    webhookIds: unique(webhookIds),
    eventIds: unique(eventIds),
    eventTypes: unique(eventTypes),
    ...(isNarrowed(filter) ? { narrowed: narrowedBy(filter, wanted) } : { statuses: wanted }),
    createdAfter: createdAfter?.getTime() ?? null,
    createdBefore: createdBefore?.getTime() ?? null,
  };
}

function isNarrowed(filter: DeliverySelection): boolean {
  const { minSequence, maxSequence } = filter;
  return asksForAttempt(filter) || asksForOrderingKey(filter) || typeof minSequence === 'number' || typeof maxSequence === 'number';
}

function narrowedBy(filter: DeliverySelection, statuses: readonly DeliveryStatus[]): NarrowedSelection {
  const { outcomes, statusCodes, minDurationMs, orderingKey, minSequence, maxSequence } = filter;
  return {
    statuses,
    outcomes: unique(outcomes),
    statusCodes: unique(statusCodes),
    minDurationMs: minDurationMs ?? null,
    orderingKey: orderingKey ?? null,
    minSequence: minSequence ?? null,
    maxSequence: maxSequence ?? null,
  };
}

export function checkReplay(
  { webhookId, after, before, eventTypes }: ReplayRequest,
  byId: WebhooksById,
): Omit<ReplaySelection, 'lastSequence'> {
  const problems = new Problems();
  checkWebhook(webhookId, ['webhookId'], byId, problems);
  checkTypes(eventTypes, ['eventTypes'], problems);
  checkOrder(after, before, ['before'], problems);
  problems.throwIfAny();
  return {
    kind: RetryJobKind.REPLAY,
    webhookId,
    eventTypes: unique(eventTypes),
    createdAfter: after?.getTime() ?? null,
    createdBefore: before?.getTime() ?? null,
  };
}

export function addUnknownEvent(id: string, index: number, problems: Problems): void {
  problems.add(['filter', 'eventIds', String(index)], `expected the id of an event, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
}

function checkWebhook(id: string, path: readonly string[], byId: WebhooksById, problems: Problems): void {
  const webhook = byId.get(id);
  if (webhook === undefined) problems.add(path, `expected the id of a webhook, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
  else if (webhook.status === WebhookStatus.DISABLED)
    problems.add(path, 'expected a webhook that is sent to; this one is disabled: resume it first', UserErrorCode.CONFLICT);
}

function checkTypes(patterns: readonly string[] | null | undefined, path: readonly string[], problems: Problems): void {
  if (!checkLength(patterns, path, MAX_TYPES, problems)) return;
  for (const [index, pattern] of (patterns ?? []).entries()) {
    const problem = eventTypePatternProblem(pattern);
    if (problem) problems.add([...path, String(index)], problem);
  }
}

/** Whether the members of a list are worth a look. */
function checkLength(list: readonly unknown[] | null | undefined, path: readonly string[], most: number, problems: Problems): boolean {
  if (!list) return false;
  if (list.length === 0) problems.add(path, 'expected at least one; leave it out for all', UserErrorCode.REQUIRED);
  if (list.length > most) problems.add(path, `expected at most ${most}, got ${list.length}`, UserErrorCode.TOO_LARGE);
  return list.length <= most;
}

function checkOrder(after: Date | null | undefined, before: Date | null | undefined, path: readonly string[], problems: Problems): void {
  if (after && before && after.getTime() >= before.getTime())
    problems.add(path, `expected a time after ${after.toISOString()}, got ${before.toISOString()}`);
}

function unique<T>(list: readonly T[] | null | undefined): readonly T[] | null {
  return list ? [...new Set(list)] : null;
}

import type { AttemptOutcome } from '../attempts/attempt';
import type { AttemptFacts } from '../attempts/read-facts';
import { eventIdStart, isId, sequenceOf, webhookIdOf } from '../ids';
import { matchesAnyType } from '../matching/event-type-pattern';
import type { DeliveryStatus } from './delivery';

/** Which deliveries; what is absent or null does not restrict, an empty list takes none. */
export interface DeliverySelection extends AttemptSelection {
  readonly webhookIds?: readonly string[] | null;
  readonly eventIds?: readonly string[] | null;
  /** Names or wildcards. */
  readonly eventTypes?: readonly string[] | null;
  readonly statuses?: readonly DeliveryStatus[] | null;
  readonly createdAfter?: Date | null;
  readonly createdBefore?: Date | null;
  readonly orderingKey?: string | null;
  /** Both included. */
  readonly minSequence?: number | null;
  readonly maxSequence?: number | null;
}

/** By one attempt, which has to be all of it: a delivery's last, or that of an update. */
export interface AttemptSelection {
  readonly outcomes?: readonly AttemptOutcome[] | null;
  readonly statusCodes?: readonly number[] | null;
  readonly minDurationMs?: number | null;
}

/** What is known of a delivery, or of an update of one, without another read. */
export interface DeliveryFacts {
  readonly deliveryId: string;
  readonly eventType: string;
  readonly status: DeliveryStatus;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** By all but the ordering key and the attempt, which not everybody has at hand. */
export function matchesSelection(selection: DeliverySelection, { deliveryId, eventType, status, createdAt }: DeliveryFacts): boolean {
  const { webhookIds, eventIds, eventTypes, statuses, createdAfter, createdBefore, minSequence, maxSequence } = selection;
  const sequence = sequenceOf(deliveryId);
  if (statuses && !statuses.includes(status)) return false;
  if (typeof minSequence === 'number' && sequence < minSequence) return false;
  if (typeof maxSequence === 'number' && sequence > maxSequence) return false;
  if (createdAfter && createdAt <= createdAfter.getTime()) return false;
  if (createdBefore && createdAt >= createdBefore.getTime()) return false;
  if (webhookIds && !webhookIds.includes(webhookIdOf(deliveryId))) return false;
  if (eventIds && !includesEvent(eventIds, eventIdStart(deliveryId, sequence))) return false;
  return !eventTypes || matchesAnyType(eventTypes, eventType);
}

/** What is wrong with a selection beside its ids and patterns, and in which field. */
export function selectionProblems({
  statusCodes,
  minDurationMs,
  minSequence,
  maxSequence,
}: DeliverySelection): [field: string, problem: string][] {
  const problems: [string, string][] = [];
  const code = statusCodes?.find((status) => status < 100 || status > 599);
  if (code !== undefined) problems.push(['statusCodes', `expected HTTP statuses from 100 to 599, got ${code}`]);
  if (typeof minDurationMs === 'number' && minDurationMs < 0)
    problems.push(['minDurationMs', `expected milliseconds, 0 or more, got ${minDurationMs}`]);
  return [...problems, ...sequenceProblems({ minSequence, maxSequence })];
}

interface SequenceSelection {
  readonly minSequence?: number | null | undefined;
  readonly maxSequence?: number | null | undefined;
}

export function sequenceProblems({ minSequence, maxSequence }: SequenceSelection): [field: string, problem: string][] {
  const problems: [string, string][] = [];
  for (const [field, value] of Object.entries({ minSequence, maxSequence }))
    if (typeof value === 'number' && value < 0) problems.push([field, `expected a sequence, 0 or more, got ${value}`]);
  if (typeof minSequence === 'number' && typeof maxSequence === 'number' && minSequence > maxSequence)
    problems.push(['maxSequence', `expected no less than minSequence, which is ${minSequence}, got ${maxSequence}`]);
  return problems;
}

export function asksForOrderingKey({ orderingKey }: DeliverySelection): boolean {
  return typeof orderingKey === 'string';
}

export function matchesOrderingKey({ orderingKey }: DeliverySelection, key: string | null): boolean {
  return typeof orderingKey !== 'string' || orderingKey === key;
}

export function asksForAttempt({ outcomes, statusCodes, minDurationMs }: AttemptSelection): boolean {
  return Boolean(outcomes) || Boolean(statusCodes) || typeof minDurationMs === 'number';
}

/** `attempt`: undefined where there is none. */
export function matchesAttempt(selection: AttemptSelection, attempt: AttemptFacts | undefined): boolean {
  if (!asksForAttempt(selection)) return true;
  if (attempt === undefined) return false;
  const { outcomes, statusCodes, minDurationMs } = selection;
  if (outcomes && !outcomes.includes(attempt.outcome)) return false;
  if (statusCodes && (attempt.statusCode === null || !statusCodes.includes(attempt.statusCode))) return false;
  return typeof minDurationMs !== 'number' || attempt.durationMs >= minDurationMs;
}

function includesEvent(eventIds: readonly string[], start: string): boolean {
  return eventIds.some((id) => id.startsWith(start) && isId('evt', id));
}

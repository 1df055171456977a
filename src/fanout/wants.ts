import { type Matchable, meets } from '../matching/condition';
import { isOwnEventType } from '../matching/event-type';
import { matchesAnyType } from '../matching/event-type-pattern';
import { MatchBudget } from '../matching/match-budget';
import type { LiveWebhook } from '../webhooks/webhook-cache';

/** The hub's own events go only to those that name them: `livehook.*`, not `*`. */
export function wantsType(eventTypes: readonly string[], type: string): boolean {
  return matchesAnyType(isOwnEventType(type) ? eventTypes.filter(isOwnEventType) : eventTypes, type);
}

/** By the webhook's own types and by those of its payload query. */
export function takesType({ eventTypes, payloadQuery }: LiveWebhook, type: string): boolean {
  return wantsType(eventTypes, type) && (!payloadQuery?.types || matchesAnyType(payloadQuery.types, type));
}

/** Whether more than an event's type decides. */
export function isConditional({ condition, payloadQuery }: LiveWebhook): boolean {
  return condition !== null || (payloadQuery?.condition ?? null) !== null;
}

/**
 * By the webhook's own condition and by that of its payload query, both out of one budget. Null where that does not
 * suffice to tell.
 */
export function meetsConditions({ condition, payloadQuery }: LiveWebhook, event: Matchable, budget: MatchBudget): boolean | null {
  const own = condition === null ? true : meets(condition, event, budget);
  if (own !== true) return own;
  const inner = payloadQuery?.condition ?? null;
  return inner === null ? true : meets(inner, event, budget);
}

/** One webhook alone. An event for which the budget of a match does not suffice counts as not wanted. */
export function wants(webhook: LiveWebhook, event: Matchable, budget = new MatchBudget()): boolean {
  return takesType(webhook, event.type) && meetsConditions(webhook, event, budget) === true;
}

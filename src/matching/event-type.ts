import { shown } from '../errors';

const MAX_TYPE_CHARS = 255;

const NAME = /^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$/;
const PATTERN = /^(\*|(\*\.)?[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*(\.\*)?)$/;

/** Whether the hub alone publishes events of this type: what it has to say about webhooks and deliveries. */
export const isOwnEventType = (name: string) => name.startsWith('livehook.');

/** What is wrong with the name of an event type that somebody else wants to use, or null. */
export function foreignTypeProblem(name: string): string | null {
  return isOwnEventType(name)
    ? `expected a name that does not begin with livehook., which is the hub's own; got ${shown(name)}`
    : eventTypeProblem(name);
}

/** What is wrong with the name of an event type, or null. */
export function eventTypeProblem(name: string): string | null {
  if (name.length <= MAX_TYPE_CHARS && NAME.test(name)) return null;
  return `expected a dotted name such as order.created, its parts of A-Z a-z 0-9 _, at most ${MAX_TYPE_CHARS} characters; got ${shown(name)}`;
}

/** What is wrong with a name or wildcard that selects event types, or null. */
export function eventTypePatternProblem(pattern: string): string | null {
  if (pattern.length <= MAX_TYPE_CHARS && PATTERN.test(pattern)) return null;
  return `expected the name of an event type, order.*, *.created or *; got ${shown(pattern)}`;
}

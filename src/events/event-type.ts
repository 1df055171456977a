import { shown } from '../errors';

export const MOST_TYPE_CHARS = 255;

const NAME = /^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$/;
const PATTERN = /^(\*|(\*\.)?[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*(\.\*)?)$/;

/** What is wrong with the name of an event type, or null. */
export function eventTypeProblem(name: string): string | null {
  if (name.length <= MOST_TYPE_CHARS && NAME.test(name)) return null;
  return `expected a dotted name such as order.created, its parts of A-Z a-z 0-9 _, at most ${MOST_TYPE_CHARS} characters; got ${shown(name)}`;
}

/** What is wrong with a name or wildcard that selects event types, or null. */
export function eventTypePatternProblem(pattern: string): string | null {
  if (pattern.length <= MOST_TYPE_CHARS && PATTERN.test(pattern)) return null;
  return `expected the name of an event type, order.*, *.created or *; got ${shown(pattern)}`;
}

import { shown } from './errors';

const MAX_CHARS = 255;

/**
 * What is wrong with a name that a caller chose to find something again by, or null. White space around it and control
 * characters are a mistake more often than meant; a lone half of a surrogate pair could not be stored as it is, and two
 * different keys would become one.
 */
export function keyProblem(key: string): string | null {
  if (key.length <= MAX_CHARS && /^\S(.*\S)?$/su.test(key) && !/[\p{Cc}\p{Cs}]/u.test(key)) return null;
  return `expected 1 to ${MAX_CHARS} characters without white space around them or control characters, got ${shown(key)}`;
}

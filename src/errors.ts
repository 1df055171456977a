/** Top-level error codes of the API: what went wrong outside the input. */
export const HUB_ERRORS = {
  UNAUTHENTICATED: 'No valid key came with the request.',
  FORBIDDEN: 'The key does not permit this.',
  RATE_LIMITED: 'Too much at once: wait `retryAfter` seconds.',
  UNAVAILABLE: 'The hub cannot reach its database: nothing was stored, try again.',
  CURSOR_EXPIRED: 'Retention has removed what follows this cursor.',
  BAD_USER_INPUT: 'An argument of the operation is wrong.',
} as const satisfies Record<string, string>;

export type HubErrorCode = keyof typeof HUB_ERRORS;

export class HubError extends Error {
  override readonly name = 'HubError';

  constructor(
    readonly code: HubErrorCode,
    message: string = HUB_ERRORS[code],
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }
}

/** What surrounds the hub does not let it start: one sentence for its operator, who can do something about it. */
export class CannotStart extends Error {
  override readonly name = 'CannotStart';

  constructor(message: string, cause: unknown) {
    super(message, { cause });
  }
}

/** Codes of `userErrors`: what is wrong with one part of the input. */
export enum UserErrorCode {
  REQUIRED = 'REQUIRED',
  INVALID = 'INVALID',
  TOO_LARGE = 'TOO_LARGE',
  NOT_FOUND = 'NOT_FOUND',
  TAKEN = 'TAKEN',
  CONFLICT = 'CONFLICT',
  LIMIT_REACHED = 'LIMIT_REACHED',
  UNAVAILABLE = 'UNAVAILABLE',
}

export interface Problem {
  /** Path into the input, e.g. `['headers', '0', 'name']`. */
  readonly field: readonly string[];
  /** What was expected and what came. */
  readonly message: string;
  readonly code: UserErrorCode;
}

/** The input was refused; nothing was stored. Becomes `userErrors`. */
export class InputRefused extends Error {
  override readonly name = 'InputRefused';

  constructor(readonly problems: readonly Problem[]) {
    super(problems.map((problem) => `${problem.field.join('.')}: ${problem.message}`).join('; '));
  }
}

export function refuse(field: string | readonly string[], message: string, code = UserErrorCode.INVALID): never {
  throw new InputRefused([{ field: typeof field === 'string' ? [field] : field, message, code }]);
}

/** Gathers what is wrong, so that a caller hears everything at once. */
export class Problems {
  readonly #found: Problem[] = [];

  add(field: string | readonly string[], message: string, code = UserErrorCode.INVALID): void {
    this.#found.push({ field: typeof field === 'string' ? [field] : field, message, code });
  }

  get found(): readonly Problem[] {
    return this.#found;
  }

  throwIfAny(): void {
    if (this.#found.length > 0) throw new InputRefused(this.#found);
  }
}

/** A value as an error message may show it: short, on one line, never a whole payload. */
export function shown(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : plain(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** `String` would call what an object says is its `toString`, and run out of stack on deep lists. */
function plain(value: unknown): string {
  if (typeof value !== 'object' || value === null || value instanceof Date) return String(value);
  return Array.isArray(value) ? 'a list' : 'an object';
}

/** In a list by which something is selected. SQLite refuses a statement of 1,000 conditions, and each costs every row a comparison. */
export const MAX_VALUES_PER_LIST = 100;

/** @throws HubError BAD_USER_INPUT for a list that is too long; `argument` is its path. */
export function refuseLongList(argument: string, list: readonly unknown[] | null | undefined): void {
  if (list && list.length > MAX_VALUES_PER_LIST)
    throw new HubError('BAD_USER_INPUT', `${argument}: expected at most ${MAX_VALUES_PER_LIST}, got ${list.length}`);
}

/** What is wrong with an input, as the hub says it. */
export interface UserError {
  /** The path into the input. */
  readonly field: readonly string[] | null;
  readonly message: string;
  readonly code: string;
}

/**
 * What the hub has refused, or that it could not be reached. `code` is that of the API (`UNAUTHENTICATED`, `FORBIDDEN`,
 * `RATE_LIMITED`, `UNAVAILABLE`, `CURSOR_EXPIRED` …), or one of the client's own: `USER_ERROR` with the errors beside
 * it, `NETWORK`, `TIMEOUT`, `BAD_RESPONSE`, `QUEUE_FULL`, `CLOSED`.
 */
export class LivehookError extends Error {
  override readonly name = 'LivehookError';
  readonly userErrors: readonly UserError[];
  /** The hub has asked to be left alone for so long. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly code: string,
    message: string,
    { userErrors = [], retryAfterSeconds, cause }: { userErrors?: readonly UserError[]; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.userErrors = userErrors;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** Whether the same may succeed later. */
  get isTemporary(): boolean {
    return TEMPORARY.has(this.code);
  }
}

const TEMPORARY: ReadonlySet<string> = new Set(['NETWORK', 'TIMEOUT', 'UNAVAILABLE', 'RATE_LIMITED', 'INTERNAL_SERVER_ERROR']);

export function userError(userErrors: readonly UserError[]): LivehookError {
  const text = userErrors.map(({ field, message }) => (field?.length ? `${field.join('.')}: ${message}` : message)).join('; ');
  return new LivehookError('USER_ERROR', text, { userErrors });
}

/** Undefined: whatever it is, it is not the hub's. */
export function asLivehookError(error: unknown): LivehookError {
  if (error instanceof LivehookError) return error;
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return new LivehookError('TIMEOUT', 'The hub did not answer in time.', { cause: error });
  const why = cause instanceof Error ? cause.message : message;
  return new LivehookError('NETWORK', `The hub can't be reached: ${why}`, { cause: error });
}

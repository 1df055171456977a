import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import { HubError, InputRefused } from '../errors';
import type { Log } from '../log';

/** GraphQL quotes values of the client's in full, a megabyte if it is one. */
const MAX_MESSAGE_CHARS = 1_000;

/**
 * What clients see of an error, the same on every transport. Ours carry their code; GraphQL's own (syntax, validation,
 * variables) pass; anything else is a fault of the hub: masked here and logged, once.
 */
export function presentError(error: GraphQLError, log: Log): GraphQLFormattedError {
  const cause = rootCause(error);
  const { code: ownCode } = error.extensions as { code?: unknown };
  const place = { ...(error.locations && { locations: error.locations }), ...(error.path && { path: error.path }) };
  if (cause instanceof HubError) {
    const { code, message, retryAfterSeconds } = cause;
    if (cause.cause instanceof Error) log.warn({ code, error: cause.cause.message, path: error.path }, 'request.unavailable');
    return { message, ...place, extensions: { code, ...(retryAfterSeconds !== undefined && { retryAfter: retryAfterSeconds }) } };
  }
  if (cause instanceof InputRefused) return { message: shortened(cause.message), ...place, extensions: { code: 'BAD_USER_INPUT' } };
  if (cause instanceof RangeError && ownCode === 'GRAPHQL_PARSE_FAILED')
    return { message: 'Syntax Error: the document is nested too deeply.', extensions: { code: ownCode } };
  // What a scalar throws about a value is part of what GraphQL says of it.
  if (cause === undefined || ownCode === 'BAD_USER_INPUT' || ownCode === 'GRAPHQL_VALIDATION_FAILED')
    return {
      message: shortened(error.message),
      ...place,
      extensions: { code: typeof ownCode === 'string' ? ownCode : 'GRAPHQL_VALIDATION_FAILED' },
    };
  log.error({ error: cause.stack ?? cause.message, path: error.path }, 'request.fault');
  return { message: 'Internal error: it has been logged.', ...place, extensions: { code: 'INTERNAL_SERVER_ERROR' } };
}

/** Anything that was thrown, as GraphQL wraps it. */
export function asGraphqlError(thrown: unknown): GraphQLError {
  if (thrown instanceof GraphQLError) return thrown;
  const originalError = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new GraphQLError(originalError.message, { originalError });
}

/** The error that was thrown, under GraphQL's wrapping; undefined when GraphQL itself complains. */
function rootCause(error: GraphQLError): Error | undefined {
  let cause: Error | undefined = error.originalError ?? undefined;
  while (cause instanceof GraphQLError) cause = cause.originalError ?? undefined;
  return cause;
}

function shortened(message: string): string {
  return message.length > MAX_MESSAGE_CHARS ? `${message.slice(0, MAX_MESSAGE_CHARS - 1)}…` : message;
}

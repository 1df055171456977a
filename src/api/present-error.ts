import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import { HubError, InputRefused } from '../errors';
import type { Log } from '../log';

/**
 * What clients see of an error, the same on every transport. Ours carry their code; GraphQL's own (syntax, validation,
 * variables) pass; anything else is a fault of the hub: masked here and logged, once.
 */
export function presentError(error: GraphQLError, log: Log): GraphQLFormattedError {
  const cause = rootCause(error);
  const place = { ...(error.locations && { locations: error.locations }), ...(error.path && { path: error.path }) };
  if (cause instanceof HubError) {
    const { code, message, retryAfterSeconds } = cause;
    if (cause.cause instanceof Error) log.warn({ code, error: cause.cause.message, path: error.path }, 'request.unavailable');
    return { message, ...place, extensions: { code, ...(retryAfterSeconds !== undefined && { retryAfter: retryAfterSeconds }) } };
  }
  if (cause instanceof InputRefused) return { message: cause.message, ...place, extensions: { code: 'BAD_USER_INPUT' } };
  if (cause === undefined) {
    const { code } = error.extensions as { code?: unknown };
    return { message: error.message, ...place, extensions: { code: typeof code === 'string' ? code : 'GRAPHQL_VALIDATION_FAILED' } };
  }
  log.error({ error: cause.stack ?? cause.message, path: error.path }, 'request.fault');
  return { message: 'Internal error: it has been logged.', ...place, extensions: { code: 'INTERNAL_SERVER_ERROR' } };
}

/** The error that was thrown, under GraphQL's wrapping; undefined when GraphQL itself complains. */
function rootCause(error: GraphQLError): Error | undefined {
  let cause: Error | undefined = error.originalError ?? undefined;
  while (cause instanceof GraphQLError) cause = cause.originalError ?? undefined;
  return cause;
}

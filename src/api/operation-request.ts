import type { OperationRequest } from './operations';
import { BadRequest, parseJson } from './request-body';

/**
 * The operation in a body of JSON.
 * @throws BadRequest 400 when it is none
 */
export function operationIn(body: unknown): OperationRequest {
  const { query, variables, operationName } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  if (typeof query !== 'string') throw new BadRequest(400, 'expected `query`, the text of a GraphQL document');
  if (variables !== undefined && variables !== null && (typeof variables !== 'object' || Array.isArray(variables)))
    throw new BadRequest(400, 'expected `variables` to be an object');
  if (operationName !== undefined && operationName !== null && typeof operationName !== 'string')
    throw new BadRequest(400, 'expected `operationName` to be a string');
  return { query, variables: variables as Record<string, unknown> | null | undefined, operationName };
}

/**
 * The operation in the query of a URL.
 * @throws BadRequest 400 when there is none
 */
export function operationInUrl({ searchParams }: URL): OperationRequest {
  const variables = searchParams.get('variables');
  return operationIn({
    query: searchParams.get('query') ?? undefined,
    operationName: searchParams.get('operationName') || undefined,
    variables: variables === null ? undefined : parseJson(variables, []),
  });
}

import { maxAliasesRule } from '@escape.tech/graphql-armor-max-aliases';
import { maxDepthRule } from '@escape.tech/graphql-armor-max-depth';
import { type DocumentNode, GraphQLError, type GraphQLSchema, getNamedType, type ValidationRule } from 'graphql';
import { type ComplexityEstimator, getComplexity } from 'graphql-query-complexity';

/** One operation may ask for this much, on every transport. */
export const LIMITS = {
  /** Bytes of an HTTP body or a WebSocket frame: a batch of events, payloads of up to 1 MiB among them. */
  requestBytes: 16 * 1024 * 1024,
  /** Lexical tokens: a payload written into the document instead of a variable counts, too. */
  tokens: 10_000,
  /** Relay paths take three levels a connection. */
  depth: 12,
  aliases: 50,
  /** Fields that could be in the answer, connections by their `first`. */
  cost: 20_000,
} as const;

export const limitRules: readonly ValidationRule[] = [
  maxDepthRule({ n: LIMITS.depth, ignoreIntrospection: true }) as unknown as ValidationRule,
  maxAliasesRule({ n: LIMITS.aliases }) as unknown as ValidationRule,
];

const DEFAULT_FIRST = 50;

/** A connection costs its nodes times its `first`; anything else one more than what is below it. */
const estimate: ComplexityEstimator = ({ args, childComplexity, field }) => {
  if (!getNamedType(field.type).name.endsWith('Connection')) return 1 + childComplexity;
  const first: unknown = args.first;
  return 1 + childComplexity * (typeof first === 'number' ? Math.max(0, first) : DEFAULT_FIRST);
};

/** What an operation could cost at most, judged against the limit; undefined when it is within. */
export function costProblem(
  schema: GraphQLSchema,
  query: DocumentNode,
  variables: Record<string, unknown>,
  operationName: string | undefined,
): GraphQLError | undefined {
  const cost = getComplexity({ schema, query, variables, estimators: [estimate], ...(operationName !== undefined && { operationName }) });
  if (cost <= LIMITS.cost) return undefined;
  return new GraphQLError(`The operation could cost ${cost}, but the limit is ${LIMITS.cost}: ask for fewer fields or smaller pages.`, {
    extensions: { code: 'GRAPHQL_VALIDATION_FAILED' },
  });
}

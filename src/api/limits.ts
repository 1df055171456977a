import { maxAliasesRule } from '@escape.tech/graphql-armor-max-aliases';
import { maxDepthRule } from '@escape.tech/graphql-armor-max-depth';
import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  getNamedType,
  Kind,
  type OperationDefinitionNode,
  type ValidationContext,
  type ValidationRule,
  visit,
} from 'graphql';
import { type ComplexityEstimator, getComplexity } from 'graphql-query-complexity';
import { DEFAULT_BATCH, MAX_BATCH } from '../live/streams';
import { DEFAULT_FIRST, MAX_FIRST } from './connection';
import { introspectionRule } from './introspection';

/** One operation may ask for this much, on every transport. */
export const LIMITS = {
  /** Bytes of an HTTP body or a WebSocket frame: a batch of events, payloads of up to 1 MiB among them. */
  requestBytes: 16 * 1024 * 1024,
  /** The same without a valid key. */
  unauthenticatedRequestBytes: 64 * 1024,
  /**
   * Bytes of all requests that are being read or worked on; and of those of them without a valid key. JSON of short values
   * takes up to eleven times as much in memory: with twice as many, eight of 15 MiB took 1.37 GB.
   */
  intakeBytes: 128 * 1024 * 1024,
  /** Memory that subscriptions hold while they run, for the syntax trees and variables of what asked for them. */
  subscriptionBytes: 256 * 1024 * 1024,
  unauthenticatedIntakeBytes: 16 * 1024 * 1024,
  /** Lexical tokens: a payload written into the document instead of a variable counts, too. */
  tokens: 10_000,
  /** Fields written in the document. Validating is quadratic in them: 5,000 take 400 ms, these 15. */
  fields: 1_000,
  /** Relay paths take three levels a connection. */
  depth: 12,
  aliases: 50,
  /** Characters of an alias: it stands in the answer as often as its field. */
  aliasChars: 256,
  /** Fields that could be in the answer if every page were full. What is there is counted while the operation runs. */
  cost: 500_000,
  /** Fields in an answer: as many take some 200 ms, in slices. */
  answerFields: 100_000,
  /** Events, deliveries, attempts and their like in the lists of an answer. */
  answerRows: 10_000,
  /** Bytes of an answer: `JSON.stringify` takes up to 100 ms for as many, and nothing else runs meanwhile. */
  answerBytes: 8 * 1024 * 1024,
  /** Bytes of rows that an operation reads to make its answer. */
  answerReadBytes: 32 * 1024 * 1024,
  /** Rows that one page's filter looks at, where no index finds them: some 100 ms, in slices. */
  pageSearchedRows: 20_000,
  /** Rows that all filters and counts of an operation look at. */
  answerSearchedRows: 100_000,
  /** Bytes of answers that one connection has not taken yet. */
  unsentBytesPerConnection: 16 * 1024 * 1024,
} as const;

/** Without a valid key nothing is answered but the schema: a document of tools that ask for it has 1.9 KB and 60 fields. */
export const UNAUTHENTICATED_LIMITS = {
  documentChars: 4 * 1024,
  fields: 100,
  aliases: 5,
  /** Of CPU time, that all of them share: 5 % of a core. */
  cpu: { burstMs: 250, perSecondMs: 50 },
} as const;

/** To be checked before the rules of the specification: they bound what those can cost. */
export const limitRules: readonly ValidationRule[] = [
  maxFieldsRule,
  maxDepthRule({ n: LIMITS.depth, ignoreIntrospection: true, ...reporting() }) as unknown as ValidationRule,
  maxAliasesRule({ n: LIMITS.aliases, ...reporting() }) as unknown as ValidationRule,
  introspectionRule,
  aliasLengthRule,
];

/** What is too much of a document that came without a valid key. */
export function unauthenticatedProblem(document: DocumentNode): GraphQLError | undefined {
  let [fields, aliases] = [0, 0];
  visit(document, {
    enter: (node) => {
      if (node.kind !== Kind.FIELD) return;
      fields++;
      if (node.alias) aliases++;
    },
  });
  const most = UNAUTHENTICATED_LIMITS;
  if (fields <= most.fields && aliases <= most.aliases) return undefined;
  return new GraphQLError(
    `Without a valid key a document has at most ${most.fields} fields and ${most.aliases} aliases; found ${fields} and ${aliases}.`,
  );
}

function maxFieldsRule(context: ValidationContext): ReturnType<ValidationRule> {
  let fields = 0;
  visit(context.getDocument(), {
    enter: ({ kind }) => {
      if (kind === Kind.FIELD) fields++;
    },
  });
  if (fields > LIMITS.fields) context.reportError(new GraphQLError(`Limit of ${LIMITS.fields} fields exceeded, found ${fields}.`));
  return {};
}

function aliasLengthRule(context: ValidationContext): ReturnType<ValidationRule> {
  return {
    Field(node) {
      const chars = node.alias?.value.length ?? 0;
      if (chars > LIMITS.aliasChars)
        context.reportError(new GraphQLError(`Limit of ${LIMITS.aliasChars} characters in an alias exceeded, found ${chars}.`));
    },
  };
}

/** The rules would throw, which is no answer but a fault to the validator. */
function reporting() {
  const report = (context: unknown, error: GraphQLError) =>
    (context as ValidationContext).reportError(new GraphQLError(error.message.replace(/^Syntax Error: /, '')));
  return { propagateOnRejection: false, onReject: [report] };
}

/** Fields that may be as large as a payload or a response body weigh like this many others. */
const LARGE = 10;
const LARGE_FIELDS: ReadonlySet<string> = new Set(['payload', 'payloadText', 'get', 'requestBody', 'responseBody', 'curl']);

/** A field costs one, or more when it is large, and what is below it as often as that can be there. */
const estimate: ComplexityEstimator = ({ args, childComplexity, field }) =>
  (LARGE_FIELDS.has(field.name) ? LARGE : 1) + childComplexity * repeats(args, getNamedType(field.type).name);

/** How many of what is below a field there can be. What is out of range the resolver refuses, with its own words. */
function repeats(args: Readonly<Record<string, unknown>>, typeName: string): number {
  if (typeName.endsWith('Connection')) return clamp(args.last ?? args.first, DEFAULT_FIRST, MAX_FIRST);
  if (typeName.endsWith('UpdatePage')) return clamp(args.maxBatch, DEFAULT_BATCH, MAX_BATCH);
  const { events } = (args.input ?? {}) as { events?: unknown };
  return Array.isArray(events) ? events.length : 1;
}

function clamp(value: unknown, missing: number, most: number): number {
  return typeof value === 'number' ? Math.min(Math.max(value, 0), most) : missing;
}

/**
 * Everything in the variables of an operation that its cost can depend on, as text: how often `repeats` lets things be
 * there, and what `@include` and `@skip` say. Only what the operation declares: other names are the client's to choose.
 */
export function sizesOf({ variableDefinitions = [] }: OperationDefinitionNode, variables: Readonly<Record<string, unknown>>): string {
  return variableDefinitions.map(({ variable: { name } }) => `${name.value}=${sizeOf(valueIn(variables, name.value))}`).join(' ');
}

function valueIn(variables: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(variables, name) ? variables[name] : undefined;
}

/** What is absent has its default, which is not that of null. */
function sizeOf(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value);
  if (Array.isArray(value)) return `[${value.length}]`;
  const events = typeof value === 'object' ? (value as { events?: unknown }).events : undefined;
  return Array.isArray(events) ? `{${events.length}}` : typeof value;
}

/**
 * What an operation could cost at most, judged against the limit; undefined when it is within.
 * @throws GraphQLError for variables that do not fit their types
 */
export function costProblem(
  schema: GraphQLSchema,
  query: DocumentNode,
  variables: Record<string, unknown>,
  operationName: string | undefined,
): GraphQLError | undefined {
  const cost = getComplexity({ schema, query, variables, estimators: [estimate], ...(operationName !== undefined && { operationName }) });
  if (cost <= LIMITS.cost) return undefined;
  return new GraphQLError(`The operation could cost ${cost}, but the limit is ${LIMITS.cost}: ask for fewer fields or smaller pages.`);
}

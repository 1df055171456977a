import { createHash } from 'node:crypto';
import {
  type DocumentNode,
  execute,
  type FieldNode,
  GraphQLError,
  type GraphQLSchema,
  getArgumentValues,
  Kind,
  type OperationDefinitionNode,
  parse,
  specifiedRules,
  validate,
  visit,
} from 'graphql';
import type { Event } from '../events/event';
import { eventTypePatternProblem } from '../events/event-type';
import { type Condition, compileCondition } from '../fanout/condition';
import type { CompilePayloadQuery } from '../webhooks/payload-query';
import { costProblem, LIMITS, limitRules } from './limits';

const MOST_CHARS = 16 * 1024;
const MOST_KEPT = 5_000;
const ROOT_FIELD = 'event';

type Compiled = ReturnType<CompilePayloadQuery>;

/**
 * Payload queries: subscription documents with the one root field `event`, run against single events instead of a
 * socket. Validated against `schema` with the limits of any operation, and once a document, since many webhooks share one.
 */
export function payloadQueryCompiler(schema: GraphQLSchema): CompilePayloadQuery {
  const kept = new Map<string, Compiled>();
  return (text) => {
    const known = kept.get(text);
    if (known) return known;
    const compiled = compile(schema, text);
    kept.set(text, compiled);
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value ?? '');
    return compiled;
  };
}

function compile(schema: GraphQLSchema, text: string): Compiled {
  if (text.length > MOST_CHARS) return { problem: `expected at most ${MOST_CHARS} characters, got ${text.length}` };
  try {
    const document = parse(text, { maxTokens: LIMITS.tokens });
    const operation = onlyOperation(document);
    if (typeof operation === 'string') return { problem: operation };
    const problem = documentProblem(schema, document, operation);
    if (problem !== null) return { problem };
    const field = rootField(operation);
    if (field === null) return { problem: `expected the single root field ${ROOT_FIELD}, selected directly` };
    const selection = selectionOf(schema, field);
    if ('problem' in selection) return selection;
    const key = createHash('sha256').update(text).digest('base64url').slice(0, 22);
    return { query: { key, ...selection, run: (event) => run(schema, document, event) } };
  } catch (error) {
    return { problem: error instanceof GraphQLError ? described(error) : (error as Error).message };
  }
}

function onlyOperation(document: DocumentNode): OperationDefinitionNode | string {
  const operations = document.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  const [operation] = operations;
  if (operation === undefined || operations.length > 1) return `expected one operation, got ${operations.length}`;
  if (operation.operation !== 'subscription') return `expected a subscription, got a ${operation.operation}`;
  if ((operation.variableDefinitions ?? []).length > 0) return 'expected a document without variables: there is nobody to give them values';
  return operation;
}

function documentProblem(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode): string | null {
  const [error] = validate(schema, document, [...specifiedRules, ...limitRules]);
  if (error) return described(error);
  const cost = costProblem(schema, document, {}, operation.name?.value);
  if (cost) return cost.message;
  let problem: string | null = null;
  visit(document, {
    Field(node) {
      if (node.name.value === 'deliveries') problem ??= 'deliveries cannot be selected: the body is made before they are';
    },
  });
  return problem;
}

function rootField(operation: OperationDefinitionNode): FieldNode | null {
  const [selection, ...more] = operation.selectionSet.selections;
  if (more.length > 0 || selection?.kind !== Kind.FIELD || selection.name.value !== ROOT_FIELD) return null;
  return (selection.directives ?? []).length > 0 ? null : selection;
}

function selectionOf(
  schema: GraphQLSchema,
  field: FieldNode,
): { readonly types: readonly string[] | null; readonly condition: Condition | null } | { readonly problem: string } {
  const definition = schema.getSubscriptionType()?.getFields()[ROOT_FIELD];
  if (!definition) return { problem: `the schema has no subscription ${ROOT_FIELD}` };
  const { types, filter, applicationId, after } = getArgumentValues(definition, field) as Record<string, unknown>;
  if ((applicationId ?? null) !== null)
    return { problem: 'applicationId cannot be given: a webhook gets the events of its own application' };
  if ((after ?? null) !== null) return { problem: 'after cannot be given: a webhook gets every event' };
  const patterns = (types ?? null) as readonly string[] | null;
  for (const pattern of patterns ?? []) {
    const problem = eventTypePatternProblem(pattern);
    if (problem) return { problem: `types: ${problem}` };
  }
  if ((filter ?? null) === null) return { types: patterns, condition: null };
  const compiled = compileCondition(filter);
  return 'problem' in compiled ? { problem: `filter: ${compiled.problem}` } : { types: patterns, condition: compiled.condition };
}

async function run(schema: GraphQLSchema, document: DocumentNode, event: Event): Promise<string> {
  // The fields that a document may select need no caller and no database: they are the event's own.
  const { data, errors } = await execute({ schema, document, rootValue: event, contextValue: {} });
  if (errors && errors.length > 0)
    throw new Error(errors.map((error) => `${error.path?.join('.') ?? 'document'}: ${error.message}`).join('; '));
  return JSON.stringify(data);
}

function described({ message, locations }: GraphQLError): string {
  const [place] = locations ?? [];
  return place ? `${message} (line ${place.line}, column ${place.column})` : message;
}

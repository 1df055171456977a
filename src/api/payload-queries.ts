import { createHash } from 'node:crypto';
import {
  type DocumentNode,
  defaultFieldResolver,
  execute,
  type FieldNode,
  GraphQLError,
  type GraphQLField,
  type GraphQLObjectType,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
  parse,
  specifiedRules,
  validate,
  valueFromASTUntyped,
  visit,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import { BodyTooLarge } from '../delivery/request/body';
import { MAX_VALUES_PER_LIST } from '../errors';
import type { Event } from '../events/event';
import { textAt } from '../json-source';
import { type Condition, compileCondition } from '../matching/condition';
import { eventTypePatternProblem } from '../matching/event-type';
import { nextTurn } from '../slices';
import type { CompilePayloadQuery, DocumentProblem, PayloadQuery } from '../webhooks/payload-query';
import { BY_THE_HUB } from './field-access';
import { costProblem, LIMITS, limitRules } from './limits';

const MAX_CHARS = 16 * 1024;
const MAX_KEPT = 5_000;
const ROOT_FIELD = 'event';
/** Levels that are GraphQL's own: the root field and the names in it. What stands under those is the event's. */
const SELECTION_DEPTH = 2;
/** A document of a hundred fields that all fail for one reason. */
const MAX_ERRORS_PER_RUN = 3;
const MAX_CHARS_PER_ERROR = 500;
/** What is told of a document that is wrong in many places. */
const MAX_PROBLEMS = 20;
/** In looking for parts of a payload: 5 to 20 ms. */
const MAX_CHARS_WALKED_PER_TURN = 4 * 1024 * 1024;

/**
 * Payload queries: subscription documents with the one root field `event`, run against single events instead of a
 * socket. Validated against `schema` with the limits of any operation, and once a document, since many webhooks share one.
 */
export function payloadQueryCompiler(schema: GraphQLSchema): CompilePayloadQuery {
  const kept = new LRUCache<string, PayloadQuery>({ max: MAX_KEPT });
  return (text) => {
    const known = kept.get(text);
    if (known) return known;
    const compiled = compile(schema, text);
    kept.set(text, compiled);
    return compiled;
  };
}

/** Errors came instead of data. */
export class PayloadQueryFailed extends Error {
  override readonly name = 'PayloadQueryFailed';
  readonly problems: readonly DocumentProblem[];

  constructor(errors: readonly GraphQLError[]) {
    super(errors.slice(0, MAX_ERRORS_PER_RUN).map(where).join('; '));
    this.problems = errors.slice(0, MAX_PROBLEMS).map((error) => ({ ...placeOf(error), message: where(error) }));
  }
}

interface Selection {
  readonly types: readonly string[] | null;
  readonly condition: Condition | null;
  readonly filter: unknown;
}

const EVERYTHING: Selection = { types: null, condition: null, filter: null };

function compile(schema: GraphQLSchema, text: string): PayloadQuery {
  const key = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  const broken = (found: string | readonly GraphQLError[], selection = EVERYTHING): PayloadQuery => {
    const problems = typeof found === 'string' ? [{ message: found, line: null, column: null }] : found.map(placeOf);
    const problem = typeof found === 'string' ? found : found.slice(0, 1).map(described).join('');
    return { key, ...selection, problem, problems, run: () => Promise.reject(new Error(problem)) };
  };
  if (text.length > MAX_CHARS) return broken(`expected at most ${MAX_CHARS} characters, got ${text.length}`);
  let document: DocumentNode;
  try {
    document = parse(text, { maxTokens: LIMITS.tokens });
  } catch (error) {
    return broken([error as GraphQLError]);
  }
  const operation = onlyOperation(document);
  if (typeof operation === 'string') return broken(operation);
  const field = rootField(operation);
  if (field === null) return broken(`expected the single root field ${ROOT_FIELD}, selected directly`);
  // By the document's text and not by the schema: a query that no longer fits it still says which events it is for.
  const selection = selectionOf(field);
  if ('problem' in selection) return broken(selection.problem);
  const problem = documentProblem(schema, document, operation);
  if (problem.length > 0) return broken(problem, selection);
  return { key, ...selection, problem: null, problems: [], run: (event, most) => run(schema, document, { event, most }) };
}

function onlyOperation(document: DocumentNode): OperationDefinitionNode | string {
  const operations = document.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  const [operation] = operations;
  if (operation === undefined || operations.length > 1) return `expected one operation, got ${operations.length}`;
  if (operation.operation !== 'subscription') return `expected a subscription, got a ${operation.operation}`;
  if ((operation.variableDefinitions ?? []).length > 0) return 'expected a document without variables: there is nobody to give them values';
  return operation;
}

/** Empty where nothing is wrong. */
function documentProblem(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode): string | GraphQLError[] {
  const errors = validate(schema, document, [...specifiedRules, ...limitRules]);
  if (errors.length > 0) return errors.slice(0, MAX_PROBLEMS);
  const cost = costProblem(schema, document, {}, operation.name?.value);
  if (cost) return cost.message;
  const problems: GraphQLError[] = [];
  visit(document, {
    Field(node) {
      if (node.name.value === 'deliveries' && problems.length === 0)
        problems.push(new GraphQLError('deliveries cannot be selected: the body is made before they are', { nodes: node }));
    },
  });
  return problems;
}

function rootField(operation: OperationDefinitionNode): FieldNode | null {
  const [selection, ...more] = operation.selectionSet.selections;
  if (more.length > 0 || selection?.kind !== Kind.FIELD || selection.name.value !== ROOT_FIELD) return null;
  return (selection.directives ?? []).length > 0 ? null : selection;
}

function selectionOf(field: FieldNode): Selection | { readonly problem: string } {
  const given = new Map((field.arguments ?? []).map(({ name, value }) => [name.value, valueFromASTUntyped(value) as unknown]));
  const value = (name: string) => given.get(name) ?? null;
  if (value('applicationId') !== null)
    return { problem: 'applicationId cannot be given: a webhook gets the events of its own application' };
  if (value('after') !== null) return { problem: 'after cannot be given: a webhook gets every event' };
  const types = value('types') === null ? null : [value('types')].flat();
  if (types && types.length > MAX_VALUES_PER_LIST)
    return { problem: `types: expected at most ${MAX_VALUES_PER_LIST}, got ${types.length}` };
  for (const pattern of types ?? []) {
    const problem = typeof pattern === 'string' ? eventTypePatternProblem(pattern) : 'expected strings';
    if (problem) return { problem: `types: ${problem}` };
  }
  const condition = value('filter') === null ? null : compileCondition(plain(value('filter')));
  if (condition && 'problem' in condition) return { problem: `filter: ${condition.problem}` };
  const filter = condition === null ? null : plain(value('filter'));
  return { types: types as readonly string[] | null, condition: condition?.condition ?? null, filter };
}

/** Objects out of a document have no prototype; the conditions expect plain ones. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

async function run(schema: GraphQLSchema, document: DocumentNode, { event, most }: { event: Event; most: number }): Promise<string> {
  // The fields that a document may select need no caller and no database: they are the event's own.
  const { data, errors } = await execute({ schema, document, rootValue: event, contextValue: BY_THE_HUB });
  if (errors && errors.length > 0) throw new PayloadQueryFailed(errors);
  return new Writing(event, most).json(data, SELECTION_DEPTH);
}

/** Stands for the payload, or what is at a path in it, until its text is cut out. */
class Part {
  /** `path` null: all of it. */
  constructor(readonly path: string | null) {}
}

/**
 * Lets payload queries have payloads as they were published: what receivers get has every digit of its numbers, also where
 * a document selects a part of it.
 */
export function shapeExactly(schema: GraphQLSchema): void {
  const { payload, get } = (schema.getType('Event') as GraphQLObjectType).getFields();
  if (payload) resolveForHub(payload, () => new Part(null));
  if (get) resolveForHub(get, ({ path }) => new Part(String(path)));
}

function resolveForHub(field: GraphQLField<unknown, unknown>, resolve: (args: Record<string, unknown>) => Part): void {
  const given = field.resolve ?? defaultFieldResolver;
  field.resolve = (source, args, context, info) => (context === BY_THE_HUB ? resolve(args) : given(source, args, context, info));
}

function where({ path, message }: GraphQLError): string {
  return `${path?.join('.') ?? 'document'}: ${message}`.slice(0, MAX_CHARS_PER_ERROR);
}

/**
 * Writes the JSON of what was selected. The payload under each of fifty names is what multiplies a body (1 MiB was 50 MiB),
 * so it is written name by name, each part of the payload cut out once, and given up early.
 */
class Writing {
  readonly #event: Event;
  readonly #most: number;
  readonly #parts = new Map<string | null, string>();
  #chars = 0;
  #walked = 0;

  constructor(event: Event, most: number) {
    this.#event = event;
    this.#most = most;
  }

  /** `depth`: levels that are GraphQL's own. */
  async json(value: unknown, depth: number): Promise<string> {
    if (value instanceof Part) return this.#counted(await this.#textOf(value));
    if (typeof value !== 'object' || value === null || depth === 0) return this.#counted(JSON.stringify(value));
    const members: string[] = [];
    for (const [name, field] of Object.entries(value)) members.push(`"${name}":${await this.json(field, depth - 1)}`);
    return `{${members.join(',')}}`;
  }

  async #textOf({ path }: Part): Promise<string> {
    const { payloadText } = this.#event;
    if (path === null) return payloadText;
    const known = this.#parts.get(path);
    if (known !== undefined) return known;
    this.#walked += payloadText.length;
    if (this.#walked > MAX_CHARS_WALKED_PER_TURN) {
      this.#walked = 0;
      await nextTurn();
    }
    const text = textAt(payloadText, path) ?? 'null';
    this.#parts.set(path, text);
    return text;
  }

  #counted(text: string): string {
    this.#chars += text.length;
    if (this.#chars > this.#most) throw new BodyTooLarge(this.#most);
    return text;
  }
}

function placeOf({ message, locations }: GraphQLError): DocumentProblem {
  const [place] = locations ?? [];
  return { message, line: place?.line ?? null, column: place?.column ?? null };
}

function described({ message, locations }: GraphQLError): string {
  const [place] = locations ?? [];
  return place ? `${message} (line ${place.line}, column ${place.column})` : message;
}

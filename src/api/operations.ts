import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  type GraphQLFormattedError,
  type GraphQLSchema,
  getOperationAST,
  getVariableValues,
  type OperationDefinitionNode,
  OperationTypeNode,
  parse,
  validate,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import type { Caller } from '../applications/api-keys';
import type { Clock } from '../clock';
import { HubError } from '../errors';
import type { Log } from '../log';
import { Budget } from './budget';
import { type Context, createContext } from './context';
import { CpuBudget, type Meter } from './cpu-budget';
import { exactVariables, takeNullAsJson } from './exact-variables';
import { executeWithin } from './execute-within';
import { Introspection, type IntrospectionAccess, readsSchema } from './introspection';
import { costProblem, LIMITS, limitRules, sizesOf, UNAUTHENTICATED_LIMITS, unauthenticatedProblem } from './limits';
import { asGraphqlError, presentError } from './present-error';
import type { Services } from './services';
import { type Results, SharedResults } from './shared-results';
import { Turns } from './turns';
import type { UnsentAnswer } from './unsent';
import { largeMisfit, MIN_CHARS_WITH_LARGE } from './variable-misfits';

/** An operation as it arrives, on any transport. */
export interface OperationRequest {
  readonly query: string;
  readonly variables?: Record<string, unknown> | null | undefined;
  readonly operationName?: string | null | undefined;
}

/** Who asks, and in which trace. */
export interface Asking {
  readonly caller: Caller | null;
  readonly traceContext: string | null;
  readonly address: string | null;
  /** What the answer will take; the sender releases it. */
  readonly unsent: UnsentAnswer;
  /** Of what was sent, where that is known. */
  readonly requestChars?: number;
}

/** What is known of an operation that is to be judged. */
interface Judging {
  readonly hasOwnVariableCheck: boolean;
  /** Of the message that it came in. */
  readonly requestChars?: number;
}

/** Ready to run. */
export interface Runnable {
  readonly kind: OperationTypeNode;
  readonly args: ExecutionArgs;
  /** Of a caller without a valid key. */
  readonly meter?: Meter;
}

export type Prepared = Runnable | { readonly errors: readonly GraphQLError[] };

interface Deps {
  readonly schema: GraphQLSchema;
  readonly services: Services;
  readonly clock: Clock;
  readonly log: Log;
  readonly introspection: IntrospectionAccess;
}

/** What a request without a key takes at least, and more for its size, and when it reads the schema. */
const MIN_ESTIMATE_MS = 0.5;
const INTROSPECTION_ESTIMATE_MS = 10;
const CHARS_PER_ESTIMATED_MS = 2_000;

/** Of documents that are kept parsed: a syntax tree takes some hundred times the memory of its text. */
const MAX_KEPT_CHARS = 256 * 1024;
const MAX_DOCUMENT_CHARS = 16 * 1024;
/** A thousand characters of fields take some 1 ms to parse and validate. */
const JUDGED_CHARS_PER_TURN = 16 * 1024;
/** As JSON, some 10 ms. */
const WRITTEN_BYTES_PER_TURN = 1024 * 1024;
/** Of variables that are remembered as affordable, a document. */
const MAX_SIZES = 1_000;
/** What is wrong with variables beyond these is not looked for. */
const MAX_VARIABLE_ERRORS = 20;

/**
 * Judges operations, for every transport; and runs those that come over sockets and event streams, as Apollo does for
 * plain HTTP.
 */
export class Operations {
  readonly #deps: Deps;
  /** A dashboard sends the same document over and over: parsed and validated once. */
  readonly #kept = new LRUCache<string, DocumentNode>({ maxSize: MAX_KEPT_CHARS, sizeCalculation: (_document, query) => query.length });
  readonly #valid = new WeakSet<DocumentNode>();
  /** What variables of these sizes were found to cost. */
  readonly #affordable = new WeakMap<DocumentNode, Set<string>>();

  readonly #shared: SharedResults;
  readonly #introspection = new Introspection();
  readonly #unauthenticatedCpu: CpuBudget;
  readonly #toWrite = new Turns(WRITTEN_BYTES_PER_TURN);
  readonly #toJudge = new Turns(JUDGED_CHARS_PER_TURN);

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#unauthenticatedCpu = new CpuBudget(deps.clock, UNAUTHENTICATED_LIMITS.cpu);
    this.#shared = new SharedResults({
      clock: deps.clock,
      write: (result, budget) => this.textOf(result, budget),
      renewed: ({ document, contextValue }) => {
        const { caller, traceContext, address } = contextValue as Context;
        const unsent = deps.services.unsent.open(null, caller);
        return this.contextOf(document, OperationTypeNode.SUBSCRIPTION, { caller, traceContext, address, unsent });
      },
    });
  }

  /** Ready to run, or what is wrong with it; never throws for what a client can send. */
  prepare(request: OperationRequest, asking: Asking): Prepared {
    const { caller } = asking;
    try {
      if (caller !== null) return this.#prepare(request, asking);
      const meter = this.meterUnauthenticated(request.query);
      return { ...meter.run(() => this.#prepare(request, asking)), meter };
    } catch (error) {
      return { errors: [asGraphqlError(error)] };
    }
  }

  /**
   * What work takes that has `text` to read and came without a valid key.
   * @throws HubError RATE_LIMITED when such work has taken too much of late
   */
  meterUnauthenticated(text: string): Meter {
    const extraMs = /__(schema|type)\b/.test(text) ? INTROSPECTION_ESTIMATE_MS : 0;
    return this.#unauthenticatedCpu.begin(MIN_ESTIMATE_MS + extraMs + text.length / CHARS_PER_ESTIMATED_MS);
  }

  #prepare(request: OperationRequest, asking: Asking): Prepared {
    const { schema } = this.#deps;
    const { caller } = asking;
    const tooLong = tooLongWithoutKey(request.query, caller);
    if (tooLong) return { errors: [tooLong] };
    const document = this.#parse(request.query);
    if (document instanceof GraphQLError) return { errors: [document] };
    const errors = this.judge(document, request, caller);
    const operation = getOperationAST(document, request.operationName);
    if (errors.length > 0 || !operation) return { errors };
    if (caller !== null) this.#keep(request.query, document);
    return {
      kind: operation.operation,
      args: {
        schema,
        document,
        variableValues: request.variables ?? {},
        operationName: request.operationName ?? null,
        contextValue: this.contextOf(document, operation.operation, asking),
      },
    };
  }

  /**
   * What is wrong with an operation of a document, by the limits, the specification and the schema; empty when nothing
   * is. `hasOwnVariableCheck`: the executor reports variables that do not fit their types.
   */
  judge(
    document: DocumentNode,
    { variables, operationName }: Omit<OperationRequest, 'query'>,
    caller: Caller | null,
    { hasOwnVariableCheck, requestChars = Number.POSITIVE_INFINITY }: Judging = { hasOwnVariableCheck: false },
  ): readonly GraphQLError[] {
    const tooMuch = caller === null ? unauthenticatedProblem(document) : undefined;
    if (tooMuch) return [coded(tooMuch, 'GRAPHQL_VALIDATION_FAILED')];
    if (!this.mayIntrospect(caller) && readsSchema(document)) return [this.#introspectionRefused()];
    if (!this.#valid.has(document)) {
      const errors = this.#validate(document);
      if (errors.length > 0) return this.mayIntrospect(caller) ? errors : errors.map(withoutSuggestion);
      this.#valid.add(document);
    }
    const operation = getOperationAST(document, operationName);
    const unfit = operation && variables ? unfitVariables(this.#deps.schema, operation, variables, requestChars) : undefined;
    if (unfit) return [coded(unfit, 'BAD_USER_INPUT')];
    if (operation) {
      const errors = hasOwnVariableCheck ? [] : this.#variableErrors(operation, variables ?? {});
      return errors.length > 0 ? errors : this.#judgeSizes(document, operation, variables ?? {});
    }
    const message = operationName
      ? 'Unknown operation: `operationName` names none of the document.'
      : 'The document has several operations: name one in `operationName`.';
    return [coded(new GraphQLError(message), 'OPERATION_RESOLUTION_FAILURE')];
  }

  /** What resolvers get, with a budget for one operation or one message. */
  contextOf(document: DocumentNode, kind: OperationTypeNode, { caller, traceContext, address, unsent }: Asking): Context {
    const { services } = this.#deps;
    const isMutation = kind === OperationTypeNode.MUTATION;
    const budget = new Budget({ document, isMutation, unsent, exceeded: services.budgetExceeded });
    return createContext(services, caller, { budget, traceContext, address });
  }

  /** A result, or results over time. */
  async run({ kind, args, meter }: Runnable): Promise<ExecutionResult | Results> {
    if (kind === OperationTypeNode.SUBSCRIPTION) return this.subscribe(args);
    return meter ? meter.run(() => this.execute(args)) : this.execute(args);
  }

  /** The result of a query or mutation; of a query that passes its budget, that at once. */
  execute(args: ExecutionArgs): ExecutionResult | Promise<ExecutionResult> {
    const result = this.introspect(args) ?? executeWithin(args);
    if (result instanceof Promise || result.data !== undefined) return result;
    return { errors: result.errors?.map((error) => coded(error, 'BAD_USER_INPUT')) ?? [] }; // its variables are wrong
  }

  /** What an operation is answered that asks for nothing but the schema; undefined: it asks for more. */
  introspect(args: Pick<ExecutionArgs, 'document' | 'operationName' | 'variableValues'>): ExecutionResult | undefined {
    return this.#introspection.answer({ ...args, schema: this.#deps.schema });
  }

  /** The text of such an answer that was given before, if the caller may have it. */
  knownIntrospection({ query, variables, operationName }: OperationRequest, caller: Caller | null): string | undefined {
    return this.mayIntrospect(caller) ? this.#introspection.known(query, operationName, variables) : undefined;
  }

  mayIntrospect(caller: Caller | null): boolean {
    const { introspection } = this.#deps;
    return introspection === 'true' || (introspection === 'keys' && caller !== null);
  }

  #introspectionRefused(): GraphQLError {
    const isForKeys = this.#deps.introspection === 'keys';
    return asGraphqlError(
      isForKeys
        ? new HubError('UNAUTHENTICATED', 'Introspection needs a valid key on this hub.')
        : new HubError('FORBIDDEN', 'Introspection is turned off on this hub.'),
    );
  }

  /** Results over time, or what is wrong with the subscription. */
  subscribe(args: ExecutionArgs): Promise<Results | ExecutionResult> {
    return this.#shared.subscribe(args);
  }

  present(errors: readonly GraphQLError[]): GraphQLFormattedError[] {
    return errors.map((error) => presentError(error, this.#deps.log));
  }

  presentResult({ errors, ...result }: ExecutionResult): Omit<ExecutionResult, 'errors'> & { errors?: readonly GraphQLFormattedError[] } {
    return errors ? { ...result, errors: this.present(errors) } : result;
  }

  /** A result as it goes over the wire. */
  textOf(result: ExecutionResult, budget: Budget): Buffer | Promise<Buffer> {
    const write = () => Buffer.from(JSON.stringify(this.presentResult(result)));
    const turn = this.turnFor(budget);
    return turn ? turn.then(write) : write();
  }

  /** Whether an operation has results over time, as far as its document can be read. Wait for a turn to judge that. */
  isSubscription({ query, operationName }: OperationRequest): boolean {
    if (!mayBeSubscription(query)) return false;
    const document = this.#parse(query);
    return !(document instanceof GraphQLError) && getOperationAST(document, operationName)?.operation === OperationTypeNode.SUBSCRIPTION;
  }

  /** Waits for a turn to write a large answer. Undefined: now. */
  turnFor({ isHeavy, answerBytes }: Budget): Promise<void> | undefined {
    return isHeavy ? this.#toWrite.take(answerBytes) : undefined;
  }

  /** Waits for a turn to judge a document that is not known to be right. Undefined: now. */
  turnToJudge(known: string | DocumentNode): Promise<void> | undefined {
    const document = typeof known === 'string' ? this.#kept.get(known) : known;
    if (document && this.#valid.has(document)) return undefined;
    return this.#toJudge.take(typeof known === 'string' ? known.length : (known.loc?.end ?? 0));
  }

  #parse(query: string): DocumentNode | GraphQLError {
    try {
      return this.#kept.get(query) ?? parse(query, { maxTokens: LIMITS.tokens });
    } catch (error) {
      // A document nested by the thousand overflows the parser's stack: a RangeError, its writer's fault as well.
      return coded(asGraphqlError(error), 'GRAPHQL_PARSE_FAILED');
    }
  }

  #validate(document: DocumentNode): readonly GraphQLError[] {
    const { schema } = this.#deps;
    const overLimits = validate(schema, document, limitRules);
    if (overLimits.length === 0) takeNullAsJson(schema, document);
    const errors = overLimits.length > 0 ? overLimits : validate(schema, document);
    return errors.map((error) => coded(error, 'GRAPHQL_VALIDATION_FAILED'));
  }

  /** Coercing the events of a large publish a second time, only to count them, took a third of what GraphQL takes of it. */
  #judgeSizes(document: DocumentNode, operation: OperationDefinitionNode, variables: Record<string, unknown>): readonly GraphQLError[] {
    const sizes = `${operation.name?.value} ${sizesOf(operation, variables)}`;
    const affordable = this.#affordable.get(document) ?? new Set();
    if (affordable.has(sizes)) return [];
    const errors = this.#judgeVariables(document, operation, variables);
    if (errors.length > 0) return errors;
    if (affordable.size < MAX_SIZES) this.#affordable.set(document, affordable.add(sizes));
    return [];
  }

  #judgeVariables(document: DocumentNode, operation: OperationDefinitionNode, variables: Record<string, unknown>): readonly GraphQLError[] {
    const { schema } = this.#deps;
    // Judging the cost would find every mistake there is, and look for what was meant: 1,891 in 12 KB took 300 ms.
    const errors = this.#variableErrors(operation, variables);
    if (errors.length > 0) return errors;
    try {
      const problem = costProblem(schema, document, variables, operation.name?.value);
      return problem ? [problem] : [];
    } catch (error) {
      return [coded(asGraphqlError(error), 'GRAPHQL_VALIDATION_FAILED')];
    }
  }

  #variableErrors({ variableDefinitions = [] }: OperationDefinitionNode, variables: Record<string, unknown>): readonly GraphQLError[] {
    const { errors = [] } = getVariableValues(this.#deps.schema, variableDefinitions, variables, { maxErrors: MAX_VARIABLE_ERRORS });
    return errors.map((problem) => coded(problem, 'BAD_USER_INPUT'));
  }

  #keep(query: string, document: DocumentNode): void {
    if (query.length <= MAX_DOCUMENT_CHARS && !this.#kept.has(query)) this.#kept.set(query, document);
  }
}

/** Why nothing was done of an operation that may succeed later, if that is so. */
export function rateLimitOf({ data, errors }: ExecutionResult): HubError | undefined {
  const cause = data ? undefined : errors?.[0]?.originalError;
  return cause instanceof HubError && cause.code === 'RATE_LIMITED' ? cause : undefined;
}

/** Parsing tells the rest: most requests are spared it. */
export function mayBeSubscription(query: string): boolean {
  return /\bsubscription\b/.test(query);
}

function unfitVariables(schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Record<string, unknown>, chars: number) {
  const misfit = chars < MIN_CHARS_WITH_LARGE ? undefined : largeMisfit(schema, operation, variables);
  return misfit ?? exactVariables(schema, operation, variables);
}

/** Known before anything is parsed; undefined: it is not, or a valid key came with it. */
export function tooLongWithoutKey(query: string, caller: Caller | null): GraphQLError | undefined {
  if (caller !== null || query.length <= UNAUTHENTICATED_LIMITS.documentChars) return undefined;
  const message = `Without a valid key a document has at most ${UNAUTHENTICATED_LIMITS.documentChars} characters; found ${query.length}.`;
  return coded(new GraphQLError(message), 'GRAPHQL_VALIDATION_FAILED');
}

/** Suggestions name fields and types of the schema. */
function withoutSuggestion(error: GraphQLError): GraphQLError {
  const message = error.message.replace(/ Did you mean .*$/s, '');
  return message === error.message
    ? error
    : new GraphQLError(message, { nodes: error.nodes, source: error.source, positions: error.positions, extensions: error.extensions });
}

type Code = 'GRAPHQL_PARSE_FAILED' | 'GRAPHQL_VALIDATION_FAILED' | 'BAD_USER_INPUT' | 'OPERATION_RESOLUTION_FAILURE';

/** GraphQL's own errors have no code; these are the ones that Apollo gives them. */
function coded({ message, nodes, source, positions, originalError }: GraphQLError, code: Code): GraphQLError {
  return new GraphQLError(message, { nodes, source, positions, originalError, extensions: { code } });
}

import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  GraphQLError,
  type GraphQLFormattedError,
  type GraphQLSchema,
  getOperationAST,
  getVariableValues,
  type OperationDefinitionNode,
  OperationTypeNode,
  parse,
  subscribe,
  validate,
} from 'graphql';
import type { Caller } from '../applications/api-keys';
import type { Log } from '../log';
import { createContext } from './context';
import { costProblem, LIMITS, limitRules, sizesOf } from './limits';
import { asGraphqlError, presentError } from './present-error';
import type { Services } from './services';

/** An operation as it arrives, on any transport. */
export interface OperationRequest {
  readonly query: string;
  readonly variables?: Record<string, unknown> | null | undefined;
  readonly operationName?: string | null | undefined;
}

/** Ready to run. */
export interface Runnable {
  readonly kind: OperationTypeNode;
  readonly args: ExecutionArgs;
}

export type Prepared = Runnable | { readonly errors: readonly GraphQLError[] };

interface Deps {
  readonly schema: GraphQLSchema;
  readonly services: Services;
  readonly log: Log;
}

/** Of documents that are kept parsed: a syntax tree takes some hundred times the memory of its text. */
const MOST_KEPT_CHARS = 256 * 1024;
const MOST_DOCUMENT_CHARS = 16 * 1024;
/** Of variables that are remembered as affordable, a document. */
const MOST_SIZES = 1_000;

/**
 * Judges operations, for every transport; and runs those that come over sockets and event streams, as Apollo does for
 * plain HTTP.
 */
export class Operations {
  readonly #deps: Deps;
  /** A dashboard sends the same document over and over: parsed and validated once. */
  readonly #kept = new Map<string, DocumentNode>();
  #keptChars = 0;
  readonly #valid = new WeakSet<DocumentNode>();
  /** What variables of these sizes were found to cost. */
  readonly #affordable = new WeakMap<DocumentNode, Set<string>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Ready to run, or what is wrong with it; never throws for what a client can send. */
  prepare(request: OperationRequest, caller: Caller | null): Prepared {
    const document = this.#parse(request.query);
    if (document instanceof GraphQLError) return { errors: [document] };
    const errors = this.judge(document, request);
    const operation = getOperationAST(document, request.operationName);
    if (errors.length > 0 || !operation) return { errors };
    this.#keep(request.query, document);
    const { schema, services } = this.#deps;
    return {
      kind: operation.operation,
      args: {
        schema,
        document,
        variableValues: request.variables ?? {},
        operationName: request.operationName ?? null,
        contextValue: createContext(services, caller, { isLasting: operation.operation === OperationTypeNode.SUBSCRIPTION }),
      },
    };
  }

  /**
   * What is wrong with an operation of a document, by the limits, the specification and the schema; empty when nothing
   * is. `hasOwnVariableCheck`: whoever runs it reports variables that do not fit their types.
   */
  judge(
    document: DocumentNode,
    { variables, operationName }: Omit<OperationRequest, 'query'>,
    { hasOwnVariableCheck }: { hasOwnVariableCheck: boolean } = { hasOwnVariableCheck: false },
  ): readonly GraphQLError[] {
    if (!this.#valid.has(document)) {
      const errors = this.#validate(document);
      if (errors.length > 0) return errors;
      this.#valid.add(document);
    }
    const operation = getOperationAST(document, operationName);
    if (operation && hasOwnVariableCheck) return this.#judgeSizes(document, operation, variables ?? {});
    if (operation) return this.#judgeVariables(document, operation, variables ?? {});
    const message = operationName
      ? 'Unknown operation: `operationName` names none of the document.'
      : 'The document has several operations: name one in `operationName`.';
    return [coded(new GraphQLError(message), 'OPERATION_RESOLUTION_FAILURE')];
  }

  /** A result, or results over time. */
  async run({ kind, args }: Runnable): Promise<ExecutionResult | AsyncIterable<ExecutionResult>> {
    return kind === OperationTypeNode.SUBSCRIPTION ? subscribe(args) : execute(args);
  }

  present(errors: readonly GraphQLError[]): GraphQLFormattedError[] {
    return errors.map((error) => presentError(error, this.#deps.log));
  }

  presentResult({ errors, ...result }: ExecutionResult): Omit<ExecutionResult, 'errors'> & { errors?: readonly GraphQLFormattedError[] } {
    return errors ? { ...result, errors: this.present(errors) } : result;
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
    const errors = overLimits.length > 0 ? overLimits : validate(schema, document);
    return errors.map((error) => coded(error, 'GRAPHQL_VALIDATION_FAILED'));
  }

  /** Coercing the events of a large publish a second time, only to count them, took a third of what GraphQL takes of it. */
  #judgeSizes(document: DocumentNode, operation: OperationDefinitionNode, variables: Record<string, unknown>): readonly GraphQLError[] {
    const sizes = `${operation.name?.value} ${sizesOf(variables)}`;
    const affordable = this.#affordable.get(document) ?? new Set();
    if (affordable.has(sizes)) return [];
    const errors = this.#judgeVariables(document, operation, variables);
    if (errors.length > 0) return errors;
    if (affordable.size < MOST_SIZES) this.#affordable.set(document, affordable.add(sizes));
    return [];
  }

  #judgeVariables(document: DocumentNode, operation: OperationDefinitionNode, variables: Record<string, unknown>): readonly GraphQLError[] {
    const { schema } = this.#deps;
    try {
      const problem = costProblem(schema, document, variables, operation.name?.value);
      return problem ? [problem] : [];
    } catch (error) {
      const { errors } = getVariableValues(schema, operation.variableDefinitions ?? [], variables, { maxErrors: 20 });
      return errors?.map((problem) => coded(problem, 'BAD_USER_INPUT')) ?? [coded(asGraphqlError(error), 'GRAPHQL_VALIDATION_FAILED')];
    }
  }

  #keep(query: string, document: DocumentNode): void {
    if (query.length > MOST_DOCUMENT_CHARS || this.#kept.has(query)) return;
    this.#kept.set(query, document);
    this.#keptChars += query.length;
    for (const [oldest] of this.#kept) {
      if (this.#keptChars <= MOST_KEPT_CHARS) break;
      this.#kept.delete(oldest);
      this.#keptChars -= oldest.length;
    }
  }
}

type Code = 'GRAPHQL_PARSE_FAILED' | 'GRAPHQL_VALIDATION_FAILED' | 'BAD_USER_INPUT' | 'OPERATION_RESOLUTION_FAILURE';

/** GraphQL's own errors have no code; these are the ones that Apollo gives them. */
function coded({ message, nodes, source, positions, originalError }: GraphQLError, code: Code): GraphQLError {
  return new GraphQLError(message, { nodes, source, positions, originalError, extensions: { code } });
}

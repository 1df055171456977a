import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  type GraphQLError,
  GraphQLError as GraphQLErrorClass,
  type GraphQLFormattedError,
  type GraphQLSchema,
  getOperationAST,
  parse,
  specifiedRules,
  subscribe,
  validate,
} from 'graphql';
import type { Caller } from '../applications/api-keys';
import type { Log } from '../log';
import { createContext } from './context';
import { costProblem, LIMITS, limitRules } from './limits';
import { presentError } from './present-error';
import type { Services } from './services';

/** An operation as it arrives, on any transport. */
export interface OperationRequest {
  readonly query: string;
  readonly variables?: Record<string, unknown> | null | undefined;
  readonly operationName?: string | null | undefined;
}

export type Prepared =
  | { readonly args: ExecutionArgs; readonly kind: 'query' | 'mutation' | 'subscription' }
  | { readonly errors: readonly GraphQLError[] };

interface Deps {
  readonly schema: GraphQLSchema;
  readonly services: Services;
  readonly log: Log;
}

const MOST_DOCUMENTS = 1_000;
const MOST_DOCUMENT_CHARS = 16 * 1024;

/** Parses, validates, limits and runs what comes over sockets and event streams, as Apollo does for plain HTTP. */
export class Operations {
  readonly #deps: Deps;
  /** A dashboard sends the same document over and over: parsed and validated once. */
  readonly #documents = new Map<string, DocumentNode>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Ready to run, or what is wrong with it; never throws for what a client can send. */
  prepare(request: OperationRequest, caller: Caller | null): Prepared {
    const { schema, services } = this.#deps;
    const document = this.#document(request.query);
    if (Array.isArray(document)) return { errors: document };
    const operation = getOperationAST(document as DocumentNode, request.operationName);
    if (!operation)
      return { errors: [new GraphQLErrorClass('Unable to identify the operation: name one of the document in `operationName`.')] };
    const variables = request.variables ?? {};
    try {
      const problem = costProblem(schema, document as DocumentNode, variables, operation.name?.value);
      if (problem) return { errors: [problem] };
    } catch (error) {
      return { errors: [error as GraphQLError] }; // variables that do not fit their types
    }
    const isLasting = operation.operation === 'subscription';
    return {
      kind: operation.operation,
      args: {
        schema,
        document: document as DocumentNode,
        variableValues: variables,
        operationName: request.operationName ?? null,
        contextValue: createContext(services, caller, { isLasting }),
      },
    };
  }

  /** A result, or results over time. */
  async run(prepared: Extract<Prepared, { args: ExecutionArgs }>): Promise<ExecutionResult | AsyncIterable<ExecutionResult>> {
    return prepared.kind === 'subscription' ? subscribe(prepared.args) : execute(prepared.args);
  }

  present(errors: readonly GraphQLError[]): GraphQLFormattedError[] {
    return errors.map((error) => presentError(error, this.#deps.log));
  }

  #document(query: string): DocumentNode | GraphQLError[] {
    const known = this.#documents.get(query);
    if (known) return known;
    let document: DocumentNode;
    try {
      document = parse(query, { maxTokens: LIMITS.tokens });
    } catch (error) {
      return [error as GraphQLError];
    }
    const errors = validate(this.#deps.schema, document, [...specifiedRules, ...limitRules]);
    if (errors.length > 0) return [...errors];
    if (query.length <= MOST_DOCUMENT_CHARS) {
      this.#documents.set(query, document);
      if (this.#documents.size > MOST_DOCUMENTS) this.#documents.delete(this.#documents.keys().next().value ?? '');
    }
    return document;
  }
}

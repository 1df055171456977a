import {
  type ASTNode,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  GraphQLError,
  getOperationAST,
  Kind,
  type ValidationContext,
  type ValidationRule,
  visit,
} from 'graphql';
import { LRUCache } from 'lru-cache';

/** Whom the schema may be read by: everyone, those with a valid key, nobody. */
export type IntrospectionAccess = 'true' | 'keys' | 'false';

/** Of `__type` in one document; of `__schema` there is one. */
const MAX_TYPES_PER_DOCUMENT = 10;
/** Tools ask with a handful of documents. An answer is some 150 KB of text, and as an object several times that. */
const MAX_KEPT_ANSWERS = 8;
const MAX_KEY_CHARS = 16 * 1024;

/** Whether anything of a document reads the schema; `__typename` alone does not. */
export function readsSchema(document: DocumentNode): boolean {
  let isReading = false;
  const look = (node: ASTNode) => {
    if (node.kind === Kind.FIELD && (node.name.value === '__schema' || node.name.value === '__type')) isReading = true;
  };
  visit(document, { enter: look });
  return isReading;
}

/**
 * A field written twice is answered once, unless it has an alias: fifty of them over the whole schema took 200 ms for 6 KB
 * of a document. No tool needs them.
 */
export function introspectionRule(context: ValidationContext): ReturnType<ValidationRule> {
  let types = 0;
  const report = (message: string, node: ASTNode) => context.reportError(new GraphQLError(message, { nodes: node }));
  return {
    Field(node) {
      const name = node.name.value;
      if (name === '__type' && ++types === MAX_TYPES_PER_DOCUMENT + 1)
        report(`A document asks for \`__type\` at most ${MAX_TYPES_PER_DOCUMENT} times.`, node);
      const isOfSchema = name === '__schema' || context.getParentType()?.name.startsWith('__');
      if (isOfSchema && node.alias) report('Introspection has no aliases.', node);
    },
  };
}

interface Answer {
  readonly result: ExecutionResult;
  readonly text: string;
}

/** Answers about the schema, which does not change while the hub runs: each document is executed and written out once. */
export class Introspection {
  readonly #kept = new LRUCache<string, Answer>({ max: MAX_KEPT_ANSWERS });

  /** The text of an answer that is kept already: nothing of the document is even parsed. */
  known(query: string, operationName: unknown, variables: unknown): string | undefined {
    const key = keyOf(query, operationName, variables);
    return key === undefined ? undefined : this.#kept.get(key)?.text;
  }

  /** What an operation is answered that asks for nothing but the schema; undefined: it asks for more. */
  answer(args: ExecutionArgs): ExecutionResult | undefined {
    const { document, operationName, variableValues } = args;
    if (!isOnlyIntrospection(document, operationName)) return undefined;
    const key = keyOf(document.loc?.source.body, operationName, variableValues);
    const known = key === undefined ? undefined : this.#kept.get(key);
    const result = known?.result ?? execute(args);
    if (result instanceof Promise) return undefined;
    if (key !== undefined && !result.errors) this.#kept.set(key, known ?? { result, text: `${JSON.stringify(result)}\n` });
    return result;
  }
}

function isOnlyIntrospection(document: DocumentNode, operationName: string | null | undefined): boolean {
  const operation = getOperationAST(document, operationName);
  const selections = operation?.selectionSet.selections ?? [];
  return operation?.operation === 'query' && selections.every((field) => field.kind === Kind.FIELD && field.name.value.startsWith('__'));
}

function keyOf(query: string | undefined, operationName: unknown, variables: unknown): string | undefined {
  if (query === undefined || query.length > MAX_KEY_CHARS || !query.includes('__') || !hasFewValues(variables)) return undefined;
  const key = `${JSON.stringify([operationName ?? null, variables ?? {}])}${query}`;
  return key.length > MAX_KEY_CHARS ? undefined : key;
}

/** Tools send `includeDeprecated` and its like. Writing down megabytes only to find that they are too much would take long. */
function hasFewValues(variables: unknown): boolean {
  const values: Readonly<Record<string, unknown>> = Object(variables ?? {});
  let left = MAX_KEY_CHARS;
  for (const name in values) {
    const value = values[name];
    left -= name.length + (typeof value === 'string' ? value.length : 1);
    if (left < 0 || (typeof value === 'object' && value !== null)) return false;
  }
  return true;
}

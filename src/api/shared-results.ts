import {
  type ASTNode,
  createSourceEventStream,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  getOperationAST,
  Kind,
  type OperationDefinitionNode,
  visit,
} from 'graphql';
import { type Clock, SECOND } from '../clock';
import type { Context } from './context';

/**
 * How long a result may serve others who ask for the same: fields below an event, such as its deliveries, change. No
 * longer than it could have been on its way.
 */
const FRESH_MS = SECOND;

/** What is sent to each of those who subscribed to one thing; a value as it comes, or several that have come. */
export interface Source {
  next(): Promise<IteratorResult<object>>;
  /** What is there, at least one; none at the end. Absent: one at a time. */
  take?(): Promise<readonly object[]>;
  return(): Promise<unknown>;
}

interface Made {
  readonly text: Promise<Buffer> | Buffer;
  readonly until: number;
  readonly state: string;
}

interface Deps {
  readonly clock: Clock;
  /** What clients see of a result. */
  readonly present: (result: ExecutionResult) => object;
}

/**
 * Subscribers of one document, with the same key and variables, share one execution and one text for each event: with
 * 1,000 of them a frame took 63 µs of CPU when each had its own, 45 of it for that.
 */
export class SharedResults {
  readonly #deps: Deps;
  readonly #groups = new WeakMap<DocumentNode, Map<string, Group>>();
  readonly #used = new WeakMap<DocumentNode, ReadonlySet<string>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Results over time, or what is wrong with the subscription. */
  async subscribe(args: ExecutionArgs): Promise<Results | ExecutionResult> {
    const source = await createSourceEventStream(args);
    if (!(Symbol.asyncIterator in source)) return source;
    return new Results(source as unknown as Source, this.#join(args));
  }

  #join(args: ExecutionArgs): Group {
    const groups = this.#groups.get(args.document) ?? new Map<string, Group>();
    this.#groups.set(args.document, groups);
    const key = this.#keyOf(args);
    const group = groups.get(key) ?? new Group(args, this.#deps, () => groups.delete(key));
    groups.set(key, group);
    group.join();
    return group;
  }

  /** Whoever has the same gets the same. */
  #keyOf({ document, operationName, variableValues, contextValue }: ExecutionArgs): string {
    const used = this.#used.get(document) ?? variablesBelowRoot(document, operationName);
    this.#used.set(document, used);
    const values = Object.entries(variableValues ?? {}).filter(([name]) => used.has(name));
    const { caller } = contextValue as Context;
    // The scopes as well: those of a key may change while others still follow by the former.
    return JSON.stringify([caller?.apiKey.id, [...(caller?.scopes ?? [])], operationName, values.sort()]);
  }
}

/** Results of one subscriber: as GraphQL has them, or as their JSON texts. */
export class Results implements AsyncIterableIterator<ExecutionResult> {
  readonly #source: Source;
  readonly #group: Group;
  #hasLeft = false;

  constructor(source: Source, group: Group) {
    this.#source = source;
    this.#group = group;
  }

  /** The JSON texts of the results that are there, at least one; none at the end. Others get the same buffers. */
  async take(): Promise<readonly Buffer[]> {
    try {
      const roots = await (this.#source.take ? this.#source.take() : one(this.#source));
      const [only] = roots;
      if (only === undefined) this.#leave();
      if (only === undefined || roots.length > 1) return Promise.all(roots.map((root) => this.#group.textOf(root)));
      const text = this.#group.textOf(only);
      return [text instanceof Promise ? await text : text];
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  async next(): Promise<IteratorResult<ExecutionResult>> {
    const { done, value } = await this.#leavingAtFailure(this.#source.next());
    if (!done) return { done, value: await this.#group.execute(value) };
    this.#leave();
    return { done, value };
  }

  async return(): Promise<IteratorResult<ExecutionResult>> {
    this.#leave();
    await this.#source.return();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #leavingAtFailure<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  #leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#group.leave();
  }
}

async function one(source: Source): Promise<readonly object[]> {
  const { done, value } = await source.next();
  return done ? [] : [value];
}

/** Those who get the same. */
class Group {
  readonly #args: ExecutionArgs;
  readonly #deps: Deps;
  readonly #emptied: () => void;
  readonly #made = new WeakMap<object, Made>();
  #members = 0;

  constructor(args: ExecutionArgs, deps: Deps, emptied: () => void) {
    this.#args = args;
    this.#deps = deps;
    this.#emptied = emptied;
  }

  join(): void {
    this.#members++;
  }

  leave(): void {
    if (--this.#members === 0) this.#emptied();
  }

  execute(root: object): ExecutionResult | Promise<ExecutionResult> {
    return execute({ ...this.#args, rootValue: root });
  }

  textOf(root: object): Buffer | Promise<Buffer> {
    const now = this.#deps.clock.monotonic();
    const state = stateOf(root);
    const known = this.#made.get(root);
    if (known && known.until > now && known.state === state) return known.text;
    const keep = <T extends Buffer | Promise<Buffer>>(text: T): T => {
      this.#made.set(root, { text, until: now + FRESH_MS, state });
      return text;
    };
    const result = this.execute(root);
    if (!(result instanceof Promise)) return keep(this.#text(result));
    return keep(result.then((settled) => keep(this.#text(settled))));
  }

  #text(result: ExecutionResult): Buffer {
    return Buffer.from(JSON.stringify(this.#deps.present(result)));
  }
}

/** What can be changed of a root value in memory: an event may be redacted. */
function stateOf(root: object): string {
  const { redactedAt } = root as { redactedAt?: Date | null };
  return redactedAt ? String(redactedAt.getTime()) : '';
}

/** The variables that results depend on. Those of the root field alone say which events come, not what is in them. */
function variablesBelowRoot(document: DocumentNode, operationName: string | null | undefined): ReadonlySet<string> {
  const operation = getOperationAST(document, operationName);
  const used = new Set<string>();
  const collect = (name: string) => void used.add(name);
  for (const definition of document.definitions) {
    if (definition === operation) collectBelowRoot(operation, collect);
    else collectVariables(definition, collect);
  }
  return used;
}

function collectBelowRoot(operation: OperationDefinitionNode, collect: (name: string) => void): void {
  for (const selection of operation.selectionSet.selections) {
    const below = selection.kind === Kind.FIELD ? { ...selection, arguments: [] } : selection;
    collectVariables(below, collect);
  }
}

function collectVariables(within: ASTNode, collect: (name: string) => void): void {
  visit(within, { enter: (node) => (node.kind === Kind.VARIABLE ? collect(node.name.value) : undefined) });
}

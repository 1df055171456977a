import {
  type ASTNode,
  createSourceEventStream,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  getOperationAST,
  Kind,
  type OperationDefinitionNode,
  visit,
} from 'graphql';
import { type Clock, SECOND } from '../clock';
import { HubError } from '../errors';
import type { Budget } from './budget';
import type { Context } from './context';
import { executeWithin } from './execute-within';
import { LIMITS } from './limits';

/**
 * How long a result may serve others who ask for the same: fields below an event, such as its deliveries, change. No
 * longer than it could have been on its way.
 */
const FRESH_MS = SECOND;
/** Of texts that are kept so long, over all documents. */
const MAX_KEPT_BYTES = 16 * 1024 * 1024;
/** Texts that are taken together leave in one write. */
const MAX_TAKEN_BYTES = 256 * 1024;
/** What has to be free before a result is made; for one that turned out to need more, what any may need. */
const LEAST_ROOM = 64 * 1024;

/** What is sent to each of those who subscribed to one thing; a value as it comes, or several that have come. */
export interface Source {
  next(): Promise<IteratorResult<object>>;
  /** What is there, at least one; none at the end. Absent: one at a time. */
  take?(): Promise<readonly object[]>;
  return(): Promise<unknown>;
}

/** The JSON of a result; undefined where there was no room to make it. */
type Text = Buffer | undefined;

interface Made {
  readonly text: Promise<Text> | Buffer;
  readonly until: number;
  readonly state: string;
}

interface Deps {
  readonly clock: Clock;
  /** What clients see of a result, as JSON. */
  readonly write: (result: ExecutionResult, budget: Budget) => Buffer | Promise<Buffer>;
  /** A context for one more result: what it may take is its own. */
  readonly renewed: (args: ExecutionArgs) => Context;
}

/**
 * Subscribers of one document, with the same key and variables, share one execution and one text for each event: with
 * 1,000 of them a frame took 63 µs of CPU when each had its own, 45 of it for that.
 */
export class SharedResults {
  readonly #deps: Deps;
  readonly #groups = new WeakMap<DocumentNode, Map<string, Group>>();
  readonly #used = new WeakMap<DocumentNode, ReadonlySet<string>>();
  readonly #kept: KeptTexts;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#kept = new KeptTexts(deps.clock);
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
    const group = groups.get(key) ?? new Group(args, this.#deps, this.#kept, () => groups.delete(key));
    groups.set(key, group);
    group.join();
    return group;
  }

  /** Callers with the same key get the same result. */
  #keyOf({ document, operationName, variableValues, contextValue }: ExecutionArgs): string {
    const used = this.#used.get(document) ?? variablesBelowRoot(document, operationName);
    this.#used.set(document, used);
    const values = Object.entries(variableValues ?? {}).filter(([name]) => used.has(name));
    const { caller } = contextValue as Context;
    // The scopes as well: those of a key may change while others still follow by the former.
    return JSON.stringify([caller?.apiKey.id, [...(caller?.scopes ?? [])], operationName, values.sort()]);
  }
}

/** Undefined where there is room for a result of so many bytes, or its subscriber has left; else resolves when that may be so. */
export type RoomFor = (bytes: number) => Promise<void> | undefined;

/** Results of one subscriber: as GraphQL has them, or as their JSON texts. */
export class Results implements AsyncIterableIterator<ExecutionResult> {
  readonly #source: Source;
  readonly #group: Group;
  /** What has come and not been taken yet, from `#next` on. */
  #come: readonly object[] = [];
  #next = 0;
  #hasLeft = false;

  constructor(source: Source, group: Group) {
    this.#source = source;
    this.#group = group;
  }

  /**
   * The JSON texts of results that are there, at least one, together no more than fit in a write or one; none at the end.
   * Others get the same buffers. One that finds no room while it is being made waits for it, and is made again, once.
   * @throws HubError RATE_LIMITED
   */
  async take(roomFor: RoomFor = () => undefined): Promise<readonly Buffer[]> {
    try {
      if (this.#next === this.#come.length) {
        this.#come = await (this.#source.take ? this.#source.take() : one(this.#source));
        this.#next = 0;
      }
      if (this.#come.length === 0) this.#leave();
      const texts: Buffer[] = [];
      for (let needed = LEAST_ROOM, bytes = 0; bytes < MAX_TAKEN_BYTES && !this.#hasLeft; ) {
        const root = this.#come[this.#next];
        // Until there is room, and no longer: what another one makes meanwhile may take it.
        if (texts.length === 0) for (let wait = roomFor(needed); wait; wait = roomFor(needed)) await wait;
        if (root === undefined || this.#hasLeft) break;
        const made = this.#group.textOf(root);
        const text = made instanceof Promise ? await made : made;
        if (text === undefined) {
          if (texts.length > 0) break; // those that are made come first
          if (needed === LIMITS.answerBytes) throw noRoom();
          needed = LIMITS.answerBytes;
          continue;
        }
        needed = LEAST_ROOM;
        this.#next++;
        bytes += text.length;
        texts.push(text);
      }
      return texts;
    } catch (error) {
      this.#leave();
      void this.#source.return();
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

/** Others took it, or the rows behind the result are more than it: its subscriber resumes from its cursor. */
function noRoom(): HubError {
  return new HubError('RATE_LIMITED', 'There is no room to make this message: subscribe again after the last one.', 1);
}

async function one(source: Source): Promise<readonly object[]> {
  const { done, value } = await source.next();
  return done ? [] : [value];
}

/** Those who get the same. */
class Group {
  readonly #args: ExecutionArgs;
  readonly #deps: Deps;
  readonly #kept: KeptTexts;
  readonly #emptied: () => void;
  readonly #made = new WeakMap<object, Made>();
  #members = 0;

  constructor(args: ExecutionArgs, deps: Deps, kept: KeptTexts, emptied: () => void) {
    this.#args = args;
    this.#deps = deps;
    this.#kept = kept;
    this.#emptied = emptied;
  }

  join(): void {
    this.#members++;
  }

  leave(): void {
    if (--this.#members === 0) this.#emptied();
  }

  async execute(root: object): Promise<ExecutionResult> {
    const contextValue = this.#deps.renewed(this.#args);
    try {
      return await this.#executed(root, contextValue);
    } finally {
      contextValue.budget.unsent.release();
    }
  }

  textOf(root: object): Text | Promise<Text> {
    const now = this.#deps.clock.monotonic();
    const state = stateOf(root);
    const known = this.#made.get(root);
    if (known && known.until > now && known.state === state) return known.text;
    const keep = (text: Text): Text => {
      if (text === undefined) this.#made.delete(root);
      else {
        this.#made.set(root, { text, until: now + FRESH_MS, state });
        this.#kept.add(text.length, () => this.#made.delete(root));
      }
      return text;
    };
    const made = this.#make(root);
    if (!(made instanceof Promise)) return keep(made);
    const text = made.then(keep);
    this.#made.set(root, { text, until: now + FRESH_MS, state });
    text.catch(() => this.#made.delete(root)); // who waits for it hears of it
    return text;
  }

  #make(root: object): Text | Promise<Text> {
    const contextValue = this.#deps.renewed(this.#args);
    const { budget } = contextValue;
    const text = (result: ExecutionResult) => {
      if (budget.problem?.code === 'RATE_LIMITED') return undefined; // it is not this result that is too large
      return this.#deps.write(result, budget);
    };
    const result = this.#executed(root, contextValue);
    const made = result instanceof Promise ? result.then(text) : text(result);
    // Those who send it have charged it by the next turn: meanwhile nobody else may take its place.
    if (made instanceof Promise) return made.finally(() => setImmediate(() => budget.unsent.release()));
    budget.unsent.release();
    return made;
  }

  #executed(root: object, contextValue: Context): ExecutionResult | Promise<ExecutionResult> {
    return executeWithin({ ...this.#args, contextValue, rootValue: root });
  }
}

/** Which texts are kept: a second long, and the newest so many bytes. Roots may live for as long as the log has them in memory. */
class KeptTexts {
  readonly #clock: Clock;
  readonly #kept: { readonly bytes: number; readonly until: number; readonly forget: () => void }[] = [];
  #oldest = 0;
  #bytes = 0;
  #isSweepDue = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(bytes: number, forget: () => void): void {
    this.#kept.push({ bytes, until: this.#clock.monotonic() + FRESH_MS, forget });
    this.#bytes += bytes;
    while (this.#bytes > MAX_KEPT_BYTES) this.#forgetOldest();
    this.#sweepLater();
  }

  #forgetOldest(): void {
    const oldest = this.#kept[this.#oldest++];
    if (oldest === undefined) return;
    this.#bytes -= oldest.bytes;
    oldest.forget();
  }

  #sweepLater(): void {
    if (this.#isSweepDue) return;
    this.#isSweepDue = true;
    this.#clock.after(FRESH_MS, () => {
      this.#isSweepDue = false;
      const now = this.#clock.monotonic();
      while ((this.#kept[this.#oldest]?.until ?? Number.POSITIVE_INFINITY) <= now) this.#forgetOldest();
      this.#kept.splice(0, this.#oldest);
      this.#oldest = 0;
      if (this.#kept.length > 0) this.#sweepLater();
    });
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

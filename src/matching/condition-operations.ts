import type { MatchBudget } from './match-budget';

/*
 * How a condition is tested: a tree of operations over which the values of an event are walked. Which values meet
 * which operators is what MongoDB does, as the `sift` library has it, whose shape this keeps and against which it is
 * tested. It differs in two ways: every step is counted against a budget, and only own properties of values are seen
 * (`payload.constructor` is missing unless the payload has it).
 *
 * An operation gathers over the values of one event: `keep` says whether it is met by what it has seen, `done` that no
 * further value changes that.
 */

type Key = string | number | undefined;

/** Where a value was found. */
export interface Place {
  readonly key: Key;
  readonly owner: unknown;
  /** The path has been followed to its end. */
  readonly isLeaf: boolean;
}

export abstract class Operation {
  keep = false;
  done = false;
  /** Operations in this tree: what it takes to reset it. */
  readonly size: number = 1;

  reset(): void {
    this.keep = false;
    this.done = false;
  }

  abstract next(value: unknown, place: Place, budget: MatchBudget): void;
}

type Test = (value: unknown, budget: MatchBudget) => boolean;

/** Met by any one value that passes the test. */
export class Passes extends Operation {
  readonly #test: Test;

  constructor(test: Test) {
    super();
    this.#test = test;
  }

  next(value: unknown, { key, owner }: Place, budget: MatchBudget): void {
    budget.spend(1);
    if (Array.isArray(owner) && !Object.hasOwn(owner, key ?? '')) return;
    if (!this.#test(value, budget)) return;
    this.keep = true;
    this.done = true;
  }
}

/** Met until a value passes the test. */
export class NeverPasses extends Operation {
  readonly #test: Test;

  constructor(test: Test) {
    super();
    this.#test = test;
  }

  override reset(): void {
    this.keep = true;
    this.done = false;
  }

  next(value: unknown, { key, owner }: Place, budget: MatchBudget): void {
    budget.spend(1);
    if (isMissingArrayProperty(key, owner) || !this.#test(value, budget)) return;
    this.keep = false;
    this.done = true;
  }
}

export class IsIn extends Operation {
  readonly #test: Test;

  constructor(test: Test) {
    super();
    this.#test = test;
  }

  next(value: unknown, { key, owner }: Place, budget: MatchBudget): void {
    budget.spend(1);
    if (isMissingArrayProperty(key, owner)) return;
    this.keep = this.#test(value, budget);
    this.done = this.keep;
  }
}

export class Exists extends Operation {
  readonly #isWanted: boolean;

  constructor(isWanted: boolean) {
    super();
    this.#isWanted = isWanted;
  }

  override reset(): void {
    this.keep = !this.#isWanted;
    this.done = false;
  }

  next(value: unknown, { key, owner, isLeaf }: Place, budget: MatchBudget): void {
    budget.spend(1);
    if (!isLeaf) return;
    const isThere = owner === undefined || owner === null ? value !== undefined : Object.hasOwn(owner, key ?? '');
    if (!isThere) return;
    this.keep = this.#isWanted;
    this.done = true;
  }
}

abstract class Group extends Operation {
  protected readonly parts: readonly Operation[];
  override readonly size: number;

  constructor(parts: readonly Operation[]) {
    super();
    this.parts = parts;
    this.size = sizeOf(parts);
  }

  override reset(): void {
    super.reset();
    for (const part of this.parts) part.reset();
  }
}

/** All of its parts are met. */
export class Every extends Group {
  next(value: unknown, place: Place, budget: MatchBudget): void {
    let done = true;
    let keep = true;
    for (const part of this.parts) {
      budget.spend(1);
      if (!part.done) part.next(value, place, budget);
      if (!part.keep) keep = false;
      if (!part.done) done = false;
      else if (!part.keep) break;
    }
    this.done = done;
    this.keep = keep;
  }
}

export class Some extends Group {
  next(value: unknown, place: Place, budget: MatchBudget): void {
    this.keep = false;
    for (const part of this.parts) {
      part.next(value, place, budget);
      if (!part.keep) continue;
      this.keep = true;
      break;
    }
    this.done = this.keep;
  }
}

export class Not extends Operation {
  readonly #inner: Operation;
  override readonly size: number;

  constructor(inner: Operation) {
    super();
    this.#inner = inner;
    this.size = sizeOf([inner]);
  }

  override reset(): void {
    super.reset();
    this.#inner.reset();
  }

  next(value: unknown, place: Place, budget: MatchBudget): void {
    this.#inner.next(value, place, budget);
    this.done = this.#inner.done;
    this.keep = !this.#inner.keep;
  }
}

/** One element of an array meets all of it. */
export class ElementMatches extends Operation {
  readonly #inner: Operation;
  override readonly size: number;

  constructor(inner: Operation) {
    super();
    this.#inner = inner;
    this.size = sizeOf([inner]);
  }

  override reset(): void {
    super.reset();
    this.#inner.reset();
  }

  next(value: unknown, { owner }: Place, budget: MatchBudget): void {
    budget.spend(1);
    if (!Array.isArray(value)) {
      this.keep = false;
      this.done = false;
      return;
    }
    for (let index = 0; index < value.length && !this.keep; index++) {
      budget.spend(this.#inner.size);
      this.#inner.reset();
      this.#inner.next(value[index], { key: index, owner: value, isLeaf: true }, budget);
      this.keep = this.#inner.keep;
    }
    this.done = this.keep || !isObject(owner);
  }
}

/** All parts are met by the values at the end of a path, elements of arrays on the way included. */
export class AtPath extends Operation {
  readonly #path: readonly string[];
  /** Of each part of the path whether it may be the index of an array's element. */
  readonly #isIndex: readonly boolean[];
  readonly #all: Every;
  override readonly size: number;

  constructor(path: readonly string[], parts: readonly Operation[]) {
    super();
    this.#path = path;
    this.#isIndex = path.map((part) => !Number.isNaN(Number(part)));
    this.#all = new Every(parts);
    this.size = sizeOf(parts);
  }

  override reset(): void {
    super.reset();
    this.#all.reset();
  }

  next(value: unknown, { key, owner, isLeaf }: Place, budget: MatchBudget): void {
    this.#walk(value, 0, key, owner, isLeaf, budget);
  }

  /** Returns whether to go on. */
  #walk(value: unknown, depth: number, key: Key, owner: unknown, isLeaf: boolean, budget: MatchBudget): boolean {
    budget.spend(1);
    const isAtEnd = depth === this.#path.length;
    const part = this.#path[depth] ?? '';
    if (Array.isArray(value) && (isAtEnd || (!this.#isIndex[depth] && part !== 'length'))) {
      budget.enter();
      for (let index = 0; index < value.length; index++)
        if (!this.#walk(value[index], depth, index, value, isLeaf, budget)) {
          budget.leave();
          return false;
        }
      budget.leave();
    }
    if (isAtEnd || value === undefined || value === null) {
      this.#all.next(value, { key, owner, isLeaf: isAtEnd && (depth > 0 || isLeaf) }, budget);
      this.keep = this.#all.keep;
      this.done = this.#all.done;
      return !this.done;
    }
    return this.#walk(own(value, part), depth + 1, part, value, true, budget);
  }
}

/** `null` equals what is missing; arrays and objects by what they hold. */
export function equalTo(expected: unknown): Test {
  return (value, budget) => equals(expected, value, budget);
}

/** The texts, numbers and booleans of a list are looked up, whatever their number. */
export function oneOf(list: readonly unknown[]): Test {
  const simple = new Set(list.filter((item) => !isComposite(item) && item !== null));
  const hasNull = list.includes(null);
  const composite = list.filter(isComposite);
  // A longer text is in no list: it need not be hashed, which takes its length.
  const longest = Math.max(0, ...list.map((item) => (typeof item === 'string' ? item.length : 0)));
  return (value, budget) => {
    if (value === null || value === undefined) return hasNull;
    if (isComposite(value)) return composite.some((item) => equals(item, value, budget));
    if (typeof value !== 'string') return simple.has(value);
    if (value.length > longest) return false;
    budget.spendText(value.length);
    return simple.has(value);
  };
}

export type Comparison = '$gt' | '$gte' | '$lt' | '$lte';

/** Numbers with numbers, texts with texts. */
export function comparedWith(comparison: Comparison, bound: number | string): Test {
  return (value, budget) => {
    if (typeof value === 'number' && typeof bound === 'number') return compares(comparison, value, bound);
    if (typeof value !== 'string' || typeof bound !== 'string') return false;
    budget.spendText(Math.min(value.length, bound.length));
    return compares(comparison, value, bound);
  };
}

function compares<T extends number | string>(comparison: Comparison, value: T, bound: T): boolean {
  switch (comparison) {
    case '$gt':
      return value > bound;
    case '$gte':
      return value >= bound;
    case '$lt':
      return value < bound;
    case '$lte':
      return value <= bound;
  }
}

export function textThat(passes: (text: string) => boolean, chars: number): Test {
  return (value, budget) => {
    if (typeof value !== 'string') return false;
    budget.spendText(chars);
    return passes(value);
  };
}

function equals(expected: unknown, value: unknown, budget: MatchBudget): boolean {
  budget.spend(1);
  if (expected === null || expected === undefined) return value === null || value === undefined;
  if (typeof expected === 'string') {
    if (typeof value !== 'string' || value.length !== expected.length) return false;
    budget.spendText(value.length);
    return value === expected;
  }
  if (Array.isArray(expected))
    return Array.isArray(value) && value.length === expected.length && expected.every((item, index) => equals(item, value[index], budget));
  if (!isObject(expected)) return expected === value;
  if (!isObject(value)) return false;
  const [keys, others] = [Object.keys(expected), Object.keys(value).length];
  budget.spend(keys.length + (others >> 2));
  return others === keys.length && keys.every((key) => equals(expected[key], own(value, key), budget));
}

function own(value: unknown, key: string): unknown {
  // Text has its length and its characters; nothing else than it and objects has properties of its own.
  if (typeof value !== 'object' && typeof value !== 'string') return undefined;
  return Object.hasOwn(value as object, key) ? (value as Record<string, unknown>)[key] : undefined;
}

/** An array has no such property: that is no missing value, which would equal null. A missing element is. */
function isMissingArrayProperty(key: Key, owner: unknown): boolean {
  return Array.isArray(owner) && !Object.hasOwn(owner, key ?? '') && Number.isNaN(Number(key));
}

function isComposite(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sizeOf(parts: readonly Operation[]): number {
  return parts.reduce((sum, { size }) => sum + size, 1);
}

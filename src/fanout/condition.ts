import {
  $and,
  $elemMatch,
  $eq,
  $exists,
  $gt,
  $gte,
  $in,
  $lt,
  $lte,
  $ne,
  $nin,
  $not,
  $or,
  createEqualsOperation,
  createQueryTester,
} from 'sift';
import { shown } from '../errors';
import { isDeep } from '../json';

/** Decides whether an event is wanted. */
export type Condition = (event: { readonly type: string; readonly payload: unknown }) => boolean;

const MOST_NODES = 200;
const MOST_DEPTH = 12;
const MOST_CHARS = 16 * 1024;
const MOST_PATH_PARTS = 16;

const textTest =
  (test: (text: string, part: string) => boolean) =>
  (part: unknown, owner: Parameters<typeof $eq>[1], options: Parameters<typeof $eq>[2]) =>
    createEqualsOperation((value: unknown) => typeof value === 'string' && test(value, part as string), owner, options);

/** The whole language: sift knows more operators, some of which run code or regular expressions. */
const OPERATORS = {
  $eq,
  $ne,
  $gt,
  $gte,
  $lt,
  $lte,
  $in,
  $nin,
  $exists,
  $and,
  $or,
  $not,
  $elemMatch,
  $startsWith: textTest((text, part) => text.startsWith(part)),
  $endsWith: textTest((text, part) => text.endsWith(part)),
} as const;

type Operator = keyof typeof OPERATORS;
const NAMES = Object.keys(OPERATORS).join(' ');

/** What an operator may be given. */
const OPERANDS: Record<Operator, (operand: unknown) => string | null> = {
  $eq: anything,
  $ne: anything,
  $gt: comparable,
  $gte: comparable,
  $lt: comparable,
  $lte: comparable,
  $in: list,
  $nin: list,
  $exists: (operand) => (typeof operand === 'boolean' ? null : 'expected true or false'),
  $and: conditions,
  $or: conditions,
  $not: (operand) => (isObject(operand) ? null : 'expected a condition'),
  $elemMatch: (operand) => (isObject(operand) ? null : 'expected a condition'),
  $startsWith: (operand) => (typeof operand === 'string' ? null : 'expected a string'),
  $endsWith: (operand) => (typeof operand === 'string' ? null : 'expected a string'),
};

/**
 * Compiles a Mongo-style condition on `{ type, payload }`, such as
 * `{ "payload.total": { "$gte": 100 }, "type": { "$startsWith": "order." } }`. Tests in time that grows with the event
 * and with the condition, and nothing else: no code, no regular expressions.
 * A string is read as JSON: in a GraphQL document an object's keys can hold neither dots nor dollar signs.
 * @returns the condition, or what is wrong with the filter and where
 */
export function compileCondition(given: unknown): { readonly condition: Condition } | { readonly problem: string } {
  const filter = readFilter(given);
  const problem = sizeProblem(filter) ?? shapeProblem(filter, [], { nodes: 0, isRoot: true });
  if (problem !== null) return { problem };
  try {
    const test = createQueryTester(filter as never, { operations: OPERATORS }) as (event: unknown) => boolean;
    return { condition: test };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

/** The object that a filter is, also where it was given as JSON in a string. */
export function readFilter(given: unknown): unknown {
  if (typeof given !== 'string') return given;
  try {
    const filter: unknown = JSON.parse(given);
    return isDeep(given) ? given : filter;
  } catch {
    return given;
  }
}

function sizeProblem(filter: unknown): string | null {
  if (!isObject(filter))
    return `expected an object such as {"payload.total": {"$gte": 100}}, got ${shown(JSON.stringify(filter) ?? filter)}`;
  try {
    const chars = JSON.stringify(filter).length;
    return chars > MOST_CHARS ? `expected a condition of at most ${MOST_CHARS} characters, got ${chars}` : null;
  } catch {
    return `expected a condition of at most ${MOST_DEPTH} levels`;
  }
}

interface Walk {
  nodes: number;
  readonly isRoot: boolean;
}

/** Refuses what is not in the language, with its place, before anything is compiled. */
function shapeProblem(node: unknown, path: readonly string[], walk: Walk): string | null {
  if (path.length > MOST_DEPTH) return `${at(path)}: expected at most ${MOST_DEPTH} levels`;
  if (++walk.nodes > MOST_NODES) return `expected at most ${MOST_NODES} parts`;
  if (!isObject(node)) return null;
  const keys = Object.keys(node);
  const operators = keys.filter((key) => key.startsWith('$'));
  if (!walk.isRoot && operators.length > 0 && operators.length < keys.length)
    return `${at(path)}: expected either operators or fields, got both`;
  for (const key of keys) {
    const here = [...path, key];
    const value = node[key];
    const problem = key.startsWith('$') ? operatorProblem(key, value, here, walk) : fieldProblem(key, value, here, walk);
    if (problem !== null) return problem;
  }
  return null;
}

function operatorProblem(name: string, operand: unknown, path: readonly string[], walk: Walk): string | null {
  if (!Object.hasOwn(OPERATORS, name)) return `${at(path)}: unknown operator ${name}; expected one of ${NAMES}`;
  const problem = OPERANDS[name as Operator](operand);
  if (problem !== null) return `${at(path)}: ${problem}, got ${shown(JSON.stringify(operand))}`;
  if (name === '$and' || name === '$or') {
    for (const [index, part] of (operand as unknown[]).entries()) {
      const found = shapeProblem(part, [...path, String(index)], walk);
      if (found !== null) return found;
    }
    return null;
  }
  return name === '$not' || name === '$elemMatch' ? below(operand, path, walk, name === '$not' && walk.isRoot) : null;
}

function fieldProblem(name: string, value: unknown, path: readonly string[], walk: Walk): string | null {
  const parts = name.split('.');
  if (parts.some((part) => part === '') || parts.length > MOST_PATH_PARTS)
    return `${at(path)}: expected a dotted path of at most ${MOST_PATH_PARTS} parts, got ${shown(name)}`;
  if (walk.isRoot && parts[0] !== 'payload' && name !== 'type') return `${at(path)}: expected type or payload.…, got ${shown(name)}`;
  if (isOperators(value)) return below(value, path, walk, false);
  return ++walk.nodes > MOST_NODES ? `expected at most ${MOST_NODES} parts` : null;
}

/** `isRoot`: whether fields name parts of the event, and not of something inside it. */
function below(node: unknown, path: readonly string[], walk: Walk, isRoot: boolean): string | null {
  const inner = { nodes: walk.nodes, isRoot };
  const problem = shapeProblem(node, path, inner);
  walk.nodes = inner.nodes;
  return problem;
}

function isOperators(value: unknown): boolean {
  return isObject(value) && Object.keys(value).some((key) => key.startsWith('$'));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function anything(): null {
  return null;
}

function comparable(operand: unknown): string | null {
  return typeof operand === 'number' || typeof operand === 'string' ? null : 'expected a number or a string';
}

function list(operand: unknown): string | null {
  return Array.isArray(operand) ? null : 'expected a list';
}

function conditions(operand: unknown): string | null {
  return Array.isArray(operand) && operand.length > 0 && operand.every(isObject) ? null : 'expected a list of conditions';
}

function at(path: readonly string[]): string {
  return path.length === 0 ? 'filter' : path.join('.');
}

import { shown } from '../errors';
import { isDeep } from '../json';
import {
  AtPath,
  type Comparison,
  comparedWith,
  ElementMatches,
  Every,
  Exists,
  equalTo,
  IsIn,
  NeverPasses,
  Not,
  type Operation,
  oneOf,
  Passes,
  Some,
  textThat,
} from './condition-operations';
import { MatchBudget, OutOfBudget } from './match-budget';

export interface Matchable {
  readonly type: string;
  readonly payload: unknown;
}

/** Decides whether an event is wanted. Throws OutOfBudget when that takes more than it may. */
export type Condition = (event: Matchable, budget?: MatchBudget) => boolean;

const MAX_NODES = 200;
const MAX_DEPTH = 12;
const MAX_CHARS = 16 * 1024;
const MAX_PATH_PARTS = 16;
/** Of a value that is compared with. */
const MAX_VALUE_LEVELS = 64;

const compared = (comparison: Comparison) => (operand: unknown) => new Passes(comparedWith(comparison, operand as number | string));

/** The whole language. */
const OPERATORS = {
  $eq: (operand) => new Passes(equalTo(operand)),
  $ne: (operand) => new NeverPasses(equalTo(operand)),
  $gt: compared('$gt'),
  $gte: compared('$gte'),
  $lt: compared('$lt'),
  $lte: compared('$lte'),
  $in: (operand) => new IsIn(oneOf(operand as unknown[])),
  $nin: (operand) => new NeverPasses(oneOf(operand as unknown[])),
  $exists: (operand) => new Exists(operand as boolean),
  $and: (operand) => new Every((operand as Fields[]).map(operationOf)),
  $or: (operand) => new Some((operand as Fields[]).map(operationOf)),
  $not: (operand) => new Not(operationOf(operand as Fields)),
  $elemMatch: (operand) => new ElementMatches(operationOf(operand as Fields)),
  $startsWith: (operand) => new Passes(textThat((text) => text.startsWith(operand as string), (operand as string).length)),
  $endsWith: (operand) => new Passes(textThat((text) => text.endsWith(operand as string), (operand as string).length)),
} as const satisfies Record<string, (operand: unknown) => Operation>;

type Fields = Readonly<Record<string, unknown>>;
type Operator = keyof typeof OPERATORS;
const NAMES = Object.keys(OPERATORS).join(' ');

/** What an operator may be given. */
const OPERANDS: Record<Operator, (operand: unknown) => string | null> = {
  $eq: value,
  $ne: value,
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
 * `{ "payload.total": { "$gte": 100 }, "type": { "$startsWith": "order." } }`. No code, no regular expressions, and no
 * more work than the budget of a match allows.
 * A string is read as JSON: in a GraphQL document an object's keys can hold neither dots nor dollar signs.
 * @returns the condition, or what is wrong with the filter and where
 */
export function compileCondition(given: unknown): { readonly condition: Condition } | { readonly problem: string } {
  const filter = readFilter(given);
  const problem = sizeProblem(filter) ?? shapeProblem(filter, [], { nodes: 0, isRoot: true, isOfField: false });
  if (problem !== null) return { problem };
  const operation = operationOf(filter as Fields);
  return {
    condition(event, budget = new MatchBudget()) {
      budget.spend(operation.size);
      operation.reset();
      // Own properties, as conditions see no others; the payload may yet have to be parsed.
      const root = {
        type: event.type,
        get payload() {
          return event.payload;
        },
      };
      operation.next(root, { key: undefined, owner: undefined, isLeaf: true }, budget);
      return operation.keep;
    },
  };
}

/** Whether an event meets a condition; null where the budget of a match does not suffice to tell. */
export function meets(condition: Condition, event: Matchable, budget = new MatchBudget()): boolean | null {
  try {
    return condition(event, budget);
  } catch (error) {
    if (error instanceof OutOfBudget) return null;
    throw error;
  }
}

/** Fields and operators of one level. */
function operationOf(filter: Fields): Operation {
  const own: Operation[] = [];
  const parts: Operation[] = [];
  for (const [name, value] of Object.entries(filter)) {
    if (name.startsWith('$')) own.push(operatorOf(name, value));
    else
      parts.push(
        new AtPath(
          name.split('.'),
          isOperators(value) ? Object.entries(value).map(([key, operand]) => operatorOf(key, operand)) : [new Passes(equalTo(value))],
        ),
      );
  }
  if (own.length > 0) parts.unshift(new AtPath([], own));
  const [only] = parts;
  return only && parts.length === 1 ? only : new Every(parts);
}

function operatorOf(name: string, operand: unknown): Operation {
  return OPERATORS[name as Operator](operand);
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
    return chars > MAX_CHARS ? `expected a condition of at most ${MAX_CHARS} characters, got ${chars}` : null;
  } catch {
    return `expected a condition of at most ${MAX_DEPTH} levels`;
  }
}

interface Walk {
  nodes: number;
  /** Fields name parts of the event, and not of something inside it. */
  readonly isRoot: boolean;
  /** The operators of a field. */
  readonly isOfField: boolean;
}

/** Refuses what is not in the language, with its place, before anything is compiled. */
function shapeProblem(node: unknown, path: readonly string[], walk: Walk): string | null {
  if (path.length > MAX_DEPTH) return `${at(path)}: expected at most ${MAX_DEPTH} levels`;
  if (++walk.nodes > MAX_NODES) return `expected at most ${MAX_NODES} parts`;
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
  if (walk.isOfField && (name === '$and' || name === '$or')) return `${at(path)}: expected it around fields, not within one`;
  if (name === '$and' || name === '$or') {
    for (const [index, part] of (operand as unknown[]).entries()) {
      const found = shapeProblem(part, [...path, String(index)], walk);
      if (found !== null) return found;
    }
    return null;
  }
  return name === '$not' || name === '$elemMatch'
    ? below(operand, path, walk, { isRoot: name === '$not' && walk.isRoot, isOfField: false })
    : null;
}

function fieldProblem(name: string, value: unknown, path: readonly string[], walk: Walk): string | null {
  const parts = name.split('.');
  if (parts.some((part) => part === '') || parts.length > MAX_PATH_PARTS)
    return `${at(path)}: expected a dotted path of at most ${MAX_PATH_PARTS} parts, got ${shown(name)}`;
  if (walk.isRoot && parts[0] !== 'payload' && name !== 'type') return `${at(path)}: expected type or payload.…, got ${shown(name)}`;
  if (isOperators(value)) return below(value, path, walk, { isRoot: false, isOfField: true });
  if (hasMoreLevels(value, MAX_VALUE_LEVELS)) return `${at(path)}: expected a value of at most ${MAX_VALUE_LEVELS} levels`;
  return ++walk.nodes > MAX_NODES ? `expected at most ${MAX_NODES} parts` : null;
}

function below(node: unknown, path: readonly string[], walk: Walk, inside: Pick<Walk, 'isRoot' | 'isOfField'>): string | null {
  const inner = { nodes: walk.nodes, ...inside };
  const problem = shapeProblem(node, path, inner);
  walk.nodes = inner.nodes;
  return problem;
}

function isOperators(value: unknown): value is Fields {
  return isObject(value) && Object.keys(value).some((key) => key.startsWith('$'));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function value(operand: unknown): string | null {
  return hasMoreLevels(operand, MAX_VALUE_LEVELS) ? `expected a value of at most ${MAX_VALUE_LEVELS} levels` : null;
}

function hasMoreLevels(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => hasMoreLevels(part, levels - 1));
}

function comparable(operand: unknown): string | null {
  return typeof operand === 'number' || typeof operand === 'string' ? null : 'expected a number or a string';
}

function list(operand: unknown): string | null {
  if (!Array.isArray(operand)) return 'expected a list';
  if (hasMoreLevels(operand, MAX_VALUE_LEVELS)) return `expected values of at most ${MAX_VALUE_LEVELS} levels`;
  return operand.some(isOperators) ? 'expected a list of values, not of conditions' : null;
}

function conditions(operand: unknown): string | null {
  return Array.isArray(operand) && operand.length > 0 && operand.every(isObject) ? null : 'expected a list of conditions';
}

function at(path: readonly string[]): string {
  return path.length === 0 ? 'filter' : path.join('.');
}

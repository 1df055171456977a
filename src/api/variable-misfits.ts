import {
  GraphQLError,
  type GraphQLInputField,
  type GraphQLInputObjectType,
  type GraphQLInputType,
  type GraphQLSchema,
  isInputObjectType,
  isListType,
  isNonNullType,
  isRequiredInputField,
  type OperationDefinitionNode,
  typeFromAST,
} from 'graphql';
import { Oversized, Unparsed } from '../json-source';

/** Of a value that GraphQL may quote: values within it, and hundreds of characters. */
const MAX_QUOTED_UNITS = 1_000;
const CHARS_PER_UNIT = 100;
/** In fewer characters of JSON there is no large value: each has one, and a comma or a bracket. */
export const MIN_CHARS_WITH_LARGE = 2 * MAX_QUOTED_UNITS;

interface Misfit {
  /** From the value that was looked at. */
  readonly path: string;
  readonly problem: string;
}

type Check = (value: object) => Misfit | undefined;

/**
 * The first value in the variables that does not fit its type and is large. GraphQL writes down up to 50 errors, each
 * with the whole value that it is about: 200,000 fields that there are not took it 15 s. Those that are small are left to it.
 */
export function largeMisfit(
  schema: GraphQLSchema,
  { variableDefinitions = [] }: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): GraphQLError | undefined {
  for (const definition of variableDefinitions) {
    const name = definition.variable.name.value;
    const value = Object.hasOwn(variables, name) ? variables[name] : null;
    if (typeof value !== 'object' || value === null) continue;
    const type = typeFromAST(schema, definition.type as never) as GraphQLInputType | undefined;
    const found = type && checkOf(type)(value);
    if (!found) continue;
    return new GraphQLError(`Variable "$${name}" got an invalid value at "${name}${found.path}": ${found.problem}.`, { nodes: definition });
  }
  return undefined;
}

/** Made once a type: asking GraphQL's types what they are takes longer than the rest of it. */
const checks = new WeakMap<GraphQLInputType, Check>();

function checkOf(type: GraphQLInputType): Check {
  const check = checks.get(type) ?? makeCheck(type);
  checks.set(type, check);
  return check;
}

function makeCheck(type: GraphQLInputType): Check {
  if (isNonNullType(type)) return checkOf(type.ofType);
  if (isListType(type)) return checkOfList(checkOf(type.ofType));
  if (isInputObjectType(type)) return checkOfObject(type);
  if (type.name === 'JSON') return () => undefined;
  return (value) =>
    isLarge(value)
      ? { path: '', problem: `expected ${type.name}, got a ${Array.isArray(value) ? 'long list' : 'large object'}` }
      : undefined;
}

function checkOfList(check: Check): Check {
  return (value) => {
    if (!Array.isArray(value)) return check(value);
    for (let index = 0; index < value.length; index++) {
      const item: unknown = value[index];
      const found = typeof item === 'object' && item !== null ? check(item) : undefined;
      if (found) return { ...found, path: `[${index}]${found.path}` };
    }
    return undefined;
  };
}

function checkOfObject(type: GraphQLInputObjectType): Check {
  const fields = new Map(Object.entries(type.getFields()));
  const required = [...fields.values()].filter(isRequiredInputField).map(({ name }) => name);
  // Made when first met: a type may be a part of itself.
  const inner = new Map<string, Check>();
  const innerCheck = (name: string, field: GraphQLInputField) => {
    const check = inner.get(name) ?? checkOf(field.type);
    inner.set(name, check);
    return check;
  };
  return (value) => {
    for (const name in value) {
      const field = fields.get(name);
      if (!field && isLarge(value)) return { path: '', problem: `${type.name} has no field "${name.slice(0, CHARS_PER_UNIT)}"` };
      const part: unknown = value[name as keyof typeof value];
      const found = field && typeof part === 'object' && part !== null ? innerCheck(name, field)(part) : undefined;
      if (found) return { ...found, path: `.${name}${found.path}` };
    }
    const missing = required.find((name) => value[name as keyof typeof value] === undefined);
    if (missing === undefined || !isLarge(value)) return undefined;
    return { path: '', problem: `the field "${missing}" of ${type.name} is missing` };
  };
}

function isLarge(value: unknown): boolean {
  let left = MAX_QUOTED_UNITS;
  const count = (part: unknown): boolean => {
    left -= typeof part === 'string' ? 1 + part.length / CHARS_PER_UNIT : 1;
    if (left < 0) return true;
    if (typeof part !== 'object' || part === null) return false;
    if (part instanceof Unparsed || part instanceof Oversized) return true; // nobody knows without parsing it
    if (Array.isArray(part)) return part.some(count);
    // Not `Object.entries`: of 200,000 names it makes as many pairs first, in 370 ms.
    for (const name in part) if (count(name) || count(part[name as keyof typeof part])) return true;
    return false;
  };
  return count(value);
}

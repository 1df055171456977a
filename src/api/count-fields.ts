import {
  defaultFieldResolver,
  type GraphQLField,
  type GraphQLFieldResolver,
  type GraphQLNamedType,
  type GraphQLOutputType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isLeafType,
  isListType,
  isObjectType,
} from 'graphql';
import { Event } from '../events/event';
import type { Budget } from './budget';
import type { Context } from './context';

type Resolve = GraphQLFieldResolver<unknown, Context>;
/** Counts a value for the answer, which may be something else afterwards. */
type Count = (budget: Budget, value: unknown) => unknown;

/** Most scalars are shorter than this. */
const SCALAR_BYTES = 8;
/** Longer texts are measured in bytes as they will be in JSON. */
const LEAST_MEASURED_CHARS = 256;
/** Texts of other fields are bounded where they are stored. */
const LARGE_FIELDS: ReadonlySet<string> = new Set([
  'payload',
  'payloadText',
  'get',
  'requestBody',
  'responseBody',
  'curl',
  'body',
  'schema',
  'examples',
  'filter',
]);

/**
 * Lets every field of the schema count what it adds to the answer of its operation, and stops resolving where the
 * operation has passed its budget. The fields of introspection are GraphQL's own and stay as they are.
 */
export function countFields(schema: GraphQLSchema): void {
  const mutation = schema.getMutationType();
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('__')) continue;
    for (const field of Object.values(type.getFields()))
      field.resolve = counted(field, type === mutation) as GraphQLFieldResolver<unknown, unknown>;
  }
}

function counted({ name, type, resolve: given }: GraphQLField<unknown, Context>, isMutation: boolean): Resolve {
  const resolve: Resolve = given ?? defaultFieldResolver;
  const isLarge = LARGE_FIELDS.has(name) || isMutation || !isSmall(type);
  const count = counterOf(type, isLarge);
  return (source, args, context, info) => {
    const { budget } = context;
    // A payload query has none: what it makes is weighed where it is made.
    if (budget === undefined) return resolve(source, args, context, info);
    if (!budget.field(info.path.key, isLarge)) return refused(budget);
    if (isPayload(name, source))
      return budget.bytes(textBytes(source.payloadText)) ? resolve(source, args, context, info) : refused(budget);
    const value = resolve(source, args, context, info);
    return value instanceof Promise ? value.then((settled) => count(budget, settled)) : count(budget, value);
  };
}

/** Whether it stays in the answer of a mutation that has passed its budget: what it did, and what was wrong. */
function isSmall(type: GraphQLOutputType): boolean {
  return isLeafType(getNamedType(type)) || getNamedType(type).name === 'UserError';
}

/** Null, which costs nothing; in a mutation an error as well. */
function refused(budget: Budget): null {
  const problem = budget.isMutation ? budget.refusal() : undefined;
  if (problem) throw problem;
  return null;
}

function counterOf(type: GraphQLOutputType, isLarge: boolean): Count {
  const nullable = getNullableType(type);
  if (isListType(nullable)) return isLeafType(getNamedType(nullable)) ? leaves(isLarge) : entries(isRow(getNamedType(nullable)));
  return isLeafType(nullable) ? leaf(isLarge) : (_budget, value) => value;
}

/** Rows of the database; a header of an attempt is none. */
function isRow(type: GraphQLNamedType): boolean {
  return isObjectType(type) && (type.name.endsWith('Edge') || type.getInterfaces().some(({ name }) => name === 'Node'));
}

const entries =
  (areRows: boolean): Count =>
  (budget, value) => {
    if (!Array.isArray(value)) return value;
    return budget.rows(areRows ? value.length : 0) || budget.isMutation ? budget.sliced(value) : [];
  };

const leaf =
  (isLarge: boolean): Count =>
  (budget, value) =>
    budget.bytes(bytesOf(value), isLarge) ? value : refused(budget);

const leaves =
  (isLarge: boolean): Count =>
  (budget, value) => {
    if (!Array.isArray(value)) return value;
    let bytes = 0;
    for (const one of value) bytes += bytesOf(one) + 1;
    return budget.bytes(bytes, isLarge) ? value : refused(budget);
  };

/** Counted before it is parsed: its text is as long as it will be in the answer, or about so. */
function isPayload(name: string, source: unknown): source is Event {
  return (name === 'payload' || name === 'payloadText') && source instanceof Event;
}

function bytesOf(value: unknown): number {
  if (typeof value === 'string') return value.length < LEAST_MEASURED_CHARS ? value.length : jsonBytes(value);
  if (typeof value !== 'object' || value === null) return SCALAR_BYTES;
  return value instanceof Date ? 3 * SCALAR_BYTES : objectBytes(value);
}

function textBytes(text: string): number {
  return text.length < LEAST_MEASURED_CHARS ? text.length : Buffer.byteLength(text);
}

/** A part of a payload may stand in an answer fifty times. */
const measured = new WeakMap<object, number>();

function objectBytes(value: object): number {
  const known = measured.get(value);
  if (known !== undefined) return known;
  const bytes = jsonBytes(value);
  measured.set(value, bytes);
  return bytes;
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? '');
}

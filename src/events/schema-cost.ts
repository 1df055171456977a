import { RE2JS } from 're2js';

/**
 * What checking a payload against a schema can cost at most, in units a character of the payload (a unit is about 5 ns);
 * or null where that has no bound worth the name: the schema is recursive, or large, or has a heavy pattern.
 */
export type CostPerChar = number | null;

/** Compiling takes about 4 ms a kilobyte, and more than its share for large schemas. */
const MAX_INLINE_SCHEMA_CHARS = 8 * 1024;
/** Subschemas, counted once for each way that leads to them. */
const MAX_SUBSCHEMAS = 2_000;
const MAX_PATTERN_CHARS = 200;
/** In a pattern, `{n}` with n of at most two digits: `([a-z]?){900}$` takes 12 ms to compile and 0.1 ms a character to run. */
const LONG_REPETITION = /\{\d*,?\d{3,}/;

/** RE2 takes up to 58 ns a character for each instruction of a pattern. */
const PATTERN_UNITS = 12;
/** The slowest of them takes half a microsecond a character; longer texts than `MAX_INLINE_FORMAT_CHARS` are checked elsewhere. */
const FORMAT_UNITS = 100;
export const MAX_INLINE_FORMAT_CHARS = 2_048;
/** Quadratic even in short texts, or itself a compiler. */
const HEAVY_FORMATS: ReadonlySet<unknown> = new Set(['url', 'regex']);
/** A text of what is compared is made, a level at a time. */
const UNIQUE_UNITS = 30;

/** They make of a schema something that cannot be judged by looking at it. */
const OBSCURE = ['$id', '$anchor', '$dynamicRef', '$dynamicAnchor', '$recursiveRef', '$recursiveAnchor'];

/** Applied to the same value as the schema that holds them, each beside the others. */
const IN_PLACE = ['not', 'if', 'then', 'else'];
const IN_PLACE_LISTS = ['allOf', 'anyOf', 'oneOf'];
/** Applied to parts of the value, each beside the others. */
const TO_PARTS = ['additionalProperties', 'unevaluatedProperties', 'propertyNames', 'items', 'contains', 'unevaluatedItems'];

class Unbounded extends Error {}

interface Cost {
  /** At the value itself. */
  readonly here: number;
  /** At the costliest of its parts, or of theirs. */
  readonly below: number;
  /** Of keywords that look at everything below, added up. */
  readonly throughout: number;
}

const NOTHING: Cost = { here: 1, below: 0, throughout: 0 };

export function costPerChar(schema: object, text: string): CostPerChar {
  if (text.length > MAX_INLINE_SCHEMA_CHARS) return null;
  try {
    const { here, below, throughout } = new Estimate(schema).of(schema, true);
    return Math.max(here, below) + throughout;
  } catch (error) {
    if (error instanceof Unbounded) return null;
    throw error;
  }
}

class Estimate {
  readonly #root: object;
  /** References that are being followed: one that comes again is recursive. */
  readonly #following = new Set<string>();
  #subschemas = 0;

  constructor(root: object) {
    this.#root = root;
  }

  of(schema: unknown, isRoot = false): Cost {
    if (++this.#subschemas > MAX_SUBSCHEMAS) throw new Unbounded();
    if (!isObject(schema)) return NOTHING;
    for (const keyword of OBSCURE) if (keyword in schema && !(isRoot && keyword === '$id')) throw new Unbounded();
    const beside = [
      ...IN_PLACE.map((keyword) => schema[keyword]),
      ...IN_PLACE_LISTS.flatMap((keyword) => listOf(schema[keyword])),
      ...valuesOf(schema.dependentSchemas),
      ...valuesOf(schema.dependencies),
    ].filter((inner) => inner !== undefined);
    const inPlace = beside.map((inner) => this.of(inner));
    if ('$ref' in schema) inPlace.push(this.#referred(schema.$ref));
    const parts = this.#parts(schema);
    return {
      here: ownUnits(schema) + sum(inPlace, ({ here }) => here),
      below: parts.below + sum(inPlace, ({ below }) => below),
      throughout: parts.throughout + (schema.uniqueItems === true ? UNIQUE_UNITS : 0) + sum(inPlace, ({ throughout }) => throughout),
    };
  }

  /** Of the named properties each value meets one; of the rest all that there are. */
  #parts(schema: Record<string, unknown>): { below: number; throughout: number } {
    const named = [...valuesOf(schema.properties), ...listOf(schema.prefixItems)].map((inner) => this.of(inner));
    const others = [
      ...TO_PARTS.filter((keyword) => keyword in schema).map((keyword) => schema[keyword]),
      ...valuesOf(schema.patternProperties),
    ].map((inner) => this.of(inner));
    const whole = ({ here, below }: Cost) => Math.max(here, below);
    return {
      below: named.reduce((most, cost) => Math.max(most, whole(cost)), 0) + sum(others, whole),
      throughout: sum([...named, ...others], ({ throughout }) => throughout),
    };
  }

  #referred(reference: unknown): Cost {
    if (typeof reference !== 'string' || !/^#(\/|$)/.test(reference) || this.#following.has(reference)) throw new Unbounded();
    this.#following.add(reference);
    const cost = this.of(at(this.#root, reference), reference === '#');
    this.#following.delete(reference);
    return cost;
  }
}

/** What the keywords of one schema cost at a value that they look at. */
function ownUnits(schema: Record<string, unknown>): number {
  let units = 1;
  for (const [keyword, value] of Object.entries(schema)) {
    units += 1;
    if (keyword === 'enum' || keyword === 'const') units += nodesOf(value);
    else if (keyword === 'required' || keyword === 'properties' || keyword === 'dependentSchemas') units += sizeOf(value);
    else if (keyword === 'dependentRequired' || keyword === 'dependencies') units += nodesOf(value);
    else if (keyword === 'pattern') units += patternUnits(value);
    else if (keyword === 'patternProperties')
      for (const pattern of Object.keys(isObject(value) ? value : {})) units += patternUnits(pattern);
    else if (keyword === 'format') {
      if (HEAVY_FORMATS.has(value)) throw new Unbounded();
      units += FORMAT_UNITS;
    }
  }
  return units;
}

function patternUnits(pattern: unknown): number {
  if (typeof pattern !== 'string') return 0;
  if (pattern.length > MAX_PATTERN_CHARS || LONG_REPETITION.test(pattern) || pattern.split('{').length > 12) throw new Unbounded();
  try {
    return PATTERN_UNITS * RE2JS.compile(pattern).programSize();
  } catch {
    return 0; // compiling the schema will say what is wrong with it
  }
}

/** What a JSON pointer like `#/$defs/money` leads to. */
function at(root: unknown, reference: string): unknown {
  let found = root;
  for (const part of reference.split('/').slice(1)) {
    const name = decoded(part).replaceAll('~1', '/').replaceAll('~0', '~');
    found = typeof found === 'object' && found !== null && Object.hasOwn(found, name) ? found[name as keyof typeof found] : undefined;
  }
  return found;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function nodesOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce<number>((nodes, inner) => nodes + nodesOf(inner), 1);
}

function sizeOf(value: unknown): number {
  return typeof value === 'object' && value !== null ? Object.keys(value).length : 0;
}

function valuesOf(value: unknown): unknown[] {
  return isObject(value) ? Object.values(value) : [];
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sum(costs: readonly Cost[], of: (cost: Cost) => number): number {
  return costs.reduce((total, cost) => total + of(cost), 0);
}

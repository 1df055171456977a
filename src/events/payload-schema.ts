import type { AnySchemaObject, CodeOptions } from 'ajv';
import Ajv2020, { type Options, type ValidateFunction } from 'ajv/dist/2020';
import addFormats from 'ajv-formats';
import { fullFormats } from 'ajv-formats/dist/formats';
import { RE2JS } from 're2js';
import { shown } from '../errors';
import { MAX_INLINE_FORMAT_CHARS } from './schema-cost';

const MAX_SCHEMA_CHARS = 64 * 1024;
const MAX_SCHEMA_DEPTH = 50;

/** Where and how a payload breaks its schema. */
export interface SchemaViolation {
  /** Path into the payload. */
  readonly path: readonly string[];
  readonly message: string;
}

/** Checks payloads: null when one is as it has to be. */
export type PayloadCheck = (payload: unknown) => SchemaViolation | null;

export type Compiled = { readonly check: PayloadCheck } | { readonly problem: string };

/** A check that was left off, since it is not for the event loop. */
export class TooLongHere extends Error {}

/** What can be said of a schema before it is compiled; null: nothing is wrong with it. */
export function shapeProblem(schema: unknown): string | null {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema))
    return `expected a JSON Schema, an object, got ${shown(schema)}`;
  if (isDeeper(schema, MAX_SCHEMA_DEPTH)) return `expected a schema of at most ${MAX_SCHEMA_DEPTH} levels`;
  const text = JSON.stringify(schema);
  if (text.length > MAX_SCHEMA_CHARS) return `expected a schema of at most ${MAX_SCHEMA_CHARS} characters, got ${text.length}`;
  const dialect = (schema as { $schema?: unknown }).$schema;
  if (dialect !== undefined && !(typeof dialect === 'string' && /^https?:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/.test(dialect)))
    return `expected draft 2020-12, got ${shown(dialect)}`;
  return /"\$async"\s*:/.test(text) ? 'expected a schema without $async' : null;
}

/**
 * Compiles a JSON Schema, draft 2020-12. Schemas come from clients, so `pattern`s run on RE2, in time linear in the text
 * (`^(a+)+$` would hang a backtracking engine), `uniqueItems` in time linear in the items, `$ref`s lead nowhere outside,
 * and nothing is asynchronous. What recursion makes of it has no bound all the same: only for where it can be ended.
 * @returns the check, or what is wrong with the schema
 */
export function compileSchema(schema: unknown): Compiled {
  const problem = shapeProblem(schema);
  if (problem !== null) return { problem };
  // An instance for each schema: their `$id`s must not meet, least of all those of two applications.
  return compileWith(makeAjv(), { $id: ROOT_ID, ...(schema as object) });
}

/** Made when first used: its own schemas take 30 ms to compile, an ordinary one then takes 1. */
let inlineAjv: Ajv2020 | undefined;

/**
 * As `compileSchema`, on one instance for all: for schemas whose cost is bounded, which have no `$id`s that could meet.
 * The check throws TooLongHere for texts with formats that are too long for the event loop.
 */
export function compileInline(schema: object): Compiled {
  if (inlineAjv === undefined) {
    inlineAjv = makeAjv();
    limitFormats(inlineAjv);
  }
  const named = { ...schema, $id: ROOT_ID };
  try {
    return compileWith(inlineAjv, named);
  } finally {
    inlineAjv.removeSchema(named); // it would be kept for ever
  }
}

/** `$ref: "#"` needs a name to refer to. */
const ROOT_ID = 'livehook:schema';

function compileWith(ajv: Ajv2020, schema: AnySchemaObject): Compiled {
  try {
    const validate = ajv.compile(schema);
    return { check: (payload) => (validate(payload) ? null : violationOf(validate)) };
  } catch (error) {
    return { problem: `expected a JSON Schema of draft 2020-12: ${(error as Error).message.replaceAll(ROOT_ID, '').slice(0, 300)}` };
  }
}

function makeAjv(): Ajv2020 {
  // Optimizing takes as long again as compiling, and makes no difference to how fast checks run.
  const options: Options = {
    strict: false,
    allErrors: false,
    validateFormats: true,
    addUsedSchema: false,
    inlineRefs: false, // what many references lead to would be compiled as many times
    code: { regExp: linearRegExp, optimize: false },
  };
  const ajv = new Ajv2020(options);
  addFormats(ajv);
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    compile: (isWanted: boolean) => (isWanted ? haveNoDuplicates : () => true),
    error: { message: 'must NOT have duplicate items' },
  });
  return ajv;
}

function limitFormats(ajv: Ajv2020): void {
  for (const [name, format] of Object.entries(fullFormats)) {
    const test = typeof format === 'object' && !(format instanceof RegExp) && 'validate' in format ? format.validate : format;
    if (typeof format === 'object' && !(format instanceof RegExp) && format.type === 'number') continue;
    ajv.addFormat(name, (text: string) => {
      if (text.length > MAX_INLINE_FORMAT_CHARS) throw new TooLongHere();
      if (test instanceof RegExp) return test.test(text);
      return typeof test === 'function' ? (test as (text: string) => boolean)(text) : true;
    });
  }
}

/** Ajv compares each item with each: 46 s for 150,000 numbers. */
function haveNoDuplicates(items: readonly unknown[]): boolean {
  const scalars = new Set<unknown>();
  const texts = new Set<string>();
  for (const item of items) {
    if (typeof item === 'object' && item !== null) texts.add(canonical(item));
    else scalars.add(item);
  }
  return scalars.size + texts.size === items.length;
}

/** The same text for values that are equal, whatever the order of their names. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value === 0 ? 0 : value);
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name as keyof typeof value])}`).join()}}`;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

function violationOf({ errors }: ValidateFunction): SchemaViolation {
  const [error] = errors ?? [];
  const path = (error?.instancePath ?? '')
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return { path, message: error?.message ?? 'does not fit the schema of its event type' };
}

/** What Ajv asks of a regular expression engine. It tells patterns apart by their text. */
const linearRegExp = Object.assign(
  (pattern: string) => {
    const compiled = RE2JS.compile(pattern);
    return { test: (text: string) => compiled.matcher(text).find(), toString: () => pattern };
  },
  { code: 'linearRegExp' },
) as unknown as NonNullable<CodeOptions['regExp']>;

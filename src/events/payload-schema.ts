import type { CodeOptions } from 'ajv';
import Ajv2020, { type ValidateFunction } from 'ajv/dist/2020';
import addFormats from 'ajv-formats';
import { RE2JS } from 're2js';
import { shown } from '../errors';

const MOST_SCHEMA_CHARS = 64 * 1024;
const MOST_SCHEMA_DEPTH = 50;

/** Where and how a payload breaks its schema. */
export interface SchemaViolation {
  /** Path into the payload. */
  readonly path: readonly string[];
  readonly message: string;
}

/** Checks payloads: null when one is as it has to be. */
export type PayloadCheck = (payload: unknown) => SchemaViolation | null;

/**
 * Compiles a JSON Schema, draft 2020-12. Schemas come from clients, so `pattern`s run on RE2, in time linear in the text
 * (`^(a+)+$` would hang a backtracking engine), `$ref`s lead nowhere outside, and nothing is asynchronous.
 * @returns the check, or what is wrong with the schema
 */
export function compileSchema(schema: unknown): { readonly check: PayloadCheck } | { readonly problem: string } {
  const problem = shapeProblem(schema);
  if (problem !== null) return { problem };
  // An instance for each schema: their `$id`s must not meet, least of all those of two applications.
  const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true, addUsedSchema: false, code: { regExp: linearRegExp } });
  addFormats(ajv);
  try {
    const validate = ajv.compile(schema as object);
    return { check: (payload) => (validate(payload) ? null : violationOf(validate)) };
  } catch (error) {
    return { problem: `expected a JSON Schema of draft 2020-12: ${(error as Error).message.slice(0, 300)}` };
  }
}

function shapeProblem(schema: unknown): string | null {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema))
    return `expected a JSON Schema, an object, got ${shown(schema)}`;
  if (isDeeper(schema, MOST_SCHEMA_DEPTH)) return `expected a schema of at most ${MOST_SCHEMA_DEPTH} levels`;
  const text = JSON.stringify(schema);
  if (text.length > MOST_SCHEMA_CHARS) return `expected a schema of at most ${MOST_SCHEMA_CHARS} characters, got ${text.length}`;
  const dialect = (schema as { $schema?: unknown }).$schema;
  if (dialect !== undefined && !/^https?:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/.test(String(dialect)))
    return `expected draft 2020-12, got ${shown(dialect)}`;
  return /"\$async"\s*:/.test(text) ? 'expected a schema without $async' : null;
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

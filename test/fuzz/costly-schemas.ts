import fc from 'fast-check';
import { type JsonRecipe, jsonRecipes, jsonText, keysOf, largeSizes, NAMES, sizes } from './costly-values';

const PATTERNS = [
  '^(a+)+$',
  '([a-z]?){900}$',
  '(((a{10}){10}){10}|b{999})*',
  '(.*a){20}',
  '^(([a-z])+.)+[A-Z]([a-z])+$',
  '\\w{1,500}!',
  '(?i)é+',
  '.',
];
const FORMATS = [
  'date',
  'date-time',
  'email',
  'uri',
  'url',
  'regex',
  'uuid',
  'ipv6',
  'hostname',
  'iri',
  'json-pointer',
  'byte',
  'duration',
];
const REFERENCES = ['#', '#/$defs/a', '#/$defs/next', '#/properties/a', '#a', '#/$defs/missing'];

type Schema = boolean | Readonly<Record<string, unknown>>;

/** A list of `count` schemas, all the same, or a number of values: written out when it is sent. */
interface Repeated {
  readonly $times: number;
  readonly $of: unknown;
}

const repeated = (of: fc.Arbitrary<unknown>, most: number): fc.Arbitrary<Repeated> =>
  fc.record({ $times: sizes(most), $of: of }).map(({ $times, $of }) => ({ $times: Math.max(1, $times), $of }));

/** Schemas out of the keywords that can take long; `Repeated` and JSON recipes within are written out by `schemaText`. */
const schemaRecipes: fc.Arbitrary<unknown> = fc.letrec<{ root: unknown; schema: unknown; keywords: object }>((tie) => {
  const schema = tie('schema');
  const named = fc.dictionary(fc.constantFrom(...NAMES), schema, { maxKeys: 2 });
  const some = (keywords: Record<string, fc.Arbitrary<unknown>>) => fc.record(keywords, { requiredKeys: [] });
  const json = jsonRecipes.map((recipe) => ({ $json: recipe }));
  return {
    root: fc.array(tie('keywords'), { minLength: 1, maxLength: 3 }).map((groups) => Object.assign({}, ...groups)),
    schema: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.constantFrom<Schema>({ $ref: '#' }, true, false, { $dynamicRef: '#a' }, { type: 'string' }, { type: 'object' }),
      tie('keywords'),
    ),
    keywords: fc.oneof(
      some({ anyOf: repeated(schema, 30), oneOf: repeated(schema, 30), allOf: repeated(schema, 30) }),
      some({ properties: named, additionalProperties: schema, required: fc.subarray(NAMES) }),
      some({
        items: schema,
        uniqueItems: fc.boolean(),
        contains: schema,
        minContains: sizes(100_000),
        prefixItems: repeated(schema, 100),
      }),
      some({ not: schema, if: schema, else: schema }),
      some({ enum: json, const: json }),
      some({
        pattern: fc.constantFrom(...PATTERNS),
        format: fc.constantFrom(...FORMATS),
        minLength: sizes(1_000_000),
        multipleOf: fc.constantFrom(1, 0.1, 5e-324),
      }),
      some({
        patternProperties: fc.dictionary(fc.constantFrom(...PATTERNS), schema, { maxKeys: 3 }),
        propertyNames: schema,
        unevaluatedProperties: schema,
        unevaluatedItems: schema,
        dependentSchemas: named,
      }),
      some({
        $ref: fc.constantFrom(...REFERENCES),
        $dynamicRef: fc.constantFrom('#a', '#'),
        $dynamicAnchor: fc.constantFrom('a', 'b'),
        $id: fc.constantFrom('https://example.com/a', '#a', 'a'),
        $defs: named,
      }),
    ),
  };
}).root;

export interface Checked {
  readonly schema: unknown;
  readonly payload: JsonRecipe;
}

const times = largeSizes(150_000);
const heavy = fc.constantFrom(...PATTERNS);
const letters = largeSizes(500_000).map((count): JsonRecipe => ({ is: 'long', piece: 'a', times: count, end: '!' }));
const names = times.map((count): JsonRecipe => ({ is: 'keys', times: count, name: 'p', of: { is: 'text', text: '1' } }));
const numbers = fc
  .tuple(times, fc.constantFrom('number', 'text', 'object', 'list'))
  .map(([count, as]): JsonRecipe => ({ is: 'distinct', times: count, as }));
const values = (recipe: JsonRecipe) => ({ $json: recipe });

/** Keywords with a payload that they look at for as long as can be. */
const aimed: fc.Arbitrary<Checked> = fc.oneof(
  fc.record({ schema: heavy.map((pattern) => ({ pattern })), payload: letters }),
  fc.record({ schema: fc.constantFrom(...FORMATS).map((format) => ({ format })), payload: letters }),
  fc.record({ schema: heavy.map((pattern) => ({ propertyNames: { pattern } })), payload: names }),
  fc.record({ schema: heavy.map((pattern) => ({ patternProperties: { [pattern]: true } })), payload: names }),
  fc.record({ schema: fc.constant({ uniqueItems: true }), payload: numbers }),
  fc.record({ schema: numbers.map((recipe) => ({ items: { enum: values(recipe) } })), payload: numbers }),
  fc.record({ schema: fc.record({ contains: fc.constant({ const: 0.5 }), minContains: times }), payload: numbers }),
  fc.record({
    schema: fc.record({ $times: sizes(6), combined: fc.constantFrom('anyOf', 'oneOf', 'allOf'), more: tiny() }).map(recursive),
    payload: largeSizes(60).map(
      (levels): JsonRecipe => ({ is: 'deep', times: levels, key: 'next', of: { is: 'text', text: '{"end":1}' } }),
    ),
  }),
);

const twice = { $times: 2, $of: { properties: { next: { $ref: '#' }, end: { type: 'string' } } } };
/** Each took a minute, once. */
export const KNOWN_CHECKS: Checked[] = [
  { schema: { anyOf: twice }, payload: { is: 'deep', times: 40, key: 'next', of: { is: 'text', text: '{"end":1}' } } },
  { schema: { pattern: '([a-z]?){900}$' }, payload: { is: 'long', piece: 'a', times: 500_000, end: '!' } },
  { schema: { uniqueItems: true }, payload: { is: 'distinct', times: 150_000, as: 'number' } },
];

function tiny(): fc.Arbitrary<object> {
  return fc.constantFrom({}, { unevaluatedProperties: false }, { uniqueItems: true }, { additionalProperties: { $ref: '#' } });
}

/** Each level is checked by every branch: two of them are enough. */
function recursive({ $times, combined, more }: { $times: number; combined: string; more: object }): object {
  return { [combined]: { $times, $of: { properties: { next: { $ref: '#' }, end: { type: 'string' } } } }, ...more };
}

/** A schema around the schema, and what that is then about. */
const AROUND: Readonly<Record<string, (of: Checked) => Checked>> = {
  items: ({ schema, payload }) => ({ schema: { items: schema }, payload: { is: 'list', times: 100, of: payload } }),
  property: ({ schema, payload }) => ({ schema: { properties: { a: schema } }, payload: { is: 'object', parts: { a: payload } } }),
  others: ({ schema, payload }) => ({
    schema: { additionalProperties: schema },
    payload: { is: 'keys', times: 100, name: 'p', of: payload },
  }),
  either: ({ schema, payload }) => ({ schema: { anyOf: { $times: 10, $of: schema } }, payload }),
  each: ({ schema, payload }) => ({ schema: { allOf: { $times: 10, $of: schema } }, payload }),
  unless: ({ schema, payload }) => ({ schema: { not: schema }, payload }),
};

/** Schemas with payloads for them. */
export const checks: fc.Arbitrary<Checked> = fc.oneof(
  { arbitrary: fc.record({ schema: schemaRecipes, payload: jsonRecipes }), weight: 1 },
  {
    arbitrary: fc
      .tuple(aimed, fc.array(fc.constantFrom(...keysOf(AROUND)), { maxLength: 2 }))
      .map(([check, around]) => around.reduce((inner, name) => AROUND[name]?.(inner) ?? inner, check)),
    weight: 3,
  },
);

const MAX_SCHEMA_CHARS = 64 * 1024;

/** The text of a schema that is as large as one may be. */
export function schemaText(recipe: unknown): string {
  return write(recipe, MAX_SCHEMA_CHARS);
}

function write(value: unknown, room: number): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if ('$json' in value) return list(jsonText(value.$json as JsonRecipe, room));
  if ('$times' in value) {
    const { $times, $of } = value as Repeated;
    const one = write($of, room / 2);
    return `[${Array(Math.max(1, Math.min($times, Math.floor(room / one.length))))
      .fill(one)
      .join()}]`;
  }
  if (Array.isArray(value)) return `[${value.map((one) => write(one, room / value.length)).join()}]`;
  const entries = Object.entries(value);
  return `{${entries.map(([name, one]) => `${JSON.stringify(name)}:${write(one, room / entries.length)}`).join()}}`;
}

/** An enumeration is a list. */
function list(text: string): string {
  return text.startsWith('[') ? text : `[${text}]`;
}

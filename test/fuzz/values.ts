import fc from 'fast-check';
import { type GraphQLInputType, getNullableType, isEnumType, isInputObjectType, isListType, isNonNullType } from 'graphql';
import { encodeCursor, encodeKeyCursor } from '../../src/cursor';

/** Texts that programs have been known to trip over. */
const ODD = [
  '',
  ' ',
  '\u0000',
  '\ud800',
  '\udfff\ud800',
  '\u202e',
  '__proto__',
  'constructor',
  'toString',
  '%00',
  '../../etc/passwd',
  "' OR 1=1 --",
  '{{7*7}}',
  '{}',
  '[]',
  'null',
  'NaN',
  '-1',
  '1e309',
  '9007199254740993',
  'x'.repeat(300),
  'é'.repeat(3_000),
  '💥'.repeat(200),
];

const application = 'app_0123456789ab';
const LOCATORS = [
  application,
  'whk_0123456789ab01234567',
  'evt_0123456789ab0000000000100000',
  'evt_0123456789abvvvvvvvvvvv00000',
  'dlv_0123456789ab0000000000101234567',
  'att_0123456789ab00000000001012345670001',
  'job_0123456789ab00000000000000',
  'key_0123456789ab',
  encodeCursor('event', application, 0),
  encodeCursor('update', application, Number.MAX_SAFE_INTEGER),
  encodeKeyCursor('evt_0123456789ab0000000000100000'),
  Buffer.from('event:x:1:2').toString('base64url'),
  Buffer.from([0xff, 0xfe, 0x00]).toString('base64url'),
];

/** Any text, and ids and cursors, broken ones among them; `known` are those of things that exist. */
export function texts(known: readonly string[] = []): fc.Arbitrary<string> {
  const locator = fc.constantFrom(...LOCATORS, ...known);
  return fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.string({ maxLength: 40 }),
    fc.constantFrom(...ODD),
    locator,
    fc.tuple(locator, fc.nat(40), fc.string({ maxLength: 3 })).map(([text, at, more]) => text.slice(0, at) + more + text.slice(at)),
    fc.constantFrom('order.created', 'order.*', '*', '2026-01-31T12:00:00.000Z', '275760-09-13T00:00:00.001Z', '0000-00-00'),
  );
}

export const jsons = fc.oneof(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom<unknown>(JSON.parse(`${'['.repeat(600)}${']'.repeat(600)}`)));

const OPERATORS = '$eq $ne $gt $gte $lt $lte $in $nin $exists $startsWith $endsWith $and $or $not $elemMatch $where $regex $expr'.split(
  ' ',
);

/** Conditions of filters, some of them sensible. */
export const conditions: fc.Arbitrary<unknown> = fc.letrec<{ condition: unknown }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.jsonValue({ maxDepth: 2 }),
    fc.dictionary(
      fc.oneof(
        fc.constantFrom(...OPERATORS, 'type', 'payload', 'payload.no', 'payload..no', '__proto__', 'payload.constructor.name'),
        fc.string({ maxLength: 8 }),
      ),
      fc.oneof(tie('condition'), fc.array(tie('condition'), { maxLength: 3 })),
      { maxKeys: 3 },
    ),
  ),
})).condition;

type Generate = fc.GeneratorValue;

/** A value for an argument or an input: of the right type mostly, and now and then of any. */
export function valueFor(g: Generate, type: GraphQLInputType, known: readonly string[], depth = 0): unknown {
  if (g(fc.nat, 15) === 0) return g(() => jsons);
  if (!isNonNullType(type) && g(fc.nat, 7) === 0) return null;
  const bare = getNullableType(type) as GraphQLInputType;
  if (isListType(bare)) return Array.from({ length: g(fc.nat, 3) }, () => valueFor(g, bare.ofType as GraphQLInputType, known, depth + 1));
  if (isEnumType(bare)) return g(() => fc.constantFrom(...bare.getValues().map(({ name }) => name)));
  if (isInputObjectType(bare)) {
    const fields = Object.values(bare.getFields()).filter((field) => isNonNullType(field.type) || g(fc.nat, 2) > 0);
    return Object.fromEntries(fields.map((field) => [field.name, fieldValue(g, field.name, field.type, known, depth + 1)]));
  }
  return scalar(g, String(bare), known);
}

/** Some fields have a language of their own. */
function fieldValue(g: Generate, name: string, type: GraphQLInputType, known: readonly string[], depth: number): unknown {
  const urls = known.filter((text) => text.startsWith('http'));
  if (name === 'url' && urls.length > 0 && g(fc.nat, 3) > 0) return g(() => fc.constantFrom(...urls));
  if (name === 'filter' && String(type) === 'JSON') return g(() => conditions);
  if ((name === 'type' || name === 'eventType') && g(fc.nat, 3) > 0) return 'order.created';
  return valueFor(g, type, known, depth);
}

function scalar(g: Generate, name: string, known: readonly string[]): unknown {
  switch (name) {
    case 'Int':
      return g(() => fc.oneof(fc.nat(100), fc.integer(), fc.constantFrom(0, -1, 2 ** 31, 0.5, Number.MAX_SAFE_INTEGER)));
    case 'Float':
      return g(() => fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.nat(100), fc.constantFrom(5e-324, 1e308, -0)));
    case 'Boolean':
      return g(fc.boolean);
    case 'JSON':
      return g(() => jsons);
    default:
      return g(() => texts(known));
  }
}

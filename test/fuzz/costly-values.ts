import fc from 'fast-check';

/*
 * Inputs that are made to be costly. They are recipes, of a few numbers and names each: small when they are printed,
 * shrunk in a few steps, and large only where they are sent.
 */

/** From 0 up, the small ones as likely as the large: each power of two is. */
export function sizes(most: number): fc.Arbitrary<number> {
  const steps = 40;
  return fc.nat(steps).map((step) => Math.floor((most + 1) ** (step / steps)) - (step === 0 ? 1 : 0));
}

/** From 0 up, the large ones more likely. */
export function largeSizes(most: number): fc.Arbitrary<number> {
  const steps = 40;
  return fc.nat(steps).map((step) => (step === 0 ? 0 : Math.floor(most ** (1 - (1 - step / steps) ** 3))));
}

/** A text of JSON; what is repeated is as large as there is room. */
export type JsonRecipe =
  | { readonly is: 'text'; readonly text: string }
  | { readonly is: 'long'; readonly piece: string; readonly times: number; readonly end: string }
  | { readonly is: 'digits'; readonly digit: string; readonly times: number; readonly end: string }
  | { readonly is: 'distinct'; readonly times: number; readonly as: keyof typeof DISTINCT }
  | { readonly is: 'list'; readonly times: number; readonly of: JsonRecipe }
  | { readonly is: 'keys'; readonly times: number; readonly name: string; readonly of: JsonRecipe }
  | { readonly is: 'deep'; readonly times: number; readonly key: string | null; readonly of: JsonRecipe }
  | { readonly is: 'object'; readonly parts: Readonly<Record<string, JsonRecipe>> };

const DISTINCT = {
  number: (no: number) => `${no}`,
  fraction: (no: number) => `${no}.5`,
  text: (no: number) => `"text ${no}"`,
  object: (no: number) => `{"a":${no},"b":[${no}]}`,
  list: (no: number) => `[[${no}]]`,
} as const;

const SCALARS = ['0', '1', '-0', '1e308', '0.1', 'null', 'true', '""', '"a"', '"\\u0000"', '[]', '{}', '[[]]', '{"a":1}', '[1,2]'];
/** Names that others of these generators use as well, so that they meet. */
export const NAMES = ['a', 'next', 'children', 'payload', 'p', '__proto__', '0'];

export const jsonRecipes: fc.Arbitrary<JsonRecipe> = fc.letrec<{ json: JsonRecipe }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({ is: fc.constant('text' as const), text: fc.constantFrom(...SCALARS) }),
    fc.record({
      is: fc.constant('long' as const),
      piece: fc.constantFrom('a', 'ab', '0', ' ', '::', 'a.', '/', '\\u0000', '\\\\', 'é', '💥', '\\ud800', '(', '[a]'),
      times: sizes(1_000_000),
      end: fc.constantFrom('', '!', '@'),
    }),
    fc.record({
      is: fc.constant('digits' as const),
      digit: fc.constantFrom('1', '9', '0.0', '1e9'),
      times: sizes(300_000),
      end: fc.constantFrom('', 'e9', 'e-9', '.5'),
    }),
    fc.record({ is: fc.constant('distinct' as const), times: sizes(200_000), as: fc.constantFrom(...keysOf(DISTINCT)) }),
    fc.record({ is: fc.constant('list' as const), times: sizes(500_000), of: tie('json') }),
    fc.record({
      is: fc.constant('keys' as const),
      times: sizes(100_000),
      name: fc.constantFrom('p', 'x.y', '$', 'é', 'same'),
      of: tie('json'),
    }),
    fc.record({
      is: fc.constant('deep' as const),
      times: sizes(20_000),
      key: fc.oneof(fc.constant(null), fc.constantFrom(...NAMES)),
      of: tie('json'),
    }),
    fc.record({
      is: fc.constant('object' as const),
      parts: fc.dictionary(fc.constantFrom(...NAMES), tie('json'), { maxKeys: 3 }),
    }),
  ),
})).json;

/** The text of a recipe, of about so many characters at most: what would be longer is repeated less often. */
export function jsonText(recipe: JsonRecipe, room: number): string {
  switch (recipe.is) {
    case 'text':
      return recipe.text;
    case 'long':
      return `"${recipe.piece.repeat(fitting(recipe.times, recipe.piece.length, room))}${recipe.end}"`;
    case 'digits': {
      const { digit, times, end } = recipe;
      const count = fitting(times, 1, room);
      if (digit === '1e9') return `1e${'9'.repeat(count)}`;
      return digit === '0.0' ? `0.${'0'.repeat(count)}1` : `${digit.repeat(Math.max(1, count))}${end}`;
    }
    case 'distinct':
      return `[${Array.from({ length: fitting(recipe.times, 15, room) }, (_, no) => DISTINCT[recipe.as](no)).join()}]`;
    case 'list': {
      const of = jsonText(recipe.of, room / 2);
      return `[${Array(fitting(recipe.times, of.length + 1, room))
        .fill(of)
        .join()}]`;
    }
    case 'keys': {
      const of = jsonText(recipe.of, room / 2);
      const key = (no: number) => (recipe.name === 'same' ? '"a"' : `"${recipe.name}${no}"`);
      return `{${Array.from({ length: fitting(recipe.times, of.length + 10, room) }, (_, no) => `${key(no)}:${of}`).join()}}`;
    }
    case 'deep': {
      const [open, close] = recipe.key === null ? ['[', ']'] : [`{"${recipe.key}":`, '}'];
      const times = fitting(recipe.times, open.length + 1, room / 2);
      return open.repeat(times) + jsonText(recipe.of, room / 2) + close.repeat(times);
    }
    case 'object': {
      const parts = Object.entries(recipe.parts);
      return `{${parts.map(([name, part]) => `"${name}":${jsonText(part, room / parts.length)}`).join()}}`;
    }
  }
}

function fitting(times: number, each: number, room: number): number {
  return Math.max(0, Math.min(times, Math.floor(room / each)));
}

export function keysOf<Name extends string>(table: Readonly<Record<Name, unknown>>): Name[] {
  return Object.keys(table) as Name[];
}

import fc from 'fast-check';
import { type JsonRecipe, jsonRecipes, jsonText, sizes } from './costly-values';

const PATHS = ['payload', 'payload.a', 'payload.a.a', 'payload.next', 'payload.a.0', `payload${'.a'.repeat(14)}`, 'payload.p0', 'type'];

/** Conditions of many comparisons. */
export const filterRecipes: fc.Arbitrary<unknown> = fc.letrec<{ condition: unknown; operators: unknown }>((tie) => {
  const condition = tie('condition');
  const operators = tie('operators');
  const value = jsonRecipes.map((recipe) => ({ $json: recipe }));
  const values = fc.record({ $in: value, $nin: value, $eq: value, $ne: value, $gt: value, $lte: value }, { requiredKeys: [] });
  const several = (of: fc.Arbitrary<unknown>) => fc.record({ $times: sizes(100), $of: of });
  return {
    condition: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.tuple(fc.constantFrom(...PATHS), operators).map(([path, test]) => ({ [path]: test })),
      fc.record({ $and: several(condition) }),
      fc.record({ $or: several(condition) }),
      fc.tuple(fc.constantFrom(...PATHS), operators).map(([path, test]) => ({ [path]: { $not: test } })),
    ),
    operators: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      values,
      fc.record({ $startsWith: value, $endsWith: value, $exists: fc.boolean() }, { requiredKeys: [] }),
      fc.record({ $elemMatch: operators }),
      fc.record({ $elemMatch: fc.tuple(fc.constantFrom('a', 'a.a', 'next'), operators).map(([path, test]) => ({ [path]: test })) }),
      fc.record({ $not: operators }),
    ),
  };
}).condition;

const MAX_FILTER_CHARS = 15 * 1024;
const MAX_VALUES = 100;
const MAX_LEVELS = 50;

/** A condition that is about as large as one may be, so that it is not refused before it costs anything. */
export function filterText(recipe: unknown): string {
  return write(recipe, MAX_FILTER_CHARS, '');
}

function write(value: unknown, room: number, keyword: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if ('$json' in value) return operand(value.$json as JsonRecipe, room, keyword);
  if ('$times' in value && '$of' in value) {
    const one = write(value.$of, room / 2, '');
    return `[${Array(Math.max(1, Math.min(Number(value.$times), Math.floor(room / one.length))))
      .fill(one)
      .join()}]`;
  }
  const entries = Object.entries(value);
  return `{${entries.map(([name, one]) => `${JSON.stringify(name)}:${write(one, room / entries.length, name)}`).join()}}`;
}

/** What the operator takes: a list, or a text. */
function operand(recipe: JsonRecipe, room: number, keyword: string): string {
  const most = recipe.is === 'deep' ? MAX_LEVELS : MAX_VALUES;
  const fitted = 'times' in recipe && recipe.is !== 'long' ? { ...recipe, times: Math.min(recipe.times, most) } : recipe;
  const text = jsonText(fitted, room);
  if (/^\$n?in$/.test(keyword)) return text.startsWith('[') ? text : `[${text}]`;
  if (/With$/.test(keyword)) return text.startsWith('"') ? text : '"text"';
  return /^\$[gl]te?$/.test(keyword) && /^[[{]/.test(text) ? '1' : text;
}

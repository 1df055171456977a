import fc from 'fast-check';
import {
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isInterfaceType,
  isNonNullType,
  isObjectType,
} from 'graphql';
import { valueFor } from './values';

type Generate = fc.GeneratorValue;

const MAX_DEPTH = 6;

export interface Asked {
  readonly query: string;
  readonly variables: Record<string, unknown>;
}

/** An operation out of the schema, with arguments of mostly the right types; it may well ask for too much. */
export function operation(
  g: Generate,
  schema: GraphQLSchema,
  kind: 'query' | 'mutation' | 'subscription',
  known: readonly string[],
): Asked {
  const root = { query: schema.getQueryType(), mutation: schema.getMutationType(), subscription: schema.getSubscriptionType() }[kind];
  if (!root) throw new Error(`the schema has no ${kind}`);
  const variables: Record<string, unknown> = {};
  const declared: string[] = [];
  const field = (of: GraphQLField<unknown, unknown>, depth: number): string => {
    const given = of.args.filter(({ type }) => isNonNullType(type) || g(fc.nat, 2) === 0);
    const passed = given.map(({ name, type }) => {
      const variable = `v${declared.length}`;
      declared.push(`$${variable}: ${String(type)}`);
      variables[variable] = valueFor(g, type, known);
      return `${name}: $${variable}`;
    });
    const alias = g(fc.nat, 5) === 0 ? `a${declared.length}: ` : '';
    return `${alias}${of.name}${passed.length > 0 ? `(${passed.join(', ')})` : ''}${selection(getNamedType(of.type), depth + 1)}`;
  };
  const selection = (type: GraphQLNamedType, depth: number): string => {
    if (isAbstractType(type) && !isInterfaceType(type)) return ' { __typename }';
    if (!isObjectType(type) && !isInterfaceType(type)) return '';
    const fields = Object.values(type.getFields()).filter(({ type: inner }) => depth < MAX_DEPTH || !isObjectType(getNamedType(inner)));
    const chosen = some(g, fields, 0, 4);
    const spread = isInterfaceType(type) && g(fc.nat, 1) === 0 ? ' ... on Event { payload deliveries { nodes { id } } }' : '';
    return ` { __typename ${chosen.map((one) => field(one, depth)).join(' ')}${spread} }`;
  };
  const roots = some(g, Object.values(root.getFields()), 1, kind === 'subscription' ? 1 : 2);
  const body = roots.map((one) => field(one, 0)).join(' ');
  return { query: `${kind} ${declared.length > 0 ? `(${declared.join(', ')}) ` : ''}{ ${body} }`, variables };
}

/** `least` to `most` of the items, without repeats. */
function some<T>(g: Generate, items: readonly T[], least: number, most: number): T[] {
  const picked = Array.from({ length: least + g(fc.nat, most - least) }, () => items[g(fc.nat, Math.max(0, items.length - 1))]);
  return [...new Set(picked)].filter((item) => item !== undefined);
}

const SNIPPETS = [
  '{',
  '}',
  '(',
  ')',
  '[',
  ']',
  '"',
  '"""',
  '...',
  '@skip(if: true)',
  '@x',
  '$',
  ':',
  '!',
  '#',
  '\u0000',
  '\ufeff',
  'fragment F on Query { ...F }',
  '__schema',
  'null',
  '1e999',
  '\\u',
  'é',
];

/** The text with some of it taken out, doubled or replaced. */
export function mutated(g: Generate, text: string): string {
  let result = text;
  for (let changes = g(fc.nat, 3); changes > 0; changes--) {
    const at = g(fc.nat, result.length);
    const to = Math.min(result.length, at + g(fc.nat, 12));
    const piece = g(() => fc.constantFrom('', result.slice(at, to).repeat(2), ...SNIPPETS));
    result = result.slice(0, at) + piece + result.slice(to);
  }
  return result;
}

import fc from 'fast-check';
import { keysOf, sizes } from './costly-values';

/** The connections and objects that lead from one type to another. */
const HOPS = {
  Query: { events: 'Event', deliveries: 'Delivery', webhooks: 'Webhook' },
  Event: { deliveries: 'Delivery' },
  Delivery: { attempts: 'Attempt', event: 'Event', webhook: 'Webhook' },
  Webhook: { deliveries: 'Delivery', tests: 'Attempt' },
  Attempt: {},
} as const satisfies Record<string, Record<string, string>>;

type TypeName = keyof typeof HOPS;

/** The first ones are large. */
const LEAVES: Readonly<Record<TypeName, readonly string[]>> = {
  Query: ['__typename'],
  Event: ['payload', 'payloadText', 'get(path: "lines")', 'get(path: "lines.0.sku")', 'id'],
  Delivery: ['requestBody', 'id', 'status'],
  Webhook: ['filter', 'payloadQuery', 'headers { name value }', 'stats { p50Ms }', 'id'],
  Attempt: ['curl', 'responseBody', 'responseHeaders { name value }', 'requestHeaders { name value }', 'timings { __typename }', 'id'],
};

/** What takes time before anything runs, so many times. */
const NOISES = {
  none: () => '',
  comments: (times: number) => '# of no use\n'.repeat(times),
  commas: (times: number) => ','.repeat(times),
  text: (times: number) => ` node(id: "${'x'.repeat(times)}") { id }`,
  escapes: (times: number) => ` node(id: "${'\\u0041'.repeat(times)}") { id }`,
  block: (times: number) => ` node(id: """${'\n  x'.repeat(times)}""") { id }`,
  lists: (times: number) => ` events(filter: { types: ${'['.repeat(times)}${']'.repeat(times)} }) { nodes { id } }`,
  objects: (times: number) => ` events(filter: ${'{types:'.repeat(times)}1${'}'.repeat(times)}) { nodes { id } }`,
  unknown: (times: number) => Array.from({ length: times }, (_, no) => ` deliverys${no}`).join(''),
  conflicts: (times: number) => Array.from({ length: times }, (_, no) => ` node(id: "${no}") { id }`).join(''),
  same: (times: number) => ' viewer { admin }'.repeat(times),
  nested: (times: number) => `${' viewer {'.repeat(times)} admin ${'}'.repeat(times)}`,
  inline: (times: number) => `${' ... {'.repeat(times)} __typename ${'}'.repeat(times)}`,
  directives: (times: number) => ` __typename${' @include(if: true)'.repeat(times)}`,
  wrong: (times: number) => ` __typename${' @x(a: 1, a: 2)'.repeat(times)}`,
  types: (times: number) => ` __schema { types {${' fields { type {'.repeat(times)} name ${'}}'.repeat(times)} } }`,
  cycles: (times: number) => Array.from({ length: times }, (_, no) => ` ...C${no % 10}`).join(''),
} as const;

export interface DocumentRecipe {
  /** Each chooses one of the ways that there are. */
  readonly hops: readonly number[];
  readonly firsts: readonly number[];
  readonly leaf: number;
  readonly leaves: number;
  /** Fragments, each of which spreads the next one so many times. */
  readonly fragments: number;
  readonly spreads: number;
  readonly inline: number;
  readonly directives: number;
  readonly isIncluded: boolean;
  readonly noise: keyof typeof NOISES;
  readonly noises: number;
  /** Operations beside the one that runs, and declared variables. */
  readonly operations: number;
  readonly variables: number;
}

/** A document with everything is refused for one of them. */
const seldom = (most: number) => fc.oneof({ arbitrary: fc.constant(0), weight: 5 }, { arbitrary: sizes(most), weight: 1 });

export const documentRecipes: fc.Arbitrary<DocumentRecipe> = fc.record({
  hops: fc.array(fc.nat(2), { minLength: 1, maxLength: 5 }),
  firsts: fc.array(fc.oneof(fc.constantFrom(100, 50, 10, 1), fc.nat(100)), { minLength: 5, maxLength: 5 }),
  leaf: fc.nat(5),
  leaves: fc.oneof({ arbitrary: sizes(50), weight: 5 }, { arbitrary: sizes(1_500), weight: 1 }),
  fragments: seldom(40),
  spreads: seldom(60),
  inline: seldom(5_000),
  directives: seldom(2_000),
  isIncluded: fc.boolean(),
  noise: fc.constantFrom(...keysOf(NOISES)),
  noises: seldom(100_000),
  operations: seldom(500),
  variables: seldom(2_000),
});

/** As a document of one operation `O` with a variable `$on`. */
export function documentText(recipe: DocumentRecipe): string {
  const { type, open, close } = way(recipe);
  const leaf = LEAVES[type][recipe.leaf % LEAVES[type].length] ?? 'id';
  const leaves = Array.from({ length: recipe.leaves }, (_, no) => `a${no}: ${leaf}`).join(' ');
  const { inline, directives, fragments, spreads } = recipe;
  const conditions = ' @include(if: $on)'.repeat(1 + directives);
  const selected = `${'... { '.repeat(inline)} id ${fragments > 0 ? '...F0' : leaves}${' }'.repeat(inline)}`;
  const chain = Array.from({ length: fragments }, (_, no) => {
    const inner = no + 1 < fragments ? `...F${no + 1} `.repeat(spreads) : leaves;
    return `fragment F${no} on ${type} { id ${inner} }`;
  });
  const noise = NOISES[recipe.noise](recipe.noises);
  const cycles =
    recipe.noise === 'cycles' ? Array.from({ length: 10 }, (_, no) => `fragment C${no} on Query { ...C${(no + 1) % 10} }`) : [];
  const declared = Array.from({ length: recipe.variables }, (_, no) => `$v${no}: Int`).join(' ');
  const others = Array.from({ length: recipe.operations }, (_, no) => `query Q${no} { viewer { admin } }`);
  const operation = `query O($on: Boolean! ${declared}) { ${open} ...${type === 'Query' ? '' : ` on ${type}`}${conditions} { ${selected} } ${close} ${noise} }`;
  return [operation, ...chain, ...cycles, ...others].join('\n');
}

/** The selections around the last type, of pages as large as asked for. */
function way({ hops, firsts }: DocumentRecipe): { type: TypeName; open: string; close: string } {
  let [type, open, close]: [TypeName, string, string] = ['Query', '', ''];
  for (const [index, choice] of hops.entries()) {
    const ways = Object.entries(HOPS[type]) as [string, TypeName][];
    const chosen = ways[choice % Math.max(1, ways.length)];
    if (chosen === undefined) break;
    const [field, next] = chosen;
    const isPage = field.endsWith('s');
    open += isPage ? `${field}(first: ${firsts[index]}) { nodes { ` : `${field} { `;
    close = `${isPage ? ' } }' : ' }'}${close}`;
    type = next;
  }
  return { type, open, close };
}

import { CriticalityLevel, DiffRule, diff } from '@graphql-inspector/core';
import {
  buildSchema,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isScalarType,
  isSpecifiedScalarType,
} from 'graphql';
import { createSchema } from '../../src/api/schema';
import { page } from '../support/documentation';

/** The items of the newest section of a changelog, each on one line. */
function newestItems(changelog: string): string[] {
  const [, section = ''] = changelog.split(/^## /m);
  return section.split(/^- /m).map((item) => item.replace(/\s+/g, ' '));
}

/**
 * What a client of the last release would stumble over, and no item marked **Breaking:** names. What the last release had
 * marked as deprecated may go.
 */
async function unannounced(released: GraphQLSchema, current: GraphQLSchema, changelog: string): Promise<string[]> {
  const changes = await diff(released, current, [DiffRule.suppressRemovalOfDeprecatedField]);
  const announced = newestItems(changelog)
    .flatMap((item) => item.split('**Breaking:**').slice(1))
    .flatMap((text) => [...text.matchAll(/`([A-Z]\w*(?:\.\w+)*)`/g)].map(([, coordinate]) => coordinate));
  return changes
    .filter(({ criticality, path }) => criticality.level === CriticalityLevel.Breaking && !announced.includes(path))
    .map(({ path, message }) => `${path}: ${message}`);
}

/** Every deprecated field, argument, input field and enum value, by its coordinate, with its reason. */
function deprecations(schema: GraphQLSchema): (readonly [coordinate: string, reason: string])[] {
  const all: (readonly [string, string | null | undefined])[] = [];
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith('__')) continue;
    if (isEnumType(type)) for (const value of type.getValues()) all.push([`${type.name}.${value.name}`, value.deprecationReason]);
    if (isInputObjectType(type))
      for (const field of Object.values(type.getFields())) all.push([`${type.name}.${field.name}`, field.deprecationReason]);
    if (isObjectType(type) || isInterfaceType(type))
      for (const field of Object.values(type.getFields())) {
        all.push([`${type.name}.${field.name}`, field.deprecationReason]);
        for (const argument of field.args) all.push([`${type.name}.${field.name}.${argument.name}`, argument.deprecationReason]);
      }
  }
  return all.flatMap(([coordinate, reason]) => (typeof reason === 'string' ? [[coordinate, reason] as const] : []));
}

describe('The SDL since the last release', () => {
  test('breaks nothing that the changelog does not name', async () => {
    const released = buildSchema(page('schema/released.graphql'));
    expect(await unannounced(released, await createSchema(), page('CHANGELOG.md'))).toEqual([]);
  });

  test('deprecates nothing without saying what to use, in the changelog as well', async () => {
    const found = deprecations(await createSchema());
    expect(found.filter(([, reason]) => !reason.includes('`'))).toEqual([]);
    expect(found.filter(([coordinate]) => !page('CHANGELOG.md').includes(`\`${coordinate}\``))).toEqual([]);
  });

  test('says of every scalar of its own where it is specified', async () => {
    const scalars = Object.values((await createSchema()).getTypeMap()).filter((type) => isScalarType(type) && !isSpecifiedScalarType(type));
    expect(scalars.map(({ name }) => name).sort()).toEqual(['DateTime', 'JSON', 'SafeInt']);
    expect(scalars.filter((type) => isScalarType(type) && !/^https?:/.test(type.specifiedByURL ?? ''))).toEqual([]);
    // As emitted, too: that is what code generators read.
    expect(page('schema/schema.graphql').match(/^scalar \w+ @specifiedBy\(url: "http[^"]+"\)$/gm)).toHaveLength(scalars.length);
  });
});

describe('The guard over the SDL', () => {
  const released = buildSchema('type Query { a: Int! b(x: Int): Int old: Int @deprecated(reason: "Use `a`.") } enum E { ONE TWO }');
  const current = buildSchema('type Query { a: Int b(x: Int, y: Int!): Int new: Int } enum E { ONE }');

  test('refuses what breaks clients: other types, required arguments, values that are gone', async () => {
    const broken = await unannounced(released, current, '');
    expect(broken.map((line) => line.split(':')[0])).toEqual(expect.arrayContaining(['Query.a', 'Query.b.y', 'E.TWO']));
    expect(broken).toHaveLength(3); // `old` was deprecated in the last release
  });

  test('lets pass what the newest section names as breaking, and nothing that it only mentions', async () => {
    const changelog =
      '# Changelog\n## [2.0.0]\n- **Breaking:** `Query.a` is\n  nullable, and `E.TWO` gone.\n- `Query.b.y`.\n## [1.0.0]\n- **Breaking:** `Query.b.y`.\n';
    expect((await unannounced(released, current, changelog)).map((line) => line.split(':')[0])).toEqual(['Query.b.y']);
  });

  test('sees what is deprecated, wherever it stands', () => {
    const schema = buildSchema(
      'type Query { a(x: Int @deprecated): E @deprecated(reason: "Use `b`.") } enum E { ONE TWO @deprecated } input I { c: Int @deprecated }',
    );
    expect(
      deprecations(schema)
        .map(([coordinate]) => coordinate)
        .sort(),
    ).toEqual(['E.TWO', 'I.c', 'Query.a', 'Query.a.x']);
  });
});

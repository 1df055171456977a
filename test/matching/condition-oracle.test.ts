import fc from 'fast-check';
import {
  $and,
  $elemMatch,
  $eq,
  $exists,
  $gt,
  $gte,
  $in,
  $lt,
  $lte,
  $ne,
  $nin,
  $not,
  $or,
  createEqualsOperation,
  createQueryTester,
} from 'sift';
import { compileCondition } from '../../src/matching/condition';

/*
 * What conditions mean was defined by `sift`, which they were once run by: it stays the oracle.
 */

const textTest =
  (test: (text: string, part: string) => boolean) =>
  (part: unknown, owner: Parameters<typeof $eq>[1], options: Parameters<typeof $eq>[2]) =>
    createEqualsOperation((value: unknown) => typeof value === 'string' && test(value, part as string), owner, options);

const OPERATIONS = {
  $eq,
  $ne,
  $gt,
  $gte,
  $lt,
  $lte,
  $in,
  $nin,
  $exists,
  $and,
  $or,
  $not,
  $elemMatch,
  $startsWith: textTest((text, part) => text.startsWith(part)),
  $endsWith: textTest((text, part) => text.endsWith(part)),
};

const name = fc.constantFrom('a', 'b', 'c', '0', '1', 'length');
const scalar = fc.oneof(fc.constant(null), fc.boolean(), fc.constantFrom(0, 1, 2, -1, 1.5), fc.constantFrom('', 'a', 'ab', 'b', '1'));
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(name, tie('value'), { maxKeys: 3 }),
  ),
}));
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.'));
const rootPath = fc.oneof(
  fc.constant('type'),
  path.map((inner) => `payload.${inner}`),
  fc.constant('payload'),
);

const merged = (parts: readonly Record<string, unknown>[]) => Object.assign({}, ...parts) as Record<string, unknown>;
const { rootFilter } = fc.letrec<
  Record<'operators' | 'operator' | 'inner' | 'field' | 'rootField' | 'rootFilter', Record<string, unknown>>
>((tie) => ({
  operator: fc.oneof(
    { depthSize: 'small' },
    value.map((operand) => ({ $eq: operand })),
    value.map((operand) => ({ $ne: operand })),
    fc.tuple(fc.constantFrom('$gt', '$gte', '$lt', '$lte'), fc.constantFrom(0, 1, 'a', 'b')).map(([key, operand]) => ({ [key]: operand })),
    fc.tuple(fc.constantFrom('$in', '$nin'), fc.array(value, { maxLength: 4 })).map(([key, operand]) => ({ [key]: operand })),
    fc.boolean().map((operand) => ({ $exists: operand })),
    fc.tuple(fc.constantFrom('$startsWith', '$endsWith'), fc.constantFrom('', 'a', 'b')).map(([key, operand]) => ({ [key]: operand })),
    tie('operators').map((operand) => ({ $not: operand })),
    fc.oneof(tie('operators'), tie('inner')).map((operand) => ({ $elemMatch: operand })),
  ),
  operators: fc.array(tie('operator'), { minLength: 1, maxLength: 2 }).map(merged),
  field: fc.tuple(path, fc.oneof(value, tie('operators'))).map(([key, part]) => ({ [key]: part })),
  inner: fc.oneof(
    { depthSize: 'small' },
    fc.array(tie('field'), { maxLength: 2 }).map(merged),
    fc
      .tuple(fc.constantFrom('$and', '$or'), fc.array(tie('inner'), { minLength: 1, maxLength: 2 }))
      .map(([key, parts]) => ({ [key]: parts })),
  ),
  rootField: fc.tuple(rootPath, fc.oneof(value, tie('operators'))).map(([key, part]) => ({ [key]: part })),
  rootFilter: fc.oneof(
    { depthSize: 'small' },
    fc.array(tie('rootField'), { maxLength: 3 }).map(merged),
    fc
      .tuple(fc.constantFrom('$and', '$or'), fc.array(tie('rootFilter'), { minLength: 1, maxLength: 3 }))
      .map(([key, parts]) => ({ [key]: parts })),
    tie('rootFilter').map((part) => ({ $not: part })),
    fc.tuple(tie('rootFilter'), tie('rootField')).map(merged),
  ),
}));

describe('Conditions and sift', () => {
  test('decide the same', () => {
    let matched = 0;
    let compared = 0;
    fc.assert(
      fc.property(rootFilter, fc.array(value, { minLength: 1, maxLength: 4 }), (filter, payloads) => {
        const compiled = compileCondition(filter);
        if ('problem' in compiled) return; // too deep, or mixed: sift is not asked
        const oracle = createQueryTester(filter as never, { operations: OPERATIONS }) as (event: unknown) => boolean;
        for (const payload of payloads) {
          const event = { type: 'a', payload };
          const expected = oracle(event);
          expect({ filter, payload, isMet: compiled.condition(event) }).toEqual({ filter, payload, isMet: expected });
          compared++;
          if (expected) matched++;
        }
      }),
      { numRuns: Number(process.env.ORACLE_RUNS ?? 3_000) },
    );
    // Neither side is an exception, or the test would show little.
    expect(Math.min(matched, compared - matched)).toBeGreaterThan(compared / 10);
  });
});

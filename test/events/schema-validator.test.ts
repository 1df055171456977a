import { systemClock } from '../../src/clock';
import { costPerChar } from '../../src/events/schema-cost';
import { CheckAllowance } from '../../src/events/schema-pool';
import { SchemaValidator } from '../../src/events/schema-validator';
import { silentLog } from '../../src/log';

const branch = { $ref: '#/$defs/node' };
/** Where the last level does not fit, each level is checked twice as often as the one above. */
const DOUBLING = {
  $ref: '#/$defs/node',
  $defs: { node: { anyOf: Array(2).fill({ properties: { next: branch, end: { type: 'string' } } }) } },
};

function chain(levels: number): unknown {
  let payload: object = { end: 1 };
  for (let level = 0; level < levels; level++) payload = { next: payload };
  return payload;
}

describe('A schema validator', () => {
  let validator: SchemaValidator;
  beforeAll(() => {
    // On a busy machine the first compilation may take an application's whole share of the event loop.
    validator = new SchemaValidator({ clock: { ...systemClock, monotonic: () => 0 }, log: silentLog });
  });
  afterAll(() => validator.stop());

  const check = (schema: unknown, payload: unknown, applicationId = 'app_1') => {
    const text = JSON.stringify(payload);
    return validator.check(applicationId, JSON.stringify(schema), { payload, text, allowance: new CheckAllowance() });
  };

  test('checks at once what is certain to be quick', () => {
    expect(check({ type: 'object', required: ['no'] }, { no: 1 })).toBeNull();
    expect(check({ type: 'object', required: ['no'] }, {})).toEqual({ path: [], message: "must have required property 'no'" });
    expect(check({ properties: { mail: { format: 'email' } } }, { mail: 'nobody' })).toMatchObject({ path: ['mail'] });
    expect(check({ uniqueItems: true }, [1, '1', { a: 1, b: 2 }, { b: 2 }, 0])).toBeNull();
    expect(check({ uniqueItems: true }, [{ a: 1, b: [2] }, 3, { b: [2], a: 1 }])).toEqual({
      path: [],
      message: 'must NOT have duplicate items',
    });
    expect(check({ $id: 'https://example.com/a', $defs: { a: { type: 'string' } }, $ref: '#/$defs/a' }, 'x')).toBeNull();
    expect(check({ $id: 'https://example.com/a', $defs: { a: { type: 'number' } }, $ref: '#/$defs/a' }, 'x')).not.toBeNull();
  });

  test('checks recursion of every ordinary kind', async () => {
    const tree = { type: 'object', properties: { no: { type: 'integer' }, children: { type: 'array', items: { $ref: '#' } } } };
    expect(await validator.problemOf('app_1', tree)).toBeNull();
    expect(await check(tree, { no: 1, children: [{ no: 2, children: [] }] })).toBeNull();
    expect(await check(tree, { no: 1, children: [{ no: 'two' }] })).toEqual({ path: ['children', '0', 'no'], message: 'must be integer' });
    const anchored = { $defs: { n: { $anchor: 'node', properties: { next: { $ref: '#node' }, no: { type: 'number' } } } }, $ref: '#node' };
    expect(await check(anchored, { next: { next: { no: 1 } } })).toBeNull();
    expect(await check(anchored, { next: { next: { no: '1' } } })).toMatchObject({ path: ['next', 'next', 'no'] });
    const dynamic = { $dynamicAnchor: 'node', properties: { next: { $dynamicRef: '#node' }, no: { type: 'number' } } };
    expect(await check(dynamic, { next: { no: '1' } })).toMatchObject({ path: ['next', 'no'] });
  });

  test.each([
    ['$ref', { $ref: '#' }],
    ['$ref over another', { $defs: { a: { allOf: [{ $ref: '#/$defs/b' }] }, b: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' }],
    ['$dynamicRef', { $dynamicAnchor: 'node', allOf: [{ $dynamicRef: '#node' }] }],
  ])('refuses events of a schema whose %s leads back to itself, and goes on', async (_name, schema) => {
    const problem = await validator.problemOf('app_1', schema);
    if (problem === null) expect(await check(schema, { a: 1 })).toEqual({ unchecked: expect.stringContaining('too deep') });
    expect(await check(DOUBLING, { no: 1 })).toBeNull();
  });

  test.each<[string, unknown, unknown]>([
    ['two identical branches that recurse', DOUBLING, chain(40)],
    ['a pattern of 900 optional letters', { type: 'string', pattern: '([a-z]?){900}$' }, `${'a'.repeat(500_000)}!`],
  ])('ends a check of %s', async (_name, schema, payload) => {
    expect(await check(schema, payload)).toEqual({ unchecked: expect.stringMatching(/^it took (over 3 s|too much memory)$/) });
  });

  test('leaves the threads to others while the checks of one application hang', async () => {
    const hanging = Array.from({ length: 3 }, () => check(DOUBLING, chain(40), 'app_hostile'));
    const isOver = Promise.all(hanging).then(() => 'hostile');
    const others = Promise.all(Array.from({ length: 20 }, (_, no) => check(DOUBLING, { no }, `app_${no % 4}`))).then(() => 'others');
    expect(await Promise.race([isOver, others])).toBe('others');
    await isOver;
  });

  test('refuses what is left of a publish whose checks took all the time that it may take', async () => {
    const allowance = new CheckAllowance();
    allowance.leftMs = 0;
    const result = await validator.check('app_1', JSON.stringify(DOUBLING), { payload: {}, text: '{}', allowance });
    expect(result).toEqual({ unchecked: 'the events before it took all 6 s that one publish may take' });
  });

  test('compiles in the thread what takes an application over its share of the event loop', async () => {
    let now = 0;
    const slow = new SchemaValidator({ clock: { ...systemClock, monotonic: () => (now += 100) }, log: silentLog });
    try {
      const results = Array.from({ length: 10 }, (_, no) =>
        slow.check('app_1', JSON.stringify({ required: [`p${no}`] }), { payload: {}, text: '{}', allowance: new CheckAllowance() }),
      );
      expect(results.map((result) => result instanceof Promise)).toEqual([...Array(6).fill(false), ...Array(4).fill(true)]);
      expect(await Promise.all(results)).toEqual(results.map((_, no) => ({ path: [], message: `must have required property 'p${no}'` })));
      expect(slow.check('app_2', '{}', { payload: {}, text: '{}', allowance: new CheckAllowance() })).toBeNull();
    } finally {
      await slow.stop();
    }
  });

  test('says of a schema that can no longer be compiled that it is unusable', async () => {
    expect(await check({ type: 'strin' }, 'x')).toEqual({ unusable: expect.stringContaining('draft 2020-12') });
    expect(await check({ $ref: 'https://example.com/schema.json' }, 'x')).toEqual({
      unusable: expect.stringContaining('resolve reference'),
    });
  });
});

describe('The cost of a schema', () => {
  const costOf = (schema: object) => costPerChar(schema, JSON.stringify(schema));

  test('is small for ordinary ones, however many properties they name', () => {
    const properties = Object.fromEntries(Array.from({ length: 50 }, (_, no) => [`p${no}`, { type: 'string', maxLength: 10 }]));
    expect(costOf({ type: 'object', properties })).toBeLessThan(100);
    expect(costOf({ properties: { mail: { format: 'email' }, no: { pattern: '^[A-Z]{2}-\\d+$' } } })).toBeLessThan(500);
  });

  test('grows with each schema that is applied to the same value', () => {
    const one = costOf({ items: { anyOf: [{ type: 'string' }] } }) ?? 0;
    const many = costOf({ items: { anyOf: Array(50).fill({ type: 'string' }) } }) ?? 0;
    expect(many).toBeGreaterThan(20 * one);
  });

  test.each<[string, object]>([
    ['recursive', { properties: { next: { $ref: '#' } } }],
    ['recursive by anchor', { $dynamicAnchor: 'a', items: { $dynamicRef: '#a' } }],
    [
      'of references that double, level by level',
      {
        $ref: '#/$defs/d0',
        $defs: Object.fromEntries(
          Array.from({ length: 20 }, (_, no) => [`d${no}`, { allOf: [{ $ref: `#/$defs/d${no + 1}` }, { $ref: `#/$defs/d${no + 1}` }] }]),
        ),
      },
    ],
    ['of a counted pattern', { pattern: '([a-z]?){900}$' }],
    ['large', { enum: Array.from({ length: 3_000 }, (_, no) => no) }],
    ['of a format that backtracks', { format: 'url' }],
  ])('has no bound for one that is %s', (_name, schema) => {
    expect(costOf(schema)).toBeNull();
  });
});

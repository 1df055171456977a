import { compileSchema, type PayloadCheck } from '../../src/events/payload-schema';

function checkOf(schema: unknown): PayloadCheck {
  const compiled = compileSchema(schema);
  if ('problem' in compiled) throw new Error(compiled.problem);
  return compiled.check;
}

describe('A payload schema', () => {
  test('takes what fits and names the place of what does not', () => {
    const check = checkOf({
      type: 'object',
      required: ['no'],
      properties: { no: { type: 'integer' }, lines: { type: 'array', items: { type: 'object', properties: { sku: { type: 'string' } } } } },
    });
    expect(check({ no: 1, lines: [{ sku: 'A' }] })).toBeNull();
    expect(check({ no: 1, lines: [{ sku: 'A' }, { sku: 2 }] })).toEqual({ path: ['lines', '1', 'sku'], message: 'must be string' });
    expect(check({})).toEqual({ path: [], message: "must have required property 'no'" });
  });

  test('speaks draft 2020-12', () => {
    const check = checkOf({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $defs: { money: { type: 'object', properties: { amount: { type: 'number' } }, unevaluatedProperties: false } },
      prefixItems: [{ $ref: '#/$defs/money' }],
    });
    expect(check([{ amount: 1 }])).toBeNull();
    expect(check([{ amount: 1, extra: 2 }])).toMatchObject({ path: ['0'] });
  });

  test('checks formats and patterns, each its own', () => {
    const check = checkOf({
      properties: { mail: { format: 'email' }, a: { type: 'string', pattern: '^a+$' }, b: { type: 'string', pattern: '^b+$' } },
    });
    expect(check({ mail: 'ada@example.com', a: 'aa', b: 'bb' })).toBeNull();
    expect(check({ mail: 'nobody' })).toMatchObject({ path: ['mail'] });
    expect(check({ a: 'bb' })).toMatchObject({ path: ['a'] });
    expect(check({ b: 'aa' })).toMatchObject({ path: ['b'] });
  });

  test('runs a pattern that would hang a backtracking engine', () => {
    const check = checkOf({ type: 'string', pattern: '^(a+)+$' });
    expect(check(`${'a'.repeat(50_000)}!`)).toMatchObject({ path: [] });
  });

  test.each<[string, unknown, RegExp]>([
    ['not an object', true, /expected a JSON Schema/],
    ['another draft', { $schema: 'http://json-schema.org/draft-07/schema#' }, /draft 2020-12/],
    ['an unknown type', { type: 'strin' }, /draft 2020-12/],
    ['a reference that leads outside', { $ref: 'https://example.com/schema.json' }, /can't resolve reference/],
    ['a pattern with a back reference', { type: 'string', pattern: '(a)\\1' }, /draft 2020-12/],
    ['an asynchronous schema', { $async: true, type: 'object' }, /\$async/],
    ['a huge schema', { description: 'x'.repeat(70_000) }, /characters/],
  ])('%s is refused', (_name, schema, message) => {
    expect(compileSchema(schema)).toEqual({ problem: expect.stringMatching(message) });
  });

  test('of two tenants may have the same $id', () => {
    expect(checkOf({ $id: 'https://example.com/order', type: 'string' })('x')).toBeNull();
    expect(checkOf({ $id: 'https://example.com/order', type: 'number' })('x')).not.toBeNull();
  });
});

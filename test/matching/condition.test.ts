import { compileCondition } from '../../src/matching/condition';

const EVENT = {
  type: 'order.created',
  payload: {
    total: 120,
    currency: 'EUR',
    customer: { vip: true, name: 'Ada' },
    lines: [
      { sku: 'A-1', qty: 2 },
      { sku: 'B-2', qty: 9 },
    ],
    tags: ['new', 'gift'],
    note: null,
  },
};

function matches(filter: unknown): boolean {
  const compiled = compileCondition(filter);
  if ('problem' in compiled) throw new Error(compiled.problem);
  return compiled.condition(EVENT);
}

describe('A condition', () => {
  test.each<[unknown, boolean]>([
    [{}, true],
    [{ type: 'order.created' }, true],
    [{ type: 'order.deleted' }, false],
    ['{ "payload.total": { "$gt": 100 } }', true],
    [{ 'payload.total': 120 }, true],
    [{ 'payload.total': { $eq: 120 } }, true],
    [{ 'payload.total': { $ne: 120 } }, false],
    [{ 'payload.total': { $gt: 119, $lt: 121 } }, true],
    [{ 'payload.total': { $gte: 120 } }, true],
    [{ 'payload.total': { $lte: 119 } }, false],
    [{ 'payload.total': { $gt: '100' } }, false],
    [{ 'payload.currency': { $in: ['USD', 'EUR'] } }, true],
    [{ 'payload.currency': { $nin: ['USD', 'EUR'] } }, false],
    [{ 'payload.customer.vip': true }, true],
    [{ 'payload.customer.phone': { $exists: false } }, true],
    [{ 'payload.customer.name': { $exists: true } }, true],
    [{ 'payload.note': null }, true],
    [{ 'payload.currency': { $startsWith: 'EU' } }, true],
    [{ 'payload.currency': { $startsWith: 'U' } }, false],
    [{ 'payload.currency': { $endsWith: 'R' } }, true],
    [{ 'payload.total': { $startsWith: '1' } }, false],
    [{ type: { $startsWith: 'order.' } }, true],
    [{ 'payload.tags': 'gift' }, true],
    [{ 'payload.lines.sku': 'B-2' }, true],
    [{ 'payload.lines.1.qty': 9 }, true],
    [{ 'payload.lines': { $elemMatch: { sku: 'A-1', qty: 2 } } }, true],
    [{ 'payload.lines': { $elemMatch: { sku: 'A-1', qty: 9 } } }, false],
    [{ $and: [{ 'payload.total': { $gt: 100 } }, { 'payload.currency': 'EUR' }] }, true],
    [{ $or: [{ 'payload.total': { $gt: 1_000 } }, { 'payload.currency': 'EUR' }] }, true],
    [{ $or: [{ 'payload.total': { $gt: 1_000 } }, { 'payload.currency': 'USD' }] }, false],
    [{ 'payload.total': { $not: { $gt: 1_000 } } }, true],
    [{ $not: { 'payload.total': { $gt: 100 } } }, false],
    [{ 'payload.__proto__.polluted': { $exists: true } }, false],
  ])('%j gives %s', (filter, expected) => {
    expect(matches(filter)).toBe(expected);
  });

  test.each<[unknown, RegExp]>([
    [{ $where: 'while (true) {}' }, /unknown operator \$where/],
    [{ 'payload.name': { $regex: '(a+)+$' } }, /unknown operator \$regex/],
    [{ $and: [{ 'payload.name': { $regex: 'a' } }] }, /\$and\.0\.payload\.name\.\$regex: unknown operator/],
    [{ 'payload.x': { $not: { $where: '1' } } }, /unknown operator \$where/],
    [{ 'payload.x': { $elemMatch: { y: { $regex: 'a' } } } }, /unknown operator \$regex/],
    [{ 'payload.x': { $size: 1 } }, /unknown operator \$size/],
    [{ 'payload.x': { $gt: 1, y: 2 } }, /either operators or fields/],
    [{ 'payload.x': { $in: 'EUR' } }, /expected a list/],
    [{ 'payload.x': { $exists: 1 } }, /expected true or false/],
    [{ 'payload.x': { $gt: null } }, /expected a number or a string/],
    [{ 'payload.x': { $startsWith: 1 } }, /expected a string/],
    [{ $or: [] }, /expected a list of conditions/],
    [{ $or: [1] }, /expected a list of conditions/],
    [{ total: 1 }, /expected type or payload/],
    [{ $and: [{ total: 1 }] }, /expected type or payload/],
    [{ 'payload..x': 1 }, /expected a dotted path/],
    [[], /expected an object/],
    ['payload.total > 1', /expected an object/],
    [null, /expected an object/],
  ])('%j is refused', (filter, message) => {
    expect(compileCondition(filter)).toEqual({ problem: expect.stringMatching(message) });
  });

  test('is bounded in depth, parts and characters', () => {
    let deep: unknown = { 'payload.x': 1 };
    for (let level = 0; level < 50_000; level++) deep = { $and: [deep] };
    expect(compileCondition(deep)).toHaveProperty('problem');
    expect(compileCondition({ $or: Array.from({ length: 500 }, (_, x) => ({ 'payload.x': x })) })).toEqual({
      problem: expect.stringContaining('parts'),
    });
    expect(compileCondition({ 'payload.x': 'y'.repeat(20_000) })).toEqual({ problem: expect.stringContaining('characters') });
  });

  test('takes time that grows with the event only', () => {
    const payload = Array.from({ length: 3_000 }, () => [[[{ a: [[1]] }]]]);
    const compiled = compileCondition({ 'payload.a.a.a.a.a': 2, 'payload.a.b': { $ne: 1 } });
    if ('problem' in compiled) throw new Error(compiled.problem);
    expect(compiled.condition({ type: 'x', payload })).toBe(false);
  });
});

import { Selector } from '../../src/fanout/select';
import { compileCondition, meets } from '../../src/matching/condition';
import { MAX_UNITS_PER_MATCH, MatchBudget } from '../../src/matching/match-budget';
import { Slices } from '../../src/slices';
import type { LiveWebhook, Snapshot } from '../../src/webhooks/webhook-cache';

function conditionOf(filter: unknown) {
  const compiled = compileCondition(filter);
  if ('problem' in compiled) throw new Error(compiled.problem);
  return compiled.condition;
}

/** What a match has cost, and its answer. */
function costOf(filter: unknown, payload: unknown): { isMet: boolean | null; units: number } {
  const budget = new MatchBudget();
  return { isMet: meets(conditionOf(filter), { type: 'a.b', payload }, budget), units: budget.spent };
}

const many = <T>(length: number, of: (no: number) => T) => Array.from({ length }, (_, no) => of(no));

describe('The budget of a match', () => {
  test.each<[string, unknown, unknown]>([
    ['objects in $in', { 'payload.a': { $in: many(1_000, (no) => ({ no })) } }, { a: many(50_000, () => ({ no: -1 })) }],
    [
      '$elemMatch in arrays of arrays',
      { 'payload.a': { $elemMatch: { b: { $elemMatch: { c: { $gt: 1 } } } } } },
      { a: many(300, () => ({ b: many(300, () => ({ c: 1 })) })) },
    ],
    ['parts of $or for each element', { $or: many(60, (no) => ({ 'payload.a.b': no + 10 })) }, { a: many(50_000, () => ({ b: 1 })) }],
    ['long texts that are alike', { 'payload.a': 'x'.repeat(16_000) }, { a: many(5_000, () => 'x'.repeat(16_000).slice(1).concat('y')) }],
    ['long texts that are alike in order', { 'payload.a': { $gt: 'x'.repeat(16_000) } }, { a: many(5_000, () => 'x'.repeat(15_999)) }],
    ['long beginnings', { 'payload.a': { $startsWith: 'x'.repeat(16_000) } }, { a: many(5_000, () => 'x'.repeat(15_999)) }],
    ['arrays 100,000 deep', { 'payload.a': 1 }, { a: JSON.parse('['.repeat(100_000) + ']'.repeat(100_000)) }],
  ])('ends %s', (_, filter, payload) => {
    expect(costOf(filter, payload).isMet).toBeNull();
  });

  test('does not depend on how many texts and numbers a list has', () => {
    const payload = { a: many(10_000, (no) => `${no}`) };
    const short = costOf({ 'payload.a': { $in: ['none'] } }, payload);
    const long = costOf({ 'payload.a': { $in: many(1_500, (no) => `none${no}`) } }, payload);
    expect(long).toEqual(short);
    expect(costOf({ 'payload.a': { $nin: many(1_500, (no) => no) } }, payload).isMet).toBe(true);
  });

  test('suffices for a condition on each line of a large order', () => {
    const lines = many(2_000, (no) => ({ sku: `A-${no}`, qty: no % 7, price: { amount: no, currency: 'EUR' } }));
    const filter = { 'payload.lines': { $elemMatch: { sku: { $in: ['B-1', 'B-2'] }, qty: { $gt: 1 }, 'price.currency': 'EUR' } } };
    const { isMet, units } = costOf(filter, { lines });
    expect(isMet).toBe(false);
    expect(units).toBeLessThan(MAX_UNITS_PER_MATCH / 4);
  });

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])('finds payload.%s only where the payload has it', (name) => {
    expect(costOf({ [`payload.${name}`]: { $exists: true } }, {}).isMet).toBe(false);
    expect(costOf({ [`payload.${name}`]: null }, {}).isMet).toBe(true);
    expect(costOf({ [`payload.${name}`]: 1 }, JSON.parse(`{"${name}":1}`)).isMet).toBe(true);
    expect(costOf({ 'payload.a': { $elemMatch: JSON.parse(`{"${name}":1}`) } }, { a: [JSON.parse(`{"${name}":1}`)] }).isMet).toBe(true);
  });
});

describe('The webhooks that get an event', () => {
  const webhook = (id: string, filter: unknown = null, eventTypes = ['*']) =>
    ({ id, eventTypes, condition: filter === null ? null : conditionOf(filter), payloadQuery: null }) as unknown as LiveWebhook;
  const snapshotOf = (receiving: readonly LiveWebhook[]): Snapshot => ({ version: 1, receiving, byId: new Map() });
  const ids = (webhooks: readonly LiveWebhook[]) => webhooks.map(({ id }) => id);
  const costly = { 'payload.a': { $in: many(500, (no) => ({ no })) } };
  const event = { type: 'a.b', payloadText: JSON.stringify({ total: 5, a: many(2_000, () => ({ no: -1 })) }) };

  test('are those of its type whose conditions it meets; costly ones take nothing from the others', async () => {
    const all = [
      ...many(20, (no) => webhook(`costly ${no}`, costly)),
      webhook('cheap', { 'payload.total': 5 }),
      webhook('all'),
      webhook('other', null, ['c.d']),
    ];
    const { wanted, tooCostly } = await new Selector(new Slices()).select('app', event, snapshotOf(all));
    expect(ids(wanted)).toEqual(['cheap', 'all']);
    expect(tooCostly).toHaveLength(20);
  });

  test('are found in turns of the event loop that others share', async () => {
    let turns = 0;
    let isOver = false;
    const count = () => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    await new Selector(new Slices()).select('app', event, snapshotOf(many(8, (no) => webhook(`costly ${no}`, costly))));
    isOver = true;
    expect(turns).toBeGreaterThanOrEqual(7);
  });

  test('are not asked again after another webhook has changed', async () => {
    const asked: string[] = [];
    const counting = (id: string): LiveWebhook => ({ ...webhook(id), condition: () => asked.push(id) > 0 }) as LiveWebhook;
    const [first, second, third] = [counting('first'), counting('second'), counting('third')];
    const selector = new Selector(new Slices());
    const earlier = await selector.select('app', event, snapshotOf([first, second]));
    const later = await selector.select('app', event, snapshotOf([first, third]), earlier);
    expect(ids(later.wanted)).toEqual(['first', 'third']);
    expect(asked).toEqual(['first', 'second', 'third']);
  });
});

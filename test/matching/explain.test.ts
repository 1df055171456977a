import { compileCondition, meets } from '../../src/matching/condition';
import { explainerFor } from '../../src/matching/explain';
import { MatchBudget, OutOfBudget } from '../../src/matching/match-budget';

function isMet(filter: unknown, event: { type: string; payload: unknown }): boolean | null {
  const compiled = compileCondition(filter);
  if ('problem' in compiled) throw new Error(compiled.problem);
  return meets(compiled.condition, event);
}

const eventWith = (payload: unknown) => ({ type: 'order.created', payload });
const unmetOf = (filter: unknown, payload: unknown) => explainerFor(filter)(eventWith(payload), new MatchBudget());

const PAYLOADS = [
  {},
  null,
  7,
  { a: 1 },
  { a: [1, 5, 9] },
  { a: { b: 'x' } },
  { a: [{ b: 1 }, { b: 'y' }] },
  { a: [[1], [2, 3]] },
  { a: null, c: 'text' },
];

const FILTERS = [
  { 'payload.a': 1 },
  { 'payload.a': { $gt: 3, $lt: 6 } },
  { 'payload.a': { $ne: 1 } },
  { 'payload.a': { $nin: [5], $exists: true } },
  { 'payload.a.b': { $in: ['x', 1] } },
  { $and: [{ 'payload.a': { $exists: true } }, { $or: [{ 'payload.a.b': 'y' }, { 'payload.c': { $startsWith: 't' } }] }] },
  { $or: [{ $and: [{ 'payload.a': 9 }, { type: 'order.paid' }] }, { 'payload.a': { $elemMatch: { b: 1 } } }] },
  { $not: { 'payload.a': { $gte: 1 } } },
  { 'payload.a': { $not: { $gt: 3 } }, type: { $endsWith: '.created' } },
];

test('whatever an event does not meet is told, and nothing of what it meets', () => {
  for (const filter of FILTERS)
    for (const payload of PAYLOADS) {
      const unmet = unmetOf(filter, payload);
      expect([filter, payload, unmet.length > 0]).toEqual([filter, payload, isMet(filter, eventWith(payload)) === false]);
    }
});

test('each part that is told is not met by itself, and has what is there', () => {
  expect(unmetOf({ 'payload.a': { $gt: 3, $lt: 6 }, type: 'order.paid' }, { a: 2 })).toEqual([
    { path: 'payload.a', operator: '$gt', expected: 3, found: '2' },
    { path: 'type', operator: '$eq', expected: 'order.paid', found: '"order.created"' },
  ]);
  expect(unmetOf({ $not: { 'payload.a': 1 } }, { a: 1 })).toEqual([
    { path: '', operator: '$not', expected: { 'payload.a': 1 }, found: null },
  ]);
});

test('what is there is shortened, and never a whole payload', () => {
  const foundIn = (a: unknown) => unmetOf({ 'payload.a': { $eq: 'other' } }, { a })[0]?.found;
  expect(foundIn('x'.repeat(10_000))).toHaveLength(202);
  expect(foundIn({ secret: 'all of it' })).toBe('an object');
  expect(foundIn([1, 2, 3])).toBe('a list of 3');
  const many = { a: Array.from({ length: 10_000 }, (_, no) => ({ b: no })) };
  expect(unmetOf({ 'payload.a.b': -1 }, many)[0]?.found).toBe('0, 1, 2, 3, 4, …');
});

test('explaining costs no more than a match may', () => {
  const filter = { $or: Array.from({ length: 60 }, (_, no) => ({ 'payload.a.b': no + 10 })) };
  const event = eventWith({ a: Array.from({ length: 50_000 }, () => ({ b: 1 })) });
  const budget = new MatchBudget();
  expect(() => explainerFor(filter)(event, budget)).toThrow(OutOfBudget);
  expect(budget.spent).toBeLessThanOrEqual(250_000);
});

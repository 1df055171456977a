import { readConfig } from '../../src/config';
import { createDatabase } from '../../src/data-source';
import { silentLog } from '../../src/log';
import { matchesAnyType, matchesType, typeCondition } from '../../src/matching/event-type-pattern';
import { describeEachDatabase } from '../support/databases';
import { withRows } from '../support/rows';
import { testEnvironment } from '../support/with-hub';

const PATTERNS = [
  '*',
  'order',
  'order.*',
  '*.created',
  '*.line.*',
  'order.created',
  'order.line.*',
  '*.line.added',
  'Order.*',
  'a.*',
  '*.a',
  '*.a.*',
  'a.a.*',
  '*.a.a',
  '*.a.a.*',
  '_.*',
  'a_b.*',
  '*.a_b',
  '100.*',
];
const TYPES = [
  'order',
  'order.created',
  'Order.created',
  'order.line',
  'order.line.added',
  'orders.created',
  'reorder.created',
  'line.added',
  'x.line.added',
  'a',
  'a.a',
  'a.a.a',
  'a.a.a.a',
  'b.a',
  'a.b',
  'aa.a',
  'a.aa',
  '_.a',
  'x.a_b',
  'axb.c',
  'a_b.c',
  '100.1',
  'created',
];

describe('A pattern', () => {
  test.each([
    ['*', ['a', 'a.b', 'a.b.c'], []],
    ['order.created', ['order.created'], ['order', 'order.created.x', 'Order.created', 'orderXcreated', 'order.create']],
    ['order.*', ['order.created', 'order.line.added'], ['order', 'orders.created', 'reorder.created', 'x.order.created']],
    ['*.created', ['order.created', 'order.line.created'], ['created', 'order.uncreated', 'order.created.x']],
    ['*.line.*', ['order.line.added', 'a.b.line.c.d'], ['line.added', 'order.line', 'order.lines.added', 'line']],
    ['*.a.*', ['a.a.a', 'b.a.c'], ['a.a', 'a.b', 'a']],
  ])('%s takes what it names', (pattern, taken, left) => {
    expect(taken.filter((type) => !matchesType(pattern, type))).toEqual([]);
    expect(left.filter((type) => matchesType(pattern, type))).toEqual([]);
  });

  test('among others is enough, and without any nothing is taken', () => {
    expect(matchesAnyType(['x.*', 'order.*'], 'order.created')).toBe(true);
    expect(matchesAnyType(['x.*', 'order'], 'order.created')).toBe(false);
    expect(matchesAnyType([], 'order.created')).toBe(false);
  });
});

describeEachDatabase('Patterns in SQL', (makeDatabase) => {
  test('take what they take in memory', async () => {
    const { url } = await makeDatabase();
    const database = createDatabase(readConfig(testEnvironment(url)).databaseUrl, silentLog);
    await database.open();
    await database.migrate();
    await database.transaction((tx) =>
      tx.insert(
        'events',
        ['application_id', 'sequence', 'id', 'type', 'payload', 'occurred_at', 'created_at'],
        TYPES.map((type, index) => ['app', index + 1, `evt_${index}`, type, '1', 0, 0]),
      ),
    );
    await database.close();
    const sets = [...PATTERNS.map((pattern) => [pattern]), ['order', '*.a'], ['x.*', '*.line.*', 'a'], []];
    await withRows(url, async (query) => {
      for (const patterns of sets) {
        const [condition, ...values] = typeCondition(patterns);
        const rows = await query<{ type: string }>(`SELECT type FROM events WHERE ${condition} ORDER BY sequence`, values);
        expect([patterns, rows.map(({ type }) => type)]).toEqual([patterns, TYPES.filter((type) => matchesAnyType(patterns, type))]);
      }
    });
  });
});

import { MINUTE, SECOND } from '../../src/clock';
import { SeenTypes } from '../../src/events/seen-types';
import { Facts } from '../../src/facts';
import { silentLog } from '../../src/log';
import type { Database, Tx } from '../../src/store/database';
import { FakeClock } from '../support/fake-clock';

const APP = 'app_0123456789ab';

/** Counts what is written: the types of each statement that inserts. */
function rig() {
  const clock = new FakeClock();
  const written: string[][] = [];
  const tx = {
    dialect: { insertIgnore: 'INSERT IGNORE', forShare: '', oneOf: () => ({ sql: '1 = 1', parameters: [] }) },
    query: async (sql: string) => (sql.includes('counters') ? [{ application_id: APP }] : [{ types: 0 }]),
    execute: async (sql: string, parameters: readonly unknown[]) => {
      if (!sql.startsWith('INSERT')) return 0;
      written.push(parameters.filter((_, index) => index % 4 === 1) as string[]);
      return written.at(-1)?.length ?? 0;
    },
  } as unknown as Tx;
  const database = { transaction: <T>(work: (given: Tx) => Promise<T>) => work(tx) } as unknown as Database;
  const seen = new SeenTypes({ database, clock, log: silentLog, facts: new Facts() });
  return { seen, clock, written, see: (...types: string[]) => seen.see(types.map((type) => ({ applicationId: APP, type }))) };
}

test('a type is written within a second, and then once a minute, however many events have it', async () => {
  const { seen, clock, written, see } = rig();
  for (let no = 0; no < 1_000; no++) see('order.created', 'order.paid', 'livehook.webhook.failing');
  expect(written).toEqual([]);
  await clock.advanceAsync(SECOND);
  expect(written).toEqual([['order.created', 'order.paid']]);
  for (let passed = 0; passed < 3; passed++) {
    await clock.advanceAsync(MINUTE / 2);
    see('order.created');
  }
  await clock.advanceAsync(SECOND);
  expect(written).toEqual([['order.created', 'order.paid'], ['order.created']]);
  await seen.stop();
});

test('of an application that makes up a type for each event a hundred are written at a time', async () => {
  const { seen, clock, written, see } = rig();
  for (let no = 0; no < 5_000; no++) see(`order.n${no}`);
  await clock.advanceAsync(SECOND);
  expect(written.map(({ length }) => length)).toEqual([100]);
  await seen.stop();
});

import { Stats } from '../../src/attempts/stats';
import { HOUR, MINUTE } from '../../src/clock';
import { Facts } from '../../src/facts';
import { silentLog } from '../../src/log';
import type { Database, Tx } from '../../src/store/database';
import { FakeClock } from '../support/fake-clock';

const SHOP = 'app_0123456789ab';
const HOOK = 'whk_0123456789ab00000000';

/** Rows by what identifies them: replaced whole, as the table does. */
function tableOf() {
  const rows = new Map<string, readonly unknown[]>();
  const execute = async (_sql: string, parameters: readonly unknown[] = []) => {
    for (let start = 0; start < parameters.length; start += 7) {
      const row = parameters.slice(start, start + 7);
      rows.set(row.slice(0, 3).join(' '), row);
    }
    return 1;
  };
  const database = { transaction: <T>(work: (tx: Tx) => Promise<T>) => work({ execute } as unknown as Tx) } as unknown as Database;
  const countOf = (owner: string, at: number) =>
    [...rows.values()].filter((row) => row[0] === owner && row[1] === at).reduce((sum, row) => sum + Number(row[3]), 0);
  return { database, countOf };
}

test('an attempt that is settled late is counted in the span in which it ended, beside those that are written already', async () => {
  const clock = new FakeClock();
  const { database, countOf } = tableOf();
  const stats = new Stats({ instanceId: 'ins_one', database, clock, log: silentLog, facts: new Facts() });
  const began = clock.now() - (clock.now() % (15 * MINUTE));
  const attempt = (endedAt: number) => ({ webhookId: HOOK, isSuccess: true, durationMs: 5, bytes: 10, endedAt });
  stats.add([attempt(began)]);
  await stats.flush();
  clock.advance(HOUR);
  stats.add([attempt(clock.now())]);
  await stats.flush();
  stats.add([attempt(began + 1), attempt(began + 2)]);
  await stats.flush();
  stats.add([attempt(began + 3)]);
  await stats.flush();
  for (const owner of [HOOK, SHOP]) expect([owner, countOf(owner, began)]).toEqual([owner, 4]);
  await stats.stop();
});

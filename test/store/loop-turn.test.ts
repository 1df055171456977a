import { nextTurn } from '../../src/slices';
import type { Database } from '../../src/store/database';
import { LoopTurn } from '../../src/store/loop-turn';
import { Webhook } from '../../src/webhooks/webhook';
import { describeEachDatabase } from '../support/databases';
import { withStore } from './with-store';

/** Some milliseconds of work. */
const COUNT =
  'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT COUNT(*) AS n FROM n a, n b WHERE a.i = b.i + ?';

/** As the records of a page are read. */
async function readAll({ read }: Database): Promise<void> {
  for (let no = 0; no < 20; no++) await read.manager.createQueryBuilder(Webhook, 'w').where('w.id > :no', { no }).getMany();
}

test('What waits for a turn goes on in the order it came, one in each turn, the urgent and the usual by turns', async () => {
  let now = 0;
  const turn = new LoopTurn({ monotonic: () => now });
  expect(turn.take('usual')).toBeUndefined();
  expect(turn.take('usual')).toBeUndefined(); // there is time left
  now += 10;
  const done: string[] = [];
  const work = async (urgency: 'usual' | 'urgent', name: string) => {
    await turn.take(urgency);
    done.push(name);
    now += 10;
  };
  const all = Promise.all([...['a', 'b', 'c', 'd'].map((name) => work('usual', name)), ...['X', 'Y'].map((name) => work('urgent', name))]);
  await all;
  expect(done.join('')).toBe('XaYbcd');
  await nextTurn();
  expect(turn.take('urgent')).toBeUndefined();
});

describeEachDatabase('The event loop', (makeDatabase) => {
  test.each(['transactions', 'reads', 'reads of records', 'statements of a transaction'])(
    'turns between %s that follow each other',
    async (kind) => {
      await withStore(makeDatabase, async ({ database }) => {
        let turns = 0;
        let isOver = false;
        const counting = (async () => {
          for (; !isOver; turns++) await nextTurn();
        })();
        const began = performance.now();
        const isUnderWay = () => performance.now() - began < 200;
        if (kind === 'reads') for (let no = 0; isUnderWay(); no++) await database.read.query(COUNT, [no]);
        else if (kind === 'reads of records') while (isUnderWay()) await readAll(database);
        else if (kind === 'transactions') for (let no = 0; isUnderWay(); no++) await database.transaction((tx) => tx.query(COUNT, [no]));
        else
          await database.transaction(async (tx) => {
            for (let no = 0; isUnderWay(); no++) await tx.query(COUNT, [no]);
          });
        isOver = true;
        await counting;
        expect(turns).toBeGreaterThan(5);
      });
    },
  );
});

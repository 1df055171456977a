import { nextTurn } from '../../src/slices';
import { describeEachDatabase } from '../support/databases';
import { withStore } from './with-store';

/** Some milliseconds of work. */
const COUNT =
  'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT COUNT(*) AS n FROM n a, n b WHERE a.i = b.i + ?';

describeEachDatabase('The event loop', (makeDatabase) => {
  test.each(['transactions', 'reads', 'statements of a transaction'])('turns between %s that follow each other', async (kind) => {
    await withStore(makeDatabase, async ({ database }) => {
      let turns = 0;
      let isOver = false;
      const counting = (async () => {
        for (; !isOver; turns++) await nextTurn();
      })();
      const began = performance.now();
      const isUnderWay = () => performance.now() - began < 200;
      if (kind === 'reads') for (let no = 0; isUnderWay(); no++) await database.read.query(COUNT, [no]);
      else if (kind === 'transactions') for (let no = 0; isUnderWay(); no++) await database.transaction((tx) => tx.query(COUNT, [no]));
      else
        await database.transaction(async (tx) => {
          for (let no = 0; isUnderWay(); no++) await tx.query(COUNT, [no]);
        });
      isOver = true;
      await counting;
      expect(turns).toBeGreaterThan(5);
    });
  });
});

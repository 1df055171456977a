import { ApiKeys } from '../../src/applications/api-keys';
import { KeyLookup } from '../../src/applications/key-lookup';
import { HubError } from '../../src/errors';
import { Facts } from '../../src/facts';
import { silentLog } from '../../src/log';
import type { Database } from '../../src/store/database';
import { withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';

/** How often a database is read from now on; every look at it is a query here. */
function countReads(database: Database): () => number {
  const reads = jest.spyOn(database, 'urgentRead', 'get');
  return () => reads.mock.calls.length;
}

const guesses = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `lhk_guess_${from + index}`);

describeEachDatabase('Keys that are guessed', (makeDatabase) => {
  test('cost a query for every five hundred that wait, and beyond five thousand they are sent away', async () => {
    await withStore(makeDatabase, async ({ database }) => {
      const lookup = new KeyLookup(database);
      const reads = countReads(database);
      const asked = guesses(50_000).map((hash) => lookup.find(hash).catch((error: unknown) => error));
      expect(lookup.waiting).toBe(5_000);
      const answers = await Promise.all(asked);
      const refused = answers.filter((answer) => answer !== null);
      expect(refused).toHaveLength(50_000 - 5_001);
      expect(new Set(refused.map((error) => (error as HubError).code))).toEqual(new Set(['RATE_LIMITED']));
      expect([reads(), lookup.waiting]).toEqual([11, 0]);
      expect(await lookup.find('another')).toBeNull();
    });
  });

  test('are remembered for a second, ten thousand of them, and push no key out', async () => {
    await withStore(makeDatabase, async ({ database }) => {
      const clock = new FakeClock();
      const keys = new ApiKeys({ database, clock, log: silentLog, facts: new Facts() });
      const { token } = await keys.create({});
      expect(await keys.authenticate(token)).not.toBeNull();
      const reads = countReads(database);
      for (let round = 0; round < 10; round++)
        expect(await Promise.all(guesses(3_000, round * 3_000).map((guess) => keys.authenticate(guess)))).toEqual(Array(3_000).fill(null));
      expect(keys.remembered).toBe(10_001);
      const before = reads();
      for (let times = 0; times < 100; times++) {
        expect(await keys.authenticate('lhk_guess_29999')).toBeNull();
        expect(await keys.authenticate(token)).not.toBeNull();
      }
      expect(reads()).toBe(before);
      clock.advance(1_000);
      expect(await keys.authenticate('lhk_guess_29999')).toBeNull();
      expect(reads()).toBe(before + 1);
    });
  });

  test('keep no key out that was valid before, however many wait', async () => {
    await withStore(makeDatabase, async ({ database }) => {
      const clock = new FakeClock();
      const keys = new ApiKeys({ database, clock, log: silentLog, facts: new Facts() });
      const [{ token, apiKey }, late] = [await keys.create({}), await keys.create({})];
      expect(await keys.authenticate(token)).not.toBeNull();
      const flooded = async () => {
        clock.advance(1_000);
        keys.forget();
        const flood = guesses(6_000).map((guess) => keys.authenticate(guess).catch((error: unknown) => error));
        const answers = Promise.all([token, late.token].map((one) => keys.authenticate(one).catch((error: HubError) => error.code)));
        await Promise.all(flood);
        return answers;
      };
      expect(await flooded()).toEqual([expect.objectContaining({ applicationId: null }), 'RATE_LIMITED']);
      await keys.revoke(apiKey.id);
      expect(await keys.authenticate(token)).toBeNull();
      expect(await flooded()).toEqual(['RATE_LIMITED', 'RATE_LIMITED']); // it is known no more
    });
  });

  test('do not keep a key from being revoked, or made, in their midst', async () => {
    await withStore(makeDatabase, async ({ database }) => {
      const keys = new ApiKeys({ database, clock: new FakeClock(), log: silentLog, facts: new Facts() });
      const { token, apiKey } = await keys.create({});
      const flood = guesses(4_000).map((guess) => keys.authenticate(guess));
      const admitted = keys.authenticate(token);
      const made = keys.create({});
      expect(await admitted).not.toBeNull();
      expect(await keys.authenticate((await made).token)).not.toBeNull();
      await keys.revoke(apiKey.id);
      expect(await keys.authenticate(token)).toBeNull();
      await Promise.all(flood);
    });
  });
});

import { deliveryId } from '../../src/ids';
import { Ordering } from '../../src/webhooks/webhook';
import { withStore } from '../store/with-store';
import { createSqliteDatabase } from '../support/databases';
import { ordered, storeKeyed } from './engine-rig';
import { ANSWERED_500, SUCCESS, turns } from './parts';

/** mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

describe.each([Ordering.BY_KEY, Ordering.STRICT])('Whatever comes in between, with the order %s', (ordering) => {
  test.each([1, 2, 3])('nothing is sent while something before it has not ended, and all is sent in the end (seed %i)', async (seed) => {
    const made: { drop(): Promise<unknown> }[] = [];
    const makeDatabase = async () => {
      const database = await createSqliteDatabase();
      made.push(database);
      return database;
    };
    await withStore(makeDatabase, async (store) => {
      const random = randomFrom(seed);
      const { applicationId, webhookId, rig } = await ordered(
        store,
        ordering,
        { isPolling: true },
        { maxConcurrency: 3, retrySchedule: Array(30).fill(1) },
      );
      const keys: (string | null)[] = [];
      const ended = new Set<number>();
      const overtakings: string[] = [];
      let isPaused = false;
      let seen = 0;
      const isBefore = (earlier: number, later: number) =>
        ordering === Ordering.STRICT || (keys[earlier - 1] !== null && keys[earlier - 1] === keys[later - 1]);
      const check = () => {
        for (; seen < rig.sent.length; seen++) {
          const sequence = rig.sentSequences[seen] ?? 0;
          for (let earlier = 1; earlier < sequence; earlier++)
            if (isBefore(earlier, sequence) && !ended.has(earlier)) overtakings.push(`${sequence} before ${earlier}`);
          if (ended.has(sequence)) overtakings.push(`${sequence} again`);
        }
      };
      const answered = new Set<object>();
      const publish = async (count: number) => {
        const more = Array.from({ length: count }, () => (random() < 0.2 ? null : `key ${Math.floor(random() * 4)}`));
        keys.push(...more);
        await storeKeyed(store, applicationId, more);
        rig.orderedClaimer.look(webhookId);
      };
      const answer = (isSuccess: boolean) => {
        const waiting = rig.sent.filter((request) => !answered.has(request));
        const request = waiting[Math.floor(random() * waiting.length)];
        if (!request) return;
        answered.add(request);
        if (isSuccess) ended.add(request.job.event.sequence);
        request.end(isSuccess ? SUCCESS : ANSWERED_500);
      };
      const oneThatWaits = () => deliveryId(1 + Math.floor(random() * keys.length), webhookId);
      const steps: (() => Promise<unknown> | unknown)[] = [
        () => publish(1 + Math.floor(random() * 5)),
        () => answer(true),
        () => answer(true),
        () => answer(false),
        () => rig.settle(),
        () => rig.settle(),
        () => rig.comeDue(webhookId),
        () => rig.pass(500),
        () => rig.orderedClaimer.look(webhookId),
        () => {
          isPaused = !isPaused;
          return rig.change(webhookId, { isPaused });
        },
        () => void rig.facts.leaseRegained.emit(),
        async () => {
          const [id] = rig.dispatcher.withdraw([oneThatWaits()]);
          if (id === undefined) return;
          if (random() < 0.5) await rig.quiet();
          rig.releaser.release([id]);
        },
        async () => {
          const id = oneThatWaits();
          const cancelled = await store.execute(
            "UPDATE deliveries SET status = 'CANCELLED', owner = NULL, due_at = NULL WHERE id = ? AND owner IS NOT NULL",
            [id],
          );
          if (cancelled === 0) return;
          const sequence = 1 + keys.findIndex((_, index) => deliveryId(index + 1, webhookId) === id);
          const isOut = rig.sent.some((request) => request.job.deliveryId === id && !answered.has(request));
          if (!isOut) ended.add(sequence);
          rig.facts.deliveriesCancelled.emit({ deliveryIds: [id] });
          cancelledSequences.add(sequence);
        },
      ];
      const cancelledSequences = new Set<number>();
      rig.orderedClaimer.start();
      rig.poller.start();
      await publish(8);
      for (let count = 0; count < 80; count++) {
        await steps[Math.floor(random() * steps.length)]?.();
        if (random() < 0.5) await rig.quiet();
        for (const sequence of cancelledSequences)
          if (!rig.sent.some((request) => request.job.event.sequence === sequence && !answered.has(request))) ended.add(sequence);
        check();
      }
      if (isPaused) await rig.change(webhookId, { isPaused: false });
      const left = () => store.rows("SELECT id, status, owner, due_at FROM deliveries WHERE status IN ('PENDING', 'RETRYING')");
      for (let round = 0; round < 20 && (await left()).length > 0; round++) {
        await rig.comeDue(webhookId);
        await rig.pass(1_000);
        await rig.settle();
        check();
        while (rig.sent.some((request) => !answered.has(request))) {
          answer(true);
          await turns(2);
          await rig.settle();
          check();
        }
      }
      expect(overtakings).toEqual([]);
      expect(await left()).toEqual([]);
      await rig.stop();
    });
    await Promise.all(made.map((database) => database.drop()));
  });
});

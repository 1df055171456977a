import { Events } from '../../src/events/events';
import { deliveryId, sequenceOf } from '../../src/ids';
import { silentLog } from '../../src/log';
import { Replayer } from '../../src/replay/replayer';
import type { RetryJob } from '../../src/replay/retry-job';
import { RetryJobs } from '../../src/replay/retry-jobs';
import { Ordering } from '../../src/webhooks/webhook';
import { EngineRig, storeKeyed } from '../delivery/engine-rig';
import { ANSWERED_500 } from '../delivery/parts';
import { type Store, withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';

/** A webhook with so many failed deliveries, what sends to it, and what asks for them again. */
async function failed(store: Store, count: number, ordering = Ordering.NONE) {
  const applicationId = await store.application();
  const { id: webhookId } = await store.webhook(applicationId, { ordering, maxConcurrency: 1, retrySchedule: [] });
  const rig = new EngineRig(store, { isPolling: true });
  await storeKeyed(store, applicationId, Array(count).fill('k'));
  await store.execute("UPDATE deliveries SET status = 'FAILED', owner = NULL, due_at = NULL, attempt_count = 1, completed_at = ?", [
    rig.clock.now(),
  ]);
  const { database, clock, facts, instanceId } = rig;
  const shared = { instanceId, database, clock, log: silentLog, facts, webhooks: store.directory, events: new Events(database) };
  const delivery = {
    withdraw: (ids: readonly string[]) => rig.dispatcher.withdraw(ids),
    release: (ids: readonly string[]) => rig.releaser.release(ids),
  };
  // The job itself is made past the database that a test may make fail.
  const jobs = new RetryJobs({ ...shared, database: store.database });
  const replayer = new Replayer({ ...shared, delivery });
  replayer.start();
  const retried = async () => {
    const { id } = await jobs.retry(applicationId, {}, { isDryRun: false, authorId: 'key_1' });
    await rig.quiet();
    return {
      id,
      job: () => jobs.byId(id) as Promise<RetryJob>,
      cancel: async () => {
        await jobs.cancel(id);
        await rig.quiet();
      },
    };
  };
  /** Lets what is handed out end, and the job take its steps. */
  const goOn = async () => {
    for (let round = 0; round < 4; round++) {
      await rig.drain();
      await rig.pass(500);
    }
  };
  const stop = async () => {
    await replayer.stop();
    await rig.stop();
  };
  return { applicationId, webhookId, rig, replayer, retried, goOn, stop };
}

async function statuses(store: Store): Promise<string> {
  const rows = await store.rows<{ id: string; status: string }>('SELECT id, status FROM deliveries');
  return rows
    .sort((a, b) => sequenceOf(a.id) - sequenceOf(b.id))
    .map(({ status }) => status)
    .join(' ');
}

/** As a cancellation or a redaction does it. */
const cancelInDatabase = (store: Store, id: string) =>
  store.execute("UPDATE deliveries SET status = 'CANCELLED', owner = NULL, due_at = NULL, next_trigger = NULL WHERE id = ?", [id]);

describeEachDatabase('The replayer', (makeDatabase) => {
  test('hands out so many at a time, and more as attempts are written down, each once', async () => {
    await withStore(makeDatabase, async (store) => {
      const { rig, retried, goOn, stop } = await failed(store, 50);
      const { job } = await retried();
      expect((await statuses(store)).split(' ').filter((status) => status === 'RETRYING')).toHaveLength(20);
      await goOn();
      await goOn();
      expect(await job()).toMatchObject({ status: 'COMPLETED', total: 50, done: 50, failed: 0 });
      expect([...rig.sentSequences].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
      await stop();
    });
  });

  describe.each([Ordering.NONE, Ordering.BY_KEY, Ordering.STRICT])('for a webhook with the order %s', (ordering) => {
    test('counts what is cancelled and what is redacted while it runs as ended, and not as succeeded', async () => {
      await withStore(makeDatabase, async (store) => {
        const { applicationId, webhookId, rig, retried, goOn, stop } = await failed(store, 4, ordering);
        const { job } = await retried();
        expect(rig.sentSequences).toEqual([1]);
        const cancelled = deliveryId(2, webhookId);
        await cancelInDatabase(store, cancelled);
        rig.facts.deliveriesCancelled.emit({ deliveryIds: [cancelled] });
        await store.execute("UPDATE events SET redacted_at = 1, payload = '{}' WHERE sequence = 3");
        await cancelInDatabase(store, deliveryId(3, webhookId));
        rig.facts.eventRedacted.emit({ applicationId, sequence: 3 } as never);
        await goOn();
        expect(rig.sentSequences).toEqual([1, 4]);
        expect(await job()).toMatchObject({ status: 'COMPLETED', total: 4, done: 4, failed: 2 });
        await stop();
      });
    });

    test('takes back what waits when its job is cancelled, and counts what was under way', async () => {
      await withStore(makeDatabase, async (store) => {
        const { rig, retried, goOn, stop } = await failed(store, 3, ordering);
        const { job, cancel } = await retried();
        await cancel();
        expect([rig.sentSequences, rig.dispatcher.queued, await statuses(store)]).toEqual([[1], 0, 'RETRYING FAILED FAILED']);
        expect(await job()).toMatchObject({ status: 'CANCELLED', done: 0, completedAt: null });
        await rig.complete(1, ANSWERED_500);
        await goOn();
        expect(await job()).toMatchObject({ status: 'CANCELLED', done: 1, failed: 1, completedAt: expect.any(Date) });
        expect(await statuses(store)).toBe('FAILED FAILED FAILED');
        await stop();
      });
    });

    test('leaves one as it is that was cancelled while it was being taken back', async () => {
      await withStore(makeDatabase, async (store) => {
        const { webhookId, rig, retried, goOn, stop } = await failed(store, 3, ordering);
        const { cancel } = await retried();
        rig.beforeTransaction = async () => {
          rig.beforeTransaction = async () => {};
          await cancelInDatabase(store, deliveryId(2, webhookId));
        };
        await cancel();
        await goOn();
        expect([rig.sentSequences, await statuses(store)]).toEqual([[1], 'SUCCEEDED CANCELLED FAILED']);
        expect(await store.rows("SELECT id FROM deliveries WHERE owner = '' OR owner = ?", [rig.instanceId])).toEqual([]);
        await stop();
      });
    });

    test('gives back what it has taken out when that could not be written, and takes it back later', async () => {
      await withStore(makeDatabase, async (store) => {
        const { rig, retried, goOn, stop } = await failed(store, 3, ordering);
        const { job, cancel } = await retried();
        rig.failing = /SET status = \?, owner = \?/;
        await cancel();
        expect(await statuses(store)).toBe('RETRYING RETRYING RETRYING');
        rig.failing = undefined;
        await rig.pass(500);
        expect([rig.sentSequences, await statuses(store)]).toEqual([[1], 'RETRYING FAILED FAILED']);
        await goOn();
        expect(await job()).toMatchObject({ done: 1, completedAt: expect.any(Date) });
        await stop();
      });
    });
  });

  test('leaves a job to the instance that works on it, and takes it over once that has been gone for long enough', async () => {
    await withStore(makeDatabase, async (store) => {
      const { rig, retried, goOn, stop } = await failed(store, 2);
      const { job, id } = await retried();
      await store.execute(`UPDATE retry_jobs SET worker = 'ins_other', worker_until = ${store.database.dialect.now} + 60000 WHERE id = ?`, [
        id,
      ]);
      await rig.drain();
      await rig.pass(500);
      expect(await job()).toMatchObject({ status: 'RUNNING', done: 0, worker: 'ins_other' });
      await store.execute('UPDATE retry_jobs SET worker_until = 0 WHERE id = ?', [id]);
      await goOn();
      expect(await job()).toMatchObject({ status: 'COMPLETED', done: 2, worker: rig.instanceId });
      await stop();
    });
  });

  test('takes back its own of a cancelled job that another instance works on', async () => {
    await withStore(makeDatabase, async (store) => {
      const { rig, retried, stop } = await failed(store, 3);
      const { job, id, cancel } = await retried();
      await store.execute(`UPDATE retry_jobs SET worker = 'ins_other', worker_until = ${store.database.dialect.now} + 60000 WHERE id = ?`, [
        id,
      ]);
      await cancel();
      expect([rig.dispatcher.queued, await statuses(store)]).toEqual([0, 'RETRYING FAILED FAILED']);
      expect(await job()).toMatchObject({ status: 'CANCELLED', worker: 'ins_other', completedAt: null });
      await stop();
    });
  });

  test('takes what is left off where its webhook is deleted, and ends', async () => {
    await withStore(makeDatabase, async (store) => {
      const { webhookId, rig, retried, goOn, stop } = await failed(store, 3);
      const { job } = await retried();
      await rig.delete(webhookId);
      await goOn();
      expect(await job()).toMatchObject({ status: 'COMPLETED', done: 1, total: 1, completedAt: expect.any(Date) });
      await stop();
    });
  });

  test('goes on after the database has failed, and gives its jobs up when it is stopped', async () => {
    await withStore(makeDatabase, async (store) => {
      const { rig, retried, replayer } = await failed(store, 2);
      rig.failing = /INTO retry_job_items/;
      const { job } = await retried();
      expect(rig.sentSequences).toEqual([]);
      rig.failing = undefined;
      await rig.pass(500);
      await rig.pass(25);
      expect(rig.sentSequences).toEqual([1]);
      await replayer.stop();
      expect(await job()).toMatchObject({ worker: rig.instanceId, workerUntil: 0 });
      await rig.stop();
    });
  });
});

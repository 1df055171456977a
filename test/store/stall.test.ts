import { type Clock, systemClock } from '../../src/clock';
import type { Verdict } from '../../src/delivery/completion/settle';
import type { HubError } from '../../src/errors';
import { GroupCommitter, type Reservation } from '../../src/events/group-committer';
import { Facts } from '../../src/facts';
import { silentLog } from '../../src/log';
import { CommitInDoubt } from '../../src/store/database';
import { FakeClock } from '../support/fake-clock';
import { gate } from '../support/gate';
import { createMysqlDatabase } from '../support/mariadb';
import { withRows } from '../support/rows';
import { StallingProxy } from '../support/stalling-proxy';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';
import { completerOver, heartbeatOver } from './engine-parts';
import { newEvent, Store } from './with-store';

/** As in production, only shorter. */
const PATIENCE = { acquireMs: 300, silenceMs: 300 };

async function withStallingStore(work: (store: Store, proxy: StallingProxy, direct: Store) => Promise<void>): Promise<void> {
  const database = await createMysqlDatabase();
  const proxy = await StallingProxy.to(Number(new URL(database.url).port));
  const [store, direct] = [new Store(proxy.url(database.url), PATIENCE), new Store(database.url)];
  await Promise.all([store.database.open(), direct.database.open()]);
  try {
    await store.database.migrate();
    await work(store, proxy, direct);
  } finally {
    proxy.cutAndGoOn();
    await Promise.all([store.database.close(), direct.database.close()]);
    await proxy.close();
    await database.drop();
  }
}

function appenderOver({ database, directory, instanceId }: Store, clock: Clock = systemClock): GroupCommitter {
  const reserve = (): Reservation => ({ ownerFor: () => instanceId, release: () => {}, take: () => {} });
  return new GroupCommitter({ database, directory, clock, log: silentLog, delivery: { reserve }, facts: new Facts() });
}

const goOn = {
  'what was held passed on': (proxy: StallingProxy) => proxy.goOn(),
  'connections cut': (proxy: StallingProxy) => proxy.cutAndGoOn(),
};
const ENDS = Object.keys(goOn) as (keyof typeof goOn)[];

describe('A database that stalls without closing anything', () => {
  test.each(ENDS)('gives UNAVAILABLE in time, and serves again when the stall ends, %s', async (end) => {
    await withStallingStore(async ({ database }, proxy) => {
      proxy.stall();
      const many = Array.from({ length: 60 }, () => database.read.query('SELECT 1'));
      for (const one of [...many, database.transaction((tx) => tx.query('SELECT 1'))])
        await expect(one).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      goOn[end](proxy);
      const back = await until(() => database.read.query('SELECT 1 AS one'), { description: 'the database to answer' });
      expect(back).toEqual([{ one: 1 }]);
    });
  });

  test.each(ENDS)('in the midst of a transaction: nothing of it is stored, and its locks end, %s', async (end) => {
    await withStallingStore(async (store, proxy, direct) => {
      const applicationId = await store.application();
      const work = store.database.transaction(async (tx) => {
        await tx.execute("UPDATE applications SET name = 'new' WHERE id = ?", [applicationId]);
        proxy.stall();
        await tx.execute("UPDATE applications SET name = 'newer' WHERE id = ?", [applicationId]);
      });
      await expect(work).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      goOn[end](proxy);
      await direct.execute("UPDATE applications SET metadata = '{}' WHERE id = ?", [applicationId]);
      expect(await direct.rows('SELECT name FROM applications')).toEqual([{ name: 'shop' }]);
    });
  });

  test.each(['before', 'after'] as const)('at a COMMIT, %s the server has seen it, leaves the commit in doubt', async (when) => {
    await withStallingStore(async ({ database }, proxy) => {
      proxy.stallAtCommit = when;
      await expect(database.transaction((tx) => tx.query('SELECT 1'))).rejects.toThrow(CommitInDoubt);
    });
  });

  test.each(['before', 'after'] as const)(
    'at the COMMIT of a publish, %s the server has seen it, is answered by what became of it once that is known',
    async (when) => {
      await withStallingStore(async (store, proxy, direct) => {
        const applicationId = await store.application();
        await store.webhook(applicationId);
        const appender = appenderOver(store);
        proxy.stallAtCommit = when;
        const answer = appender.append({ applicationId, events: [newEvent()] }).then(
          ([appended]) => appended?.event.id,
          ({ code }) => code,
        );
        await until(() => proxy.isStalled, { description: 'the COMMIT to stall' });
        proxy.cutAndGoOn();
        const stored = await until(() => answer, { description: 'the answer' });
        expect(await direct.rows('SELECT id FROM events')).toEqual(when === 'after' ? [{ id: stored }] : []);
        if (when === 'before') expect(stored).toBe('UNAVAILABLE');
        const [next] = await appender.append({ applicationId, events: [newEvent()] });
        expect(next?.event.sequence).toBe(when === 'after' ? 2 : 1);
      });
    },
  );

  test('for too long after a COMMIT: the publish is answered, and the answer says that it may be stored', async () => {
    await withStallingStore(async (store, proxy, direct) => {
      const applicationId = await store.application();
      const clock = new FakeClock();
      proxy.stallAtCommit = 'after';
      const answer = appenderOver(store, clock).append({ applicationId, events: [newEvent()] });
      const refusal = answer.then(
        () => undefined,
        (error: HubError) => error,
      );
      let seen: HubError | undefined;
      void refusal.then((error) => {
        seen = error;
      });
      const isAnswered = () => {
        clock.advance(100);
        return seen !== undefined;
      };
      await until(isAnswered, { description: 'the answer' });
      expect(seen).toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('may be stored') });
      expect(await direct.count('events')).toBe(1);
    });
  });

  test('leaves no lock for hours: the server ends a connection that is silent for half a minute', async () => {
    await withStallingStore(async ({ database }) => {
      expect(await database.transaction((tx) => tx.query('SELECT @@session.wait_timeout AS seconds'))).toEqual([{ seconds: 30 }]);
      expect(await database.read.query('SELECT @@session.wait_timeout AS seconds')).toEqual([{ seconds: 30 }]);
    });
  });

  test('is closed all the same', async () => {
    await withStallingStore(async ({ database }, proxy) => {
      await database.read.query('SELECT 1');
      proxy.stall();
      await database.close();
    });
  });
});

describe('Outcomes while the database stalls', () => {
  test('wait, so many and no more, and are written once when it goes on', async () => {
    await withStallingStore(async (store, proxy, direct) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const verdicts: Verdict[] = [];
      for (let round = 0; round < 11; round++) verdicts.push(...(await store.verdicts(await store.publish(applicationId, 500))));
      let caughtUp = 0;
      const facts = new Facts();
      facts.settlingCaughtUp.on(() => caughtUp++);
      const completer = completerOver(store, { facts });
      proxy.stall();
      const accepted = verdicts.filter(({ finished }) => completer.add(finished)).length;
      expect(accepted).toBe(4_999);
      proxy.cutAndGoOn();
      await completer.drain();
      expect(caughtUp).toBe(1);
      expect(await direct.rows("SELECT id FROM deliveries WHERE status <> 'SUCCEEDED' OR attempt_count <> 1")).toEqual([]);
      expect(await direct.count('attempts')).toBe(5_500);
    });
  });
});

describe('A lease while the database stalls', () => {
  test('ends by the clock and not by a heartbeat that fails, and is regained when the stall ends', async () => {
    await withStallingStore(async ({ database, instanceId }, proxy) => {
      const clock = new FakeClock();
      let regained = 0;
      const { heartbeat, membership, facts } = heartbeatOver({ database }, instanceId, clock);
      facts.leaseRegained.on(() => regained++);
      await heartbeat.start();
      proxy.stall();
      clock.advance(8_999); // heartbeats hang meanwhile
      expect(membership.isLeaseHeld()).toBe(true);
      clock.advance(1);
      expect(membership.isLeaseHeld()).toBe(false);
      proxy.cutAndGoOn();
      const isRegained = () => {
        clock.advance(1_000);
        return regained > 0;
      };
      await until(isRegained, { description: 'the lease to be regained' });
      await heartbeat.stop();
    });
  });
});

describe('A hub whose database stalls', () => {
  test('answers UNAVAILABLE, is not ready, keeps what ends meanwhile, and goes on by itself', async () => {
    let proxy: StallingProxy | undefined;
    const makeDatabase = async () => {
      const database = await createMysqlDatabase();
      const made = await StallingProxy.to(Number(new URL(database.url).port));
      proxy = made;
      return { url: made.url(database.url), drop: () => made.close().then(database.drop) };
    };
    await withHub(makeDatabase, async ({ application, receiver, url, databaseUrl }) => {
      if (proxy === undefined) throw new Error('expected a proxy');
      const shop = await application();
      const slow = gate();
      receiver.answer('/hook', slow.answer);
      await shop.webhook('/hook', { timeoutSeconds: 30 });
      for (let count = 0; count < 3; count++) await shop.publish();
      await receiver.waitFor(3, '/hook');

      proxy.stall();
      slow.open();
      const refused = await shop.client.request('mutation { eventPublish(input: { type: "a", payload: 1 }) { event { id } } }');
      expect(refused.errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE' } }]);
      const ready = await fetch(`${url}/readyz`);
      expect([ready.status, await ready.json()]).toMatchObject([503, { database: 'unreachable' }]);

      proxy.goOn();
      await until(() => shop.publish(), { description: 'a publish to be taken' });
      await receiver.waitFor(4, '/hook');
      await withRows(databaseUrl, async (query) => {
        const delivered = () => query("SELECT id FROM deliveries WHERE status = 'SUCCEEDED' AND attempt_count = 1");
        await until(async () => (await delivered()).length >= 4, { description: 'every outcome to be written' });
        const sequences = await query<{ sequence: number }>('SELECT sequence FROM events ORDER BY sequence');
        expect(sequences.map(({ sequence }) => Number(sequence))).toEqual(sequences.map((_, index) => index + 1));
      });
    });
  });
});

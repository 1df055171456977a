import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { systemClock } from '../../src/clock';
import type { Finished } from '../../src/delivery/attempt';
import { GroupCommitter, type Reservation } from '../../src/events/group-committer';
import { Facts } from '../../src/facts';
import { silentLog } from '../../src/log';
import { CommitInDoubt } from '../../src/store/database';

import { gate } from '../support/gate';
import { createMysqlDatabase, type Mariadb, startMariadb } from '../support/mariadb';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';
import { completerOver } from './engine-parts';
import { newEvent, openable, Store } from './with-store';

/** Stands between the hub and its database, and cuts connections when told to. */
class CuttingProxy {
  readonly #server: Server;
  readonly #pairs = new Set<{ readonly inner: Socket; readonly outer: Socket }>();
  /** What to do with the next COMMIT: cut the connection before the server sees it, or after it has answered. */
  cutAtCommit: 'before' | 'after' | undefined;
  cuts = 0;

  static async to(port: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(port);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor(port: number) {
    this.#server = createServer((outer) => {
      const inner = connect(port, '127.0.0.1');
      const pair = { inner, outer };
      this.#pairs.add(pair);
      let swallows = false;
      const end = () => {
        this.#pairs.delete(pair);
        inner.destroy();
        outer.destroy();
      };
      for (const socket of [inner, outer]) socket.on('error', end).on('close', end);
      outer.on('data', (chunk: Buffer) => {
        const cut = chunk.subarray(5).toString('latin1') === 'COMMIT' ? this.cutAtCommit : undefined;
        if (cut === undefined) return void inner.write(chunk);
        this.cutAtCommit = undefined;
        this.cuts++;
        if (cut === 'before') return end();
        swallows = true;
        inner.write(chunk);
      });
      inner.on('data', (chunk: Buffer) => (swallows ? end() : void outer.write(chunk)));
    }).listen(0, '127.0.0.1');
  }

  url(direct: string): string {
    const url = new URL(direct);
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  async close(): Promise<void> {
    for (const { inner, outer } of this.#pairs) {
      inner.destroy();
      outer.destroy();
    }
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** A store whose connections go through a proxy. */
async function withProxiedStore(work: (store: Store, proxy: CuttingProxy) => Promise<void>): Promise<void> {
  const database = await createMysqlDatabase();
  const proxy = await CuttingProxy.to(Number(new URL(database.url).port));
  const store = new Store(proxy.url(database.url));
  await store.database.open();
  try {
    await store.database.migrate();
    await work(store, proxy);
  } finally {
    await store.database.close();
    await proxy.close();
    await database.drop();
  }
}

function appenderOver(store: Store): { readonly appender: GroupCommitter; readonly taken: string[] } {
  const taken: string[] = [];
  const reserve = (): Reservation => ({
    ownerFor: () => store.instanceId,
    release: () => {},
    take: (deliveries) => void taken.push(...deliveries.map(({ id }) => id)),
  });
  const { database, directory } = store;
  return {
    taken,
    appender: new GroupCommitter({ database, directory, clock: systemClock, log: silentLog, delivery: { reserve }, facts: new Facts() }),
  };
}

describe('A connection lost while committing', () => {
  test.each(['before', 'after'] as const)('is told apart from other failures, cut %s the server has seen the COMMIT', async (cut) => {
    await withProxiedStore(async (store, proxy) => {
      const applicationId = await store.application();
      proxy.cutAtCommit = cut;
      await expect(
        store.database.transaction((tx) => tx.execute("UPDATE applications SET name = 'new' WHERE id = ?", [applicationId])),
      ).rejects.toThrow(CommitInDoubt);
      expect(await store.rows('SELECT name FROM applications')).toEqual([{ name: cut === 'before' ? 'shop' : 'new' }]);
    });
  });

  test('is answered by what became of the publish: UNAVAILABLE when it is not stored', async () => {
    await withProxiedStore(async (store, proxy) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const { appender, taken } = appenderOver(store);
      proxy.cutAtCommit = 'before';
      await expect(appender.append({ applicationId, events: [newEvent()] })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(await store.count('events')).toBe(0);
      expect(taken).toEqual([]);
      const [again] = await appender.append({ applicationId, events: [newEvent()] });
      expect(again?.event.sequence).toBe(1);
    });
  });

  test('is answered by what became of the publish: the event when it is stored, and its deliveries are sent', async () => {
    await withProxiedStore(async (store, proxy) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const { appender, taken } = appenderOver(store);
      proxy.cutAtCommit = 'after';
      const [answer] = await appender.append({ applicationId, events: [newEvent()] });
      expect(proxy.cuts).toBe(1);
      expect(await store.rows('SELECT id FROM events')).toEqual([{ id: answer?.event.id }]);
      expect(await store.rows('SELECT id FROM deliveries')).toEqual(taken.map((id) => ({ id })));
      expect(taken).toHaveLength(1);
    });
  });

  test.each(['before', 'after'] as const)('leaves each outcome written once, cut %s the server has seen the COMMIT', async (cut) => {
    await withProxiedStore(async (store, proxy) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const verdicts = await store.verdicts(await store.publish(applicationId, 3));
      const completer = completerOver(store);
      proxy.cutAtCommit = cut;
      for (const { finished } of verdicts) completer.add(finished);
      await completer.drain();
      expect(proxy.cuts).toBe(1);
      expect(await store.rows('SELECT status, attempt_count FROM deliveries')).toEqual(
        Array(3).fill({ status: 'SUCCEEDED', attempt_count: 1 }),
      );
      expect(await store.count('attempts')).toBe(3);
    });
  });
});

describe('An outcome that cannot be stored', () => {
  test('holds up no other and is stored without its response', async () => {
    const database = await createMysqlDatabase();
    const store = new Store(database.url);
    await store.database.open();
    try {
      await store.database.migrate();
      const applicationId = await store.application();
      await store.webhook(applicationId);
      await store.execute('ALTER TABLE attempts MODIFY response_body VARCHAR(10) NULL');
      const batch = await store.publish(applicationId, 9);
      const verdicts = await store.verdicts(batch, (index) => ({ responseBody: index === 4 ? 'longer than it may be' : 'short' }));
      const completer = completerOver(store);
      for (const { finished } of verdicts as { finished: Finished }[]) completer.add(finished);
      await completer.drain();
      const rows = await store.rows<{ response_body: string | null; error: string | null }>('SELECT * FROM attempts ORDER BY id');
      expect(rows.map((row) => row.response_body)).toEqual(Array.from({ length: 9 }, (_, index) => (index === 4 ? null : 'short')));
      expect(rows[4]?.error).toMatch(/could not be stored/);
      expect(await store.rows("SELECT id FROM deliveries WHERE status <> 'SUCCEEDED'")).toEqual([]);
    } finally {
      await store.database.close();
      await database.drop();
    }
  });
});

describe('Transactions that lose a race', () => {
  test('are run again: two that lock the same rows in opposite orders both end', async () => {
    const database = await createMysqlDatabase();
    const store = new Store(database.url);
    await store.database.open();
    try {
      await store.database.migrate();
      const ids = [await store.application(), await store.application()];
      let tries = 0;
      let held = 0;
      const rename = (order: readonly string[], name: string) =>
        store.database.transaction(async (tx) => {
          const isFirstTry = ++tries <= 2;
          await tx.execute('UPDATE applications SET name = ? WHERE id = ?', [name, order[0]]);
          held++;
          if (isFirstTry) await until(() => held >= 2, { description: 'the other transaction to hold its first row' });
          await tx.execute('UPDATE applications SET name = ? WHERE id = ?', [name, order[1]]);
        });
      await Promise.all([rename(ids, 'one'), rename([...ids].reverse(), 'two')]);
      expect(tries).toBeGreaterThan(2);
    } finally {
      await store.database.close();
      await database.drop();
    }
  });
});

describe('Transactions that wait for a lock in vain', () => {
  test('are run again, and end when whoever holds it has ended', async () => {
    const database = await createMysqlDatabase();
    const [store, holder] = [new Store(database.url), openable(database.url)];
    await Promise.all([store.database.open(), holder.open()]);
    try {
      await store.database.migrate();
      const applicationId = await store.application();
      const release = gate();
      const released = release.answer().then(() => true);
      let isHeld = false;
      const held = holder.transaction(async (tx) => {
        await tx.execute("UPDATE counters SET version = 7 WHERE application_id = ? AND log = 'event'", [applicationId]);
        isHeld = true;
        // One that stands still would be ended by the server.
        await until(() => Promise.race([released, tx.query('SELECT 1').then(() => false)]), { description: 'the lock to be let go' });
      });
      await until(() => isHeld, { description: 'the lock to be held' });
      let tries = 0;
      const waiting = store.database.transaction(async (tx) => {
        if (++tries === 2) release.open();
        return tx.query<{ version: number }>("SELECT version FROM counters WHERE application_id = ? AND log = 'event' FOR UPDATE", [
          applicationId,
        ]);
      });
      expect(await waiting).toMatchObject([{ version: 7 }]);
      await held;
      expect(tries).toBe(2);
    } finally {
      await Promise.all([store.database.close(), holder.close()]);
      await database.drop();
    }
  });
});

describe('A transaction that stands still', () => {
  test('keeps nobody from publishing: the server ends it, and whoever was frozen in it learns that nothing is stored', async () => {
    const database = await createMysqlDatabase();
    const store = new Store(database.url);
    const frozen = openable(database.url);
    await Promise.all([store.database.open(), frozen.open()]);
    const thaw = gate();
    try {
      await store.database.migrate();
      const applicationId = await store.application();
      const lock = gate();
      const held = frozen.transaction(async (tx) => {
        await tx.execute("UPDATE counters SET last_sequence = 7 WHERE application_id = ? AND log = 'event'", [applicationId]);
        lock.open();
        await thaw.answer();
        await tx.query('SELECT 1');
      });
      await lock.answer();
      const { answers } = await store.append([{ applicationId, events: [newEvent()] }]);
      expect(answers[0]?.[0]?.event.sequence).toBe(1);
      thaw.open();
      await expect(held).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    } finally {
      thaw.open();
      await Promise.all([store.database.close(), frozen.close()]);
      await database.drop();
    }
  });
});

describe('A database that goes away', () => {
  let server: Mariadb;
  beforeAll(async () => {
    server = await startMariadb();
  });
  afterAll(() => server.stop());

  test('gives UNAVAILABLE until it is back', async () => {
    const database = openable(server.url);
    await database.open();
    try {
      const held = database.transaction(async (tx) => {
        await tx.query('SELECT 1');
        await server.kill('SIGKILL');
        return tx.query('SELECT 2');
      });
      await expect(held).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await expect(database.read.query('SELECT 1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await expect(database.transaction((tx) => tx.query('SELECT 1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await server.restart();
      expect(await until(() => database.read.query('SELECT 1 AS one'), { description: 'the database to answer' })).toEqual([{ one: 1 }]);
      expect(await database.transaction((tx) => tx.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);
    } finally {
      await database.close();
    }
  });

  test('loses no outcome and repeats no request: what ended meanwhile is written when it is back', async () => {
    const makeDatabase = async () => ({ url: server.url, drop: async () => {} });
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      const slow = gate();
      receiver.answer('/hook', slow.answer);
      await shop.webhook('/hook', { maxConcurrency: 5, timeoutSeconds: 30 });
      for (let count = 0; count < 5; count++) await shop.publish();
      await receiver.waitFor(5, '/hook');
      await server.kill('SIGKILL');
      slow.open();
      const refused = await shop.client.request('mutation { eventPublish(input: { type: "a", payload: 1 }) { event { id } } }');
      expect(refused.errors).toMatchObject([{ extensions: { code: 'UNAVAILABLE' } }]);
      await server.restart();
      const store = openable(databaseUrl);
      await store.open();
      try {
        const succeeded = () =>
          store.read.query<{ id: string }>("SELECT id FROM deliveries WHERE status = 'SUCCEEDED' AND attempt_count = 1");
        await until(async () => (await succeeded()).length === 5, { description: 'the outcomes to be written' });
        await until(() => shop.publish(), { description: 'a publish to be taken' });
        await receiver.waitFor(6, '/hook');
        expect(receiver.requests('/hook')).toHaveLength(6);
      } finally {
        await store.close();
      }
    });
  });
});

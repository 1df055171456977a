import * as fc from 'fast-check';
import { systemClock } from '../../src/clock';
import { Deliveries } from '../../src/deliveries/deliveries';
import { DeliveryStatus } from '../../src/deliveries/delivery';
import { releaseRows } from '../../src/deliveries/release-rows';
import { appendUpdates, readUpdates } from '../../src/deliveries/update-log';
import { claimDue } from '../../src/delivery/claim/claim-due';
import { JobLoader } from '../../src/delivery/claim/load-jobs';
import { Reconciler } from '../../src/delivery/claim/reconciler';
import { judge, settle } from '../../src/delivery/completion/settle';
import { Events } from '../../src/events/events';
import { Facts } from '../../src/facts';
import { deliveryId, newApplicationId, newInstanceId, webhookIdOf } from '../../src/ids';
import { silentLog } from '../../src/log';
import { CommitInDoubt } from '../../src/store/database';
import { describeEachDatabase } from '../support/databases';
import { insertCopies } from '../support/many-rows';
import { until } from '../support/until';
import { heartbeatOver } from './engine-parts';
import { afterAttempts, FAILURE, failingAt, newEvent, openable, type Store, withStore } from './with-store';

const ALL_TABLES = ['events', 'deliveries', 'attempts', 'delivery_updates'];

describeEachDatabase('Appending', (makeDatabase) => {
  test('sequences follow the order of commits, without a gap, however many transactions run at once', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const committed: number[][] = [];
      await Promise.all(
        Array.from({ length: 24 }, async (_, index) => {
          const batch = await store.publish(applicationId, 1 + (index % 5));
          committed.push(batch.stored.map(({ sequence }) => sequence));
        }),
      );
      const total = committed.flat().length;
      const numbers = Array.from({ length: total }, (_, index) => index + 1);
      expect(committed.flat().sort((a, b) => a - b)).toEqual(numbers);
      for (const own of committed) expect(own).toEqual(own.map((_, index) => (own[0] ?? 0) + index));
      expect(await store.rows('SELECT last_sequence FROM counters WHERE log = ? AND application_id = ?', ['event', applicationId])).toEqual(
        [{ last_sequence: total }],
      );
    });
  });

  test('a reader never sees a sequence while an earlier one is missing', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      let isDone = false;
      const reading = (async () => {
        while (!isDone) {
          const [row] = await store.rows<{ n: number; last: number | null }>('SELECT COUNT(*) AS n, MAX(sequence) AS last FROM events');
          expect(Number(row?.n)).toBe(Number(row?.last ?? 0));
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      await Promise.all(Array.from({ length: 30 }, () => store.publish(applicationId, 3)));
      isDone = true;
      await reading;
    });
  });

  test('a batch of several applications gives each its own sequences, and an unknown one leaves the others alone', async () => {
    await withStore(makeDatabase, async (store) => {
      const [one, two] = [await store.application(), await store.application()];
      const events = [newEvent(), newEvent()];
      const batch = await store.append([
        { applicationId: two, events },
        { applicationId: newApplicationId(), events },
        { applicationId: one, events },
        { applicationId: two, events },
      ]);
      expect(batch.answers.map((answer) => answer?.map(({ event }) => event.sequence) ?? null)).toEqual([[1, 2], null, [1, 2], [3, 4]]);
      expect(await store.count('events')).toBe(6);
    });
  });

  test('batches that name the same applications in opposite orders do not stand in each other’s way', async () => {
    await withStore(makeDatabase, async (store) => {
      const ids = [await store.application(), await store.application(), await store.application()];
      for (const id of ids) await store.webhook(id);
      await Promise.all(
        Array.from({ length: 20 }, (_, index) => {
          const order = index % 2 === 0 ? ids : [...ids].reverse();
          return store.append(order.map((applicationId) => ({ applicationId, events: [newEvent()] })));
        }),
      );
      for (const id of ids)
        expect(await store.rows('SELECT last_sequence FROM counters WHERE application_id = ? ORDER BY log', [id])).toEqual([
          { last_sequence: 20 },
          { last_sequence: 20 },
        ]);
    });
  });

  test('one idempotency key is one event: within a batch, across batches, and for publishes at once', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const other = await store.application();
      await store.webhook(applicationId);
      const keyed = (payloadText: string) => newEvent({ idempotencyKey: 'order-1', payloadText });
      const batch = await store.append([
        { applicationId, events: [keyed('1'), keyed('2')] },
        { applicationId, events: [keyed('3'), newEvent({ idempotencyKey: 'ORDER-1' })] },
        { applicationId: other, events: [keyed('4')] },
      ]);
      expect(batch.answers.map((answer) => answer?.map(({ event, deduplicated }) => [event.payloadText, deduplicated]))).toEqual([
        [
          ['1', false],
          ['1', true],
        ],
        [
          ['1', true],
          ['{}', false],
        ],
        [['4', false]],
      ]);
      const again = await Promise.all(Array.from({ length: 8 }, () => store.append([{ applicationId, events: [keyed('5')] }])));
      expect(again.map(({ answers }) => answers[0]?.[0]?.event.payloadText)).toEqual(Array(8).fill('1'));
      expect(again.every(({ deliveries, stored }) => deliveries.length === 0 && stored.length === 0)).toBe(true);
      expect(await store.count('deliveries')).toBe(2);
    });
  });

  test.each([
    'INSERT INTO events',
    'UPDATE counters SET last_sequence = \\?',
    'INSERT INTO deliveries',
    'last_sequence \\+ CASE',
    'INSERT INTO delivery_updates',
  ])('nothing is half stored when the statement "%s" fails, and the next batch takes the same sequences', async (statement) => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const requests = [{ applicationId, events: [newEvent(), newEvent()] }];
      await expect(store.append(requests, store.instanceId, failingAt(new RegExp(statement)))).rejects.toThrow('injected');
      for (const table of ALL_TABLES) expect([table, await store.count(table)]).toEqual([table, 0]);
      const batch = await store.append(requests);
      expect(batch.stored.map(({ sequence }) => sequence)).toEqual([1, 2]);
      expect(batch.updates.get(applicationId)?.map(({ sequence }) => sequence)).toEqual([1, 2]);
    });
  });

  test('payloads come back as they were given: long ones, every kind of character, keys in their order', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const payloads = [`{"z":1,"a":"\\u0000 \\ud800 𝄞 ${'漢'.repeat(300_000)}"}`, `"${'\\"'.repeat(400_000)}"`, '"\u2028\u0007"'];
      await store.append([{ applicationId, events: payloads.map((payloadText) => newEvent({ payloadText })) }]);
      const rows = await store.rows<{ payload: string }>('SELECT payload FROM events ORDER BY sequence');
      expect(rows.map(({ payload }) => payload === payloads[rows.findIndex((row) => row.payload === payload)])).toEqual([true, true, true]);
      expect(rows.map(({ payload }) => payload.length)).toEqual(payloads.map(({ length }) => length));
    });
  });
});

describeEachDatabase('Settling', (makeDatabase) => {
  test('nothing at all is no fault', async () => {
    await withStore(makeDatabase, async (store) => {
      expect(await store.settle([])).toEqual({ updates: new Map(), fenced: [] });
    });
  });

  test('of a batch in which all went well nothing is kept when one of them is no longer this instance’s, but the others', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const batch = await store.publish(applicationId, 3);
      const [first, taken, last] = batch.deliveries.map(({ id }) => id);
      await store.execute('UPDATE deliveries SET owner = ? WHERE id = ?', [newInstanceId(), taken]);

      const { fenced, updates } = await store.settle(await store.verdicts(batch));
      expect(fenced).toEqual([taken]);
      expect(updates.get(applicationId)?.map(({ deliveryId }) => deliveryId)).toEqual([first, last]);
      expect(updates.get(applicationId)?.map(({ sequence }) => sequence)).toEqual([4, 5]);
      for (const id of [first, last])
        expect(await store.delivery(id ?? '')).toMatchObject({ status: 'SUCCEEDED', attempt_count: 1, owner: null });
      expect(await store.delivery(taken ?? '')).toMatchObject({ status: 'PENDING', attempt_count: 0 });
      expect(await store.count('attempts')).toBe(2);
    });
  });

  test('a batch of successes, failures and retries moves each delivery on and writes every attempt down', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const batch = await store.publish(applicationId, 130);
      const verdicts = await store.verdicts(batch, (index) =>
        index % 3 === 0 ? {} : index % 3 === 1 ? FAILURE : { ...FAILURE, statusCode: 410 },
      );
      const { updates, fenced } = await store.settle(verdicts);
      expect(fenced).toEqual([]);
      expect(updates.get(applicationId)?.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 130 }, (_, index) => 131 + index));
      const [clock] = await store.rows<{ now: number }>(`SELECT ${store.database.dialect.now} AS now`);
      for (const [index, { id }] of batch.deliveries.entries()) {
        const row = await store.delivery(id);
        const isRetried = index % 3 === 1;
        expect(row).toMatchObject({
          status: ['SUCCEEDED', 'RETRYING', 'FAILED'][index % 3],
          attempt_count: 1,
          owner: isRetried ? '' : null,
          due_at: isRetried ? expect.any(Number) : null,
          completed_at: isRetried ? null : expect.any(Number),
        });
        const delayMs = Number(row.due_at) - Number(clock?.now);
        if (isRetried) expect(delayMs > 0 && delayMs <= 1_000).toBe(true);
      }
      expect(await store.count('attempts')).toBe(130);
    });
  });

  test('where no body could be made the attempt says so and fixes none; the first that is sent is fixed', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const batch = await store.publish(applicationId, 2);
      const failure = { outcome: 'PAYLOAD_ERROR', statusCode: null, error: 'the payload query failed' } as const;
      const verdicts = (await store.verdicts(batch, () => failure)).map(({ finished }, index) =>
        judge({ ...finished, body: index === 0 ? null : { key: 'a-document', bytes: Buffer.from('{"shaped":true}') } }, 0),
      );
      await store.database.transaction((tx) => settle(tx, verdicts, store.instanceId, () => {}));
      const { read } = store.database;
      expect(await read.query('SELECT status, body_key FROM deliveries ORDER BY id')).toEqual([
        { status: 'RETRYING', body_key: null },
        { status: 'RETRYING', body_key: 'a-document' },
      ]);
      expect(await read.query('SELECT body_key, body FROM bodies')).toEqual([{ body_key: 'a-document', body: '{"shaped":true}' }]);
      expect(await read.query('SELECT outcome, error FROM attempts ORDER BY id')).toEqual(
        Array(2).fill({ outcome: 'PAYLOAD_ERROR', error: 'the payload query failed' }),
      );
    });
  });

  test('what comes of a delivery is the same in the live update and in the database', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const batch = await store.publish(applicationId, 3);
      const verdicts = await store.verdicts(batch, (index) => (index === 0 ? {} : { ...FAILURE, statusCode: 410, durationMs: 5 + index }));
      const { updates } = await store.settle(verdicts);
      for (const { delivery } of updates.get(applicationId) ?? []) {
        const row = await store.delivery(delivery?.id ?? '');
        expect(delivery).toMatchObject({
          status: row.status,
          attemptCount: row.attempt_count,
          completedAt: new Date(Number(row.completed_at)),
        });
      }
    });
  });

  test('an attempt counts only while its delivery is this instance’s and nobody made another one since', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const batch = await store.publish(applicationId, 5);
      const [mine, rescued, taken, moved, cancelled] = batch.deliveries.map(({ id }) => id);
      await store.execute("UPDATE deliveries SET owner = '' WHERE id = ?", [rescued]);
      await store.execute('UPDATE deliveries SET owner = ? WHERE id = ?', [newInstanceId(), taken]);
      await store.execute('UPDATE deliveries SET attempt_count = 1 WHERE id = ?', [moved]);
      await store.execute("UPDATE deliveries SET status = 'CANCELLED', owner = NULL, due_at = NULL WHERE id = ?", [cancelled]);

      const { fenced, updates } = await store.settle(await store.verdicts(batch));
      expect([...fenced].sort()).toEqual([rescued, taken, moved].sort());
      expect(updates.get(applicationId)?.map(({ deliveryId }) => deliveryId)).toEqual([mine]);
      expect(await store.delivery(mine ?? '')).toMatchObject({ status: 'SUCCEEDED', attempt_count: 1 });
      for (const id of [rescued, taken]) expect(await store.delivery(id ?? '')).toMatchObject({ status: 'PENDING', attempt_count: 0 });
      expect(await store.delivery(moved ?? '')).toMatchObject({ status: 'PENDING', attempt_count: 1, owner: store.instanceId });
      expect(await store.delivery(cancelled ?? '')).toMatchObject({ status: 'CANCELLED', attempt_count: 1, owner: null });
      expect(await store.count('attempts')).toBe(2);
    });
  });

  test('a batch that is settled once more, its first commit having been in doubt, does nothing twice', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const batch = await store.publish(applicationId, 4);
      await store.execute("UPDATE deliveries SET status = 'CANCELLED', owner = NULL WHERE id = ?", [batch.deliveries[3]?.id]);
      const verdicts = await store.verdicts(batch, (index) => (index === 1 ? FAILURE : {}));
      await store.settle(verdicts);
      const before = await store.rows('SELECT * FROM deliveries ORDER BY id');
      const { updates } = await store.settle(verdicts);
      expect(updates.size).toBe(0);
      expect(await store.rows('SELECT * FROM deliveries ORDER BY id')).toEqual(before);
      expect(await store.count('attempts')).toBe(4);
    });
  });

  test('a retried delivery that this instance has claimed again is settled by its new attempt, not by the old one', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const batch = await store.publish(applicationId, 1);
      const verdicts = await store.verdicts(batch, () => FAILURE);
      await store.settle(verdicts);
      await store.execute('UPDATE deliveries SET owner = ?', [store.instanceId]);
      expect((await store.settle(verdicts)).fenced).toHaveLength(1);
      expect((await store.settle(verdicts.map((verdict) => afterAttempts(verdict, 1)))).fenced).toEqual([]);
      expect(await store.delivery(batch.deliveries[0]?.id ?? '')).toMatchObject({ attempt_count: 2 });
    });
  });

  test('an attempt by hand takes no place in the schedule, and where it fails what was due before it is due again', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const batch = await store.publish(applicationId, 3);
      const ids = batch.deliveries.map(({ id }) => id);
      const [retrying = '', failed = '', cancelled = ''] = ids;
      const shared = { database: store.database, clock: systemClock, instanceId: store.instanceId, facts: new Facts() };
      const deliveries = new Deliveries(shared);
      await store.execute("UPDATE deliveries SET status = 'RETRYING', owner = '', due_at = 9999999999999, attempt_count = 1 WHERE id = ?", [
        retrying,
      ]);
      await store.execute("UPDATE deliveries SET status = 'FAILED', owner = NULL, due_at = NULL, attempt_count = 4 WHERE id = ?", [failed]);
      await store.execute("UPDATE deliveries SET status = 'CANCELLED', owner = NULL, due_at = NULL WHERE id = ?", [cancelled]);
      for (let round = 1; round <= 3; round++) {
        for (const id of ids) await deliveries.retry(id);
        for (const id of ids) await deliveries.retry(id); // due already: left to the attempt that is
        const loader = new JobLoader({ ...shared, events: new Events(store.database), releaser: { release: () => {} } });
        const claim = async () => {
          const [found] = await store.database.transaction((tx) =>
            claimDue(tx, [{ webhookId: webhookIdOf(retrying), room: { deliveries: 10, bytes: 1_000_000 } }], store.instanceId),
          );
          return found?.rows ?? [];
        };
        expect((await claim()).map(({ id }) => id).sort()).toEqual(ids);
        await releaseRows(store.database, store.instanceId, ids); // its instance died before it wrote anything down
        const jobs = await loader.load(await claim());
        expect(jobs.map(({ trigger, automaticDueAt }) => [trigger, automaticDueAt])).toEqual(
          ids.map((id) => ['MANUAL', id === retrying ? 9_999_999_999_999 : null]),
        );
        const [verdict] = await store.verdicts(batch, () => FAILURE);
        if (verdict === undefined) throw new Error('expected a verdict');
        const verdicts = jobs.map((job) => judge({ ...verdict.finished, job }, 0));
        expect(verdicts.map(({ status }) => status)).toEqual(['RETRYING', 'FAILED', 'FAILED']);
        expect((await store.settle(verdicts)).fenced).toEqual([]);
        const rows = await store.rows(
          'SELECT status, owner, due_at, attempt_count, manual_attempts, automatic_due_at FROM deliveries ORDER BY id',
        );
        const over = { owner: null, due_at: null, manual_attempts: round, automatic_due_at: null };
        expect(rows).toEqual([
          { ...over, status: 'RETRYING', owner: '', due_at: 9_999_999_999_999, attempt_count: 1 + round },
          { ...over, status: 'FAILED', attempt_count: 4 + round },
          { ...over, status: 'FAILED', attempt_count: round },
        ]);
      }
    });
  });

  test.each(['UPDATE deliveries', 'INSERT INTO attempts', 'last_sequence \\+ CASE', 'INSERT INTO delivery_updates'])(
    'nothing is half settled when the statement "%s" fails',
    async (statement) => {
      await withStore(makeDatabase, async (store) => {
        const applicationId = await store.application();
        await store.webhook(applicationId);
        const batch = await store.publish(applicationId, 3);
        const verdicts = await store.verdicts(batch, (index) => (index === 1 ? FAILURE : {}));
        const before = await store.rows('SELECT * FROM deliveries ORDER BY id');
        await expect(store.settle(verdicts, store.instanceId, failingAt(new RegExp(statement)))).rejects.toThrow('injected');
        expect(await store.rows('SELECT * FROM deliveries ORDER BY id')).toEqual(before);
        expect(await store.count('attempts')).toBe(0);
        expect(await readUpdates(store.database.read, applicationId, 3, 10)).toEqual([]);
      });
    },
  );

  test('whatever a receiver answers can be stored', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const bodies = ['\0a\0b', '\ufffd'.repeat(65_536), '𝄞'.repeat(16_384), '\ud800 alone', "'; -- \\' \" \u2028", ''];
      const odd = String.fromCharCode(...Array.from({ length: 255 }, (_, index) => index + 1));
      const batch = await store.publish(applicationId, bodies.length);
      const verdicts = await store.verdicts(batch, (index) => ({
        responseBody: bodies[index] ?? '',
        responseHeaders: [['x-odd', odd]],
        error: `answered ${odd} ${'x'.repeat(70_000)}`,
        statusCode: 999,
      }));
      await store.settle(verdicts);
      const rows = await store.rows<{ response_body: string; response_headers: string }>('SELECT * FROM attempts ORDER BY id');
      expect(rows.map((row) => row.response_body)).toEqual(bodies.map((body) => Buffer.from(body).toString().replaceAll('\0', '\ufffd')));
      expect(rows.map((row) => JSON.parse(row.response_headers))).toEqual(bodies.map(() => [{ name: 'x-odd', value: odd }]));
    });
  });
});

describeEachDatabase('Claiming and giving back', (makeDatabase) => {
  const ROOM = { deliveries: 10, bytes: 1_000_000 };
  const claimed = async (store: Store, webhookId: string, room = ROOM) => {
    const [only] = await store.database.transaction((tx) => claimDue(tx, [{ webhookId, room }], store.instanceId));
    if (only === undefined) throw new Error('expected an answer for the webhook');
    return only;
  };

  test('only what is due and nobody’s is claimed, the first due first', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const [webhook, other] = [await store.webhook(applicationId), await store.webhook(applicationId)];
      const { deliveries } = await store.publish(applicationId, 5, '');
      const ids = deliveries.filter(({ webhookId }) => webhookId === webhook.id).map(({ id }) => id);
      await store.execute('UPDATE deliveries SET due_at = due_at + 60000 WHERE id = ?', [ids[0]]);
      await store.execute('UPDATE deliveries SET due_at = due_at - 5000 WHERE id = ?', [ids[3]]);
      await store.execute('UPDATE deliveries SET owner = ? WHERE id = ?', [newInstanceId(), ids[1]]);
      await store.execute("UPDATE deliveries SET owner = NULL, status = 'CANCELLED' WHERE id = ?", [ids[2]]);
      const { rows, hasMore } = await claimed(store, webhook.id);
      expect(rows.map(({ id }) => id)).toEqual([ids[3], ids[4]]);
      expect(hasMore).toBe(false);
      expect(await store.rows('SELECT id FROM deliveries WHERE owner = ? ORDER BY id', [store.instanceId])).toEqual([
        { id: ids[3] },
        { id: ids[4] },
      ]);
      expect((await claimed(store, other.id)).rows).toHaveLength(5);
    });
  });

  test('a claim takes no more than there is room for, in number and in bytes, but one however large it is', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const webhook = await store.webhook(applicationId);
      const sizes = [100, 100, 50_000, 100, 100];
      for (const size of sizes) {
        await store.append([{ applicationId, events: [newEvent({ payloadText: `"${'x'.repeat(size)}"` })] }], '');
        await store.execute('UPDATE deliveries SET due_at = due_at - 1000');
      }
      const small = { deliveries: 10, bytes: 5_000 };
      expect(await claimed(store, webhook.id, small)).toMatchObject({ rows: [{}, {}], hasMore: true });
      expect(await claimed(store, webhook.id, small)).toMatchObject({ rows: [{ payload_chars: 50_002 }], hasMore: true });
      expect(await claimed(store, webhook.id, { ...small, deliveries: 1 })).toMatchObject({ rows: [{}], hasMore: true });
      expect(await claimed(store, webhook.id, small)).toMatchObject({ rows: [{}], hasMore: false });
    });
  });

  test('one claim serves many webhooks, each by its own room and order, but leaves ordered ones alone', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const webhooks = [await store.webhook(applicationId), await store.webhook(applicationId), await store.webhook(applicationId)];
      const [first, ordered, last] = webhooks.map(({ id }) => id);
      await store.execute("UPDATE webhooks SET ordering = 'STRICT' WHERE id = ?", [ordered]);
      await store.publish(applicationId, 4, '');
      const wanted = [
        { webhookId: first ?? '', room: { ...ROOM, deliveries: 3 } },
        { webhookId: ordered ?? '', room: ROOM },
        { webhookId: last ?? '', room: ROOM },
      ];
      const claims = await store.database.transaction((tx) => claimDue(tx, wanted, store.instanceId));
      expect(claims.map(({ rows, hasMore }) => [rows.length, hasMore])).toEqual([
        [3, true],
        [0, false],
        [4, false],
      ]);
      expect(claims.flatMap(({ rows }) => rows.map(({ id }) => id)).sort()).toEqual(
        (await store.rows<{ id: string }>('SELECT id FROM deliveries WHERE owner = ?', [store.instanceId])).map(({ id }) => id).sort(),
      );
    });
  });

  test('one claim is bounded: webhooks for which it has no room left wait for the next', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const webhooks = [];
      for (let count = 0; count < 7; count++) webhooks.push(await store.webhook(applicationId));
      await store.publish(applicationId, 200, '');
      const wanted = webhooks.map(({ id }) => ({ webhookId: id, room: { deliveries: 1_000, bytes: 1_000_000 } }));
      const claims = await store.database.transaction((tx) => claimDue(tx, wanted, store.instanceId));
      expect(claims.map(({ rows }) => rows.length)).toEqual([200, 200, 200, 200, 200]);
    });
  });

  test('claimers at once, on connections of their own, never get the same delivery, and together get all', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const webhook = await store.webhook(applicationId);
      await store.publish(applicationId, 100, '');
      const second = openable(store.url);
      await second.open();
      try {
        const got: string[] = [];
        for (let round = 0; round < 10 && got.length < 100; round++) {
          const results = await Promise.all(
            [store.database, second, store.database, second].map((database) =>
              database.transaction((tx) => claimDue(tx, [{ webhookId: webhook.id, room: ROOM }], newInstanceId())),
            ),
          );
          got.push(...results.flat().flatMap(({ rows }) => rows.map(({ id }) => id)));
        }
        expect(got).toHaveLength(100);
        expect(new Set(got).size).toBe(100);
      } finally {
        await second.close();
      }
    });
  });

  test('only the instance’s own deliveries are given back', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const { deliveries } = await store.publish(applicationId, 3);
      const ids = deliveries.map(({ id }) => id);
      await store.execute('UPDATE deliveries SET owner = ? WHERE id = ?', ['ins_other', ids[0]]);
      await store.execute('UPDATE deliveries SET owner = NULL WHERE id = ?', [ids[1]]);
      await releaseRows(store.database, store.instanceId, ids);
      expect((await store.rows<{ owner: string | null }>('SELECT owner FROM deliveries ORDER BY id')).map(({ owner }) => owner)).toEqual([
        'ins_other',
        null,
        '',
      ]);
    });
  });

  test('what is owned and in nobody’s memory is released at the second look, however much is owned beside it', async () => {
    await withStore(makeDatabase, async (store) => {
      const { database, instanceId } = store;
      const applicationId = await store.application();
      const webhooks = await Promise.all(Array.from({ length: 3 }, () => store.webhook(applicationId)));
      const ids = webhooks.map(({ id }) => id).sort();
      const { deliveries } = await store.publish(applicationId, 1);
      const orphans = deliveries.map(({ id }) => id);
      const owned = [1_500, 2_500, 10];
      for (const [place, webhookId] of ids.entries())
        await insertCopies(database, {
          table: 'deliveries',
          id: deliveryId(1, webhookId),
          count: owned[place] ?? 0,
          change: (no) => ({ id: deliveryId(no + 2, webhookId) }),
        });
      const asked: string[] = [];
      const has = (id: string) => asked.push(id) > 0 && !orphans.includes(id);
      const reconciler = new Reconciler({
        instanceId,
        database,
        clock: systemClock,
        log: silentLog,
        dispatcher: { has },
        facts: new Facts(),
      });
      await reconciler.reconcile();
      expect([asked.length, new Set(asked).size]).toEqual([4_013, 4_013]);
      expect(await store.rows("SELECT id FROM deliveries WHERE owner = ''")).toEqual([]);
      await reconciler.reconcile();
      const released = await store.rows<{ id: string }>("SELECT id FROM deliveries WHERE owner = '' ORDER BY id");
      expect(released.map(({ id }) => id)).toEqual(orphans.sort());
    });
  });

  test('the webhooks for which something waits are found with the time of the first, page by page', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const webhooks = await Promise.all(Array.from({ length: 7 }, () => store.webhook(applicationId)));
      const ids = webhooks.map(({ id }) => id).sort();
      await store.publish(applicationId, 4, '');
      await store.execute('UPDATE deliveries SET owner = ? WHERE webhook_id = ?', ['ins_other', ids[0]]);
      await store.execute('UPDATE deliveries SET owner = NULL WHERE webhook_id = ?', [ids[1]]);
      await store.execute('UPDATE deliveries SET due_at = due_at + 100000 WHERE webhook_id = ?', [ids[2]]);
      const page = (most: number, after: string) =>
        store.rows<{ webhook_id: string; due_in: number }>(store.database.dialect.waitingWebhooks(most), [after]);
      const first = await page(3, '');
      expect(first.map((row) => row.webhook_id)).toEqual(ids.slice(2, 5));
      expect(first.map((row) => Number(row.due_in) > 0)).toEqual([true, false, false]);
      expect((await page(3, ids[4] ?? '')).map((row) => row.webhook_id)).toEqual(ids.slice(5));
      expect(await page(3, ids[6] ?? '')).toEqual([]);
    });
  });
});

describeEachDatabase('Leases', (makeDatabase) => {
  test('what a dead or unknown instance owned is released at the start of another, what a live one owns stays', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const { now } = store.database.dialect;
      const [dead, alive, unknown] = ['ins_dead', 'ins_alive', 'ins_unknown'];
      for (const owner of [dead, alive, unknown]) await store.publish(applicationId, 2, owner);
      const instance = (id: string, agoMs: number) =>
        store.execute(`INSERT INTO instances (id, host, pid, started_at, heartbeat_at) VALUES (?, 'elsewhere', 1, 0, ${now} - ?)`, [
          id,
          agoMs,
        ]);
      await instance(dead, 60_000);
      await instance(alive, 2_000);
      let rescues = 0;
      const { heartbeat, membership, facts } = heartbeatOver(store, store.instanceId);
      facts.deliveriesDue.on(() => rescues++);
      await heartbeat.start();
      expect(membership.isLeaseHeld()).toBe(true);
      expect(rescues).toBe(1);
      const owners = await store.rows<{ owner: string; n: number }>(
        'SELECT owner, COUNT(*) AS n FROM deliveries GROUP BY owner ORDER BY owner',
      );
      expect(owners.map(({ owner, n }) => [owner, Number(n)])).toEqual([
        ['', 4],
        [alive, 2],
      ]);
      expect((await store.rows<{ id: string }>('SELECT id FROM instances ORDER BY id')).map(({ id }) => id).sort()).toEqual(
        [alive, store.instanceId].sort(),
      );
      await heartbeat.stop();
    });
  });

  test('a clock that was set back an hour neither keeps the dead alive nor ends the living', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const [first, second] = [heartbeatOver(store, store.instanceId).heartbeat, heartbeatOver(store, 'ins_second').heartbeat];
      await first.start();
      await store.publish(applicationId, 3);
      await store.publish(applicationId, 2, 'ins_dead');
      const { now } = store.database.dialect;
      await store.execute(
        `INSERT INTO instances (id, host, pid, started_at, heartbeat_at) VALUES ('ins_dead', 'elsewhere', 1, 0, ${now} + 3590000)`,
      );
      await second.start();
      expect(await store.rows('SELECT id FROM deliveries WHERE owner = ?', ['ins_dead'])).toEqual([]);
      expect(await store.rows('SELECT id FROM deliveries WHERE owner = ?', [store.instanceId])).toHaveLength(3);
      await Promise.all([first.stop(), second.stop()]);
    });
  });

  test('an instance that signs off releases all of its own at once', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      await store.webhook(applicationId);
      const { heartbeat } = heartbeatOver(store, store.instanceId);
      await heartbeat.start();
      for (let round = 0; round < 3; round++) await store.publish(applicationId, 500);
      await store.publish(applicationId, 1, 'ins_other');
      await heartbeat.stop();
      const owners = await store.rows<{ owner: string; n: number }>(
        'SELECT owner, COUNT(*) AS n FROM deliveries GROUP BY owner ORDER BY owner',
      );
      expect(owners.map(({ owner, n }) => [owner, Number(n)])).toEqual([
        ['', 1_500],
        ['ins_other', 1],
      ]);
      expect(await store.count('instances')).toBe(0);
    });
  });

  test('an instance that was struck off registers again and is told that its lease is a new one', async () => {
    await withStore(makeDatabase, async (store) => {
      let regained = 0;
      const { heartbeat, facts } = heartbeatOver(store, store.instanceId);
      facts.leaseRegained.on(() => regained++);
      await heartbeat.start();
      await store.execute('DELETE FROM instances');
      await until(() => regained === 1, { description: 'the next heartbeat' });
      expect(await store.rows('SELECT id FROM instances')).toEqual([{ id: store.instanceId }]);
      await heartbeat.stop();
    });
  });
});

describeEachDatabase('The log of updates', (makeDatabase) => {
  test('reads contiguous updates from any place, across rows and within them', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const webhook = await store.webhook(applicationId);
      const other = await store.application();
      const update = (sequence: number) => ({
        deliveryId: deliveryId(sequence, webhook.id),
        eventType: 'order.created',
        status: DeliveryStatus.PENDING,
        attemptNumber: 0,
        at: sequence,
        createdAt: sequence,
      });
      let written = 0;
      for (const count of [1, 1_200, 7, 500, 499, 3]) {
        await store.database.transaction((tx) =>
          appendUpdates(
            tx,
            Array.from({ length: count }, () => update(++written)),
          ),
        );
        await store.publish(other, 1);
      }
      for (const [after, most] of [
        [0, 10],
        [0, 5_000],
        [700, 1],
        [1_200, 600],
        [1_201, 2],
        [1_707, 1_000],
        [written - 1, 10],
        [written, 10],
      ] as const) {
        const page = await readUpdates(store.database.read, applicationId, after, most);
        const expected = Array.from({ length: Math.min(most, written - after) }, (_, index) => after + 1 + index);
        expect(page.map(({ sequence }) => sequence)).toEqual(expected);
        expect(page.map(({ at }) => at)).toEqual(expected);
      }
    });
  });

  test('updates that transactions at once append have sequences without gaps or repeats', async () => {
    await withStore(makeDatabase, async (store) => {
      const ids = [await store.application(), await store.application()];
      for (const id of ids) await store.webhook(id);
      const batches = await Promise.all(
        Array.from({ length: 16 }, (_, index) =>
          store.append(ids.map((applicationId) => ({ applicationId, events: [newEvent(), newEvent()] })).slice(index % 2)),
        ),
      );
      await Promise.all(batches.map(async (batch) => store.settle(await store.verdicts(batch))));
      for (const id of ids) {
        const [head] = await store.rows<{ last_sequence: number }>(
          "SELECT last_sequence FROM counters WHERE log = 'update' AND application_id = ?",
          [id],
        );
        const updates = await readUpdates(store.database.read, id, 0, 1_000);
        expect(updates.map(({ sequence }) => sequence)).toEqual(
          Array.from({ length: Number(head?.last_sequence) }, (_, index) => index + 1),
        );
      }
    });
  });
});

describeEachDatabase('Values', (makeDatabase) => {
  test('any text comes back as it went in, in an insert of many rows and in a condition', async () => {
    await withStore(makeDatabase, async ({ database }) => {
      const text = fc.string({
        unit: fc.oneof(
          fc.constantFrom("'", '\\', '"', '?', '%', ';', '--', '\n', '\u001a', '`', "\\'", "''"),
          fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
        ),
        maxLength: 40,
      });
      const texts = fc.sample(
        text.filter((value) => !value.includes('\0') && Buffer.from(value).toString() === value),
        { numRuns: 2_000, seed: 20_261_121 },
      );
      const rows = [...new Set(texts)].map((value, index) => [`app_${index}`, value, value, index, null]);
      await database.transaction((tx) =>
        tx.insert(
          'applications',
          ['id', 'name', 'metadata', 'created_at', 'updated_at'],
          rows.map((row) => [...row.slice(0, 4), row[3]]),
        ),
      );
      const stored = await database.read.query<{ id: string; name: string; metadata: string }>(
        'SELECT id, name, metadata FROM applications',
      );
      const byId = new Map(stored.map((row) => [row.id, row]));
      for (const [id, value] of rows) expect(byId.get(String(id))).toEqual({ id, name: value, metadata: value });

      const { sql, parameters } = database.dialect.oneOf(
        'name',
        rows.map(([, value]) => String(value)),
      );
      const found = await database.read.query<{ id: string }>(`SELECT id FROM applications WHERE ${sql} AND created_at >= ?`, [
        ...parameters,
        0,
      ]);
      expect(found).toHaveLength(rows.length);
    });
  });

  test('a value that is neither text, a number nor null is refused, and nothing of its transaction is kept', async () => {
    await withStore(makeDatabase, async ({ database }) => {
      for (const value of [undefined, Number.NaN, { toString: () => "' OR 1 --" }])
        await expect(
          database.transaction((tx) => tx.insert('applications', ['id', 'name', 'created_at', 'updated_at'], [['app_1', value, 1, 1]])),
        ).rejects.toThrow();
      expect(await database.read.query('SELECT id FROM applications')).toEqual([]);
    });
  });
});

describeEachDatabase('Transactions', (makeDatabase) => {
  test('what an open transaction has written is seen by nobody outside it', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const name = async () => (await store.rows<{ name: string }>('SELECT name FROM applications WHERE id = ?', [applicationId]))[0]?.name;
      await store.database.transaction(async (tx) => {
        await tx.execute("UPDATE applications SET name = 'changed' WHERE id = ?", [applicationId]);
        expect(await name()).toBe('shop');
        expect(await tx.query('SELECT name FROM applications WHERE id = ?', [applicationId])).toEqual([{ name: 'changed' }]);
      });
      expect(await name()).toBe('changed');
    });
  });

  test('transactions that change the same row take turns, and one that fails leaves the next alone', async () => {
    await withStore(makeDatabase, async (store) => {
      const applicationId = await store.application();
      const bump = (fails: boolean) =>
        store.database.transaction(async (tx) => {
          const [row] = await tx.query<{ last_sequence: number }>(
            `SELECT last_sequence FROM counters WHERE application_id = ? AND log = 'event' ${tx.dialect.forUpdate}`,
            [applicationId],
          );
          await tx.execute("UPDATE counters SET last_sequence = ? WHERE application_id = ? AND log = 'event'", [
            Number(row?.last_sequence) + 1,
            applicationId,
          ]);
          if (fails) throw new Error('changed its mind');
        });
      const results = await Promise.allSettled(Array.from({ length: 30 }, (_, index) => bump(index % 3 === 0)));
      expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(10);
      expect(await store.rows("SELECT last_sequence FROM counters WHERE log = 'event'")).toEqual([{ last_sequence: 20 }]);
    });
  });

  test('an error of the work itself passes through as it is', async () => {
    await withStore(makeDatabase, async (store) => {
      const failure = new CommitInDoubt('mine');
      await expect(store.database.transaction(() => Promise.reject(failure))).rejects.toBe(failure);
      await expect(store.database.transaction((tx) => tx.query('SELECT nothing FROM nowhere'))).rejects.not.toHaveProperty(
        'code',
        'UNAVAILABLE',
      );
    });
  });
});

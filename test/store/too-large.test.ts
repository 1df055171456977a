import { systemClock } from '../../src/clock';
import type { Finished } from '../../src/delivery/attempt';
import { smaller } from '../../src/delivery/completion/completer';
import type { InputRefused } from '../../src/errors';
import { GroupCommitter, type Reservation } from '../../src/events/group-committer';
import type { OperationalEvents } from '../../src/events/operational-events';
import { Facts } from '../../src/facts';
import { silentLog } from '../../src/log';
import type { Database, Tx } from '../../src/store/database';
import { describeEachDatabase } from '../support/databases';
import { type Mariadb, startMariadb } from '../support/mariadb';
import { mutated } from '../support/mutate';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';
import { completerOver } from './engine-parts';
import { newEvent, Store } from './with-store';

/** The same database, taking no value that is longer. */
function limited({ database, operationalEvents }: Store, mostChars: number) {
  const code = database.dialect.supportsManyInstances ? 'ER_DATA_TOO_LONG' : 'SQLITE_TOOBIG';
  const check = (values: readonly unknown[]) => {
    for (const value of values)
      if (typeof value === 'string' && value.length > mostChars) throw Object.assign(new Error('string or blob too big'), { code });
  };
  const narrow = (tx: Tx): Tx => ({
    ...tx,
    query: (sql, parameters = []) => tx.query(sql, parameters),
    execute: async (sql, parameters = [], when) => {
      check(parameters);
      return tx.execute(sql, parameters, when);
    },
    insert: async (table, columns, rows) => {
      for (const row of rows) check(row);
      return tx.insert(table, columns, rows);
    },
  });
  const narrowed: Pick<Database, 'transaction' | 'dialect'> = {
    dialect: database.dialect,
    transaction: (work) => database.transaction((tx) => work(narrow(tx))),
  };
  const telling: Pick<OperationalEvents, 'transaction'> = {
    transaction: (applicationIds, work) => operationalEvents.transaction(applicationIds, (tx, tell) => work(narrow(tx), tell)),
  };
  return { database: narrowed, operationalEvents: telling };
}

interface AttemptRow {
  readonly outcome: string;
  readonly error: string | null;
  readonly response_body: string | null;
  readonly response_truncated: number;
  readonly request_headers: string;
}

interface DeliveryRow {
  readonly status: string;
  readonly attempt_count: number;
  readonly body_key: string | null;
  readonly due_at: number | null;
  readonly owner: string | null;
}

const shaped = (finished: Finished, text: string): Finished => ({ ...finished, body: { key: 'a-document', bytes: Buffer.from(text) } });

const FAILURE = { outcome: 'HTTP_ERROR', statusCode: 500, error: 'the receiver answered 500' } as const;

describeEachDatabase('An outcome that is larger than the database takes', (makeDatabase) => {
  let store: Store;
  beforeEach(async () => {
    store = new Store((await makeDatabase()).url);
    await store.database.open();
    await store.database.migrate();
  });
  afterEach(() => store.database.close());

  async function settled(mostChars: number, change: (finished: Finished, index: number) => Finished, count = 1) {
    const applicationId = await store.application();
    await store.webhook(applicationId);
    const verdicts = await store.verdicts(await store.publish(applicationId, count));
    const completer = completerOver(store, limited(store, mostChars));
    for (const [index, { finished }] of verdicts.entries()) completer.add(change(finished, index));
    await completer.drain();
    return {
      attempts: await store.rows<AttemptRow>('SELECT * FROM attempts ORDER BY id'),
      deliveries: await store.rows<DeliveryRow>('SELECT * FROM deliveries ORDER BY id'),
    };
  }

  test('is stored without its response, and holds up no other', async () => {
    const { attempts, deliveries } = await settled(
      1_000,
      (finished, index) => ({ ...finished, exchange: { ...finished.exchange, responseBody: index === 3 ? 'x'.repeat(2_000) : 'short' } }),
      7,
    );
    expect(attempts.map(({ response_body }) => response_body)).toEqual(
      [0, 1, 2, 3, 4, 5, 6].map((index) => (index === 3 ? null : 'short')),
    );
    expect(attempts[3]?.error).toContain('the response could not be stored');
    expect(deliveries.every(({ status }) => status === 'SUCCEEDED')).toBe(true);
  });

  test('is stored without its body: what was delivered is delivered', async () => {
    const { attempts, deliveries } = await settled(1_000, (finished) => shaped(finished, 'x'.repeat(2_000)));
    expect(attempts).toMatchObject([{ outcome: 'SUCCESS', error: expect.stringContaining('the body could not be stored') }]);
    expect(deliveries).toMatchObject([{ status: 'SUCCEEDED', attempt_count: 1, body_key: null, owner: null }]);
  });

  test('is stored without its body: what failed is not sent again with another one', async () => {
    const { attempts, deliveries } = await settled(1_000, (finished) => ({
      ...shaped(finished, 'x'.repeat(2_000)),
      exchange: { ...finished.exchange, ...FAILURE, responseBody: null },
    }));
    expect(attempts).toMatchObject([
      { outcome: 'HTTP_ERROR', error: expect.stringMatching(/^the receiver answered 500; .*the body could not be stored/) },
    ]);
    expect(deliveries).toMatchObject([{ status: 'FAILED', attempt_count: 1, body_key: null, due_at: null, owner: null }]);
  });

  test('is stored even where nothing but the facts fits', async () => {
    const { attempts, deliveries } = await settled(1_500, (finished) => ({
      ...shaped(finished, 'x'.repeat(2_000)),
      request: { ...finished.request, headers: [[`x-${'x'.repeat(4_000)}`, 'value']] },
      exchange: { ...finished.exchange, ...FAILURE, responseBody: 'x'.repeat(2_000) },
    }));
    expect(attempts).toMatchObject([
      { outcome: 'HTTP_ERROR', response_body: null, error: expect.stringContaining('headers of the request') },
    ]);
    expect(deliveries).toMatchObject([{ status: 'FAILED' }]);
  });

  test('a body that fits is stored once for all the webhooks it went to, and later claims know its size', async () => {
    const applicationId = await store.application();
    for (let count = 0; count < 3; count++) await store.webhook(applicationId);
    const verdicts = await store.verdicts(await store.publish(applicationId, 2), () => FAILURE);
    const completer = completerOver(store);
    for (const { finished } of verdicts) completer.add(shaped(finished, `"${'x'.repeat(10_000)}"`));
    await completer.drain();
    expect(await store.count('bodies')).toBe(2);
    const chars = await store.rows<{ payload_chars: number }>('SELECT payload_chars FROM deliveries');
    expect(chars).toHaveLength(6);
    for (const { payload_chars } of chars) expect(Number(payload_chars)).toBeGreaterThanOrEqual(5_000);
  });
});

describe('A server that takes small packets', () => {
  const MIB = 1024 * 1024;
  let server: Mariadb;
  let store: Store;
  beforeAll(async () => {
    server = await startMariadb({ settings: { 'max-allowed-packet': String(MIB) } });
    store = new Store(server.url);
    await store.database.open();
    await store.database.migrate();
  }, 120_000);
  afterAll(async () => {
    await store.database.close();
    await server.stop();
  });

  test('stores a batch of outcomes whose sum is larger than a packet, whole', async () => {
    const applicationId = await store.application();
    await store.webhook(applicationId);
    const responseBody = "it's 64 KiB; ".repeat(5_000);
    const verdicts = await store.verdicts(await store.publish(applicationId, 40), () => ({ responseBody }));
    const completer = completerOver(store);
    for (const { finished } of verdicts) completer.add(finished);
    await completer.drain();
    const rows = await store.rows<AttemptRow>("SELECT * FROM attempts WHERE outcome = 'SUCCESS'");
    expect(rows).toHaveLength(40);
    expect(rows.every((row) => row.response_body === responseBody && row.error === null)).toBe(true);
  });

  test('stores the outcome of a body that is larger than a packet without the body, beside those of others', async () => {
    const applicationId = await store.application();
    await store.webhook(applicationId);
    const batch = await store.publish(applicationId, 20);
    const verdicts = await store.verdicts(batch, (index) => (index === 7 ? FAILURE : {}));
    const completer = completerOver(store);
    for (const [index, { finished }] of verdicts.entries())
      completer.add(index === 7 ? shaped(finished, 'x'.repeat(MIB + 5_000)) : finished);
    await completer.drain();
    const ids = batch.deliveries.map(({ id }) => id);
    const rows = await store.rows<DeliveryRow>(`SELECT status FROM deliveries WHERE id IN (${ids.map(() => '?').join()}) ORDER BY id`, ids);
    expect(rows.map(({ status }) => status)).toEqual(ids.map((_, index) => (index === 7 ? 'FAILED' : 'SUCCEEDED')));
  });

  test('refuses an event that is larger, with the reason, and stores those beside it', async () => {
    const applicationId = await store.application();
    const reservation: Reservation = { ownerFor: () => '', release: () => {}, take: () => {} };
    const appender = new GroupCommitter({
      database: store.database,
      directory: store.directory,
      clock: systemClock,
      log: silentLog,
      delivery: { reserve: () => reservation },
      facts: new Facts(),
    });
    const payloads = [20_000, 600_000, MIB - 100, 700_000].map((length) => JSON.stringify('x'.repeat(length)));
    const answers = await Promise.allSettled(
      payloads.map((payloadText) => appender.append({ applicationId, events: [newEvent({ payloadText })] })),
    );
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    const refused = answers[2] as PromiseRejectedResult;
    expect((refused.reason as InputRefused).problems).toEqual([
      { field: ['payload'], code: 'TOO_LARGE', message: expect.stringContaining('max_allowed_packet') },
    ]);
    await appender.stop();
  });
});

describe('A body that is larger than a packet of the server', () => {
  const ORDERINGS = ['NONE', 'STRICT', 'BY_KEY'] as const;
  let server: Mariadb;
  beforeAll(async () => {
    server = await startMariadb({ settings: { 'max-allowed-packet': String(1024 * 1024) } });
  }, 120_000);
  afterAll(() => server.stop());

  test('is sent once and its outcome is stored, whatever the order of its webhook; the next event has its turn', async () => {
    await withHub(
      async () => ({ url: server.url, drop: async () => {} }),
      async ({ application, receiver }) => {
        const shop = await application();
        const payloadQuery = 'subscription { event { a: payload b: payload } }';
        for (const ordering of ORDERINGS) {
          // An unordered webhook may get the small one first.
          receiver.answer(`/${ordering}`, ({ body }) => ({ status: body.length > 1_000_000 ? 500 : 204 }));
          await shop.webhook(`/${ordering}`, { ordering, payloadQuery });
        }
        const large = await shop.publish({ payload: 'x'.repeat(525_000), orderingKey: 'one' });
        await shop.publish({ payload: 'small', orderingKey: 'one' });
        for (const ordering of ORDERINGS) await receiver.waitFor(2, `/${ordering}`);
        const read = () =>
          shop.client.query<{ event: { deliveries: { nodes: { status: string; attempts: { nodes: AttemptRow[] } }[] } } }>(
            'query ($id: ID!) { event(id: $id) { deliveries { nodes { status attempts { nodes { outcome error } } } } } }',
            { id: large.id },
          );
        const nodes = await until(
          async () => {
            const { deliveries } = (await read()).event;
            return deliveries.nodes.every(({ status }) => status === 'FAILED') && deliveries.nodes;
          },
          { description: 'the outcomes to be stored' },
        );
        expect(nodes).toHaveLength(3);
        for (const { attempts } of nodes)
          expect(attempts.nodes).toEqual([{ outcome: 'HTTP_ERROR', error: expect.stringContaining('the body could not be stored') }]);
        for (const ordering of ORDERINGS) expect(receiver.requests(`/${ordering}`)).toHaveLength(2);
        const { id } = await shop.webhook('/test', { payloadQuery, eventTypes: ['nothing.else'] });
        const { attempt } = await mutated<{ attempt: AttemptRow }>(
          shop.client,
          'webhookTest',
          { id, input: { eventType: 'order.created', payload: 'x'.repeat(525_000) } },
          'attempt { outcome error }',
        );
        expect(attempt).toEqual({ outcome: 'SUCCESS', error: expect.stringContaining('the body could not be stored') });
      },
    );
  });
});

describe('What is stored of an outcome, less and less of it,', () => {
  test('ends: with the facts alone there is nothing left to leave out', async () => {
    let verdict = {
      status: 'RETRYING',
      delayMs: 5,
      endedAt: 0,
      finished: {
        job: { body: null },
        body: { key: 'a-document', bytes: Buffer.from('{}') },
        request: { url: 'https://x.test', headers: [['a', 'b']], body: '', timeoutMs: 1 },
        exchange: { ...FAILURE, responseBody: 'x', responseHeaders: [], responseTruncated: false, durationMs: 1 },
      },
    } as unknown as Parameters<typeof smaller>[0];
    const statuses: string[] = [];
    for (let next = smaller(verdict, 'y'.repeat(10_000)); next; next = smaller(verdict, 'y'.repeat(10_000))) {
      verdict = next;
      statuses.push(verdict.status);
      expect(verdict.finished.exchange.error?.length).toBeLessThan(1_000);
    }
    expect(statuses).toEqual(['RETRYING', 'FAILED', 'FAILED']);
  });
});

import { DAY, systemClock } from '../../src/clock';
import { encodeCursor } from '../../src/cursor';
import { Retention } from '../../src/housekeeping/retention';
import { idRange, sequenceRange } from '../../src/ids';
import { silentLog } from '../../src/log';
import { describeEachDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { createMysqlDatabase } from '../support/mariadb';
import { mutate, mutated } from '../support/mutate';
import type { Answer } from '../support/receiver';
import { dumpOf, everyRowCount, withRows } from '../support/rows';
import { askOver, codesOf } from '../support/transports';
import { until } from '../support/until';
import { type TestApplication, type TestHub, withHub } from '../support/with-hub';

const SHAPED = 'subscription { event { no: get(path: "no") } }';

/** As another instance would. */
async function sweep(databaseUrl: string): Promise<void> {
  await withRows(databaseUrl, (_query, database) =>
    new Retention({ database, clock: systemClock, log: silentLog, defaultRetentionMs: 90 * DAY }).sweep(),
  );
}

/** Makes an application's events up to a sequence, with whatever belongs to them, older by so many days. */
async function age(databaseUrl: string, applicationId: string, upTo: number, days: number): Promise<void> {
  const by = days * DAY;
  const deliveries = sequenceRange('dlv', applicationId, 1, upTo);
  await withRows(databaseUrl, (_query, database) =>
    database.transaction(async (tx) => {
      await tx.execute('UPDATE events SET created_at = created_at - ? WHERE application_id = ? AND sequence <= ?', [
        by,
        applicationId,
        upTo,
      ]);
      await tx.execute('UPDATE deliveries SET created_at = created_at - ? WHERE id >= ? AND id < ?', [by, deliveries.from, deliveries.to]);
      await tx.execute('UPDATE attempts SET started_at = started_at - ?', [by]);
      await tx.execute('UPDATE delivery_updates SET created_at = created_at - ? WHERE application_id = ?', [by, applicationId]);
    }),
  );
}

async function settled(client: Client, count: number): Promise<void> {
  await until(
    async () => {
      const { deliveries } = await client.query<{ deliveries: { nodes: { status: string }[] } }>(
        '{ deliveries(first: 100) { nodes { status } } }',
      );
      return deliveries.nodes.filter(({ status }) => status === 'SUCCEEDED').length === count;
    },
    { description: `${count} deliveries to succeed` },
  );
}

async function sequencesOf(client: Client): Promise<number[]> {
  const { events } = await client.query<{ events: { nodes: { sequence: number }[] } }>('{ events(first: 100) { nodes { sequence } } }');
  return events.nodes.map(({ sequence }) => sequence).reverse();
}

const WATCH = {
  event: 'subscription ($after: String) { event(after: $after) { sequence } }',
  update: 'subscription ($after: String) { deliveryUpdates(after: $after) { cursor updates { status delivery { id } } } }',
} as const;

/** The first answer to a subscription resumed after a sequence, over both transports that have subscriptions. */
async function resumed(shop: TestApplication, log: keyof typeof WATCH, sequence: number): Promise<unknown[][]> {
  const after = encodeCursor(log, shop.id, sequence);
  const answers = await Promise.all(
    (['WebSocket', 'SSE'] as const).map((transport) => askOver(transport, shop.client, WATCH[log], { after })),
  );
  return answers.map(codesOf);
}

describeEachDatabase('Retention', (makeDatabase) => {
  test('removes events with all that belongs to them, and nothing younger; sequences go on, idempotency keys are free', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl }) => {
      const shop = await application();
      const other = await application('other');
      await shop.webhook('/shaped', { payloadQuery: SHAPED });
      await shop.webhook('/whole');
      await other.webhook('/other');
      for (const no of [1, 2, 3]) await shop.publish({ payload: { no }, idempotencyKey: `order-${no}` });
      await other.publish();
      await settled(shop.client, 6);
      await settled(other.client, 1);
      await age(databaseUrl, shop.id, 2, 91);
      await sweep(databaseUrl);

      expect(await sequencesOf(shop.client)).toEqual([3]);
      expect(await sequencesOf(other.client)).toEqual([1]);
      expect(await everyRowCount(databaseUrl)).toMatchObject({ events: 2, deliveries: 3, attempts: 3, bodies: 1, counters: 4 });
      expect(await shop.publish({ payload: { no: 9 }, idempotencyKey: 'order-1' })).toMatchObject({ sequence: 4 });
      expect(await shop.publish({ payload: { no: 9 }, idempotencyKey: 'order-3' })).toMatchObject({ sequence: 3 });

      await settled(shop.client, 4);
      await age(databaseUrl, shop.id, 4, 91);
      await Promise.all([sweep(databaseUrl), sweep(databaseUrl)]);
      expect(await sequencesOf(shop.client)).toEqual([]);
      expect(await everyRowCount(databaseUrl)).toMatchObject({ events: 1, deliveries: 1, bodies: 0, counters: 4 });
      expect(await shop.publish()).toMatchObject({ sequence: 5 });
    });
  });

  test('removes retry jobs that ended long ago, and what is left of deleted webhooks', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl }) => {
      const shop = await application();
      const [gone, kept] = [await shop.webhook('/gone'), await shop.webhook('/kept')];
      await shop.client.mutate('mutation ($id: ID!) { webhookDelete(id: $id) { userErrors { message } } }', { id: gone.id });
      const jobs: string[] = [];
      for (let count = 0; count < 3; count++) {
        const { deliveriesRetry } = await shop.client.mutate<{ deliveriesRetry: { retryJob: { id: string } } }>(
          'mutation { deliveriesRetry(input: {}) { retryJob { id } } }',
        );
        jobs.push(deliveriesRetry.retryJob.id);
      }
      await withRows(databaseUrl, async (query, database) => {
        const unfinished = () => query('SELECT id FROM retry_jobs WHERE completed_at IS NULL');
        await until(async () => (await unfinished()).length === 0, { description: 'the jobs to end' });
        await database.transaction(async (tx) => {
          await tx.execute('UPDATE retry_jobs SET completed_at = completed_at - ? WHERE id = ?', [91 * DAY, jobs[0]]);
          await tx.execute('UPDATE retry_jobs SET completed_at = NULL, worker_until = ? WHERE id = ?', [Number.MAX_SAFE_INTEGER, jobs[1]]);
          for (const { id } of [gone, kept])
            await tx.execute("INSERT INTO webhook_owners (webhook_id, owner) VALUES (?, 'ins_dead')", [id]);
        });
        await sweep(databaseUrl);
        expect((await query<{ id: string }>('SELECT id FROM retry_jobs')).map(({ id }) => id).sort()).toEqual(jobs.slice(1).sort());
        expect(await query('SELECT webhook_id FROM webhook_owners')).toEqual([{ webhook_id: kept.id }]);
      });
    });
  });

  test('goes by the days of the application, and a hub sweeps by itself', async () => {
    await withHub(makeDatabase, async ({ admin, application, databaseUrl, hub, startAnother }) => {
      const [brief, usual, long] = [await application('brief'), await application('usual'), await application('long')];
      const set = (id: string, retentionDays: number | null) =>
        mutate<{ application: object }>(admin, 'applicationUpdate', { id, input: { retentionDays } }, 'application { retentionDays }');
      expect(await set(brief.id, 7)).toEqual({ application: { retentionDays: 7 }, userErrors: [] });
      expect(await set(long.id, 365)).toEqual({ application: { retentionDays: 365 }, userErrors: [] });
      for (const shop of [brief, usual, long]) {
        for (const no of [1, 2, 3]) await shop.publish({ payload: { no } });
        await age(databaseUrl, shop.id, 2, 7);
        await age(databaseUrl, shop.id, 1, 80);
      }
      await hub.stop();
      await startAnother({ environment: { LIVEHOOK_RETENTION: '30d' } });
      const left = () =>
        withRows(databaseUrl, async (query) => {
          const rows = await query<{ application_id: string; sequence: number }>('SELECT application_id, sequence FROM events');
          return [brief, usual, long].map(({ id }) => rows.filter((row) => row.application_id === id).length);
        });
      await until(async () => JSON.stringify(await left()) === '[1,2,3]', { description: 'old events to be removed' });
    });
  });

  test.each([0, -1, 3_651])('%d days are refused', async (retentionDays) => {
    await withHub(makeDatabase, async ({ admin }) => {
      for (const input of [{ name: 'shop', retentionDays }]) {
        const { userErrors } = await mutate(admin, 'applicationCreate', { input });
        expect(userErrors).toEqual([
          { field: ['retentionDays'], message: `expected 1 to 3650 days, got ${retentionDays}`, code: 'INVALID' },
        ]);
      }
    });
  });

  test('leaves an event until its last delivery has finished, and passes over it', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/paused', { eventTypes: ['order.paid'] });
      await mutated(shop.client, 'webhookPause', { id });
      await shop.publish({ payload: { no: 1 } });
      await shop.publish({ type: 'order.paid', payload: { no: 2 } });
      for (const no of [3, 4]) await shop.publish({ payload: { no } });
      await age(databaseUrl, shop.id, 3, 91);
      await sweep(databaseUrl);
      expect(await sequencesOf(shop.client)).toEqual([2, 4]);

      // Who follows the log across the gap is told so, and gets what is there up to it.
      const stream = shop.client.subscribe<{ event: { sequence: number } }>(WATCH.event, { after: encodeCursor('event', shop.id, 1) });
      expect(await stream.take(1)).toEqual([{ event: { sequence: 2 } }]);
      await expect(stream.take(1)).rejects.toMatchObject({ codes: ['CURSOR_EXPIRED'] });

      await mutated(shop.client, 'webhookResume', { id });
      await receiver.waitFor(1, '/paused');
      await settled(shop.client, 1);
      await sweep(databaseUrl);
      expect(await sequencesOf(shop.client)).toEqual([4]);
    });
  });

  test('a cursor whose data is gone ends as CURSOR_EXPIRED at once, in both logs, on every transport', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl }) => {
      const shop = await application();
      await shop.webhook('/all');
      for (const no of [1, 2, 3]) await shop.publish({ payload: { no } });
      await settled(shop.client, 3);
      expect(await resumed(shop, 'event', 0)).toEqual([[], []]);
      expect(await resumed(shop, 'update', 0)).toEqual([[], []]);
      await age(databaseUrl, shop.id, 2, 91);
      await withRows(databaseUrl, (_query, database) =>
        database.transaction((tx) =>
          tx.execute('UPDATE delivery_updates SET created_at = created_at + ? WHERE last_sequence > 3', [91 * DAY]),
        ),
      );
      await sweep(databaseUrl);
      const gone = [['CURSOR_EXPIRED'], ['CURSOR_EXPIRED']];
      expect(await resumed(shop, 'event', 0)).toEqual(gone);
      expect(await resumed(shop, 'event', 1)).toEqual(gone);
      expect(await resumed(shop, 'event', 2)).toEqual([[], []]);
      expect(await resumed(shop, 'update', 0)).toEqual(gone);
      // Updates that are left tell of deliveries that are left.
      const { value } = await shop.client
        .subscribe<{ deliveryUpdates: { updates: { delivery: { id: string } }[] } }>(WATCH.update, {
          after: encodeCursor('update', shop.id, 3),
        })
        .next();
      expect(value.errors).toBeUndefined();

      await age(databaseUrl, shop.id, 3, 91);
      await sweep(databaseUrl);
      expect(await resumed(shop, 'event', 2)).toEqual(gone);
      expect(await resumed(shop, 'update', 5)).toEqual(gone);
      // At the end of the log nothing is missing.
      const stream = shop.client.subscribe<{ event: { sequence: number } }>(WATCH.event, { after: encodeCursor('event', shop.id, 3) });
      const next = stream.take(1);
      await shop.publish();
      expect(await next).toEqual([{ event: { sequence: 4 } }]);
    });
  });
});

const FIELDS = 'id sequence type payload redactedAt idempotencyKey';
const REDACTED = `event { ${FIELDS} }`;

/** A receiver's answer that a test gives when it wants to. */
function held(): { readonly promise: Promise<Answer>; readonly give: (answer: Answer) => void } {
  let give: (answer: Answer) => void = () => {};
  const promise = new Promise<Answer>((resolve) => {
    give = resolve;
  });
  return { promise, give };
}

describeEachDatabase('Redacting an event', (makeDatabase) => {
  test('blanks its payload and every copy of it, and keeps its place', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl, receiver }) => {
      const shop = await application();
      await shop.webhook('/shaped', { payloadQuery: SHAPED });
      await shop.webhook('/echo');
      receiver.answer('/echo', ({ body }) => ({ status: 200, body }));
      const live = shop.client.subscribe<{ event: { payload: unknown } }>(
        'subscription ($after: String) { event(after: $after) { payload } }',
        {
          after: encodeCursor('event', shop.id, 0),
        },
      );
      const { id } = await shop.publish({ payload: { no: 'top-secret-7' }, idempotencyKey: 'k' });
      expect(await live.take(1)).toEqual([{ event: { payload: { no: 'top-secret-7' } } }]);
      await settled(shop.client, 2);
      expect(await dumpOf(databaseUrl)).toContain('top-secret-7');

      const { event } = await mutated<{ event: object }>(shop.client, 'eventRedact', { id }, REDACTED);
      const blank = { id, sequence: 1, type: 'order.created', payload: {}, redactedAt: expect.any(String), idempotencyKey: 'k' };
      expect(event).toEqual(blank);
      expect(await dumpOf(databaseUrl)).not.toContain('top-secret-7');
      expect(await everyRowCount(databaseUrl)).toMatchObject({ events: 1, deliveries: 2, attempts: 2, bodies: 0 });
      expect(await mutated(shop.client, 'eventRedact', { id }, REDACTED)).toEqual({ event, userErrors: [] });

      const seen = await shop.client.query(
        `query ($id: ID!) { event(id: $id) { ${FIELDS} deliveries(first: 9) { nodes { requestBody attempts(first: 9) { nodes { responseBody curl } } } } } }`,
        { id },
      );
      expect(JSON.stringify(seen)).not.toContain('top-secret-7');
      expect(seen).toMatchObject({ event: { ...blank, deliveries: { nodes: [{ requestBody: null }, { requestBody: null }] } } });
      // Whoever comes late, and whoever is told again, reads the blank one.
      const late = shop.client.subscribe('subscription ($after: String) { event(after: $after) { payload redactedAt } }', {
        after: encodeCursor('event', shop.id, 0),
      });
      expect(await late.take(1)).toEqual([{ event: { payload: {}, redactedAt: expect.any(String) } }]);
      const updates = shop.client.subscribe<object>(
        'subscription ($after: String) { deliveryUpdates(after: $after) { updates { attempt { responseBody } delivery { requestBody } } } }',
        { after: encodeCursor('update', shop.id, 0) },
      );
      expect(JSON.stringify(await updates.take(1))).not.toContain('top-secret-7');
      const again = await mutated<{ event: object; deduplicated: boolean }>(
        shop.client,
        'eventPublish',
        { input: { type: 'order.created', payload: 1, idempotencyKey: 'k' } },
        `${REDACTED} deduplicated`,
      );
      expect(again).toMatchObject({ deduplicated: true, event: blank });
    });
  });

  test('cancels what was not delivered: in the queue, in flight, waiting for a retry; and refuses to send it again', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl, receiver }) => {
      const shop = await application();
      const answer = held();
      receiver.answer('/slow', (_request, nth) => (nth === 1 ? answer.promise : {}));
      receiver.answer('/failing', ({ body }) => ({ status: 500, body }));
      await shop.webhook('/slow', { maxConcurrency: 1 });
      await shop.webhook('/failing', { retrySchedule: [3_600] });
      const flying = await shop.publish({ payload: { no: 'top-secret-7' } });
      const queued = await shop.publish({ payload: { no: 'top-secret-8' } });
      const third = await shop.publish({ payload: { no: 'fine' } });
      await receiver.waitFor(1, '/slow');
      await receiver.waitFor(3, '/failing');
      for (const { id } of [flying, queued]) await mutated(shop.client, 'eventRedact', { id });
      answer.give({ status: 200, body: 'got top-secret-7' });
      await receiver.waitFor(2, '/slow');
      const states = async () => {
        const { deliveries } = await shop.client.query<{
          deliveries: {
            nodes: { id: string; status: string; attemptCount: number; event: { sequence: number }; webhook: { url: string } }[];
          };
        }>('{ deliveries { nodes { id status attemptCount event { sequence } webhook { url } } } }');
        return deliveries.nodes;
      };
      const of = (nodes: Awaited<ReturnType<typeof states>>, path: string) =>
        nodes
          .filter(({ webhook }) => webhook.url.endsWith(path))
          .map(({ event, status, attemptCount }) => [event.sequence, status, attemptCount]);
      const nodes = await until(
        async () => {
          const found = await states();
          return found.some(({ status }) => status === 'SUCCEEDED') && found.every(({ attemptCount }) => attemptCount < 2) && found;
        },
        { description: 'the third event to be delivered' },
      );
      expect(of(nodes, '/slow')).toEqual([
        [3, 'SUCCEEDED', 1],
        [2, 'CANCELLED', 0],
        [1, 'CANCELLED', 1],
      ]);
      expect(of(nodes, '/failing').map(([sequence, status]) => [sequence, status])).toEqual([
        [3, 'RETRYING'],
        [2, 'CANCELLED'],
        [1, 'CANCELLED'],
      ]);
      expect(receiver.requests('/slow').map(({ headers }) => headers['webhook-id'])).toEqual([flying.id, third.id]);
      expect(/top-secret-[78]/.exec(await dumpOf(databaseUrl))).toBeNull();

      const one = nodes.find(({ event }) => event.sequence === 1);
      const { userErrors } = await mutate(shop.client, 'deliveryRetry', { id: one?.id ?? '' });
      expect(userErrors).toEqual([expect.objectContaining({ field: ['id'], code: 'CONFLICT' })]);
      // Should something else have made it due, it is cancelled instead of sent.
      await withRows(databaseUrl, (_query, database) =>
        database.transaction((tx) =>
          tx.execute("UPDATE deliveries SET status = 'RETRYING', owner = '', due_at = 0, completed_at = NULL WHERE id = ?", [one?.id]),
        ),
      );
      await until(async () => (await states()).find(({ id }) => id === one?.id)?.status === 'CANCELLED', {
        description: 'the delivery to be cancelled again',
      });
      expect(receiver.requests('/slow')).toHaveLength(2);
    });
  });

  test('is refused for what is not there, belongs to others, or without the scope', async () => {
    await withHub(makeDatabase, async ({ admin, application, client }) => {
      const shop = await application();
      const other = await application('other');
      const { id } = await shop.publish();
      for (const [who, what] of [
        [other.client, id],
        [shop.client, 'evt_nonsense'],
        [shop.client, `${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`],
      ] as const) {
        const { userErrors } = await mutate(who, 'eventRedact', { id: what });
        expect(userErrors).toEqual([expect.objectContaining({ field: ['id'], code: 'NOT_FOUND' })]);
      }
      const { token } = await mutated<{ token: string }>(
        admin,
        'apiKeyCreate',
        { input: { applicationId: shop.id, scopes: ['EVENTS_READ'] } },
        'token',
      );
      const { errors } = await client(token).request('mutation ($id: ID!) { eventRedact(id: $id) { event { id } } }', { id });
      expect(errors?.map((error) => error.extensions?.code)).toEqual(['FORBIDDEN']);
      expect(await mutated(admin, 'eventRedact', { id }, 'event { redactedAt }')).toMatchObject({
        event: { redactedAt: expect.any(String) },
      });
    });
  });
});

/** Something in every table that an application can have rows in. */
/** 500 objects to compare with each of 2,000 others: more than a filter may. */
const COSTLY = { 'payload.lines': { $in: Array.from({ length: 500 }, (_, no) => ({ no })) } };
const MANY_LINES = { lines: Array.from({ length: 2_000 }, () => ({ sku: 'A-1' })) };

async function fill({ receiver, databaseUrl }: TestHub, shop: TestApplication): Promise<void> {
  await shop.webhook('/costly', { eventTypes: ['order.large'], filter: COSTLY });
  await shop.publish({ type: 'order.large', payload: MANY_LINES });
  const webhook = await shop.webhook('/fill', { payloadQuery: SHAPED });
  await mutated(shop.client, 'eventTypeRegister', { input: { name: 'order.created' } });
  const { id } = await shop.publish();
  await shop.publish();
  await receiver.waitFor(2, '/fill');
  await mutated(shop.client, 'webhookTest', { id: webhook.id, input: { eventType: 'a', payload: {} } });
  await settled(shop.client, 2);
  await mutated(shop.client, 'eventRedact', { id });
  await fillWithFailures(receiver, shop);
  // Cancelled at an instance that has not looked yet.
  const { from } = sequenceRange('dlv', shop.id, 1, 1);
  await withRows(databaseUrl, (_query, database) =>
    database.transaction((tx) => tx.execute('INSERT INTO cancellations (delivery_id, owner) VALUES (?, ?)', [from, 'ins_elsewhere'])),
  );
}

/** Health, an owner of an ordered webhook, and a job that cannot end because its webhook is paused. */
async function fillWithFailures(receiver: TestHub['receiver'], shop: TestApplication): Promise<void> {
  receiver.answer('/bad', { status: 500 });
  const bad = await shop.webhook('/bad', { ordering: 'STRICT', eventTypes: ['bad.one'], retrySchedule: [] });
  for (let no = 0; no < 6; no++) await shop.publish({ type: 'bad.one' });
  await receiver.waitFor(3, '/bad');
  await until(
    async () => {
      const { webhook } = await shop.client.query<{ webhook: { health: string } }>('query ($id: ID!) { webhook(id: $id) { health } }', {
        id: bad.id,
      });
      return webhook.health !== 'HEALTHY';
    },
    { description: 'the webhook to be failing' },
  );
  await mutated(shop.client, 'webhookPause', { id: bad.id });
  await mutated(shop.client, 'deliveriesRetry', { input: { filter: { webhookIds: [bad.id] } } });
}

describeEachDatabase('Deleting an application', (makeDatabase) => {
  test('removes its rows from every table there is', async () => {
    await withHub(makeDatabase, async (hub) => {
      const { admin, application, databaseUrl } = hub;
      const before = await everyRowCount(databaseUrl);
      const shop = await application();
      await fill(hub, shop);
      const empty = async () => {
        const filled = await everyRowCount(databaseUrl);
        // An ordered webhook has an owner only while there is something to send.
        return Object.keys(filled).filter((table) => filled[table] === before[table] && table !== 'webhook_owners');
      };
      await until(async () => (await empty()).length === 0, { description: 'rows in every table' }).catch(() => undefined);
      expect(await empty()).toEqual([]);
      await mutated(admin, 'applicationDelete', { id: shop.id });
      const left = async () => {
        const now = await everyRowCount(databaseUrl);
        const { from, to } = idRange('aud', shop.id);
        const audited = await withRows(databaseUrl, (query) => query('SELECT id FROM audit_events WHERE id >= ? AND id < ?', [from, to]));
        // The hub's own audit log keeps that the application was created and deleted.
        return Object.keys(now).filter((table) => (table === 'audit_events' ? audited.length > 0 : now[table] !== before[table]));
      };
      await until(async () => (await left()).length === 0, { description: 'every table to be as before' }).catch(() => undefined);
      expect(await left()).toEqual([]);
    });
  });
});

test('another instance forgets a redacted event, in its queues and its log', async () => {
  await withHub(createMysqlDatabase, async ({ application, receiver, startAnother }) => {
    const shop = await application();
    const answer = held();
    receiver.answer('/slow', () => answer.promise);
    await shop.webhook('/slow', { maxConcurrency: 1 });
    const payloads = 'subscription ($after: String) { event(after: $after) { payload } }';
    const watcher = shop.client.subscribe<object>(payloads, { after: encodeCursor('event', shop.id, 0) });
    await shop.publish({ payload: { no: 1 } });
    await receiver.waitFor(1, '/slow');
    const { id } = await shop.publish({ payload: { no: 'top-secret-9' } });
    await watcher.take(2);
    const { url } = await startAnother();
    await mutated(new Client(url, shop.key), 'eventRedact', { id });
    const third = await shop.publish({ payload: { no: 3 } });
    const fromMemory = async () => {
      const stream = shop.client.subscribe<object>(payloads, { after: encodeCursor('event', shop.id, 1) });
      const [first] = await stream.take(1);
      await stream.return();
      return JSON.stringify(first);
    };
    await until(async () => (await fromMemory()) === '{"event":{"payload":{}}}', { description: 'the payload to be forgotten' });
    answer.give({ status: 200 });
    await receiver.waitFor(2, '/slow');
    expect(receiver.requests('/slow')[1]?.headers['webhook-id']).toBe(third.id);
    await watcher.return();
  });
});

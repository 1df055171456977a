import { encodeCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import { example } from '../support/documentation';
import { Client, type Subscription } from '../support/graphql-client';
import { createMysqlDatabase } from '../support/mariadb';
import { mutate, mutated } from '../support/mutate';
import type { ReceivedRequest } from '../support/receiver';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { ADMIN_KEY, type TestApplication, withHub } from '../support/with-hub';

interface Job {
  readonly id: string;
  readonly kind: string;
  readonly status: string;
  readonly total: number;
  readonly done: number;
  readonly failed: number;
  readonly completedAt: string | null;
}

const JOB = 'id kind status total done failed completedAt';
const WATCH = `subscription ($id: ID!) { retryJob(id: $id) { ${JOB} } }`;

async function ask(client: Client, name: 'deliveriesRetry' | 'eventReplay', input: object) {
  return mutate<{ retryJob: Job | null }>(client, name, { input }, `retryJob { ${JOB} }`);
}

async function start(client: Client, name: 'deliveriesRetry' | 'eventReplay', input: object = {}): Promise<Job> {
  const { retryJob } = await mutated<{ retryJob: Job }>(client, name, { input }, `retryJob { ${JOB} }`);
  return retryJob;
}

const retry = (client: Client, filter: object = {}) => start(client, 'deliveriesRetry', { filter });
const count = async (client: Client, filter: object = {}) => (await start(client, 'deliveriesRetry', { filter, dryRun: true })).total;
const replay = (client: Client, input: object) => start(client, 'eventReplay', input);

async function cancel(client: Client, id: string) {
  return mutate<{ retryJob: Job | null }>(client, 'retryJobCancel', { id }, `retryJob { ${JOB} }`);
}

async function read(client: Client, id: string): Promise<Job> {
  const { node } = await client.query<{ node: Job }>(`query ($id: ID!) { node(id: $id) { ... on RetryJob { ${JOB} } } }`, { id });
  return node;
}

/** The states that a subscriber sees, up to the one in which the job is finished. */
async function statesOf(stream: Subscription<{ retryJob: Job }>): Promise<Job[]> {
  const states: Job[] = [];
  for await (const { data, errors } of stream) {
    if (errors) throw new Error(errors.map(({ message }) => message).join());
    if (data) states.push(data.retryJob);
  }
  return states;
}

async function finished(client: Client, id: string): Promise<Job> {
  const last = (await statesOf(client.subscribe<{ retryJob: Job }>(WATCH, { id }))).at(-1);
  if (last === undefined) throw new Error('expected a state of the job');
  return last;
}

async function publishMany(shop: TestApplication, events: number, type = 'order.created'): Promise<string[]> {
  const ids: string[] = [];
  for (let start = 0; start < events; start += 1_000) {
    const { eventsPublish } = await shop.client.mutate<{ eventsPublish: { results: { event: { id: string } }[] } }>(
      'mutation ($input: EventsPublishInput!) { eventsPublish(input: $input) { results { event { id } } } }',
      { input: { events: Array.from({ length: Math.min(1_000, events - start) }, (_, no) => ({ type, payload: { no: start + no } })) } },
    );
    ids.push(...eventsPublish.results.map(({ event }) => event.id));
  }
  return ids;
}

/** How many deliveries have each status. */
async function tally(databaseUrl: string): Promise<Record<string, number>> {
  return withRows(databaseUrl, async (query) => {
    const rows = await query<{ status: string; n: number }>('SELECT status, COUNT(*) AS n FROM deliveries GROUP BY status');
    return Object.fromEntries(rows.map(({ status, n }) => [status, Number(n)]));
  });
}

async function allFailed(shop: TestApplication, total: number): Promise<void> {
  await until(async () => (await count(shop.client)) === total, { description: `${total} deliveries to have failed`, timeoutMs: 40_000 });
}

const idOf = ({ headers }: ReceivedRequest) => headers['webhook-id'] ?? '';
const countsOf = ({ total, done, failed, status }: Job) => ({ total, done, failed, status });

describeEachDatabase('Replay', (makeDatabase) => {
  test("sends a day's outage once more: each delivery once, under its own id, seen live to the end", async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 503 });
      await shop.webhook('/hook', { retrySchedule: [] });
      const events = await publishMany(shop, 200);
      await allFailed(shop, 200);

      receiver.answer('/hook', {});
      const document = example('schema/guide.md', 'replay');
      const { deliveriesRetry } = await shop.client.mutate<{ deliveriesRetry: { retryJob: Job } }>(document, {
        since: '2026-01-31T00:00:00Z',
      });
      const { id, total } = deliveriesRetry.retryJob;
      expect(total).toBe(200);
      const { viewer, retryJob } = await shop.client.query<{ viewer: { apiKey: { id: string } }; retryJob: Record<string, unknown> }>(
        `query ($id: ID!) { viewer { apiKey { id } } retryJob(id: $id) { authorId ratePerSecond filter {
          webhookIds eventIds eventTypes statuses createdAfter createdBefore outcomes statusCodes minDurationMs orderingKey minSequence maxSequence } } }`,
        { id },
      );
      const unrestricted = { webhookIds: null, eventIds: null, eventTypes: null, createdBefore: null, outcomes: null, statusCodes: null };
      expect(retryJob).toEqual({
        authorId: viewer.apiKey.id,
        ratePerSecond: expect.any(Number),
        filter: {
          ...unrestricted,
          ...{ minDurationMs: null, orderingKey: null, minSequence: null, maxSequence: null },
          statuses: ['FAILED'],
          createdAfter: '2026-01-31T00:00:00.000Z',
        },
      });
      const narrowed = { minSequence: 5, statusCodes: [503], orderingKey: 'one', eventTypes: ['order.*'] };
      const { retryJob: dry } = await mutated<{ retryJob: Record<string, unknown> }>(
        shop.client,
        'deliveriesRetry',
        { input: { filter: { ...narrowed, statuses: ['RETRYING'] }, dryRun: true } },
        'retryJob { filter { minSequence statusCodes orderingKey eventTypes statuses webhookIds } }',
      );
      expect(dry.filter).toEqual({ ...narrowed, statuses: ['RETRYING'], webhookIds: null });
      const watched = example('schema/guide.md', 'watch-replay');
      const [overSocket, overEvents] = await Promise.all([
        statesOf(shop.client.subscribe<{ retryJob: Job }>(watched, { id })),
        statesOf(shop.client.subscribeSse<{ retryJob: Job }>(WATCH, { id })),
      ]);
      for (const states of [overSocket, overEvents]) {
        expect(states.at(-1)).toMatchObject({ status: 'COMPLETED', total: 200, done: 200, failed: 0 });
        expect(states.map(({ done }) => done)).toEqual(states.map(({ done }) => done).sort((a, b) => a - b));
        expect(new Set(states.map((state) => state.total))).toEqual(new Set([200]));
      }
      const again = receiver.requests('/hook').slice(200);
      expect(again.map(idOf).sort()).toEqual([...events].sort());
      expect(again.every(({ verified }) => verified)).toBe(true);
      expect(new Set(again.map(({ headers }) => headers['livehook-attempt']))).toEqual(new Set(['2']));
      expect(await tally(databaseUrl)).toEqual({ SUCCEEDED: 200 });
      const triggers = await withRows(databaseUrl, (query) => query('SELECT DISTINCT triggered_by FROM attempts ORDER BY triggered_by'));
      expect(triggers).toEqual([{ triggered_by: 'FIRST' }, { triggered_by: 'MANUAL' }]);

      // A second time there is nothing left.
      expect(await retry(shop.client)).toMatchObject({ status: 'COMPLETED', total: 0, done: 0, completedAt: expect.any(String) });
      expect(await statesOf(shop.client.subscribe<{ retryJob: Job }>(WATCH, { id }))).toEqual([await read(shop.client, id)]);
      expect(receiver.requests('/hook')).toHaveLength(400);
    });
  });

  test('counts what fails again, and leaves it as it is', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      await shop.webhook('/hook', { retrySchedule: [] });
      const events = await publishMany(shop, 30);
      await allFailed(shop, 30);
      const stillFails = new Set(events.slice(0, 10));
      receiver.answer('/hook', (request) => ({ status: stillFails.has(idOf(request)) ? 500 : 204 }));
      const { id } = await retry(shop.client);
      expect(countsOf(await finished(shop.client, id))).toEqual({ total: 30, done: 30, failed: 10, status: 'COMPLETED' });
      expect(await tally(databaseUrl)).toEqual({ SUCCEEDED: 20, FAILED: 10 });
      expect(await count(shop.client)).toBe(10);
    });
  });

  test('leaves to those that wait for their next attempt when it is due, where they fail once more', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      await shop.webhook('/hook', { retrySchedule: [3600] });
      await publishMany(shop, 5);
      await until(async () => (await tally(databaseUrl)).RETRYING === 5, { description: '5 deliveries to wait' });
      const due = () =>
        withRows(databaseUrl, async (query) =>
          (await query<{ due_at: number }>('SELECT due_at FROM deliveries ORDER BY id')).map(({ due_at }) => Number(due_at)),
        );
      const before = await due();
      for (let round = 1; round <= 2; round++) {
        const { id } = await retry(shop.client, { statuses: ['RETRYING'] });
        expect(countsOf(await finished(shop.client, id))).toEqual({ total: 5, done: 5, failed: 5, status: 'COMPLETED' });
        expect(await tally(databaseUrl)).toEqual({ RETRYING: 5 });
        expect(await due()).toEqual(before);
      }
      receiver.answer('/hook', {});
      expect(countsOf(await finished(shop.client, (await retry(shop.client, { statuses: ['RETRYING'] })).id))).toMatchObject({ failed: 0 });
      expect(await tally(databaseUrl)).toEqual({ SUCCEEDED: 5 });
      expect(new Set(receiver.requests('/hook').map(({ headers }) => headers['livehook-attempt']))).toEqual(new Set(['1', '2', '3', '4']));
    });
  });

  test('only counts in a dry run', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      const { id: webhookId } = await shop.webhook('/hook', { retrySchedule: [], eventTypes: ['order.*'] });
      await publishMany(shop, 12);
      await shop.publish({ type: 'customer.created' });
      await allFailed(shop, 12);
      await mutated(shop.client, 'webhookUpdate', { id: webhookId, input: { eventTypes: ['*'] } });
      const rows = () =>
        withRows(databaseUrl, async (query) => [
          await query('SELECT * FROM deliveries ORDER BY id'),
          await query('SELECT * FROM retry_jobs'),
          await query('SELECT * FROM counters ORDER BY application_id, log'),
        ]);
      const before = await rows();
      const dry = await start(shop.client, 'deliveriesRetry', { dryRun: true });
      expect(dry).toMatchObject({ status: 'DRY_RUN', kind: 'RETRY', total: 12, done: 0, failed: 0 });
      expect(await read(shop.client, dry.id)).toBeNull();
      expect(await replay(shop.client, { webhookId, dryRun: true })).toMatchObject({ status: 'DRY_RUN', kind: 'REPLAY', total: 1 });
      expect(await rows()).toEqual(before);
      expect(receiver.requests('/hook')).toHaveLength(12);
    });
  });

  test('is cancelled in the middle: what has not left stays as it was', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      await shop.webhook('/hook', { retrySchedule: [], maxConcurrency: 5 });
      await publishMany(shop, 100);
      await allFailed(shop, 100);
      const before = await withRows(databaseUrl, (query) => query<{ id: string }>('SELECT * FROM deliveries ORDER BY id'));

      let release = () => {};
      const released = new Promise<void>((resolve) => (release = resolve));
      receiver.answer('/hook', async (_request, nth) => {
        if (nth > 110) await released;
        return {};
      });
      const { id } = await retry(shop.client);
      await receiver.waitFor(115, '/hook');
      const { retryJob, userErrors } = await cancel(shop.client, id);
      expect(userErrors).toEqual([]);
      expect(retryJob).toMatchObject({ status: 'CANCELLED', total: 100, completedAt: null });
      expect((await cancel(shop.client, id)).userErrors).toEqual([]); // already is
      // What is queued here, and what is only due, goes back.
      await until(async () => (await tally(databaseUrl)).FAILED === 85, { description: 'the rest to be put back' });
      release();
      expect(countsOf(await finished(shop.client, id))).toEqual({ total: 100, done: 15, failed: 0, status: 'CANCELLED' });
      expect(await tally(databaseUrl)).toEqual({ SUCCEEDED: 15, FAILED: 85 });
      expect(receiver.requests('/hook')).toHaveLength(115);
      const after = await withRows(databaseUrl, (query) => query<{ status: string; id: string }>('SELECT * FROM deliveries ORDER BY id'));
      const unsent = new Set(after.filter(({ status }) => status === 'FAILED').map((row) => row.id));
      expect(after.filter((row) => unsent.has(row.id))).toEqual(before.filter((row) => unsent.has(row.id)));

      expect(countsOf(await finished(shop.client, (await retry(shop.client)).id))).toMatchObject({ total: 85, done: 85 });
      const refused = await cancel(shop.client, (await retry(shop.client)).id);
      expect(refused).toEqual({
        retryJob: null,
        userErrors: [{ field: ['id'], message: 'expected a job that is not finished; this one has COMPLETED', code: 'CONFLICT' }],
      });
    });
  });

  test('goes on after a restart, and sends nothing twice', async () => {
    await withHub(makeDatabase, async ({ hub, application, receiver, databaseUrl, startAnother }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      await shop.webhook('/hook', { retrySchedule: [], maxConcurrency: 5 });
      const events = await publishMany(shop, 300);
      await allFailed(shop, 300);
      receiver.answer('/hook', {});
      const { id } = await retry(shop.client);
      await receiver.waitFor(320, '/hook');
      await shop.client.close();
      await hub.stop();
      const between = await tally(databaseUrl);
      expect(between.SUCCEEDED).toBeLessThan(300);

      const { url } = await startAnother();
      const done = await until(
        async () => {
          const [row] = await withRows(databaseUrl, (query) =>
            query<{ status: string; total: number; done: number; failed: number }>(
              'SELECT status, total, done, failed FROM retry_jobs WHERE id = ?',
              [id],
            ),
          );
          return row?.status === 'COMPLETED' && row;
        },
        { description: `the job to be completed at ${url}` },
      );
      expect([done.total, done.done, done.failed].map(Number)).toEqual([300, 300, 0]);
      expect(await tally(databaseUrl)).toEqual({ SUCCEEDED: 300 });
      expect(receiver.requests('/hook').slice(300).map(idOf).sort()).toEqual([...events].sort());
    });
  });

  test('leaves first attempts their room: a new event overtakes a job of 2,000', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      const { id: webhookId } = await shop.webhook('/hook', { retrySchedule: [], maxConcurrency: 50 });
      await publishMany(shop, 2_000);
      await allFailed(shop, 2_000);
      await mutated(shop.client, 'webhookUpdate', { id: webhookId, input: { maxConcurrency: 10 } });

      let release = () => {};
      const released = new Promise<void>((resolve) => (release = resolve));
      receiver.answer('/hook', async (_request, nth) => {
        if (nth > 2_200) await released;
        return {};
      });
      const { id } = await retry(shop.client);
      await receiver.waitFor(2_210, '/hook');
      const fresh = await shop.publish();
      release();
      const requests = await receiver.waitFor((all) => all.some((request) => idOf(request) === fresh.id), '/hook');
      // Behind what had been handed out, a few requests a slot, and before the 1,700 others.
      expect(requests.findIndex((request) => idOf(request) === fresh.id)).toBeLessThan(2_300);
      expect(countsOf(await finished(shop.client, id))).toEqual({ total: 2_000, done: 2_000, failed: 0, status: 'COMPLETED' });
    });
  });

  test('does not let one webhook hold up another', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      for (const path of ['/stuck', '/fine']) receiver.answer(path, { status: 500 });
      const { id: stuck } = await shop.webhook('/stuck', { retrySchedule: [] });
      await shop.webhook('/fine', { retrySchedule: [] });
      await publishMany(shop, 100);
      await allFailed(shop, 200);
      await mutated(shop.client, 'webhookPause', { id: stuck });
      receiver.answer('/stuck', {}).answer('/fine', {});
      const { id } = await retry(shop.client);
      await receiver.waitFor(200, '/fine');
      await until(async () => (await read(shop.client, id)).done === 100, { description: 'the other half to be done' });
      expect(receiver.requests('/stuck')).toHaveLength(100);
      expect(await read(shop.client, id)).toMatchObject({ status: 'RUNNING', total: 200 });
      await mutated(shop.client, 'webhookResume', { id: stuck });
      expect(countsOf(await finished(shop.client, id))).toEqual({ total: 200, done: 200, failed: 0, status: 'COMPLETED' });
      expect(await tally(databaseUrl)).toEqual({ SUCCEEDED: 200 });
    });
  });

  test('ends for a webhook that goes away: what it has not sent stays failed and is taken off', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      const { id: webhookId } = await shop.webhook('/hook', { retrySchedule: [], maxConcurrency: 1 });
      await publishMany(shop, 60);
      await allFailed(shop, 60);
      receiver.answer('/hook', (_request, nth) => ({ status: nth === 65 ? 410 : 204 }));
      const { id } = await retry(shop.client);
      const job = await finished(shop.client, id);
      expect(job).toMatchObject({ status: 'COMPLETED', failed: 1 });
      expect(job.done).toBe(job.total);
      expect(job.total).toBeLessThan(60);
      expect(await tally(databaseUrl)).toEqual({ SUCCEEDED: job.done - 1, FAILED: 61 - job.done });
      // A disabled webhook's are not for a job, a deleted one's neither.
      expect(await count(shop.client)).toBe(0);
      await mutated(shop.client, 'webhookResume', { id: webhookId });
      expect(await count(shop.client)).toBe(61 - job.done);
      await mutated(shop.client, 'webhookDelete', { id: webhookId });
      expect(await count(shop.client)).toBe(0);
    });
  });

  test('takes what the filter names, by webhook, event, type, status and time', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/a', { status: 500 }).answer('/b', { status: 500 }).answer('/waits', { status: 500 });
      const a = await shop.webhook('/a', { retrySchedule: [] });
      const b = await shop.webhook('/b', { retrySchedule: [], eventTypes: ['order.*'] });
      const waits = await shop.webhook('/waits', { retrySchedule: [3600, 3600], eventTypes: ['slow.*'] });
      await shop.webhook('/works', { eventTypes: ['order.created'] });
      const events = [];
      for (const type of ['order.created', 'order.paid', 'customer.created', 'slow.one']) events.push((await shop.publish({ type })).id);
      await allFailed(shop, 6);
      await until(async () => (await count(shop.client, { statuses: ['SUCCEEDED', 'RETRYING'] })) === 2, {
        description: 'the others to be tried',
      });

      const total = (filter: object) => count(shop.client, filter);
      expect(await total({ webhookIds: [a.id] })).toBe(4);
      expect(await total({ webhookIds: [a.id, b.id, b.id] })).toBe(6);
      expect(await total({ webhookIds: [b.id], eventTypes: ['*.paid'] })).toBe(1);
      expect(await total({ eventIds: [events[0], events[2]] })).toBe(3);
      expect(await total({ eventIds: [events[0]], webhookIds: [waits.id] })).toBe(0);
      expect(await total({ statuses: ['SUCCEEDED'] })).toBe(1);
      expect(await total({ statuses: ['RETRYING'] })).toBe(1);
      expect(await total({ statuses: ['PENDING', 'CANCELLED'] })).toBe(0);
      expect(await total({ statuses: ['FAILED', 'SUCCEEDED', 'RETRYING', 'PENDING', 'CANCELLED'] })).toBe(8);
      expect(await total({ createdBefore: '2020-01-01T00:00:00Z' })).toBe(0);
      expect(await total({ createdAfter: '2020-01-01T00:00:00Z', createdBefore: '2100-01-01T00:00:00Z' })).toBe(6);
      expect(await total({ createdAfter: '2099-01-01T00:00:00Z' })).toBe(0);

      // What waits an hour for its next attempt has it now; its schedule goes on.
      const waiting = await retry(shop.client, { webhookIds: [waits.id], statuses: ['RETRYING', 'FAILED', 'SUCCEEDED'] });
      expect(countsOf(await finished(shop.client, waiting.id))).toEqual({ total: 1, done: 1, failed: 1, status: 'COMPLETED' });
      expect(receiver.requests('/waits')).toHaveLength(2);
      expect(await total({ webhookIds: [waits.id], statuses: ['RETRYING'] })).toBe(1);

      receiver.answer('/b', {});
      const paid = await retry(shop.client, { webhookIds: [b.id], eventTypes: ['order.paid'] });
      expect(countsOf(await finished(shop.client, paid.id))).toEqual({ total: 1, done: 1, failed: 0, status: 'COMPLETED' });
      expect(receiver.requests('/b').slice(2).map(idOf)).toEqual([events[1]]);
      const succeeded = await retry(shop.client, { webhookIds: [b.id], statuses: ['SUCCEEDED'] });
      expect(countsOf(await finished(shop.client, succeeded.id))).toMatchObject({ total: 1, done: 1 });
      expect(receiver.requests('/b')).toHaveLength(4);

      const { retryJobs } = await shop.client.query<{ retryJobs: { nodes: Job[]; pageInfo: { endCursor: string; hasNextPage: boolean } } }>(
        '{ retryJobs(first: 2) { nodes { id } pageInfo { endCursor hasNextPage } } }',
      );
      expect(retryJobs).toMatchObject({ nodes: [{ id: succeeded.id }, { id: paid.id }], pageInfo: { hasNextPage: true } });
      const next = await shop.client.query<{ retryJobs: { nodes: Job[] } }>(
        'query ($after: String) { retryJobs(after: $after) { nodes { id } } }',
        {
          after: retryJobs.pageInfo.endCursor,
        },
      );
      expect(next.retryJobs.nodes).toEqual([{ id: waiting.id }]);
    });
  });

  test('brings earlier events to a webhook that was made after them, as far as it selects them', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      const before = await publishMany(shop, 120);
      await shop.publish({ type: 'customer.created' });
      const watch = shop.client.subscribe<{ deliveryUpdates: { updates: { status: string }[] } }>(
        'subscription ($after: String) { deliveryUpdates(after: $after, intervalMs: 0) { updates { status } } }',
        { after: encodeCursor('update', shop.id, 0) },
      );
      const { id: webhookId } = await shop.webhook('/late', { eventTypes: ['order.*'], filter: { 'payload.no': { $lt: 100 } } });
      const own = await shop.publish({ payload: { no: 1 } });
      await receiver.waitFor(1, '/late');

      const job = await replay(shop.client, { webhookId });
      expect(job).toMatchObject({ kind: 'REPLAY', total: 100 });
      expect(countsOf(await finished(shop.client, job.id))).toEqual({ total: 100, done: 100, failed: 0, status: 'COMPLETED' });
      const requests = receiver.requests('/late');
      expect(requests.slice(1).map(idOf).sort()).toEqual(before.slice(0, 100).sort());
      expect(requests.every(({ verified }) => verified)).toBe(true);
      expect(idOf(requests[0] as ReceivedRequest)).toBe(own.id);
      expect(JSON.parse(requests[1]?.body.toString() ?? '')).toMatchObject({ type: 'order.created', sequence: expect.any(Number) });
      expect(await tally(databaseUrl)).toEqual({ SUCCEEDED: 101 });
      const seen: string[] = [];
      while (seen.length < 202)
        for (const page of await watch.take(1)) seen.push(...page.deliveryUpdates.updates.map(({ status }) => status));
      expect(seen.filter((status) => status === 'PENDING')).toHaveLength(101);

      // Run twice: nothing is left. Wider: only what is new.
      expect(await replay(shop.client, { webhookId })).toMatchObject({ status: 'COMPLETED', total: 0 });
      await mutated(shop.client, 'webhookUpdate', { id: webhookId, input: { eventTypes: ['*'], filter: null } });
      expect(await replay(shop.client, { webhookId, eventTypes: ['customer.*'], dryRun: true })).toMatchObject({ total: 1 });
      expect(await replay(shop.client, { webhookId, eventTypes: ['nothing.*'] })).toMatchObject({ total: 0 });
      expect(await replay(shop.client, { webhookId, before: '2020-01-01T00:00:00Z', dryRun: true })).toMatchObject({ total: 0 });
      expect(await replay(shop.client, { webhookId, after: '2099-01-01T00:00:00Z', dryRun: true })).toMatchObject({ total: 0 });
      const all = await replay(shop.client, { webhookId, after: '2020-01-01T00:00:00Z', before: '2099-01-01T00:00:00Z' });
      expect(countsOf(await finished(shop.client, all.id))).toMatchObject({ total: 21, done: 21 });
      expect(new Set(receiver.requests('/late').map(idOf)).size).toBe(122);
      expect(receiver.requests('/late')).toHaveLength(122);
    });
  });

  test('brings what was missed while the receiver was gone, when the webhook is back', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 410 });
      const { id: webhookId } = await shop.webhook('/hook');
      const gone = await shop.publish();
      await until(
        async () =>
          (await shop.client.query<{ webhook: { status: string } }>(`{ webhook(id: "${webhookId}") { status } }`)).webhook.status ===
          'DISABLED',
        { description: 'the webhook to be disabled' },
      );
      const missed = await publishMany(shop, 20);
      expect((await ask(shop.client, 'eventReplay', { webhookId })).userErrors).toEqual([
        { field: ['webhookId'], message: expect.stringContaining('resume it first'), code: 'CONFLICT' },
      ]);
      receiver.answer('/hook', {});
      await mutated(shop.client, 'webhookResume', { id: webhookId });

      // Paused: the deliveries are made, and leave when it is resumed.
      await mutated(shop.client, 'webhookPause', { id: webhookId });
      const { id, total } = await replay(shop.client, { webhookId });
      expect(total).toBe(20);
      await until(async () => (await tally(databaseUrl)).PENDING === 20, { description: 'the deliveries to be stored' });
      expect(receiver.requests('/hook')).toHaveLength(1);
      await mutated(shop.client, 'webhookResume', { id: webhookId });
      expect(countsOf(await finished(shop.client, id))).toEqual({ total: 20, done: 20, failed: 0, status: 'COMPLETED' });
      expect(receiver.requests('/hook').slice(1).map(idOf).sort()).toEqual([...missed].sort());
      // The one that was answered with 410 has a delivery: it is for a retry.
      const again = await retry(shop.client);
      expect(countsOf(await finished(shop.client, again.id))).toMatchObject({ total: 1, done: 1 });
      expect(receiver.requests('/hook').at(-1)?.headers['webhook-id']).toBe(gone.id);
    });
  });

  test('is cancelled while it waits: what it has made is cancelled, and can be retried', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      await publishMany(shop, 70);
      const { id: webhookId } = await shop.webhook('/hook', { maxConcurrency: 1 });
      await mutated(shop.client, 'webhookPause', { id: webhookId });
      const { id } = await replay(shop.client, { webhookId });
      await until(async () => ((await tally(databaseUrl)).PENDING ?? 0) > 0, { description: 'some to be stored' });
      await cancel(shop.client, id);
      expect(countsOf(await finished(shop.client, id))).toMatchObject({ total: 70, done: 0, status: 'CANCELLED' });
      const { CANCELLED = 0, PENDING = 0 } = await tally(databaseUrl);
      expect([CANCELLED > 0, CANCELLED < 70, PENDING]).toEqual([true, true, 0]);
      await mutated(shop.client, 'webhookResume', { id: webhookId });
      const jobs = [await replay(shop.client, { webhookId }), await retry(shop.client, { statuses: ['CANCELLED'] })];
      for (const job of jobs) expect(await finished(shop.client, job.id)).toMatchObject({ status: 'COMPLETED', failed: 0 });
      expect(jobs.map(({ total }) => total)).toEqual([70 - CANCELLED, CANCELLED]);
      expect(new Set(receiver.requests('/hook').map(idOf)).size).toBe(70);
      expect(receiver.requests('/hook')).toHaveLength(70);
    });
  });

  test('belongs to one application', async () => {
    await withHub(makeDatabase, async ({ application, receiver, admin, client, databaseUrl }) => {
      const [red, blue] = [await application('red'), await application('blue')];
      for (const path of ['/red', '/blue']) receiver.answer(path, { status: 500 });
      await red.webhook('/red', { retrySchedule: [] });
      const theirs = await blue.webhook('/blue', { retrySchedule: [] });
      const event = await blue.publish();
      await red.publish();
      await allFailed(red, 1);
      await allFailed(blue, 1);
      const job = await retry(blue.client);
      await finished(blue.client, job.id);
      await until(async () => receiver.requests('/blue').length === 2, { description: 'the retry' });

      expect(await read(red.client, job.id)).toBeNull();
      expect((await red.client.query<{ retryJobs: { nodes: Job[] } }>('{ retryJobs { nodes { id } } }')).retryJobs.nodes).toEqual([]);
      expect((await cancel(red.client, job.id)).userErrors).toMatchObject([{ field: ['id'], code: 'NOT_FOUND' }]);
      for (const stream of [red.client.subscribe(WATCH, { id: job.id }), red.client.subscribeSse(WATCH, { id: job.id })])
        await expect(stream.take(1)).rejects.toThrow('expected the id of a retry job');
      for (const filter of [{ webhookIds: [theirs.id] }, { eventIds: [event.id] }])
        expect((await ask(red.client, 'deliveriesRetry', { filter })).userErrors).toMatchObject([{ code: 'NOT_FOUND' }]);
      expect((await ask(red.client, 'eventReplay', { webhookId: theirs.id })).userErrors).toMatchObject([
        { field: ['webhookId'], code: 'NOT_FOUND' },
      ]);
      await expect(ask(red.client, 'deliveriesRetry', { applicationId: blue.id })).rejects.toThrow('belongs to another application');
      expect(receiver.requests('/red')).toHaveLength(1);

      // An admin names the application, or the webhook that says which.
      expect(await start(admin, 'deliveriesRetry', { applicationId: blue.id, dryRun: true })).toMatchObject({ total: 1 });
      expect(await replay(admin, { webhookId: theirs.id, dryRun: true })).toMatchObject({ total: 0 });
      expect((await ask(client(ADMIN_KEY), 'deliveriesRetry', {})).userErrors).toMatchObject([
        { field: ['applicationId'], code: 'REQUIRED' },
      ]);
      const { apiKeyCreate } = await admin.mutate<{ apiKeyCreate: { token: string } }>(
        'mutation ($id: ID!) { apiKeyCreate(input: { applicationId: $id, scopes: [EVENTS_READ] }) { token } }',
        { id: blue.id },
      );
      const narrow = client(apiKeyCreate.token);
      await expect(retry(narrow)).rejects.toThrow('DELIVERIES_WRITE');
      await expect(narrow.subscribe(WATCH, { id: job.id }).take(1)).rejects.toThrow('DELIVERIES_READ');

      // A deleted application's jobs go with it, running ones too.
      await mutated(blue.client, 'webhookPause', { id: theirs.id });
      const running = await retry(blue.client);
      await until(async () => (await tally(databaseUrl)).RETRYING === 1, { description: 'the delivery to be handed out' });
      await admin.mutate('mutation ($id: ID!) { applicationDelete(id: $id) { userErrors { code } } }', { id: blue.id });
      for (const { id } of [job, running]) expect(await read(admin, id)).toBeNull();
      const left = () =>
        withRows(databaseUrl, async (query) => [
          ...(await query('SELECT id FROM retry_jobs')),
          ...(await query('SELECT delivery_id FROM retry_job_items')),
        ]);
      await until(async () => (await left()).length === 0, { description: 'the jobs to be removed' });
    });
  });

  test('refuses bad input with its place, all of it at once, and stores nothing', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl }) => {
      const shop = await application();
      const { id: webhookId } = await shop.webhook('/hook');
      const UNKNOWN = webhookId.replace(/.{8}$/, '00000000');
      const many = (length: number, value: string) => Array<string>(length).fill(value);
      const filters: readonly (readonly [filter: object, path: string, code: string, message: string])[] = [
        [{ webhookIds: [] }, 'filter.webhookIds', 'REQUIRED', 'expected at least one; leave it out for all'],
        [{ eventIds: [] }, 'filter.eventIds', 'REQUIRED', 'expected at least one'],
        [{ eventTypes: [] }, 'filter.eventTypes', 'REQUIRED', 'expected at least one'],
        [{ statuses: [] }, 'filter.statuses', 'REQUIRED', 'expected at least one'],
        [{ webhookIds: [webhookId, UNKNOWN] }, 'filter.webhookIds.1', 'NOT_FOUND', `expected the id of a webhook, got "${UNKNOWN}"`],
        [{ webhookIds: ['\u{1F4A5}'] }, 'filter.webhookIds.0', 'NOT_FOUND', 'expected the id of a webhook'],
        [{ eventIds: [webhookId] }, 'filter.eventIds.0', 'NOT_FOUND', 'expected the id of an event'],
        [{ eventIds: [`evt_${shop.id.slice(4)}${'0'.repeat(16)}`] }, 'filter.eventIds.0', 'NOT_FOUND', 'expected the id of an event'],
        [
          { eventTypes: ['order.*', 'a b'] },
          'filter.eventTypes.1',
          'INVALID',
          'expected the name of an event type, order.*, *.created or *; got "a b"',
        ],
        [{ eventTypes: many(101, 'a.b') }, 'filter.eventTypes', 'TOO_LARGE', 'expected at most 100, got 101'],
        [{ webhookIds: many(1_001, webhookId) }, 'filter.webhookIds', 'TOO_LARGE', 'expected at most 1000, got 1001'],
        [{ eventIds: many(1_001, 'x') }, 'filter.eventIds', 'TOO_LARGE', 'expected at most 1000, got 1001'],
        [
          { createdAfter: '2026-02-01T00:00:00Z', createdBefore: '2026-01-01T00:00:00Z' },
          'filter.createdBefore',
          'INVALID',
          'expected a time after 2026-02-01T00:00:00.000Z, got 2026-01-01T00:00:00.000Z',
        ],
      ];
      for (const [filter, path, code, message] of filters)
        expect([filter, await ask(shop.client, 'deliveriesRetry', { filter })]).toEqual([
          filter,
          { retryJob: null, userErrors: [{ field: path.split('.'), message: expect.stringContaining(message), code }] },
        ]);
      const { userErrors } = await ask(shop.client, 'deliveriesRetry', { filter: { webhookIds: [], eventTypes: ['?'], statuses: [] } });
      expect(userErrors.map(({ field }) => field.join('.'))).toEqual(['filter.webhookIds', 'filter.eventTypes.0', 'filter.statuses']);

      const time = '2026-01-01T00:00:00Z';
      const replays: readonly (readonly [input: object, path: string, code: string])[] = [
        [{ webhookId: UNKNOWN }, 'webhookId', 'NOT_FOUND'],
        [{ webhookId: '' }, 'webhookId', 'NOT_FOUND'],
        [{ webhookId, eventTypes: [] }, 'eventTypes', 'REQUIRED'],
        [{ webhookId, eventTypes: ['**'] }, 'eventTypes.0', 'INVALID'],
        [{ webhookId, after: time, before: time }, 'before', 'INVALID'],
      ];
      for (const [input, path, code] of replays)
        expect([input, await ask(shop.client, 'eventReplay', input)]).toEqual([
          input,
          { retryJob: null, userErrors: [{ field: path.split('.'), message: expect.any(String), code }] },
        ]);
      for (const id of ['', 'job_', `job_${shop.id.slice(4)}${'0'.repeat(14)}`])
        expect((await cancel(shop.client, id)).userErrors).toEqual([
          { field: ['id'], message: `expected the id of a retry job, got ${JSON.stringify(id)}`, code: 'NOT_FOUND' },
        ]);
      expect(await withRows(databaseUrl, (query) => query('SELECT id FROM retry_jobs'))).toEqual([]);
      await mutated(shop.client, 'webhookDelete', { id: webhookId });
      expect((await ask(shop.client, 'eventReplay', { webhookId })).userErrors).toMatchObject([{ code: 'NOT_FOUND' }]);
    });
  });

  test('keeps to so many jobs at a time', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      await shop.publish();
      const webhooks: string[] = [];
      for (let no = 0; no < 11; no++) {
        const { id } = await shop.webhook(`/${no}`);
        await mutated(shop.client, 'webhookPause', { id });
        webhooks.push(id);
      }
      for (const webhookId of webhooks.slice(0, 10)) await replay(shop.client, { webhookId });
      expect((await ask(shop.client, 'eventReplay', { webhookId: webhooks[10] })).userErrors).toEqual([
        { field: ['applicationId'], message: expect.stringContaining('at most 10 jobs at a time'), code: 'LIMIT_REACHED' },
      ]);
    });
  });
});

describe('Replay by several instances', () => {
  test('sends each delivery once, whichever of them takes the steps, and tells the watchers of all', async () => {
    await withHub(createMysqlDatabase, async ({ application, receiver, databaseUrl, startAnother }) => {
      const others = [await startAnother(), await startAnother()];
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      await shop.webhook('/hook', { retrySchedule: [] });
      const events = await publishMany(shop, 300);
      await allFailed(shop, 300);
      receiver.answer('/hook', {});
      // As a killed instance would have left it: another one takes the job over when its lease has ended.
      const dead = 'ins_000000000000';
      const takeOver = (until: string) =>
        withRows(databaseUrl, (_query, database) =>
          database.transaction((tx) =>
            tx.execute(`UPDATE retry_jobs SET worker = ?, worker_until = ${until} WHERE completed_at IS NULL`, [dead]),
          ),
        );
      const { id } = await retry(shop.client);
      await receiver.waitFor(340, '/hook');
      await takeOver('9000000000000000');
      const clients = others.map(({ url }) => new Client(url, shop.key));
      const watching = clients.map((client) => statesOf(client.subscribe<{ retryJob: Job }>(WATCH, { id })));
      await takeOver('0');
      for (const states of await Promise.all(watching))
        expect(states.at(-1)).toMatchObject({ status: 'COMPLETED', total: 300, done: 300, failed: 0 });
      expect(receiver.requests('/hook').slice(300).map(idOf).sort()).toEqual([...events].sort());
      expect(await tally(databaseUrl)).toEqual({ SUCCEEDED: 300 });
      await Promise.all(clients.map((client) => client.close()));
    });
  });
});

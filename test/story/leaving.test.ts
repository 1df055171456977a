import { sequenceOf } from '../../src/ids';
import { describeEachDatabase } from '../support/databases';
import { gate } from '../support/gate';
import { Client } from '../support/graphql-client';
import { createMysqlDatabase } from '../support/mariadb';
import { mutated } from '../support/mutate';
import type { Receiver } from '../support/receiver';
import { Redis } from '../support/redis';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { type TestApplication, type TestHub, withHub } from '../support/with-hub';

/*
 * A delivery leaves an instance's memory in many ways: it is cancelled, its event redacted, its job withdrawn. What leaves
 * is not sent, and what stands behind it goes on, whatever the order that its webhook keeps.
 */

const ORDERINGS = ['NONE', 'BY_KEY', 'STRICT'] as const;
const KEY = 'k';

interface Row {
  readonly id: string;
  readonly sequence: number;
  readonly status: string;
}

async function deliveries(client: Client): Promise<Row[]> {
  const page = await client.query<{ deliveries: { nodes: { id: string; status: string; event: { sequence: number } }[] } }>(
    '{ deliveries(first: 100) { nodes { id status event { sequence } } } }',
  );
  return page.deliveries.nodes.map(({ id, status, event }) => ({ id, status, sequence: event.sequence }));
}

async function statusOf(client: Client, sequence: number): Promise<string | undefined> {
  return (await deliveries(client)).find((row) => row.sequence === sequence)?.status;
}

async function idOf(client: Client, sequence: number): Promise<string> {
  return (await deliveries(client)).find((row) => row.sequence === sequence)?.id ?? '';
}

const publish = (shop: TestApplication, payload: object = { no: 1 }) => shop.publish({ payload, orderingKey: KEY });
const sent = (receiver: Receiver, path: string) => receiver.requests(path).map(({ headers }) => Number(headers['livehook-sequence']));
const redact = (shop: TestApplication, id: string) => mutated(shop.client, 'eventRedact', { id });

const untilStatus = (shop: TestApplication, sequence: number, status: string) =>
  until(async () => (await statusOf(shop.client, sequence)) === status, {
    description: `the delivery of event ${sequence} to be ${status}`,
  });

async function startJob(client: Client, name: 'deliveriesRetry' | 'eventReplay', input: object = {}): Promise<string> {
  const { retryJob } = await mutated<{ retryJob: { id: string } }>(client, name, { input }, 'retryJob { id }');
  return retryJob.id;
}

interface Job {
  readonly status: string;
  readonly total: number;
  readonly done: number;
}

async function job(client: Client, id: string): Promise<Job> {
  const { node } = await client.query<{ node: Job }>('query ($id: ID!) { node(id: $id) { ... on RetryJob { status total done } } }', {
    id,
  });
  return node;
}

describeEachDatabase('What leaves an instance', (makeDatabase) => {
  describe.each(ORDERINGS)('of a webhook that keeps the order %s', (ordering) => {
    /** Until this instance has it: what waits for its pace does so in memory. */
    const untilTakenUp = ({ databaseUrl }: TestHub, sequence: number) =>
      withRows(databaseUrl, async (rows) => {
        const owner = async () =>
          (await rows<{ id: string; owner: string | null }>('SELECT id, owner FROM deliveries')).find(
            ({ id }) => sequenceOf(id) === sequence,
          )?.owner;
        await until(async () => (await owner())?.startsWith('ins_') === true, {
          description: `the delivery of event ${sequence} to be taken up`,
        });
      });

    const within = (work: (hub: TestHub, shop: TestApplication) => Promise<void>) =>
      withHub(makeDatabase, async (hub) => work(hub, await hub.application()));

    test('by a redaction of its event is not sent, and what stands behind it is', () =>
      within(async ({ receiver }, shop) => {
        const held = gate();
        receiver.answer('/held', (_request, nth) => (nth === 1 ? held.answer() : {}));
        await shop.webhook('/held', { ordering, maxConcurrency: 1 });
        await publish(shop);
        await receiver.waitFor(1, '/held');
        const secret = await publish(shop, { secret: 'MARKER' });
        await publish(shop);
        await redact(shop, secret.id);
        held.open();
        await untilStatus(shop, 3, 'SUCCEEDED');
        expect(sent(receiver, '/held')).toEqual([1, 3]);
        expect(await statusOf(shop.client, 2)).toBe('CANCELLED');
      }));

    test('by a redaction while it waits for its pace lets the next go at its pace', () =>
      within(async (hub, shop) => {
        const { receiver } = hub;
        await shop.webhook('/paced', { ordering, ratePerSecond: 0.5 });
        await publish(shop);
        await receiver.waitFor(1, '/paced');
        const second = await publish(shop);
        await untilTakenUp(hub, 2);
        await redact(shop, second.id);
        await publish(shop);
        await untilStatus(shop, 3, 'SUCCEEDED');
        expect(sent(receiver, '/paced')).toEqual([1, 3]);
      }));

    test('by a cancellation while it waits for its pace lets the next go at its pace', () =>
      within(async (hub, shop) => {
        const { receiver } = hub;
        await shop.webhook('/paced', { ordering, ratePerSecond: 0.5 });
        await publish(shop);
        await receiver.waitFor(1, '/paced');
        await publish(shop);
        await publish(shop);
        await untilTakenUp(hub, 2);
        await mutated(shop.client, 'deliveryCancel', { id: await idOf(shop.client, 2) });
        await untilStatus(shop, 3, 'SUCCEEDED');
        expect(sent(receiver, '/paced')).toEqual([1, 3]);
      }));

    test('by the end of its job lets new events go', () =>
      within(async (hub, shop) => {
        const { receiver } = hub;
        receiver.answer('/paced', (_request, nth) => ({ status: nth === 1 ? 500 : 204 }));
        const { id } = await shop.webhook('/paced', { ordering, ratePerSecond: 0.5, retrySchedule: [] });
        await publish(shop);
        await untilStatus(shop, 1, 'FAILED');
        const jobId = await startJob(shop.client, 'deliveriesRetry', { filter: { webhookIds: [id] } });
        await untilTakenUp(hub, 1);
        await mutated(shop.client, 'retryJobCancel', { id: jobId });
        const { sequence } = await publish(shop); // the hub's own events have taken some
        await untilStatus(shop, sequence, 'SUCCEEDED');
        await until(async () => (await job(shop.client, jobId)).status === 'CANCELLED', { description: 'the job to end' });
      }));

    test('by the end of a replay is not sent, and the job tells what was', () =>
      within(async ({ receiver }, shop) => {
        for (let no = 0; no < 20; no++) await publish(shop);
        const gates = [gate(), gate()];
        receiver.answer('/replayed', (_request, nth) => gates[nth - 1]?.answer() ?? {});
        const { id } = await shop.webhook('/replayed', { ordering, maxConcurrency: 1 });
        const jobId = await startJob(shop.client, 'eventReplay', { webhookId: id });
        await receiver.waitFor(1, '/replayed');
        gates[0]?.open();
        await receiver.waitFor(2, '/replayed');
        await mutated(shop.client, 'retryJobCancel', { id: jobId });
        // What waits is taken back while the request that is under way goes on.
        await until(async () => (await deliveries(shop.client)).filter(({ status }) => status === 'CANCELLED').length === 18, {
          description: '18 deliveries to be taken back',
        });
        gates[1]?.open();
        await until(async () => (await job(shop.client, jobId)).done === 2, { description: 'both attempts to be counted' });
        const last = await publish(shop);
        await untilStatus(shop, last.sequence, 'SUCCEEDED');
        expect([sent(receiver, '/replayed').length, sent(receiver, '/replayed').at(-1)]).toEqual([3, last.sequence]);
        expect(await job(shop.client, jobId)).toMatchObject({ status: 'CANCELLED', done: 2 });
      }));

    test('is not sent when its event was redacted after it had failed, whoever asks for another attempt', () =>
      within(async ({ receiver }, shop) => {
        receiver.answer('/failed', (_request, nth) => ({ status: nth === 1 ? 500 : 204 }));
        const { id } = await shop.webhook('/failed', { ordering, retrySchedule: [] });
        const first = await publish(shop);
        await untilStatus(shop, 1, 'FAILED');
        await redact(shop, first.id);
        const jobId = await startJob(shop.client, 'deliveriesRetry', { filter: { webhookIds: [id] } });
        await until(async () => (await job(shop.client, jobId)).status === 'COMPLETED', { description: 'the job to end' });
        const { sequence } = await publish(shop);
        await untilStatus(shop, sequence, 'SUCCEEDED');
        expect(sent(receiver, '/failed')).toEqual([1, sequence]);
        expect(await statusOf(shop.client, 1)).not.toBe('SUCCEEDED');
      }));
  });
});

describe('Through another instance', () => {
  let redis: Redis;
  beforeAll(async () => {
    redis = await Redis.start();
  });
  afterAll(() => redis.stop());

  describe.each(['a doorbell', 'a poll'])('that hears of it by %s', (by) => {
    const environment = (): Record<string, string> => (by === 'a doorbell' ? { REDIS_URL: redis.url } : {});

    test.each(ORDERINGS)('what is cancelled of a webhook with the order %s is not sent', (ordering) =>
      withHub(
        createMysqlDatabase,
        async (hub) => {
          const shop = await hub.application();
          const held = gate();
          hub.receiver.answer('/held', (_request, nth) => (nth === 1 ? held.answer() : {}));
          await shop.webhook('/held', { ordering, maxConcurrency: 1 });
          await publish(shop);
          await hub.receiver.waitFor(1, '/held');
          for (let no = 0; no < 3; no++) await publish(shop);
          // Queued by this instance while it was the only one.
          const { url } = await hub.startAnother();
          const elsewhere = new Client(url, shop.key);
          await mutated(elsewhere, 'deliveryCancel', { id: await idOf(shop.client, 2) });
          await untilTold(hub.databaseUrl);
          held.open();
          await untilStatus(shop, 4, 'SUCCEEDED');
          await untilStatus(shop, 3, 'SUCCEEDED');
          expect(sent(hub.receiver, '/held').sort()).toEqual([1, 3, 4]);
        },
        { environment: environment() },
      ),
    );

    test.each(ORDERINGS)('what a cancelled job has handed out to a webhook with the order %s is not sent', (ordering) =>
      withHub(
        createMysqlDatabase,
        async (hub) => {
          const shop = await hub.application();
          for (let no = 0; no < 5; no++) await publish(shop);
          const held = gate();
          hub.receiver.answer('/held', (_request, nth) => (nth === 1 ? held.answer() : {}));
          const { id } = await shop.webhook('/held', { ordering, maxConcurrency: 1 });
          const jobId = await startJob(shop.client, 'eventReplay', { webhookId: id });
          await hub.receiver.waitFor(1, '/held');
          const { url } = await hub.startAnother();
          const elsewhere = new Client(url, shop.key);
          await mutated(elsewhere, 'retryJobCancel', { id: jobId });
          await until(async () => (await deliveries(shop.client)).filter(({ status }) => status === 'CANCELLED').length === 4, {
            description: 'four deliveries to be taken back',
          });
          held.open();
          await until(async () => (await job(elsewhere, jobId)).done === 1, { description: 'the attempt under way to be counted' });
          const last = await publish(shop);
          await untilStatus(shop, last.sequence, 'SUCCEEDED');
          expect(sent(hub.receiver, '/held')).toHaveLength(2);
        },
        { environment: environment() },
      ),
    );
  });
});

/** Until every instance has done what was asked of it through the database. */
async function untilTold(databaseUrl: string): Promise<void> {
  await withRows(databaseUrl, async (rows) => {
    const left = async () => (await rows('SELECT * FROM cancellations')).length;
    await until(async () => (await left()) === 0, { description: 'the cancellations to be carried out' });
  });
}

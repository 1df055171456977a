import { encode } from '../../src/attempts/histogram';
import { DAY, HOUR, MINUTE } from '../../src/clock';
import { describeEachDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { mutated } from '../support/mutate';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

interface Point {
  readonly startsAt: string;
  readonly attempts: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly bytes: number;
}

interface Asked {
  readonly from: Date;
  readonly to?: Date;
  readonly step?: string;
}

const POINT = 'startsAt attempts succeeded failed p50Ms p95Ms p99Ms bytes';
const DOCUMENT = `query ($id: ID!, $from: DateTime!, $to: DateTime, $step: SeriesStep) {
  webhook(id: $id) { series(from: $from, to: $to, step: $step) { ${POINT} } }
  application { series(from: $from, to: $to, step: $step) { ${POINT} } }
}`;

async function seriesOf({ client }: TestApplication, id: string, asked: Asked): Promise<{ webhook: Point[]; application: Point[] }> {
  const answer = await client.query<{ webhook: { series: Point[] }; application: { series: Point[] } }>(DOCUMENT, { id, ...asked });
  return { webhook: answer.webhook.series, application: answer.application.series };
}

const sumOf = (points: readonly Point[], of: 'attempts' | 'succeeded' | 'failed' | 'bytes') =>
  points.reduce((sum, point) => sum + point[of], 0);

const backlogOf = async ({ client }: TestApplication, id: string) =>
  client.query(
    'query ($id: ID!) { webhook(id: $id) { backlog { waiting isCapped oldestAt } } application { backlog { waiting isCapped oldestAt } } }',
    { id },
  );

describeEachDatabase('A series of statistics', (makeDatabase) => {
  test('has a point a step with attempts, durations and bytes, of a webhook and of all of an application', async () => {
    await withHub(makeDatabase, async ({ application, receiver, startAnother, databaseUrl, admin }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook', { retrySchedule: [1] });
      const { id: gone } = await shop.webhook('/gone');
      const { id: away } = await shop.webhook('/away', { url: 'http://127.0.0.1:1/', retrySchedule: [3600] });
      receiver.answer('/hook', (_, nth) => (nth === 2 ? { status: 500 } : {}));
      for (let no = 0; no < 3; no++) await shop.publish({ payload: { no } });
      const from = new Date(Date.now() - 3 * HOUR);
      const series = await until(
        async () => {
          const found = await seriesOf(shop, id, { from });
          return sumOf(found.webhook, 'attempts') === 4 && sumOf(found.application, 'attempts') === 10 && found;
        },
        { description: 'the attempts to be counted' },
      );
      const requests = receiver.requests('/hook');
      expect(sumOf(series.webhook, 'succeeded')).toBe(3);
      expect(sumOf(series.webhook, 'failed')).toBe(1);
      expect(sumOf(series.webhook, 'bytes')).toBe(requests.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0));
      // What got no connection has sent nothing.
      expect(sumOf((await seriesOf(shop, away, { from })).webhook, 'bytes')).toBe(0);
      expect(series.webhook.map(({ startsAt }) => Date.parse(startsAt) % HOUR)).toEqual(series.webhook.map(() => 0));
      const [first] = series.webhook;
      expect(Date.parse(first?.startsAt ?? '')).toBe(from.getTime() - (from.getTime() % HOUR));
      expect(first).toMatchObject({ attempts: 0, succeeded: 0, failed: 0, p50Ms: null, p99Ms: null, bytes: 0 });
      expect(series.webhook.some(({ p50Ms, p99Ms }) => p50Ms !== null && p50Ms > 0 && Number(p99Ms) >= p50Ms)).toBe(true);

      // What was deleted did happen; what was removed by retention was counted.
      await mutated(shop.client, 'webhookDelete', { id: gone });
      expect(sumOf((await seriesOf(shop, id, { from })).application, 'attempts')).toBe(10);
      await withRows(databaseUrl, (_query, database) => database.transaction((tx) => tx.execute('DELETE FROM attempts')));
      expect(await seriesOf(shop, id, { from })).toEqual(series);
      if (databaseUrl.startsWith('mysql')) {
        const other = await startAnother();
        expect(await seriesOf({ ...shop, client: new Client(other.url, shop.key) }, id, { from })).toEqual(series);
      }
      const named = await admin.query<{ application: { series: Point[] } }>(
        `query ($id: ID!, $from: DateTime!) { application(id: $id) { series(from: $from) { ${POINT} } } }`,
        { id: shop.id, from },
      );
      expect(named.application.series).toEqual(series.application);
    });
  });

  test('adds up what several instances have counted, in whole steps, and says which spans there are', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook');
      const now = Date.now();
      const today = now - (now % DAY);
      const rows = [
        [today - DAY, 'ins_one', 3, 1, 100, encode(new Map([[48, 4]]))],
        [today - DAY, 'ins_two', 2, 0, 50, encode(new Map([[0, 2]]))],
        [today - DAY + 15 * MINUTE, 'ins_one', 1, 0, 7, encode(new Map([[48, 1]]))],
        [today - DAY + 15 * MINUTE, 'ins_one.1', 0, 1, 9, encode(new Map([[48, 1]]))],
        [today - DAY - 15 * MINUTE, 'ins_one', 9, 9, 9, encode(new Map([[0, 18]]))],
      ];
      await withRows(databaseUrl, (_query, database) =>
        database.transaction((tx) =>
          tx.insert(
            'webhook_stats',
            ['webhook_id', 'started_at', 'instance_id', 'succeeded', 'failed', 'bytes', 'histogram'],
            [id, shop.id].flatMap((owner) => rows.map((row) => [owner, ...row])),
          ),
        ),
      );
      const day = { from: new Date(today - DAY), to: new Date(today) };
      for (const [step, count] of [
        ['QUARTER_HOUR', 96],
        ['HOUR', 24],
        ['SIX_HOURS', 4],
        ['DAY', 1],
      ] as const) {
        const { webhook, application: all } = await seriesOf(shop, id, { ...day, step });
        expect([step, webhook.length]).toEqual([step, count]);
        expect(all).toEqual(webhook);
        expect([sumOf(webhook, 'attempts'), sumOf(webhook, 'bytes')]).toEqual([8, 166]);
      }
      const { webhook } = await seriesOf(shop, id, { ...day, step: 'HOUR' });
      expect(webhook[0]).toMatchObject({ attempts: 8, succeeded: 6, failed: 2, p50Ms: 97, p99Ms: 97 });
      // Parts of steps are whole steps.
      const part = { from: new Date(today - DAY + 20 * MINUTE), to: new Date(today - DAY + 70 * MINUTE) };
      expect((await seriesOf(shop, id, { ...part, step: 'QUARTER_HOUR' })).webhook.map(({ attempts }) => attempts)).toEqual([2, 0, 0, 0]);
      expect((await seriesOf(shop, id, { ...part, step: 'DAY' })).webhook.map(({ attempts }) => attempts)).toEqual([8]);
      const week = await seriesOf(shop, id, { from: new Date(now - 7 * DAY), step: 'QUARTER_HOUR' });
      expect(week.webhook.length).toBeGreaterThanOrEqual(7 * 96);
      expect(week.webhook.length).toBeLessThanOrEqual(7 * 96 + 2);

      for (const [asked, message] of [
        [{ from: new Date(now - 8 * DAY) }, 'from: expected a time within the last 7 days'],
        [{ from: new Date(now + HOUR), to: new Date(now + DAY) }, 'from: expected a time in the past'],
        [{ from: new Date(now - HOUR), to: new Date(now - HOUR) }, 'to: expected a time after'],
      ] as const) {
        const { errors } = await shop.client.request(DOCUMENT, { id, ...asked });
        expect(errors?.[0]?.message).toContain(message);
        expect(errors?.[0]?.extensions?.code).toBe('BAD_USER_INPUT');
      }
    });
  });
});

describeEachDatabase('A backlog', (makeDatabase) => {
  test('counts what waits, for a while or for a resume, and what is being sent, and says how old it is', async () => {
    await withHub(makeDatabase, async ({ application, receiver, admin, databaseUrl }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook', { retrySchedule: [3600], maxConcurrency: 1 });
      expect(await backlogOf(shop, id)).toEqual({
        webhook: { backlog: { waiting: 0, isCapped: false, oldestAt: null } },
        application: { backlog: { waiting: 0, isCapped: false, oldestAt: null } },
      });
      receiver.answer('/hook', (_, nth) => (nth === 1 ? { status: 500 } : {}));
      await shop.publish();
      await until(async () => (await statusesOf(shop)).includes('RETRYING'), { description: 'the first attempt' });
      await mutated(shop.client, 'webhookPause', { id });
      await shop.webhook('/other', { eventTypes: ['order.*'] });
      await shop.publish();
      await receiver.waitFor(1, '/other');
      await until(async () => (await statusesOf(shop)).includes('SUCCEEDED'), { description: 'the delivery of the other' });
      const { deliveries } = await shop.client.query<{ deliveries: { nodes: { createdAt: string; status: string }[] } }>(
        '{ deliveries { nodes { createdAt status } } }',
      );
      const oldestAt = deliveries.nodes.find(({ status }) => status === 'RETRYING')?.createdAt;
      const backlog = { waiting: 2, isCapped: false, oldestAt };
      expect(await backlogOf(shop, id)).toEqual({ webhook: { backlog }, application: { backlog } });

      // Counted up to ten thousand.
      await withRows(databaseUrl, (_query, database) =>
        database.transaction((tx) =>
          tx.insert(
            'deliveries',
            [
              'id',
              'application_id',
              'webhook_id',
              'event_type',
              'payload_chars',
              'status',
              'attempt_count',
              'owner',
              'due_at',
              'created_at',
            ],
            Array.from({ length: 10_000 }, (_, index) => [
              `dlv_${id.slice(4, 16)}${(1_000 + index).toString(32).padStart(11, '0')}${id.slice(16)}`,
              shop.id,
              id,
              'order.created',
              1,
              'PENDING',
              0,
              '',
              Date.now(),
              Date.now(),
            ]),
          ),
        ),
      );
      const capped = { waiting: 10_000, isCapped: true, oldestAt };
      expect(await backlogOf(shop, id)).toMatchObject({
        webhook: { backlog: { waiting: 10_000, isCapped: true } },
        application: { backlog: capped },
      });

      const seen = await admin.query(
        '{ application(id: "APP") { webhooks(first: 1) { nodes { id } pageInfo { hasNextPage } } keys { nodes { name } } } }'.replace(
          'APP',
          shop.id,
        ),
      );
      expect(seen).toMatchObject({ application: { webhooks: { pageInfo: { hasNextPage: true } }, keys: { nodes: [{ name: 'test' }] } } });
    });
  });
});

const statusesOf = async ({ client }: TestApplication) =>
  (await client.query<{ deliveries: { nodes: { status: string }[] } }>('{ deliveries { nodes { status } } }')).deliveries.nodes.map(
    ({ status }) => status,
  );

describeEachDatabase('The hub', (makeDatabase) => {
  test('tells admins what runs, and nobody else', async () => {
    await withHub(makeDatabase, async ({ application, admin, startAnother, databaseUrl }) => {
      const began = Date.now();
      const isShared = databaseUrl.startsWith('mysql');
      if (isShared) await startAnother();
      const document = '{ hub { version instances { id host version startedAt heartbeatAt } } }';
      const { hub } = await admin.query<{
        hub: { version: string; instances: { id: string; host: string; version: string; startedAt: string; heartbeatAt: string }[] };
      }>(document);
      expect(hub.instances).toHaveLength(isShared ? 2 : 1);
      for (const instance of hub.instances) {
        expect(instance).toMatchObject({ id: expect.stringMatching(/^ins_/), version: hub.version });
        expect(Date.parse(instance.heartbeatAt)).toBeGreaterThanOrEqual(Date.parse(instance.startedAt));
        expect(Math.abs(Date.parse(instance.startedAt) - began)).toBeLessThan(HOUR);
      }
      const { errors } = await (await application()).client.request(document);
      expect(errors?.[0]?.extensions?.code).toBe('FORBIDDEN');
    });
  });
});

import * as fc from 'fast-check';
import { AttemptOutcome } from '../../src/attempts/attempt';
import { DeliveryStatus } from '../../src/deliveries/delivery';
import { listDeliveries } from '../../src/deliveries/search';
import { type DeliverySelection } from '../../src/deliveries/selection';
import { type EventSelection, listEvents } from '../../src/events/search';
import { attemptId, deliveryId, newApplicationId, newEventId, newRetryJobId, newWebhookId, sequenceOf, webhookIdOf } from '../../src/ids';
import { compileCondition } from '../../src/matching/condition';
import type { Queries } from '../../src/store/database';
import { MAX_COUNTED_ROWS, type Page, type PageRequest, placeText, type SearchAllowance } from '../../src/store/page';
import { listWebhooks } from '../../src/webhooks/list-webhooks';
import { WebhookHealth } from '../../src/webhooks/webhook';
import { describeEachDatabase } from '../support/databases';
import { type Store, withStore } from './with-store';

const EVENTS = 250;
/** From one event to the next: all of them came within the last day. */
const STEP_MS = 3 * 60_000;
const BEGAN = Date.now() - 2 * EVENTS * STEP_MS;
const TYPES = ['order.created', 'order.line.added', 'bill.sent'];
const KEYS = ['a', 'b', null];

/** As a row of the table, with what its last attempt was. */
interface Stored {
  readonly id: string;
  readonly webhookId: string;
  readonly type: string;
  readonly status: DeliveryStatus;
  readonly orderingKey: string | null;
  readonly createdAt: number;
  readonly attempt: { readonly outcome: AttemptOutcome; readonly statusCode: number | null; readonly durationMs: number } | null;
}

interface StoredEvent {
  readonly sequence: number;
  readonly id: string;
  readonly type: string;
  readonly orderingKey: string | null;
  readonly createdAt: number;
  readonly no: number;
}

/** Not random: the same on both databases and in each run. */
const pick = <T>(list: readonly T[], no: number): T => list[(no * 7_919 + 13) % list.length] as T;

interface Shop {
  readonly applicationId: string;
  readonly webhookIds: readonly string[];
  /** Newest first. */
  readonly events: readonly StoredEvent[];
  readonly deliveries: readonly Stored[];
}

/** `isReplayed`: some of its deliveries are younger than their events. */
async function shopIn(store: Store, isReplayed = true): Promise<Shop> {
  const applicationId = newApplicationId();
  const webhookIds = Array.from({ length: 3 }, () => newWebhookId(applicationId));
  const events = Array.from({ length: EVENTS }, (_, index): StoredEvent => {
    const sequence = index + 1;
    const createdAt = BEGAN + sequence * STEP_MS;
    return {
      sequence,
      id: newEventId(applicationId, sequence),
      type: pick(TYPES, index),
      orderingKey: pick(KEYS, index),
      createdAt,
      no: index % 10,
    };
  });
  const deliveries = events.flatMap(({ sequence, type, orderingKey, createdAt }, index) =>
    webhookIds.map((webhookId, webhook): Stored => {
      const no = index * webhookIds.length + webhook;
      const status = pick(Object.values(DeliveryStatus), no);
      const outcome = status === DeliveryStatus.SUCCEEDED ? AttemptOutcome.SUCCESS : pick(Object.values(AttemptOutcome), no);
      const attempt =
        status === DeliveryStatus.PENDING ? null : { outcome, statusCode: pick([200, 500, 503, null], no), durationMs: no % 300 };
      // Every tenth was replayed, two hours later.
      return {
        id: deliveryId(sequence, webhookId),
        webhookId,
        type,
        status,
        orderingKey,
        createdAt: createdAt + (isReplayed && no % 10 === 0 ? 40 * STEP_MS : 0),
        attempt,
      };
    }),
  );
  await store.database.transaction(async (tx) => {
    await tx.insert('counters', ['application_id', 'log', 'last_sequence', 'version'], [[applicationId, 'event', EVENTS, 0]]);
    if (isReplayed)
      await tx.insert(
        'retry_jobs',
        [
          'id',
          'application_id',
          'kind',
          'status',
          'selection',
          'planned',
          'total',
          'done',
          'failed',
          'version',
          'worker',
          'worker_until',
          'created_at',
          'completed_at',
        ],
        [[newRetryJobId(applicationId, BEGAN), applicationId, 'REPLAY', 'COMPLETED', '{}', 1, 1, 1, 0, 1, '', 0, BEGAN, Date.now()]],
      );
    await tx.insert(
      'events',
      ['application_id', 'sequence', 'id', 'type', 'payload', 'ordering_key', 'idempotency_key', 'occurred_at', 'created_at'],
      events.map((event) => [
        applicationId,
        event.sequence,
        event.id,
        event.type,
        JSON.stringify({ no: event.no }),
        event.orderingKey,
        `key ${event.sequence}`,
        event.createdAt,
        event.createdAt,
      ]),
    );
    await tx.insert(
      'deliveries',
      ['id', 'application_id', 'webhook_id', 'event_type', 'payload_chars', 'status', 'attempt_count', 'ordering_key', 'created_at'],
      deliveries.map((row) => [
        row.id,
        applicationId,
        row.webhookId,
        row.type,
        10,
        row.status,
        row.attempt ? 2 : 0,
        row.orderingKey,
        row.createdAt,
      ]),
    );
    const attempts = deliveries.flatMap(({ id, attempt }) =>
      attempt
        ? [
            { id: attemptId(id, 1), outcome: AttemptOutcome.DNS, statusCode: 418, durationMs: 999 },
            { id: attemptId(id, 2), ...attempt },
          ]
        : [],
    );
    await tx.insert(
      'attempts',
      [
        'id',
        'triggered_by',
        'started_at',
        'duration_ms',
        'outcome',
        'status_code',
        'url',
        'request_headers',
        'response_headers',
        'response_truncated',
      ],
      attempts.map(({ id, outcome, statusCode, durationMs }) => [
        id,
        'FIRST',
        BEGAN,
        durationMs,
        outcome,
        statusCode,
        'https://example.com/',
        '',
        '[]',
        0,
      ]),
    );
  });
  return { applicationId, webhookIds, events: events.reverse(), deliveries: deliveries.sort((a, b) => (a.id < b.id ? 1 : -1)) };
}

function isWanted(selection: DeliverySelection, { id, ...row }: Stored, events: readonly StoredEvent[]): boolean {
  const sequence = sequenceOf(id);
  const attempt = row.attempt;
  const typesOf = (patterns: readonly string[]) =>
    patterns.some((pattern) => pattern === row.type || (pattern === 'order.*' && row.type.startsWith('order.')));
  return [
    !selection.webhookIds || selection.webhookIds.includes(row.webhookId),
    !selection.eventIds || events.some((event) => event.sequence === sequence && selection.eventIds?.includes(event.id)),
    !selection.eventTypes || typesOf(selection.eventTypes),
    !selection.statuses || selection.statuses.includes(row.status),
    !selection.createdAfter || row.createdAt > selection.createdAfter.getTime(),
    !selection.createdBefore || row.createdAt < selection.createdBefore.getTime(),
    (selection.orderingKey ?? null) === null || row.orderingKey === selection.orderingKey,
    sequence >= (selection.minSequence ?? 0) && sequence <= (selection.maxSequence ?? EVENTS),
    !selection.outcomes || (attempt !== null && selection.outcomes.includes(attempt.outcome)),
    !selection.statusCodes || (attempt !== null && attempt.statusCode !== null && selection.statusCodes.includes(attempt.statusCode)),
    (selection.minDurationMs ?? null) === null || (attempt !== null && attempt.durationMs >= (selection.minDurationMs ?? 0)),
  ].every(Boolean);
}

const maybe = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | null | undefined> => fc.option(values, { nil: undefined, freq: 2 });
const some = <T>(values: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...values]);
const time = fc.integer({ min: -1, max: EVENTS + 60 }).map((steps) => new Date(BEGAN + steps * STEP_MS));
const sequence = fc.integer({ min: 0, max: EVENTS + 1 });

function selections({ webhookIds, events }: Shop, foreign: Shop): fc.Arbitrary<DeliverySelection> {
  return fc.record({
    webhookIds: maybe(some([...webhookIds, ...foreign.webhookIds.slice(0, 1), 'nonsense'])),
    eventIds: fc.option(some([events[0], events[7], events[249], foreign.events[7]].map((event) => event?.id ?? '')), {
      nil: null,
      freq: 5,
    }),
    eventTypes: maybe(some(['order.*', 'bill.sent', 'order.created'])),
    statuses: maybe(some(Object.values(DeliveryStatus))),
    createdAfter: maybe(time),
    createdBefore: maybe(time),
    orderingKey: maybe(fc.constantFrom('a', 'b', 'c')),
    minSequence: maybe(sequence),
    maxSequence: maybe(sequence),
    outcomes: maybe(some(Object.values(AttemptOutcome))),
    statusCodes: maybe(some([200, 500, 404])),
    minDurationMs: maybe(fc.integer({ min: 0, max: 400 })),
  });
}

function allowanceOf(rows: number): SearchAllowance & { readonly used: number } {
  let used = 0;
  return {
    get rows() {
      return rows - used;
    },
    get used() {
      return used;
    },
    async looked(more) {
      used += more;
    },
  };
}

/** Every row of a list, page by page. */
async function allOf<Row>(list: (page: PageRequest) => Promise<Page<Row>>, first: number, keyOf: (row: Row) => string): Promise<Row[]> {
  const rows: Row[] = [];
  for (let after: string | undefined, pages = 0; ; pages++) {
    const page = await list({ first, after });
    expect(page.rows.length).toBeLessThanOrEqual(first);
    rows.push(...page.rows);
    const last = page.rows.at(-1);
    if (page.leftOff) expect(page.hasNextPage).toBe(true);
    if (!page.hasNextPage) return rows;
    if (pages > 2 * 3 * EVENTS) throw new Error('expected an end of the list');
    const next = page.leftOff?.key ?? (last === undefined ? undefined : keyOf(last));
    if (next === undefined || next === after) throw new Error('expected a page that comes further');
    after = next;
  }
}

/** Queries that keep what they were asked. */
function recording(read: Queries): { queries: Queries; asked: { sql: string; parameters: readonly unknown[] }[] } {
  const asked: { sql: string; parameters: readonly unknown[] }[] = [];
  const query: Queries['query'] = (sql, parameters = []) => {
    asked.push({ sql, parameters });
    return read.query(sql, parameters);
  };
  return { queries: { dialect: read.dialect, manager: read.manager, query }, asked };
}

describeEachDatabase('A search', (makeDatabase) => {
  test.each([
    ['replayed ones among them', true],
    ['none of them replayed', false],
  ])('finds the deliveries that meet all of a selection, whatever its steps, and counts as many: %s', async (_which, isReplayed) => {
    await withStore(makeDatabase, async (store) => {
      const [shop, foreign] = [await shopIn(store, isReplayed), await shopIn(store)];
      const { read } = store.database;
      await fc.assert(
        fc.asyncProperty(
          selections(shop, foreign),
          fc.constantFrom(1, 7, 100),
          fc.constantFrom(1, 100, 10_000),
          async (selection, first, steps) => {
            const wanted = shop.deliveries.filter((row) => isWanted(selection, row, shop.events)).map(({ id }) => id);
            const list = (page: PageRequest) => listDeliveries(read, shop.applicationId, selection, page, allowanceOf(steps));
            const found = await allOf(list, Math.max(first, Math.ceil(wanted.length / 20)), ({ id }) => id);
            expect(found.map(({ id }) => id)).toEqual(wanted);
            for (const row of found) expect(row.webhookId).toBe(webhookIdOf(row.id));
            const { count } = await list({ first: 1, after: undefined });
            expect(await count(allowanceOf(10_000))).toEqual({ count: wanted.length, isCapped: false });
          },
        ),
        { numRuns: 100 },
      );
    });
  });

  test('finds the events that meet all of a selection, and counts as many', async () => {
    await withStore(makeDatabase, async (store) => {
      const [shop] = [await shopIn(store), await shopIn(store)];
      const { read } = store.database;
      const selection = fc.record({
        types: maybe(some(['order.*', 'bill.sent'])),
        orderingKey: maybe(fc.constantFrom('a', 'c')),
        idempotencyKey: fc.option(fc.constantFrom('key 7', 'key 8', 'none'), { nil: null, freq: 5 }),
        createdAfter: maybe(time),
        createdBefore: maybe(time),
        minSequence: maybe(sequence),
        maxSequence: maybe(sequence),
        no: maybe(fc.integer({ min: 0, max: 10 })),
      });
      await fc.assert(
        fc.asyncProperty(selection, fc.constantFrom(1, 7, 100), fc.constantFrom(1, 100, 10_000), async ({ no, ...by }, first, steps) => {
          const wanted = shop.events.filter((event) =>
            [
              !by.types || by.types.some((pattern) => pattern === event.type || (pattern === 'order.*' && event.type.startsWith('order.'))),
              (by.orderingKey ?? null) === null || event.orderingKey === by.orderingKey,
              (by.idempotencyKey ?? null) === null || by.idempotencyKey === `key ${event.sequence}`,
              !by.createdAfter || event.createdAt > by.createdAfter.getTime(),
              !by.createdBefore || event.createdAt < by.createdBefore.getTime(),
              event.sequence >= (by.minSequence ?? 0) && event.sequence <= (by.maxSequence ?? EVENTS),
              (no ?? null) === null || event.no === no,
            ].every(Boolean),
          );
          const compiled = typeof no === 'number' ? compileCondition({ 'payload.no': no }) : null;
          const condition = compiled && 'condition' in compiled ? compiled.condition : null;
          const selected: EventSelection = { ...by, condition };
          const list = (page: PageRequest) =>
            listEvents(read, shop.applicationId, selected, page, { hasPayloads: true }, allowanceOf(steps));
          const found = await allOf(list, Math.max(first, Math.ceil(wanted.length / 20)), (event) => String(event.sequence));
          expect(found.map(({ id }) => id)).toEqual(wanted.map(({ id }) => id));
          const { count } = await list({ first: 1, after: undefined });
          expect(await count(allowanceOf(10_000))).toEqual({ count: wanted.length, isCapped: false });
        }),
        { numRuns: 100 },
      );
    });
  });

  test('reads along an index, however the selection is put together', async () => {
    await withStore(makeDatabase, async (store) => {
      const [shop, foreign] = [await shopIn(store), await shopIn(store)];
      const { read, dialect } = store.database;
      const { queries, asked } = recording(read);
      const sample = fc.sample(selections(shop, foreign), { numRuns: 60, seed: 1 });
      for (const selection of sample) {
        const page = await listDeliveries(queries, shop.applicationId, selection, { first: 10, after: undefined }, allowanceOf(10_000));
        await page.count(allowanceOf(10_000));
      }
      const condition = compileCondition({ 'payload.no': 3 });
      for (const selection of [
        {},
        { types: ['order.*'] },
        { orderingKey: 'a' },
        { idempotencyKey: 'key 7' },
        'condition' in condition ? condition : {},
      ]) {
        const page = await listEvents(
          queries,
          shop.applicationId,
          selection,
          { first: 10, after: undefined },
          { hasPayloads: true },
          allowanceOf(10_000),
        );
        await page.count(allowanceOf(10_000));
      }
      for (const direction of ['ASC', 'DESC'] as const)
        for (const after of [undefined, placeText({ at: 1, id: shop.webhookIds[0] ?? '' })]) {
          const listing = { applicationId: shop.applicationId, selection: {}, direction, healthOf: async () => WebhookHealth.HEALTHY };
          const page = await listWebhooks(queries, listing, { first: 10, after }, allowanceOf(10_000));
          await page.count(allowanceOf(10_000));
        }
      const seen = new Set<string>();
      for (const { sql, parameters } of asked) {
        const shape = sql.replace(/IN \(.*?\)/g, 'IN (…)');
        if (!/FROM (deliveries|attempts|events|retry_jobs|webhooks)/.test(sql) || seen.has(shape)) continue;
        seen.add(shape);
        const plan = await read.query<Record<string, unknown>>(
          `${dialect.supportsManyInstances ? 'EXPLAIN' : 'EXPLAIN QUERY PLAN'} ${sql}`,
          parameters,
        );
        for (const step of plan) {
          if (!dialect.supportsManyInstances)
            expect([sql, step.detail]).not.toEqual([
              sql,
              expect.stringMatching(/^SCAN (deliveries|attempts|events|retry_jobs|webhooks)|TEMP B-TREE/),
            ]);
          else if (!String(step.table).startsWith('<')) {
            expect([sql, step.type]).not.toEqual([sql, 'ALL']);
            expect([sql, step.Extra]).not.toEqual([sql, expect.stringContaining('filesort')]);
          }
        }
      }
      expect(seen.size).toBeGreaterThan(5);
    });
  });

  test('ends when it has looked at what it may, and says how far it came; so does a count', async () => {
    await withStore(makeDatabase, async (store) => {
      const { applicationId, deliveries, events } = await shopIn(store);
      const { read } = store.database;
      const selection = { eventTypes: ['no.such'] };
      const allowance = allowanceOf(100);
      const page = await listDeliveries(read, applicationId, selection, { first: 10, after: undefined }, allowance);
      expect(page).toMatchObject({ rows: [], hasNextPage: true, leftOff: { key: expect.any(String), at: expect.any(Date) } });
      const place = deliveries.findIndex(({ id }) => id === page.leftOff?.key);
      expect(page.leftOff?.at.getTime()).toBe(deliveries[place]?.createdAt);
      expect([place >= 80, place < 130, allowance.used <= 130]).toEqual([true, true, true]);
      expect(await page.count(allowanceOf(100))).toEqual({ count: 0, isCapped: true });

      const found = await listEvents(
        read,
        applicationId,
        { orderingKey: 'none' },
        { first: 10, after: undefined },
        { hasPayloads: true },
        allowanceOf(100),
      );
      expect(found).toMatchObject({ rows: [], hasNextPage: true, leftOff: { key: String(events[199]?.sequence) } });
      expect(MAX_COUNTED_ROWS).toBe(10_000);
    });
  });
});

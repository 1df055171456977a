import { decodeCursor, encodeCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import { Client, type Variables } from '../support/graphql-client';
import { createMysqlDatabase } from '../support/mariadb';
import { mutate, mutated, type UserError } from '../support/mutate';
import { rowCounts } from '../support/rows';
import { type TestApplication, withHub } from '../support/with-hub';

interface Published {
  readonly event: { readonly id: string; readonly sequence: number } | null;
  readonly deduplicated: boolean;
  readonly userErrors: readonly UserError[];
}

const MIB = 1024 * 1024;

function publish(client: Client, input: object) {
  return mutate<Published>(
    client,
    'eventPublish',
    { input: { type: 'order.created', payload: {}, ...input } },
    'event { id sequence } deduplicated',
  );
}

function publishAll(client: Client, events: readonly object[], more: object = {}) {
  return mutate<{ results: Published[] }>(
    client,
    'eventsPublish',
    { input: { events: events.map((event) => ({ type: 'order.created', payload: {}, ...event })), ...more } },
    'results { event { id sequence } deduplicated userErrors { field message code } }',
  );
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** As JSON.parse hands it over: `__proto__` is a key like any other. */
const TRICKY = [
  '{"b":1,"a":2,"Z":3,"é":4,"":5," ":6}',
  '{"text":"ünïcödé 漢字 \\"quoted\\" back\\\\slash \\n\\t\\u0000\\u001f  "}',
  '{"emoji":"👩‍👩‍👧‍👦🏳️‍🌈","lone":"\\ud83d"}',
  '{"nested":{"a":{"b":{"c":[[[{"d":[]}]]]}}}}',
  '{}',
  '[]',
  '[1,"2",null,true,false,{},[]]',
  '{"zero":0,"negative":-1.5,"small":1e-7,"large":1e+21,"most":9007199254740991,"third":0.3333333333333333}',
  '{"null":null,"list":[null]}',
  '"text"',
  '""',
  '42',
  '0',
  'false',
  'null',
  '{"__proto__":{"polluted":true},"constructor":{"prototype":1},"toString":1,"hasOwnProperty":null}',
  '{"sql":"\'; DROP TABLE events; -- ?:no :id $1 %s"}',
  '{"html":"</script><!-- & -->"}',
] as const;

describeEachDatabase('Publishing', (makeDatabase) => {
  test('keeps every payload as it is: in the answer, in lists, live, and byte for byte in the request', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const live = shop.client.subscribe<{ event: { payload: unknown } }>(
        'subscription ($after: String!) { event(after: $after) { payload } }',
        {
          after: encodeCursor('event', shop.id, 0),
        },
      );
      const published = TRICKY.map((text) => JSON.parse(text) as unknown);
      const { results } = await mutated<{ results: { event: { id: string; payload: unknown } }[] }>(
        shop.client,
        'eventsPublish',
        { input: { events: published.map((payload) => ({ type: 'a.b', payload })) } },
        'results { event { id payload } userErrors { message } }',
      );
      const texts = (values: readonly unknown[]) => values.map((value) => JSON.stringify(value));
      expect(texts(results.map(({ event }) => event.payload))).toEqual(TRICKY);
      expect(texts((await live.take(TRICKY.length)).map(({ event }) => event.payload))).toEqual(TRICKY);
      const { events } = await shop.client.query<{ events: { nodes: { payload: unknown }[] } }>(
        '{ events(filter: { types: ["a.b"] }) { nodes { payload } } }',
      );
      expect(texts(events.nodes.map(({ payload }) => payload).reverse())).toEqual(TRICKY);
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();

      const requests = await receiver.waitFor(TRICKY.length, '/hook');
      const bodies = new Map(requests.map(({ headers, body }) => [headers['webhook-id'], body.toString()]));
      expect(requests.every(({ verified }) => verified)).toBe(true);
      for (const [index, { event }] of results.entries())
        expect(bodies.get(event.id)).toMatch(
          new RegExp(`^\\{"id":"${event.id}","type":"a\\.b","timestamp":"[^"]+","sequence":${index + 1},"data":`),
        );
      expect(
        results.map(({ event }) =>
          bodies
            .get(event.id)
            ?.replace(/^.*?"data":/s, '')
            .slice(0, -1),
        ),
      ).toEqual(TRICKY);

      // Written into the document instead of a variable.
      const literal = await shop.client.mutate<{ eventPublish: { event: { payload: unknown } } }>(
        'mutation { eventPublish(input: { type: "a.b", payload: { z: 1, a: [1.5, "ü", null, true], __proto__: { x: {} } } }) { event { payload } } }',
      );
      expect(JSON.stringify(literal.eventPublish.event.payload)).toBe('{"z":1,"a":[1.5,"ü",null,true],"__proto__":{"x":{}}}');
    });
  });

  test('takes a payload of exactly 1 MiB and none beyond, and refuses one that is nested too deeply', async () => {
    await withHub(makeDatabase, async ({ application, receiver, url }) => {
      const shop = await application();
      await shop.webhook('/hook');
      const ascii = 'x'.repeat(MIB - 2);
      const wide = `${'漢'.repeat((MIB - 4) / 3)}aa`; // three bytes each
      expect(Buffer.byteLength(JSON.stringify(wide))).toBe(MIB);
      expect((await publish(shop.client, { payload: ascii })).event?.sequence).toBe(1);
      expect((await publish(shop.client, { payload: wide })).event?.sequence).toBe(2);
      const requests = await receiver.waitFor(2, '/hook');
      expect(new Set(requests.map(({ body }) => JSON.parse(body.toString()).data))).toEqual(new Set([ascii, wide]));

      for (const payload of [`${ascii}x`, `${wide}a`, '"'.repeat(MIB / 2)]) {
        const { event, userErrors } = await publish(shop.client, { payload });
        const bytes = Buffer.byteLength(JSON.stringify(payload));
        expect({ event, userErrors }).toEqual({
          event: null,
          userErrors: [{ field: ['payload'], message: `expected at most 1048576 bytes of minified JSON, got ${bytes}`, code: 'TOO_LARGE' }],
        });
      }
      const nested = (levels: number) => JSON.parse('['.repeat(levels) + ']'.repeat(levels)) as unknown;
      expect((await publish(shop.client, { payload: nested(500) })).event?.sequence).toBe(3);
      // `request` makes the body with JSON.stringify, which the deepest of these would overflow.
      const publishNested = async (levels: number) => {
        const body = `{"query":"mutation($p: JSON!) { eventPublish(input: { type: \\"a.b\\", payload: $p }) { userErrors { field message code } } }","variables":{"p":${'['.repeat(levels)}${']'.repeat(levels)}}}`;
        const response = await fetch(new URL('/graphql', url), {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${shop.key}` },
          body,
        });
        return response.json();
      };
      expect(await publishNested(501)).toEqual({
        data: {
          eventPublish: {
            userErrors: [{ field: ['payload'], message: 'expected JSON of at most 500 levels, got more', code: 'TOO_LARGE' }],
          },
        },
      });
      expect(await publishNested(100_000)).toEqual({
        errors: [{ message: 'expected JSON of at most 1000 levels, got more', extensions: { code: 'BAD_REQUEST' } }],
      });
    });
  });

  test('judges each event of a batch on its own merit', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      await shop.webhook('/hook', { maxConcurrency: 50 });
      const events = numbers(1, 1_000).map((no): object => ({ payload: { no } }));
      events[3] = { type: 'order..created' };
      events[4] = { type: '', payload: 'x'.repeat(MIB), idempotencyKey: ' a', orderingKey: '', occurredAt: '1969-12-31T23:59:59Z' };
      events[999] = { payload: 'x'.repeat(MIB) };
      const { results, userErrors } = await publishAll(shop.client, events);
      expect(userErrors).toEqual([]);
      expect(results).toHaveLength(1_000);
      expect(results[3]).toEqual({
        event: null,
        deduplicated: false,
        userErrors: [{ field: ['events', '3', 'type'], message: expect.stringContaining('got "order..created"'), code: 'INVALID' }],
      });
      expect(results[4]?.userErrors.map(({ field, code }) => [field.join('.'), code])).toEqual([
        ['events.4.type', 'INVALID'],
        ['events.4.idempotencyKey', 'INVALID'],
        ['events.4.orderingKey', 'INVALID'],
        ['events.4.occurredAt', 'INVALID'],
        ['events.4.payload', 'TOO_LARGE'],
      ]);
      expect(results[999]?.userErrors).toEqual([expect.objectContaining({ field: ['events', '999', 'payload'], code: 'TOO_LARGE' })]);
      expect(results.flatMap(({ event }) => event?.sequence ?? [])).toEqual(numbers(1, 997)); // in the order given
      const requests = await receiver.waitFor(997, '/hook');
      expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(997);
      const allWrong = await publishAll(shop.client, [{ type: '?' }, { type: '!' }]);
      expect(allWrong.results.map(({ event }) => event)).toEqual([null, null]);

      for (const [count, code] of [
        [0, 'REQUIRED'],
        [1_001, 'TOO_LARGE'],
      ] as const) {
        const refused = await publishAll(
          shop.client,
          numbers(1, count).map(() => ({})),
        );
        expect(refused).toEqual({
          results: [],
          userErrors: [{ field: ['events'], message: `expected 1 to 1000 events, got ${count}`, code }],
        });
      }
      expect(await rowCounts(databaseUrl)).toMatchObject({ events: 997, deliveries: 997 });
    });
  });

  test('stores what has the same idempotency key once: one after the other, at once, in one batch', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const other = await application('other');
      await shop.webhook('/hook');
      const first = await publish(shop.client, { idempotencyKey: 'key', payload: { no: 1 } });
      expect(first.deduplicated).toBe(false);
      const again = await mutated(
        shop.client,
        'eventPublish',
        { input: { type: 'x.y', payload: { no: 2 }, idempotencyKey: 'key' } },
        'deduplicated event { id type payload idempotencyKey }',
      );
      expect(again).toMatchObject({
        deduplicated: true,
        event: { id: first.event?.id, type: 'order.created', payload: { no: 1 }, idempotencyKey: 'key' },
      });
      // Of another application, or spelt otherwise, it is another key.
      for (const [client, idempotencyKey] of [
        [other.client, 'key'],
        [shop.client, 'Key'],
        [shop.client, 'kéy'],
        [shop.client, 'ke\u0301y'],
      ] as const)
        expect(await publish(client, { idempotencyKey })).toMatchObject({ deduplicated: false });

      const concurrent = await Promise.all(numbers(1, 20).map((no) => publish(shop.client, { idempotencyKey: 'race', payload: { no } })));
      expect(concurrent.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
      expect(new Set(concurrent.map(({ event }) => event?.id)).size).toBe(1);

      const { results } = await publishAll(shop.client, [
        { idempotencyKey: 'a' },
        { idempotencyKey: 'b' },
        { idempotencyKey: 'a' },
        { idempotencyKey: 'key' },
        {},
      ]);
      expect(results.map(({ deduplicated }) => deduplicated)).toEqual([false, false, true, true, false]);
      expect(results.map(({ event }) => event?.sequence)).toEqual([6, 7, 6, 1, 8]);
      const { events } = await shop.client.query<{ events: { nodes: { sequence: number }[] } }>(
        '{ events(filter: { idempotencyKey: "race" }) { nodes { sequence } } }',
      );
      expect(events.nodes).toEqual([{ sequence: 5 }]);
      expect((await receiver.waitFor(8, '/hook')).length).toBe(8);

      // Halves of a surrogate pair would be stored as one and the same replacement character.
      const halves = await publishAll(shop.client, [
        { idempotencyKey: 'x\ud800' },
        {},
        { idempotencyKey: 'x\ud801' },
        { idempotencyKey: 'x\u0000y' },
      ]);
      expect(halves.results.map(({ event, userErrors }) => event?.sequence ?? userErrors[0]?.code)).toEqual([
        'INVALID',
        9,
        'INVALID',
        'INVALID',
      ]);
      expect((await publish(shop.client, { idempotencyKey: `👍${'k'.repeat(253)}` })).event?.sequence).toBe(10);
    });
  });

  test('numbers the events of concurrent batches without a gap, each application by itself', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const [shop, other] = [await application(), await application('other')];
      const batch = async ({ client }: TestApplication, size: number) =>
        (
          await publishAll(
            client,
            numbers(1, size).map((no) => (no % 5 === 0 ? { type: '!' } : {})),
          )
        ).results.flatMap(({ event }) => event?.sequence ?? []);
      const both = await Promise.all([shop, other].map((one) => Promise.all(numbers(1, 25).map((size) => batch(one, size)))));
      for (const batches of both) {
        const all = batches.flat().sort((a, b) => a - b);
        expect(all).toEqual(numbers(1, all.length));
        for (const own of batches) expect(own).toEqual(numbers(own[0] ?? 0, (own[0] ?? 0) + own.length - 1));
      }
    });
  });

  test('is listed newest first, by keyset, by filter, and part by part', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const types = ['order.created', 'order.line.added', 'user.created', 'Order.created', 'order.created'];
      await publishAll(
        shop.client,
        types.map((type, no) => ({ type, payload: { no } })),
      );
      interface Listed {
        events: {
          nodes: { sequence: number; cursor: string }[];
          pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; endCursor: string | null };
        };
      }
      const page = async (variables: Variables) =>
        (
          await shop.client.query<Listed>(
            'query ($first: Int, $after: String, $filter: EventFilter) { events(first: $first, after: $after, filter: $filter) { nodes { sequence cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }',
            variables,
          )
        ).events;
      const seen: number[] = [];
      let after: string | null = null;
      for (let more = true; more; ) {
        const { nodes, pageInfo }: Listed['events'] = await page({ first: 2, after });
        expect(pageInfo.hasPreviousPage).toBe(after !== null);
        expect(nodes.at(-1)?.cursor).toBe(pageInfo.endCursor);
        seen.push(...nodes.map(({ sequence }) => sequence));
        ({ endCursor: after, hasNextPage: more } = pageInfo);
        await shop.publish(); // newer ones shift nothing
      }
      expect(seen).toEqual([5, 4, 3, 2, 1]);
      expect(decodeCursor('event', shop.id, after ?? '')).toBe(1);
      expect(await page({ first: 2, after })).toEqual({
        nodes: [],
        pageInfo: { hasNextPage: false, hasPreviousPage: true, endCursor: null },
      });

      const listed = async (filter: object) =>
        (await page({ first: 100, filter })).nodes.map(({ sequence }) => sequence).filter((sequence) => sequence <= 5);
      expect(await listed({ types: ['order.*'] })).toEqual([5, 2, 1]);
      expect(await listed({ types: ['*.created'] })).toEqual([5, 4, 3, 1]);
      expect(await listed({ types: ['user.created', '*.line.*'] })).toEqual([3, 2]);
      expect(await listed({ types: [] })).toEqual([]);
      expect(await listed({ idempotencyKey: 'none' })).toEqual([]);
      const { events } = await shop.client.query<{ events: { nodes: { createdAt: string }[] } }>(
        '{ events(first: 1) { nodes { createdAt } } }',
      );
      const createdAt = events.nodes[0]?.createdAt ?? '';
      expect(await listed({ createdAfter: createdAt })).toEqual([]);
      expect(await listed({ createdBefore: new Date(Date.parse(createdAt) + 1).toISOString() })).toEqual([5, 4, 3, 2, 1]);

      const occurredAt = '2020-02-29T23:59:59.123Z';
      const { event } = await mutated<{ event: object }>(
        shop.client,
        'eventPublish',
        {
          input: {
            type: 'a.b',
            payload: { order: { no: 7, lines: [{ sku: 'x' }], 'a.b': 1, off: false, none: null } },
            orderingKey: 'k',
            occurredAt,
          },
        },
        'event { occurredAt orderingKey idempotencyKey no: get(path: "order.no") sku: get(path: "order.lines.0.sku") lines: get(path: "order.lines") off: get(path: "order.off") none: get(path: "order.none") missing: get(path: "order.lines.1.sku") inherited: get(path: "order.constructor") length: get(path: "order.lines.length") empty: get(path: "") }',
      );
      expect(event).toEqual({
        ...{ occurredAt, orderingKey: 'k', idempotencyKey: null, no: 7, sku: 'x', lines: [{ sku: 'x' }], off: false },
        ...{ none: null, missing: null, inherited: null, length: null, empty: null },
      });
    });
  });

  test('carries what JavaScript cannot hold to the receiver as it was written', async () => {
    await withHub(makeDatabase, async ({ application, receiver, url }) => {
      const shop = await application();
      await shop.webhook('/exact');
      const payload = '{"b":1,"10":2,"2":3,"id":12345678901234567890,"price":1.50,"rate":1e-7,"text":"1.0"}';
      const query = 'mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { sequence } userErrors { message } } }';
      const answer = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${shop.key}` },
        body: `{"query":${JSON.stringify(query)},"variables":{"input":{"type":"order.created","payload": ${payload} }}}`,
      });
      expect(await answer.json()).toEqual({ data: { eventPublish: { event: { sequence: 1 }, userErrors: [] } } });
      await receiver.waitFor(1, '/exact');
      const [request] = receiver.requests('/exact');
      expect(request?.verified).toBe(true);
      expect(request?.body.toString()).toContain(`"data":${payload}}`);
    });
  });
});

test('Two instances on one MariaDB agree on sequences and idempotency keys', async () => {
  await withHub(createMysqlDatabase, async ({ application, receiver, startAnother }) => {
    const shop = await application();
    await shop.webhook('/hook', { maxConcurrency: 50 });
    const { url } = await startAnother();
    const clients = [shop.client, new Client(url, shop.key)];
    const answers = await Promise.all(
      numbers(1, 60).flatMap((no) =>
        clients.map((client) => publish(client, { idempotencyKey: no % 3 === 0 ? `key ${no}` : null, payload: { no } })),
      ),
    );
    const fresh = answers.filter(({ deduplicated }) => !deduplicated);
    expect(fresh).toHaveLength(100); // 40 numbers twice, 20 once
    expect(fresh.map(({ event }) => event?.sequence ?? 0).sort((a, b) => a - b)).toEqual(numbers(1, 100));
    expect(new Set(answers.map(({ event }) => event?.id)).size).toBe(100);
    const requests = await receiver.waitFor(100, '/hook');
    expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(100);
    expect(requests).toHaveLength(100);
  });
});

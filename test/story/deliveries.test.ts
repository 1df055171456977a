import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Attempts } from '../../src/attempts/attempts';
import { encodeKeyCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import type { Client, Variables } from '../support/graphql-client';
import { mutate, mutated } from '../support/mutate';
import type { Answer } from '../support/receiver';
import { changeRows } from '../support/rows';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';

interface DeliveryFields {
  readonly id: string;
  readonly status: string;
  readonly attemptCount: number;
  readonly nextAttemptAt: string | null;
  readonly completedAt: string | null;
  readonly event: { readonly id: string; readonly sequence: number };
  readonly attempts: { readonly nodes: readonly { number: number; trigger: string; outcome: string; statusCode: number | null }[] };
}

const DELIVERY =
  'id status attemptCount nextAttemptAt completedAt event { id sequence } attempts { nodes { number trigger outcome statusCode } }';

async function list(client: Client, filter: object = {}): Promise<DeliveryFields[]> {
  const { deliveries } = await client.query<{ deliveries: { nodes: DeliveryFields[] } }>(
    `query ($filter: DeliveryFilter) { deliveries(filter: $filter) { nodes { ${DELIVERY} } } }`,
    { filter },
  );
  return deliveries.nodes;
}

async function read(client: Client, id: string): Promise<DeliveryFields> {
  const { delivery } = await client.query<{ delivery: DeliveryFields }>(`query ($id: ID!) { delivery(id: $id) { ${DELIVERY} } }`, { id });
  return delivery;
}

/** The only delivery there is, once it has this status. */
async function onlyOne(client: Client, status: string): Promise<DeliveryFields> {
  return until(async () => (await list(client)).find((delivery) => delivery.status === status), {
    description: `the delivery to be ${status}`,
  });
}

async function act(client: Client, name: 'deliveryRetry' | 'deliveryCancel', id: string) {
  return mutate<{ delivery: DeliveryFields | null }>(client, name, { id }, `delivery { ${DELIVERY} }`);
}

const attempt = (number: number, trigger: string, statusCode: number) => ({
  number,
  trigger,
  statusCode,
  outcome: statusCode < 300 ? 'SUCCESS' : 'HTTP_ERROR',
});

describeEachDatabase('Deliveries', (makeDatabase) => {
  test('are tried again when asked to: failed, succeeded, waiting or cancelled ones, each time with the same id', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      let status = 500;
      receiver.answer('/hook', () => ({ status }));
      await shop.webhook('/hook', { retrySchedule: [3600] });
      await shop.publish();

      // Waiting an hour for its next attempt.
      const waiting = await onlyOne(shop.client, 'RETRYING');
      expect(waiting).toMatchObject({ attemptCount: 1, completedAt: null, nextAttemptAt: expect.any(String) });
      const { delivery, userErrors } = await act(shop.client, 'deliveryRetry', waiting.id);
      expect(userErrors).toEqual([]);
      expect(delivery).toMatchObject({ id: waiting.id, status: 'RETRYING', attemptCount: 1, completedAt: null });
      // It is an extra: the next automatic attempt stays due when it was, however often somebody asks.
      const attempted = (count: number) =>
        until(
          async () => {
            const now = await read(shop.client, waiting.id);
            return now.attemptCount === count && now;
          },
          { description: `attempt ${count} to be recorded` },
        );
      expect(await attempted(2)).toMatchObject({ status: 'RETRYING', nextAttemptAt: waiting.nextAttemptAt, completedAt: null });
      await act(shop.client, 'deliveryRetry', waiting.id);
      expect(await attempted(3)).toMatchObject({ status: 'RETRYING', nextAttemptAt: waiting.nextAttemptAt });
      status = 204;
      await act(shop.client, 'deliveryRetry', waiting.id);
      const succeeded = await onlyOne(shop.client, 'SUCCEEDED');
      expect(succeeded).toMatchObject({ attemptCount: 4, nextAttemptAt: null, completedAt: expect.any(String) });

      // One that has succeeded is sent again.
      await act(shop.client, 'deliveryRetry', succeeded.id);
      const requests = await receiver.waitFor(5, '/hook');
      const again = await attempted(5);
      expect(again).toMatchObject({
        status: 'SUCCEEDED',
        attempts: {
          nodes: [
            attempt(1, 'FIRST', 500),
            attempt(2, 'MANUAL', 500),
            attempt(3, 'MANUAL', 500),
            attempt(4, 'MANUAL', 204),
            attempt(5, 'MANUAL', 204),
          ],
        },
      });
      expect(new Set(requests.map(({ headers }) => headers['webhook-id']))).toEqual(new Set([again.event.id]));
      expect(new Set(requests.map(({ body }) => body.toString())).size).toBe(1);
      expect(requests.map(({ headers }) => headers['livehook-attempt'])).toEqual(['1', '2', '3', '4', '5']);
      expect(requests.every(({ verified }) => verified)).toBe(true);
    });
  });

  test('that are tried by hand keep their places in the schedule; one that had failed for good and fails again is FAILED', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      let finish: (answer: Answer) => void = () => {};
      const hung = new Promise<Answer>((resolve) => {
        finish = resolve;
      });
      receiver.answer('/hook', (_request, nth) => (nth === 5 ? hung : { status: 500 }));
      await shop.webhook('/hook', { retrySchedule: [3600, 3600] });
      await shop.publish();
      const { id } = await onlyOne(shop.client, 'RETRYING');
      const recorded = async (count: number, status: string) => {
        const isThere = async () => {
          const now = await read(shop.client, id);
          return now.attemptCount === count && now.status === status && now;
        };
        return until(isThere, { description: `attempt ${count} to be recorded` });
      };
      const comeDue = () => changeRows(databaseUrl, "UPDATE deliveries SET due_at = 1 WHERE status = 'RETRYING'");
      await act(shop.client, 'deliveryRetry', id);
      await recorded(2, 'RETRYING');
      await comeDue();
      const second = await recorded(3, 'RETRYING');
      await act(shop.client, 'deliveryRetry', id);
      expect(await recorded(4, 'RETRYING')).toMatchObject({ nextAttemptAt: second.nextAttemptAt });
      await comeDue();
      await receiver.waitFor(5, '/hook');

      // While it is being sent nothing is added to it.
      const { delivery, userErrors } = await act(shop.client, 'deliveryRetry', id);
      expect([delivery?.status, delivery?.attemptCount, userErrors]).toEqual(['RETRYING', 4, []]);
      finish({ status: 500 });
      await recorded(5, 'FAILED');
      await act(shop.client, 'deliveryRetry', id);
      expect(await recorded(6, 'FAILED')).toMatchObject({
        nextAttemptAt: null,
        completedAt: expect.any(String),
        attempts: {
          nodes: [
            attempt(1, 'FIRST', 500),
            attempt(2, 'MANUAL', 500),
            attempt(3, 'AUTOMATIC', 500),
            attempt(4, 'MANUAL', 500),
            attempt(5, 'AUTOMATIC', 500),
            attempt(6, 'MANUAL', 500),
          ],
        },
      });
    });
  });

  test('that are cancelled are never sent, unless they are asked for again; finished ones cannot be cancelled', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      let release: (answer: Answer) => void = () => {};
      const released = new Promise<Answer>((resolve) => {
        release = resolve;
      });
      receiver.answer('/hook', (_request, nth) => (nth === 1 ? released : {}));
      await shop.webhook('/hook', { maxConcurrency: 1 });
      for (let no = 0; no < 3; no++) await shop.publish({ payload: { no } });
      await receiver.waitFor(1, '/hook');
      const [third, second, first] = (await list(shop.client)).map(({ id }) => id);
      if (first === undefined || second === undefined || third === undefined) throw new Error('expected three deliveries');

      // One queued behind it, one that is under way: its request still ends, and is recorded.
      for (const id of [second, first]) {
        const { delivery, userErrors } = await act(shop.client, 'deliveryCancel', id);
        expect(userErrors).toEqual([]);
        expect(delivery).toMatchObject({ id, status: 'CANCELLED', attemptCount: 0, nextAttemptAt: null, completedAt: expect.any(String) });
      }
      expect((await act(shop.client, 'deliveryCancel', second)).userErrors).toEqual([]); // already is
      release({ status: 500 });
      const done = await until(async () => (await read(shop.client, third)).status === 'SUCCEEDED' && read(shop.client, third), {
        description: 'the third to arrive',
      });
      expect(receiver.requests('/hook').map(({ body }) => JSON.parse(body.toString()).data.no)).toEqual([0, 2]);
      expect(await read(shop.client, first)).toMatchObject({ status: 'CANCELLED', attempts: { nodes: [attempt(1, 'FIRST', 500)] } });
      expect(await read(shop.client, second)).toMatchObject({ status: 'CANCELLED', attempts: { nodes: [] } });

      const refused = await act(shop.client, 'deliveryCancel', done.id);
      expect(refused).toEqual({
        delivery: null,
        userErrors: [{ field: ['id'], message: 'expected a delivery that is not finished; this one has SUCCEEDED', code: 'CONFLICT' }],
      });

      expect((await act(shop.client, 'deliveryRetry', second)).delivery).toMatchObject({
        status: 'PENDING',
        attemptCount: 0,
        completedAt: null,
      });
      await until(async () => (await read(shop.client, second)).status === 'SUCCEEDED', {
        description: 'the cancelled one to arrive after all',
      });
      expect(await read(shop.client, second)).toMatchObject({ attempts: { nodes: [attempt(1, 'MANUAL', 204)] } });
    });
  });

  test('that wait for a retry can be cancelled; those of a deleted webhook can not be retried', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      const { id: webhookId } = await shop.webhook('/hook', { retrySchedule: [1] });
      await shop.webhook('/neighbour', { eventTypes: ['b.*'] });
      await shop.publish();
      const waiting = await onlyOne(shop.client, 'RETRYING');
      expect((await act(shop.client, 'deliveryCancel', waiting.id)).delivery?.status).toBe('CANCELLED');
      await mutated(shop.client, 'webhookDelete', { id: webhookId });
      const { delivery, userErrors } = await act(shop.client, 'deliveryRetry', waiting.id);
      expect({ delivery, userErrors }).toEqual({
        delivery: null,
        userErrors: [
          {
            field: ['id'],
            message: 'expected a delivery whose webhook exists; the webhook of this one has been deleted',
            code: 'CONFLICT',
          },
        ],
      });
      expect(await read(shop.client, waiting.id)).toMatchObject({ status: 'CANCELLED', attemptCount: 1 });
      expect(receiver.requests('/hook')).toHaveLength(1);
      for (const id of ['', 'dlv_', waiting.id.replace('dlv', 'att'), `dlv_${'0'.repeat(31)}`, '\u{1F4A5}'])
        for (const name of ['deliveryRetry', 'deliveryCancel'] as const)
          expect((await act(shop.client, name, id)).userErrors).toEqual([
            { field: ['id'], message: `expected the id of a delivery, got ${JSON.stringify(id)}`, code: 'NOT_FOUND' },
          ]);
    });
  });

  test('say what was sent and what came back, down to a command that sends it again', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 422, headers: { 'x-reason': 'naïve'.slice(0, 2) }, body: '{"error":"no 🦄"}' });
      await shop.webhook('/hook', {
        url: receiver.url("/hook?a={1,2}&b=[1-3]&c=it's"),
        headers: [
          { name: 'x-quoted', value: 'secret `\'"$' },
          { name: 'x-empty', value: '' },
        ],
        retrySchedule: [],
      });
      const payloads = [{ text: `it's "quoted" $(id) \`id\` \\ %s ünï 🦄\n` }, { text: 'y'.repeat(200_000) }];
      for (const payload of payloads) await shop.publish({ payload });
      const requests = await receiver.waitFor(2, '/hook');
      await until(async () => (await list(shop.client, { statuses: ['FAILED'] })).length === 2, { description: 'both to have failed' });
      const { deliveries } = await shop.client.query<{
        deliveries: {
          nodes: { requestBody: string; attempts: { nodes: { curl: string; requestHeaders: { name: string; value: string }[] }[] } }[];
        };
      }>(
        '{ deliveries(first: 2) { nodes { requestBody attempts(first: 1) { nodes { id number outcome statusCode error startedAt durationMs requestHeaders { name value } responseHeaders { name value } responseBody responseTruncated curl } } } } }',
      );
      const bodies = requests.map(({ body }) => body.toString());
      expect(deliveries.nodes.map(({ requestBody }) => requestBody).sort()).toEqual([...bodies].sort());
      for (const { requestBody, attempts } of deliveries.nodes) {
        const [made] = attempts.nodes;
        expect(made).toMatchObject({
          id: expect.stringMatching(/^att_/),
          number: 1,
          outcome: 'HTTP_ERROR',
          statusCode: 422,
          error: expect.stringContaining('422'),
          durationMs: expect.any(Number),
          responseHeaders: expect.arrayContaining([{ name: 'x-reason', value: 'na' }]),
          responseBody: '{"error":"no 🦄"}',
          responseTruncated: false,
        });
        const original = requests.find(({ body }) => body.toString() === requestBody);
        const masks: Record<string, string> = { 'x-quoted': '••••`\'"$', 'x-empty': '••••' };
        for (const { name, value } of made?.requestHeaders ?? [])
          expect([name, value]).toEqual([name, masks[name] ?? original?.headers[name]]);

        const before = receiver.requests('/hook').length;
        await runInShell(made?.curl ?? '');
        const again = receiver.requests('/hook')[before];
        expect(again?.body.equals(original?.body ?? Buffer.of())).toBe(true);
        expect(again?.verified).toBe(true);
        for (const { name, value } of made?.requestHeaders ?? []) expect([name, again?.headers[name]]).toEqual([name, asBytes(value)]);
      }
    });
  });

  test('are shown as a command with a fresh signature to who may retry them, whatever the secret is by then', async () => {
    await withHub(makeDatabase, async ({ admin, application, client, receiver, databaseUrl }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 401, body: 'no matching signature' });
      const { id: webhookId } = await shop.webhook('/hook', { headers: [{ name: 'x-own', value: 'secret-12345678' }], retrySchedule: [] });
      await shop.publish();
      const delivery = await onlyOne(shop.client, 'FAILED');
      await mutated(shop.client, 'webhookTest', { id: webhookId, input: { eventType: 'a.b', payload: { no: 1 } } });
      // As if it had been sent long ago.
      await changeRows(databaseUrl, "UPDATE attempts SET request_headers = REPLACE(request_headers, '\"17', '\"11')");

      const key = async (scopes: string[]) => {
        const input = { applicationId: shop.id, scopes };
        return client((await mutated<{ token: string }>(admin, 'apiKeyCreate', { input }, 'token')).token);
      };
      interface Shown {
        readonly curl: string;
        readonly fresh: string;
        readonly error: string;
      }
      const fields = 'curl fresh: curl(resign: true) error';
      const commands = async (whose = shop.client) => {
        const { delivery: one, webhook } = await whose.query<
          Record<'delivery' | 'webhook', Record<'lastAttempt', Shown> & { tests: { nodes: Shown[] } }>
        >(`{ delivery(id: "${delivery.id}") { lastAttempt { ${fields} } } webhook(id: "${webhookId}") { tests { nodes { ${fields} } } } }`);
        return [one.lastAttempt, webhook.tests.nodes[0]];
      };
      const verifiedBy = async (command = '') => {
        const before = receiver.requests('/hook').length;
        await runInShell(command);
        return receiver.requests('/hook')[before]?.verified;
      };
      const { webhook } = await shop.client.query<{ webhook: { secretHint: string } }>(`{ webhook(id: "${webhookId}") { secretHint } }`);
      for (const shown of await commands()) {
        for (const command of [shown?.curl, shown?.fresh]) expect(command).toContain('x-own: ••••5678');
        expect(await verifiedBy(shown?.curl)).toBe(false);
        expect(await verifiedBy(shown?.fresh)).toBe(true);
        expect(shown?.error).toContain(`; this may mean that it could not verify the signature: see schema/webhook.md#my-signature`);
        expect(shown?.error).toContain(`The webhook's signing secret ends in ${webhook.secretHint} (`);
      }
      const rotation = { id: webhookId, input: { overlapSeconds: 0 } };
      const rotated = await mutated<{ signingSecret: string }>(shop.client, 'webhookSecretRotate', rotation, 'signingSecret');
      receiver.trust('/hook', rotated.signingSecret);
      for (const shown of await commands()) expect(await verifiedBy(shown?.fresh)).toBe(true);

      const ask = `{ delivery(id: "${delivery.id}") { lastAttempt { curl(resign: true) } } }`;
      for (const scopes of [
        ['DELIVERIES_READ', 'PAYLOADS_READ'],
        ['DELIVERIES_READ', 'DELIVERIES_WRITE'],
      ]) {
        const { errors } = await (await key(scopes)).request(ask);
        expect(errors?.map(({ extensions }) => extensions?.code)).toEqual(['FORBIDDEN']);
      }
      const narrow = await key(['DELIVERIES_READ', 'DELIVERIES_WRITE', 'PAYLOADS_READ']);
      const { delivery: seen } = await narrow.query<{ delivery: { lastAttempt: { error: string } } }>(
        `{ delivery(id: "${delivery.id}") { lastAttempt { error curl(resign: true) } } }`,
      );
      expect(seen.lastAttempt.error).toMatch(/could not verify the signature: see \S+$/);

      await mutated(shop.client, 'webhookDelete', { id: webhookId });
      expect((await shop.client.request(ask)).errors?.[0]?.message).toMatch(/^resign: expected an attempt whose body, headers and webhook/);
    });
  });

  test('are listed newest first, by keyset and by filter, below events and webhooks too', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      // It fails after all are published: the hub's own events, which tell of it, take the sequences after theirs.
      let letFail = () => {};
      const published = new Promise<void>((resolve) => {
        letFail = resolve;
      });
      receiver.answer('/fails', () => published.then(() => ({ status: 500 })));
      const works = await shop.webhook('/works');
      const fails = await shop.webhook('/fails', { eventTypes: ['a.*'], retrySchedule: [] });
      const events: string[] = [];
      for (const type of ['a.x', 'b.x', 'a.y']) events.push((await shop.publish({ type })).id);
      letFail();
      await until(async () => (await list(shop.client)).every(({ completedAt }) => completedAt !== null), {
        description: 'all to be finished',
      });
      const all = await list(shop.client);
      expect(all.map(({ event }) => event.sequence)).toEqual([3, 3, 2, 1, 1]);

      const ids = async (filter: object) => (await list(shop.client, filter)).map(({ event, status }) => `${event.sequence} ${status}`);
      expect(await ids({ webhookIds: [fails.id] })).toEqual(['3 FAILED', '1 FAILED']);
      expect(await ids({ webhookIds: [] })).toEqual([]);
      expect(await ids({ webhookIds: [works.id], eventTypes: ['a.*'] })).toEqual(['3 SUCCEEDED', '1 SUCCEEDED']);
      expect(await ids({ eventIds: [events[1], events[2]], statuses: ['SUCCEEDED'] })).toEqual(['3 SUCCEEDED', '2 SUCCEEDED']);
      expect(await ids({ eventIds: ['nonsense'] })).toEqual([]);
      expect(await ids({ eventTypes: ['*.x', 'a.y'], statuses: ['FAILED'] })).toEqual(['3 FAILED', '1 FAILED']);
      expect(await ids({ statuses: ['PENDING', 'RETRYING', 'CANCELLED'] })).toEqual([]);
      expect(await ids({ createdBefore: '2000-01-01T00:00:00Z' })).toEqual([]);
      expect(await ids({ createdAfter: '2000-01-01T00:00:00Z', createdBefore: '2100-01-01T00:00:00Z', statuses: ['FAILED'] })).toHaveLength(
        2,
      );

      interface Listed {
        list: { nodes: { id: string }[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } };
      }
      const pages = async (field: (args: string) => string, between: () => Promise<unknown> = async () => {}) => {
        const seen: string[] = [];
        let after: string | null = null;
        for (let more = true; more; ) {
          const data: Record<string, unknown> = await shop.client.query(`query ($after: String) { ${field('first: 2, after: $after')} }`, {
            after,
          } as Variables);
          const { list }: Listed = (data.parent ?? data) as unknown as Listed;
          seen.push(...list.nodes.map(({ id }) => id));
          ({ endCursor: after, hasNextPage: more } = list.pageInfo);
          await between();
        }
        return seen;
      };
      const page = '{ nodes { id } pageInfo { hasNextPage endCursor } }';
      expect(
        await pages(
          (args) => `list: deliveries(${args}) ${page}`,
          () => shop.publish({ type: 'c.z' }),
        ),
      ).toEqual(all.map(({ id }) => id));
      expect(await pages((args) => `parent: event(id: "${events[0]}") { list: deliveries(${args}) ${page} }`)).toEqual(
        all.slice(3).map(({ id }) => id),
      );
      const ofWebhook = await list(shop.client, { webhookIds: [works.id] });
      expect(await pages((args) => `parent: webhook(id: "${works.id}") { list: deliveries(${args}) ${page} }`)).toEqual(
        ofWebhook.map(({ id }) => id),
      );
      const { webhook } = await shop.client.query<{ webhook: { deliveries: { nodes: object[] }; others: { nodes: object[] } } }>(
        `query ($filter: DeliveryFilter, $others: DeliveryFilter) { webhook(id: "${works.id}") { deliveries(filter: $filter) { nodes { event { sequence } } } others: deliveries(filter: $others) { nodes { id } } } }`,
        { filter: { eventTypes: ['b.*'] }, others: { webhookIds: [fails.id] } },
      );
      expect(webhook).toEqual({ deliveries: { nodes: [{ event: { sequence: 2 } }] }, others: { nodes: [] } });

      // Attempts, first to last; a cursor is of one list only.
      const [one] = await list(shop.client, { eventIds: [events[0]], webhookIds: [fails.id] });
      const id = one?.id ?? '';
      for (let count = 2; count <= 5; count++) {
        await act(shop.client, 'deliveryRetry', id);
        await until(async () => (await read(shop.client, id)).attemptCount === count, { description: `attempt ${count}` });
      }
      const attempts = await pages((args) => `parent: delivery(id: "${id}") { list: attempts(${args}) ${page} }`);
      expect(attempts).toHaveLength(5);
      expect(attempts).toEqual([...attempts].sort());

      // From either end; in the order of the list whichever it is.
      interface Ends {
        delivery: { attempts: { nodes: { number: number }[]; edges: { cursor: string }[]; pageInfo: Record<string, unknown> } };
      }
      const ends = async (args: string) => {
        const { delivery } = await shop.client.query<Ends>(
          `{ delivery(id: "${id}") { attempts${args} { nodes { number } edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`,
        );
        const { nodes, edges, pageInfo } = delivery.attempts;
        expect([pageInfo.startCursor, pageInfo.endCursor]).toEqual([edges[0]?.cursor ?? null, edges.at(-1)?.cursor ?? null]);
        return [nodes.map(({ number }) => number), pageInfo.hasPreviousPage, pageInfo.hasNextPage];
      };
      const cursor = (number: number) => JSON.stringify(encodeKeyCursor(attempts[number - 1] ?? ''));
      expect(await ends('')).toEqual([[1, 2, 3, 4, 5], false, false]);
      expect(await ends('(last: 2)')).toEqual([[4, 5], true, false]);
      expect(await ends(`(last: 2, before: ${cursor(4)})`)).toEqual([[2, 3], true, true]);
      expect(await ends(`(last: 2, before: ${cursor(3)})`)).toEqual([[1, 2], false, true]);
      expect(await ends(`(last: 9, before: ${cursor(5)}, after: ${cursor(2)})`)).toEqual([[3, 4], false, true]);
      expect(await ends(`(first: 9, before: ${cursor(5)}, after: ${cursor(2)})`)).toEqual([[3, 4], true, false]);
      expect(await ends(`(last: 1, before: ${cursor(1)})`)).toEqual([[], false, true]);
      for (const [args, message] of [
        ['(first: 1, last: 1)', 'last: expected either first or last, got both'],
        ['(last: 0)', 'last: expected a whole number from 1 to 100, got 0'],
        ['(last: 101)', 'last: expected a whole number from 1 to 100, got 101'],
        [`(last: 1, before: "${encodeKeyCursor(id)}")`, 'before: expected a cursor of this list'],
      ])
        await expect(ends(args ?? '')).rejects.toThrow(message);

      const optional = `query ($first: Int, $last: Int) { delivery(id: "${id}") { attempts(first: $first, last: $last) { nodes { number } } } }`;
      const { delivery } = await shop.client.query<Ends>(optional, { last: 2 });
      expect(delivery.attempts.nodes.map(({ number }) => number)).toEqual([4, 5]);

      // The last attempt of each of a page is read by one statement.
      const byIds = jest.spyOn(Attempts.prototype, 'byIds');
      const { deliveries } = await shop.client.query<{ deliveries: { nodes: { id: string; lastAttempt: { number: number } | null }[] } }>(
        '{ deliveries { nodes { id lastAttempt { number } } } }',
      );
      expect(deliveries.nodes.length).toBeGreaterThan(5);
      for (const { id: one, lastAttempt } of deliveries.nodes)
        expect([one, lastAttempt?.number ?? 0]).toEqual([one, (await read(shop.client, one)).attemptCount]);
      expect(byIds).toHaveBeenCalledTimes(1);
      byIds.mockRestore();
      const foreign = [
        `delivery(id: "${id}") { attempts(after: "${encodeKeyCursor(id)}") { nodes { id } } }`,
        `delivery(id: "${all[0]?.id}") { attempts(after: "${encodeKeyCursor(attempts[0] ?? '')}") { nodes { id } } }`,
        `event(id: "${events[1]}") { deliveries(after: "${encodeKeyCursor(id)}") { nodes { id } } }`,
        `webhook(id: "${works.id}") { deliveries(after: "${encodeKeyCursor(id)}") { nodes { id } } }`,
      ];
      for (const field of foreign) {
        const { errors } = await shop.client.request(`{ ${field} }`);
        expect([field, errors?.map(({ extensions, message }) => [extensions?.code, message])]).toEqual([
          field,
          [['BAD_USER_INPUT', expect.stringContaining('after: expected a cursor of this list')]],
        ]);
      }
    });
  });
});

const hasCurl = (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'curl')));

/** A header in UTF-8 as Node.js reads and writes headers: a character a byte. */
const asBytes = (value: string) => Buffer.from(value).toString('latin1');

/** With the real curl; on a machine that has none, with the words that the shell would have handed to it. */
async function runInShell(command: string): Promise<void> {
  if (hasCurl) {
    await shell(`${command} -sS`);
    return;
  }
  const words = (await shell(`curl() { printf '%s\\0' "$@"; case "$*" in *@-) cat ;; esac; }\n${command}`)).split('\0');
  const headers = new Headers();
  for (const [index, word] of words.entries()) {
    const [, name = '', value = ''] = /^([^:;]+)[:;] ?(.*)$/s.exec(words[index + 1] ?? '') ?? [];
    if (word === '-H') headers.set(name, asBytes(value));
  }
  const raw = words.indexOf('--data-raw');
  const body = raw < 0 ? words.at(-1) : words[raw + 1];
  await fetch(words[words.indexOf('POST') + 1] ?? '', { method: 'POST', headers, body });
}

/** From standard input, since an argument takes 128 KiB at most; returns what it prints. */
async function shell(script: string): Promise<string> {
  const child = spawn('sh', ['-s'], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(`${script}\n`);
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  expect(child.exitCode).toBe(0);
  return output;
}

import { randomBytes } from 'node:crypto';
import { encodeKeyCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import type { Client } from '../support/graphql-client';
import { mutate, mutated } from '../support/mutate';
import type { Answer } from '../support/receiver';
import { changeRows, dumpOf } from '../support/rows';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

interface WebhookFields {
  readonly id: string;
  readonly url: string;
  readonly version: number;
  readonly status: string;
}

const SETTINGS = 'url description eventTypes headers { name value } retrySchedule timeoutSeconds maxConcurrency secretHint status version';
const WEBHOOK = `webhook { id ${SETTINGS} createdAt updatedAt }`;

const DEFAULTS = {
  description: null,
  eventTypes: ['*'],
  headers: [],
  retrySchedule: [1, 1, 1], // LIVEHOOK_RETRY_SCHEDULE of the tests
  timeoutSeconds: 15,
  maxConcurrency: 10,
  status: 'ACTIVE',
};

async function change(client: Client, name: string, id: string, input?: object): Promise<WebhookFields> {
  const variables = input === undefined ? { id } : { id, input };
  return (await mutated<{ webhook: WebhookFields }>(client, name, variables, WEBHOOK)).webhook;
}

async function read(client: Client, id: string): Promise<WebhookFields | null> {
  const data = await client.query<{ webhook: WebhookFields | null }>(
    `query ($id: ID!) { webhook(id: $id) { id ${SETTINGS} createdAt updatedAt } }`,
    { id },
  );
  return data.webhook;
}

async function statuses(client: Client, webhookId: string): Promise<string[]> {
  const { deliveries } = await client.query<{ deliveries: { nodes: { status: string }[] } }>(
    'query ($ids: [ID!]) { deliveries(filter: { webhookIds: $ids }) { nodes { status } } }',
    { ids: [webhookId] },
  );
  return deliveries.nodes.map(({ status }) => status);
}

/** A promise and what resolves it. */
function gate(): { opened: Promise<Answer>; open: (answer: Answer) => void } {
  let open: (answer: Answer) => void = () => {};
  const opened = new Promise<Answer>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

async function publishMany(shop: TestApplication, count: number): Promise<string[]> {
  const { results } = await mutated<{ results: { event: { id: string } }[] }>(
    shop.client,
    'eventsPublish',
    { input: { events: Array.from({ length: count }, (_, no) => ({ type: 'order.created', payload: { no } })) } },
    'results { event { id } }',
  );
  return results.map(({ event }) => event.id);
}

describeEachDatabase('Webhooks', (makeDatabase) => {
  test('are created with defaults or with settings; the signing secret is shown once', async () => {
    await withHub(makeDatabase, async ({ admin, application, receiver, databaseUrl }) => {
      const shop = await application();
      const plain = await mutated<{ webhook: WebhookFields; signingSecret: string }>(
        shop.client,
        'webhookCreate',
        { input: { url: receiver.url('/plain?x=1') } },
        `signingSecret ${WEBHOOK}`,
      );
      expect(plain.signingSecret).toMatch(/^whsec_[A-Za-z0-9+/]{32}$/);
      expect(plain.webhook).toEqual({
        ...DEFAULTS,
        id: expect.stringMatching(/^whk_/),
        url: receiver.url('/plain?x=1'),
        secretHint: plain.signingSecret.slice(-4),
        version: 1,
        createdAt: expect.any(String),
        updatedAt: expect.any(String),
      });
      expect(await read(shop.client, plain.webhook.id)).toEqual(plain.webhook);

      const settings = {
        description: 'Büro 🏢',
        eventTypes: ['order.*', '*.created', 'order.*'],
        headers: [
          { name: 'X-Tenant', value: 'a; b="c"' },
          { name: 'authorization', value: 'Bearer t' },
        ],
        retrySchedule: [1, 60, 604_800],
        timeoutSeconds: 30,
        maxConcurrency: 1_000,
      };
      const secret = `whsec_${randomBytes(64).toString('base64')}`;
      const rich = await mutated<{ webhook: WebhookFields; signingSecret: string }>(
        admin,
        'webhookCreate',
        { input: { applicationId: shop.id, url: 'https://Example.com:443/a/../hook', secret, ...settings } },
        `signingSecret ${WEBHOOK}`,
      );
      expect(rich).toMatchObject({
        signingSecret: secret,
        webhook: {
          ...settings,
          headers: [
            { name: 'X-Tenant', value: '••••="c"' },
            { name: 'authorization', value: '••••er t' },
          ],
          eventTypes: ['order.*', '*.created'],
          url: 'https://example.com/hook',
          secretHint: secret.slice(-4),
        },
      });
      expect(await read(shop.client, rich.webhook.id)).toEqual(rich.webhook);

      const dump = await dumpOf(databaseUrl);
      for (const shown of [secret, plain.signingSecret]) expect(dump).not.toContain(shown.slice('whsec_'.length, -4));
    });
  });

  test('change what is given: omitted stays, null puts the default back, an old version is refused', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const settings = {
        url: receiver.url('/one'),
        description: 'first',
        eventTypes: ['order.created'],
        headers: [{ name: 'x-a', value: '1' }],
        retrySchedule: [],
        timeoutSeconds: 3,
        maxConcurrency: 4,
      };
      const { id } = await shop.webhook('/one', settings);
      const shown = { ...settings, headers: [{ name: 'x-a', value: '••••' }] };
      expect(await read(shop.client, id)).toMatchObject({ ...shown, version: 1 });
      expect(await change(shop.client, 'webhookUpdate', id, {})).toMatchObject({ ...shown, version: 2 });
      expect(await change(shop.client, 'webhookUpdate', id, { description: 'second', timeoutSeconds: 5 })).toMatchObject({
        ...shown,
        description: 'second',
        timeoutSeconds: 5,
        version: 3,
      });
      const cleared = {
        description: null,
        eventTypes: null,
        headers: null,
        retrySchedule: null,
        timeoutSeconds: null,
        maxConcurrency: null,
      };
      const afterwards = await change(shop.client, 'webhookUpdate', id, cleared);
      expect(afterwards).toMatchObject({ ...DEFAULTS, url: settings.url, version: 4 });
      expect(await read(shop.client, id)).toEqual(afterwards);

      const stale = await mutate<{ webhook: null }>(
        shop.client,
        'webhookUpdate',
        { id, input: { expectedVersion: 3, description: 'lost' } },
        WEBHOOK,
      );
      expect(stale).toEqual({
        webhook: null,
        userErrors: [{ field: ['expectedVersion'], message: 'expected version 3, but the webhook is at version 4', code: 'CONFLICT' }],
      });
      expect(await read(shop.client, id)).toEqual(afterwards);
      expect(await change(shop.client, 'webhookUpdate', id, { expectedVersion: 4, description: 'kept' })).toMatchObject({ version: 5 });

      // Of two who have seen the same version, one wins.
      const both = await Promise.all(
        ['a', 'b'].map((description) => mutate(shop.client, 'webhookUpdate', { id, input: { expectedVersion: 5, description } })),
      );
      expect(both.flatMap(({ userErrors }) => userErrors.map(({ code }) => code))).toEqual(['CONFLICT']);
    });
  });

  test('get the very next event by their new settings', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/before', { eventTypes: ['a.*'] });
      const { signingSecret: _ } = await shop.webhook('/all');
      await shop.publish({ type: 'a.one' });
      await receiver.waitFor(1, '/before');
      for (let round = 1; round <= 5; round++) {
        await change(shop.client, 'webhookUpdate', id, {
          url: receiver.url(`/after${round}`),
          headers: [{ name: 'x-round', value: `${round}` }],
        });
        await shop.publish({ type: 'a.two' });
        const [request] = await receiver.waitFor(1, `/after${round}`);
        expect(request?.headers['x-round']).toBe(String(round));
      }
      await change(shop.client, 'webhookUpdate', id, { eventTypes: ['b.*'] });
      await shop.publish({ type: 'a.three' });
      expect(await statuses(shop.client, id)).toHaveLength(6);
      await shop.publish({ type: 'b.four' });
      await receiver.waitFor(2, '/after5');
      await receiver.waitFor(8, '/all');
      expect(receiver.requests('/before')).toHaveLength(1);
    });
  });

  test('send their own headers beside ours, which they cannot take over', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const headers = [
        { name: 'Authorization', value: 'Bearer abc' },
        { name: 'X-Empty', value: '' },
      ];
      await shop.webhook('/hook', { headers });
      const event = await shop.publish();
      const [request] = await receiver.waitFor(1, '/hook');
      expect(request?.verified).toBe(true);
      expect(request?.headers).toMatchObject({
        authorization: 'Bearer abc',
        'x-empty': '',
        'content-type': 'application/json',
        'user-agent': expect.stringMatching(/^Livehook\/\d/),
        'webhook-id': event.id,
        'livehook-attempt': '1',
        'livehook-sequence': String(event.sequence),
        'livehook-event-type': 'order.created',
        'livehook-delivery-id': expect.stringMatching(/^dlv_/),
      });
      const names = request?.rawHeaders.map(([name]) => name.toLowerCase()) ?? [];
      expect(new Set(names).size).toBe(names.length);

      for (const name of [
        'Webhook-Signature',
        'livehook-attempt',
        'CONTENT-TYPE',
        'Host',
        'content-length',
        'transfer-encoding',
        'user-agent',
        'connection',
      ]) {
        const { userErrors } = await mutate(shop.client, 'webhookCreate', {
          input: {
            url: receiver.url('/hook'),
            headers: [
              { name: 'x-good', value: '1' },
              { name, value: 'mine' },
            ],
          },
        });
        expect(userErrors).toEqual([
          {
            field: ['headers', '1', 'name'],
            message: `${name} is set by the hub or by HTTP itself and can't be overridden`,
            code: 'INVALID',
          },
        ]);
      }
    });
  });

  test('hold what is published while they are paused, and send it when they are resumed', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/paused', { maxConcurrency: 1 });
      await shop.webhook('/neighbour');
      const { opened, open } = gate();
      receiver.answer('/paused', (_request, nth) => (nth === 1 ? opened : {}));
      const first = await publishMany(shop, 3); // one under way, two queued behind it
      await receiver.waitFor(1, '/paused');
      expect(await change(shop.client, 'webhookPause', id)).toMatchObject({ status: 'PAUSED', version: 2 });
      open({});
      const second = await publishMany(shop, 3);
      await receiver.waitFor(6, '/neighbour');
      await until(async () => (await statuses(shop.client, id)).filter((status) => status === 'SUCCEEDED').length === 1, {
        description: 'the request under way to be recorded',
      });
      expect(receiver.requests('/paused')).toHaveLength(1);
      expect((await statuses(shop.client, id)).sort()).toEqual([...Array(5).fill('PENDING'), 'SUCCEEDED']);

      expect(await change(shop.client, 'webhookResume', id)).toMatchObject({ status: 'ACTIVE', version: 3 });
      const requests = await receiver.waitFor(6, '/paused');
      expect(new Set(requests.map(({ headers }) => headers['webhook-id']))).toEqual(new Set([...first, ...second]));
      expect(requests.every(({ verified }) => verified)).toBe(true);
    });
  });

  test('are disabled by 410 Gone: no new deliveries until they are resumed, which sends the next', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/gone');
      await shop.webhook('/neighbour');
      receiver.answer('/gone', { status: 410 });
      await publishMany(shop, 5); // several answers of 410 at once
      await until(async () => (await read(shop.client, id))?.status === 'DISABLED', { description: 'the webhook to be disabled' });
      const { version } = (await read(shop.client, id)) ?? {};
      expect(version).toBe(2);
      await until(async () => (await statuses(shop.client, id)).every((status) => status === 'FAILED'), {
        description: 'every delivery to fail',
      });
      await publishMany(shop, 2);
      await receiver.waitFor(7, '/neighbour');
      expect(await statuses(shop.client, id)).toHaveLength(5);
      const paused = await mutate(shop.client, 'webhookPause', { id });
      expect(paused.userErrors).toEqual([expect.objectContaining({ field: ['id'], code: 'CONFLICT' })]);

      receiver.answer('/gone', {});
      expect(await change(shop.client, 'webhookResume', id)).toMatchObject({ status: 'ACTIVE', version: 3 });
      const { id: eventId } = await shop.publish();
      await receiver.waitFor((requests) => requests.some(({ headers }) => headers['webhook-id'] === eventId), '/gone');
    });
  });

  test('that are deleted are gone from everywhere, and what still waits for them is cancelled', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/deleted', { maxConcurrency: 1 });
      await shop.webhook('/neighbour');
      const { opened, open } = gate();
      receiver.answer('/deleted', (_request, nth) => (nth === 1 ? opened : {}));
      await publishMany(shop, 4);
      await receiver.waitFor(1, '/deleted');
      const deleted = await mutated(shop.client, 'webhookDelete', { id }, 'deletedId webhook { id }');
      expect(deleted).toMatchObject({ deletedId: id, webhook: { id } });
      expect(await read(shop.client, id)).toBeNull();
      const shown = await shop.client.query('query ($id: ID!) { node(id: $id) { id } webhooks { nodes { url } } }', { id });
      expect(shown).toEqual({ node: null, webhooks: { nodes: [{ url: receiver.url('/neighbour') }] } });
      open({ status: 503 }); // under way when it was deleted: recorded, and not tried again

      await until(async () => (await statuses(shop.client, id)).every((status) => status === 'CANCELLED'), {
        description: 'the deliveries to be cancelled',
      });
      await shop.publish();
      await receiver.waitFor(5, '/neighbour');
      expect(await statuses(shop.client, id)).toHaveLength(4);
      expect(receiver.requests('/deleted')).toHaveLength(1);
      // A delivery still tells which webhook it was for.
      const { deliveries } = await shop.client.query<{ deliveries: { nodes: object[] } }>(
        'query ($ids: [ID!]) { deliveries(first: 1, filter: { webhookIds: $ids }) { nodes { webhook { id url } } } }',
        { ids: [id] },
      );
      expect(deliveries.nodes).toEqual([{ webhook: { id, url: receiver.url('/deleted') } }]);

      for (const [mutation, input] of [
        ['webhookDelete'],
        ['webhookPause'],
        ['webhookResume'],
        ['webhookUpdate', { description: 'x' }],
      ] as const) {
        const { userErrors } = await mutate(shop.client, mutation, input === undefined ? { id } : { id, input });
        expect([mutation, userErrors]).toEqual([
          mutation,
          [{ field: ['id'], message: `expected the id of a webhook, got "${id}"`, code: 'NOT_FOUND' }],
        ]);
      }
    });
  });

  test('are listed in the order in which they were made, by keyset and by filter', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      const ids: string[] = [];
      for (const path of ['/a', '/b', '/c', '/d', '/e']) ids.push((await shop.webhook(path)).id);
      // Of the same millisecond, by their ids.
      const [first = '', ...rest] = ids;
      const together = rest.slice(0, 3).sort();
      await changeRows(databaseUrl, 'UPDATE webhooks SET created_at = 2000 WHERE id IN (?, ?, ?)', together);
      await changeRows(databaseUrl, 'UPDATE webhooks SET created_at = 1000 WHERE id = ?', [first]);
      ids.splice(1, 3, ...together);
      interface Listed {
        webhooks: { nodes: { id: string }[]; edges: { cursor: string }[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } };
      }
      const page = (variables: object) =>
        shop.client.query<Listed>(
          'query ($first: Int, $after: String, $filter: WebhookFilter) { webhooks(first: $first, after: $after, filter: $filter) { nodes { id } edges { cursor } pageInfo { hasNextPage endCursor } } }',
          { first: 2, ...variables },
        );
      const seen: string[] = [];
      let after: string | null = null;
      for (let more = true; more; ) {
        const { webhooks }: Listed = await page({ after });
        seen.push(...webhooks.nodes.map(({ id }) => id));
        expect(webhooks.edges.at(-1)?.cursor).toBe(webhooks.pageInfo.endCursor);
        after = webhooks.pageInfo.endCursor;
        more = webhooks.pageInfo.hasNextPage;
        // A row that leaves behind the cursor shifts nothing.
        if (seen.length === 2) await mutated(shop.client, 'webhookDelete', { id: ids[0] ?? '' });
      }
      expect(seen).toEqual(ids);
      for (const wrong of [`1 ${ids[1]}x`, `x ${ids[1]}`, `01 ${ids[1]}`, ids[1] ?? '', `1 whk_${'0'.repeat(20)}`])
        await expect(page({ after: encodeKeyCursor(wrong) })).rejects.toThrow('after: expected a cursor of this list');

      await change(shop.client, 'webhookPause', ids[3] ?? '');
      const listed = async (filter: object) => (await page({ first: 100, filter })).webhooks.nodes.map(({ id }) => id);
      expect(await listed({})).toEqual(ids.slice(1));
      expect(await listed({ statuses: ['PAUSED'] })).toEqual([ids[3]]);
      expect(await listed({ statuses: ['ACTIVE', 'PAUSED'] })).toEqual(ids.slice(1));
      expect(await listed({ statuses: [] })).toEqual([]);
      const { url } = (await read(shop.client, ids[2] ?? '')) ?? { url: '' };
      expect(await listed({ url })).toEqual([ids[2]]);
      expect(await listed({ url: url.replace('http:', 'HTTP:') })).toEqual([ids[2]]);
      expect(await listed({ url: `${url}x` })).toEqual([]);
      expect(receiver.requests()).toEqual([]);
    });
  });
});

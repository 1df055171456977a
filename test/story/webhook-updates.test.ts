import { encodeCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import { Client, type Subscription } from '../support/graphql-client';
import { mutated } from '../support/mutate';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

interface Update {
  readonly cursor: string;
  readonly kind: string;
  readonly webhookId: string;
  readonly health: string | null;
  readonly reason: string | null;
  readonly at: string;
  readonly webhook: { readonly status: string } | null;
}

interface Change {
  readonly health: string;
  readonly reason: string | null;
  readonly at: string;
}

const DOCUMENT = `subscription ($after: String, $webhookIds: [ID!]) {
  webhookUpdates(after: $after, webhookIds: $webhookIds) { cursor kind webhookId health reason at webhook { status } } }`;

type Data = { readonly webhookUpdates: Update };

async function take(stream: Subscription<Data>, count: number): Promise<Update[]> {
  return (await stream.take(count)).map(({ webhookUpdates }) => webhookUpdates);
}

async function historyOf({ client }: TestApplication, id: string, page = ''): Promise<Change[]> {
  const { webhook } = await client.query<{ webhook: { healthHistory: { nodes: Change[] } } }>(
    `query ($id: ID!) { webhook(id: $id) { healthHistory${page} { nodes { health reason at } pageInfo { hasNextPage } } } }`,
    { id },
  );
  return webhook.healthHistory.nodes;
}

describeEachDatabase('Updates of webhooks', (makeDatabase) => {
  test('tell of every change and every change of health, live and from a cursor, over both transports and on every instance', async () => {
    await withHub(makeDatabase, async ({ application, receiver, startAnother, databaseUrl, client }) => {
      const shop = await application();
      const start = encodeCursor('webhook', shop.id, 0);
      const other = databaseUrl.startsWith('sqlite') ? undefined : await startAnother();
      const second = other ? new Client(other.url, shop.key) : client(shop.key);
      const { application: own } = await shop.client.query<{ application: { webhookCursor: string } }>('{ application { webhookCursor } }');
      expect(own.webhookCursor).toBe(start);
      const streams = [
        shop.client.subscribe<Data>(DOCUMENT, { after: own.webhookCursor }),
        shop.client.subscribeSse<Data>(DOCUMENT, { after: start }),
        second.subscribe<Data>(DOCUMENT, { after: start }),
      ];
      receiver.answer('/hook', { status: 500 });
      const { id } = await shop.webhook('/hook', { retrySchedule: [1, 1, 1, 1, 1, 1] });
      await shop.publish();
      await until(async () => (await historyOf(shop, id))[0]?.health === 'FAILING', { description: 'the webhook to fail' });
      receiver.answer('/hook', { status: 204 });
      await until(
        async () => {
          await shop.publish(); // an instance notices with the next success that it hears of
          return (await historyOf(shop, id))[0]?.health === 'HEALTHY';
        },
        { description: 'the webhook to recover' },
      );
      await mutated(second, 'webhookUpdate', { id, input: { description: 'changed' } });
      await mutated(second, 'webhookPause', { id });
      await mutated(shop.client, 'webhookResume', { id });
      await mutated(shop.client, 'webhookSecretRotate', { id });
      receiver.answer('/hook', { status: 410 });
      await shop.publish();
      await until(async () => (await historyOf(shop, id))[0]?.health === 'DISABLED', { description: 'the webhook to be disabled' });
      await mutated(shop.client, 'webhookResume', { id });
      await mutated(shop.client, 'webhookDelete', { id });

      const expected = [
        ['CREATED', null],
        ['HEALTH', 'FAILING'],
        ['HEALTH', 'HEALTHY'],
        ['UPDATED', null],
        ['PAUSED', null],
        ['RESUMED', null],
        ['SECRET_ROTATED', null],
        ['DISABLED', 'DISABLED'],
        ['RESUMED', 'HEALTHY'],
        ['DELETED', null],
      ];
      const [first = [], ...others] = await Promise.all(streams.map((stream) => take(stream, expected.length)));
      expect(first.map(({ kind, health }) => [kind, health])).toEqual(expected);
      for (const updates of others)
        expect(updates.map(({ cursor, kind, health, reason }) => ({ cursor, kind, health, reason }))).toEqual(
          first.map(({ cursor, kind, health, reason }) => ({ cursor, kind, health, reason })),
        );
      expect(first[1]?.reason).toContain('No attempt has succeeded since');
      expect(new Set(first.map(({ webhookId }) => webhookId))).toEqual(new Set([id]));

      // From any cursor on, and of some webhooks alone.
      const { id: another } = await shop.webhook('/another');
      const resumed = await take(shop.client.subscribe<Data>(DOCUMENT, { after: first[6]?.cursor }), 4);
      expect(resumed.map(({ kind }) => kind)).toEqual(['DISABLED', 'RESUMED', 'DELETED', 'CREATED']);
      expect(resumed.slice(2).map(({ webhook }) => webhook)).toEqual([null, { status: 'ACTIVE' }]);
      const [alone] = await take(shop.client.subscribeSse<Data>(DOCUMENT, { after: start, webhookIds: [another] }), 1);
      expect(alone).toMatchObject({ webhookId: another, kind: 'CREATED' });
      await second.close();
    });
  });

  test('miss none of those that are made at once, whatever instance makes them', async () => {
    await withHub(makeDatabase, async ({ application, startAnother, databaseUrl, client, url }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook');
      const urls = databaseUrl.startsWith('sqlite') ? [url] : [url, (await startAnother()).url];
      const editors = urls.map((one) => new Client(one, shop.key));
      const after = encodeCursor('webhook', shop.id, 1);
      const streams = [
        client(shop.key).subscribe<Data>(DOCUMENT, { after }),
        ...editors.map((one) => one.subscribe<Data>(DOCUMENT, { after })),
      ];
      await Promise.all(
        Array.from({ length: 40 }, (_, no) =>
          mutated(editors[no % editors.length] ?? shop.client, 'webhookUpdate', { id, input: { description: String(no) } }),
        ),
      );
      const cursors = Array.from({ length: 40 }, (_, no) => encodeCursor('webhook', shop.id, no + 2));
      for (const stream of streams) expect((await take(stream, 40)).map(({ cursor }) => cursor)).toEqual(cursors);
      for (const editor of editors) await editor.close();
    });
  });

  test('leave a history of health, newest first, for as long as retention says', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl, admin, hub, startAnother }) => {
      const shop = await application();
      receiver.answer('/gone', { status: 410 });
      const { id } = await shop.webhook('/gone');
      expect(await historyOf(shop, id)).toEqual([]);
      for (let no = 0; no < 2; no++) {
        await shop.publish();
        await until(async () => (await historyOf(shop, id)).length === 2 * no + 1, { description: 'the webhook to be disabled' });
        await mutated(shop.client, 'webhookResume', { id });
      }
      const history = await historyOf(shop, id);
      expect(history.map(({ health, reason }) => [health, reason])).toEqual([
        ['HEALTHY', null],
        ['DISABLED', expect.stringContaining('410 Gone')],
        ['HEALTHY', null],
        ['DISABLED', expect.stringContaining('410 Gone')],
      ]);
      expect(await historyOf(shop, id, '(first: 1)')).toEqual(history.slice(0, 1));
      const { webhook } = await shop.client.query<{ webhook: { healthHistory: { totalCount: object; pageInfo: { endCursor: string } } } }>(
        'query ($id: ID!) { webhook(id: $id) { healthHistory(first: 3) { totalCount { count isCapped } pageInfo { endCursor hasNextPage } } } }',
        { id },
      );
      expect(webhook.healthHistory.totalCount).toEqual({ count: 4, isCapped: false });
      expect(await historyOf(shop, id, `(after: "${webhook.healthHistory.pageInfo.endCursor}")`)).toEqual(history.slice(3));

      // What retention has removed is no longer resumed from; the sequence goes on.
      await mutated(admin, 'applicationUpdate', { id: shop.id, input: { retentionDays: 1 } });
      await withRows(databaseUrl, (_query, database) =>
        database.transaction((tx) => tx.execute('UPDATE webhook_updates SET created_at = 1 WHERE application_id = ?', [shop.id])),
      );
      await hub.stop();
      const { url } = await startAnother();
      const next = { ...shop, client: new Client(url, shop.key) };
      await until(async () => (await historyOf(next, id)).length === 0, { description: 'the updates to be removed' });
      const expired = next.client.subscribe<Data>(DOCUMENT, { after: encodeCursor('webhook', shop.id, 1) });
      await expect(expired.take(1)).rejects.toMatchObject({ codes: ['CURSOR_EXPIRED'] });
      await mutated(next.client, 'webhookPause', { id });
      const [update] = await take(next.client.subscribe<Data>(DOCUMENT, { after: encodeCursor('webhook', shop.id, 5) }), 1);
      expect(update).toMatchObject({ kind: 'PAUSED', cursor: encodeCursor('webhook', shop.id, 6) });
      await next.client.close();
    });
  });
});

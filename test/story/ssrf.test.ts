import { createSqliteDatabase } from '../support/databases';
import type { Client } from '../support/graphql-client';
import { withRows } from '../support/rows';
import { Tinyproxy } from '../support/tinyproxy';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

const CREATE = `mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id } userErrors { field code message } } }`;

interface Created {
  readonly webhookCreate: {
    readonly webhook: { readonly id: string } | null;
    readonly userErrors: readonly { readonly field: readonly string[]; readonly code: string; readonly message: string }[];
  };
}

const create = async (client: Client, url: string) => (await client.mutate<Created>(CREATE, { input: { url } })).webhookCreate;

async function lastAttempt(
  shop: TestApplication,
  webhookId: string,
): Promise<{ outcome: string; error: string; statusCode: number | null }> {
  return until(
    async () => {
      const { webhook } = await shop.client.query<{
        webhook: { deliveries: { nodes: { attempts: { nodes: { outcome: string; error: string; statusCode: number | null }[] } }[] } };
      }>('query ($id: ID!) { webhook(id: $id) { deliveries { nodes { attempts { nodes { outcome error statusCode } } } } } }', {
        id: webhookId,
      });
      return webhook.deliveries.nodes[0]?.attempts.nodes[0];
    },
    { description: `an attempt of ${webhookId}` },
  );
}

async function attemptsOf(shop: TestApplication, webhookId: string): Promise<{ attempts: unknown }> {
  const attempts = await shop.client.query(
    'query ($id: ID!) { webhook(id: $id) { deliveries { nodes { attempts { nodes { error curl requestHeaders { name value } responseHeaders { name value } } } } } } }',
    { id: webhookId },
  );
  return { attempts };
}

const NOTHING_ALLOWED = { environment: { LIVEHOOK_ALLOWED_TARGETS: '', LIVEHOOK_ALLOW_HTTP: 'false' } };

describe('Targets that webhooks must not reach', () => {
  test.each([
    'https://127.0.0.1/',
    'https://127.1/',
    'https://2130706433/',
    'https://0x7f.0.0.1/',
    'https://0177.0.0.1/',
    'https://127.0.0.1./',
    'https://①②⑦.⓪.⓪.①/',
    'https://0/',
    'https://10.0.0.8/',
    'https://172.31.255.255/',
    'https://192.168.1.1:8443/',
    'https://169.254.169.254/latest/meta-data/',
    'https://100.64.0.1/',
    'https://224.0.0.1/',
    'https://255.255.255.255/',
    'https://[::1]/',
    'https://[::]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:7f00:1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[2002:7f00:1::]/',
    'https://[fe80::1]/',
    'https://[fd00::1]/',
    'https://[ff02::1]/',
  ])('%s is refused when the webhook is made, and when one is changed to it', async (url) => {
    await withHub(
      createSqliteDatabase,
      async ({ application }) => {
        const shop = await application();
        expect(await create(shop.client, url)).toMatchObject({ webhook: null, userErrors: [{ field: ['url'], code: 'INVALID' }] });
        const { webhook } = await create(shop.client, 'https://example.com/hook');
        const { webhookUpdate } = await shop.client.mutate<{ webhookUpdate: { userErrors: unknown[] } }>(
          'mutation ($id: ID!, $url: String!) { webhookUpdate(id: $id, input: { url: $url }) { userErrors { field } } }',
          { id: webhook?.id, url },
        );
        expect(webhookUpdate.userErrors).toHaveLength(1);
      },
      NOTHING_ALLOWED,
    );
  });

  test.each(['http://example.com/', 'ftp://example.com/', 'file:///etc/passwd', 'https://user:secret@example.com/'])(
    '%s is refused for its form',
    async (url) => {
      await withHub(
        createSqliteDatabase,
        async ({ application }) => {
          const shop = await application();
          const { webhook, userErrors } = await create(shop.client, url);
          expect(webhook).toBeNull();
          expect(userErrors).toMatchObject([{ field: ['url'] }]);
          expect(JSON.stringify(userErrors)).not.toContain('secret');
        },
        NOTHING_ALLOWED,
      );
    },
  );

  test('a name that leads to a private address ends as one that leads nowhere, without a connection', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ application, receiver, databaseUrl }) => {
        const shop = await application();
        const url = receiver.url('/inside').replace('127.0.0.1', 'localhost');
        expect((await create(shop.client, url)).webhook).toBeNull();
        // Any other name may come to mean the same after it was accepted.
        const { id } = await shop.webhook('/inside', { url: 'http://example.com/', retrySchedule: [] });
        await withRows(databaseUrl, (_query, database) =>
          database.transaction(async (tx) => {
            await tx.execute('UPDATE webhooks SET url = ?, version = version + 1', [url]);
            await tx.execute('UPDATE counters SET version = version + 1');
          }),
        );
        await shop.publish();
        const attempt = await lastAttempt(shop, id);
        expect(attempt).toEqual({
          outcome: 'DNS',
          statusCode: null,
          error: 'cannot resolve localhost to a public address: check the name and its A and AAAA records',
        });
        expect(receiver.requests()).toEqual([]);
      },
      { environment: { LIVEHOOK_ALLOWED_TARGETS: '127.0.0.2/32' } },
    );
  });

  test('a redirect to a private address is not followed', async () => {
    await withHub(createSqliteDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/moved', { status: 307, headers: { location: receiver.url('/inside') } });
      const { id } = await shop.webhook('/moved', { retrySchedule: [] });
      await shop.publish();
      expect(await lastAttempt(shop, id)).toMatchObject({ outcome: 'REDIRECT', statusCode: 307 });
      expect(receiver.requests('/inside')).toEqual([]);
    });
  });

  test.each([
    ['https://example.com:22/', 'expected a port that webhooks may reach (allowed ports: 80,443,1024-65535), got 22'],
    ['https://203.0.113.9:465/', 'expected a port that webhooks may reach (allowed ports: 80,443,1024-65535), got 465'],
    ['https://93.184.216.34/', 'expected a public address, got 93.184.216.34 (denied)'],
    ['https://[::ffff:93.184.216.34]/', 'expected a public address, got ::ffff:5db8:d822 (denied)'],
    ['https://hooks.rival.example/', 'expected a host that webhooks may reach, got "hooks.rival.example" (denied)'],
  ])('%s is refused by the lists of the operator, when a webhook is made and when it is changed', async (url, message) => {
    await withHub(
      createSqliteDatabase,
      async ({ application }) => {
        const shop = await application();
        const refused = [{ field: ['url'], code: 'INVALID', message }];
        expect(await create(shop.client, url)).toEqual({ webhook: null, userErrors: refused });
        const { webhook } = await create(shop.client, 'https://example.com/hook');
        const { webhookUpdate } = await shop.client.mutate<{ webhookUpdate: { userErrors: unknown[] } }>(
          'mutation ($id: ID!, $url: String!) { webhookUpdate(id: $id, input: { url: $url }) { userErrors { field code message } } }',
          { id: webhook?.id, url },
        );
        expect(webhookUpdate.userErrors).toEqual(refused);
      },
      {
        environment: {
          LIVEHOOK_ALLOWED_TARGETS: '',
          LIVEHOOK_ALLOWED_PORTS: '80,443,1024-65535',
          LIVEHOOK_DENIED_TARGETS: '93.184.216.0/24, *.rival.example',
        },
      },
    );
  });

  test.each([
    ['a port that is not allowed', { LIVEHOOK_ALLOWED_PORTS: '443' }, /^webhooks may not reach port \d+ \(allowed ports: 443\)$/],
    ['a denied range within an allowed one', { LIVEHOOK_DENIED_TARGETS: '127.0.0.1/32' }, /^webhooks may not reach 127.0.0.1 \(denied\)$/],
  ])('%s is not connected to, although the webhook was saved before', async (_, environment, error) => {
    await withHub(
      createSqliteDatabase,
      async ({ application, receiver, databaseUrl }) => {
        const shop = await application();
        const { id } = await shop.webhook('/inside', { url: 'https://example.com/', retrySchedule: [] });
        await withRows(databaseUrl, (_query, database) =>
          database.transaction(async (tx) => {
            await tx.execute('UPDATE webhooks SET url = ?, version = version + 1', [receiver.url('/inside')]);
            await tx.execute('UPDATE counters SET version = version + 1');
          }),
        );
        await shop.publish();
        expect(await lastAttempt(shop, id)).toEqual({ outcome: 'BLOCKED_ADDRESS', statusCode: null, error: expect.stringMatching(error) });
        expect(receiver.requests()).toEqual([]);
      },
      { environment },
    );
  });

  test('a range that is allowed opens that range only', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ application }) => {
        const shop = await application();
        expect((await create(shop.client, 'http://127.0.0.2/')).webhook).not.toBeNull();
        expect((await create(shop.client, 'http://127.0.0.3/')).webhook).toBeNull();
        expect((await create(shop.client, 'http://[::ffff:127.0.0.2]/')).webhook).not.toBeNull();
      },
      { environment: { LIVEHOOK_ALLOWED_TARGETS: '127.0.0.2/32' } },
    );
  });
});

describe('An egress proxy', () => {
  test('carries deliveries, ordered ones, tests and verifications, and tells its password to nobody', async () => {
    const proxy = await Tinyproxy.start();
    try {
      await withHub(
        createSqliteDatabase,
        async ({ application, receiver }) => {
          const shop = await application();
          receiver.answer('/checked', ({ body }) => ({ body: JSON.stringify({ challenge: JSON.parse(String(body)).challenge }) }));
          await shop.webhook('/plain', { retrySchedule: [] });
          const { id } = await shop.webhook('/ordered', { ordering: 'STRICT', retrySchedule: [] });
          await shop.webhook('/checked', { verification: 'CHALLENGE', eventTypes: ['none'] });
          await shop.publish();
          await until(() => receiver.requests('/plain').length === 1 && receiver.requests('/ordered').length === 1, {
            description: 'both deliveries',
          });
          await shop.client.mutate(
            'mutation ($id: ID!) { webhookTest(id: $id, input: { eventType: "a.b", payload: 1 }) { attempt { outcome } } }',
            { id },
          );
          expect(receiver.requests('/ordered')).toHaveLength(2);
          expect(receiver.requests('/checked')).toHaveLength(1);
          const tunnels = await proxy.tunnels();
          expect(new Set(tunnels)).toEqual(new Set([new URL(receiver.url('/')).host]));
          for (const { headers } of receiver.requests()) expect(JSON.stringify(headers)).not.toContain('proxy');
          const { attempts } = await attemptsOf(shop, id);
          expect(JSON.stringify(attempts)).not.toMatch(/proxy|c2VjcmV0|secret/);
        },
        { environment: { LIVEHOOK_EGRESS_PROXY: proxy.url } },
      );
    } finally {
      await proxy.stop();
    }
  });

  test('that is down leaves deliveries to be tried again, with an error that names nothing of it', async () => {
    await withHub(
      createSqliteDatabase,
      async ({ application }) => {
        const shop = await application();
        const { id } = await shop.webhook('/hook', { retrySchedule: [] });
        await shop.publish();
        expect(await lastAttempt(shop, id)).toEqual({
          outcome: 'CONNECT',
          statusCode: null,
          error: "the hub's egress proxy cannot be reached: tell the operator of the hub",
        });
      },
      { environment: { LIVEHOOK_EGRESS_PROXY: 'http://hub:secret@127.0.0.1:1' } },
    );
  });
});

import { request } from 'node:http';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { describeEachDatabase } from '../support/databases';
import type { Client } from '../support/graphql-client';
import { mutate, mutated } from '../support/mutate';
import { withHub } from '../support/with-hub';

interface Key {
  readonly id: string;
  readonly name: string;
  readonly lastUsedAt: string | null;
  readonly allowedNetworks: string[] | null;
}

interface Made {
  readonly token: string;
  readonly apiKey: Key;
}

const create = (admin: Client, input: object) =>
  mutated<Made>(admin, 'apiKeyCreate', { input }, 'token apiKey { id name lastUsedAt allowedNetworks }');

async function keysOf(client: Client, args = ''): Promise<Key[]> {
  const { apiKeys } = await client.query<{ apiKeys: { nodes: Key[] } }>(
    `{ apiKeys${args} { nodes { id name lastUsedAt allowedNetworks } } }`,
  );
  return apiKeys.nodes;
}

/** Status and first code of an operation that comes over a given transport, as a proxy would pass it on. */
async function askFrom(url: string, key: string, headers: Record<string, string>, accept = 'application/json'): Promise<string> {
  const text = await new Promise<string>((resolve, reject) => {
    const all = { 'content-type': 'application/json', accept, authorization: `Bearer ${key}`, ...headers };
    const asking = request(`${url}/graphql`, { method: 'POST', headers: all }, async (response) => {
      let body = '';
      for await (const chunk of response) body += chunk;
      resolve(`${response.statusCode} ${body}`);
    });
    asking.on('error', reject);
    asking.end(JSON.stringify({ query: '{ viewer { apiKey { name } } }' }));
  });
  return `${text.slice(0, 3)} ${/"code":"(\w+)"/.exec(text)?.[1] ?? (text.includes('"name"') ? 'OK' : text)}`;
}

function askOverSocket(url: string, key: string, headers: Record<string, string>): Promise<string> {
  class FromProxy extends WebSocket {
    constructor(address: string, protocols: string[]) {
      super(address, protocols, { headers });
    }
  }
  const client = createClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: FromProxy,
    connectionParams: { authorization: `Bearer ${key}` },
    retryAttempts: 0,
  });
  return new Promise((resolve) => {
    client.subscribe(
      { query: '{ viewer { apiKey { name } } }' },
      {
        next: () => resolve('OK'),
        error: (error) => resolve(`${(error as { code?: number }).code} ${(error as { reason?: string }).reason}`),
        complete: () => {},
      },
    );
  }).finally(() => client.dispose()) as Promise<string>;
}

describeEachDatabase('Keys', (makeDatabase) => {
  test('that are bound to networks are refused from elsewhere, with the reason, over every transport', async () => {
    await withHub(
      makeDatabase,
      async ({ url, admin, application }) => {
        const shop = await application();
        const { token, apiKey } = await create(admin, { applicationId: shop.id, allowedNetworks: ['203.0.113.0/24', '2001:db8::/32'] });
        expect(apiKey.allowedNetworks).toEqual(['203.0.113.0/24', '2001:db8::/32']);
        const allowed = ['203.0.113.9', '::ffff:203.0.113.9', '2001:db8::1', '198.51.100.1, 203.0.113.9'];
        const refused = ['198.51.100.1', '203.0.113.9, 198.51.100.1', '2001:db9::1', 'nonsense', ''];
        for (const [addresses, http, socket] of [
          [allowed, '200 OK', /^OK$/],
          [refused, '403 FORBIDDEN', /^4403 The key may not be used from [\w.:]+\.$/],
        ] as const)
          for (const address of addresses) {
            const headers = { 'x-forwarded-for': address };
            expect([address, await askFrom(url, token, headers)]).toEqual([address, http]);
            expect([address, await askFrom(url, token, headers, 'text/event-stream')]).toEqual([address, http]);
            expect(await askOverSocket(url, token, headers)).toMatch(socket);
          }
        expect(await askFrom(url, shop.key, {})).toBe('200 OK');
      },
      { environment: { LIVEHOOK_TRUSTED_PROXIES: '127.0.0.0/8' } },
    );
  });

  test('of networks believe no X-Forwarded-For unless a proxy is trusted', async () => {
    await withHub(makeDatabase, async ({ url, admin }) => {
      const far = await create(admin, { allowedNetworks: ['203.0.113.0/24'] });
      const near = await create(admin, { allowedNetworks: ['127.0.0.0/8'] });
      expect(await askFrom(url, far.token, { 'x-forwarded-for': '203.0.113.9' })).toBe('403 FORBIDDEN');
      expect(await askFrom(url, near.token, { 'x-forwarded-for': '203.0.113.9' })).toBe('200 OK');
      for (const [networks, field, message] of [
        [['203.0.113.9'], ['allowedNetworks', '0'], 'without a prefix'],
        [['10.0.0.0/8', '10.1.2.3/8'], ['allowedNetworks', '1'], 'expected 10.0.0.0/8 or a longer prefix'],
        [['example.com/24'], ['allowedNetworks', '0'], 'expected a CIDR'],
        [[], ['allowedNetworks'], 'expected 1 to 100 CIDRs'],
      ] as const) {
        const { userErrors } = await mutate(admin, 'apiKeyCreate', { input: { allowedNetworks: networks } });
        expect(userErrors).toEqual([{ field, message: expect.stringContaining(message), code: 'INVALID' }]);
      }
    });
  });

  test('are listed with when they were last used, to the minute, to those who may see them', async () => {
    await withHub(makeDatabase, async ({ admin, application, client }) => {
      const [shop, other] = [await application(), await application('other')];
      const auditor = await create(admin, { applicationId: shop.id, name: 'auditor', scopes: ['AUDIT_READ'] });
      const idle = await create(admin, { applicationId: shop.id, name: 'idle' });
      await shop.client.query('{ viewer { admin } }');
      for (const keys of [await keysOf(admin, `(applicationId: "${shop.id}")`), await keysOf(client(auditor.token))]) {
        expect(keys.map(({ name }) => name).sort()).toEqual(['auditor', 'idle', 'test']);
        for (const { id, name, lastUsedAt } of keys) {
          if (id === idle.apiKey.id) expect(lastUsedAt).toBeNull();
          if (name === 'test') expect(lastUsedAt).toMatch(/:\d\d:00\.000Z$/);
        }
      }
      const second = await create(admin, { name: 'second admin' });
      const admins = await keysOf(client(second.token));
      expect(admins.map(({ name }) => name).sort()).toEqual(['LIVEHOOK_ADMIN_KEY', 'second admin']);
      expect(JSON.stringify(admins)).not.toContain(second.token.slice(0, 20));
      await mutated(admin, 'apiKeyRevoke', { id: second.apiKey.id });
      expect((await client(second.token).request('{ viewer { admin } }')).errors?.[0]?.extensions?.code).toBe('UNAUTHENTICATED');
      for (const [who, args] of [
        [shop.client, ''],
        [client(auditor.token), `(applicationId: "${other.id}")`],
      ] as const)
        expect((await who.request(`{ apiKeys${args} { nodes { id } } }`)).errors?.[0]?.extensions?.code).toBe('FORBIDDEN');
      const { apiKeys } = await admin.query<{ apiKeys: { nodes: Key[]; pageInfo: { endCursor: string; hasNextPage: boolean } } }>(
        `{ apiKeys(applicationId: "${shop.id}", first: 2) { nodes { id } pageInfo { endCursor hasNextPage } } }`,
      );
      expect(apiKeys.pageInfo.hasNextPage).toBe(true);
      expect(await keysOf(admin, `(applicationId: "${shop.id}", after: "${apiKeys.pageInfo.endCursor}")`)).toHaveLength(1);
    });
  });
});

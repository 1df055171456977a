import { type Client, createClient, fetchExchange, type OperationResult, subscriptionExchange } from '@urql/core';
import { createClient as createSocket } from 'graphql-ws';
import { WebSocket } from 'ws';
import { createSqliteDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { until } from '../support/until';
import { type Overrides, type TestApplication, type TestHub, withHub } from '../support/with-hub';

const EVENTS = 'subscription { event { sequence type } }';
const PUBLISH = 'mutation ($type: String!) { eventPublish(input: { type: $type, payload: {} }) { event { type } userErrors { code } } }';

function overHttp(url: string, key: string, options: { preferGetMethod?: boolean } = {}): Client {
  return createClient({
    url: `${url}/graphql`,
    exchanges: [fetchExchange],
    fetchOptions: { headers: { authorization: `Bearer ${key}` } },
    requestPolicy: 'network-only',
    fetchSubscriptions: true,
    ...options,
  });
}

function overWebSocket(url: string, key: string): Client {
  const socket = createSocket({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${key}` },
    retryAttempts: 0,
  });
  const forwardSubscription = ({ query = '', variables }: { query?: string; variables?: unknown }) => ({
    subscribe: (sink: Parameters<typeof socket.subscribe>[1]) => ({
      unsubscribe: socket.subscribe({ query, variables: variables as Record<string, unknown> }, sink),
    }),
  });
  return createClient({
    url: `${url}/graphql`,
    exchanges: [subscriptionExchange({ enableAllOperations: true, forwardSubscription: forwardSubscription as never })],
  });
}

type Work = (hub: TestHub, shop: TestApplication) => Promise<void>;

const withShop = (work: Work, overrides?: Overrides) =>
  withHub(createSqliteDatabase, async (hub) => work(hub, await hub.application()), overrides);

test('urql asks, publishes and is told what was wrong, by POST, by GET and over a WebSocket', async () => {
  await withShop(async ({ url }, { key }) => {
    for (const client of [overHttp(url, key), overHttp(url, key, { preferGetMethod: true }), overWebSocket(url, key)]) {
      expect((await client.query('query ($first: Int) { webhooks(first: $first) { nodes { id } } }', { first: 1 })).data).toEqual({
        webhooks: { nodes: [] },
      });
      const { data, error } = await client.mutation(PUBLISH, { type: 'order.created' });
      expect([data, error]).toEqual([{ eventPublish: { event: { type: 'order.created' }, userErrors: [] } }, undefined]);
      expect((await client.mutation(PUBLISH, { type: 'no type' })).data.eventPublish).toEqual({
        event: null,
        userErrors: [{ code: 'INVALID' }],
      });
      const wrong = await client.query('{ nothing }', {});
      expect(wrong.error?.graphQLErrors[0]?.extensions).toMatchObject({ code: 'GRAPHQL_VALIDATION_FAILED' });
      const forbidden = await client.query('{ applications { nodes { id } } }', {});
      expect(forbidden.error?.graphQLErrors[0]?.extensions).toMatchObject({ code: 'FORBIDDEN' });
    }
  });
});

test.each([
  ['server-sent events', overHttp],
  ['a WebSocket', overWebSocket],
])('urql subscribes over %s, and the hub sees it leave', async (_what, connect) => {
  await withShop(async ({ url, hub }, shop) => {
    const results: OperationResult[] = [];
    const { unsubscribe } = connect(url, shop.key)
      .subscription(EVENTS, {})
      .subscribe((result) => results.push(result));
    await until(() => hub.live.followers === 1, { description: 'the subscription to run' });
    for (const type of ['a.one', 'a.two']) await shop.publish({ type });
    await until(() => results.length === 2, { description: 'both events' });
    expect(results.map(({ data, error }) => [data, error])).toEqual([
      [{ event: { sequence: 1, type: 'a.one' } }, undefined],
      [{ event: { sequence: 2, type: 'a.two' } }, undefined],
    ]);
    unsubscribe();
    await until(() => hub.live.followers === 0, { description: 'the subscription to end' });
  });
});

test('urql is told what is wrong with a subscription over server-sent events', async () => {
  await withShop(async ({ url }, { key }) => {
    const results: OperationResult[] = [];
    overHttp(url, key)
      .subscription('subscription { nothing }', {})
      .subscribe((result) => results.push(result));
    await until(() => results.length > 0, { description: 'an answer' });
    expect(results[0]?.error?.graphQLErrors[0]?.extensions).toMatchObject({ code: 'GRAPHQL_VALIDATION_FAILED' });
  });
});

test('urql over its rate sees a 429, for queries, mutations and subscriptions', async () => {
  await withShop(
    async ({ url }, { key }) => {
      const client = overHttp(url, key);
      expect((await client.query('{ viewer { admin } }', {})).data).toEqual({ viewer: { admin: false } });
      const refused = [
        await client.query('query Again { viewer { admin } }', {}),
        await client.mutation(PUBLISH, { type: 'order.created' }),
        await new Promise<OperationResult>((resolve) => client.subscription(EVENTS, {}).subscribe(resolve)),
      ];
      for (const { data, error } of refused)
        expect([data, error?.response?.status, error?.graphQLErrors[0]?.extensions.code]).toEqual([undefined, 429, 'RATE_LIMITED']);
    },
    { environment: { LIVEHOOK_REQUESTS_PER_SECOND: '1' }, clock: new FakeClock() },
  );
});

import { createHash } from 'node:crypto';
import { ALL_SCOPES, DEFAULT_SCOPES, type Scope } from '../../src/applications/api-key';
import { HOUR, systemClock } from '../../src/clock';
import { encodeCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import { type Client, GraphqlFailure, type Subscription } from '../support/graphql-client';
import { mutate, mutated } from '../support/mutate';
import type { Answer } from '../support/receiver';
import { dumpOf } from '../support/rows';
import { until } from '../support/until';
import { ADMIN_KEY, type TestApplication, type TestHub, withHub } from '../support/with-hub';

interface ApplicationFields {
  readonly id: string;
  readonly key: string | null;
  readonly name: string;
  readonly metadata: unknown;
}

const APPLICATION = 'application { id key name metadata }';

async function createApplication(admin: Client, input: object): Promise<ApplicationFields> {
  return (await mutated<{ application: ApplicationFields }>(admin, 'applicationCreate', { input }, APPLICATION)).application;
}

async function createKey(admin: Client, input: object): Promise<{ id: string; token: string }> {
  const { apiKey, token } = await mutated<{ apiKey: { id: string }; token: string }>(
    admin,
    'apiKeyCreate',
    { input },
    'apiKey { id } token',
  );
  return { id: apiKey.id, token };
}

async function codesOf(client: Client, query: string, variables = {}): Promise<unknown[]> {
  const { errors = [] } = await client.request(query, variables);
  return errors.map((error) => error.extensions?.code);
}

/** How a stream ended: `completed`, a close code, or the codes of its errors. */
async function endOf<Data>(stream: Subscription<Data>): Promise<unknown> {
  try {
    for (;;) {
      const { done, value } = await stream.next();
      if (done) return 'completed';
      if (value.errors) return value.errors.map((error) => error.extensions?.code);
    }
  } catch (error) {
    if (error instanceof GraphqlFailure) return error.closeCode ?? error.codes;
    throw error;
  }
}

describeEachDatabase('Applications', (makeDatabase) => {
  test('are created, found by id and by key, and changed: omitted stays, null clears', async () => {
    await withHub(makeDatabase, async ({ admin }) => {
      const metadata = { plan: 'gold', seats: [1, 2], note: null };
      const made = await createApplication(admin, { key: 'customer-7', name: 'Shöp 🛒', metadata });
      expect(made).toEqual({ id: expect.stringMatching(/^app_[0-9a-v]{12}$/), key: 'customer-7', name: 'Shöp 🛒', metadata });
      const byEither = await admin.query(
        'query ($id: ID!) { byId: application(id: $id) { id key name metadata } byKey: application(key: "customer-7") { id } unknown: application(key: "Customer-7") { id } }',
        { id: made.id },
      );
      expect(byEither).toEqual({ byId: made, byKey: { id: made.id }, unknown: null });

      const update = async (input: object) =>
        (await mutated<{ application: ApplicationFields }>(admin, 'applicationUpdate', { id: made.id, input }, APPLICATION)).application;
      expect(await update({})).toEqual(made);
      expect(await update({ name: 'Store' })).toEqual({ ...made, name: 'Store' });
      expect(await update({ key: null })).toEqual({ ...made, name: 'Store', key: null });
      expect(await update({ metadata: null })).toEqual({ ...made, name: 'Store', key: null, metadata: null });
      for (const value of [0, false, '', [], {}, 'text'])
        expect(await update({ metadata: value })).toEqual({ ...made, name: 'Store', key: null, metadata: value });
      const { application } = await admin.query('query ($id: ID!) { application(id: $id) { id key name metadata } }', { id: made.id });
      expect(application).toEqual({ ...made, name: 'Store', key: null, metadata: 'text' });
    });
  });

  test('have unique keys, even when two are created at once', async () => {
    await withHub(makeDatabase, async ({ admin }) => {
      const twice = await Promise.all(
        ['one', 'two'].map((name) =>
          mutate<{ application: object | null }>(admin, 'applicationCreate', { input: { name, key: 'same' } }, APPLICATION),
        ),
      );
      const [lost, ...others] = twice.filter(({ application }) => application === null);
      expect(others).toEqual([]);
      expect(lost?.userErrors).toEqual([{ field: ['key'], message: '"same" is the key of another application', code: 'TAKEN' }]);

      const other = await createApplication(admin, { name: 'three', key: 'other' });
      const { userErrors } = await mutate(admin, 'applicationUpdate', { id: other.id, input: { key: 'same' } });
      expect(userErrors).toEqual([expect.objectContaining({ field: ['key'], code: 'TAKEN' })]);
      // Keys are compared letter by letter.
      expect(await createApplication(admin, { name: 'four', key: 'Same' })).toMatchObject({ key: 'Same' });
    });
  });

  test('end for good when they are deleted: keys, deliveries, and all that was shown', async () => {
    await withHub(makeDatabase, async ({ admin, application, client, receiver, databaseUrl }) => {
      const { application: made } = await mutated<{ application: ApplicationFields }>(
        admin,
        'applicationCreate',
        { input: { name: 'doomed', key: 'doomed' } },
        APPLICATION,
      );
      const survivor = await application('survivor');
      await survivor.webhook('/survivor');
      const { token, id: keyId } = await createKey(admin, { applicationId: made.id });
      let release: (answer: Answer) => void = () => {};
      const released = new Promise<Answer>((resolve) => {
        release = resolve;
      });
      receiver.answer('/doomed', () => released);
      const { webhook } = await mutated<{ webhook: { id: string } }>(
        admin,
        'webhookCreate',
        { input: { applicationId: made.id, url: receiver.url('/doomed'), maxConcurrency: 1 } },
        'webhook { id }',
      );
      const publish = (payload: object) =>
        mutate<{ event: { id: string } }>(
          admin,
          'eventPublish',
          { input: { applicationId: made.id, type: 'a.b', payload } },
          'event { id }',
        );
      const { event } = await publish({ no: 1 });
      await receiver.waitFor(1, '/doomed');
      await publish({ no: 2 }); // waits in the queue behind the first, which hangs
      const { deliveries } = await admin.query<{ deliveries: { nodes: { id: string }[] } }>(
        'query ($id: ID!) { deliveries(applicationId: $id) { nodes { id } } }',
        { id: made.id },
      );
      expect(deliveries.nodes).toHaveLength(2);

      const deleted = await mutate(admin, 'applicationDelete', { id: made.id }, 'deletedId application { id name }');
      expect(deleted).toEqual({ deletedId: made.id, application: { id: made.id, name: 'doomed' }, userErrors: [] });

      expect(await codesOf(admin, 'query ($id: ID!) { application(id: $id) { id } }', { id: made.id })).toEqual([]);
      const shown = await admin.query(
        `query ($id: ID!, $webhook: ID!, $event: ID!, $delivery: ID!, $key: ID!) {
          application(id: $id) { id } byKey: application(key: "doomed") { id }
          webhooks(applicationId: $id) { nodes { id } } events(applicationId: $id) { nodes { id } } deliveries(applicationId: $id) { nodes { id } }
          webhook(id: $webhook) { id } event(id: $event) { id } delivery(id: $delivery) { id }
          n1: node(id: $id) { id } n2: node(id: $webhook) { id } n3: node(id: $event) { id } n4: node(id: $delivery) { id } n5: node(id: $key) { id }
        }`,
        { id: made.id, webhook: webhook.id, event: event.id, delivery: deliveries.nodes[0]?.id, key: keyId },
      );
      const none = { nodes: [] };
      expect(shown).toEqual({
        ...{ application: null, byKey: null, webhooks: none, events: none, deliveries: none, webhook: null, event: null, delivery: null },
        ...{ n1: null, n2: null, n3: null, n4: null, n5: null },
      });
      const { applications } = await admin.query<{ applications: { nodes: { name: string }[] } }>('{ applications { nodes { name } } }');
      expect(applications.nodes).toEqual([{ name: 'survivor' }]);
      for (const [mutation, variables] of [
        ['applicationUpdate', { id: made.id, input: { name: 'back' } }],
        ['applicationDelete', { id: made.id }],
        ['webhookResume', { id: webhook.id }],
        ['deliveryRetry', { id: deliveries.nodes[0]?.id ?? '' }],
        ['webhookCreate', { input: { applicationId: made.id, url: receiver.url('/doomed') } }],
        ['apiKeyCreate', { input: { applicationId: made.id } }],
        ['eventPublish', { input: { applicationId: made.id, type: 'a.b', payload: 1 } }],
        ['eventsPublish', { input: { applicationId: made.id, events: [{ type: 'a.b', payload: 1 }] } }],
      ] as const) {
        const { userErrors } = await mutate(admin, mutation, variables);
        expect([mutation, userErrors]).toEqual([mutation, [expect.objectContaining({ code: 'NOT_FOUND' })]]);
      }
      expect(await codesOf(client(token), '{ viewer { admin } }')).toEqual(['UNAUTHENTICATED']);

      // Its key is free again; a neighbour's event, published later, arrives, while what was queued for it never does.
      expect(await createApplication(admin, { name: 'reborn', key: 'doomed' })).toMatchObject({ key: 'doomed' });
      release({ status: 503 });
      await survivor.publish();
      await receiver.waitFor(1, '/survivor');
      await until(async () => !(await dumpOf(databaseUrl)).includes(made.id), { description: 'the rows of the application to be removed' });
      expect(receiver.requests('/doomed')).toHaveLength(1);
    });
  });
});

describeEachDatabase('API keys', (makeDatabase) => {
  test('show their token once; nothing but its hash is kept', async () => {
    await withHub(makeDatabase, async ({ admin, application, client, databaseUrl }) => {
      const shop = await application();
      const { apiKey, token } = await mutated<{ apiKey: object; token: string }>(
        admin,
        'apiKeyCreate',
        { input: { applicationId: shop.id, name: 'till' } },
        'token apiKey { id applicationId name hint scopes createdAt expiresAt revokedAt }',
      );
      expect(token).toMatch(/^lhk_[\w-]{43}$/);
      const shown = {
        id: expect.stringMatching(/^key_/),
        applicationId: shop.id,
        name: 'till',
        hint: token.slice(-4),
        scopes: DEFAULT_SCOPES,
        createdAt: expect.any(String),
        expiresAt: null,
        revokedAt: null,
      };
      expect(apiKey).toEqual(shown);
      const own = client(token);
      const { viewer } = await own.query<{ viewer: object }>(
        '{ viewer { admin application { id } apiKey { id applicationId name hint scopes createdAt expiresAt revokedAt } } }',
      );
      expect(viewer).toEqual({ admin: false, application: { id: shop.id }, apiKey: shown });
      expect(await admin.query('{ viewer { admin application { id } apiKey { applicationId } } }')).toEqual({
        viewer: { admin: true, application: null, apiKey: { applicationId: null } },
      });

      const dump = await dumpOf(databaseUrl);
      expect(dump).toContain(createHash('sha256').update(token).digest('hex'));
      expect(dump).not.toContain(token);
      expect(dump).not.toContain(token.slice(4));
      expect(dump).not.toContain(ADMIN_KEY);
    });
  });

  test('permit what their scopes say and nothing else, below other things too', async () => {
    await withHub(makeDatabase, async ({ admin, application, client, receiver }) => {
      const shop = await application();
      receiver.answer('/hook', { status: 500 });
      const webhook = await shop.webhook('/hook', { retrySchedule: [3600] });
      const event = await shop.publish();
      await receiver.waitFor(1, '/hook');
      const { deliveries } = await shop.client.query<{ deliveries: { nodes: { id: string }[] } }>('{ deliveries { nodes { id } } }');
      const delivery = { id: deliveries.nodes[0]?.id ?? '' };

      const url = receiver.url('/other');
      const needs: readonly (readonly [`${Scope}`, string, string])[] = [
        ['EVENTS_PUBLISH', 'mutation', 'eventPublish(input: { type: "a.b", payload: 1 }) { userErrors { code } }'],
        ['EVENTS_PUBLISH', 'mutation', 'eventsPublish(input: { events: [{ type: "a.b", payload: 1 }] }) { userErrors { code } }'],
        ['EVENTS_READ', 'query', 'events { nodes { id } }'],
        ['EVENTS_READ', 'query', `event(id: "${event.id}") { id }`],
        ['EVENTS_READ', 'query', `node(id: "${event.id}") { id }`],
        ['WEBHOOKS_WRITE', 'mutation', `webhookCreate(input: { url: "${url}", eventTypes: ["none"] }) { userErrors { code } }`],
        ['WEBHOOKS_WRITE', 'mutation', `webhookUpdate(id: "${webhook.id}", input: {}) { userErrors { code } }`],
        ['WEBHOOKS_WRITE', 'mutation', `webhookPause(id: "${webhook.id}") { userErrors { code } }`],
        ['WEBHOOKS_WRITE', 'mutation', `webhookResume(id: "${webhook.id}") { userErrors { code } }`],
        ['WEBHOOKS_READ', 'query', 'webhooks { nodes { id } }'],
        ['WEBHOOKS_READ', 'query', `webhook(id: "${webhook.id}") { id }`],
        ['WEBHOOKS_READ', 'query', `node(id: "${webhook.id}") { id }`],
        ['DELIVERIES_READ', 'query', 'deliveries { nodes { id } }'],
        ['DELIVERIES_READ', 'query', `delivery(id: "${delivery.id}") { id }`],
        ['DELIVERIES_READ', 'query', `node(id: "${delivery.id}") { id }`],
        ['DELIVERIES_WRITE', 'mutation', `deliveryRetry(id: "${delivery.id}") { userErrors { code } }`],
        ['DELIVERIES_WRITE', 'mutation', `deliveryCancel(id: "${delivery.id}") { userErrors { code } }`],
        ['WEBHOOKS_WRITE', 'mutation', `webhookDelete(id: "${webhook.id}") { userErrors { code } }`],
      ];
      for (const [scope, kind, field] of needs) {
        const all = await createKey(admin, { applicationId: shop.id, scopes: ALL_SCOPES.filter((one) => one !== scope) });
        expect([field, await codesOf(client(all.token), `${kind} { ${field} }`)]).toEqual([field, ['FORBIDDEN']]);
        const only = await createKey(admin, { applicationId: shop.id, scopes: [scope] });
        expect([field, await codesOf(client(only.token), `${kind} { ${field} }`)]).toEqual([field, []]);
      }

      const steps: readonly (readonly [`${Scope}`, `${Scope}`, string])[] = [
        ['EVENTS_READ', 'DELIVERIES_READ', `event(id: "${event.id}") { deliveries { nodes { id } } }`],
        ['EVENTS_READ', 'PAYLOADS_READ', `event(id: "${event.id}") { payload }`],
      ];
      for (const [scope, other, field] of steps) {
        const one = await createKey(admin, { applicationId: shop.id, scopes: [scope] });
        expect([field, await codesOf(client(one.token), `{ ${field} }`)]).toEqual([field, ['FORBIDDEN']]);
        const both = await createKey(admin, { applicationId: shop.id, scopes: [scope, other] });
        expect([field, await codesOf(client(both.token), `{ ${field} }`)]).toEqual([field, []]);
      }

      for (const [scope, subscription] of [
        ['EVENTS_READ', 'subscription { event { id } }'],
        ['DELIVERIES_READ', 'subscription { deliveryUpdates { cursor } }'],
      ] as const) {
        const without = await createKey(admin, { applicationId: shop.id, scopes: ALL_SCOPES.filter((one) => one !== scope) });
        for (const stream of [client(without.token).subscribe(subscription), client(without.token).subscribeSse(subscription)])
          expect(await endOf(stream)).toEqual(['FORBIDDEN']);
      }

      // Tenants and keys are for admins, whatever an application's key may do.
      for (const field of [
        'query { applications { nodes { id } } }',
        'mutation { applicationCreate(input: { name: "x" }) { userErrors { code } } }',
        `mutation { applicationUpdate(id: "${shop.id}", input: { name: "x" }) { userErrors { code } } }`,
        `mutation { applicationDelete(id: "${shop.id}") { userErrors { code } } }`,
        `mutation { apiKeyCreate(input: { applicationId: "${shop.id}" }) { userErrors { code } } }`,
        'mutation { apiKeyRevoke(id: "key_000000000000") { userErrors { code } } }',
      ])
        expect([field, await codesOf(shop.client, field)]).toEqual([field, ['FORBIDDEN']]);
    });
  });

  test('end when they expire, and the streams they opened with them', async () => {
    let shiftMs = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + shiftMs };
    const work = async ({ admin, application, client }: TestHub) => {
      const shop = await application();
      const { token } = await createKey(admin, { applicationId: shop.id, expiresAt: new Date(Date.now() + HOUR) });
      const guest = client(token);
      expect(await codesOf(guest, '{ viewer { admin } }')).toEqual([]);
      const [socket, sse] = await openStreams(guest, shop);
      shiftMs = HOUR + 1;
      expect(await codesOf(guest, '{ viewer { admin } }')).toEqual(['UNAUTHENTICATED']);
      expect(await endOf(socket)).toBe(4401);
      expect(await endOf(sse)).toEqual(['UNAUTHENTICATED']);
    };
    await withHub(makeDatabase, work, { clock });
  });

  test('end at once when they are revoked, and the streams they opened with them', async () => {
    await withHub(makeDatabase, async ({ admin, application, client }) => {
      const shop = await application();
      const { id, token } = await createKey(admin, { applicationId: shop.id });
      const guest = client(token);
      const [socket, sse] = await openStreams(guest, shop);
      const [ownSocket] = await openStreams(shop.client, shop);

      const { apiKey } = await mutated<{ apiKey: { revokedAt: string } }>(admin, 'apiKeyRevoke', { id }, 'apiKey { id revokedAt }');
      expect(Date.parse(apiKey.revokedAt)).not.toBeNaN();
      expect(await codesOf(guest, '{ viewer { admin } }')).toEqual(['UNAUTHENTICATED']);
      expect(await endOf(socket)).toBe(4401);
      expect(await endOf(sse)).toEqual(['UNAUTHENTICATED']);
      await expect(client(token).subscribe('subscription { event { id } }').take(1)).rejects.toMatchObject({ closeCode: 4401 });

      // Revoking again changes nothing, and the other key's stream goes on.
      const again = await mutated(admin, 'apiKeyRevoke', { id }, 'apiKey { id revokedAt }');
      expect(again).toMatchObject({ apiKey });
      const { id: eventId } = await shop.publish();
      expect(await ownSocket.take(1)).toEqual([{ event: { id: eventId } }]);
    });
  });
});

/** A WebSocket and an event stream that have both delivered an event. */
async function openStreams(
  client: Client,
  { id, publish }: TestApplication,
): Promise<readonly [Subscription<object>, Subscription<object>]> {
  const first = await publish();
  const document = 'subscription ($after: String!) { event(after: $after) { id } }';
  const variables = { after: encodeCursor('event', id, first.sequence - 1) };
  const streams = [client.subscribe<object>(document, variables), client.subscribeSse<object>(document, variables)] as const;
  for (const stream of streams) expect(await stream.take(1)).toEqual([{ event: { id: first.id } }]);
  return streams;
}

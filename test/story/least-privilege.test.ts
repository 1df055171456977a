import { encodeCursor } from '../../src/cursor';
import { Events } from '../../src/events/events';
import { describeEachDatabase } from '../support/databases';
import type { Client } from '../support/graphql-client';
import { mutated } from '../support/mutate';
import { askOver, codesOf, TRANSPORTS } from '../support/transports';
import { until } from '../support/until';
import { type TestApplication, type TestHub, withHub } from '../support/with-hub';

const SECRET = 'the customer of this order';
const HEADER = 'Bearer 0123456789-header-secret-9876';
const ANSWER = 'what the receiver answered';
const SECRETS = [SECRET, HEADER, ANSWER, 'header-secret'];

/** An event with a delivery that failed once, its webhook with a header of its own, and what tests of it left. */
interface Stored {
  readonly webhookId: string;
  readonly eventId: string;
  readonly deliveryId: string;
  readonly after: string;
  readonly afterUpdate: string;
}

async function store({ receiver }: TestHub, shop: TestApplication): Promise<Stored> {
  receiver.answer('/hook', { status: 500, body: ANSWER });
  const { id: webhookId } = await shop.webhook('/hook', {
    retrySchedule: [3600],
    headers: [{ name: 'authorization', value: HEADER }],
    payloadQuery: 'subscription { event { customer: get(path: "customer") } }',
  });
  const event = await shop.publish({ payload: { customer: SECRET, no: 42 }, idempotencyKey: 'order 42' });
  await mutated(shop.client, 'webhookTest', { id: webhookId, input: { eventType: 'a.b', payload: { customer: SECRET } } });
  const deliveryId = await until(
    async () => {
      const { deliveries } = await shop.client.query<{ deliveries: { nodes: { id: string; attemptCount: number }[] } }>(
        '{ deliveries { nodes { id attemptCount } } }',
      );
      return deliveries.nodes.find(({ attemptCount }) => attemptCount === 1)?.id;
    },
    { description: 'the first attempt' },
  );
  return {
    webhookId,
    eventId: event.id,
    deliveryId,
    after: encodeCursor('event', shop.id, event.sequence - 1),
    afterUpdate: encodeCursor('update', shop.id, 0),
  };
}

async function keyWith({ admin, client }: TestHub, shop: TestApplication, scopes: readonly string[]): Promise<Client> {
  const input = { applicationId: shop.id, scopes };
  return client((await mutated<{ token: string }>(admin, 'apiKeyCreate', { input }, 'token')).token);
}

const ATTEMPT = 'id requestHeaders { name value } responseHeaders { value } responseBody curl error';
const DELIVERY = `id eventId eventType sequence webhookId status event { id payload get(path: "customer") } webhook { id url headers { value } } requestBody
  attempts { nodes { ${ATTEMPT} } }`;
const WEBHOOK = `id url headers { name value } payloadQuery filter tests { nodes { ${ATTEMPT} } } deliveries { nodes { ${DELIVERY} } }`;
const EVENT = `id type payload get(path: "customer") idempotencyKey deliveries { nodes { ${DELIVERY} } }`;

/** Whatever a key could try in order to read what it may not. */
function attacks({ webhookId, eventId, deliveryId, after, afterUpdate }: Stored): readonly string[] {
  return [
    `query { event(id: "${eventId}") { ${EVENT} } }`,
    `query { event(id: "${eventId}") { id get(path: "customer") } }`,
    `query { events { nodes { ${EVENT} } } }`,
    `query { events { nodes { id get(path: "customer") } } }`,
    `query { node(id: "${eventId}") { ... on Event { id get(path: "customer") } } }`,
    `query { delivery(id: "${deliveryId}") { ${DELIVERY} } }`,
    `query { deliveries { nodes { id requestBody attempts { nodes { ${ATTEMPT} } } } } }`,
    `query { webhook(id: "${webhookId}") { ${WEBHOOK} } }`,
    `query { webhooks { nodes { id headers { name value } tests { nodes { ${ATTEMPT} } } } } }`,
    `query { payloadPreview(payloadQuery: "subscription { event { payload } }", eventId: "${eventId}") { body errors } }`,
    `mutation { eventPublish(input: { type: "a.b", payload: 1, idempotencyKey: "order 42" }) { event { ${EVENT} } deduplicated } }`,
    `mutation { eventsPublish(input: { events: [{ type: "a.b", payload: 1, idempotencyKey: "order 42" }] }) { results { event { ${EVENT} } } } }`,
    `mutation { webhookUpdate(id: "${webhookId}", input: {}) { webhook { ${WEBHOOK} } userErrors { code } } }`,
    `mutation { webhookPause(id: "${webhookId}") { webhook { ${WEBHOOK} } } }`,
    `mutation { webhookResume(id: "${webhookId}") { webhook { ${WEBHOOK} } } }`,
    `mutation { webhookTest(id: "${webhookId}", input: { eventType: "a.b", payload: 1 }) { attempt { ${ATTEMPT} } } }`,
    `mutation { deliveryRetry(id: "${deliveryId}") { delivery { ${DELIVERY} } } }`,
    `subscription { event(after: "${after}") { ${EVENT} } }`,
    `subscription { event(after: "${after}") { id get(path: "customer") } }`,
    `subscription { deliveryUpdates(after: "${afterUpdate}") { updates { delivery { ${DELIVERY} } attempt { ${ATTEMPT} } } } }`,
    `subscription { deliveryUpdates(after: "${afterUpdate}") { updates { delivery { id requestBody } attempt { id responseBody curl requestHeaders { value } } } } }`,
  ];
}

const SINGLE_SCOPES = ['EVENTS_PUBLISH', 'EVENTS_READ', 'WEBHOOKS_WRITE', 'WEBHOOKS_READ', 'DELIVERIES_WRITE', 'DELIVERIES_READ'];

describeEachDatabase('A key without PAYLOADS_READ', (makeDatabase) => {
  test('reads no payload, no body and no header value, by whatever field, mutation or stream', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const stored = await store(hub, shop);
      for (const scopes of [...SINGLE_SCOPES.map((scope) => [scope]), SINGLE_SCOPES]) {
        const guest = await keyWith(hub, shop, scopes);
        for (const transport of TRANSPORTS)
          for (const document of attacks(stored)) {
            if (document.startsWith('subscription') && transport === 'HTTP') continue;
            const answer = JSON.stringify(await askOver(transport, guest, document));
            expect({ scopes, transport, document, leaks: SECRETS.filter((secret) => answer.includes(secret)), answer }).toMatchObject({
              leaks: [],
            });
          }
      }
    });
  });

  test('gets null where there may be null, and FORBIDDEN where there may not', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const { eventId, deliveryId } = await store(hub, shop);
      const guest = await keyWith(hub, shop, SINGLE_SCOPES);
      expect(
        await guest.query(
          `{ event(id: "${eventId}") { id type get(path: "customer") } delivery(id: "${deliveryId}") { requestBody attempts { nodes { statusCode responseBody curl } } } }`,
        ),
      ).toEqual({
        event: { id: eventId, type: 'order.created', get: null },
        delivery: {
          requestBody: null,
          attempts: { nodes: [{ statusCode: 500, responseBody: null, curl: expect.not.stringContaining('--data') }] },
        },
      });
      const refused = await guest.request(`{ event(id: "${eventId}") { id payload } }`);
      expect(refused).toMatchObject({
        data: { event: null },
        errors: [{ message: 'The key lacks the scope PAYLOADS_READ.', path: ['event', 'payload'], extensions: { code: 'FORBIDDEN' } }],
      });
    });
  });

  test('is not shown by a command what other scopes are for: the path of a URL, or with PAYLOADS_READ only that', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const { deliveryId } = await store(hub, shop);
      const document = `{ delivery(id: "${deliveryId}") { attempts { nodes { curl } } } }`;
      interface Found {
        readonly delivery: { readonly attempts: { readonly nodes: readonly { readonly curl: string }[] } };
      }
      const curlWith = async (...more: string[]) => {
        const found = await (await keyWith(hub, shop, ['DELIVERIES_READ', ...more])).query<Found>(document);
        return found.delivery.attempts.nodes[0]?.curl;
      };
      const { origin, href } = new URL(hub.receiver.url('/hook'));
      expect(await curlWith()).toContain(`-X POST '${origin}/…'`);
      expect(await curlWith('PAYLOADS_READ')).toMatch(new RegExp(`-X POST '${origin}/…'[^]*${SECRET}`));
      expect(await curlWith('WEBHOOKS_READ')).toContain(`-X POST '${href}'`);
    });
  });

  test('cannot ask by a filter what is in a payload', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const { after, eventId } = await store(hub, shop);
      const guest = await keyWith(hub, shop, SINGLE_SCOPES);
      const document = `subscription ($filter: JSON) { event(after: "${after}", filter: $filter) { id } }`;
      for (const transport of ['SSE', 'WebSocket'] as const) {
        const asked = await askOver(transport, guest, document, { filter: { 'payload.customer': { $startsWith: 'the' } } });
        expect(codesOf(asked)).toEqual(['FORBIDDEN']);
        expect(await askOver(transport, guest, document)).toEqual({ data: { event: { id: eventId } } });
      }
    });
  });
});

describeEachDatabase('A mutation answers what its key may read', (makeDatabase) => {
  test('and does what it was asked for all the same', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const { webhookId, eventId } = await store(hub, shop);
      const publisher = await keyWith(hub, shop, ['EVENTS_PUBLISH']);
      const repeat = (selection: string) =>
        publisher.request(
          `mutation { eventPublish(input: { type: "a.b", payload: 1, idempotencyKey: "order 42" }) { event { ${selection} } deduplicated userErrors { code } } }`,
        );
      expect(await repeat('id sequence cursor')).toMatchObject({ data: { eventPublish: { event: { id: eventId }, deduplicated: true } } });
      expect(await repeat('id type')).toMatchObject({
        data: { eventPublish: { event: null, deduplicated: true, userErrors: [] } },
        errors: [{ path: ['eventPublish', 'event', 'type'], extensions: { code: 'FORBIDDEN' } }],
      });

      const manager = await keyWith(hub, shop, ['WEBHOOKS_WRITE']);
      const change = (selection: string) =>
        manager.request(
          `mutation { webhookUpdate(id: "${webhookId}", input: { description: "changed" }) { webhook { ${selection} } userErrors { code } } }`,
        );
      expect(await change('id')).toMatchObject({ data: { webhookUpdate: { webhook: { id: webhookId }, userErrors: [] } } });
      expect(await change('id url')).toMatchObject({
        data: { webhookUpdate: { webhook: null, userErrors: [] } },
        errors: [{ path: ['webhookUpdate', 'webhook', 'url'], extensions: { code: 'FORBIDDEN' } }],
      });
      expect(await shop.client.query(`{ webhook(id: "${webhookId}") { description version } }`)).toEqual({
        webhook: { description: 'changed', version: 3 },
      });
    });
  });

  test('erases a payload with EVENTS_REDACT and not with EVENTS_PUBLISH', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const { eventId } = await store(hub, shop);
      const document = `mutation { eventRedact(id: "${eventId}") { event { id } userErrors { code } } }`;
      for (const transport of TRANSPORTS)
        expect(codesOf(await askOver(transport, await keyWith(hub, shop, ['EVENTS_PUBLISH']), document))).toEqual(['FORBIDDEN']);
      expect(await askOver('HTTP', await keyWith(hub, shop, ['EVENTS_REDACT']), document)).toEqual({
        data: { eventRedact: { event: { id: eventId }, userErrors: [] } },
      });
    });
  });

  test('with a delivery, whose event and webhook are null for who may not see them', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const { webhookId, eventId } = await store(hub, shop);
      const document = '{ deliveries { nodes { eventId eventType sequence webhookId event { id } webhook { id } } } }';
      const ids = { eventId, eventType: 'order.created', sequence: 1, webhookId };
      const reader = await keyWith(hub, shop, ['DELIVERIES_READ']);
      expect(await reader.query(document)).toEqual({ deliveries: { nodes: [{ ...ids, event: null, webhook: null }] } });
      expect(await shop.client.query(document)).toEqual({
        deliveries: { nodes: [{ ...ids, event: { id: eventId }, webhook: { id: webhookId } }] },
      });
    });
  });
});

describeEachDatabase('An application', (makeDatabase) => {
  test('shows its name to all of its keys, what its operator noted to those with EVENTS_READ, its keys to none but themselves', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application('shop');
      await mutated(hub.admin, 'applicationUpdate', { id: shop.id, input: { key: 'customer 7', metadata: { plan: 'gold' } } });
      const document = '{ application { name key metadata } viewer { application { name key metadata } } }';
      const hidden = { name: 'shop', key: null, metadata: null };
      const shown = { name: 'shop', key: 'customer 7', metadata: { plan: 'gold' } };
      const guest = await keyWith(hub, shop, ['WEBHOOKS_READ']);
      expect(await guest.query(document)).toEqual({ application: hidden, viewer: { application: hidden } });
      const reader = await keyWith(hub, shop, ['EVENTS_READ']);
      expect(await reader.query(document)).toEqual({ application: shown, viewer: { application: shown } });

      const { viewer } = await reader.query<{ viewer: { apiKey: { id: string } } }>('{ viewer { apiKey { id } } }');
      const look = `{ node(id: "${viewer.apiKey.id}") { ... on ApiKey { id name scopes } } }`;
      expect(await guest.query(look)).toEqual({ node: null });
      for (const own of [reader, hub.admin]) expect(await own.query(look)).toMatchObject({ node: { id: viewer.apiKey.id } });
    });
  });
});

describeEachDatabase('A key that reads deliveries alone', (makeDatabase) => {
  test('lists and watches them with the ids of what it may not see, which is null', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      const { id: webhookId } = await shop.webhook('/hook');
      const events = [await shop.publish({ type: 'order.created' }), await shop.publish({ type: 'order.paid' })];
      const guest = await keyWith(hub, shop, ['DELIVERIES_READ']);
      const fields = 'eventId eventType sequence webhookId event { id } webhook { id }';
      const expected = events.map(({ id, sequence }, index) => ({
        eventId: id,
        eventType: index === 0 ? 'order.created' : 'order.paid',
        sequence,
        webhookId,
        event: null,
        webhook: null,
      }));
      const ids = jest.spyOn(Events.prototype, 'idsBySequences');
      expect(await guest.query(`{ deliveries { nodes { ${fields} } } }`)).toEqual({ deliveries: { nodes: [...expected].reverse() } });
      expect(ids).toHaveBeenCalledTimes(1);
      ids.mockRestore();

      const { application } = await guest.query<{ application: { updateCursor: string } }>('{ application { updateCursor } }');
      expect(application.updateCursor).not.toBe('');
      const watch = `subscription { deliveryUpdates(after: "${encodeCursor('update', shop.id, 0)}") { updates { delivery { ${fields} } } } }`;
      for (const stream of [guest.subscribe<Watched>(watch), guest.subscribeSse<Watched>(watch)]) {
        const [page] = await stream.take(1);
        const [first] = page?.deliveryUpdates.updates ?? [];
        expect(first?.delivery).toEqual(expected[0]);
      }
    });
  });
});

interface Watched {
  readonly deliveryUpdates: { readonly updates: readonly { readonly delivery: object }[] };
}

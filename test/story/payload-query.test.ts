import { readConfig } from '../../src/config';
import { createDatabase } from '../../src/data-source';
import { silentLog } from '../../src/log';
import { describeEachDatabase } from '../support/databases';
import { until } from '../support/until';
import { testEnvironment, withHub } from '../support/with-hub';

const QUERY = `subscription {
  event(types: ["order.*"], filter: """{ "payload.total": { "$gte": 5 } }""") { id type orderNo: get(path: "order.no") }
}`;
const SHAPED = 'subscription { event(types: ["order.*"]) { id type orderNo: get(path: "order.no") sku: get(path: "lines.1.sku") } }';

const CREATE = `mutation ($input: WebhookCreateInput!) {
  webhookCreate(input: $input) { webhook { id } userErrors { field message code } }
}`;

describeEachDatabase('A payload query', (makeDatabase) => {
  test('shapes the body, selects events, and runs live over a socket as it stands', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      await shop.webhook('/shaped', { payloadQuery: SHAPED });
      await shop.webhook('/whole');
      const live = shop.client.subscribe<{ event: unknown }>(SHAPED);
      const payload = { order: { no: 7 }, lines: [{ sku: 'A' }, { sku: 'B' }] };
      await shop.publish({ type: 'customer.created', payload });
      const { id } = await shop.publish({ type: 'order.created', payload });
      await receiver.waitFor(1, '/shaped');
      await receiver.waitFor(2, '/whole');
      const [request] = receiver.requests('/shaped');
      expect(receiver.requests('/shaped')).toHaveLength(1);
      expect(request?.verified).toBe(true);
      const body = JSON.parse(request?.body.toString() ?? '');
      expect(Object.keys(body)).toEqual(['id', 'type', 'timestamp', 'sequence', 'data']);
      expect(body.data).toEqual({ event: { id, type: 'order.created', orderNo: 7, sku: 'B' } });

      const { payloadPreview } = await shop.client.query<{ payloadPreview: unknown }>(
        'query ($payloadQuery: String!, $eventId: ID!) { payloadPreview(payloadQuery: $payloadQuery, eventId: $eventId) { body errors } }',
        { payloadQuery: SHAPED, eventId: id },
      );
      expect(payloadPreview).toEqual({ body: request?.body.toString(), errors: [] });

      let sent = 0;
      const [first] = await Promise.all([
        live.take(1),
        until(
          () => (live.buffered > 0 || ++sent > 50 ? true : shop.publish({ type: 'order.paid', payload }).then(() => live.buffered > 0)),
          {
            description: 'the live subscription to have begun',
          },
        ).catch(() => undefined),
      ]);
      expect(first[0]?.event).toMatchObject({ orderNo: 7, sku: 'B' });
    });
  });

  test('fixes the bytes at the first attempt: retries send them again, whatever becomes of the webhook', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/flaky', (_request, nth) => ({ status: nth === 1 ? 500 : 204 }));
      const { id } = await shop.webhook('/flaky', { payloadQuery: SHAPED, retrySchedule: [1] });
      await shop.publish({ payload: { order: { no: 1 } } });
      await receiver.waitFor(1, '/flaky');
      await shop.client.mutate(
        'mutation ($id: ID!) { webhookUpdate(id: $id, input: { payloadQuery: null }) { webhook { payloadQuery } } }',
        { id },
      );
      await receiver.waitFor(2, '/flaky');
      const [first, second] = receiver.requests('/flaky');
      expect(first?.body.toString()).toContain('"orderNo":1');
      expect(second?.body).toEqual(first?.body);
      const read = async () =>
        (
          await shop.client.query<{
            deliveries: { nodes: { status: string; requestBody: string; attempts: { nodes: { curl: string }[] } }[] };
          }>('{ deliveries { nodes { status requestBody attempts { nodes { curl } } } } }')
        ).deliveries.nodes[0];
      const delivery = await until(async () => ((await read())?.status === 'SUCCEEDED' ? read() : undefined), { description: 'success' });
      expect(delivery.requestBody).toBe(first?.body.toString());
      expect(delivery.attempts.nodes[1]?.curl).toContain('"orderNo":1');
      await shop.publish({ payload: { order: { no: 2 } } });
      await receiver.waitFor(3, '/flaky');
      expect(JSON.parse(receiver.requests('/flaky')[2]?.body.toString() ?? '').data).toEqual({ order: { no: 2 } });
    });
  });

  test('that no longer fits the schema holds its deliveries, says so, and sends them once mended', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl, hub, startAnother }) => {
      const shop = await application();
      const { id } = await shop.webhook('/held', { payloadQuery: SHAPED });
      await hub.stop();
      const database = createDatabase(readConfig(testEnvironment(databaseUrl)).databaseUrl, silentLog);
      await database.open();
      await database.transaction((tx) =>
        tx.execute('UPDATE webhooks SET payload_query = ? WHERE id = ?', ['subscription { event(types: ["order.*"]) { gone } }', id]),
      );
      await database.close();

      const { url } = await startAnother();
      const ask = async (query: string, variables: object = {}) => {
        const answer = await fetch(`${url}/graphql`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${shop.key}` },
          body: JSON.stringify({ query, variables }),
        });
        return (await answer.json()) as { data: Record<string, never> };
      };
      await ask('mutation { eventPublish(input: { type: "order.created", payload: { order: { no: 5 } } }) { event { id } } }');
      await ask('mutation { eventPublish(input: { type: "customer.created", payload: 1 }) { event { id } } }');
      const state = await ask(
        'query ($id: ID!) { webhook(id: $id) { health healthReason deliveries { nodes { status attemptCount } } } }',
        { id },
      );
      expect(state.data).toEqual({
        webhook: {
          health: 'PAYLOAD_QUERY_INVALID',
          healthReason: expect.stringContaining('Cannot query field "gone"'),
          deliveries: { nodes: [{ status: 'PENDING', attemptCount: 0 }] },
        },
      });
      expect(receiver.requests('/held')).toHaveLength(0);

      await ask('mutation ($id: ID!, $query: String!) { webhookUpdate(id: $id, input: { payloadQuery: $query }) { webhook { health } } }', {
        id,
        query: SHAPED,
      });
      await receiver.waitFor(1, '/held');
      expect(JSON.parse(receiver.requests('/held')[0]?.body.toString() ?? '').data.event.orderNo).toBe(5);
    });
  });

  test.each([
    ['a query', '{ viewer { admin } }', 'expected a subscription'],
    ['two operations', 'subscription A { event { id } } subscription B { event { id } }', 'expected one operation'],
    ['variables', 'subscription ($t: [String!]) { event(types: $t) { id } }', 'without variables'],
    ['another root field', 'subscription { deliveryUpdates { cursor } }', 'single root field event'],
    ['two root fields', 'subscription { event { id } other: event { type } }', 'single root field event'],
    ['an unknown field', 'subscription { event { gone } }', 'Cannot query field "gone"'],
    ['a syntax error', 'subscription { event {', 'Syntax Error'],
    ['an applicationId', 'subscription { event(applicationId: "app_000000000000") { id } }', 'applicationId cannot be given'],
    ['a cursor', 'subscription { event(after: "x") { id } }', 'after cannot be given'],
    ['a wrong wildcard', 'subscription { event(types: ["order.**"]) { id } }', 'types: expected'],
    ['a filter outside the language', 'subscription { event(filter: { payload: { x: { _where: 1 } } , other: 1 }) { id } }', 'filter:'],
    ['deliveries', 'subscription { event { deliveries { nodes { id } } } }', 'deliveries cannot be selected'],
    ['too many aliases', `subscription { event { ${Array.from({ length: 60 }, (_, n) => `a${n}: id`).join(' ')} } }`, 'Aliases'],
    ['too many characters', `subscription { event { id } } # ${'x'.repeat(20_000)}`, 'at most'],
  ])('with %s is refused', async (_name, payloadQuery, message) => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { webhookCreate } = await shop.client.mutate<{ webhookCreate: { userErrors: { message: string }[] } }>(CREATE, {
        input: { url: receiver.url('/x'), payloadQuery },
      });
      expect(webhookCreate).toEqual({
        webhook: null,
        userErrors: [{ field: ['payloadQuery'], message: expect.stringContaining(message), code: 'INVALID' }],
      });
    });
  });

  test('whose own filter an event does not meet sends nothing', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      await shop.webhook('/five', { payloadQuery: QUERY });
      await shop.publish({ payload: { total: 4 } });
      const { sequence } = await shop.publish({ payload: { total: 5 } });
      await receiver.waitFor(1, '/five');
      expect(JSON.parse(receiver.requests('/five')[0]?.body.toString() ?? '').sequence).toBe(sequence);
    });
  });
});

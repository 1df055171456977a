import { describeEachDatabase } from '../support/databases';
import { withHub } from '../support/with-hub';

const REGISTER = `mutation ($input: EventTypeRegisterInput!) {
  eventTypeRegister(input: $input) { eventType { name description schema archivedAt } userErrors { field message code } }
}`;
const PUBLISH = `mutation ($input: EventsPublishInput!) {
  eventsPublish(input: $input) { results { event { sequence } userErrors { field message code } } userErrors { field } }
}`;

interface Published {
  eventsPublish: { results: { event: { sequence: number } | null; userErrors: { field: string[]; message: string; code: string }[] }[] };
}

describeEachDatabase('Selecting events', (makeDatabase) => {
  test('a filter lets only events through that meet it, for webhooks and live subscribers alike', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const filter = { 'payload.total': { $gte: 100 }, 'payload.currency': { $in: ['EUR', 'USD'] } };
      await shop.webhook('/large', { filter });
      await shop.webhook('/all');
      const live = shop.client.subscribe<{ event: { payload: { total: number } } }>(
        'subscription ($filter: JSON, $after: String) { event(filter: $filter, after: $after) { payload } }',
        { filter, after: Buffer.from(`event:${shop.id}:0`).toString('base64url') },
      );
      const totals = [50, 100, 150, 99, 300];
      for (const total of totals) await shop.publish({ payload: { total, currency: total === 150 ? 'CHF' : 'EUR' } });

      await receiver.waitFor(totals.length, '/all');
      await receiver.waitFor(2, '/large');
      const received = receiver.requests('/large').map(({ body }) => JSON.parse(body.toString()).data.total);
      expect(received.sort()).toEqual([100, 300]);
      expect((await live.take(2)).map(({ event }) => event.payload.total)).toEqual([100, 300]);
    });
  });

  test('a filter outside the language is refused with its place, stored by nobody', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { webhookCreate } = await shop.client.mutate<{ webhookCreate: unknown }>(
        'mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id } userErrors { field message code } } }',
        { input: { url: receiver.url('/x'), filter: { $or: [{ 'payload.a': 1 }, { 'payload.b': { $where: 'sleep(1000)' } }] } } },
      );
      expect(webhookCreate).toEqual({
        webhook: null,
        userErrors: [{ field: ['filter'], message: expect.stringContaining('$or.1.payload.b.$where: unknown operator'), code: 'INVALID' }],
      });
      const { webhooks } = await shop.client.query<{ webhooks: { nodes: unknown[] } }>('{ webhooks { nodes { id } } }');
      expect(webhooks.nodes).toEqual([]);
    });
  });

  test('a changed filter applies to the next event', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/changing', { filter: { 'payload.no': 1 } });
      await shop.publish({ payload: { no: 2 } });
      await shop.client.mutate('mutation ($id: ID!) { webhookUpdate(id: $id, input: { filter: null }) { webhook { filter } } }', { id });
      await shop.publish({ payload: { no: 3 } });
      await receiver.waitFor(1, '/changing');
      expect(receiver.requests('/changing').map(({ body }) => JSON.parse(body.toString()).data)).toEqual([{ no: 3 }]);
    });
  });

  test('a registered type refuses payloads that break its schema, with the place, and leaves the neighbours alone', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const schema = {
        type: 'object',
        required: ['no'],
        properties: { no: { type: 'integer' }, lines: { type: 'array', items: { properties: { sku: { type: 'string' } } } } },
      };
      await shop.client.mutate(REGISTER, { input: { name: 'order.created', description: 'An order came in.', schema } });
      const { eventsPublish } = await shop.client.mutate<Published>(PUBLISH, {
        input: {
          events: [
            { type: 'order.created', payload: { no: 1 } },
            { type: 'order.created', payload: { no: 2, lines: [{ sku: 'A' }, { sku: 7 }] } },
            { type: 'order.deleted', payload: 'anything' },
          ],
        },
      });
      expect(eventsPublish.results).toEqual([
        { event: { sequence: 1 }, userErrors: [] },
        {
          event: null,
          userErrors: [
            {
              field: ['events', '1', 'payload', 'lines', '1', 'sku'],
              message: 'does not fit the schema of order.created: must be string',
              code: 'INVALID',
            },
          ],
        },
        { event: { sequence: 2 }, userErrors: [] },
      ]);
      await shop.client.mutate(REGISTER, { input: { name: 'order.created', schema: null } });
      expect(await shop.publish({ type: 'order.created', payload: 'free again' })).toMatchObject({ sequence: 3 });
    });
  });

  test('types are listed, changed, archived and brought back', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      for (const name of ['order.created', 'order.paid', 'customer.created'])
        await shop.client.mutate(REGISTER, { input: { name, description: name.toUpperCase() } });
      await shop.client.mutate(REGISTER, { input: { name: 'order.paid', schema: { type: 'object' } } });
      const list = async (after?: string) =>
        (
          await shop.client.query<{ eventTypes: { nodes: { name: string }[]; pageInfo: { endCursor: string; hasNextPage: boolean } } }>(
            'query ($after: String) { eventTypes(first: 2, after: $after) { nodes { name description schema } pageInfo { endCursor hasNextPage } } }',
            { after },
          )
        ).eventTypes;
      const first = await list();
      expect(first.nodes).toEqual([
        { name: 'customer.created', description: 'CUSTOMER.CREATED', schema: null },
        { name: 'order.created', description: 'ORDER.CREATED', schema: null },
      ]);
      expect((await list(first.pageInfo.endCursor)).nodes).toEqual([
        { name: 'order.paid', description: 'ORDER.PAID', schema: { type: 'object' } },
      ]);

      const archive = 'mutation { eventTypeArchive(input: { name: "order.paid" }) { eventType { archivedAt } userErrors { code } } }';
      const { eventTypeArchive } = await shop.client.mutate<{ eventTypeArchive: { eventType: { archivedAt: string } } }>(archive);
      expect(eventTypeArchive.eventType.archivedAt).toEqual(expect.any(String));
      await expect(shop.publish({ type: 'order.paid', payload: {} })).rejects.toThrow('order.paid is archived');
      await shop.client.mutate(REGISTER, { input: { name: 'order.paid' } });
      expect(await shop.publish({ type: 'order.paid', payload: {} })).toMatchObject({ sequence: 1 });
    });
  });

  test.each([
    [{ name: 'order created' }, 'name', 'INVALID'],
    [{ name: 'a', schema: { type: 'strin' } }, 'schema', 'INVALID'],
    [{ name: 'a', schema: { $ref: 'http://example.com/x' } }, 'schema', 'INVALID'],
    [{ name: 'a', description: 'x'.repeat(3_000) }, 'description', 'TOO_LARGE'],
    [{ name: 'a', applicationId: 'app_000000000000' }, 'applicationId', 'NOT_FOUND'],
  ])('registering is refused at %#: %s', async (input, field, code) => {
    await withHub(makeDatabase, async ({ admin, application }) => {
      const { id } = await application();
      const { eventTypeRegister } = await admin.mutate<{ eventTypeRegister: { userErrors: unknown[] } }>(REGISTER, {
        input: { applicationId: id, ...input },
      });
      expect(eventTypeRegister.userErrors).toEqual([{ field: [field], message: expect.any(String), code }]);
    });
  });
});

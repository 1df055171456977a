import { DAY, systemClock } from '../../src/clock';
import { Retention } from '../../src/housekeeping/retention';
import { silentLog } from '../../src/log';
import { describeEachDatabase } from '../support/databases';
import { mutate, mutated } from '../support/mutate';
import type { Answer, ReceivedRequest } from '../support/receiver';
import { everyRowCount, withRows } from '../support/rows';
import { until } from '../support/until';
import { type TestApplication, withHub } from '../support/with-hub';

const SHAPED = 'subscription { event(types: ["order.*"]) { id sequence no: get(path: "order.no") } }';
const ATTEMPT = 'attempt { id number trigger outcome statusCode responseBody curl requestHeaders { name value } }';
const INPUT = { eventType: 'order.created', payload: { order: { no: 7 } } };

interface TestAttempt {
  readonly id: string;
  readonly number: number;
  readonly trigger: string;
  readonly outcome: string;
  readonly statusCode: number | null;
  readonly responseBody: string | null;
  readonly curl: string;
}

async function tested(shop: TestApplication, id: string, input: object = INPUT): Promise<TestAttempt> {
  return (await mutated<{ attempt: TestAttempt }>(shop.client, 'webhookTest', { id, input }, ATTEMPT)).attempt;
}

function bodyOf(request: ReceivedRequest | undefined) {
  return JSON.parse(request?.body.toString() ?? 'null');
}

describeEachDatabase('A test of a webhook', (makeDatabase) => {
  test('is sent now, like a real delivery, and recorded apart from deliveries', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      const { id } = await shop.webhook('/try', { headers: [{ name: 'X-Own', value: 'mine' }], eventTypes: ['customer.*'] });
      receiver.answer('/try', { status: 201, body: 'thanks' });
      const first = await tested(shop, id);
      expect(first).toMatchObject({ number: 1, trigger: 'TEST', outcome: 'SUCCESS', statusCode: 201, responseBody: 'thanks' });
      const [request] = receiver.requests('/try');
      expect(request).toMatchObject({ method: 'POST', verified: true });
      expect(request?.headers).toMatchObject({
        'content-type': 'application/json',
        'livehook-attempt': '1',
        'livehook-sequence': '0',
        'livehook-event-type': 'order.created',
        'x-own': 'mine',
      });
      const body = bodyOf(request);
      expect(body).toEqual({
        id: request?.headers['webhook-id'],
        type: 'order.created',
        timestamp: expect.any(String),
        sequence: 0,
        data: INPUT.payload,
      });
      expect(body.id).toMatch(/^evt_/);
      expect(first.curl).toContain('"data":{"order":{"no":7}}}');

      receiver.answer('/try', { status: 410 });
      const second = await tested(shop, id);
      expect(second).toMatchObject({ number: 2, outcome: 'HTTP_ERROR', statusCode: 410 });
      expect(bodyOf(receiver.requests('/try')[1]).id).not.toBe(body.id);

      const shown = await shop.client.query(
        `query ($id: ID!, $first: ID!, $event: ID!) {
          webhook(id: $id) { status tests { nodes { id } } deliveries { nodes { id } } }
          deliveries { nodes { id } } events { nodes { id } } node(id: $first) { id ... on Attempt { trigger } } event(id: $event) { id }
        }`,
        { id, first: first.id, event: body.id },
      );
      const none = { nodes: [] };
      expect(shown).toEqual({
        webhook: { status: 'ACTIVE', tests: { nodes: [{ id: second.id }, { id: first.id }] }, deliveries: none },
        deliveries: none,
        events: none,
        node: { id: first.id, trigger: 'TEST' },
        event: null,
      });
      const page = await shop.client.query<{
        webhook: { tests: { nodes: object[]; pageInfo: { endCursor: string; hasNextPage: boolean } } };
      }>('query ($id: ID!) { webhook(id: $id) { tests(first: 1) { nodes { id } pageInfo { endCursor hasNextPage } } } }', { id });
      expect(page.webhook.tests.pageInfo.hasNextPage).toBe(true);
      const rest = await shop.client.query(
        'query ($id: ID!, $after: String) { webhook(id: $id) { tests(after: $after) { nodes { number } } } }',
        {
          id,
          after: page.webhook.tests.pageInfo.endCursor,
        },
      );
      expect(rest).toEqual({ webhook: { tests: { nodes: [{ number: 1 }] } } });

      // Tests are kept as long as attempts are.
      await withRows(databaseUrl, async (_query, database) => {
        await database.transaction((tx) =>
          tx.execute('UPDATE attempts SET started_at = started_at - ? WHERE id = ?', [91 * DAY, first.id]),
        );
        await new Retention({ database, clock: systemClock, log: silentLog, defaultRetentionMs: 90 * DAY }).sweep();
      });
      expect(await everyRowCount(databaseUrl)).toMatchObject({ attempts: 1, bodies: 1 });
      expect((await tested(shop, id)).number).toBe(3);
    });
  });

  test('goes to paused and disabled webhooks, shaped by the payload query', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/shaped', { payloadQuery: SHAPED });
      await mutated(shop.client, 'webhookPause', { id });
      await tested(shop, id);
      const [request] = receiver.requests('/shaped');
      expect(bodyOf(request).data).toEqual({ event: { id: request?.headers['webhook-id'], sequence: 0, no: 7 } });

      receiver.answer('/gone', { status: 410 });
      const gone = await shop.webhook('/gone');
      await shop.publish();
      const statusOf = async () =>
        (await shop.client.query<{ webhook: { status: string } }>('query ($id: ID!) { webhook(id: $id) { status } }', { id: gone.id }))
          .webhook.status;
      await until(async () => (await statusOf()) === 'DISABLED', { description: 'the webhook to be disabled' });
      receiver.answer('/gone', { status: 204 });
      expect(await tested(shop, gone.id)).toMatchObject({ outcome: 'SUCCESS' });
      expect(await statusOf()).toBe('DISABLED');
    });
  });

  test('is refused for input that publishing would refuse, and for webhooks that are not there', async () => {
    await withHub(makeDatabase, async ({ admin, application, client, receiver }) => {
      const shop = await application();
      const other = await application('other');
      const { id } = await shop.webhook('/try');
      const schema = { type: 'object', required: ['no'], properties: { no: { type: 'integer' } } };
      await mutated(shop.client, 'eventTypeRegister', { input: { name: 'order.paid', schema } });
      const refused = async (input: object, whose = shop.client, webhook = id) =>
        (await mutate(whose, 'webhookTest', { id: webhook, input })).userErrors.map(({ field, code }) => [field, code]);
      expect(await refused({ eventType: 'order..paid', payload: {} })).toEqual([[['eventType'], 'INVALID']]);
      expect(await refused({ eventType: 'order.paid', payload: { no: 'x' } })).toEqual([[['payload', 'no'], 'INVALID']]);
      expect(await refused({ eventType: 'a', payload: 'x'.repeat(1024 * 1024) })).toEqual([[['payload'], 'TOO_LARGE']]);
      expect(await refused(INPUT, other.client)).toEqual([[['id'], 'NOT_FOUND']]);
      expect(await refused(INPUT, shop.client, 'whk_nonsense')).toEqual([[['id'], 'NOT_FOUND']]);
      const { token } = await mutated<{ token: string }>(
        admin,
        'apiKeyCreate',
        { input: { applicationId: shop.id, scopes: ['WEBHOOKS_READ'] } },
        'token',
      );
      const { errors } = await client(token).request(
        'mutation ($id: ID!) { webhookTest(id: $id, input: { eventType: "a", payload: 1 }) { attempt { id } } }',
        { id },
      );
      expect(errors?.map((error) => error.extensions?.code)).toEqual(['FORBIDDEN']);
      expect(receiver.requests('/try')).toHaveLength(0);
    });
  });

  test('shares a webhook with two others at a time, and gives its place back', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/slow');
      let give: (answer: Answer) => void = () => {};
      const answer = new Promise<Answer>((resolve) => {
        give = resolve;
      });
      receiver.answer('/slow', () => answer);
      const running = [tested(shop, id), tested(shop, id), tested(shop, id)];
      await receiver.waitFor(3, '/slow');
      const { userErrors } = await mutate(shop.client, 'webhookTest', { id, input: INPUT });
      expect(userErrors).toEqual([{ field: ['id'], message: 'expected at most 3 tests of a webhook at once', code: 'LIMIT_REACHED' }]);
      give({ status: 204 });
      expect((await Promise.all(running)).map(({ number }) => number).sort()).toEqual([1, 2, 3]);
      expect((await tested(shop, id)).number).toBe(4);
    });
  });
});

describeEachDatabase('The format of a webhook', (makeDatabase) => {
  test.each([
    ['CLOUDEVENTS_STRUCTURED', null],
    ['CLOUDEVENTS_STRUCTURED', SHAPED],
    ['CLOUDEVENTS_BINARY', null],
    ['CLOUDEVENTS_BINARY', SHAPED],
  ] as const)('%s with the payload query %p is fixed at the first attempt, headers and bytes, and signed', async (format, payloadQuery) => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/ce', (_request, nth) => ({ status: nth === 1 ? 500 : 204 }));
      const { id } = await shop.webhook('/ce', { format, payloadQuery, retrySchedule: [1] });
      const event = await shop.publish({ payload: { order: { no: 7 } }, occurredAt: '2026-01-31T12:00:00.000Z' });
      await receiver.waitFor(1, '/ce');
      await mutated(shop.client, 'webhookUpdate', { id, input: { format: 'STANDARD', payloadQuery: null } }, 'webhook { format }');
      await receiver.waitFor(2, '/ce');
      const [first, second] = receiver.requests('/ce');
      expect([first?.verified, second?.verified]).toEqual([true, true]);
      expect(first?.headers['webhook-id']).toBe(event.id);
      const ce = (request: ReceivedRequest | undefined) =>
        Object.fromEntries(Object.entries(request?.headers ?? {}).filter(([name]) => /^(ce-|content-type)/.test(name)));
      const data = payloadQuery === null ? { order: { no: 7 } } : { event: { id: event.id, sequence: 1, no: 7 } };
      const attributes = {
        specversion: '1.0',
        id: event.id,
        source: `/applications/${shop.id}`,
        type: 'order.created',
        time: '2026-01-31T12:00:00.000Z',
        sequence: '0000000000000001',
      };
      if (format === 'CLOUDEVENTS_STRUCTURED') {
        expect(ce(first)).toEqual({ 'content-type': 'application/cloudevents+json' });
        expect(bodyOf(first)).toEqual({ ...attributes, datacontenttype: 'application/json', data });
      } else {
        const headers = Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value]);
        expect(ce(first)).toEqual({ 'content-type': 'application/json', ...Object.fromEntries(headers) });
        expect(bodyOf(first)).toEqual(data);
      }
      expect(ce(second)).toEqual(ce(first));
      expect(second?.body).toEqual(first?.body);
      const { deliveries } = await shop.client.query<{ deliveries: { nodes: { requestBody: string }[] } }>(
        '{ deliveries { nodes { requestBody } } }',
      );
      expect(deliveries.nodes[0]?.requestBody).toBe(first?.body.toString());

      await shop.publish();
      await receiver.waitFor(3, '/ce');
      expect(bodyOf(receiver.requests('/ce')[2])).toMatchObject({ type: 'order.created', sequence: 2 });
    });
  });
});

/** A receiver that sends challenges back. */
const echoing = ({ body }: ReceivedRequest): Answer => ({
  status: 200,
  body: JSON.stringify({ challenge: JSON.parse(body.toString()).challenge }),
});

describeEachDatabase('Verification of a target', (makeDatabase) => {
  test('by challenge: signed, echoed, and asked again when the URL changes', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const secret = `whsec_${Buffer.from('a key of these 24 bytes.').toString('base64')}`;
      receiver.trust('/good', secret).answer('/good', echoing);
      const { webhook } = await mutated<{ webhook: { id: string; verification: string } }>(
        shop.client,
        'webhookCreate',
        {
          input: { url: receiver.url('/good'), secret, verification: 'CHALLENGE', headers: [{ name: 'authorization', value: 'Bearer t' }] },
        },
        'webhook { id verification allowedRatePerMinute }',
      );
      expect(webhook).toMatchObject({ verification: 'CHALLENGE', allowedRatePerMinute: null });
      const [asked] = receiver.requests('/good');
      expect(asked).toMatchObject({ method: 'POST', verified: true, headers: { authorization: 'Bearer t' } });
      expect(bodyOf(asked)).toEqual({ type: 'livehook.webhook.verification', challenge: expect.stringMatching(/^[\w-]{32}$/) });

      const move = (url: string) =>
        mutate<{ webhook: object | null }>(shop.client, 'webhookUpdate', { id: webhook.id, input: { url } }, 'webhook { url }');
      receiver.answer('/bad', { status: 200, body: 'hello' });
      expect(await move(receiver.url('/bad'))).toEqual({
        webhook: null,
        userErrors: [{ field: ['url'], message: expect.stringContaining('got "hello"'), code: 'INVALID' }],
      });
      receiver.trust('/plain', secret).answer('/plain', (request) => ({ body: bodyOf(request).challenge }));
      expect(await move(receiver.url('/plain'))).toEqual({ webhook: { url: receiver.url('/plain') }, userErrors: [] });
      expect(receiver.requests('/plain')[0]?.verified).toBe(true);
      // The URL that it has needs no second look.
      expect(await move(receiver.url('/plain'))).toMatchObject({ userErrors: [] });
      expect(receiver.requests('/plain')).toHaveLength(1);
    });
  });

  test.each([
    [{ status: 404 }, 'the receiver answered 404'],
    [{ status: 302, headers: { location: 'http://example.com' } }, 'redirects are not followed'],
    [{ destroy: true }, 'closed'],
    [{ hang: true }, 'no complete response within 1000 ms'],
  ])('that ends as %j stores nothing and says so', async (behaviour, message) => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/bad', behaviour);
      const refused = await mutate(
        shop.client,
        'webhookCreate',
        { input: { url: receiver.url('/bad'), verification: 'CHALLENGE', timeoutSeconds: 1 } },
        'webhook { id }',
      );
      expect(refused).toEqual({
        webhook: null,
        userErrors: [{ field: ['url'], message: expect.stringContaining(message), code: 'INVALID' }],
      });
      expect(await shop.client.query('{ webhooks { nodes { id } } }')).toEqual({ webhooks: { nodes: [] } });
    });
  });

  test('by the CloudEvents handshake: permission is asked with a name, which every delivery then carries', async () => {
    await withHub(
      makeDatabase,
      async ({ application, receiver }) => {
        const shop = await application();
        receiver.answer('/ce', ({ method, headers }) =>
          method === 'OPTIONS'
            ? {
                headers: {
                  'WebHook-Allowed-Origin': headers['webhook-request-origin'] ?? '',
                  'WebHook-Allowed-Rate': '120',
                  Allow: 'POST',
                },
              }
            : {},
        );
        const { id } = await shop.webhook('/ce', { verification: 'CLOUDEVENTS' });
        const [asked] = receiver.requests('/ce');
        expect(asked).toMatchObject({ method: 'OPTIONS', headers: { 'webhook-request-origin': 'hooks.example.com' } });
        expect(asked?.body).toHaveLength(0);
        expect(await shop.client.query('query ($id: ID!) { webhook(id: $id) { verification allowedRatePerMinute } }', { id })).toEqual({
          webhook: { verification: 'CLOUDEVENTS', allowedRatePerMinute: 120 },
        });
        await shop.publish();
        await receiver.waitFor(2, '/ce');
        expect(receiver.requests('/ce')[1]).toMatchObject({
          method: 'POST',
          verified: true,
          headers: { 'webhook-request-origin': 'hooks.example.com' },
        });

        receiver.answer('/cors', { status: 204, headers: { allow: 'OPTIONS, POST' } });
        const { userErrors } = await mutate(shop.client, 'webhookCreate', {
          input: { url: receiver.url('/cors'), verification: 'CLOUDEVENTS' },
        });
        expect(userErrors).toEqual([
          {
            field: ['url'],
            message: expect.stringContaining('WebHook-Allowed-Origin: hooks.example.com or *; got "none"'),
            code: 'INVALID',
          },
        ]);
      },
      { environment: { LIVEHOOK_ORIGIN: 'hooks.example.com' } },
    );
  });
});

describeEachDatabase('A hub that requires verification', (makeDatabase) => {
  const environment = { LIVEHOOK_REQUIRE_VERIFICATION: 'true' };
  const REQUIRED = {
    field: ['verification'],
    message: 'expected CHALLENGE or CLOUDEVENTS: on this hub every target has to show first that it wants events',
    code: 'REQUIRED',
  };

  test('refuses webhooks without one, and verifies again when the URL changes', async () => {
    await withHub(
      makeDatabase,
      async ({ application, receiver }) => {
        const shop = await application();
        receiver.answer('/good', echoing).answer('/other', echoing).answer('/bad', { body: 'hello' });
        for (const verification of [undefined, null, 'NONE'])
          expect(await mutate(shop.client, 'webhookCreate', { input: { url: receiver.url('/good'), verification } })).toMatchObject({
            userErrors: [REQUIRED],
          });
        expect(receiver.requests()).toEqual([]);
        const { id } = await shop.webhook('/good', { verification: 'CHALLENGE' });
        const update = (input: object) => mutate(shop.client, 'webhookUpdate', { id, input }, 'webhook { url verification }');
        for (const verification of [null, 'NONE']) expect(await update({ verification })).toMatchObject({ userErrors: [REQUIRED] });
        expect(await update({ url: receiver.url('/bad') })).toMatchObject({ userErrors: [{ field: ['url'], code: 'INVALID' }] });
        expect(await update({ url: receiver.url('/other') })).toMatchObject({
          webhook: { url: receiver.url('/other'), verification: 'CHALLENGE' },
          userErrors: [],
        });
      },
      { environment },
    );
  });

  test.each(['NONE', 'STRICT'])('sends nothing to webhooks that were made without, until they pass one; ordering %s', async (ordering) => {
    await withHub(
      makeDatabase,
      async ({ application, receiver, databaseUrl }) => {
        const shop = await application();
        receiver.answer('/late', echoing);
        const { id } = await shop.webhook('/late', { verification: 'CHALLENGE', ordering });
        await withRows(databaseUrl, (_query, database) =>
          database.transaction(async (tx) => {
            await tx.execute("UPDATE webhooks SET verification = 'NONE', version = version + 1 WHERE id = ?", [id]);
            await tx.execute('UPDATE counters SET version = version + 1');
          }),
        );
        await shop.publish();
        const HEALTH = 'query ($id: ID!) { webhook(id: $id) { health deliveries { nodes { status } } } }';
        expect(await shop.client.query(HEALTH, { id })).toEqual({
          webhook: { health: 'UNVERIFIED', deliveries: { nodes: [{ status: 'PENDING' }] } },
        });
        expect(await mutate(shop.client, 'webhookTest', { id, input: { eventType: 'a.b', payload: 1 } })).toMatchObject({
          userErrors: [{ field: ['id'], code: 'CONFLICT' }],
        });
        expect(await mutate(shop.client, 'webhookUpdate', { id, input: { url: receiver.url('/moved') } })).toMatchObject({
          userErrors: [REQUIRED],
        });
        expect(receiver.requests()).toHaveLength(1);
        expect(await mutate(shop.client, 'webhookUpdate', { id, input: { verification: 'CHALLENGE' } })).toMatchObject({ userErrors: [] });
        await until(() => receiver.requests('/late').length === 3, { description: 'the second challenge and the delivery' });
        expect(await shop.client.query(HEALTH, { id })).toMatchObject({ webhook: { health: 'HEALTHY' } });
      },
      { environment },
    );
  });
});

import { ALL_SCOPES } from '../../src/applications/api-key';
import { encodeCursor, encodeKeyCursor } from '../../src/cursor';
import { placeText } from '../../src/store/page';
import { describeEachDatabase } from '../support/databases';
import { Client, GraphqlFailure, type Result } from '../support/graphql-client';
import { mutated } from '../support/mutate';
import { until } from '../support/until';
import { ADMIN_KEY, type TestApplication, withHub } from '../support/with-hub';

/** Everything of an application that has an id or a cursor. */
interface Belongings {
  readonly applicationId: string;
  readonly keyId: string;
  readonly webhookId: string;
  readonly eventId: string;
  readonly deliveryId: string;
  readonly attemptId: string;
  readonly jobId: string;
  readonly eventCursor: string;
  readonly updateCursor: string;
  readonly secret: string;
}

async function belongingsOf(shop: TestApplication, path: string, secret: string): Promise<Belongings> {
  const { id: webhookId } = await shop.webhook(path, {
    description: secret,
    headers: [{ name: 'x-secret', value: secret }],
    retrySchedule: [3600],
  });
  const event = await shop.publish({ payload: { secret }, idempotencyKey: secret });
  const { viewer } = await shop.client.query<{ viewer: { apiKey: { id: string } } }>('{ viewer { apiKey { id } } }');
  const delivery = await until(
    async () => {
      const { deliveries } = await shop.client.query<{ deliveries: { nodes: { id: string; attempts: { nodes: { id: string }[] } }[] } }>(
        '{ deliveries { nodes { id attempts { nodes { id } } } } }',
      );
      return deliveries.nodes.find(({ attempts }) => attempts.nodes.length === 1);
    },
    { description: 'the first attempt' },
  );
  await mutated(shop.client, 'webhookPause', { id: webhookId });
  const input = { filter: { statuses: ['RETRYING'] } };
  const { retryJob } = await mutated<{ retryJob: { id: string } }>(shop.client, 'deliveriesRetry', { input }, 'retryJob { id }');
  return {
    applicationId: shop.id,
    keyId: viewer.apiKey.id,
    webhookId,
    eventId: event.id,
    deliveryId: delivery.id,
    attemptId: delivery.attempts.nodes[0]?.id ?? '',
    jobId: retryJob.id,
    eventCursor: encodeCursor('event', shop.id, event.sequence - 1),
    updateCursor: encodeCursor('update', shop.id, 0),
    secret,
  };
}

/** Fields of the query type, and what they answer to a key of another application: this, or this error code. */
function reads(of: Belongings): readonly (readonly [string, unknown])[] {
  const none = { nodes: [] };
  const keyCursor = (id: string) => encodeKeyCursor(id);
  return [
    [`application(id: "${of.applicationId}") { id }`, null],
    ['application(key: "of the other") { id }', null],
    ...[of.applicationId, of.keyId, of.webhookId, of.eventId, of.deliveryId, of.attemptId, of.jobId].map(
      (id) => [`node(id: "${id}") { id }`, null] as const,
    ),
    [`webhook(id: "${of.webhookId}") { id }`, null],
    [`event(id: "${of.eventId}") { id }`, null],
    [`delivery(id: "${of.deliveryId}") { id }`, null],
    [`retryJob(id: "${of.jobId}") { id }`, null],
    ['applications { nodes { id } }', 'FORBIDDEN'],
    ['hub { version instances { id } }', 'FORBIDDEN'],
    [`webhooks(applicationId: "${of.applicationId}") { nodes { id } }`, 'FORBIDDEN'],
    [`events(applicationId: "${of.applicationId}") { nodes { id } }`, 'FORBIDDEN'],
    [`deliveries(applicationId: "${of.applicationId}") { nodes { id } }`, 'FORBIDDEN'],
    [`eventTypes(applicationId: "${of.applicationId}") { nodes { name } }`, 'FORBIDDEN'],
    [`eventType(name: "order.created", applicationId: "${of.applicationId}") { name }`, 'FORBIDDEN'],
    [`payloadPreview(payloadQuery: "subscription { event { payload } }", eventId: "${of.eventId}") { body }`, 'BAD_USER_INPUT'],
    [
      `payloadPreview(payloadQuery: "subscription { event { payload } }", applicationId: "${of.applicationId}", payload: 1) { body }`,
      'FORBIDDEN',
    ],
    [`filterPreview(applicationId: "${of.applicationId}", filter: "{}") { taken }`, 'FORBIDDEN'],
    ['filterPreview(filter: "{\\"payload.secret\\": \\"blue secret\\"}") { taken }', { taken: 0 }],
    [`webhookPreview(input: { applicationId: "${of.applicationId}" }) { taken }`, 'FORBIDDEN'],
    [`retryJobs(applicationId: "${of.applicationId}") { nodes { id } }`, 'FORBIDDEN'],
    [`apiKeys(applicationId: "${of.applicationId}") { nodes { id } }`, 'FORBIDDEN'],
    [`auditEvents(applicationId: "${of.applicationId}") { nodes { id } }`, 'FORBIDDEN'],
    [`auditEvents(filter: { actorIds: ["${of.keyId}"] }) { nodes { id } }`, none],
    [`retryJobs(after: "${keyCursor(of.jobId)}") { nodes { id } }`, 'BAD_USER_INPUT'],
    [`events(after: "${of.eventCursor}") { nodes { id } }`, 'BAD_USER_INPUT'],
    [`webhooks(after: "${keyCursor(placeText({ at: 1, id: of.webhookId }))}") { nodes { id } }`, 'BAD_USER_INPUT'],
    [`deliveries(after: "${keyCursor(of.deliveryId)}") { nodes { id } }`, 'BAD_USER_INPUT'],
    [`events(filter: { idempotencyKey: "${of.secret}" }) { nodes { id } }`, none],
    [`deliveries(filter: { webhookIds: ["${of.webhookId}"] }) { nodes { id } }`, none],
    [`deliveries(filter: { eventIds: ["${of.eventId}"] }) { nodes { id } }`, none],
  ];
}

function mutations(of: Belongings): readonly (readonly [string, unknown])[] {
  const unknown = { userErrors: [{ code: 'NOT_FOUND' }] };
  const errors = '{ userErrors { code } }';
  return [
    [`webhookUpdate(id: "${of.webhookId}", input: { url: "https://evil.example/" }) ${errors}`, unknown],
    [`webhookPause(id: "${of.webhookId}") ${errors}`, unknown],
    [`webhookResume(id: "${of.webhookId}") ${errors}`, unknown],
    [`webhookDelete(id: "${of.webhookId}") ${errors}`, unknown],
    [`webhookSecretRotate(id: "${of.webhookId}") ${errors}`, unknown],
    [`eventTypeRegister(input: { applicationId: "${of.applicationId}", name: "a.b" }) ${errors}`, 'FORBIDDEN'],
    [`eventTypeArchive(input: { applicationId: "${of.applicationId}", name: "a.b" }) ${errors}`, 'FORBIDDEN'],
    [`deliveryRetry(id: "${of.deliveryId}") ${errors}`, unknown],
    [`deliveryCancel(id: "${of.deliveryId}") ${errors}`, unknown],
    [`retryJobCancel(id: "${of.jobId}") ${errors}`, unknown],
    [`deliveriesRetry(input: { filter: { webhookIds: ["${of.webhookId}"] } }) ${errors}`, unknown],
    [`deliveriesRetry(input: { filter: { eventIds: ["${of.eventId}"] } }) ${errors}`, unknown],
    [`deliveriesRetry(input: { applicationId: "${of.applicationId}" }) ${errors}`, 'FORBIDDEN'],
    [`eventReplay(input: { webhookId: "${of.webhookId}" }) ${errors}`, unknown],
    [`webhookTest(id: "${of.webhookId}", input: { eventType: "a.b", payload: 1 }) ${errors}`, unknown],
    [`eventRedact(id: "${of.eventId}") ${errors}`, unknown],
    [`webhookCreate(input: { applicationId: "${of.applicationId}", url: "https://evil.example/" }) ${errors}`, 'FORBIDDEN'],
    [`eventPublish(input: { applicationId: "${of.applicationId}", type: "a.b", payload: 1 }) ${errors}`, 'FORBIDDEN'],
    [`eventsPublish(input: { applicationId: "${of.applicationId}", events: [{ type: "a.b", payload: 1 }] }) ${errors}`, 'FORBIDDEN'],
    [`applicationUpdate(id: "${of.applicationId}", input: { name: "x" }) ${errors}`, 'FORBIDDEN'],
    [`applicationDelete(id: "${of.applicationId}") ${errors}`, 'FORBIDDEN'],
    [`apiKeyCreate(input: { applicationId: "${of.applicationId}" }) ${errors}`, 'FORBIDDEN'],
    [`apiKeyRevoke(id: "${of.keyId}") ${errors}`, 'FORBIDDEN'],
  ];
}

type Run = (document: string) => Promise<Result<Record<string, unknown>>>;

/** The three ways to run an operation. */
function transports(client: Client): readonly (readonly [string, Run])[] {
  const first = async (stream: AsyncIterator<Result<Record<string, unknown>>>) => {
    try {
      const { value } = await stream.next();
      await stream.return?.();
      return value as Result<Record<string, unknown>>;
    } catch (error) {
      if (error instanceof GraphqlFailure && error.errors.length > 0) return { errors: error.errors };
      throw error;
    }
  };
  return [
    ['HTTP', (document) => client.request(document)],
    ['WebSocket', (document) => first(client.subscribe(document))],
    ['server-sent events', (document) => first(client.subscribeSse(document))],
  ];
}

function outcomeOf({ data, errors }: Result<Record<string, unknown>>): unknown {
  return errors ? errors[0]?.extensions?.code : Object.values(data ?? {})[0];
}

describeEachDatabase('Two applications', (makeDatabase) => {
  test('never see or touch what is the other’s, by any field, on any transport', async () => {
    await withHub(makeDatabase, async ({ application, receiver, admin, url }) => {
      for (const path of ['/red', '/blue']) receiver.answer(path, { status: 500 });
      const red = await application('red');
      const blue = await application('blue');
      await admin.mutate('mutation ($id: ID!) { applicationUpdate(id: $id, input: { key: "of the other" }) { userErrors { code } } }', {
        id: blue.id,
      });
      await belongingsOf(red, '/red', 'red secret');
      const theirs = await belongingsOf(blue, '/blue', 'blue secret');
      const before = await blue.client.query(
        '{ webhooks { nodes { url status version } } deliveries { nodes { status attemptCount } } events { nodes { id } } }',
      );

      const { token } = await mutated<{ token: string }>(
        admin,
        'apiKeyCreate',
        { input: { applicationId: red.id, scopes: ALL_SCOPES } },
        'token',
      );
      for (const [transport, run] of transports(new Client(url, token))) {
        for (const [field, expected] of reads(theirs)) {
          const result = await run(`query { ${field} }`);
          expect([transport, field, outcomeOf(result)]).toEqual([transport, field, expected]);
          expect(JSON.stringify(result)).not.toContain('blue secret');
        }
        for (const [field, expected] of mutations(theirs))
          expect([transport, field, outcomeOf(await run(`mutation { ${field} }`))]).toEqual([transport, field, expected]);
      }
      expect(
        await blue.client.query(
          '{ webhooks { nodes { url status version } } deliveries { nodes { status attemptCount } } events { nodes { id } } }',
        ),
      ).toEqual(before);

      // Every field that takes an id, a cursor or a filter is in the tables above.
      const { __schema } = await admin.query<{ __schema: Record<string, { fields: { name: string }[] }> }>(
        '{ __schema { queryType { fields { name } } mutationType { fields { name } } } }',
      );
      const covered = [...reads(theirs), ...mutations(theirs)].map(([field]) => /^\w+/.exec(field)?.[0]);
      const fields = [...(__schema.queryType?.fields ?? []), ...(__schema.mutationType?.fields ?? [])].map(({ name }) => name);
      expect(fields.filter((name) => !covered.includes(name))).toEqual(['viewer', 'applicationCreate']);
    });
  });

  test('watch their own logs only', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      for (const path of ['/red', '/blue']) receiver.answer(path, { status: 500 });
      const red = await application('red');
      const blue = await application('blue');
      const ours = await belongingsOf(red, '/red', 'red secret');
      const theirs = await belongingsOf(blue, '/blue', 'blue secret');
      for (const [transport, run] of transports(red.client).slice(1))
        for (const [field, code] of [
          [`event(applicationId: "${theirs.applicationId}") { id }`, 'FORBIDDEN'],
          [`deliveryUpdates(applicationId: "${theirs.applicationId}") { cursor }`, 'FORBIDDEN'],
          [`webhookUpdates(applicationId: "${theirs.applicationId}") { cursor }`, 'FORBIDDEN'],
          [`webhookUpdates(after: "${encodeCursor('webhook', theirs.applicationId, 0)}") { cursor }`, 'BAD_USER_INPUT'],
          [`event(after: "${theirs.eventCursor}") { id }`, 'BAD_USER_INPUT'],
          [`deliveryUpdates(after: "${theirs.updateCursor}") { cursor }`, 'BAD_USER_INPUT'],
          [`event(after: "${ours.updateCursor}") { id }`, 'BAD_USER_INPUT'],
          [`deliveryUpdates(after: "${ours.eventCursor}") { cursor }`, 'BAD_USER_INPUT'],
        ] as const)
          expect([transport, field, outcomeOf(await run(`subscription { ${field} }`))]).toEqual([transport, field, code]);

      // By a filter that names the other's, nothing of the own log matches either: the next update seen is the own one.
      const documents = [
        `subscription { event(after: "${ours.eventCursor}") { id payload } }`,
        `subscription { deliveryUpdates(after: "${ours.updateCursor}", filter: { eventTypes: ["order.*", "last.one"] }) { updates { delivery { event { id payload } } } } }`,
        `subscription { deliveryUpdates(after: "${ours.updateCursor}", filter: { webhookIds: ["${theirs.webhookId}", "${ours.webhookId}"], eventTypes: ["last.one"] }) { updates { delivery { event { id payload } } } } }`,
        `subscription { deliveryUpdates(after: "${ours.updateCursor}", filter: { eventIds: ["${theirs.eventId}"] }) { updates { delivery { event { id payload } } } } }`,
      ];
      const streams = documents.flatMap((document) => [red.client.subscribe(document), red.client.subscribeSse(document)]);
      await blue.publish({ payload: { secret: 'blue secret' } });
      const last = await red.publish({ type: 'last.one', payload: { secret: 'red secret' } });
      for (const [index, stream] of streams.entries()) {
        if (index >= 6) continue; // the other's event: nothing ever comes
        let seen = '';
        while (!seen.includes(last.id)) seen += JSON.stringify(await stream.take(1));
        expect(seen).toContain('red secret');
        expect(seen).not.toContain('blue secret');
      }
      for (const stream of streams.slice(6)) expect(stream.buffered).toBe(0);
    });
  });

  test('are named by admins, who act for none of their own', async () => {
    await withHub(makeDatabase, async ({ application, admin, receiver, client }) => {
      const red = await application('red');
      const blue = await application('blue');
      await blue.webhook('/blue');
      const variables = { id: blue.id };
      const { eventPublish } = await admin.mutate<{ eventPublish: { event: { id: string } } }>(
        'mutation ($id: ID!) { eventPublish(input: { applicationId: $id, type: "a.b", payload: {} }) { event { id } } }',
        variables,
      );
      const { id } = eventPublish.event;
      await receiver.waitFor(1, '/blue');
      const seen = await admin.query(
        `query ($id: ID!, $event: ID!) { events(applicationId: $id) { nodes { id } } webhooks(applicationId: $id) { nodes { url } } deliveries(applicationId: $id) { nodes { event { id } } } event(id: $event) { id } node(id: $event) { id } }`,
        { ...variables, event: id },
      );
      expect(seen).toEqual({
        events: { nodes: [{ id }] },
        webhooks: { nodes: [{ url: receiver.url('/blue') }] },
        deliveries: { nodes: [{ event: { id } }] },
        event: { id },
        node: { id },
      });
      expect((await red.client.query<{ events: { nodes: object[] } }>('{ events { nodes { id } } }')).events.nodes).toEqual([]);
      const after = encodeCursor('event', blue.id, 0);
      const live = admin.subscribe('subscription ($id: ID!, $after: String) { event(applicationId: $id, after: $after) { id } }', {
        ...variables,
        after,
      });
      expect(await live.take(1)).toEqual([{ event: { id } }]);

      // Without an application there is none to act for.
      for (const [transport, run] of transports(client(ADMIN_KEY))) {
        for (const field of ['events', 'webhooks', 'deliveries'])
          expect([transport, outcomeOf(await run(`{ ${field} { nodes { id } } }`))]).toEqual([transport, 'BAD_USER_INPUT']);
        for (const field of [
          'eventPublish(input: { type: "a.b", payload: {} })',
          'eventsPublish(input: { events: [{ type: "a.b", payload: {} }] })',
          'webhookCreate(input: { url: "https://example.com/" })',
        ]) {
          const result = await run(`mutation { ${field} { userErrors { field message code } } }`);
          expect([transport, field, outcomeOf(result)]).toEqual([
            transport,
            field,
            {
              userErrors: [
                { field: ['applicationId'], message: expect.stringContaining('expected the id of an application'), code: 'REQUIRED' },
              ],
            },
          ]);
        }
      }
      const { errors } = await client('lhk_wrong').request('{ viewer { admin } }');
      expect(errors?.map(({ extensions }) => extensions?.code)).toEqual(['UNAUTHENTICATED']);
    });
  });
});

import { encodeCursor, encodeKeyCursor } from '../../src/cursor';
import { describeEachDatabase } from '../support/databases';
import { mutate } from '../support/mutate';
import { rowCounts } from '../support/rows';
import { withHub } from '../support/with-hub';

/** A wrong input of a mutation and what is said about it: the path, the code, and the message or a part of it. */
type Case = readonly [mutation: string, input: Record<string, unknown>, path: string, code: string, message: string];

const UNKNOWN = `app_${'0'.repeat(12)}`;
const long = (chars: number) => 'x'.repeat(chars);
const key = (bytes: number) => Buffer.alloc(bytes, 1).toString('base64');
const headers = (name: string, value: string) => ({
  headers: [
    { name: 'x-good', value: 'fine' },
    { name, value },
  ],
});

const creating: readonly Case[] = [
  ...(
    [
      ['', 'expected an absolute https:// or http:// URL, got ""'],
      ['example.com/hook', 'got "example.com/hook"'],
      ['ftp://example.com/', 'got ftp://'],
      ['https://bob:hunter2@example.com/', 'expected a URL without credentials'],
      ['https://10.0.0.1/', 'expected a public address, got 10.0.0.1 (private)'],
      ['https://169.254.169.254/latest', 'got 169.254.169.254 (link-local)'],
      ['https://[::ffff:10.0.0.1]/', '(private)'],
      ['https://0x0a000001/', 'got 10.0.0.1 (private)'],
      ['https://example.com/#part', 'expected a URL without a fragment'],
      ['https://exa mple.com/', 'without spaces'],
      [`https://example.com/${long(2_100)}`, 'expected at most 2048 characters, got 2120'],
    ] as const
  ).map(([url, message]): Case => ['webhookCreate', { url }, 'url', 'INVALID', message]),
  ['webhookCreate', { eventTypes: [] }, 'eventTypes', 'INVALID', 'expected at least one event type or wildcard'],
  ['webhookCreate', { eventTypes: Array(101).fill('a.b') }, 'eventTypes', 'TOO_LARGE', 'expected at most 100, got 101'],
  ...['', 'a..b', 'a.', '.a', '**', 'a*', '*a', 'a.*.b', 'order created', 'ä.b', '*.*', long(256)].map(
    (type): Case => [
      'webhookCreate',
      { eventTypes: ['order.*', type] },
      'eventTypes.1',
      'INVALID',
      'expected the name of an event type, order.*, *.created or *; got "',
    ],
  ),
  ...['', 'a b', 'a:b', 'ä', 'x\n'].map(
    (name): Case => ['webhookCreate', headers(name, 'v'), 'headers.1.name', 'INVALID', 'expected the name of an HTTP header, got "'],
  ),
  ...[
    'webhook-id',
    'Webhook-Anything',
    'LIVEHOOK-sequence',
    'Content-Type',
    'host',
    'TE',
    'Expect',
    // Servers that hand headers on as variables make the same name of these as of the hub's own.
    'webhook_signature',
    'Webhook.Id',
    'livehook_event~type',
    'Content_Length',
    'transfer_encoding',
    'ce_id',
    'Proxy',
  ].map(
    (name): Case => [
      'webhookCreate',
      headers(name, 'v'),
      'headers.1.name',
      'INVALID',
      `${name} is set by the hub or by HTTP itself and can't be overridden`,
    ],
  ),
  ['webhookCreate', headers('X-GOOD', 'v'), 'headers.1.name', 'INVALID', 'X-GOOD is given twice'],
  [
    'webhookCreate',
    headers('x-split', 'a\r\nx-evil: 1'),
    'headers.1.value',
    'INVALID',
    'expected printable ASCII on one line, got one with U+000D',
  ],
  ['webhookCreate', headers('x-wide', 'naïve'), 'headers.1.value', 'INVALID', 'got one with U+00EF'],
  ['webhookCreate', headers('x-long', long(4_097)), 'headers', 'TOO_LARGE', 'expected at most 4096 characters in all, got 4113'],
  [
    'webhookCreate',
    { headers: Array.from({ length: 21 }, (_, no) => ({ name: `x-${no}`, value: '' })) },
    'headers',
    'TOO_LARGE',
    'expected at most 20, got 21',
  ],
  ['webhookCreate', { retrySchedule: [1, 0] }, 'retrySchedule.1', 'INVALID', 'expected whole seconds from 1 to 604800, got 0'],
  ['webhookCreate', { retrySchedule: [-5] }, 'retrySchedule.0', 'INVALID', 'got -5'],
  ['webhookCreate', { retrySchedule: [604_801] }, 'retrySchedule.0', 'INVALID', 'got 604801'],
  ['webhookCreate', { retrySchedule: Array(31).fill(1) }, 'retrySchedule', 'TOO_LARGE', 'expected at most 30 delays, got 31'],
  ['webhookCreate', { timeoutSeconds: 0 }, 'timeoutSeconds', 'INVALID', 'expected a whole number from 1 to 30, got 0'],
  ['webhookCreate', { timeoutSeconds: 31 }, 'timeoutSeconds', 'INVALID', 'got 31'],
  ['webhookCreate', { maxConcurrency: 0 }, 'maxConcurrency', 'INVALID', 'expected a whole number from 1 to 1000, got 0'],
  ['webhookCreate', { maxConcurrency: 1_001 }, 'maxConcurrency', 'INVALID', 'got 1001'],
  ['webhookCreate', { description: long(2_001) }, 'description', 'TOO_LARGE', 'expected at most 2000 characters, got 2001'],
  ['webhookCreate', { secret: '' }, 'secret', 'INVALID', 'expected whsec_ and 24 to 64 bytes in base64; the prefix is missing'],
  ['webhookCreate', { secret: key(32) }, 'secret', 'INVALID', 'the prefix is missing'],
  ['webhookCreate', { secret: 'whsec_not base64!' }, 'secret', 'INVALID', 'got something that is not base64'],
  ['webhookCreate', { secret: `whsec_${key(23)}` }, 'secret', 'INVALID', 'got 23 bytes'],
  ['webhookCreate', { secret: `whsec_${key(65)}` }, 'secret', 'INVALID', 'got 65 bytes'],
  ['webhookCreate', { applicationId: UNKNOWN }, 'applicationId', 'NOT_FOUND', `expected the id of an application, got "${UNKNOWN}"`],
  ['webhookCreate', { applicationId: 'shöp' }, 'applicationId', 'NOT_FOUND', 'got "shöp"'],
  ['webhookCreate', { applicationId: null }, 'applicationId', 'REQUIRED', 'expected the id of an application'],
];

const publishing: readonly Case[] = [
  ...['', 'a..b', '.a', 'a.', 'order created', 'order.*', 'ä', 'a-b', long(256)].map(
    (type): Case => [
      'eventPublish',
      { type },
      'type',
      'INVALID',
      'expected a dotted name such as order.created, its parts of A-Z a-z 0-9 _, at most 255 characters; got "',
    ],
  ),
  [
    'eventPublish',
    { payload: long(1024 * 1024 - 1) },
    'payload',
    'TOO_LARGE',
    'expected at most 1048576 bytes of minified JSON, got 1048577',
  ],
  ...(['idempotencyKey', 'orderingKey'] as const).flatMap((field) =>
    ['', ' a', 'a\n', long(256), 'a\u0007b', 'a\ud800'].map(
      (value): Case => [
        'eventPublish',
        { [field]: value },
        field,
        'INVALID',
        'expected 1 to 255 characters without white space around them or control characters, got "',
      ],
    ),
  ),
  ['eventPublish', { occurredAt: '1969-12-31T23:59:59Z' }, 'occurredAt', 'INVALID', 'expected a time between the years 1970 and 9999'],
  ['eventPublish', { applicationId: UNKNOWN }, 'applicationId', 'NOT_FOUND', `got "${UNKNOWN}"`],
  ['eventPublish', { applicationId: '' }, 'applicationId', 'REQUIRED', 'expected the id of an application'],
];

const administering: readonly Case[] = [
  ['applicationCreate', { name: '' }, 'name', 'INVALID', 'expected 1 to 255 characters, got 0'],
  ['applicationCreate', { name: ' \t' }, 'name', 'INVALID', 'expected 1 to 255 characters'],
  ['applicationCreate', { name: long(256) }, 'name', 'INVALID', 'got 256'],
  ...['', ' a', long(256), 'a\u0000', '\ud800'].map(
    (value): Case => [
      'applicationCreate',
      { key: value },
      'key',
      'INVALID',
      'expected 1 to 255 characters without white space around them',
    ],
  ),
  ['applicationCreate', { key: 'shop' }, 'key', 'TAKEN', '"shop" is the key of another application'],
  ['applicationCreate', { metadata: long(65_536) }, 'metadata', 'TOO_LARGE', 'expected at most 65536 characters of JSON, got 65538'],
  [
    'applicationCreate',
    { metadata: JSON.parse('['.repeat(501) + ']'.repeat(501)) },
    'metadata',
    'TOO_LARGE',
    'expected JSON of at most 500 levels',
  ],
  ['apiKeyCreate', { name: long(256) }, 'name', 'INVALID', 'expected at most 255 characters, got 256'],
  ['apiKeyCreate', { expiresAt: '2001-01-01T00:00:00Z' }, 'expiresAt', 'INVALID', 'must be in the future, got 2001-01-01T00:00:00.000Z'],
  ['apiKeyCreate', { scopes: [] }, 'scopes', 'INVALID', 'expected at least one scope'],
  ['apiKeyCreate', { applicationId: null, scopes: ['EVENTS_READ'] }, 'scopes', 'INVALID', 'expected an applicationId beside scopes'],
  ['apiKeyCreate', { applicationId: UNKNOWN }, 'applicationId', 'NOT_FOUND', `got "${UNKNOWN}"`],
  ['apiKeyCreate', { applicationId: '💥' }, 'applicationId', 'NOT_FOUND', 'got "💥"'],
];

describeEachDatabase('Bad input', (makeDatabase) => {
  test('is answered with its path, a message and a code, and stores nothing', async () => {
    await withHub(makeDatabase, async ({ admin, application, databaseUrl, receiver }) => {
      const shop = await application();
      await admin.mutate('mutation ($id: ID!) { applicationUpdate(id: $id, input: { key: "shop" }) { userErrors { code } } }', {
        id: shop.id,
      });
      const { id: webhookId } = await shop.webhook('/hook', { eventTypes: ['never.*'] });
      const before = await rowCounts(databaseUrl);
      const good: Record<string, object> = {
        webhookCreate: { applicationId: shop.id, url: receiver.url('/hook') },
        eventPublish: { applicationId: shop.id, type: 'a.b', payload: {} },
        applicationCreate: { name: 'another' },
        apiKeyCreate: { applicationId: shop.id },
      };
      for (const [mutation, wrong, path, code, message] of [...creating, ...publishing, ...administering]) {
        const { userErrors } = await mutate(admin, mutation, { input: { ...good[mutation], ...wrong } });
        expect([mutation, wrong, userErrors]).toEqual([
          mutation,
          wrong,
          [{ field: path.split('.'), code, message: expect.stringContaining(message) }],
        ]);
      }
      // What is wrong with a new webhook is as wrong with a changed one.
      for (const [, wrong, path, code, message] of creating.filter(([, input]) => !('secret' in input || 'applicationId' in input))) {
        const { userErrors } = await mutate(admin, 'webhookUpdate', { id: webhookId, input: wrong });
        expect([wrong, userErrors]).toEqual([wrong, [{ field: path.split('.'), code, message: expect.stringContaining(message) }]]);
      }
      const without = await mutate(admin, 'webhookUpdate', { id: webhookId, input: { url: null } });
      expect(without.userErrors).toEqual([{ field: ['url'], code: 'REQUIRED', message: 'expected a URL, got nothing' }]);
      const nameless = await mutate(admin, 'applicationUpdate', { id: shop.id, input: { name: null } });
      expect(nameless.userErrors).toEqual([{ field: ['name'], code: 'INVALID', message: 'expected 1 to 255 characters, got null' }]);
      for (const mutation of [
        'applicationDelete',
        'apiKeyRevoke',
        'webhookDelete',
        'webhookPause',
        'webhookResume',
        'deliveryRetry',
        'deliveryCancel',
      ])
        for (const id of ['', 'nonsense', 'ü💥', shop.id.replace('app_', 'key_'), `${shop.id.replace('app_', 'whk_')}00000000`]) {
          const { userErrors } = await mutate(admin, mutation, { id });
          expect([mutation, userErrors]).toEqual([
            mutation,
            [{ field: ['id'], code: 'NOT_FOUND', message: expect.stringContaining(`got "${id}"`) }],
          ]);
        }

      // Everything that is wrong is said at once.
      const { userErrors } = await mutate(admin, 'webhookCreate', {
        input: { applicationId: shop.id, url: 'nowhere', eventTypes: ['?', 'a.*', '!'], timeoutSeconds: 99, secret: 'abc' },
      });
      expect(userErrors.map(({ field }) => field.join('.'))).toEqual(['url', 'eventTypes.0', 'eventTypes.2', 'timeoutSeconds', 'secret']);
      expect(JSON.stringify(userErrors)).not.toContain('abc');

      expect(await rowCounts(databaseUrl)).toEqual(before);
      const { webhook } = await admin.query('query ($id: ID!) { webhook(id: $id) { url eventTypes version } }', { id: webhookId });
      expect(webhook).toEqual({ url: receiver.url('/hook'), eventTypes: ['never.*'], version: 1 });
    });
  });

  test('in the arguments of a list or a stream is refused with what was expected', async () => {
    await withHub(makeDatabase, async ({ application, admin, receiver }) => {
      const shop = await application();
      const { id: webhookId } = await shop.webhook('/hook');
      const event = await shop.publish();
      await receiver.waitFor(1, '/hook');
      const { delivery } = {
        delivery: await shop.client.query<{ deliveries: { nodes: { id: string }[] } }>('{ deliveries { nodes { id } } }'),
      };
      const lists = {
        applications: (args: string) => `applications(${args}) { nodes { id } }`,
        webhooks: (args: string) => `webhooks(applicationId: "${shop.id}", ${args}) { nodes { id } }`,
        events: (args: string) => `events(applicationId: "${shop.id}", ${args}) { nodes { id } }`,
        deliveries: (args: string) => `deliveries(applicationId: "${shop.id}", ${args}) { nodes { id } }`,
        'Webhook.deliveries': (args: string) => `webhook(id: "${webhookId}") { deliveries(${args}) { nodes { id } } }`,
        'Event.deliveries': (args: string) => `event(id: "${event.id}") { deliveries(${args}) { nodes { id } } }`,
        'Delivery.attempts': (args: string) => `delivery(id: "${delivery.deliveries.nodes[0]?.id}") { attempts(${args}) { nodes { id } } }`,
      };
      const cursors = [
        '',
        'nonsense',
        '!',
        encodeCursor('update', shop.id, 1),
        encodeCursor('event', UNKNOWN, 1),
        encodeKeyCursor(event.id),
        `${encodeCursor('event', shop.id, 1)}=`,
      ];
      for (const [list, field] of Object.entries(lists)) {
        for (const first of [0, -1, 101, 2_147_483_647]) {
          const { errors = [] } = await admin.request(`{ ${field(`first: ${first}`)} }`);
          // An enormous page can already be too costly to be looked at.
          expect([list, first, errors.map(({ extensions }) => extensions?.code)]).toEqual([
            list,
            first,
            [first > 1_000 ? expect.stringMatching(/BAD_USER_INPUT|GRAPHQL_VALIDATION_FAILED/) : 'BAD_USER_INPUT'],
          ]);
          if (first <= 1_000) expect(errors[0]?.message).toBe(`first: expected a whole number from 1 to 100, got ${first}`);
        }
        for (const after of cursors) {
          const { errors = [] } = await admin.request(`{ ${field(`after: ${JSON.stringify(after)}`)} }`);
          expect([list, after, errors.map(({ extensions, message }) => [extensions?.code, message])]).toEqual([
            list,
            after,
            [['BAD_USER_INPUT', expect.stringMatching(/^after: (expected a cursor of this|this cursor belongs to another application)/)]],
          ]);
        }
        expect((await admin.request(`{ ${field('first: 100, after: null')} }`)).errors).toBeUndefined();
      }

      for (const [field, message] of [
        [lists.events('filter: { types: ["a..b"] }'), 'filter.types: expected the name of an event type'],
        [lists.deliveries('filter: { eventTypes: ["*a"] }'), 'filter.eventTypes: expected the name of an event type'],
        [lists['Webhook.deliveries']('filter: { eventTypes: ["*a"] }'), 'filter.eventTypes: expected the name of an event type'],
        ...['events', 'webhooks', 'deliveries'].map(
          (list) =>
            [`${list}(applicationId: "shöp") { nodes { id } }`, 'applicationId: expected the id of an application, got "shöp"'] as const,
        ),
        ['application(id: "a", key: "b") { id }', 'expected id or key, got both'],
        ['application { id }', 'expected id or key: an admin key has no application of its own'],
      ] as const) {
        const { errors = [] } = await admin.request(`{ ${field} }`);
        expect([field, errors.map(({ extensions }) => extensions?.code), errors[0]?.message]).toEqual([
          field,
          ['BAD_USER_INPUT'],
          expect.stringContaining(message),
        ]);
      }

      for (const [field, message] of [
        ['event(types: ["a..b"]) { id }', 'types: expected the name of an event type'],
        ['event(after: "") { id }', 'after: expected a cursor of this event log, got ""'],
        ['event(after: "nonsense") { id }', 'after: expected a cursor of this event log, got "nonsense"'],
        [`event(after: "${encodeCursor('event', shop.id, 99)}") { id }`, 'past the end of the log'],
        ['deliveryUpdates(after: "nonsense") { cursor }', 'after: expected a cursor of this list of delivery updates'],
        ['deliveryUpdates(maxBatch: 0) { cursor }', 'maxBatch: expected a whole number from 1 to 1000, got 0'],
        ['deliveryUpdates(intervalMs: -1) { cursor }', 'intervalMs: expected a whole number from 0 to 60000, got -1'],
        ['deliveryUpdates(filter: { eventTypes: ["*a"] }) { cursor }', 'filter.eventTypes: expected the name of an event type'],
      ] as const)
        for (const stream of [shop.client.subscribe(`subscription { ${field} }`), shop.client.subscribeSse(`subscription { ${field} }`)])
          await expect(stream.take(1)).rejects.toMatchObject({
            errors: [expect.objectContaining({ message: expect.stringContaining(message), extensions: { code: 'BAD_USER_INPUT' } })],
          });
      for (const id of [UNKNOWN, 'shöp'])
        await expect(admin.subscribe(`subscription { event(applicationId: "${id}") { id } }`).take(1)).rejects.toMatchObject({
          codes: ['BAD_USER_INPUT'],
        });
      // What is of the right form and names nothing, or has no form at all, selects nothing.
      for (const field of [
        `events(applicationId: "${UNKNOWN}") { nodes { id } }`,
        `webhooks(applicationId: "${UNKNOWN}") { nodes { id } }`,
        `deliveries(applicationId: "${UNKNOWN}") { nodes { id } }`,
        lists.deliveries('filter: { webhookIds: ["ü", "", "whk_"] }'),
        lists.deliveries('filter: { eventIds: ["ü", "", "evt_"] }'),
        lists.events('filter: { idempotencyKey: "ü 💥" }'),
        lists.webhooks('filter: { url: "nowhere 💥" }'),
      ])
        expect([field, Object.values(await admin.query(`{ ${field} }`))]).toEqual([field, [{ nodes: [] }]]);
      const nothing = [
        'application(id: "ü")',
        'application(key: "💥")',
        'webhook(id: "ü")',
        'event(id: "")',
        'delivery(id: "💥")',
        'node(id: "ü")',
        'node(id: "ins_000000000000")',
      ];
      for (const field of nothing) expect([field, await admin.query(`{ it: ${field} { id } }`)]).toEqual([field, { it: null }]);
    });
  });
});

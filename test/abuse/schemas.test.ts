import { AbusedHub, type Tenant } from '../support/abused-hub';
import { mutate, mutated, type UserError } from '../support/mutate';

const node = { $ref: '#/$defs/node' };
/** Where the last level does not fit, each level is checked twice as often as the one above: 48 s for 22 levels. */
const DOUBLING = { ...node, $defs: { node: { anyOf: Array(2).fill({ properties: { next: node, end: { type: 'string' } } }) } } };

function chain(levels: number): object {
  let payload: object = { end: 1 };
  for (let level = 0; level < levels; level++) payload = { next: payload };
  return payload;
}

const ordinary = (no: number) => ({
  type: 'object',
  required: ['no', 'customer', 'lines'],
  properties: {
    no: { type: 'integer', minimum: no },
    customer: {
      type: 'object',
      required: ['id'],
      properties: { id: { type: 'string', pattern: '^cus_[0-9]+$' }, email: { type: 'string', format: 'email' }, name: { type: 'string' } },
    },
    lines: { type: 'array', items: { type: 'object', properties: { sku: { type: 'string' }, price: { type: 'number' } } } },
    state: { enum: ['new', 'paid', 'sent'] },
  },
});
const ORDER = { no: 1_000, customer: { id: 'cus_1', email: 'ada@example.com' }, lines: [{ sku: 'a', price: 1 }], state: 'paid' };

describe('JSON Schemas', () => {
  let hub: AbusedHub;
  beforeAll(async () => {
    hub = await AbusedHub.start();
  });
  afterAll(() => hub.stop());

  const register = (tenant: Tenant, name: string, schema: unknown) =>
    mutated(tenant.client, 'eventTypeRegister', { input: { name, schema } });

  async function refusal(tenant: Tenant, type: string, payload: unknown): Promise<UserError | undefined> {
    const { userErrors } = await mutate(tenant.client, 'eventPublish', { input: { type, payload } });
    return userErrors[0];
  }

  /** Errors of branches that failed pile up, too. */
  const GIVEN_UP = /^could not be checked against the schema of a.b: it took (over 3 s|too much memory)$/;

  test.each<[string, unknown, () => unknown, RegExp | null]>([
    ['two identical branches that recurse, over 22 levels', DOUBLING, () => chain(40), GIVEN_UP],
    ['a pattern of 900 optional letters, over 500 KB', { pattern: '([a-z]?){900}$' }, () => `${'a'.repeat(500_000)}!`, GIVEN_UP],
    ['distinct items, over 150,000 numbers', { uniqueItems: true }, () => Array.from({ length: 150_000 }, (_, no) => no), null],
    [
      'an enumeration of 5,000, over 140,000 items',
      { items: { enum: Array.from({ length: 5_000 }, (_, no) => no + 0.5) } },
      () => Array(140_000).fill(4_999.5),
      /|/, // whether it is given up depends on the machine
    ],
    ['a format that backtracks, over 200 KB', { format: 'url' }, () => `http://${'::'.repeat(100_000)}`, GIVEN_UP],
  ])('with %s are given up, and the neighbour is served', async (_name, schema, payload, message) => {
    const attacker = await hub.tenant('attacker', ['EVENTS_PUBLISH']);
    await hub.expectServed(async () => {
      await register(attacker, 'a.b', schema);
      const refused = await refusal(attacker, 'a.b', payload());
      if (message === null) expect(refused).toBeUndefined();
      else expect(refused?.message ?? '').toMatch(message);
    });
  });

  test('that hang for a whole batch take six seconds of it, and leave the validators to others', async () => {
    const attacker = await hub.tenant('attacker');
    const other = await hub.tenant('other');
    await register(attacker, 'a.b', DOUBLING);
    await register(other, 'tree', { type: 'object', properties: { children: { items: { $ref: '#' } } } });
    await hub.expectServed(async () => {
      const events = Array.from({ length: 200 }, () => ({ type: 'a.b', payload: chain(40) }));
      const query =
        'mutation($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { userErrors { message } } } }';
      let isOver = false;
      const attack = Promise.all(Array.from({ length: 2 }, () => attacker.client.request(query, { events }))).finally(() => {
        isOver = true;
      });
      for (let times = 0; times < 20; times++) expect(await refusal(other, 'tree', { children: [{ children: [] }] })).toBeUndefined();
      expect(isOver).toBe(false);
      const [first] = await attack;
      expect(JSON.stringify(first)).toContain('the events before it took all 6 s that one publish may take');
    });
  });

  test('that are many are compiled when they are used, and not again for each change of a webhook', async () => {
    const shop = await hub.tenant('shop');
    const types = Array.from({ length: 150 }, (_, no) => `order.n${no}`);
    for (const [no, type] of types.entries()) await register(shop, type, ordinary(no));
    const { webhook } = await mutated<{ webhook: { id: string } }>(
      shop.client,
      'webhookCreate',
      { input: { url: hub.receiver.url('/shop') } },
      'webhook { id }',
    );
    await hub.expectServed(async () => {
      for (let change = 0; change < 5; change++) {
        await mutated(shop.client, 'webhookUpdate', { id: webhook.id, input: { description: `the ${change}th` } });
        expect(await refusal(shop, 'order.n1', ORDER)).toBeUndefined();
      }
      const events = types.map((type) => ({ type, payload: ORDER }));
      const query =
        'mutation($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { userErrors { message } } } }';
      expect(JSON.stringify(await shop.client.query(query, { events }))).not.toContain('message');
    });
  });

  test('that take long to compile are compiled beside the loop', async () => {
    const attacker = await hub.tenant('attacker');
    const wide = {
      properties: Object.fromEntries(Array.from({ length: 900 }, (_, no) => [`p${no}`, { type: 'object', required: ['a'] }])),
    };
    const nested = {
      allOf: Array.from({ length: 200 }, (_, no) => ({ if: { required: [`p${no}`] }, else: { unevaluatedProperties: false } })),
    };
    await hub.expectServed(async () => {
      for (const schema of [wide, nested, { pattern: '(((a{10}){10}){10}|b{999})*' }]) {
        const { userErrors } = await mutate(attacker.client, 'eventTypeRegister', { input: { name: 'a.b', schema } });
        if (userErrors.length === 0) await refusal(attacker, 'a.b', {});
      }
    });
  });
});

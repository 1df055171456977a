import { AbusedHub } from '../support/abused-hub';

const QUERY =
  '{"query":"mutation($x: JSON!) { eventPublish(input: { type: \\"a.b\\", payload: $x }) { userErrors { message } } }","variables":{"x":';

describe('Variables that are nested deeply, or fit nothing', () => {
  let hub: AbusedHub;
  beforeAll(async () => {
    hub = await AbusedHub.start();
  });
  afterAll(() => hub.stop());

  async function post(body: string, key?: string): Promise<{ status: number; text: string }> {
    const headers = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) };
    const response = await fetch(new URL('/graphql', hub.url), { method: 'POST', headers, body });
    return { status: response.status, text: await response.text() };
  }

  test('cost a caller without a key nothing but a refusal, and the neighbour nothing', async () => {
    const levels = 5_000;
    const body = `${QUERY}${'{"payload":'.repeat(levels)}1${'}'.repeat(levels)}}}`;
    await hub.expectServed(async () => {
      expect(await post(body)).toMatchObject({ status: 400, text: expect.stringContaining('levels') });
      for (let times = 0; times < 20; times++) expect([400, 429]).toContain((await post(body)).status); // 429: callers without a key share a budget
    });
  });

  test('cost the holder of a key no more, and never the process', async () => {
    const { key } = await hub.tenant('attacker');
    await hub.expectServed(async () => {
      for (const [open, close] of [
        ['{"payload":', '}'],
        ['[', ']'],
        ['{"payload":[1.0,', ']}'],
      ] as const) {
        const deep = (levels: number) => `${QUERY}${open.repeat(levels)}1${close.repeat(levels)}}}`;
        expect(await post(deep(40_000), key)).toMatchObject({ status: 400 });
        expect(await post(deep(450), key)).toMatchObject({ status: 200 });
        const wide = `${open.repeat(240)}1${close.repeat(240)}`;
        expect((await post(`${QUERY}[${Array(200).fill(wide).join()}]}}`, key)).status).toBe(200);
      }
    });
  });

  test('are as cheap where the same names are repeated by the thousand', async () => {
    const { key } = await hub.tenant('repeater');
    const names = Array.from({ length: 40_000 }, (_, no) => `"n${no}":1.0`).join();
    await hub.expectServed(async () => {
      const payload = `{${names},"n0":2}`;
      const { text } = await post(`${QUERY}${payload}}}`, key);
      expect(text).toContain('got \\"n0\\" twice');
      const batch = `{"query":"mutation($e: [EventPublishInput!]!) { eventsPublish(input: { events: $e }) { results { userErrors { code } } } }","variables":{"e":[${Array(4).fill(`{"type":"a.b","payload":${payload}}`).join()}]}}`;
      expect((await post(batch, key)).status).toBe(200);
    });
  });

  test.each([
    ['unknown fields', (names: string) => `{"events":{${names}}}`, 'EventPublishInput has no field \\"n0\\"'],
    ['a missing field', (names: string) => `{"events":[{"payload":{${names}}}]}`, 'the field \\"type\\" of EventPublishInput is missing'],
    [
      'a list in the place of a name',
      (names: string) => `{"events":[{"payload":1,"type":[{${names}}]}]}`,
      'expected String, got a long list',
    ],
  ])('are refused without being quoted: %s', async (_what, input, problem) => {
    const { key } = await hub.tenant('unfitting');
    const names = Array.from({ length: 80_000 }, (_, no) => `"n${no}":1`).join();
    const query = 'mutation($x: EventsPublishInput!) { eventsPublish(input: $x) { userErrors { code } } }';
    await hub.expectServed(async () => {
      const { status, text } = await post(`{"query":"${query}","variables":{"x":${input(names)}}}`, key);
      expect(status).toBe(200);
      expect(text).toContain(problem);
      expect(text).toContain('BAD_USER_INPUT');
    });
  });
});

import { AbusedHub } from '../support/abused-hub';
import { RawWebSocket } from '../support/raw-web-socket';

const QUERY =
  '{"query":"mutation($x: JSON!) { eventPublish(input: { type: \\"a.b\\", payload: $x }) { userErrors { message } } }","variables":{"x":';

const MIB = 1024 * 1024;
const BATCH =
  '{"query":"mutation($x: [EventPublishInput!]!) { eventsPublish(input: { events: $x }) { results { userErrors { code } } userErrors { code } } }","variables":{"x":';

/** Short names that all differ: of what has so many characters they take the longest to parse. */
function names(chars: number, first = 'n'): string {
  const made: string[] = [];
  for (let no = 0, left = chars; left > 0; no++) {
    const member = `"${first}${no.toString(36)}":1`;
    left -= member.length + 1;
    made.push(member);
  }
  return `{${made.join()}}`;
}

const lists = (chars: number) =>
  `[${Array(Math.floor(chars / 3))
    .fill('[]')
    .join()}]`;

describe('Variables that are nested deeply, or fit nothing', () => {
  let hub: AbusedHub;
  beforeAll(async () => {
    hub = await AbusedHub.start();
  });
  afterAll(() => hub.stop());

  async function post(body: string, key?: string, accept = 'application/json'): Promise<{ status: number; text: string }> {
    const headers = { 'content-type': 'application/json', accept, ...(key && { authorization: `Bearer ${key}` }) };
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

  test('are refused after some mistakes where there are as many as there is room for', async () => {
    const { key } = await hub.tenant('mistaken');
    await hub.expectServed(async () => {
      for (const [events, caller] of [
        [8_000, undefined],
        [100_000, key],
      ] as const) {
        const { text } = await post(`${BATCH}[${Array(events).fill('{"a":1}').join()}]}}`, caller);
        expect(text).toContain('Field \\"a\\" is not defined by type \\"EventPublishInput\\"');
        expect(text.length).toBeLessThan(20_000);
      }
    });
  });

  const LARGE: readonly (readonly [string, () => string, string])[] = [
    [
      'names in fifteen payloads',
      () => batch(Array.from({ length: 15 }, (_, no) => names(MIB - 50, String.fromCharCode(97 + no)))),
      '"userErrors":[]',
    ],
    ['empty lists in fifteen payloads', () => batch(Array(15).fill(lists(MIB - 50))), '"userErrors":[]'],
    ['names in one payload', () => batch([names(15 * MIB), '{"a":1}']), 'TOO_LARGE'],
    ['a variable of names', () => `${QUERY}${names(15 * MIB)}}}`, 'expected at most 1048576 bytes of minified JSON, got more'],
    ['a variable of empty lists', () => `${QUERY}${lists(15 * MIB)}}}`, 'expected at most 1048576 bytes of minified JSON, got more'],
    ['a filter of names', () => filter(names(15 * MIB)), 'filter: expected JSON of at most 1 MiB, got more'],
    [
      'a list that is no payload',
      () => `{"query":"query($x: [ID!]) { deliveries(filter: { eventIds: $x }) { nodes { id } } }","variables":{"x":${lists(15 * MIB)}}}`,
      'BAD_USER_INPUT',
    ],
    ['what is no variable', () => `{"query":"{ __typename }","x":${names(15 * MIB)}}`, 'beside variables and long strings'],
    ['white space and escapes', () => batch([`[${'1,\t\t\t\t\t'.repeat(MIB)}1]`, `"${'\\u0041'.repeat(MIB)}"`]), 'TOO_LARGE'],
  ];
  const batch = (payloads: readonly string[]) => `${BATCH}[${payloads.map((payload) => `{"type":"a.b","payload":${payload}}`).join()}]}}`;
  const filter = (json: string) =>
    `{"query":"mutation($x: JSON) { webhookCreate(input: { url: \\"https://a.example\\", filter: $x }) { userErrors { message } } }","variables":{"x":${json}}}`;

  test.each(LARGE)('are parsed in turns where there are megabytes of them: %s', async (what, body, answered) => {
    const { key, client } = await hub.tenant(`large ${what}`);
    const text = body();
    await hub.expectServed(async () => {
      expect((await post(text, key)).text).toContain(answered);
      const socket = await RawWebSocket.connect(hub.url, key);
      const overSocket = async () => {
        socket.send(`{"id":"1","type":"subscribe","payload":${text}}`);
        return JSON.stringify(await socket.next(({ id }) => id === '1'));
      };
      const overHttp = async (accept: string) => (await post(text, key, accept)).text;
      const answers = await Promise.all([overHttp('application/json'), overHttp('text/event-stream'), overSocket()]);
      socket.close();
      // Three at once may be more events than may wait for their commit, where that takes long.
      for (const answer of answers) expect(answer.includes(answered) || answer.includes('RATE_LIMITED')).toBe(true);
    });
    await client.close();
  });

  test('are answered or refused, and fit into memory, where one key sends as many at once as there is room for, and more', async () => {
    const { key } = await hub.tenant('many at once');
    const text = batch(Array.from({ length: 15 }, (_, no) => names(MIB - 50, String.fromCharCode(97 + no))));
    const statuses = (requests: number) => Promise.all(Array.from({ length: requests }, async () => (await post(text, key)).status));
    await hub.expectServed(async () => {
      expect(await statuses(2)).toEqual([200, 200]);
      for (const status of await statuses(8)) expect([200, 429]).toContain(status);
    });
  });
});

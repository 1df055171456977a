import { readFile } from 'node:fs/promises';
import { getIntrospectionQuery } from 'graphql';
import { AbusedHub } from '../support/abused-hub';

const TYPES = 'types{name fields{name args{name type{name}} type{name ofType{name}}} inputFields{name type{name}}}';
/** Fifty times the whole schema, for 6 KB. */
const FIFTY_SCHEMAS = `{ ${Array.from({ length: 50 }, (_, index) => `a${index}:__schema{${TYPES}}`).join(' ')} }`;
const FIFTY_BELOW = `{ __schema { ${Array.from({ length: 50 }, (_, index) => `a${index}:${TYPES}`).join(' ')} } }`;
const MANY_VIEWERS = `{ ${Array.from({ length: 400 }, () => 'viewer{admin}').join(' ')} }`;
const UNKNOWN_FIELDS = `{ ${Array.from({ length: 400 }, (_, index) => `viewr${index}{a b}`).join(' ')} }`;

/** Milliseconds of CPU that a process has used so far, all its threads. */
async function cpuMs(pid: number): Promise<number> {
  const [user, system] = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ').slice(11, 13) ?? [];
  return (Number(user) + Number(system)) * 10; // in ticks of 10 ms on every Linux
}

async function post(hub: AbusedHub, query: string, { accept = 'application/json', key }: { accept?: string; key?: string } = {}) {
  const response = await fetch(`${hub.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, ...(key !== undefined && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ query }),
  });
  return { status: response.status, text: await response.text() };
}

describe('Callers without a valid key', () => {
  let hub: AbusedHub;
  beforeAll(async () => {
    hub = await AbusedHub.start();
  });
  afterAll(() => hub.stop());

  test.each([
    ['the whole schema fifty times', FIFTY_SCHEMAS],
    ['the whole schema fifty times below one field', FIFTY_BELOW],
    ['the viewer hundreds of times', MANY_VIEWERS],
    ['hundreds of fields that there are not', UNKNOWN_FIELDS],
    ['the schema, each time with other words', getIntrospectionQuery()],
  ])('who ask for %s, on and on, get little of the CPU', async (_what, query) => {
    const statuses = new Map<number, number>();
    await hub.expectServed(async () => {
      const before = await cpuMs(hub.process.pid);
      for (let round = 0; round < 10; round++) {
        const asked = Array.from({ length: 40 }, (_, index) =>
          post(hub, `${query} #${round} ${index}`, { accept: index % 2 ? 'text/event-stream' : 'application/json' }),
        );
        for (const { status } of await Promise.all(asked)) statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      // 400 of them took up to 80 s; what is left is 400 connections and requests that are refused, and the neighbour.
      expect((await cpuMs(hub.process.pid)) - before).toBeLessThan(4_000);
    });
    expect([...statuses.values()].reduce((sum, count) => sum + count, 0)).toBe(400);
  });

  test('are told when to come back, and are served again then', async () => {
    let refused: { status: number; text: string } | undefined;
    while (refused?.status !== 429) refused = await post(hub, `{ __schema { ${TYPES} } } #${Math.random()}`);
    expect(JSON.parse(refused.text)).toMatchObject({ errors: [{ extensions: { code: 'RATE_LIMITED', retryAfter: expect.any(Number) } }] });
    for (;;) {
      const { status, text } = await post(hub, '{ viewer { admin } }');
      if (status === 429) continue;
      expect(text).toContain('UNAUTHENTICATED');
      break;
    }
  });
});

describe('A key', () => {
  test('does not get the schema fifty times in one answer either', async () => {
    const hub = await AbusedHub.start();
    try {
      const { key } = await hub.tenant('shop');
      for (const query of [FIFTY_SCHEMAS, FIFTY_BELOW])
        expect((await post(hub, query, { key })).text).toContain('Introspection has no aliases.');
      await hub.expectServed(async () => {
        const query = getIntrospectionQuery();
        const first = await post(hub, query, { key });
        let same = 0;
        for (let times = 0; times < 200; times++) if ((await post(hub, query, { key })).text === first.text) same++;
        expect([first.status, same]).toEqual([200, 200]);
      });
    } finally {
      await hub.stop();
    }
  });
});

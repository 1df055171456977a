import { getIntrospectionQuery } from 'graphql';
import { createSqliteDatabase } from '../support/databases';
import { askOver, codesOf, type Transport } from '../support/transports';
import { withHub } from '../support/with-hub';

const TYPE_NAMES = '{ __schema { types { name } } }';
const IN_A_FRAGMENT = 'query { ...F } fragment F on Query { __type(name: "Event") { name } }';

/** Without a key there is no WebSocket. */
const WITHOUT_KEY: readonly Transport[] = ['HTTP', 'SSE'];
const WITH_KEY: readonly Transport[] = ['HTTP', 'SSE', 'WebSocket'];

describe('The schema', () => {
  test.each([
    ['true', undefined, undefined],
    ['keys', 'UNAUTHENTICATED', undefined],
    ['false', 'FORBIDDEN', 'FORBIDDEN'],
  ])('is shown with LIVEHOOK_INTROSPECTION=%s to those who may see it, on every transport', async (setting, withoutKey, withKey) => {
    await withHub(
      createSqliteDatabase,
      async ({ admin, client }) => {
        const callers = [
          [client(), WITHOUT_KEY, withoutKey],
          [admin, WITH_KEY, withKey],
        ] as const;
        // The second time the answer is one that was kept.
        for (const [caller, transports, code] of callers)
          for (const transport of transports)
            for (const query of [TYPE_NAMES, IN_A_FRAGMENT, TYPE_NAMES]) {
              const answer = await askOver(transport, caller, query);
              expect([transport, query, codesOf(answer)]).toEqual([transport, query, code === undefined ? [] : [code]]);
              if (code === undefined) expect(answer.data).toBeTruthy();
              else expect(answer.data ?? null).toBeNull();
            }
        for (const transport of WITH_KEY)
          expect(await askOver(transport, admin, '{ __typename viewer { __typename } }')).toEqual({
            data: { __typename: 'Query', viewer: { __typename: 'Viewer' } },
          });
      },
      { environment: { LIVEHOOK_INTROSPECTION: setting } },
    );
  });

  test.each([
    ['true', /^Cannot query field "viewr" on type "Query"\. Did you mean "viewer"\?$/],
    ['false', /^Cannot query field "viewr" on type "Query"\.$/],
  ])('is given away by no suggestion with LIVEHOOK_INTROSPECTION=%s unless it may be seen', async (setting, message) => {
    await withHub(
      createSqliteDatabase,
      async ({ client, admin }) => {
        for (const caller of [client(), admin])
          expect((await askOver('HTTP', caller, '{ viewr { admin } }')).errors?.[0]?.message).toMatch(message);
      },
      { environment: { LIVEHOOK_INTROSPECTION: setting } },
    );
  });

  test('is the same whether it is made or kept, as whatever media type it is asked for, by whatever variables', async () => {
    await withHub(createSqliteDatabase, async ({ url, admin }) => {
      const ask = async (accept: string) => {
        const response = await fetch(`${url}/graphql`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', accept },
          body: JSON.stringify({ query: getIntrospectionQuery(), operationName: 'IntrospectionQuery' }),
        });
        return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
      };
      for (const accept of ['application/json', 'application/graphql-response+json, application/json', '*/*', 'application/json;q=0.5']) {
        const [made, kept] = [await ask(accept), await ask(accept)];
        expect([made.status, made.type, made.text === kept.text, made.text.length > 10_000]).toEqual([200, kept.type, true, true]);
        const [type] = accept.split(/[,;]/);
        if (type !== '*/*') expect(made.type).toBe(`${type}; charset=utf-8`);
      }
      const named = 'query ($name: String!) { __type(name: $name) { name } }';
      for (const name of ['Event', 'Webhook', 'Event', 'Nothing'])
        expect(await admin.query(named, { name })).toEqual({ __type: name === 'Nothing' ? null : { name } });
      expect(await askOver('HTTP', admin, named)).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
    });
  });

  test('is asked for without aliases, and for ten types at most', async () => {
    await withHub(createSqliteDatabase, async ({ admin }) => {
      const types = (count: number) =>
        `{ ${Array.from({ length: count }, (_, index) => `t${index}: __type(name: "Event") { name }`).join(' ')} }`;
      expect((await askOver('HTTP', admin, types(10))).errors).toBeUndefined();
      for (const query of [
        types(11),
        '{ a: __schema { types { name } } }',
        '{ __schema { types { a: name } } }',
        'query { __type(name: "Event") { ...F } } fragment F on __Type { a: fields { name } }',
      ])
        expect(codesOf(await askOver('HTTP', admin, query))).toEqual(['GRAPHQL_VALIDATION_FAILED']);
    });
  });
});

describe('A caller without a valid key', () => {
  test('sends small documents', async () => {
    await withHub(createSqliteDatabase, async ({ client, url }) => {
      const stranger = client();
      for (const query of [
        `{ ${'viewer { admin } '.repeat(60)} }`,
        `{ ${[1, 2, 3, 4, 5, 6].map((no) => `a${no}: __typename`).join(' ')} }`,
      ])
        for (const transport of WITHOUT_KEY)
          expect((await askOver(transport, stranger, query)).errors).toMatchObject([
            { message: expect.stringContaining('Without a valid key'), extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } },
          ]);
      const long = `{ __typename } #${'x'.repeat(4_096)}`;
      expect((await askOver('SSE', stranger, long)).errors).toMatchObject([
        { message: expect.stringContaining('at most 4096 characters') },
      ]);
      expect(await stranger.request(long)).toMatchObject({ status: 413, errors: [{ extensions: { code: 'BAD_REQUEST' } }] });
      const inUrl = await fetch(`${url}/graphql?query=${encodeURIComponent(long)}`, { headers: { accept: 'application/json' } });
      expect(inUrl.status).toBe(413);
    });
  });
});

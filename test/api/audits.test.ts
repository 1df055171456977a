import { type Audit, serverAudits } from 'graphql-http';
import { createSqliteDatabase } from '../support/databases';
import { withHub } from '../support/with-hub';

/** As urql adds to what it asks for in every request. */
const STREAMS = 'text/event-stream, multipart/mixed';

/** Asks as the audit does, but for streams as well. */
async function fetchLikeUrql(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const accept = headers.get('accept');
  if (accept !== null) headers.set('accept', `${accept}, ${STREAMS}`);
  return fetch(input, { ...init, headers });
}

test.each([
  ['as they are', fetch],
  ['with streams in each Accept, as urql sends it', fetchLikeUrql],
])('all 61 audits of GraphQL over HTTP pass %s, without a key', async (_how, fetchFn) => {
  await withHub(createSqliteDatabase, async ({ url }) => {
    const audits: Audit[] = serverAudits({ url: `${url}/graphql`, fetchFn });
    const results = await Promise.all(audits.map(({ fn }) => fn()));
    expect(results).toHaveLength(61);
    expect(results.filter(({ status }) => status !== 'ok').map(({ id, name, status }) => ({ id, name, status }))).toEqual([]);
  });
});

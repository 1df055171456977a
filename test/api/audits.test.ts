import { type Audit, serverAudits } from 'graphql-http';
import { createSqliteDatabase } from '../support/databases';
import { withHub } from '../support/with-hub';

test('all 61 audits of GraphQL over HTTP pass, without a key', async () => {
  await withHub(createSqliteDatabase, async ({ url }) => {
    const audits: Audit[] = serverAudits({ url: `${url}/graphql` });
    const results = await Promise.all(audits.map(({ fn }) => fn()));
    expect(results).toHaveLength(61);
    expect(results.filter(({ status }) => status !== 'ok').map(({ id, name, status }) => ({ id, name, status }))).toEqual([]);
  });
});

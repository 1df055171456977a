import { readConfig } from '../../src/config';
import { createDatabase } from '../../src/data-source';
import type { Log } from '../../src/log';
import { silentLog } from '../../src/log';
import { rekeySecrets } from '../../src/webhooks/rekey';
import { Seal } from '../../src/webhooks/seal';
import { describeEachDatabase } from '../support/databases';
import { mutate, mutated } from '../support/mutate';
import { dumpOf, withRows } from '../support/rows';
import { until } from '../support/until';
import { type TestApplication, testEnvironment, withHub } from '../support/with-hub';

const VALUE = 'Bearer t0p-s3cret-value-9876';
const PART = 's3cret';
const headers = [
  { name: 'Authorization', value: VALUE },
  { name: 'x-tenant', value: 'short' },
];
const SHOWN = [
  { name: 'Authorization', value: '••••9876' },
  { name: 'x-tenant', value: '••••' },
];

interface Shown {
  readonly webhook: { readonly headers: readonly { name: string; value: string }[]; readonly version: number };
}

const headersOf = async ({ client }: TestApplication, id: string) =>
  (await client.query<Shown>('query ($id: ID!) { webhook(id: $id) { headers { name value } version } }', { id })).webhook;

function listeningLog(): { readonly log: Log; readonly lines: () => string } {
  const lines: unknown[] = [];
  const note = (facts: unknown, event: string) => void lines.push([event, facts]);
  return { log: { debug: note, info: note, warn: note, error: note } as unknown as Log, lines: () => JSON.stringify(lines) };
}

describeEachDatabase('The values of own headers', (makeDatabase) => {
  test('reach the receiver and nobody else: not the database, the API, attempts, tests or the log', async () => {
    const { log, lines } = listeningLog();
    await withHub(
      makeDatabase,
      async ({ application, receiver, databaseUrl }) => {
        const shop = await application();
        receiver.answer('/hook', (_, nth) => ({ status: nth === 1 ? 500 : 200 }));
        const created = await mutated<{ webhook: { id: string } }>(
          shop.client,
          'webhookCreate',
          { input: { url: receiver.url('/hook'), headers, format: 'CLOUDEVENTS_BINARY', retrySchedule: [1] } },
          'webhook { id headers { name value } }',
        );
        expect(created.webhook).toMatchObject({ headers: SHOWN });
        const { id } = created.webhook;
        await shop.publish();
        await receiver.waitFor(2, '/hook');
        const tested = await mutated<{ attempt: object }>(
          shop.client,
          'webhookTest',
          { id, input: { eventType: 'a.b', payload: 1 } },
          'attempt { requestHeaders { name value } curl }',
        );
        for (const request of receiver.requests('/hook'))
          expect(request.headers).toMatchObject({ authorization: VALUE, 'x-tenant': 'short' });

        const seen = await until(
          async () => {
            const { deliveries } = await shop.client.query<{
              deliveries: { nodes: { attempts: { nodes: { requestHeaders: { name: string; value: string }[]; curl: string }[] } }[] };
            }>('{ deliveries { nodes { attempts { nodes { requestHeaders { name value } curl } } } } }');
            const attempts = deliveries.nodes[0]?.attempts.nodes ?? [];
            return attempts.length === 2 ? attempts : undefined;
          },
          { description: 'both attempts' },
        );
        for (const { requestHeaders, curl } of seen) {
          expect(requestHeaders).toContainEqual({ name: 'authorization', value: '••••9876' });
          expect(requestHeaders).toContainEqual({ name: 'ce-type', value: 'order.created' });
          expect(curl).toContain("'authorization: ••••9876'");
        }
        expect(JSON.stringify([seen, tested, await headersOf(shop, id)])).not.toContain(PART);
        expect(await dumpOf(databaseUrl)).not.toContain(PART);
        expect(lines()).not.toContain(PART);
      },
      { log },
    );
  });

  test('stay when a client sends back what it was shown, and change when it sends another', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook', { headers });
      const received = async (nth: number) => {
        await shop.publish();
        await receiver.waitFor(nth, '/hook');
        return receiver.requests('/hook')[nth - 1]?.headers;
      };
      const update = (given: readonly { name: string; value: string }[]) =>
        mutate<{ webhook: object | null }>(
          shop.client,
          'webhookUpdate',
          { id, input: { headers: given } },
          'webhook { headers { name value } }',
        );

      const more = { name: 'x-more', value: 'something new' };
      const { webhook } = await update([...(await headersOf(shop, id)).headers, more]);
      expect(webhook).toEqual({ headers: [...SHOWN, { name: 'x-more', value: '•••• new' }] });
      expect(await received(1)).toMatchObject({ authorization: VALUE, 'x-tenant': 'short', 'x-more': 'something new' });

      const refused = await update([{ name: 'authorization', value: '••••0000' }, { name: 'x-none', value: '••••' }, more]);
      expect(refused).toEqual({
        webhook: null,
        userErrors: [
          {
            field: ['headers', '0', 'value'],
            message: 'expected a value in full, got the mask "••••0000": the stored one shows as another',
            code: 'INVALID',
          },
          {
            field: ['headers', '1', 'value'],
            message: 'expected a value in full, got the mask "••••": none of this name is stored',
            code: 'INVALID',
          },
        ],
      });
      const created = await mutate(shop.client, 'webhookCreate', { input: { url: receiver.url('/new'), headers: SHOWN } });
      expect(created.userErrors.map(({ field }) => field)).toEqual([
        ['headers', '0', 'value'],
        ['headers', '1', 'value'],
      ]);

      await update([{ name: 'authorization', value: 'Basic another-value' }]);
      const last = await received(2);
      expect(last).toMatchObject({ authorization: 'Basic another-value' });
      expect(last).not.toHaveProperty('x-tenant');
      await mutated(shop.client, 'webhookUpdate', { id, input: { headers: null } });
      expect(await headersOf(shop, id)).toMatchObject({ headers: [] });
      expect(await received(3)).not.toHaveProperty('authorization');
    });
  });

  test('of a database of the version before are sealed at the next start, and with a new key when they are given one', async () => {
    await withHub(makeDatabase, async ({ application, receiver, databaseUrl, hub, startAnother }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook', { headers });
      await hub.stop();
      await withRows(databaseUrl, (_query, database) =>
        database.transaction((tx) => tx.execute('UPDATE webhooks SET headers = ?, sealed_headers = NULL', [JSON.stringify(headers)])),
      );
      const rows = () =>
        withRows(databaseUrl, (query) => query<{ sealed_headers: string }>('SELECT headers, sealed_headers FROM webhooks'));
      const second = await startAnother();
      await until(async () => !JSON.stringify(await rows()).includes(PART), { description: 'the values to be sealed' });
      await second.hub.stop();

      const config = readConfig(testEnvironment(databaseUrl));
      if (!config.secretKey) throw new Error('the test environment has a key');
      const newKey = Buffer.alloc(32, 9);
      const database = createDatabase(config.databaseUrl, silentLog);
      await database.open();
      expect(await rekeySecrets(database, new Seal(newKey, [config.secretKey]))).toEqual({ changed: 2, total: 2 });
      await database.close();
      expect((await rows())[0]?.sealed_headers).toMatch(new RegExp(`^${new Seal(newKey).keyId}\\.`));

      const { url } = await startAnother({ environment: { LIVEHOOK_SECRET_KEY: newKey.toString('base64') } });
      await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${shop.key}` },
        body: JSON.stringify({ query: 'mutation { eventPublish(input: { type: "a", payload: 1 }) { event { id } } }' }),
      });
      await receiver.waitFor(1, '/hook');
      expect(receiver.requests('/hook')[0]?.headers).toMatchObject({ authorization: VALUE, 'x-tenant': 'short' });
      expect(id).toMatch(/^whk_/);
    });
  });
});

import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { readConfig } from '../../src/config';
import { rekeySecrets } from '../../src/webhooks/rekey';
import { Seal } from '../../src/webhooks/seal';
import { Authority } from '../support/certificates';
import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { Build } from '../support/hub-process';
import { mutate, mutated } from '../support/mutate';
import type { Answer, ReceivedRequest } from '../support/receiver';
import { dumpOf, withRows } from '../support/rows';
import { CLIENT_CERTIFICATE, CLIENT_KEY, EXPIRED_CLIENT_CERTIFICATE, OTHER_KEY } from '../support/tls-certificates';
import { until } from '../support/until';
import { ADMIN_KEY, testEnvironment, withHub } from '../support/with-hub';

const FIELDS = 'webhook { id clientCertificate { subject fingerprint expiresAt } oauth { tokenUrl clientId secretHint scope audience } }';
const SECRET = 'a-client-secret-1234';
const ATTEMPTS =
  'query ($id: ID!) { webhook(id: $id) { deliveries { nodes { attempts { nodes { outcome statusCode error curl requestHeaders { name value } } } } } } }';

interface Shown {
  readonly webhook: { readonly id: string; readonly clientCertificate: object | null; readonly oauth: object | null };
}

const keyLines = CLIENT_KEY.split('\n').slice(1, -1);

/** A server that gives numbered tokens: `t1`, `t2` … */
const tokens = (_request: ReceivedRequest, nth: number): Answer => ({
  status: 200,
  body: JSON.stringify({ access_token: `t${nth}-${'x'.repeat(20)}`, token_type: 'Bearer', expires_in: 3600 }),
});

describeEachDatabase('Credentials of a webhook', (makeDatabase) => {
  test('are shown without what is secret in them, sealed at rest, replaced and cleared', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl, receiver }) => {
      const shop = await application();
      const oauth = { tokenUrl: receiver.url('/token'), clientId: 'hub', clientSecret: SECRET, scope: 'hooks:write' };
      const { webhook } = await mutated<Shown>(
        shop.client,
        'webhookCreate',
        { input: { url: receiver.url('/hook'), clientCertificate: CLIENT_CERTIFICATE, clientKey: CLIENT_KEY, oauth } },
        FIELDS,
      );
      expect(webhook).toEqual({
        id: expect.any(String),
        clientCertificate: {
          subject: 'CN=hub.bank.test, O=Example Bank',
          fingerprint: '35:0C:99:8A:7A:AD:24:23:99:64:BA:3E:86:9E:27:A4:79:AF:60:E1:6C:7C:0B:D0:DA:01:99:C9:0F:C6:25:4D',
          expiresAt: '2120-01-01T00:00:00.000Z',
        },
        oauth: { tokenUrl: receiver.url('/token'), clientId: 'hub', secretHint: '1234', scope: 'hooks:write', audience: null },
      });
      const dump = await dumpOf(databaseUrl);
      for (const secret of [...keyLines, SECRET]) expect(dump).not.toContain(secret);

      const update = async (input: object) =>
        (await mutated<Shown>(shop.client, 'webhookUpdate', { id: webhook.id, input }, FIELDS)).webhook;
      expect(await update({ description: 'x' })).toEqual(webhook);
      expect(await update({ clientCertificate: null, clientKey: null })).toEqual({ ...webhook, clientCertificate: null });
      expect(await update({ oauth: { ...oauth, clientSecret: 'short', scope: null } })).toMatchObject({
        oauth: { secretHint: '', scope: null },
      });
      expect(await update({ oauth: null })).toMatchObject({ clientCertificate: null, oauth: null });
    });
  });

  test('are given a new key with the other secrets', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl, receiver, hub, startAnother }) => {
      const shop = await application();
      receiver.answer('/token', tokens);
      const { id } = await shop.webhook('/hook', {
        clientCertificate: CLIENT_CERTIFICATE,
        clientKey: CLIENT_KEY,
        oauth: { tokenUrl: receiver.url('/token'), clientId: 'hub', clientSecret: SECRET },
      });
      const { secretKey } = readConfig(testEnvironment(databaseUrl));
      if (!secretKey) throw new Error('the test environment has a key');
      const newKey = Buffer.alloc(32, 9);
      await withRows(databaseUrl, async (_query, database) => {
        expect(await rekeySecrets(database, new Seal(newKey, [secretKey]))).toEqual({ changed: 3, total: 3 });
        expect(await rekeySecrets(database, new Seal(newKey))).toEqual({ changed: 0, total: 3 });
      });
      await hub.stop();
      const { url } = await startAnother({ environment: { LIVEHOOK_SECRET_KEY: newKey.toString('base64') } });
      const again = new Client(url, shop.key);
      const { attempt } = await mutated<{ attempt: object }>(
        again,
        'webhookTest',
        { id, input: { eventType: 'a.b', payload: 1 } },
        'attempt { outcome }',
      );
      expect(attempt).toEqual({ outcome: 'SUCCESS' });
      const [asked] = receiver.requests('/token');
      expect(asked?.headers.authorization).toBe(`Basic ${Buffer.from(`hub:${SECRET}`).toString('base64')}`);
      await again.close();
    });
  });
});

describe('Credentials that cannot be used', () => {
  test.each<[string, object, string, string, string]>([
    ['a certificate without its key', { clientCertificate: CLIENT_CERTIFICATE }, 'clientKey', 'REQUIRED', 'got nothing'],
    ['a key without its certificate', { clientKey: CLIENT_KEY }, 'clientCertificate', 'REQUIRED', 'got nothing'],
    ['no certificate', { clientCertificate: 'hello', clientKey: CLIENT_KEY }, 'clientCertificate', 'INVALID', 'got something else'],
    [
      'a certificate with other bytes in it',
      { clientCertificate: CLIENT_CERTIFICATE.replace('MII', 'AAA'), clientKey: CLIENT_KEY },
      'clientCertificate',
      'INVALID',
      'got one that cannot be read',
    ],
    [
      'an expired certificate',
      { clientCertificate: EXPIRED_CLIENT_CERTIFICATE, clientKey: CLIENT_KEY },
      'clientCertificate',
      'INVALID',
      'got one that expired at 2021-01-01T00:00:00.000Z',
    ],
    [
      'the key of another certificate',
      { clientCertificate: CLIENT_CERTIFICATE, clientKey: OTHER_KEY },
      'clientKey',
      'INVALID',
      'got that of another certificate',
    ],
    ['no key', { clientCertificate: CLIENT_CERTIFICATE, clientKey: 'hello' }, 'clientKey', 'INVALID', 'got something else'],
    [
      'a key with a passphrase',
      { clientCertificate: CLIENT_CERTIFICATE, clientKey: CLIENT_KEY.replaceAll('PRIVATE', 'ENCRYPTED PRIVATE') },
      'clientKey',
      'INVALID',
      'got one with a passphrase',
    ],
    [
      'a very long certificate',
      { clientCertificate: CLIENT_CERTIFICATE.repeat(60), clientKey: CLIENT_KEY },
      'clientCertificate',
      'TOO_LARGE',
      'at most 32768 characters',
    ],
    ['half of a removal', { clientKey: null }, 'clientKey', 'INVALID', 'both null to clear them'],
    ['a token URL on a private address', { oauth: { tokenUrl: 'https://10.0.0.1/token' } }, 'oauth.tokenUrl', 'INVALID', '(private)'],
    ['a token URL on another port', { oauth: { tokenUrl: 'https://example.com:25/' } }, 'oauth.tokenUrl', 'INVALID', 'got 25'],
    ['no client', { oauth: { clientId: '' } }, 'oauth.clientId', 'REQUIRED', 'got nothing'],
    ['a secret on two lines', { oauth: { clientSecret: 'a\nb' } }, 'oauth.clientSecret', 'INVALID', 'printable ASCII'],
    ['a long secret', { oauth: { clientSecret: 'x'.repeat(2_049) } }, 'oauth.clientSecret', 'TOO_LARGE', 'got 2049'],
    ['scopes with quotes', { oauth: { scope: '"all"' } }, 'oauth.scope', 'INVALID', 'scopes separated by single spaces'],
    [
      'a header that the token would meet',
      { oauth: {}, headers: [{ name: 'Authorization', value: 'Bearer mine' }] },
      'oauth',
      'INVALID',
      'expected no header "authorization"',
    ],
  ])('are refused, whole: %s', async (_, input, field, code, message) => {
    await withHub(createSqliteDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook');
      const given = {
        ...input,
        ...('oauth' in input && {
          oauth: { tokenUrl: 'https://example.com/token', clientId: 'hub', clientSecret: SECRET, ...(input.oauth as object) },
        }),
      };
      const refused = { userErrors: [{ field: field.split('.'), code, message: expect.stringContaining(message) }] };
      expect(await mutate(shop.client, 'webhookCreate', { input: { url: receiver.url('/new'), ...given } })).toMatchObject(refused);
      const answer = await mutate(shop.client, 'webhookUpdate', { id, input: given });
      expect(answer).toMatchObject(refused);
      for (const secret of [...keyLines, SECRET]) expect(JSON.stringify(answer)).not.toContain(secret);
    });
  });
});

describe('An OAuth client', () => {
  test('gives deliveries, ordered ones, tests and verifications a token that nobody reads afterwards', async () => {
    await withHub(createSqliteDatabase, async ({ application, receiver, databaseUrl }) => {
      const shop = await application();
      receiver.answer('/token', tokens);
      receiver.answer('/checked', ({ body }) => ({ body: JSON.stringify({ challenge: JSON.parse(String(body)).challenge }) }));
      const oauth = { tokenUrl: receiver.url('/token'), clientId: 'hub', clientSecret: SECRET };
      const { id } = await shop.webhook('/plain', { oauth });
      await shop.webhook('/ordered', { oauth, ordering: 'STRICT' });
      await shop.webhook('/checked', { oauth, verification: 'CHALLENGE', eventTypes: ['none'] });
      await shop.publish();
      await shop.publish();
      await until(() => receiver.requests('/plain').length === 2 && receiver.requests('/ordered').length === 2, {
        description: 'four deliveries',
      });
      const { attempt } = await mutated<{ attempt: object }>(
        shop.client,
        'webhookTest',
        { id, input: { eventType: 'a.b', payload: 1 } },
        'attempt { outcome curl requestHeaders { name value } }',
      );
      expect(attempt).toMatchObject({ outcome: 'SUCCESS' });
      const carried = (path: string) => new Set(receiver.requests(path).map(({ headers }) => headers.authorization));
      for (const path of ['/plain', '/ordered', '/checked']) {
        expect([...carried(path)]).toEqual([expect.stringMatching(/^Bearer t\d-x{20}$/)]);
      }
      // One of its own for each webhook, and no more.
      expect(receiver.requests('/token')).toHaveLength(3);
      const shown = JSON.stringify([attempt, await shop.client.query(ATTEMPTS, { id })]);
      expect(shown).not.toMatch(/xxxxx|Bearer|authorization/i);
      expect(await dumpOf(databaseUrl)).not.toMatch(/xxxxx|Bearer/);
    });
  });

  test('renews its token once when the receiver refuses it: one attempt on record', async () => {
    await withHub(createSqliteDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/token', tokens);
      receiver.answer('/hook', ({ headers }, nth) => ({ status: nth > 1 && headers.authorization?.startsWith('Bearer t1') ? 401 : 204 }));
      const { id } = await shop.webhook('/hook', {
        oauth: { tokenUrl: receiver.url('/token'), clientId: 'hub', clientSecret: SECRET },
        retrySchedule: [],
      });
      await shop.publish();
      await receiver.waitFor(1, '/hook');
      await shop.publish();
      await receiver.waitFor(3, '/hook');
      await until(
        async () => {
          const found = await shop.client.query<{ webhook: { deliveries: { nodes: { attempts: { nodes: object[] } }[] } } }>(ATTEMPTS, {
            id,
          });
          const attempts = found.webhook.deliveries.nodes.map((delivery) => delivery.attempts.nodes);
          if (attempts.flat().length < 2) return undefined;
          expect(attempts).toMatchObject([[{ outcome: 'SUCCESS', statusCode: 204 }], [{ outcome: 'SUCCESS', statusCode: 204 }]]);
          return true;
        },
        { description: 'two deliveries, each with one attempt' },
      );
      expect(receiver.requests('/token')).toHaveLength(2);
    });
  });

  test('that gets no token fails the attempt and says why', async () => {
    await withHub(createSqliteDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/token', { status: 401, body: '{"error":"invalid_client"}' });
      const { id } = await shop.webhook('/hook', {
        oauth: { tokenUrl: receiver.url('/token'), clientId: 'hub', clientSecret: SECRET },
      });
      const { attempt } = await mutated<{ attempt: object }>(
        shop.client,
        'webhookTest',
        { id, input: { eventType: 'a.b', payload: 1 } },
        'attempt { outcome statusCode error }',
      );
      expect(attempt).toEqual({
        outcome: 'HTTP_ERROR',
        statusCode: null,
        error: 'no OAuth token from tokenUrl: the server answered 401 (invalid_client): check clientId, clientSecret and scope',
      });
      expect(receiver.requests('/hook')).toEqual([]);
    });
  });
});

describe('A client certificate', () => {
  test('is shown to a receiver that asks for it, on connections of its webhook alone', async () => {
    const [build, authority, database] = await Promise.all([Build.make(), Authority.make(), createSqliteDatabase()]);
    const { certificate, key } = await authority.issue({ names: ['localhost'] });
    const [one, other] = [await authority.issue({ subject: 'one' }), await authority.issue({ subject: 'other' })];
    /** Who asked for what, connection by connection. */
    const seen: { path: string; subject: string; connection: TLSSocket }[] = [];
    const server = createServer(
      { key, cert: certificate, ca: await authority.certificate(), requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const connection = request.socket as TLSSocket;
        const subject = connection.authorized ? connection.getPeerCertificate().subject.CN : 'nobody';
        seen.push({ path: request.url ?? '', subject: String(subject), connection });
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.once('end', () => {
          const { challenge } = JSON.parse(Buffer.concat(chunks).toString()) as { challenge?: string };
          response.writeHead(subject === 'nobody' ? 403 : 200).end(JSON.stringify({ challenge }));
        });
      },
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const hub = await build.serve(database.url, { NODE_EXTRA_CA_CERTS: authority.file });
    const admin = new Client(hub.url, ADMIN_KEY);
    try {
      const { application } = await mutated<{ application: { id: string } }>(
        admin,
        'applicationCreate',
        { input: { name: 'bank' } },
        'application { id }',
      );
      const origin = `https://localhost:${(server.address() as AddressInfo).port}`;
      const create = async (path: string, more: object) =>
        (
          await mutated<{ webhook: { id: string } }>(
            admin,
            'webhookCreate',
            { input: { applicationId: application.id, url: origin + path, retrySchedule: [], ...more } },
            'webhook { id }',
          )
        ).webhook.id;
      const id = await create('/one', { clientCertificate: one.certificate, clientKey: one.key, verification: 'CHALLENGE' });
      await create('/other', { clientCertificate: other.certificate, clientKey: other.key, ordering: 'STRICT' });
      await create('/none', {});
      for (let n = 0; n < 3; n++)
        await mutated(admin, 'eventPublish', { input: { applicationId: application.id, type: 'a.b', payload: n } });
      await mutated(admin, 'webhookTest', { id, input: { eventType: 'a.b', payload: 1 } });
      await until(() => seen.length >= 11, { description: 'a verification, nine deliveries and a test' });
      expect(new Set(seen.map(({ path, subject }) => `${path} ${subject}`))).toEqual(new Set(['/one one', '/other other', '/none nobody']));
      const paths = new Map<TLSSocket, Set<string>>();
      for (const { connection, path } of seen) paths.set(connection, (paths.get(connection) ?? new Set()).add(path));
      for (const shared of paths.values()) expect(shared.size).toBe(1);
      expect(hub.log).not.toContain('PRIVATE KEY');
    } finally {
      await admin.close();
      await hub.kill('SIGTERM');
      server.closeAllConnections();
      server.close();
      await Promise.all([database.drop(), build.remove(), authority.remove()]);
    }
  });
});

import { createPublicKey, verify } from 'node:crypto';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { readConfig } from '../../src/config';
import { createDatabase } from '../../src/data-source';
import { silentLog } from '../../src/log';
import { rekeySecrets } from '../../src/webhooks/rekey';
import { Seal } from '../../src/webhooks/seal';
import { describeEachDatabase } from '../support/databases';
import type { ReceivedRequest } from '../support/receiver';
import { testEnvironment, withHub } from '../support/with-hub';

const ROTATE = `mutation ($id: ID!, $input: WebhookSecretRotateInput) {
  webhookSecretRotate(id: $id, input: $input) { webhook { secretHint publicKey } signingSecret previousExpiresAt userErrors { field message code } }
}`;

interface Rotated {
  webhookSecretRotate: {
    webhook: { secretHint: string; publicKey: string | null } | null;
    signingSecret: string | null;
    previousExpiresAt: string | null;
    userErrors: { field: string[]; message: string; code: string }[];
  };
}

const OWN = `whsec_${Buffer.from('a secret of the tests, 32 bytes.').toString('base64')}`;

function signatures({ headers }: ReceivedRequest): string[] {
  return String(headers['webhook-signature']).split(' ');
}

function verifies(secret: string, { body, headers }: ReceivedRequest): boolean {
  try {
    new StandardWebhook(secret).verify(body.toString(), headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}

function verifiesEd25519(publicKey: string, request: ReceivedRequest): boolean {
  const raw = Buffer.from(publicKey.replace(/^whpk_/, ''), 'base64');
  const key = createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]), format: 'der', type: 'spki' });
  const content = Buffer.concat([Buffer.from(`${request.headers['webhook-id']}.${request.headers['webhook-timestamp']}.`), request.body]);
  const own = signatures(request).find((signature) => signature.startsWith('v1a,'));
  return own !== undefined && verify(null, content, key, Buffer.from(own.slice(4), 'base64'));
}

describeEachDatabase('Signing secrets', (makeDatabase) => {
  test('rotate with an overlap in which both sign, and without one in which only the new one does', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id, signingSecret: first } = await shop.webhook('/hook');
      const rotate = async (input?: Record<string, unknown>) =>
        (await shop.client.mutate<Rotated>(ROTATE, { id, input })).webhookSecretRotate;

      const second = await rotate();
      expect(second.signingSecret).toMatch(/^whsec_/);
      expect(second.webhook?.secretHint).toBe(second.signingSecret?.slice(-4));
      const lasts = Date.parse(second.previousExpiresAt ?? '') - Date.now();
      expect(Math.round(lasts / 3_600_000)).toBe(24);
      await shop.publish();
      const [both] = await receiver.waitFor(1, '/hook').then(() => receiver.requests('/hook'));
      if (!both) throw new Error('nothing came');
      expect(signatures(both)).toHaveLength(2);
      expect([first, second.signingSecret ?? ''].map((secret) => verifies(secret, both))).toEqual([true, true]);

      const third = await rotate({ secret: OWN, overlapSeconds: 0 });
      expect(third.signingSecret).toBe(OWN);
      await shop.publish();
      await receiver.waitFor(2, '/hook');
      const after = receiver.requests('/hook')[1];
      if (!after) throw new Error('nothing came');
      expect(signatures(after)).toHaveLength(1);
      expect([first, second.signingSecret ?? '', OWN].map((secret) => verifies(secret, after))).toEqual([false, false, true]);
    });
  });

  test('of scheme V1A are verified with the public key alone, beside V1 or without it', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const create = `mutation ($input: WebhookCreateInput!) {
        webhookCreate(input: $input) { webhook { id signing publicKey secretHint } signingSecret userErrors { message } }
      }`;
      const make = async (path: string, signing: string[]) =>
        (
          await shop.client.mutate<{ webhookCreate: { webhook: { id: string; publicKey: string }; signingSecret: string | null } }>(
            create,
            {
              input: { url: receiver.url(path), signing },
            },
          )
        ).webhookCreate;
      const both = await make('/both', ['V1', 'V1A']);
      const only = await make('/only', ['V1A']);
      expect(only.signingSecret).toBeNull();
      expect(only.webhook.publicKey).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/);
      await shop.publish();
      await receiver.waitFor(1, '/both');
      await receiver.waitFor(1, '/only');
      const [toBoth] = receiver.requests('/both');
      const [toOnly] = receiver.requests('/only');
      if (!toBoth || !toOnly) throw new Error('nothing came');
      expect(verifies(both.signingSecret ?? '', toBoth)).toBe(true);
      expect(verifiesEd25519(both.webhook.publicKey, toBoth)).toBe(true);
      expect(signatures(toOnly)).toHaveLength(1);
      expect(verifiesEd25519(only.webhook.publicKey, toOnly)).toBe(true);
      expect(verifiesEd25519(both.webhook.publicKey, toOnly)).toBe(false);

      const update = 'mutation ($id: ID!) { webhookUpdate(id: $id, input: { signing: [V1] }) { webhook { publicKey signing } } }';
      const { webhookUpdate } = await shop.client.mutate<{ webhookUpdate: { webhook: unknown } }>(update, { id: both.webhook.id });
      expect(webhookUpdate.webhook).toEqual({ publicKey: null, signing: ['V1'] });
      await shop.publish();
      await receiver.waitFor(2, '/both');
      const [, later] = receiver.requests('/both');
      expect(later && signatures(later)).toEqual([expect.stringMatching(/^v1,/)]);
    });
  });

  test('are encrypted at rest, show themselves once, and can be given a new key while the hub runs on', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl, receiver, startAnother, hub }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook', { secret: OWN });
      const config = readConfig(testEnvironment(databaseUrl));
      const database = createDatabase(config.databaseUrl, silentLog);
      await database.open();
      const sealed = async () =>
        (await database.read.query<{ sealed: string }>('SELECT sealed FROM webhook_secrets')).map((row) => row.sealed);
      expect((await sealed()).join()).not.toContain(OWN.slice(6, 30));
      expect(await database.read.query('SELECT * FROM webhooks').then(JSON.stringify)).not.toContain(OWN.slice(6, 30));
      const { webhook } = await shop.client.query<{ webhook: unknown }>(
        'query ($id: ID!) { webhook(id: $id) { id secretHint publicKey } }',
        { id },
      );
      expect(webhook).toEqual({ id, secretHint: OWN.slice(-4), publicKey: null });

      const newKey = Buffer.alloc(32, 9);
      if (!config.secretKey) throw new Error('the test environment has a key');
      await expect(rekeySecrets(database, new Seal(newKey))).rejects.toThrow('for want of its key');
      expect(await rekeySecrets(database, new Seal(newKey, [config.secretKey]))).toEqual({ changed: 1, total: 1 });
      expect(await rekeySecrets(database, new Seal(newKey))).toEqual({ changed: 0, total: 1 });
      expect((await sealed())[0]).toMatch(new RegExp(`^${new Seal(newKey).keyId}\\.`));
      await database.close();

      await hub.stop();
      await startAnother({ environment: { LIVEHOOK_SECRET_KEY: newKey.toString('base64') } }).then(async ({ url }) => {
        const answer = await fetch(`${url}/graphql`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${shop.key}` },
          body: JSON.stringify({ query: 'mutation { eventPublish(input: { type: "a", payload: 1 }) { event { id } } }' }),
        });
        expect(await answer.json()).toMatchObject({ data: { eventPublish: { event: { id: expect.any(String) } } } });
      });
      await receiver.waitFor(1, '/hook');
      expect(receiver.requests('/hook')[0]?.verified).toBe(true);
    });
  });

  test.each([
    ['a short secret', { secret: 'whsec_abcd' }, 'secret', 'INVALID'],
    ['a secret without its prefix', { secret: Buffer.alloc(32).toString('base64') }, 'secret', 'INVALID'],
    ['a negative overlap', { overlapSeconds: -1 }, 'overlapSeconds', 'INVALID'],
    ['an overlap of a month', { overlapSeconds: 30 * 86_400 }, 'overlapSeconds', 'INVALID'],
  ])('are not rotated with %s', async (_name, input, field, code) => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook');
      const { webhookSecretRotate } = await shop.client.mutate<Rotated>(ROTATE, { id, input });
      expect(webhookSecretRotate.userErrors).toEqual([{ field: [field], message: expect.any(String), code }]);
      if ('secret' in input) expect(webhookSecretRotate.userErrors[0]?.message).not.toContain(input.secret.slice(6));
    });
  });

  test('are at most six at once', async () => {
    await withHub(makeDatabase, async ({ application }) => {
      const shop = await application();
      const { id } = await shop.webhook('/hook');
      const codes: (string | undefined)[] = [];
      for (let turn = 0; turn < 6; turn++)
        codes.push((await shop.client.mutate<Rotated>(ROTATE, { id })).webhookSecretRotate.userErrors[0]?.code);
      expect(codes).toEqual([undefined, undefined, undefined, undefined, undefined, 'LIMIT_REACHED']);
    });
  });
});

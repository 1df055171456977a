import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readConfig } from '../../src/config';
import { Hub } from '../../src/hub';
import { silentLog } from '../../src/log';
import { rekeySecrets } from '../../src/webhooks/rekey';
import { Seal } from '../../src/webhooks/seal';
import { missingKeyId, SEALED_PLACES } from '../../src/webhooks/sealed-places';
import { run } from '../support/command';
import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { withRows } from '../support/rows';
import { CLIENT_CERTIFICATE, CLIENT_KEY } from '../support/tls-certificates';
import { askOver, codesOf, TRANSPORTS } from '../support/transports';
import { testEnvironment, withHub } from '../support/with-hub';

const OTHER = Buffer.alloc(32, 9);
const WRONG = { LIVEHOOK_SECRET_KEY: OTHER.toString('base64') };
const PUBLISH = 'mutation { eventPublish(input: { type: "a", payload: 1 }) { event { id } } }';

function keyOf(databaseUrl: string): Buffer {
  const { secretKey } = readConfig(testEnvironment(databaseUrl));
  if (!secretKey) throw new Error('the test environment has a key');
  return secretKey;
}

describeEachDatabase('A secret key', (makeDatabase) => {
  test('that does not open what is stored is refused at the start, whatever it is that needs another', async () => {
    await withHub(makeDatabase, async ({ application, databaseUrl, receiver, hub, startAnother }) => {
      const shop = await application();
      await shop.webhook('/hook', {
        headers: [{ name: 'x-token', value: 'a secret of the header' }],
        clientCertificate: CLIENT_CERTIFICATE,
        clientKey: CLIENT_KEY,
        oauth: { tokenUrl: receiver.url('/token'), clientId: 'hub', clientSecret: 'a-client-secret-1234' },
      });
      await hub.stop();
      const [own, other] = [new Seal(keyOf(databaseUrl)), new Seal(OTHER)];

      await expect(startAnother({ environment: WRONG })).rejects.toThrow(
        `LIVEHOOK_SECRET_KEY: the database has secrets that were encrypted with another key: it needs the key with the id ${own.keyId}, known are ${other.keyId}. `,
      );
      await withRows(databaseUrl, async (_query, database) => {
        const write = (table: string, column: string, sealed: string, id: string) =>
          database.transaction((tx) => tx.execute(`UPDATE ${table} SET ${column} = ? WHERE id = ?`, [sealed, id]));
        const stored = await Promise.all(
          SEALED_PLACES.map(async ({ table, column }) => {
            const [row] = await database.read.query<{ id: string; sealed: string }>(
              `SELECT id, ${column} AS sealed FROM ${table} WHERE ${column} IS NOT NULL`,
            );
            if (row === undefined) throw new Error(`nothing is sealed in ${table}.${column}`);
            return { table, column, ...row };
          }),
        );
        for (const { table, column, id } of stored) await write(table, column, `${other.keyId}.moved`, id);
        expect(await missingKeyId(database.read, other)).toBeUndefined();
        for (const { table, column, id, sealed } of stored) {
          await write(table, column, sealed, id);
          expect([table, column, await missingKeyId(database.read, other)]).toEqual([table, column, own.keyId]);
          await write(table, column, `${other.keyId}.moved`, id);
        }
        for (const { table, column, id, sealed } of stored) await write(table, column, sealed, id);
      });

      const { url } = await startAnother({
        environment: { ...WRONG, LIVEHOOK_PREVIOUS_SECRET_KEYS: keyOf(databaseUrl).toString('base64') },
      });
      expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({ isReady: true, secretKey: 'fitting' });
    });
  });

  test('that others have replaced meanwhile makes an instance not ready, and its publishers try elsewhere', async () => {
    const problems: string[] = [];
    const log = { ...silentLog, error: (_facts: object, event: string) => void problems.push(event) };
    await withHub(
      makeDatabase,
      async ({ application, databaseUrl, url }) => {
        const [shop, neighbour] = [await application('shop'), await application('neighbour')];
        await shop.webhook('/hook');
        const key = keyOf(databaseUrl);
        const rekey = async (seal: Seal) =>
          withRows(databaseUrl, async (_query, database) => {
            expect(await rekeySecrets(database, seal)).toMatchObject({ changed: 1 });
            await database.transaction(async (tx) => {
              await tx.execute('UPDATE webhooks SET version = version + 1');
              await tx.execute('UPDATE counters SET version = version + 1');
            });
          });
        await rekey(new Seal(OTHER, [key]));
        for (const transport of TRANSPORTS) {
          const [refused, taken] = await Promise.all([
            askOver(transport, shop.client, PUBLISH),
            askOver(transport, neighbour.client, PUBLISH),
          ]);
          expect([transport, codesOf(refused), taken.errors]).toEqual([transport, ['UNAVAILABLE'], undefined]);
          expect(JSON.stringify(refused)).not.toContain(new Seal(OTHER).keyId);
        }
        for (let look = 0; look < 2; look++) {
          const ready = await fetch(`${url}/readyz`);
          expect([ready.status, await ready.json()]).toMatchObject([503, { database: 'reachable', secretKey: 'not fitting' }]);
        }
        expect(problems).toEqual(['secret_key.not_fitting']);

        await rekey(new Seal(key, [OTHER]));
        expect((await fetch(`${url}/readyz`)).status).toBe(200);
        expect((await shop.client.request(PUBLISH)).errors).toBeUndefined();
      },
      { log },
    );
  });
});

describe('The key beside a SQLite file', () => {
  test('is not made anew where secrets need the one that was there, nor taken where it is damaged', async () => {
    const database = await createSqliteDatabase();
    const folder = dirname(database.url.slice('sqlite:'.length));
    const file = join(folder, 'livehook.db.key');
    const { LIVEHOOK_SECRET_KEY: _, ...environment } = testEnvironment(database.url);
    const start = async () => {
      const hub = new Hub({ config: readConfig(environment), log: silentLog });
      await hub.start();
      await hub.stop();
    };
    await start();
    const first = await readFile(file, 'utf8');
    await rm(file);
    await start(); // nothing is sealed yet: a key more or less does no harm
    expect(await readFile(file, 'utf8')).not.toBe(first);
    await sealOne(database.url, new Seal(Buffer.from(await readFile(file, 'utf8'), 'base64')));

    await rename(file, `${file}.away`);
    await expect(start()).rejects.toThrow(`the file with their key is not there: ${file}. Put it back`);
    const rekeyed = await run(['secrets', 'rekey'], environment);
    expect(rekeyed).toMatchObject({ code: 1, out: '', err: expect.stringContaining('No new key was made') });
    expect(rekeyed.err).not.toMatch(/^ +at /m);
    expect(await readdir(folder)).not.toContain('livehook.db.key');

    await writeFile(file, 'AAAA');
    await expect(start()).rejects.toThrow(`${file}: expected 32 bytes in base64, got 3`);
    await rename(`${file}.away`, file);
    await start();
    await database.drop();
  });
});

async function sealOne(databaseUrl: string, seal: Seal): Promise<void> {
  await withRows(databaseUrl, (_query, database) =>
    database.transaction((tx) =>
      tx.execute("INSERT INTO webhook_secrets (id, webhook_id, scheme, sealed, created_at) VALUES ('sec_1', 'whk_1', 'V1', ?, 1)", [
        seal.close(Buffer.alloc(32), 'sec_1'),
      ]),
    ),
  );
}

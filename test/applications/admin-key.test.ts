import { readConfig } from '../../src/config';
import { Hub } from '../../src/hub';
import { createLog } from '../../src/log';
import { run } from '../support/command';
import { describeEachDatabase, type MakeDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { mutated } from '../support/mutate';
import { testEnvironment } from '../support/with-hub';

const FIRST = 'first-admin-key-0123456789-0123456789';
const SECOND = 'second-admin-key-0123456789-012345678';

const WHO = '{ viewer { admin apiKey { id } } }';

describeEachDatabase('A revoked admin key from the environment', (makeDatabase: MakeDatabase) => {
  async function withHubOn(
    url: string,
    adminKey: string,
    work: (url: string, problem: string | undefined) => Promise<void>,
  ): Promise<void> {
    const hub = new Hub({ config: readConfig(testEnvironment(url, { LIVEHOOK_ADMIN_KEY: adminKey })), log: createLog('silent') });
    const started = await hub.start();
    try {
      await work(started.url, started.adminKeyProblem);
    } finally {
      await hub.stop();
    }
  }

  async function revokeItself(url: string, key: string): Promise<string> {
    const client = new Client(url, key);
    const { viewer } = await client.query<{ viewer: { apiKey: { id: string } } }>(WHO);
    await mutated(client, 'apiKeyRevoke', { id: viewer.apiKey.id });
    return viewer.apiKey.id;
  }

  test('stays revoked over restarts; where there is another admin key the hub starts and says so', async () => {
    const database = (await makeDatabase()).url;
    let other = '';
    let id = '';
    await withHubOn(database, FIRST, async (url) => {
      other = (await mutated<{ token: string }>(new Client(url, FIRST), 'apiKeyCreate', { input: { name: 'other' } }, 'token')).token;
      id = await revokeItself(url, FIRST);
    });
    await withHubOn(database, FIRST, async (url, problem) => {
      expect(problem).toMatch(new RegExp(`^its key ${id} was revoked at 2\\S+ and stays revoked; set a new value`));
      expect((await new Client(url, FIRST).request(WHO)).errors?.[0]?.extensions?.code).toBe('UNAUTHENTICATED');
      expect(await new Client(url, other).query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });
    });
  });

  test('stops the start, with what to do, when there is no other; a new value lets in', async () => {
    const database = (await makeDatabase()).url;
    await withHubOn(database, FIRST, async (url) => void (await revokeItself(url, FIRST)));
    const refused = await run(['serve'], testEnvironment(database, { LIVEHOOK_ADMIN_KEY: FIRST }));
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toMatch(/LIVEHOOK_ADMIN_KEY: its key key_\w+ was revoked at .* set a new value .* livehook keys create/);
    expect(refused.err).not.toContain(FIRST);
    await withHubOn(database, SECOND, async (url, problem) => {
      expect(problem).toBeUndefined();
      expect(await new Client(url, SECOND).query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });
    });
  });

  test('does not come back with an instance that still has the old value, and that one retires nothing', async () => {
    const database = (await makeDatabase()).url;
    await withHubOn(database, FIRST, async () => {});
    await withHubOn(database, SECOND, async () => {});
    await withHubOn(database, FIRST, async (url, problem) => {
      expect(problem).toContain('stays revoked');
      expect((await new Client(url, FIRST).request(WHO)).errors?.[0]?.extensions?.code).toBe('UNAUTHENTICATED');
      expect(await new Client(url, SECOND).query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });
    });
  });

  test('is no way to turn the key of an application into an admin key', async () => {
    const database = (await makeDatabase()).url;
    let token = '';
    await withHubOn(database, FIRST, async (url) => {
      const admin = new Client(url, FIRST);
      const { application } = await mutated<{ application: { id: string } }>(
        admin,
        'applicationCreate',
        { input: { name: 'shop' } },
        'application { id }',
      );
      token = (await mutated<{ token: string }>(admin, 'apiKeyCreate', { input: { applicationId: application.id } }, 'token')).token;
    });
    await withHubOn(database, token, async (url, problem) => {
      expect(problem).toMatch(/^it is the token of key_\w+, which belongs to app_\w+ and is no admin key/);
      expect(await new Client(url, token).query('{ viewer { admin } }')).toEqual({ viewer: { admin: false } });
      expect(await new Client(url, FIRST).query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });
    });
  });
});

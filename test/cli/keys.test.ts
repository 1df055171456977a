import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiKey } from '../../src/applications/api-key';
import { rowOf } from '../../src/cli/keys';
import { run } from '../support/command';
import { describeEachDatabase } from '../support/databases';
import { createMysqlDatabase } from '../support/mariadb';
import { mutated } from '../support/mutate';
import { withRows } from '../support/rows';
import { testEnvironment, withHub } from '../support/with-hub';

const COMMANDS = [
  ['keys', 'create'],
  ['keys', 'list'],
  ['keys', 'revoke', 'key_000000000000'],
  ['secrets', 'rekey'],
];

describeEachDatabase('livehook keys', (makeDatabase) => {
  test('lists and revokes the keys of a hub that runs, which is noted', async () => {
    await withHub(makeDatabase, async ({ admin, application, client, databaseUrl }) => {
      const environment = testEnvironment(databaseUrl);
      const shop = await application();
      const made = await run(
        ['keys', 'create', '--application', shop.id, '--name', 'of the shop', '--network', '127.0.0.0/8'],
        environment,
      );
      const key = client(made.out.trim());
      expect(await key.query('{ viewer { admin } }')).toEqual({ viewer: { admin: false } });
      const listed = await run(['keys', 'list', '--application', shop.id], environment);
      const rows = listed.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(rows.map(({ name }) => name).sort()).toEqual(['of the shop', 'test']);
      const own = rows.find(({ name }) => name === 'of the shop');
      expect(own).toMatchObject({ applicationId: shop.id, allowedNetworks: ['127.0.0.0/8'], revokedAt: null });
      expect(listed.out + listed.err).not.toContain(made.out.trim());
      expect((await run(['keys', 'list'], environment)).out.trim().split('\n')).toHaveLength(1);
      expect(await run(['keys', 'list', '--application', 'app_nothere'], environment)).toMatchObject({
        code: 1,
        out: '',
        err: expect.stringContaining('expected the id of an application, got "app_nothere"'),
      });

      const revoked = await run(['keys', 'revoke', own.id], environment);
      expect(revoked).toMatchObject({ code: 0, out: '', err: `${own.id} (of the shop): revoked now\n` });
      expect((await run(['keys', 'revoke', own.id], environment)).err).toMatch(/: revoked already, at 2/);
      await mutated(admin, 'applicationUpdate', { id: shop.id, input: {} }); // the hub has had its look since
      const { auditEvents } = await admin.query<{ auditEvents: { nodes: object[] } }>(
        `{ auditEvents(applicationId: "${shop.id}", filter: { targetIds: ["${own.id}"], actions: ["key.created", "key.revoked"] }) { nodes { action actorId address } } }`,
      );
      expect(auditEvents.nodes).toEqual([
        { action: 'key.revoked', actorId: null, address: null },
        { action: 'key.created', actorId: null, address: null },
      ]);
      expect(await run(['keys', 'revoke', 'key_nothere'], environment)).toMatchObject({
        code: 1,
        err: expect.stringContaining('expected the id of a key, got "key_nothere"'),
      });
    });
  });
});

test('livehook keys list shows on a terminal what each key may do, and until when', () => {
  const at = (time: string) => new Date(time);
  const apiKey = (more: object): ApiKey =>
    Object.assign(new ApiKey(), {
      ...{ id: 'key_1', applicationId: 'app_1', name: 'of\u001bthe shop', hint: 'abcd', grantedScopes: ['EVENTS_READ', 'AUDIT_READ'] },
      ...{ lastUsedAt: null, expiresAt: null, revokedAt: null },
      ...more,
    });
  const rows = [
    apiKey({}),
    apiKey({ expiresAt: at('2999-01-31T12:00:30Z'), lastUsedAt: at('2026-01-31T12:00:00Z') }),
    apiKey({ expiresAt: at('2026-01-31T12:00:00Z') }),
    apiKey({ revokedAt: at('2026-02-01T12:00:00Z'), applicationId: null }),
  ];
  expect(rows.map((row) => rowOf(row).replace(/ {2,}/g, ' | '))).toEqual([
    'key_1 | …abcd | valid | never used | of the shop | EVENTS_READ,AUDIT_READ',
    'key_1 | …abcd | expires 2999-01-31T12:00 | used 2026-01-31T12:00 | of the shop | EVENTS_READ,AUDIT_READ',
    'key_1 | …abcd | expired 2026-01-31T12:00 | never used | of the shop | EVENTS_READ,AUDIT_READ',
    'key_1 | …abcd | revoked 2026-02-01T12:00 | never used | of the shop | everything',
  ]);
});

test('livehook keys and secrets find no SQLite file, say so, and make none', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'livehook-cli-'));
  try {
    for (const args of COMMANDS) {
      const { code, out, err } = await run(args, {}, folder);
      expect({ args, code, out }).toEqual({ args, code: 1, out: '' });
      expect(err).toContain('DATABASE_URL: there is no database ./livehook.db: start a hub first, or livehook migrate makes one');
    }
    expect(await readdir(folder)).toEqual([]);
    // Beside `serve` this one makes it, and says so; the others find it then.
    const migrated = await run(['migrate'], {}, folder);
    expect(migrated.out).toMatch(/^made the database \.\/livehook\.db\napplied /);
    expect((await run(['migrate'], {}, folder)).out).toBe('nothing to do: every migration is applied\n');
    expect(await run(['keys', 'list'], {}, folder)).toMatchObject({ code: 0, out: '' });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('livehook keys and secrets find no tables, say so, and make none', async () => {
  const { url, drop } = await createMysqlDatabase();
  for (const args of COMMANDS) {
    const { code, out, err } = await run(args, testEnvironment(url));
    expect({ args, code, out }).toEqual({ args, code: 1, out: '' });
    expect(err).toContain('DATABASE_URL: the database has no tables of this version');
  }
  expect(await withRows(url, (query) => query('SHOW TABLES'))).toEqual([]);
  await drop();
});

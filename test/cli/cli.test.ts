import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProgram } from '../../src/cli/program';
import { settingLines } from '../../src/config';
import { VERSION } from '../../src/version';
import { Command, run } from '../support/command';
import { describeEachDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { createMysqlDatabase } from '../support/mariadb';
import { mutated } from '../support/mutate';
import { Receiver } from '../support/receiver';
import { withRows } from '../support/rows';
import { ADMIN_KEY, testEnvironment } from '../support/with-hub';

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'livehook-cli-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const urlIn = (printed: string) => /listening on (http:\S+)/.exec(printed)?.[1] ?? '';

describe('livehook', () => {
  test('explains itself: commands, and every setting with its default', async () => {
    const { code, out, err } = await run(['--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const word of ['Usage: livehook', 'serve', 'migrate', 'keys', 'Settings, from the environment:']) expect(out).toContain(word);
    for (const { name, default: fallback, description } of settingLines()) {
      expect(out).toMatch(new RegExp(`^ +${name} +${description.slice(0, 5)}`, 'm'));
      if (fallback !== '') expect(out).toContain(`(default: ${fallback})`);
    }
    expect((await run(['--version'])).out.trim()).toBe(VERSION);
    expect((await run(['keys', 'create', '--help'])).out).toContain('--scope <scope...>');
  });

  test('says what is wrong with a command it does not know', async () => {
    const [unknown, nothing] = await Promise.all([run(['serv']), run([])]);
    expect(unknown).toMatchObject({ code: 1, out: '' });
    expect(unknown.err).toContain("unknown command 'serv'");
    expect(nothing.code).toBe(1);
    expect(nothing.err).toContain('Usage: livehook');
  });

  test('reports every wrong setting at once, in whichever command, and does nothing', async () => {
    const wrong = { DATABASE_URL: 'oracle://x', PORT: '99999', LIVEHOOK_ADMIN_KEY: 'too short', LIVEHOOK_RETRY_SCHEDULE: 'often' };
    await withFolder(async (folder) => {
      for (const { code, out, err } of await Promise.all(
        [['serve'], ['migrate'], ['keys', 'create']].map((args) => run(args, wrong, folder)),
      )) {
        expect({ code, out }).toEqual({ code: 1, out: '' });
        expect(err).toMatch(/^livehook: Invalid configuration:\n/);
        for (const name of Object.keys(wrong)) expect(err).toContain(`  ${name}: expected `);
        expect(err).not.toMatch(/too short|oracle|^ +at /m);
      }
      expect(await readdir(folder)).toEqual([]);
    });
  });

  test.each([
    [['--scope', 'EVENTS_READ', 'EVERYTHING'], '--scope: expected one of EVENTS_PUBLISH, '],
    [['--expires-in', 'soon'], '--expires-in: expected a duration such as 12h or 90d; got "soon"'],
    [['--expires-in', '-1d'], '--expires-in: expected a duration such as 12h or 90d; got "-1d"'],
  ])('keys create %j is refused before anything is opened', async (options, message) => {
    await expect(createProgram().parseAsync(['node', 'livehook', 'keys', 'create', ...options])).rejects.toThrow(message);
  });

  test('serves from an empty folder with a key made for it, and the key works after a restart', async () => {
    await withFolder(async (folder) => {
      const first = new Command(['serve'], { PORT: '0' }, folder);
      const printed = await first.prints(/Dashboard:/);
      const key = /^ {2}(lhk_\S+)$/m.exec(printed)?.[1] ?? '';
      expect(await new Client(urlIn(printed), key).query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });
      first.kill('SIGTERM');
      const ended = await first.ended();
      expect(ended.code).toBe(0);
      for (const line of ended.err.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('event');
      expect(ended.err).not.toContain(key.slice(4));

      expect((await readdir(folder)).filter((name) => !/-(wal|shm)$/.test(name)).sort()).toEqual(['livehook.db', 'livehook.db.key']);
      expect((await stat(join(folder, 'livehook.db.key'))).mode & 0o777).toBe(0o600);
      expect(Buffer.from(await readFile(join(folder, 'livehook.db.key'), 'utf8'), 'base64')).toHaveLength(32);

      const second = new Command(['serve'], { PORT: '0', LIVEHOOK_LOG_LEVEL: 'silent' }, folder);
      const again = await second.prints(/listening/);
      expect(await new Client(urlIn(again), key).query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });
      second.kill('SIGINT');
      const { code, out, err } = await second.ended();
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).not.toContain('lhk_');
    });
  });
});

describeEachDatabase('livehook', (makeDatabase) => {
  test('migrates once, makes keys, serves them, and on SIGTERM ends what is in flight and exits 0', async () => {
    const environment = testEnvironment((await makeDatabase()).url);
    const migrated = await run(['migrate'], environment);
    expect(migrated).toMatchObject({ code: 0, err: '' });
    expect(migrated.out).toMatch(/^(applied \w+\n)+$/);
    expect(await run(['migrate'], environment)).toEqual({ code: 0, err: '', out: 'nothing to do: every migration is applied\n' });

    const { LIVEHOOK_ADMIN_KEY: _, ...withoutKey } = environment;
    const made = await run(['keys', 'create', '--name', 'from the command line'], withoutKey);
    expect(made.code).toBe(0);
    expect(made.out).toMatch(/^lhk_[\w-]{43}\n$/);
    expect(made.err).toContain('an admin key');

    const receiver = await Receiver.listen();
    const served = new Command(['serve'], environment);
    try {
      const url = urlIn(await served.prints(/listening/));
      const admin = new Client(url, made.out.trim());
      const { viewer } = await admin.query<{ viewer: object }>('{ viewer { admin apiKey { name } } }');
      expect(viewer).toEqual({ admin: true, apiKey: { name: 'from the command line' } });
      expect(await new Client(url, ADMIN_KEY).query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });

      const { application } = await mutated<{ application: { id: string } }>(
        admin,
        'applicationCreate',
        { input: { name: 'shop' } },
        'application { id }',
      );
      const [own, scoped, unknown] = await Promise.all([
        run(['keys', 'create', '--application', application.id], environment),
        run(
          ['keys', 'create', '--application', application.id, '--scope', 'events_read', 'WEBHOOKS_READ', '--expires-in', '90d'],
          environment,
        ),
        run(['keys', 'create', '--application', 'app_nothere', '--scope', 'EVENTS_READ'], environment),
      ]);
      expect(own?.err).toContain(`a key of ${application.id}`);
      const shop = new Client(url, own?.out.trim());
      const narrow = await new Client(url, scoped?.out.trim()).query<{ viewer: { apiKey: { scopes: string[]; expiresAt: string } } }>(
        '{ viewer { apiKey { scopes expiresAt } } }',
      );
      expect(narrow.viewer.apiKey).toEqual({ scopes: ['EVENTS_READ', 'WEBHOOKS_READ'], expiresAt: expect.any(String) });
      expect(unknown).toMatchObject({
        code: 1,
        out: '',
        err: expect.stringContaining('expected the id of an application, got "app_nothere"'),
      });

      // One request under way, which is answered only when the signal has come.
      receiver.answer('/slow', async () => {
        served.kill('SIGTERM');
        await served.prints(/listening/);
        return { status: 200 };
      });
      await mutated(shop, 'webhookCreate', { input: { url: receiver.url('/slow') } });
      await mutated(shop, 'eventPublish', { input: { type: 'a.b', payload: {} } }).catch(() => {}); // the answer may not get out any more
      await receiver.waitFor(1, '/slow');
      expect((await served.ended()).code).toBe(0);

      await withRows(environment.DATABASE_URL ?? '', async (query) => {
        expect(await query('SELECT status, attempt_count FROM deliveries')).toEqual([{ status: 'SUCCEEDED', attempt_count: 1 }]);
        expect(await query('SELECT id FROM instances')).toEqual([]);
      });
    } finally {
      served.kill('SIGKILL');
      await receiver.close();
    }
  });
});

test('livehook with a database that is not there says so, and exits 1', async () => {
  const { url, drop } = await createMysqlDatabase();
  await drop();
  const { code, out, err } = await run(['migrate'], testEnvironment(url));
  expect({ code, out }).toEqual({ code: 1, out: '' });
  expect(err).toMatch(/^livehook: .*Unknown database/);
  expect(err).not.toContain('p%40ss');
});

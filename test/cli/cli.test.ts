import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
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
    expect(unknown).toMatchObject({ code: 2, out: '' });
    expect(unknown.err).toContain("unknown command 'serv'");
    expect(nothing.code).toBe(2);
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

      expect((await readdir(folder)).filter((name) => !/-(wal|shm|lock)$/.test(name)).sort()).toEqual(['livehook.db', 'livehook.db.key']);
      expect((await stat(join(folder, 'livehook.db.key'))).mode & 0o777).toBe(0o600);
      expect(Buffer.from(await readFile(join(folder, 'livehook.db.key'), 'utf8'), 'base64')).toHaveLength(32);

      // The file is whole: whoever copies it needs nothing beside it but its key.
      const copy = join(folder, 'copy');
      await mkdir(copy);
      for (const name of ['livehook.db', 'livehook.db.key']) await copyFile(join(folder, name), join(copy, name));

      const second = new Command(['serve'], { PORT: '0', LIVEHOOK_LOG_LEVEL: 'silent' }, copy);
      const again = await second.prints(/listening/);
      expect(await new Client(urlIn(again), key).query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });
      second.kill('SIGINT');
      const { code, out, err } = await second.ended();
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).not.toContain('lhk_');
    });
  });
});

describe('A SQLite file', () => {
  test('is served by one hub; keys are made beside it, and after a crash the next hub has it', async () => {
    await withFolder(async (folder) => {
      const environment = { PORT: '0', LIVEHOOK_LOG_LEVEL: 'silent', LIVEHOOK_ADMIN_KEY: ADMIN_KEY };
      const path = join(folder, 'livehook.db');
      const first = new Command(['serve'], environment, folder);
      try {
        const url = urlIn(await first.prints(/listening/));
        await symlink(path, join(folder, 'other.db'));
        for (const name of ['livehook.db', 'other.db'])
          expect(await run(['serve'], { ...environment, DATABASE_URL: `sqlite:./${name}` }, folder)).toEqual({
            code: 1,
            out: '',
            err: `livehook: DATABASE_URL: another hub serves the file ./${name}, and a SQLite file belongs to one: stop that one, or use MySQL or MariaDB, which several hubs share\n`,
          });
        const made = await run(['keys', 'create'], environment, folder);
        expect(await new Client(url, made.out.trim()).query('{ viewer { admin } }')).toEqual({ viewer: { admin: true } });
        expect((await run(['keys', 'list'], environment, folder)).out.trim().split('\n')).toHaveLength(2);
        expect((await run(['migrate'], environment, folder)).code).toBe(0);
        expect((await stat(`${path}-lock`)).mode & 0o777).toBe(0o600);
      } finally {
        first.kill('SIGKILL');
        await first.ended();
      }
      const second = new Command(['serve'], environment, folder);
      await second.prints(/listening/);
      second.kill('SIGTERM');
      expect((await second.ended()).code).toBe(0);
    });
  });
});

describe('livehook serve on a terminal', () => {
  const onLinux = process.platform === 'linux' ? test : test.skip; // `script` is another one elsewhere

  onLinux('prints the address and the dashboard above a log for people, at every start; the key once', async () => {
    await withFolder(async (folder) => {
      const logs: string[] = [];
      const environments: Record<string, string>[] = [{ NO_COLOR: '1' }, { LIVEHOOK_PUBLIC_URL: 'https://hooks.example.com' }];
      for (const environment of environments) {
        const served = Command.onTerminal(['serve'], { PORT: '0', ...environment }, folder);
        await served.prints(/hub\.started/);
        served.type('\x03');
        const { code, out } = await served.ended();
        expect(code).toBe(0);
        expect(out).toMatch(/hub\.stopped/);
        expect(out).not.toMatch(/\{"level"|"event":/);
        logs.push(out.replaceAll('\r', ''));
      }
      const [first = '', second = ''] = logs;
      expect(first.replace(/lhk_\S+/, 'lhk_…').replace(/:\d{4,5}\b/g, ':4000')).toMatch(
        /^Livehook is listening on http:\/\/127.0.0.1:4000\n\nYour first admin key, shown this once:\n\n {2}lhk_…\n\nDashboard: http:\/\/127.0.0.1:4000\/ {3}GraphiQL: http:\/\/127.0.0.1:4000\/graphql\n\n\d\d:\d\d:\d\d\.\d{3} INFO {2}hub.configured {2}PORT=0\n/,
      );
      expect(first).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}hub\.started {2}url=http:\S+ instanceId=\S+ version=\S+$/m);
      expect(second).toMatch(
        /^Livehook is listening on http:\/\/127\.0\.0\.1:\d+\n\nDashboard: https:\/\/hooks\.example\.com\/ {3}GraphiQL: https:\/\/hooks\.example\.com\/graphql\n\n/,
      );
      expect(second).toContain('\x1b[32mINFO');
      expect(second).not.toContain('lhk_');
    });
  });

  onLinux('prints the log of a start that fails, and says in a sentence why', async () => {
    await withFolder(async (folder) => {
      const served = Command.onTerminal(['serve'], { HOST: '203.0.113.1', PORT: '0', NO_COLOR: '1' }, folder);
      const { code, out } = await served.ended();
      expect(code).toBe(1);
      expect(out).toMatch(
        /INFO {2}hub\.configured .*\r\n[\s\S]*hub\.stopped\r\nlivehook: HOST: expected an address of this machine, .*; got 203\.0\.113\.1\r\n$/,
      );
    });
  });
});

describe('livehook that cannot start says in one sentence why, and exits 1', () => {
  const settings: Record<string, (folder: string) => Promise<Record<string, string>>> = {
    'an address of another machine': async () => ({ HOST: '203.0.113.1' }),
    'a name of no address': async () => ({ HOST: 'nowhere.invalid' }),
    'a database that listens nowhere': async () => ({
      DATABASE_URL: 'mysql://root:s3cret@127.0.0.1:1/livehook',
      LIVEHOOK_SECRET_KEY: Buffer.alloc(32).toString('base64'),
    }),
    'a folder for a file': async (folder) => ({ DATABASE_URL: `sqlite:${folder}` }),
    'a file that is something else': async (folder) => {
      await writeFile(join(folder, 'other.db'), 'something else '.repeat(1000));
      return { DATABASE_URL: `sqlite:${join(folder, 'other.db')}` };
    },
    'a key in a file that is not there': async () => ({ LIVEHOOK_ADMIN_KEY_FILE: '/nowhere/key' }),
  };
  const sentences: Record<string, RegExp> = {
    'an address of another machine': /^livehook: HOST: expected an address of this machine, .*; got 203\.0\.113\.1\n$/,
    'a name of no address': /^livehook: HOST: expected an address of this machine, .*: nowhere\.invalid\n$/,
    'a database that listens nowhere': /^livehook: DATABASE_URL: the database at 127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED.*\n$/,
    'a folder for a file': /^livehook: DATABASE_URL: the file \S+ cannot be opened for reading and writing \(.*\)\n$/,
    'a file that is something else': /^livehook: DATABASE_URL: expected a SQLite database .*, got something else: \S+other\.db\n$/,
    'a key in a file that is not there':
      /^livehook: Invalid configuration:\n {2}LIVEHOOK_ADMIN_KEY_FILE: expected the path of a file .*\n$/,
  };

  test.each(Object.keys(settings))('%s', async (name) => {
    await withFolder(async (folder) => {
      const environment = { PORT: '0', LIVEHOOK_LOG_LEVEL: 'silent', ...(await settings[name]?.(folder)) };
      const { code, out, err } = await run(['serve'], environment, folder);
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toMatch(sentences[name] ?? /never/);
      expect(err).not.toContain('s3cret');
    });
  });

  test.each(['PORT', 'LIVEHOOK_METRICS_PORT'])('%s that another program has; what was started ends in good order', async (setting) => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    await withFolder(async (folder) => {
      const environment = { PORT: '0', LIVEHOOK_LOG_LEVEL: 'silent', [setting]: String(port) };
      const { code, err } = await run(['serve'], environment, folder);
      expect(code).toBe(1);
      expect(err).toBe(
        `livehook: ${setting}: port ${port} of 127.0.0.1 is in use by another program, perhaps another hub: end that one, or set ${setting} to another port\n`,
      );
      await withRows(`sqlite:${join(folder, 'livehook.db')}`, async (query) => expect(await query('SELECT id FROM instances')).toEqual([]));
    });
    other.close();
  });

  test('a wrong password for MariaDB', async () => {
    const { url, drop } = await createMysqlDatabase();
    const wrong = new URL(url);
    wrong.password = 's3cret';
    const { code, out, err } = await run(['serve'], testEnvironment(wrong.href));
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(
      /^livehook: DATABASE_URL: the database at \S+ does not let this user in: check the user and the password \(Access denied .*\)\n$/,
    );
    expect(err).not.toContain('s3cret');
    await drop();
  });
});

describeEachDatabase('livehook', (makeDatabase) => {
  test('migrates once, makes keys, serves them, and on SIGTERM ends what is in flight and exits 0', async () => {
    const environment = testEnvironment((await makeDatabase()).url);
    const migrated = await run(['migrate'], environment);
    expect(migrated).toMatchObject({ code: 0, err: '' });
    expect(migrated.out).toMatch(/^(made the database .*\n)?(applied \w+\n)+$/);
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

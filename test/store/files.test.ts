import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatabase } from '../../src/data-source';
import type { Log } from '../../src/log';
import { silentLog } from '../../src/log';
import { createSqliteDatabase } from '../support/databases';
import { mutated } from '../support/mutate';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';

type Line = readonly [event: string, facts: Record<string, unknown>];

function listening(): { log: Log; lines: Line[] } {
  const lines: Line[] = [];
  const note = (facts: object, event: string) => void lines.push([event, facts as Record<string, unknown>]);
  return { log: { ...silentLog, warn: note, error: note }, lines };
}

/** With an umask that would let all read and write. */
async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'livehook-files-'));
  const umask = process.umask(0);
  try {
    await work(folder);
  } finally {
    process.umask(umask);
    await rm(folder, { recursive: true, force: true });
  }
}

async function modesIn(folder: string): Promise<Record<string, string>> {
  const modes: Record<string, string> = {};
  for (const name of (await readdir(folder)).sort()) modes[name] = ((await stat(join(folder, name))).mode & 0o777).toString(8);
  return modes;
}

async function opened(path: string, log: Log, work: () => Promise<void>): Promise<void> {
  const database = createDatabase({ kind: 'sqlite', path }, log);
  await database.open();
  try {
    await database.migrate();
    await work();
  } finally {
    await database.close();
  }
}

describe('The files of SQLite', () => {
  test('are made for their owner only, whatever the umask, and so is their folder', async () => {
    await withFolder(async (folder) => {
      const { log, lines } = listening();
      await opened(join(folder, 'new', 'livehook.db'), log, async () => {
        expect(await modesIn(join(folder, 'new'))).toEqual({ 'livehook.db': '600', 'livehook.db-shm': '600', 'livehook.db-wal': '600' });
        expect(await modesIn(folder)).toEqual({ new: '700' });
      });
      expect(lines).toEqual([]);
    });
  });

  test('that were readable for others are closed to them at the start, and the log says which', async () => {
    await withFolder(async (folder) => {
      const path = join(folder, 'livehook.db');
      await opened(path, silentLog, async () => {});
      await writeFile(`${path}.key`, 'key', { mode: 0o644 });
      await chmod(path, 0o664);
      const { log, lines } = listening();
      await opened(path, log, async () => {
        expect(await modesIn(folder)).toEqual({
          'livehook.db': '600',
          'livehook.db-shm': '600',
          'livehook.db-wal': '600',
          'livehook.db.key': '600',
        });
      });
      expect(lines).toEqual([
        ['database.file_was_open', { file: path, mode: '0664' }],
        ['database.file_was_open', { file: `${path}.key`, mode: '0644' }],
      ]);
    });
  });

  test('in a folder that everybody can write to come with a warning; the sticky bit is protection enough', async () => {
    await withFolder(async (folder) => {
      const { log, lines } = listening();
      await chmod(folder, 0o777);
      await opened(join(folder, 'livehook.db'), log, async () => {});
      expect(lines).toEqual([['database.folder_open_to_all', { folder, mode: '0777', todo: expect.stringContaining('chmod o-w') }]]);
      await chmod(folder, 0o1777);
      lines.length = 0;
      await opened(join(folder, 'livehook.db'), log, async () => {});
      expect(lines).toEqual([]);
    });
  });
});

const MARKER = 'Zw3lve-secret-marker';
const FOLLOW = '{ deliveries(first: 100) { nodes { status } } }';

/** How often each file has the marker, as bytes. */
async function tracesIn(folder: string): Promise<Record<string, number>> {
  const traces: Record<string, number> = {};
  for (const name of (await readdir(folder)).sort()) {
    const count = (await readFile(join(folder, name))).toString('latin1').split(MARKER).length - 1;
    if (count > 0) traces[name] = count;
  }
  return traces;
}

describe('After eventRedact', () => {
  test.each([
    ['short', 50],
    ['of many pages', 60_000],
  ])('no byte of a payload that is %s is left in any file: database, log of writes, free pages', async (_title, size) => {
    await withHub(createSqliteDatabase, async ({ receiver, application, databaseUrl }) => {
      const folder = join(databaseUrl.slice('sqlite:'.length), '..');
      const shop = await application();
      receiver.answer('/echo', async ({ body }) => ({ status: 200, body, headers: { 'x-echo': body.toString('latin1', 0, 500) } }));
      await shop.webhook('/echo', {});
      await shop.webhook('/echo', { payloadQuery: 'subscription { event { mark: get(path: "mark") } }' });
      const ids: string[] = [];
      for (let no = 0; no < 30; no++) {
        const isMarked = no % 3 === 1;
        const mark = (isMarked ? MARKER : 'nothing-of-the-kind_').repeat(Math.ceil((size * (1 + (no % 5))) / 60));
        const { id } = await shop.publish({ payload: { mark }, idempotencyKey: `k${no}` });
        if (isMarked) ids.push(id);
      }
      await until(
        async () => {
          const { deliveries } = await shop.client.query<{ deliveries: { nodes: { status: string }[] } }>(FOLLOW);
          return deliveries.nodes.filter(({ status }) => status === 'SUCCEEDED').length === 60;
        },
        { description: 'all deliveries to succeed' },
      );
      expect(Object.keys(await tracesIn(folder))).toContain('livehook.db-wal');
      for (const id of ids) await mutated(shop.client, 'eventRedact', { id });
      expect(await tracesIn(folder)).toEqual({});
    });
  });

  test('the payload is gone although another program was reading: as soon as that ends', async () => {
    await withHub(createSqliteDatabase, async ({ application, databaseUrl }) => {
      const path = databaseUrl.slice('sqlite:'.length);
      const shop = await application();
      const { id } = await shop.publish({ payload: { mark: MARKER } });
      const reader = new (require('libsql'))(path);
      reader.exec('BEGIN');
      reader.prepare('SELECT COUNT(*) FROM events').get();
      await mutated(shop.client, 'eventRedact', { id });
      expect(await tracesIn(join(path, '..'))).not.toEqual({});
      reader.exec('COMMIT');
      reader.close();
      await until(async () => Object.keys(await tracesIn(join(path, '..'))).length === 0, { description: 'the traces to be gone' });
    });
  });
});

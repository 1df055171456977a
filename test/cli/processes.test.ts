import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { createProgram } from '../../src/cli/program';
import { Command, run } from '../support/command';
import { createSqliteDatabase } from '../support/databases';
import { gate } from '../support/gate';
import { Client, type Subscription } from '../support/graphql-client';
import { Build, type HubProcess } from '../support/hub-process';
import { createMysqlDatabase } from '../support/mariadb';
import { mutated } from '../support/mutate';
import { Receiver } from '../support/receiver';
import { withRows } from '../support/rows';
import { until } from '../support/until';
import { ADMIN_KEY, testEnvironment } from '../support/with-hub';

let build: Build;

beforeAll(async () => {
  build = await Build.make();
});

afterAll(() => build.remove());

interface Several {
  readonly hub: HubProcess;
  readonly databaseUrl: string;
  readonly receiver: Receiver;
  /** Its events go to `/hook`. */
  readonly applicationId: string;
  /** With a key of it. */
  readonly shop: Client;
}

/** Two processes on one port, with an application and its webhook. */
async function withTwo(work: (several: Several) => Promise<void>): Promise<void> {
  const database = await createMysqlDatabase();
  const receiver = await Receiver.listen();
  const hub = await build.serve(database.url, { LIVEHOOK_LOG_LEVEL: 'info' }, { args: ['--processes', '2'] });
  const admin = new Client(hub.url, ADMIN_KEY);
  let shop: Client | undefined;
  try {
    await until(async () => (await instances(database.url)) === 2, { description: 'two instances' });
    const { application } = await mutated<{ application: { id: string } }>(
      admin,
      'applicationCreate',
      { input: { name: 'shop' } },
      'application { id }',
    );
    const { token } = await mutated<{ token: string }>(admin, 'apiKeyCreate', { input: { applicationId: application.id } }, 'token');
    shop = new Client(hub.url, token);
    await mutated(shop, 'webhookCreate', { input: { url: receiver.url('/hook'), maxConcurrency: 20 } });
    await work({ hub, databaseUrl: database.url, receiver, applicationId: application.id, shop });
  } finally {
    await shop?.close();
    for (const { pid } of startsOf(hub)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    await hub.kill('SIGKILL');
    await receiver.close();
    await database.drop();
  }
}

interface Line {
  readonly event: string;
  readonly process: number;
  readonly processPid: number;
  readonly code: number | null;
  readonly signal: string | null;
}

function linesOf(hub: HubProcess, event: string): Line[] {
  const lines = hub.log.slice(0, hub.log.lastIndexOf('\n') + 1).split('\n');
  return lines
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line)
    .filter((line) => line.event === event);
}

/** The processes that were started, in their order. */
const startsOf = (hub: HubProcess) => linesOf(hub, 'process.started').map(({ process: number, processPid: pid }) => ({ number, pid }));

function pidOf(hub: HubProcess, wanted: number): number {
  const pid = startsOf(hub).findLast(({ number }) => number === wanted)?.pid;
  if (pid === undefined) throw new Error(`process ${wanted} was not started:\n${hub.log}`);
  return pid;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const count = (databaseUrl: string, what: string) =>
  withRows(databaseUrl, async (query) => Number((await query<{ n: number }>(`SELECT COUNT(*) AS n FROM ${what}`))[0]?.n));
const instances = (databaseUrl: string) => count(databaseUrl, 'instances');

const publishOne = (client: Client, no: number) =>
  mutated<{ event: { id: string } }>(
    client,
    'eventPublish',
    { input: { type: 'order.created', payload: { no }, idempotencyKey: `order-${no}` } },
    'event { id }',
  ).then(({ event }) => event.id);

/** As a publisher does: with the same key until it is answered. */
/** A connection that is handed to a process which dies just then gets no answer, and is not closed either. */
const publishSurely = (client: Client, no: number) =>
  until(() => Promise.race([publishOne(client, no), pause(2_000, undefined)]), { description: `event ${no} to be stored` });

const idsAt = (receiver: Receiver) => receiver.requests('/hook').map(({ headers }) => headers['webhook-id']);

/** Over a connection of its own. */
async function metricsOf(url: string): Promise<string> {
  const request = get(`${url}/metrics`, { agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return text(response);
}

/** The values of a metric, by process. */
function byProcess(exposition: string, metric: string): Record<string, number> {
  const samples = exposition.matchAll(new RegExp(`^${metric}\\{(?:[^}]*,)?process="(\\d+)"[^}]*\\} (\\S+)$`, 'gm'));
  return Object.fromEntries([...samples].map(([, number, value]) => [number, Number(value)]));
}

describe('livehook serve --processes 2', () => {
  test('serves one port from two instances: every event is sent once, and reaches who watches either of them', async () => {
    await withTwo(async ({ hub, receiver, applicationId, shop }) => {
      expect(hub.printed).toBe(`Livehook is listening on ${hub.url}\n`);
      const watching = Array.from({ length: 4 }, () => new Client(hub.url, ADMIN_KEY));
      const query = `subscription { event(applicationId: "${applicationId}") { id } }`;
      const streams = watching.map((client, index) => (index < 2 ? client.subscribe(query) : client.subscribeSse(query)));
      await until(
        async () => {
          const open = (await metricsOf(hub.url)).matchAll(/^livehook_subscribers\{.*\} (\d+)$/gm);
          return [...open].reduce((sum, [, value]) => sum + Number(value), 0) === 4;
        },
        { description: 'four open streams' },
      );

      const ids = await Promise.all(Array.from({ length: 40 }, (_, no) => publishOne(shop, no)));
      await receiver.waitFor(40, '/hook');
      for (const stream of streams) {
        const seen = (await stream.take(40)) as { event: { id: string } }[];
        expect(seen.map(({ event }) => event.id).sort()).toEqual([...ids].sort());
        await stream.return();
      }
      const exposition = await until(
        async () => {
          const now = await metricsOf(hub.url);
          const arrived = byProcess(now, 'livehook_deliveries_succeeded_total');
          return (arrived[1] ?? 0) + (arrived[2] ?? 0) === 40 && now;
        },
        { description: '40 deliveries to be counted' },
      );
      expect(idsAt(receiver).sort()).toEqual([...ids].sort());

      const accepted = byProcess(exposition, 'livehook_events_accepted_total');
      expect((accepted[1] ?? 0) + (accepted[2] ?? 0)).toBe(40);
      expect(accepted[1]).toBeGreaterThan(0);
      expect(accepted[2]).toBeGreaterThan(0);
      await Promise.all(watching.map((client) => client.close()));
    });
  });

  test('answers /metrics for both, whichever is asked, and for one while the other hangs', async () => {
    await withTwo(async ({ hub }) => {
      for (const exposition of await Promise.all(Array.from({ length: 4 }, () => metricsOf(hub.url)))) {
        expect(byProcess(exposition, 'livehook_instances')).toEqual({ 1: expect.any(Number), 2: expect.any(Number) });
        expect(Object.keys(byProcess(exposition, 'process_resident_memory_bytes'))).toEqual(['1', '2']);
        const heads = exposition.match(/^# (HELP|TYPE) \S+/gm) ?? [];
        expect(heads).toContain('# TYPE livehook_commit_seconds');
        expect(new Set(heads).size).toBe(heads.length);
        const series = exposition.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
        expect(series.filter((line) => !/\{(.*,)?process="[12]"/.test(line))).toEqual([]);
        expect(new Set(series.map((line) => line.slice(0, line.lastIndexOf(' ')))).size).toBe(series.length);
      }

      process.kill(pidOf(hub, 2), 'SIGSTOP');
      const scrapes = [1, 2, 3].map(() => metricsOf(hub.url)); // one that hangs is handed no more than one of them
      expect(Object.keys(byProcess(await Promise.any(scrapes), 'livehook_lease_held'))).toEqual(['1']);
      process.kill(pidOf(hub, 2), 'SIGCONT');
      await Promise.all(scrapes);
      await until(async () => Object.keys(byProcess(await metricsOf(hub.url), 'livehook_lease_held')).join() === '1,2', {
        description: 'both to be there again',
      });
    });
  });

  test('starts a process again that is killed, and nothing that was acknowledged is lost', async () => {
    await withTwo(async ({ hub, databaseUrl, receiver, shop }) => {
      const slow = gate();
      receiver.answer('/hook', (_request, nth) => (nth % 10 === 0 ? slow.answer() : {}));
      const before = await Promise.all(Array.from({ length: 40 }, (_, no) => publishSurely(shop, no)));
      await receiver.waitFor(20, '/hook');
      const killed = pidOf(hub, 2);
      process.kill(killed, 'SIGKILL');
      const during = await Promise.all(Array.from({ length: 40 }, (_, no) => publishSurely(shop, 100 + no)));
      slow.open();
      await until(async () => (await metricsOf(hub.url)).includes('process="2"') && pidOf(hub, 2) !== killed, {
        description: 'another process 2',
      });
      expect(linesOf(hub, 'process.died')).toEqual([
        expect.objectContaining({ process: 2, processPid: killed, code: null, signal: 'SIGKILL', startsAgainInMs: 1_000 }),
      ]);
      const wanted = [...before, ...during];
      await receiver.waitFor((requests) => {
        const ids = new Set(requests.map(({ headers }) => headers['webhook-id']));
        return wanted.every((id) => ids.has(id));
      }, '/hook');
      await until(async () => (await count(databaseUrl, "deliveries WHERE status <> 'SUCCEEDED' OR owner IS NOT NULL")) === 0, {
        description: 'every delivery to be finished',
      });
      expect(await count(databaseUrl, 'events')).toBe(80);
    });
  });

  test('serves the same port again, also one that was picked, when all of them are killed at once', async () => {
    await withTwo(async ({ hub, receiver, shop }) => {
      for (const number of [1, 2]) process.kill(pidOf(hub, number), 'SIGKILL');
      const id = await publishSurely(shop, 1);
      await receiver.waitFor(1, '/hook');
      expect(idsAt(receiver)).toEqual([id]);
      await until(() => linesOf(hub, 'hub.started').length === 4, { description: 'both to serve again' });
      expect(hub.printed).toBe(`Livehook is listening on ${hub.url}\n`);
    });
  });

  test('starts a process again that ended by itself', async () => {
    await withTwo(async ({ hub, databaseUrl }) => {
      process.kill(pidOf(hub, 1), 'SIGTERM');
      await until(() => startsOf(hub).length === 3, { description: 'another process 1' });
      expect(linesOf(hub, 'process.died')).toEqual([expect.objectContaining({ process: 1, code: 0, signal: null })]);
      await until(async () => (await instances(databaseUrl)) === 2, { description: 'two instances' });
    });
  });

  test('ends what is in flight on SIGTERM, exits 0, and leaves no process behind', async () => {
    await withTwo(async ({ hub, databaseUrl, receiver, shop }) => {
      const slow = gate();
      receiver.answer('/hook', slow.answer);
      await Promise.all(Array.from({ length: 8 }, (_, no) => publishOne(shop, no)));
      await receiver.waitFor(8, '/hook');
      hub.signal('SIGTERM');
      hub.signal('SIGTERM');
      await until(() => linesOf(hub, 'hub.stopping').length === 2, { description: 'both to drain' });
      // What is sent to all of a group reaches each process once more, and changes nothing.
      for (const { pid } of startsOf(hub)) process.kill(pid, 'SIGTERM');
      slow.open();
      expect(await hub.ended()).toEqual({ code: 0, signal: null });
      expect(startsOf(hub).map(({ pid }) => isAlive(pid))).toEqual([false, false]);
      expect(await count(databaseUrl, "deliveries WHERE status = 'SUCCEEDED' AND attempt_count = 1")).toBe(8);
      expect(await instances(databaseUrl)).toBe(0);
      expect(linesOf(hub, 'process.died')).toEqual([]);
    });
  });

  test('ends at once on a second SIGTERM, as one process does', async () => {
    await withTwo(async ({ hub, receiver, shop }) => {
      receiver.answer('/hook', { hang: true });
      await Promise.all(Array.from({ length: 4 }, (_, no) => publishOne(shop, no)));
      await receiver.waitFor(4, '/hook');
      hub.signal('SIGTERM');
      await until(() => linesOf(hub, 'hub.stopping').length === 2, { description: 'both to drain' });
      // One that comes right after the first is taken for the same.
      await until(() => hub.signal('SIGTERM') ?? hub.hasExited, { description: 'the end' });
      expect(await hub.ended()).toEqual({ code: null, signal: 'SIGTERM' });
      await until(() => startsOf(hub).every(({ pid }) => !isAlive(pid)), { description: 'both to be gone' });
    });
  });

  test('drains and ends all by itself when the process that started it is killed', async () => {
    await withTwo(async ({ hub, databaseUrl, receiver, shop }) => {
      const slow = gate();
      receiver.answer('/hook', slow.answer);
      await Promise.all(Array.from({ length: 8 }, (_, no) => publishOne(shop, no)));
      await receiver.waitFor(8, '/hook');
      expect(await hub.kill('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
      await until(() => linesOf(hub, 'process.orphaned').length === 2, { description: 'both to notice' });
      slow.open();
      await until(() => startsOf(hub).every(({ pid }) => !isAlive(pid)), { description: 'both to be gone' });
      expect(await count(databaseUrl, "deliveries WHERE status = 'SUCCEEDED' AND attempt_count = 1")).toBe(8);
      expect(await instances(databaseUrl)).toBe(0);
    });
  });

  test('has metrics of all processes on a port of their own, where that is wanted', async () => {
    const database = await createMysqlDatabase();
    const hub = await build.serve(database.url, { LIVEHOOK_METRICS_PORT: '0' }, { args: ['--processes', '2'] });
    try {
      const metricsUrl = await until(() => /Metrics are at (\S+)\/metrics/.exec(hub.printed)?.[1], { description: 'the address' });
      await until(async () => Object.keys(byProcess(await metricsOf(metricsUrl), 'livehook_instances')).join() === '1,2', {
        description: 'both processes to be in the metrics',
      });
      for (let times = 0; times < 4; times++) expect(await metricsOf(hub.url)).toContain('NOT_FOUND');
    } finally {
      await hub.kill('SIGTERM');
      await database.drop();
    }
  });

  test('drops connections when every process is full, instead of handing them around', async () => {
    const database = await createMysqlDatabase();
    // A process takes 40, and 16 more to refuse them; 20 may be without a key.
    const hub = await build.serve(database.url, { LIVEHOOK_CONNECTIONS: '40' }, { args: ['--processes', '2'] });
    const admin = new Client(hub.url, ADMIN_KEY);
    const streams: Subscription<Record<string, unknown>>[] = [];
    const sockets: Socket[] = [];
    try {
      const { application } = await mutated<{ application: { id: string } }>(
        admin,
        'applicationCreate',
        { input: { name: 'shop' } },
        'application { id }',
      );
      const query = `subscription { event(applicationId: "${application.id}") { id } }`;
      // Each counts as an application of its own: one alone would get no more than half of the places.
      const callers: Client[] = [];
      for (let made = 0; made < 60; made++) {
        const { token } = await mutated<{ token: string }>(admin, 'apiKeyCreate', { input: { name: 'watcher' } }, 'token');
        callers.push(new Client(hub.url, token));
      }
      let next = 0;
      await until(
        async () => {
          for (let asked = 0; asked < 10; asked++) streams.push((callers[next++ % callers.length] as Client).subscribeSse(query));
          const open = (await metricsOf(hub.url)).matchAll(/^livehook_subscribers\{transport="sse",process="\d"\} (\d+)$/gm);
          return [...open].map(([, value]) => Number(value)).join() === '40,40';
        },
        { description: 'both to be full' },
      );
      let dropped = 0;
      for (let opened = 0; opened < 60; opened++) {
        const socket = connect(Number(new URL(hub.url).port), '127.0.0.1').on('error', () => {});
        socket.resume().once('close', () => dropped++);
        sockets.push(socket);
      }
      await until(() => dropped >= 60 - 2 * 16, { description: 'those over the limits of both to be dropped', timeoutMs: 10_000 });
    } finally {
      for (const socket of sockets) socket.destroy();
      await Promise.all(streams.map((stream) => stream.return()));
      await hub.kill('SIGTERM');
      await database.drop();
    }
  });
});

describe('livehook serve --processes', () => {
  test.each(['0', '65', '-1', '1.5', 'two', '2 ', ''])(
    'refuses %j before anything is opened, and says what it expected',
    async (processes) => {
      await expect(createProgram().parseAsync(['node', 'livehook', 'serve', `--processes=${processes}`])).rejects.toThrow(
        `--processes: expected a whole number from 1 to 64; got ${JSON.stringify(processes)}`,
      );
    },
  );

  test('refuses several on SQLite, and makes no file', async () => {
    const { url, drop } = await createSqliteDatabase();
    const { code, out, err } = await run(['serve', '--processes', '2'], testEnvironment(url));
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(
      /^livehook: Invalid configuration:\n {2}--processes: expected 1 with SQLite, whose file belongs to one instance; got 2\./,
    );
    expect(existsSync(url.slice('sqlite:'.length))).toBe(false);
    await drop();
  });

  test('of 1 is as without it, on SQLite as well', async () => {
    const { url, drop } = await createSqliteDatabase();
    const served = new Command(['serve', '--processes', '1'], testEnvironment(url));
    const printed = await served.prints(/listening/);
    expect(await metricsOf(/listening on (\S+)/.exec(printed)?.[1] ?? '')).toMatch(/^livehook_instances 1$/m);
    served.kill('SIGTERM');
    expect(await served.ended()).toMatchObject({ code: 0 });
    expect((await run(['serve', '--help'])).out).toMatch(/--processes <n> .*\(default:\s+"1"\)/s);
    await drop();
  });

  test('prints one admin key when it has to make one, and it opens every process', async () => {
    const { url, drop } = await createMysqlDatabase();
    const { LIVEHOOK_ADMIN_KEY: _, ...environment } = testEnvironment(url);
    const served = new Command(['serve', '--processes', '2'], environment);
    try {
      const printed = await served.prints(/Dashboard:/);
      const keys = printed.match(/lhk_\S+/g) ?? [];
      expect(keys).toHaveLength(1);
      await until(async () => (await instances(url)) === 2, { description: 'two instances' });
      const client = new Client(/listening on (\S+)/.exec(printed)?.[1] ?? '', keys[0]);
      await Promise.all(Array.from({ length: 6 }, () => client.query('{ viewer { admin } }')));
    } finally {
      served.kill('SIGTERM');
    }
    const { code, out } = await served.ended();
    expect({ code, keys: out.match(/lhk_/g), lines: out.match(/listening/g) }).toEqual({ code: 0, keys: ['lhk_'], lines: ['listening'] });
    await drop();
  });

  test.each([1, 2])('%i: ends with the reason when the port is taken', async (processes) => {
    const { url, drop } = await createMysqlDatabase();
    const occupant = createServer().listen(0, '127.0.0.1');
    await once(occupant, 'listening');
    const port = String((occupant.address() as AddressInfo).port);
    const { code, out, err } = await run(['serve', '--processes', String(processes)], testEnvironment(url, { PORT: port }));
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^livehook: PORT: port \d+ of 127\.0\.0\.1 is in use by another program.*\n$/);
    occupant.close();
    await drop();
  });
});

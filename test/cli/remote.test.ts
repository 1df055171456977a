import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSchema, parse, validate } from 'graphql';
import { VIEWER } from '../../src/cli/remote/login';
import { NOUNS } from '../../src/cli/remote/nouns';
import { REPLAY, RETRY, RETRY_MANY, WATCH_JOB } from '../../src/cli/remote/retry';
import { tableOf } from '../../src/cli/remote/table';
import { EXAMPLES, withChange } from '../../src/cli/remote/trigger';
import { newSigningSecret } from '../../src/webhooks/signing-secret';
import { signatureHeaders } from '../receiver/signed-request';
import { Command, type Ended, run } from '../support/command';
import { createSqliteDatabase } from '../support/databases';
import { mutated } from '../support/mutate';
import { until } from '../support/until';
import { ADMIN_KEY, type TestApplication, type TestHub, withHub } from '../support/with-hub';

const schema = buildSchema(readFileSync(join(__dirname, '..', '..', 'schema', 'schema.graphql'), 'utf8'));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'livehook-remote-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const file = async (name: string, content: string) => {
  await writeFile(join(folder, name), content);
  return join(folder, name);
};

const lines = ({ out }: Ended) =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

function withShop(work: (hub: TestHub, shop: TestApplication, environment: Record<string, string>) => Promise<void>): Promise<void> {
  return withHub(createSqliteDatabase, async (hub) => {
    const shop = await hub.application();
    await work(hub, shop, { HOME: folder, LIVEHOOK_URL: new URL(hub.url).origin, LIVEHOOK_KEY: shop.key });
  });
}

test.each([...NOUNS.flatMap(({ documents }) => Object.values(documents)), EXAMPLES, VIEWER, RETRY, RETRY_MANY, REPLAY, WATCH_JOB])(
  'The schema has what the command line asks for: %s',
  (document) => {
    expect(validate(schema, parse(document))).toEqual([]);
  },
);

describe('livehook publish', () => {
  test('publishes its argument, a file, and each line of its input, to the digit', () =>
    withShop(async (_hub, { client }, environment) => {
      const single = await run(
        ['publish', 'order.created', '{"n": 1.0,"big":12345678901234567890}', '--idempotency-key', 'mine'],
        environment,
      );
      expect({ ...single, out: lines(single) }).toEqual({
        code: 0,
        err: '',
        out: [{ id: expect.stringMatching(/^evt_/), sequence: 1, deduplicated: false }],
      });
      const fromFile = await run(['publish', 'order.created', '--file', await file('one.json', '{\n "n": 2\n}\n')], environment);
      expect(lines(fromFile)).toMatchObject([{ sequence: 2 }]);
      const input = Array.from({ length: 1_500 }, (_, index) => `{"n":${index + 3}}`).join('\n');
      const piped = await new Command(['publish', 'order.paid'], environment, undefined, 'livehook', `${input}\n\n`).ended();
      expect(piped.err).toBe('');
      expect(lines(piped).map(({ sequence }) => sequence)).toEqual(Array.from({ length: 1_500 }, (_, index) => index + 3));
      const { events } = await client.query<{ events: { nodes: unknown[] } }>(
        '{ events(first: 1, filter: { types: ["order.created"], idempotencyKey: "mine" }) { nodes { payloadText } } }',
      );
      expect(events.nodes).toEqual([{ payloadText: '{"n":1.0,"big":12345678901234567890}' }]);
    }));

  test('says what is wrong with its use, its input, the event and the key, with exit codes 2 and 1', () =>
    withShop(async (_hub, _shop, environment) => {
      const wrong = await Promise.all([
        run(['publish'], environment),
        run(['publish', 'a.b', '{'], environment),
        run(['publish', 'a.b', '{}', '--file', 'x'], environment),
        run(['publish', 'a.b', '{}'], { HOME: folder }),
      ]);
      expect(wrong.map(({ code, out }) => [code, out])).toEqual(wrong.map(() => [2, '']));
      expect(wrong.map(({ err }) => err)).toEqual([
        expect.stringContaining("missing required argument 'type'"),
        expect.stringContaining('the payload: expected JSON'),
        expect.stringContaining('expected one of the payload, --file and --lines'),
        expect.stringContaining('expected an API key: --key, LIVEHOOK_KEY, or one that livehook login has stored'),
      ]);
      const refused = await run(['publish', 'no type', '{}'], environment);
      expect(refused).toMatchObject({ code: 1, out: '', err: expect.stringContaining('type: expected') });
      const foreign = await run(['publish', 'a.b', '{}', '--key', 'somebody-elses-key'], environment);
      expect(foreign).toMatchObject({ code: 1, out: '' });
      const nobody = await run(['publish', 'a.b', '{}', '--url', 'ftp://x'], environment);
      expect(nobody).toMatchObject({ code: 1, err: expect.stringContaining("Expected the hub's URL as https://") });
    }));
});

describe('livehook trigger', () => {
  test("publishes the type's example with what is changed", () =>
    withShop(async (_hub, { client }, environment) => {
      const input = { name: 'order.created', examples: [{ no: 'A-1', lines: [{ sku: 'x', count: 1 }] }, { no: 'B-2' }] };
      await mutated(client, 'eventTypeRegister', { input });
      const set = ['--set', 'no=A-7', 'lines.0.count=2', 'buyer.name=Ann'];
      expect(await run(['trigger', 'order.created', ...set], environment)).toMatchObject({ code: 0, err: '' });
      expect(await run(['trigger', 'order.created', '--example', '2'], environment)).toMatchObject({ code: 0, err: '' });
      const { events } = await client.query<{ events: { nodes: unknown[] } }>('{ events { nodes { payload } } }');
      expect(events.nodes).toEqual([
        { payload: { no: 'B-2' } },
        { payload: { no: 'A-7', lines: [{ sku: 'x', count: 2 }], buyer: { name: 'Ann' } } },
      ]);
      const wrong = await Promise.all([
        run(['trigger', 'order.paid'], environment),
        run(['trigger', 'order.created', '--example', '3'], environment),
      ]);
      expect(wrong.map(({ code }) => code)).toEqual([2, 2]);
      expect(wrong.map(({ err }) => err)).toEqual([
        expect.stringContaining('order.paid has no example'),
        expect.stringContaining('--example: expected 1 to 2, got 3'),
      ]);
    }));

  test('changes a copy, in the order of its keys, and no prototype', () => {
    const payload = { a: [1, { b: 2 }], c: 'x' };
    expect(JSON.stringify(withChange(payload, 'a.1.b={"d":null}'))).toBe('{"a":[1,{"b":{"d":null}}],"c":"x"}');
    expect(JSON.stringify(withChange(payload, 'a.2=y=z'))).toBe('{"a":[1,{"b":2},"y=z"],"c":"x"}');
    expect(JSON.stringify(payload)).toBe('{"a":[1,{"b":2}],"c":"x"}');
    withChange(payload, '__proto__.polluted=1');
    expect('polluted' in {}).toBe(false);
    expect(() => withChange(payload, 'a.4=1')).toThrow('expected an index from 0 to 2, got 4');
    expect(() => withChange(payload, 'a')).toThrow('expected path=value');
  });
});

describe('livehook login', () => {
  test('keeps a valid key for its user alone, and the commands that follow use it', () =>
    withShop(async (hub, shop) => {
      const home = join(folder, 'home');
      await mkdir(join(home, '.config', 'livehook'), { recursive: true });
      const profile = join(home, '.config', 'livehook', 'profile.json');
      await writeFile(profile, 'broken');
      await chmod(profile, 0o644);
      expect(await run(['publish', 'a.b', '1'], { HOME: home })).toMatchObject({ code: 2, err: expect.stringContaining('livehook login') });
      const url = new URL(hub.url).origin;
      expect(await run(['login', '--url', url, '--key', 'wrong'], { HOME: home })).toMatchObject({ code: 1 });
      const input = new Command(['login', '--url', url], { HOME: home }, undefined, 'livehook', `${shop.key}\n`);
      expect(await input.ended()).toMatchObject({ code: 0, err: expect.stringContaining(`The key is valid at ${url}`) });
      expect((await stat(profile)).mode & 0o777).toBe(0o600);
      expect(lines(await run(['publish', 'a.b', '1'], { HOME: home }))).toMatchObject([{ sequence: 1 }]);
    }));
});

describe('livehook tail, retry and replay', () => {
  test('show what happens, and have failed deliveries attempted again', () =>
    withShop(async ({ receiver }, shop, environment) => {
      let isUp = false;
      receiver.answer('/hooks', () => ({ status: isUp ? 204 : 500, body: 'down' }));
      const webhook = await shop.webhook('/hooks', { retrySchedule: [] });
      const other = await shop.webhook('/others');
      const tail = new Command(['tail', '--failed', '--webhook', webhook.id, other.id], environment);
      // It begins when it is connected: until then there may be nothing to see.
      await until(
        async () => {
          await shop.publish({ type: 'order.created', payload: 1 });
          return Promise.race([tail.prints(/FAILED/), new Promise<void>((resolve) => setTimeout(resolve, 500))]);
        },
        { description: 'tail shows a failed delivery' },
      );
      tail.kill('SIGINT');
      const shown = await tail.ended();
      expect(shown.code).toBe(0);
      for (const update of lines(shown))
        expect(update).toMatchObject({ status: 'FAILED', delivery: { webhookId: webhook.id }, attempt: { statusCode: 500 } });

      isUp = true;
      const [first] = lines(shown) as [{ delivery: { id: string } }];
      const retried = await run(['retry', first.delivery.id], environment);
      expect(retried.code).toBe(0);
      expect(lines(retried)).toMatchObject([{ id: first.delivery.id }]);
      expect(await run(['retry', 'dlv_none'], environment)).toMatchObject({ code: 1, out: '' });

      const since = ['--since', '1h', '--webhook', webhook.id];
      const counted = await run(['replay', ...since, '--dry-run'], environment);
      const [{ total } = { total: 0 }] = lines(counted);
      await shop.publish({ type: 'order.created', payload: 2 }); // succeeded, and not meant
      const replayed = await run(['replay', ...since], environment);
      expect({ code: replayed.code, job: lines(replayed) }).toMatchObject({ code: 0, job: [{ status: 'COMPLETED', failed: 0 }] });
      expect(Number(total)).toBeGreaterThanOrEqual(Number(lines(replayed)[0]?.done));
      const { deliveries } = await shop.client.query<{ deliveries: { nodes: unknown[] } }>(
        '{ deliveries(filter: { statuses: [FAILED] }) { nodes { id } } }',
      );
      expect(deliveries.nodes).toEqual([]);
      expect(await run(['replay', '--since', 'lately'], environment)).toMatchObject({
        code: 2,
        err: expect.stringContaining('--since: expected a duration'),
      });
      expect(await run(['replay', '--since', '1h', '--missed'], environment)).toMatchObject({ code: 2 });
    }));

  test('draw what is going on, on a terminal', () =>
    withShop(async ({ receiver }, shop, environment) => {
      receiver.answer('/hooks', () => ({ status: 500 }));
      await shop.webhook('/hooks', { retrySchedule: [] });
      for (let n = 0; n < 3; n++) await shop.publish();
      await until(
        async () => {
          const { deliveries } = await shop.client.query<{ deliveries: { nodes: unknown[] } }>(
            '{ deliveries(filter: { statuses: [FAILED] }) { nodes { id } } }',
          );
          return deliveries.nodes.length === 3;
        },
        { description: 'the deliveries have failed' },
      );
      receiver.answer('/hooks', () => ({ status: 204 }));
      const { code, out } = await Command.onTerminal(['replay', '--since', '1h'], environment, folder).ended();
      expect(code).toBe(0);
      expect(out).toContain('█'.repeat(30));
      expect(out).toContain('completed: 3 of 3 attempted, 0 failed');
    }));
});

describe('livehook verify', () => {
  const secret = newSigningSecret();
  const body = '{"id":"evt_1","type":"a.b","data":{"ü":1}}';
  const headersOf = (headers: Record<string, string>) =>
    Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]);
  const verify = (args: string[], input = body) => new Command(['verify', ...args], { HOME: folder }, undefined, 'livehook', input).ended();

  test('says that a request is genuine, or which part of it is wrong', async () => {
    const good = signatureHeaders(secret, body);
    const headers = await file(
      'headers.txt',
      `POST /hooks HTTP/1.1\n${Object.entries(good)
        .map(([name, value]) => `${name}: ${value}`)
        .join('\n')}\n`,
    );
    const bodyFile = await file('body.json', body);
    expect(await verify(['--secret', secret, '--headers', headers, '--body', bodyFile])).toMatchObject({
      code: 0,
      out: expect.stringContaining('The signature is right: evt_1'),
    });
    const told = async (args: string[], input?: string) => {
      const { code, err } = await verify(args, input);
      expect(code).toBe(1);
      return err;
    };
    const answers = await Promise.all([
      told(['--secret', secret, ...headersOf(good)], `${body}\n`),
      told(['--secret', secret, ...headersOf(good)], body.replace('"type":', '"type": ')),
      told(['--secret', newSigningSecret(), ...headersOf(good)]),
      told(['--secret', 'whsec_!', ...headersOf(good)]),
      told(['--secret', secret, ...headersOf(good), '--at', '2020-01-01T00:00:00Z']),
      told(['--secret', secret, ...headersOf({ 'webhook-id': 'evt_1' })]),
    ]);
    expect(answers).toEqual([
      expect.stringContaining('body: there is white space around it'),
      expect.stringContaining('body: it was parsed and written anew'),
      expect.stringContaining('secret, id, time or body: No signature fits'),
      expect.stringContaining('secret: Expected whsec_ and base64'),
      expect.stringContaining('time: The webhook-timestamp is'),
      expect.stringContaining('headers: Expected the header webhook-timestamp'),
    ]);
    expect(await verify(['--secret', secret])).toMatchObject({
      code: 2,
      err: expect.stringContaining('expected the headers of the request'),
    });
  });
});

describe('The nouns of the command line', () => {
  test('are made, listed, shown, changed and deleted at a running hub', () =>
    withShop(async (_hub, _shop, environment) => {
      const made = await run(
        ['webhooks', 'create', 'url=https://example.com/hooks', 'eventTypes=["order.*"]', 'description=mine'],
        environment,
      );
      expect(made).toMatchObject({ code: 0, err: '' });
      const [webhook = {}] = lines(made);
      expect(webhook).toMatchObject({
        url: 'https://example.com/hooks',
        eventTypes: ['order.*'],
        signingSecret: expect.stringMatching(/^whsec_/),
      });
      const { signingSecret: _, ...shown } = webhook;
      const id = String(webhook.id);
      const input = await file('input.json', '{"description":null,"maxConcurrency":3}');
      const [listed, got, changed, nothing, unknown] = await Promise.all([
        run(['webhooks', 'list'], environment),
        run(['webhooks', 'get', id], environment),
        run(['webhooks', 'update', id, 'description=yours', '--input', input], environment),
        run(['webhooks', 'update', id], environment),
        run(['webhooks', 'get', 'whk_none'], environment),
      ]);
      expect(lines(listed)).toHaveLength(1);
      expect(lines(got)[0]).toMatchObject({ id, url: shown.url });
      expect(lines(changed)).toMatchObject([{ id, description: 'yours', version: 2 }]);
      expect(nothing).toMatchObject({ code: 2, err: expect.stringContaining('expected what to change') });
      expect(unknown).toMatchObject({ code: 1, err: expect.stringContaining('there is no webhook whk_none') });
      expect(await run(['webhooks', 'delete', id], environment)).toMatchObject({ code: 0 });
      expect(await run(['webhooks', 'list'], environment)).toEqual({ code: 0, out: '', err: '' });
      const refused = await run(['webhooks', 'create', 'url=ftp://example.com'], environment);
      expect(refused).toMatchObject({ code: 1, out: '', err: expect.stringContaining('url: expected') });
    }));

  test('are an admin’s, too: with the application that is named', () =>
    withShop(async (_hub, shop, environment) => {
      const asAdmin = { ...environment, LIVEHOOK_KEY: ADMIN_KEY };
      const [applications, registered] = await Promise.all([
        run(['applications', 'list', '--limit', '1'], asAdmin),
        run(['types', 'create', 'name=order.created', 'examples=[{"no":"A-1"}]', '--application', shop.id], asAdmin),
      ]);
      expect(lines(applications)).toMatchObject([{ id: shop.id, name: 'shop' }]);
      expect(lines(registered)).toMatchObject([{ name: 'order.created', examples: [{ no: 'A-1' }] }]);
      const [changed, type] = [
        await run(['types', 'update', 'order.created', 'description=new', '--application', shop.id], asAdmin),
        await run(['types', 'get', 'order.created', '--application', shop.id], asAdmin),
      ];
      expect([...lines(changed), ...lines(type)]).toMatchObject([{ description: 'new' }, { name: 'order.created', description: 'new' }]);
      expect(await run(['applications', 'list'], environment)).toMatchObject({
        code: 1,
        err: expect.stringContaining('requires an admin key'),
      });
      const terminal = await Command.onTerminal(['types', 'list', '--application', shop.id], asAdmin, folder).ended();
      expect(terminal.out).toMatch(/NAME +DESCRIPTION +LASTSEENAT/);
    }));

  test('are a table that fits the terminal', () => {
    const rows = [
      { id: 'whk_1', url: `https://example.com/${'x'.repeat(100)}`, types: ['a.b', 'c.d'] },
      { id: 'whk_2', url: null, types: 'bell\u0007' },
    ];
    const lines = tableOf(rows, ['id', 'url', 'types'], 40);
    expect(lines.every((line) => line.length <= 40)).toBe(true);
    expect(lines[0]).toMatch(/^ID +URL +TYPES$/);
    expect(lines[1]).toMatch(/^whk_1 {2}https:\/\/example\S*… {2}a\.b,c\.d$/);
    expect(lines[2]).toMatch(/^whk_2 +bell $|^whk_2 +bell$/);
  });
});

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { runInNewContext } from 'node:vm';
import { sign } from '../../src/delivery/request/sign';
import { keyObject, newPrivateKey, publicKeyOf } from '../../src/webhooks/signing-secret';
import { SigningScheme } from '../../src/webhooks/webhook';
import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { example, examplesFrom } from '../support/documentation';
import { freePort } from '../support/server-process';
import { until } from '../support/until';
import { ADMIN_KEY, withHub } from '../support/with-hub';

const GUIDE = 'schema/guide.md';
const RECEIVERS = 'schema/webhook.md';

/** A shell that somebody pastes the documentation into, in a folder with the project's packages. */
class Shell {
  readonly #child: ChildProcess;
  readonly #folder: string;
  #out = '';

  static async open(environment: Record<string, string>): Promise<Shell> {
    const folder = await mkdtemp(join(tmpdir(), 'livehook-docs-'));
    await symlink(resolve(__dirname, '../../node_modules'), join(folder, 'node_modules'));
    return new Shell(folder, environment);
  }

  private constructor(folder: string, environment: Record<string, string>) {
    this.#folder = folder;
    const { PATH = '', HOME = '' } = process.env;
    // A process group of its own, which ends together: the documentation starts things in the background.
    this.#child = spawn('bash', ['-u'], { cwd: folder, env: { PATH, HOME, ...environment }, detached: true });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#out += text;
      });
  }

  async write(file: string, content: string): Promise<void> {
    await writeFile(join(this.#folder, file), content);
  }

  /** Waits until what was printed since contains all of that. */
  async paste(text: string, ...expected: readonly string[]): Promise<void> {
    const before = this.#out.length;
    this.#child.stdin?.write(text);
    const missing = () => expected.filter((part) => !this.#out.slice(before).includes(part));
    await until(() => missing().length === 0, { description: 'what the documentation promises' }).catch(() => {
      throw new Error(`expected ${missing().join(' and ')}; got:\n${this.#out.slice(before)}`);
    });
  }

  async close(): Promise<void> {
    const closed = once(this.#child, 'close');
    process.kill(-(this.#child.pid ?? 0), 'SIGKILL');
    await closed;
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Pastes into a shell beside a hub, with the ports of the documentation replaced by free ones. */
async function withShell(work: (paste: Shell['paste'], shell: Shell, local: (text: string) => string) => Promise<void>): Promise<void> {
  await withHub(createSqliteDatabase, async ({ url }) => {
    const port = await freePort();
    const local = (text: string) => text.replaceAll('http://127.0.0.1:4000', url).replaceAll('8080', String(port));
    const shell = await Shell.open({ KEY: ADMIN_KEY });
    try {
      await work((text, ...expected) => shell.paste(local(text), ...expected), shell, local);
    } finally {
      await shell.close();
    }
  });
}

describe('What the documentation has a newcomer paste', () => {
  test('brings the first webhook in five lines, from the README alone', async () => {
    const lines = example('README.md', 'first-webhook');
    expect(lines.trim().split('\n')).toHaveLength(5);
    await withShell((paste) => paste(lines, '"signingSecret":"whsec_', '"type":"order.created"', '"sequence":1,"data":{"no":42}}'));
  });

  test('goes on from there: a receiver that verifies, a live view, repeats, a retry', async () => {
    const [helper = '', setUp = '', background = '', publish = '', look = '', ...more] = examplesFrom(GUIDE, 'first-steps', 'sh');
    expect(more).toEqual([]);
    await withShell(async (paste, shell, local) => {
      await shell.write('receiver.mjs', local(example(RECEIVERS, 'receiver')));
      await paste(`${helper}${setUp}echo "secret: $SECRET"\n`, 'secret: whsec_');
      await paste(background);
      await paste(
        publish,
        '"deduplicated":false',
        '"deduplicated":true',
        '1 order.created { no: 42 }',
        '2 order.paid { no: 42 }',
        '"code":"INVALID"',
        '"status":"SUCCEEDED"',
      );
      await paste(look, '"attemptCount":1', '"status":"SUCCEEDED"', '"trigger":"FIRST"', '"number":2');
    });
  });
});

/** A request as the page for receivers describes it, signed now by the hub's own code. */
function signedRequest() {
  const body = Buffer.from(
    '{"id":"evt_1","type":"order.created","timestamp":"2026-01-31T12:00:00.000Z","sequence":1,"data":{"name":"Grüße"}}',
  );
  const secret = 'whsec_bGl2ZWhvb2sncyBleGFtcGxlIHNlY3JldC4uLi4=';
  const privateKey = newPrivateKey();
  const timestamp = Math.floor(Date.now() / 1_000);
  const keys = [
    { scheme: SigningScheme.V1, key: keyObject(SigningScheme.V1, Buffer.from(secret.slice('whsec_'.length), 'base64')), expiresAt: null },
    { scheme: SigningScheme.V1A, key: keyObject(SigningScheme.V1A, privateKey), expiresAt: null },
  ];
  const headers = {
    'webhook-id': 'evt_1',
    'webhook-timestamp': String(timestamp),
    'webhook-signature': sign({ id: 'evt_1', timestamp, body }, keys, 0),
  };
  return { body, secret, publicKey: publicKeyOf(privateKey), headers };
}

describe('The page for receivers', () => {
  const hasPython = spawnSync('python3', ['--version']).status === 0;

  (hasPython ? test : test.skip)('verifies in Python without a library', () => {
    const { body, secret, headers } = signedRequest();
    const program = `${example(RECEIVERS, 'verify-python')}
import json, sys
secret, headers, body = json.load(sys.stdin)
verify(secret, headers, body.encode())
for wrong in (lambda: verify(secret, headers, b"{}"), lambda: verify(secret, headers, body.encode(), tolerance=-1)):
    try:
        wrong()
    except ValueError as error:
        print(error)
`;
    const printed = execFileSync('python3', ['-c', program], {
      input: JSON.stringify([secret, headers, body.toString()]),
      encoding: 'utf8',
    });
    expect(printed).toBe('the signature is wrong\nthe request is too old, or the clock is wrong\n');
  });

  test('computes the signature with openssl in a shell', async () => {
    const { body, secret, headers } = signedRequest();
    const shell = await Shell.open({
      SECRET: secret,
      WEBHOOK_ID: headers['webhook-id'],
      WEBHOOK_TIMESTAMP: headers['webhook-timestamp'],
    });
    try {
      await shell.write('body.json', body.toString());
      await shell.paste(example(RECEIVERS, 'verify-openssl'), headers['webhook-signature'].split(' ')[0] ?? 'v1');
    } finally {
      await shell.close();
    }
  });

  test('verifies with the library of Standard Webhooks', () => {
    const { body, secret, headers } = signedRequest();
    const check = (rawBody: Buffer) => {
      const source = example(RECEIVERS, 'verify-js').replace(/^import (.*) from (.*);$/gm, 'const $1 = require($2);');
      return runInNewContext(`${source}; event`, { require, secret, rawBody, headers });
    };
    expect(check(body)).toMatchObject({ id: 'evt_1', data: { name: 'Grüße' } });
    expect(() => check(Buffer.from('{}'))).toThrow('No matching signature found');
  });

  test('verifies v1a in Node, and refuses another body', () => {
    const { body, publicKey, headers } = signedRequest();
    const check = (rawBody: Buffer) => {
      const source = example(RECEIVERS, 'verify-v1a').replace(/^import (.*) from (.*);$/gm, 'const $1 = require($2);');
      runInNewContext(source, { require, Buffer, Date, Math, Number, Error, publicKey, headers, rawBody });
    };
    expect(() => check(body)).not.toThrow();
    expect(() => check(Buffer.from('{}'))).toThrow('not genuine');
  });
});

describeEachDatabase("The guide's examples", (makeDatabase) => {
  test('of shaping and selecting do what they say', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { webhookCreate } = await shop.client.mutate<{ webhookCreate: { signingSecret: string; userErrors: unknown[] } }>(
        example(GUIDE, 'shape').replace('https://partner.example/orders', receiver.url('/orders')),
        JSON.parse(example(GUIDE, 'shape-variables')),
      );
      expect(webhookCreate.userErrors).toEqual([]);
      receiver.trust('/orders', webhookCreate.signingSecret);
      const order = { no: 'A-1', lines: [{ sku: 'mug' }] };
      await shop.publish({ type: 'order.created', payload: { total: 99, currency: 'EUR', order } });
      await shop.publish({ type: 'order.created', payload: { total: 100, currency: 'CHF', order } });
      const { id } = await shop.publish({ type: 'order.paid', payload: { total: 100, currency: 'EUR', order } });
      await receiver.waitFor(1, '/orders');
      const [request] = receiver.requests('/orders');
      expect(request?.verified).toBe(true);
      expect(JSON.parse(request?.body.toString() ?? '').data).toEqual({
        event: { id, type: 'order.paid', orderNo: 'A-1', firstSku: 'mug' },
      });
    });
  });

  test('of health and of testing a webhook do what they say', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const { id } = await shop.webhook('/tested');
      const { webhookTest } = await shop.client.mutate<{ webhookTest: { attempt: object; userErrors: unknown[] } }>(
        example(GUIDE, 'test').replace('whk_…', id),
      );
      expect(webhookTest).toMatchObject({ attempt: { outcome: 'SUCCESS', curl: expect.stringContaining('curl') }, userErrors: [] });
      expect(JSON.parse(receiver.requests('/tested')[0]?.body.toString() ?? '')).toMatchObject({ sequence: 0, data: { order: { no: 7 } } });
      const { webhook } = await shop.client.query<{ webhook: object }>(example(GUIDE, 'health'), { id });
      expect(webhook).toMatchObject({ status: 'ACTIVE', health: 'HEALTHY', healthReason: null, stats: { attempts: 0, p50Ms: null } });
    });
  });

  test('of statistics, and of finding and counting, do what they say', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      receiver.answer('/broken', { status: 503 });
      const { id } = await shop.webhook('/broken', { retrySchedule: [] });
      const event = await shop.publish({ type: 'order.created', payload: { total: 100 } });
      await shop.publish({ type: 'order.created', payload: { total: 99 } });
      const since = new Date(Date.now() - 60_000).toISOString();
      const find = () => {
        const condition = { 'payload.total': { $gte: 100 } };
        return shop.client.query<{ deliveries: { nodes: object[] }; events: object }>(example(GUIDE, 'find'), { since, condition });
      };
      await until(async () => (await find()).deliveries.nodes.length === 2, { description: 'two failed deliveries' });
      expect(await find()).toMatchObject({
        deliveries: {
          nodes: [
            { webhookId: id, lastAttempt: { statusCode: 503 } },
            { webhookId: id, eventId: event.id },
          ],
          totalCount: { count: 2, isCapped: false },
          searchedUntil: null,
        },
        events: { nodes: [{ id: event.id, type: 'order.created' }] },
      });
      const series = () =>
        shop.client.query<{ webhook: { backlog: object; series: { failed: number }[] } }>(example(GUIDE, 'series'), { id, from: since });
      await until(async () => (await series()).webhook.series.some(({ failed }) => failed === 2), { description: 'two counted attempts' });
      expect((await series()).webhook.backlog).toEqual({ waiting: 0, isCapped: false, oldestAt: null });
    });
  });

  test('of order, pace and replay do what they say', async () => {
    await withHub(makeDatabase, async ({ application, receiver }) => {
      const shop = await application();
      const ordered = await shop.client.mutate<{ webhookCreate: { webhook: object; userErrors?: unknown[] } }>(
        example(GUIDE, 'order').replace('https://partner.example/hooks', receiver.url('/ordered')),
      );
      expect(ordered.webhookCreate.webhook).toMatchObject({ ordering: 'BY_KEY', health: 'HEALTHY', healthReason: null });
      const paced = await shop.client.mutate<{ webhookCreate: { webhook: object } }>(example(GUIDE, 'pace'), {
        url: receiver.url('/paced'),
      });
      expect(paced.webhookCreate.webhook).toMatchObject({ ratePerSecond: 5, maxConcurrency: 2 });

      receiver.answer('/away', (_request, nth) => ({ status: nth <= 2 ? 500 : 204 }));
      const { id } = await shop.webhook('/away', { retrySchedule: [], eventTypes: ['order.missed'] });
      for (let no = 0; no < 2; no++) await shop.publish({ type: 'order.missed' });
      await until(
        async () => {
          const { deliveries } = await shop.client.query<{ deliveries: { nodes: unknown[] } }>(
            'query ($id: ID!) { deliveries(filter: { webhookIds: [$id], statuses: [FAILED] }) { nodes { id } } }',
            { id },
          );
          return deliveries.nodes.length === 2;
        },
        { description: 'two failed deliveries' },
      );
      const { deliveriesRetry } = await shop.client.mutate<{ deliveriesRetry: { retryJob: { id: string; total: number } } }>(
        example(GUIDE, 'replay'),
      );
      expect(deliveriesRetry.retryJob.total).toBe(2);
      const job = shop.client.subscribe<{ retryJob: { status: string; done: number } }>(example(GUIDE, 'watch-replay'), {
        id: deliveriesRetry.retryJob.id,
      });
      for await (const { data } of job)
        if (data?.retryJob.status === 'COMPLETED') expect(data.retryJob).toMatchObject({ total: 2, done: 2, failed: 0 });
      expect(await receiver.waitFor(4, '/away')).toHaveLength(4);
    });
  });
});

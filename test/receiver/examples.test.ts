import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo } from 'node:net';
import { transformSync } from '@swc/core';
import { DataSource } from 'typeorm';
import * as packageEntry from '../../src/receiver';
import { example } from '../support/documentation';
import { createMysqlDatabase } from '../support/mariadb';
import { signedRequest } from './signed-request';

const PAGE = 'src/receiver/README.md';
const SECRET = 'whsec_bGl2ZWhvb2sncyBleGFtcGxlIHNlY3JldC4uLi4=';

const opened: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const close of opened.reverse()) await close();
});

/** Runs an example as a module; `known` stands in for modules that it imports. */
function load(name: string, known: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { code } = transformSync(example(PAGE, name), {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'commonjs' },
  });
  const module = { exports: {} };
  const find = (id: string) => known[id] ?? require(id);
  new Function('require', 'module', 'exports', code)(find, module, module.exports);
  return module.exports;
}

describe('The examples of receiving', () => {
  test('handle events', async () => {
    const said = jest.spyOn(console, 'log').mockImplementation(() => {});
    const server = createServer();
    const http = { createServer: (handler: RequestListener) => ({ listen: () => server.on('request', handler) }) };
    process.env.WEBHOOK_SECRET = SECRET;
    load('receiver', { 'livehook/receiver': packageEntry, 'node:http': http });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    opened.push(async () => server.close());
    const { port } = server.address() as AddressInfo;
    const request = signedRequest(SECRET, { type: 'order.created', data: { no: 'A-1', total: 3 } });
    for (let repeat = 0; repeat < 2; repeat++) expect((await fetch(`http://127.0.0.1:${port}`, request)).status).toBe(204);
    expect(said.mock.calls).toEqual([['new order', 'A-1', 3]]);
    said.mockRestore();
  });

  test('count each event once in MySQL: a failure rolls back, a repeat waits for the first', async () => {
    const database = await createMysqlDatabase();
    opened.push(() => database.drop());
    const dataSource = await new DataSource({ type: 'mysql', url: database.url }).initialize();
    opened.push(() => dataSource.destroy());
    const text = example(PAGE, 'transaction');
    await dataSource.query(/CREATE TABLE [^;]+/.exec(text)?.[0] ?? '');
    await dataSource.query('CREATE TABLE revenue (cents INT NOT NULL CHECK (cents < 1000))');
    await dataSource.query('INSERT INTO revenue VALUES (0)');
    const { receiverIn } = load('transaction', { 'livehook/receiver': packageEntry }) as {
      receiverIn: (dataSource: DataSource, secret: string) => packageEntry.WebhookReceiver;
    };
    // Two processes of one application: neither knows what the other has in hand.
    const receivers = [receiverIn(dataSource, SECRET), receiverIn(dataSource, SECRET)];
    const receive = (id: string, cents: number) =>
      receivers.map((receiver) => receiver.receive(signedRequest(SECRET, { type: 'order.paid', data: { no: id, cents } }, id)));
    const statuses = async (id: string, cents: number) => (await Promise.all(receive(id, cents))).map(({ status }) => status);
    const cents = async () => (await dataSource.query('SELECT cents FROM revenue'))[0].cents as number;

    expect(await statuses('evt_1', 500)).toEqual([204, 204]);
    expect(await cents()).toBe(500);
    expect(await statuses('evt_2', 700)).toEqual([500, 500]);
    await dataSource.query('UPDATE revenue SET cents = 0');
    expect(await statuses('evt_2', 700)).toEqual([204, 204]);
    expect(await cents()).toBe(700);
    const remembered = (await dataSource.query('SELECT id FROM received_webhooks ORDER BY id')) as { id: string }[];
    expect(remembered.map(({ id }) => id)).toEqual(['evt_1', 'evt_2']);
  });
});

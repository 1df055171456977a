import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createSqliteDatabase } from '../support/databases';
import { gate } from '../support/gate';
import { Client } from '../support/graphql-client';
import { Build } from '../support/hub-process';
import { until } from '../support/until';
import { ADMIN_KEY } from '../support/with-hub';

describe('Large payloads', () => {
  let build: Build;
  beforeAll(async () => {
    build = await Build.make();
  });
  afterAll(() => build.remove());

  test('200 of 900 KB to three webhooks, one of which hangs at first, all arrive within the memory given to them', async () => {
    const database = await createSqliteDatabase();
    const slow = gate();
    const seen = new Map<string, Set<unknown>>();
    // Forgets the bodies at once: the test must not need the memory that the hub is held to.
    const server = createServer((request, response) => {
      const path = request.url ?? '';
      seen.set(path, (seen.get(path) ?? new Set()).add(request.headers['webhook-id']));
      request
        .resume()
        .on('end', () => void (path === '/slow' ? slow.answer() : Promise.resolve()).then(() => response.writeHead(204).end()));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const hub = await build.serve(database.url);
    try {
      const admin = new Client(hub.url, ADMIN_KEY);
      const { applicationCreate } = await admin.mutate<{ applicationCreate: { application: { id: string } } }>(
        'mutation { applicationCreate(input: { name: "shop" }) { application { id } } }',
      );
      const applicationId = applicationCreate.application.id;
      const paths = ['/slow', '/one', '/two'];
      for (const path of paths)
        await admin.mutate('mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { userErrors { message } } }', {
          input: { applicationId, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, timeoutSeconds: 30 },
        });
      const text = 'x'.repeat(900 * 1024);
      for (let no = 0; no < 200; no++)
        await admin.mutate('mutation ($input: EventPublishInput!) { eventPublish(input: $input) { userErrors { message } } }', {
          input: { applicationId, type: 'order.created', payload: { no, text } },
        });
      for (const path of ['/one', '/two']) await until(() => seen.get(path)?.size === 200, { description: `200 deliveries to ${path}` });
      slow.open();
      await until(() => seen.get('/slow')?.size === 200, { description: '200 deliveries to /slow' });
      // 180 MB of payloads, held once as text and once as a body, would be 360 MB more than an idle hub has.
      expect(await hub.peakMemory()).toBeLessThan(600 * 1024 * 1024);
    } finally {
      await hub.kill('SIGKILL');
      server.closeAllConnections();
      server.close();
      await database.drop();
    }
  });
});

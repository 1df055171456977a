import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AbusedHub, type Tenant } from '../support/abused-hub';
import { mutate, mutated } from '../support/mutate';
import { until } from '../support/until';

/** Answers the first request of each path, and lets the others hang. */
class LateHanging {
  readonly #server: Server;
  readonly #seen = new Set<string>();
  hanging = 0;

  constructor(readonly hangsAtOnce = false) {
    this.#server = createServer((request, response: ServerResponse) => {
      request.resume();
      const path = request.url ?? '';
      if (this.hangsAtOnce || this.#seen.has(path)) {
        this.hanging++;
        response.once('close', () => this.hanging--);
      } else {
        this.#seen.add(path);
        request.once('end', () => response.writeHead(204).end());
      }
    }).listen(0, '127.0.0.1');
  }

  get answered(): number {
    return this.#seen.size;
  }

  url(path: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

async function webhook(tenant: Tenant, url: string, input: object = {}): Promise<string> {
  const { webhook } = await mutated<{ webhook: { id: string } }>(
    tenant.client,
    'webhookCreate',
    { input: { url, timeoutSeconds: 30, ...input } },
    'webhook { id }',
  );
  return webhook.id;
}

const publish = (tenant: Tenant, type = 'order.created', payload: unknown = {}) =>
  mutated(tenant.client, 'eventPublish', { input: { type, payload } }, 'event { id }');

interface Tested {
  readonly attempt: { readonly outcome: string } | null;
}

const sendTest = (tenant: Tenant, id: string) =>
  mutate<Tested>(tenant.client, 'webhookTest', { id, input: { eventType: 'order.created', payload: {} } }, 'attempt { outcome }');

describe('Slots that applications share', () => {
  let hub: AbusedHub;
  let hanging: LateHanging;
  beforeEach(async () => {
    hub = await AbusedHub.start();
  });
  afterEach(async () => {
    hanging.close();
    await hub.stop();
  });

  test('those for tests are not all taken by 22 webhooks with three hanging tests each', async () => {
    hanging = new LateHanging(true);
    const [attacker, other] = [await hub.tenant('attacker'), await hub.tenant('other')];
    const ids: string[] = [];
    for (let index = 0; index < 22; index++) ids.push(await webhook(attacker, hanging.url(`/${index}`)));
    const own = await webhook(other, hub.receiver.url('/other'));
    await hub.expectServed(async () => {
      const tests = ids.flatMap((id) => [sendTest(attacker, id), sendTest(attacker, id), sendTest(attacker, id)]);
      for (const each of tests) each.catch(() => {}); // cut off at the end
      const refused = await Promise.race(tests);
      expect(refused.userErrors).toMatchObject([{ field: ['id'], code: 'LIMIT_REACHED' }]);
      await until(() => hanging.hanging > 20, { description: 'tests to hang' });
      expect(await sendTest(other, own)).toMatchObject({ attempt: { outcome: 'SUCCESS' }, userErrors: [] });
      expect(hanging.hanging).toBeLessThanOrEqual(32);
    });
  });

  test('those of the dispatcher are not all taken by hundreds of webhooks that answer fast and then hang', async () => {
    hanging = new LateHanging();
    const [attacker, other] = [await hub.tenant('attacker'), await hub.tenant('other')];
    for (let index = 0; index < 400; index++) await webhook(attacker, hanging.url(`/${index}`));
    await webhook(other, hub.receiver.url('/other'));
    await hub.expectServed(async () => {
      await publish(attacker);
      await until(() => hanging.answered === 400, { description: 'each to answer once' });
      for (let times = 0; times < 12; times++) await publish(attacker);
      await until(() => hanging.hanging >= 1_000, { description: 'requests to hang' });
      await publish(other);
      await hub.receiver.waitFor(1, '/other', 10_000);
      expect(hanging.hanging).toBeLessThanOrEqual(1_024);
    });
  });

  test('the memory for ordered webhooks is not all taken by those of one application that hang on large payloads', async () => {
    hanging = new LateHanging(true);
    const [attacker, other] = [await hub.tenant('attacker'), await hub.tenant('other')];
    for (let index = 0; index < 40; index++) await webhook(attacker, hanging.url(`/${index}`), { ordering: 'STRICT' });
    await webhook(other, hub.receiver.url('/other'), { ordering: 'STRICT' });
    await hub.expectServed(async () => {
      await publish(attacker, 'order.created', 'x'.repeat(1_000_000));
      await until(() => hanging.hanging >= 5, { description: 'requests to hang' });
      await publish(other);
      await hub.receiver.waitFor(1, '/other', 10_000);
    });
  });
});

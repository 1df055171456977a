import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AbusedHub, type Tenant } from '../support/abused-hub';
import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { insertCopies } from '../support/many-rows';
import { createMysqlDatabase } from '../support/mariadb';
import { mutated } from '../support/mutate';
import { withRows } from '../support/rows';
import { until } from '../support/until';

const WEBHOOKS = 1_000;

/** Counts what comes of each delivery, and answers at once or never. */
class CountingReceiver {
  readonly #server: Server;
  readonly counts = new Map<string, number>();
  requests = 0;
  /** Requests that are over, answered or cut off. */
  ended = 0;

  constructor(answers: boolean) {
    this.#server = createServer((request: IncomingMessage, response: ServerResponse) => {
      const id = String(request.headers['livehook-delivery-id']);
      this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
      this.requests++;
      response.once('close', () => this.ended++);
      request.resume();
      if (answers) request.once('end', () => response.writeHead(204).end());
    }).listen(0, '127.0.0.1');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Active ones, all but the first written beside the running hub. */
async function manyWebhooks({ databaseUrl }: AbusedHub, { id: applicationId, client }: Tenant, input: object): Promise<void> {
  const { webhook } = await mutated<{ webhook: { id: string } }>(client, 'webhookCreate', { input }, 'webhook { id }');
  await withRows(databaseUrl, async (_, database) => {
    const idOf = (no: number) => webhook.id.slice(0, 16) + no.toString(32).padStart(8, '0');
    await insertCopies(database, { table: 'webhooks', id: webhook.id, count: WEBHOOKS - 1, change: (no) => ({ id: idOf(no) }) });
    await database.transaction((tx) =>
      tx.execute("UPDATE counters SET version = version + 1 WHERE application_id = ? AND log = 'event'", [applicationId]),
    );
  });
}

async function publishMany({ client }: Tenant, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, no) => ({ type: 'a.b', payload: { no } }));
  await mutated(client, 'eventsPublish', { input: { events } }, 'results { event { id } }');
}

async function statusesOf({ databaseUrl }: AbusedHub, { id }: Tenant): Promise<Record<string, number>> {
  const rows = await withRows(databaseUrl, (query) =>
    query<{ status: string; n: number }>('SELECT status, COUNT(*) AS n FROM deliveries WHERE application_id = ? GROUP BY status', [id]),
  );
  return Object.fromEntries(rows.map(({ status, n }) => [status, Number(n)]));
}

describeEachDatabase('A fan-out that is sent', (makeDatabase) => {
  test('to a thousand webhooks that answer reaches each once, and holds up nobody', async () => {
    const receiver = new CountingReceiver(true);
    const hub = await AbusedHub.start({}, makeDatabase);
    try {
      const attacker = await hub.tenant('attacker');
      await manyWebhooks(hub, attacker, { url: receiver.url });
      await hub.expectServed(async () => {
        await publishMany(attacker, 10);
        await until(() => receiver.requests >= 10 * WEBHOOKS, { timeoutMs: 60_000, description: 'each delivery to come' });
        await until(async () => (await statusesOf(hub, attacker)).SUCCEEDED === 10 * WEBHOOKS, { description: 'all to be written down' });
      });
      expect([receiver.counts.size, receiver.requests]).toEqual([10 * WEBHOOKS, 10 * WEBHOOKS]);
    } finally {
      receiver.close();
      await hub.stop();
    }
  });
});

/** What an instance says it has in memory. */
async function inMemory({ url }: AbusedHub): Promise<number> {
  const text = await (await fetch(new URL('/metrics', url))).text();
  const value = (name: string) => Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  return value('livehook_dispatch_in_flight') + value('livehook_dispatch_queued') + value('livehook_dispatch_bytes');
}

describe('A fan-out that is sent', () => {
  test('by two instances to the same thousand webhooks reaches each once, and leaves both idle', async () => {
    const receiver = new CountingReceiver(true);
    const hub = await AbusedHub.start({}, createMysqlDatabase);
    const another = await AbusedHub.start({}, async () => ({ url: hub.databaseUrl, drop: async () => {} }));
    try {
      const attacker = await hub.tenant('attacker');
      await manyWebhooks(hub, attacker, { url: receiver.url });
      const elsewhere = { ...attacker, client: new Client(another.url, attacker.key) };
      await hub.expectServed(async () => {
        await Promise.all([attacker, elsewhere, attacker, elsewhere].map((tenant) => publishMany(tenant, 5)));
        await until(() => receiver.requests >= 20 * WEBHOOKS, { timeoutMs: 90_000, description: 'each delivery to come' });
        await until(async () => (await statusesOf(hub, attacker)).SUCCEEDED === 20 * WEBHOOKS, { description: 'all to be written down' });
      });
      expect([receiver.counts.size, receiver.requests]).toEqual([20 * WEBHOOKS, 20 * WEBHOOKS]);
      await until(async () => (await inMemory(hub)) + (await inMemory(another)) === 0, { description: 'both to be idle' });
      expect(another.process.log).not.toMatch(/fault|unhandled|uncaught/i);
    } finally {
      receiver.close();
      await another.stop();
      await hub.stop();
    }
  });

  test('to a thousand webhooks that hang, all of which time out and open their circuits at once, holds up nobody', async () => {
    const receiver = new CountingReceiver(false);
    const hub = await AbusedHub.start({}, createSqliteDatabase);
    try {
      const attacker = await hub.tenant('attacker');
      await manyWebhooks(hub, attacker, { url: receiver.url, timeoutSeconds: 2 });
      await hub.expectServed(async () => {
        await publishMany(attacker, 40);
        await until(() => receiver.ended >= 4_000, { timeoutMs: 60_000, description: 'requests to time out' });
      });
      const statuses = await statusesOf(hub, attacker);
      expect(Object.values(statuses).reduce((sum, n) => sum + n, 0)).toBe(40 * WEBHOOKS);
      expect(statuses.SUCCEEDED).toBeUndefined();
    } finally {
      receiver.close();
      await hub.stop();
    }
  });
});

import { readConfig } from '../../src/config';
import { Hub, type HubOptions } from '../../src/hub';
import { silentLog } from '../../src/log';
import type { MakeDatabase } from './databases';
import { Client } from './graphql-client';
import { Receiver } from './receiver';

export const ADMIN_KEY = 'test-admin-key-0123456789-0123456789';
const SECRET_KEY = Buffer.alloc(32, 7).toString('base64');

export interface TestHub {
  readonly hub: Hub;
  readonly url: string;
  /** With the admin key. */
  readonly admin: Client;
  readonly receiver: Receiver;
  readonly databaseUrl: string;
  client(key?: string): Client;
  /** An application with a key of its own. */
  application(name?: string): Promise<TestApplication>;
  /** Another instance on the same database. */
  startAnother(options?: Overrides): Promise<{ hub: Hub; url: string }>;
}

export interface TestApplication {
  readonly id: string;
  readonly key: string;
  readonly client: Client;
  /** A webhook to `path` of the receiver, which verifies its signatures. */
  webhook(path: string, input?: Record<string, unknown>): Promise<{ id: string; signingSecret: string }>;
  publish(input?: Record<string, unknown>): Promise<{ id: string; sequence: number }>;
}

export interface Overrides extends Partial<Pick<HubOptions, 'clock' | 'random' | 'log'>> {
  readonly environment?: Record<string, string>;
}

/** Settings under which a hub may deliver to receivers of this machine. */
export function testEnvironment(databaseUrl: string, environment: Record<string, string> = {}): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    PORT: '0',
    LIVEHOOK_ADMIN_KEY: ADMIN_KEY,
    LIVEHOOK_SECRET_KEY: SECRET_KEY,
    LIVEHOOK_ALLOWED_TARGETS: '127.0.0.0/8',
    LIVEHOOK_ALLOW_HTTP: 'true',
    LIVEHOOK_RETRY_SCHEDULE: '1s,1s,1s',
    // 1, too: where tests want nobody to listen.
    LIVEHOOK_ALLOWED_PORTS: '1,80,443,1024-65535',
    LIVEHOOK_LOG_LEVEL: 'silent',
    ...environment,
  };
}

/** A whole hub on a fresh database, with a receiver; everything is stopped and dropped afterwards. */
export async function withHub(makeDatabase: MakeDatabase, work: (hub: TestHub) => Promise<void>, overrides: Overrides = {}): Promise<void> {
  const database = await makeDatabase();
  const receiver = await Receiver.listen();
  const hubs: Hub[] = [];
  const clients: Client[] = [];
  const start = async ({ environment, ...options }: Overrides) => {
    const hub = new Hub({ config: readConfig(testEnvironment(database.url, environment)), log: silentLog, ...options });
    const { url } = await hub.start();
    hubs.push(hub);
    return { hub, url };
  };
  try {
    const { hub, url } = await start(overrides);
    const client = (key?: string) => {
      const made = new Client(url, key);
      clients.push(made);
      return made;
    };
    const admin = client(ADMIN_KEY);
    await work({
      hub,
      url,
      admin,
      receiver,
      databaseUrl: database.url,
      client,
      application: (name = 'shop') => createApplication(admin, client, receiver, name),
      startAnother: (more = {}) => start({ ...overrides, ...more }),
    });
  } finally {
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all(hubs.map((hub) => hub.stop()));
    await receiver.close();
    await database.drop();
  }
}

async function createApplication(
  admin: Client,
  client: (key: string) => Client,
  receiver: Receiver,
  name: string,
): Promise<TestApplication> {
  const { applicationCreate } = await admin.mutate<{ applicationCreate: { application: { id: string } } }>(
    'mutation ($name: String!) { applicationCreate(input: { name: $name }) { application { id } userErrors { message } } }',
    { name },
  );
  const { id } = applicationCreate.application;
  const { apiKeyCreate } = await admin.mutate<{ apiKeyCreate: { token: string } }>(
    'mutation ($id: ID!) { apiKeyCreate(input: { applicationId: $id, name: "test" }) { token userErrors { message } } }',
    { id },
  );
  const own = client(apiKeyCreate.token);
  return {
    id,
    key: apiKeyCreate.token,
    client: own,
    webhook: (path, input = {}) => createWebhook(own, receiver, path, input),
    publish: (input = {}) => publish(own, input),
  };
}

async function createWebhook(
  client: Client,
  receiver: Receiver,
  path: string,
  input: Record<string, unknown>,
): Promise<{ id: string; signingSecret: string }> {
  const { webhookCreate } = await client.mutate<{
    webhookCreate: { webhook: { id: string } | null; signingSecret: string; userErrors: { field: string[]; message: string }[] };
  }>(
    'mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id } signingSecret userErrors { field message } } }',
    {
      input: { url: receiver.url(path), ...input },
    },
  );
  const { webhook, signingSecret, userErrors } = webhookCreate;
  if (webhook === null) throw new Error(`webhookCreate was refused: ${JSON.stringify(userErrors)}`);
  receiver.trust(path, signingSecret);
  return { id: webhook.id, signingSecret };
}

async function publish(client: Client, input: Record<string, unknown>): Promise<{ id: string; sequence: number }> {
  const { eventPublish } = await client.mutate<{
    eventPublish: { event: { id: string; sequence: number } | null; userErrors: { field: string[]; message: string }[] };
  }>('mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { id sequence } userErrors { field message } } }', {
    input: { type: 'order.created', payload: { no: 1 }, ...input },
  });
  if (eventPublish.event === null) throw new Error(`eventPublish was refused: ${JSON.stringify(eventPublish.userErrors)}`);
  return eventPublish.event;
}

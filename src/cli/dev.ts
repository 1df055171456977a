import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { LivehookClient } from '../client';
import { Connection } from '../client/connection';
import { SECOND, systemClock } from '../clock';
import { type Config, readConfig } from '../config';
import { Hub } from '../hub';
import { createLog } from '../log';
import { nodeHandler, WebhookReceiver } from '../receiver';
import { mutate } from './remote/mutate';
import { coloured, plain } from './remote/output';
import { onSignals } from './serve';

interface Options {
  readonly example: boolean;
  readonly database: string;
}

/** What `dev` makes at the hub: an application that stays, a key and a webhook for this run. */
interface Scene {
  readonly key: string;
  readonly secret: string;
}

const LOOPBACK = ['127.0.0.0/8', '::1/128'];
const DESCRIPTION = 'shown by livehook dev';
const NAME = 'Development';
/** Short, so that retries can be watched. */
const RETRY_SECONDS = [1, 5, 30];
const KEY_MS = 24 * 60 * 60 * SECOND;

export const APPLICATION = `query Application { application(key: "livehook-dev") {
  id webhooks(first: 100) { nodes { id description } }
} }`;
export const APPLICATION_CREATE = `mutation ApplicationCreate {
  done: applicationCreate(input: { key: "livehook-dev", name: "${NAME}" }) { application { id } userErrors { field message code } }
}`;
export const KEY_CREATE = `mutation KeyCreate($input: ApiKeyCreateInput!) {
  done: apiKeyCreate(input: $input) { token userErrors { field message code } }
}`;
export const WEBHOOK_CREATE = `mutation WebhookCreate($input: WebhookCreateInput!) {
  done: webhookCreate(input: $input) { signingSecret userErrors { field message code } }
}`;
export const WEBHOOK_DELETE = 'mutation WebhookDelete($id: ID!) { done: webhookDelete(id: $id) { userErrors { field message code } } }';

/** A hub on SQLite that may deliver to this machine, a receiver that shows what comes, and an event to begin with. */
export async function dev({ example, database }: Options): Promise<void> {
  const config = devConfig(readConfig(process.env), database);
  const told = new Promise<void>((stop) => onSignals({ stop }));
  const hub = new Hub({ config, log: createLog(config.logLevel) });
  const { url } = await hub.start();
  const secrets: string[] = [];
  const receiver = await listen(secrets);
  const { key, secret } = await setUp(url, config.adminKey ?? '', receiver);
  secrets.push(secret);
  say([
    `Livehook is listening on ${url}`,
    '',
    `  Dashboard   ${url}/#key=${key}`,
    `  GraphiQL    ${url}/graphql`,
    `  Key         ${key}`,
    '',
    'Publish from another terminal:',
    '',
    `  livehook publish order.created '{"no":"A-2"}' --url ${url} --key ${key}`,
    '',
  ]);
  if (example) await publishExample(url, key);
  await told;
  receiver.closeAllConnections();
  receiver.close();
  await hub.stop();
  process.exit(0); // a name server that is still being asked would hold the process for seconds
}

/**
 * A database of its own, since a new admin key retires the one before it; loopback targets over plain HTTP; and what else
 * the environment says.
 */
function devConfig(config: Config, database: string): Config {
  return {
    ...config,
    databaseUrl: { kind: 'sqlite', path: resolve(database) },
    allowHttp: true,
    allowedTargets: [...(config.allowedTargets ?? []), ...LOOPBACK],
    logLevel: 'warn', // what is received is the log
    adminKey: randomBytes(24).toString('base64url'),
  };
}

/** Shows what comes; the secret is there before the first request is. */
async function listen(secrets: readonly string[]): Promise<Server> {
  const handle = nodeHandler({
    maxBodyBytes: 2 * 1024 * 1024,
    receive: (request) => {
      const receiver = new WebhookReceiver({
        secrets,
        handlers: { '*': ({ type, sequence, data }, { attempt }) => show(type, sequence, attempt, data) },
      });
      return receiver.receive(request);
    },
  });
  const server = createServer((request, response) => void handle(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const MAX_SHOWN_CHARS = 200;

function show(type: string, sequence: number, attempt: number | undefined, data: unknown): void {
  const time = new Date(systemClock.now()).toISOString().slice(11, 23);
  const text = JSON.stringify(data).slice(0, MAX_SHOWN_CHARS);
  say([
    [time, coloured('received', 'green'), plain(type), `#${sequence}`, attempt === 1 ? '' : `attempt ${attempt}`, plain(text)]
      .filter(Boolean)
      .join('  '),
  ]);
}

async function setUp(url: string, adminKey: string, receiver: Server): Promise<Scene> {
  const hub = new Connection({ url, key: adminKey });
  const { application } = (await hub.run(APPLICATION, '{}')) as {
    application: { id: string; webhooks: { nodes: readonly { id: string; description: string | null }[] } } | null;
  };
  const applicationId = application?.id ?? (await mutate<{ application: { id: string } }>(hub, APPLICATION_CREATE, {})).application.id;
  for (const { id, description } of application?.webhooks.nodes ?? [])
    if (description === DESCRIPTION) await mutate(hub, WEBHOOK_DELETE, { id }); // of an earlier run: nobody listens there
  const { port } = receiver.address() as AddressInfo;
  const webhook = { applicationId, url: `http://127.0.0.1:${port}/`, description: DESCRIPTION, retrySchedule: RETRY_SECONDS };
  const { signingSecret } = await mutate<{ signingSecret: string }>(hub, WEBHOOK_CREATE, { input: webhook });
  const expiresAt = new Date(systemClock.now() + KEY_MS).toISOString();
  const { token } = await mutate<{ token: string }>(hub, KEY_CREATE, { input: { applicationId, name: 'livehook dev', expiresAt } });
  return { key: token, secret: signingSecret };
}

async function publishExample(url: string, key: string): Promise<void> {
  const client = new LivehookClient({ url, key });
  await client.publish({ type: 'order.created', payload: { no: 'A-1', total: 49.9, note: 'an example' } });
  await client.close();
}

function say(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

import { ALL_SCOPES, type Scope } from '../../src/applications/api-key';
import { encodeCursor } from '../../src/cursor';
import { createSqliteDatabase } from '../support/databases';
import type { Client, Result } from '../support/graphql-client';
import { mutated } from '../support/mutate';
import { isDecidedByField, READ_BY } from '../support/read-by';
import { withRows } from '../support/rows';
import { CLIENT_CERTIFICATE } from '../support/tls-certificates';
import { askOver } from '../support/transports';
import { until } from '../support/until';
import { type TestApplication, type TestHub, withHub } from '../support/with-hub';

interface SchemaField {
  readonly name: string;
  readonly args: readonly { readonly name: string }[];
  readonly type: TypeRef;
}

interface TypeRef {
  readonly kind: string;
  readonly ofType: TypeRef | null;
}

type Fields = ReadonlyMap<string, readonly SchemaField[]>;

const INTROSPECTION = `{ __schema { types { kind name fields { name args { name }
  type { kind ofType { kind ofType { kind ofType { kind } } } } } } } }`;

async function fieldsOf(client: Client): Promise<Fields> {
  interface Type {
    readonly kind: string;
    readonly name: string;
    readonly fields: readonly SchemaField[];
  }
  const { __schema } = await client.query<{ __schema: { types: readonly Type[] } }>(INTROSPECTION);
  const objects = __schema.types.filter(({ kind, name }) => kind === 'OBJECT' && isDecidedByField(name));
  return new Map(objects.map(({ name, fields }) => [name, fields]));
}

/** A field with what it needs to be selected: any argument it must have, any selection below it. */
const AN_HOUR_AGO = new Date(Date.now() - 3_600_000).toISOString();

function selectionOf({ name, args, type }: SchemaField): string {
  let named = type;
  while (named.ofType) named = named.ofType;
  const given = args.some((arg) => arg.name === 'path') ? '(path: "no")' : name === 'series' ? `(from: "${AN_HOUR_AGO}")` : '';
  return `${name}${given}${named.kind === 'OBJECT' ? ' { __typename }' : ''}`;
}

/** A field of a root type, and the record that it leads to, where it leads to one that may be null. */
interface Root {
  readonly operation: 'query' | 'mutation' | 'subscription';
  readonly field: string;
  readonly record?: string;
  /** From the root field to the record; '': the field is the record. */
  readonly below?: string;
  /** Where there is no record that may be null. */
  readonly selection?: string;
}

interface Stored {
  readonly shop: TestApplication;
  readonly webhookId: string;
  /** To be changed. */
  readonly otherId: string;
  readonly eventId: string;
  readonly redactedId: string;
  readonly failedId: string;
  readonly waitingId: string;
  readonly attemptId: string;
  readonly jobId: string;
}

function rootsOf(
  { shop, webhookId, otherId, eventId, redactedId, failedId, waitingId, attemptId, jobId }: Stored,
  keyId: string,
): readonly Root[] {
  const query = (field: string, record?: string, below = ''): Root => ({ operation: 'query', field, ...(record && { record, below }) });
  const list = (field: string, selection: string): Root => ({ operation: 'query', field, selection });
  const mutation = (field: string, below?: string, record?: string): Root => ({
    operation: 'mutation',
    field,
    ...(record && below !== undefined && { record, below }),
    selection: 'userErrors { code }',
  });
  const node = (id: string, record: string) => query(`node(id: "${id}")`, record);
  const none = '"whk_00000000000000000000"';
  return [
    list('viewer', 'admin'),
    list('hub', 'version'),
    list('apiKeys', 'nodes { id }'),
    list('auditEvents', 'nodes { id }'),
    query('application', 'Application'),
    node(shop.id, 'Application'),
    node(keyId, 'ApiKey'),
    node(webhookId, 'Webhook'),
    node(eventId, 'Event'),
    node(failedId, 'Delivery'),
    node(attemptId, 'Attempt'),
    node(jobId, 'RetryJob'),
    list('applications', 'nodes { id }'),
    query('eventType(name: "order.created")', 'EventType'),
    list('eventTypes', 'nodes { name description schema examples isRegistered lastSeenAt createdAt updatedAt archivedAt }'),
    query(`webhook(id: "${webhookId}")`, 'Webhook'),
    list('webhooks', 'nodes { id }'),
    query(`event(id: "${eventId}")`, 'Event'),
    query(`event(id: "${redactedId}")`, 'Event'),
    list('events', 'nodes { id }'),
    query(`delivery(id: "${failedId}")`, 'Delivery'),
    query(`delivery(id: "${waitingId}")`, 'Delivery'),
    list('deliveries', 'nodes { id }'),
    list(`payloadPreview(payloadQuery: "subscription { event { payload } }", eventId: "${eventId}")`, 'body'),
    list('filterPreview(filter: "{}", last: 1)', 'taken'),
    list('webhookPreview(input: {}, last: 1)', 'taken'),
    query(`retryJob(id: "${jobId}")`, 'RetryJob'),
    list('retryJobs', 'nodes { id }'),

    mutation('applicationCreate(input: { name: "new" })'),
    mutation(`applicationUpdate(id: "${shop.id}", input: {})`),
    mutation('applicationDelete(id: "app_000000000000")'),
    mutation(`apiKeyCreate(input: { applicationId: "${shop.id}" })`),
    mutation('apiKeyRevoke(id: "key_000000000000")'),
    mutation('eventTypeRegister(input: { name: "order.created" })', 'eventType', 'EventType'),
    mutation('eventTypeArchive(input: { name: "order.archived" })', 'eventType', 'EventType'),
    mutation(`webhookCreate(input: { url: "https://example.com/", eventTypes: ["none"] })`, 'webhook', 'Webhook'),
    mutation(`webhookUpdate(id: "${otherId}", input: {})`, 'webhook', 'Webhook'),
    mutation(`webhookDelete(id: ${none})`),
    mutation(`webhookResume(id: "${otherId}")`, 'webhook', 'Webhook'),
    mutation(`webhookPause(id: "${otherId}")`, 'webhook', 'Webhook'),
    mutation(`webhookSecretRotate(id: "${otherId}", input: { overlapSeconds: 0 })`, 'webhook', 'Webhook'),
    mutation(`webhookTest(id: "${otherId}", input: { eventType: "a.b", payload: { no: 1 } })`, 'attempt', 'Attempt'),
    mutation('eventPublish(input: { type: "order.created", payload: { no: 1 }, idempotencyKey: "once" })', 'event', 'Event'),
    mutation(
      'eventsPublish(input: { events: [{ type: "order.created", payload: { no: 1 }, idempotencyKey: "once" }] })',
      'results.event',
      'Event',
    ),
    mutation(`eventRedact(id: "${redactedId}")`, 'event', 'Event'),
    mutation(`deliveryRetry(id: "${waitingId}")`, 'delivery', 'Delivery'),
    mutation(`deliveryCancel(id: "${failedId}")`),
    mutation('deliveriesRetry(input: { dryRun: true })', 'retryJob', 'RetryJob'),
    mutation(`eventReplay(input: { webhookId: "${webhookId}", dryRun: true })`, 'retryJob', 'RetryJob'),
    mutation(`retryJobCancel(id: "${jobId}")`, 'retryJob', 'RetryJob'),

    { operation: 'subscription', field: `event(after: "${encodeCursor('event', shop.id, 0)}")`, selection: 'id' },
    { operation: 'subscription', field: `deliveryUpdates(after: "${encodeCursor('update', shop.id, 0)}")`, selection: 'cursor' },
    { operation: 'subscription', field: `webhookUpdates(after: "${encodeCursor('webhook', shop.id, 0)}")`, selection: 'kind' },
    { operation: 'subscription', field: `retryJob(id: "${jobId}")`, selection: 'id' },
  ];
}

const nameOf = (field: string) => /^\w+/.exec(field)?.[0] ?? '';
const typeOf = ({ operation }: Root) => `${operation.charAt(0).toUpperCase()}${operation.slice(1)}`;

/** A document that asks for each field of the record by itself, so that one that is refused takes none with it. */
function documentOf(root: Root, fields: readonly SchemaField[]): string {
  const { operation, field, record, below = '', selection = '' } = root;
  const copies = fields.map((one, index) => [`f${index}`, selectionOf(one)] as const);
  if (record === undefined) return `${operation} { ${field} { ${selection} } }`;
  if (operation === 'query')
    return `query { ${copies.map(([alias, one]) => `${alias}: ${field} { ... on ${record} { ${one} } }`).join(' ')} }`;
  const path = below.split('.');
  const last = path.pop() ?? '';
  const inner = copies.map(([alias, one]) => `${alias}: ${last} { ${one} }`).join(' ');
  const nested = path.reduceRight((within, step) => `${step} { ${within} }`, inner);
  return `mutation { ${field} { ${nested} ${selection} } }`;
}

/** The names of what was answered, of the root type and of the record. */
function answered(root: Root, fields: readonly SchemaField[], { data, errors = [] }: Result<unknown>): string[] {
  const odd = errors.find(({ extensions }) => extensions?.code !== 'FORBIDDEN');
  if (odd) throw new Error(`${root.field}: ${JSON.stringify(odd)}`);
  const own = `${typeOf(root)}.${nameOf(root.field)}`;
  if (root.record === undefined) return data ? [own, ...rowsOf(root, data)] : [];
  const copies = JSON.stringify(data ?? {});
  const isRefused = errors.some(({ path }) => path?.length === 1);
  const read = fields.filter((field, index) => isIn(copies, `f${index}`, field.name));
  return [...(isRefused ? [] : [own]), ...read.map(({ name }) => `${root.record}.${name}`)];
}

/** Event types have no root field of their own: what their list shows is read from its rows. */
function rowsOf({ field }: Root, data: unknown): string[] {
  if (field !== 'eventTypes') return [];
  const { nodes } = (data as { eventTypes: { nodes: Record<string, unknown>[] } }).eventTypes;
  const read = new Set(nodes.flatMap((row) => Object.keys(row).filter((name) => row[name] !== null)));
  return [...read].map((name) => `EventType.${name}`);
}

function isIn(json: string, alias: string, name: string): boolean {
  const at = json.indexOf(`"${alias}":{"${name}":`);
  return at >= 0 && !json.startsWith('null', at + `"${alias}":{"${name}":`.length);
}

async function store({ receiver, databaseUrl }: TestHub, shop: TestApplication): Promise<Stored> {
  receiver.answer('/hook', { status: 500, body: 'broken' });
  const { id: webhookId } = await shop.webhook('/hook', {
    description: 'of the shop',
    eventTypes: ['order.*'],
    headers: [{ name: 'x-own', value: '12345678' }],
    retrySchedule: [3600],
    filter: { 'payload.no': 1 },
    payloadQuery: 'subscription { event { payload } }',
    signing: ['V1', 'V1A'],
    ratePerSecond: 100,
  });
  const { id: otherId } = await shop.webhook('/other', { eventTypes: ['none'] });
  for (const name of ['order.created', 'order.archived'])
    await mutated(shop.client, 'eventTypeRegister', { input: { name, description: 'an order', schema: {} } });
  await mutated(shop.client, 'eventTypeArchive', { input: { name: 'order.archived' } });
  const { id: eventId } = await shop.publish({ idempotencyKey: 'once', orderingKey: 'one' });
  const { id: redactedId } = await shop.publish();
  const [waitingId = '', failedId = ''] = await until(
    async () => {
      const { deliveries } = await shop.client.query<{ deliveries: { nodes: { id: string; attemptCount: number }[] } }>(
        '{ deliveries { nodes { id attemptCount } } }',
      );
      const tried = deliveries.nodes.filter(({ attemptCount }) => attemptCount === 1);
      return tried.length === 2 ? tried.map(({ id }) => id).reverse() : undefined;
    },
    { description: 'the first attempts' },
  );
  await mutated(shop.client, 'webhookPause', { id: webhookId });
  const retry = { input: { filter: { statuses: ['RETRYING'] } } };
  const { retryJob } = await mutated<{ retryJob: { id: string } }>(shop.client, 'deliveriesRetry', retry, 'retryJob { id }');
  await mutated(shop.client, 'retryJobCancel', { id: retryJob.id });
  await mutated(shop.client, 'eventRedact', { id: redactedId });
  await withRows(databaseUrl, (_query, database) =>
    database.transaction(async (tx) => {
      await tx.execute('UPDATE webhooks SET allowed_rate = 60000, client_certificate = ?, oauth = ?', [
        CLIENT_CERTIFICATE,
        JSON.stringify({ tokenUrl: 'https://example.com/token', clientId: 'hub', secretHint: '', scope: null, audience: null }),
      ]);
      await tx.execute("UPDATE applications SET unique_key = 'its key', metadata = '{}', retention_days = 30");
      await tx.execute('UPDATE retry_jobs SET completed_at = COALESCE(completed_at, 1)');
      await tx.execute('DELETE FROM webhook_health');
      await tx.execute("INSERT INTO webhook_health (webhook_id, failing_since, circuit_open, reason) VALUES (?, 1, 0, 'it fails')", [
        webhookId,
      ]);
    }),
  );
  return {
    shop,
    webhookId,
    otherId,
    eventId,
    redactedId,
    failedId,
    waitingId,
    attemptId: `att_${waitingId.slice(4)}0001`,
    jobId: retryJob.id,
  };
}

async function readWith(client: Client, roots: readonly Root[], fields: Fields): Promise<ReadonlySet<string>> {
  const read = new Set<string>();
  for (const root of roots) {
    const ofRecord = fields.get(root.record ?? '') ?? [];
    const transport = root.operation === 'subscription' ? 'SSE' : 'HTTP';
    for (const name of answered(root, ofRecord, await askOver(transport, client, documentOf(root, ofRecord)))) read.add(name);
  }
  return read;
}

/** Every set of one scope or two. */
function smallSets(): readonly (readonly Scope[])[] {
  const pairs = ALL_SCOPES.flatMap((one, index) => ALL_SCOPES.slice(index + 1).map((other) => [one, other]));
  return [...ALL_SCOPES.map((scope) => [scope]), ...pairs];
}

/** The smallest of the sets, as text. */
function minimal(sets: readonly (readonly Scope[])[]): string {
  const singles = new Set(sets.flatMap((set) => (set.length === 1 ? set : [])));
  if (singles.size === ALL_SCOPES.length) return 'any key';
  const needed = sets.filter((set) => set.length === 1 || !set.some((scope) => singles.has(scope)));
  return needed.length === 0
    ? 'admin keys'
    : needed
        .map((set) => [...set].sort().join(' + '))
        .sort()
        .join(', ');
}

test('Every field is read by the scopes that this table says, whatever query, mutation or stream leads to it', async () => {
  await withHub(createSqliteDatabase, async (hub) => {
    const { admin, client, application } = hub;
    const stored = await store(hub, await application());
    const fields = await fieldsOf(admin);
    const known = [...fields].flatMap(([type, own]) => own.map(({ name }) => `${type}.${name}`));
    const readers = new Map<string, (readonly Scope[])[]>(known.map((name) => [name, []]));
    for (const scopes of smallSets()) {
      const input = { applicationId: stored.shop.id, scopes, expiresAt: '2999-01-01T00:00:00Z', allowedNetworks: ['127.0.0.0/8'] };
      const { apiKey, token } = await mutated<{ apiKey: { id: string }; token: string }>(
        admin,
        'apiKeyCreate',
        { input },
        'apiKey { id } token',
      );
      await client(token).query('{ viewer { admin } }');
      await admin.query('{ apiKeys { nodes { id } } }'); // when it was used is written down before it is shown
      for (const name of await readWith(client(token), rootsOf(stored, apiKey.id), fields)) readers.get(name)?.push(scopes);
    }
    const found = Object.fromEntries([...readers].map(([name, sets]) => [name, minimal(sets)]));
    const decided = Object.entries(READ_BY).flatMap(([scopes, names]) => names.split(' ').map((name) => [name, scopes] as const));
    expect(found).toEqual(Object.fromEntries(decided));

    // A key with all scopes reads all of it, so that nothing above is refused for want of something to read.
    const { viewer } = await stored.shop.client.query<{ viewer: { apiKey: { id: string } } }>('{ viewer { apiKey { id } } }');
    const all = await readWith(stored.shop.client, rootsOf(stored, viewer.apiKey.id), fields);
    const isForAdmins = new Set((READ_BY['admin keys'] ?? '').split(' '));
    expect(known.filter((name) => !all.has(name) && !isForAdmins.has(name))).toEqual([
      'ApiKey.expiresAt',
      'ApiKey.allowedNetworks',
      'Application.keys',
      'Query.apiKeys',
      'Query.auditEvents',
    ]);
  });
});

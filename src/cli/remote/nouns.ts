import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { Connection } from '../../client/connection';
import { accessTo, type HubOptions, hubCommand, WrongUsage } from './hub-access';
import { mutate } from './mutate';
import { isForPeople, print } from './output';
import { tableOf } from './table';
import { valueIn } from './value';

type Row = Readonly<Record<string, unknown>>;

interface ListOptions extends HubOptions {
  readonly limit: string;
}

interface WriteOptions extends HubOptions {
  readonly input?: string;
}

/** What the command line says of a thing. */
interface Noun {
  readonly name: string;
  readonly one: string;
  /** How one of it is named. */
  readonly key: 'id' | 'name';
  readonly columns: readonly string[];
  /** Whether an admin names the application of a list. */
  readonly isOfApplication: boolean;
  readonly documents: Readonly<Partial<Record<Verb, string>>>;
  readonly example: string;
}

type Verb = 'list' | 'get' | 'create' | 'update' | 'delete';

const ERRORS = 'userErrors { field message code }';

function listOf(field: string, fields: string, isOfApplication = true): string {
  const [declared, passed] = isOfApplication ? [', $applicationId: ID', ', applicationId: $applicationId'] : ['', ''];
  return `query List($first: Int, $after: String${declared}) {
  page: ${field}(first: $first, after: $after${passed}) { nodes { ${fields} } pageInfo { hasNextPage endCursor } }
}`;
}

const APPLICATION = 'id key name retentionDays createdAt';
const WEBHOOK =
  'id url description eventTypes filter payloadQuery ordering ratePerSecond status health healthReason version createdAt updatedAt';
const EVENT = 'id sequence type idempotencyKey orderingKey occurredAt createdAt';
const EVENT_TYPE = 'name description schema examples archivedAt lastSeenAt';

export const NOUNS: readonly Noun[] = [
  {
    name: 'applications',
    one: 'application',
    key: 'id',
    columns: ['id', 'key', 'name', 'createdAt'],
    isOfApplication: false,
    documents: {
      list: listOf('applications', APPLICATION, false),
      get: `query Get($id: ID!) { one: application(id: $id) { ${APPLICATION} metadata } }`,
      create: `mutation Create($input: ApplicationCreateInput!) { done: applicationCreate(input: $input) { one: application { ${APPLICATION} } ${ERRORS} } }`,
      update: `mutation Update($id: ID!, $input: ApplicationUpdateInput!) { done: applicationUpdate(id: $id, input: $input) { one: application { ${APPLICATION} } ${ERRORS} } }`,
      delete: `mutation Delete($id: ID!) { done: applicationDelete(id: $id) { one: application { ${APPLICATION} } ${ERRORS} } }`,
    },
    example: 'livehook applications create name=Shop key=shop-1',
  },
  {
    name: 'webhooks',
    one: 'webhook',
    key: 'id',
    columns: ['id', 'status', 'health', 'url', 'eventTypes'],
    isOfApplication: true,
    documents: {
      list: listOf('webhooks', WEBHOOK),
      get: `query Get($id: ID!) { one: webhook(id: $id) { ${WEBHOOK} } }`,
      create: `mutation Create($input: WebhookCreateInput!) { done: webhookCreate(input: $input) { one: webhook { ${WEBHOOK} } signingSecret ${ERRORS} } }`,
      update: `mutation Update($id: ID!, $input: WebhookUpdateInput!) { done: webhookUpdate(id: $id, input: $input) { one: webhook { ${WEBHOOK} } ${ERRORS} } }`,
      delete: `mutation Delete($id: ID!) { done: webhookDelete(id: $id) { one: webhook { ${WEBHOOK} } ${ERRORS} } }`,
    },
    example: 'livehook webhooks create url=https://example.com/hooks \'eventTypes=["order.*"]\'',
  },
  {
    name: 'events',
    one: 'event',
    key: 'id',
    columns: ['id', 'sequence', 'type', 'createdAt'],
    isOfApplication: true,
    documents: {
      list: listOf('events', EVENT),
      get: `query Get($id: ID!) { one: event(id: $id) { ${EVENT} payload } }`,
    },
    example: 'livehook events list --limit 20',
  },
  {
    name: 'types',
    one: 'event type',
    key: 'name',
    columns: ['name', 'description', 'lastSeenAt'],
    isOfApplication: true,
    documents: {
      list: listOf('eventTypes', EVENT_TYPE),
      get: `query Get($name: String!, $applicationId: ID) { one: eventType(name: $name, applicationId: $applicationId) { ${EVENT_TYPE} } }`,
      create: `mutation Create($input: EventTypeRegisterInput!) { done: eventTypeRegister(input: $input) { one: eventType { ${EVENT_TYPE} } ${ERRORS} } }`,
      update: `mutation Update($input: EventTypeRegisterInput!) { done: eventTypeRegister(input: $input) { one: eventType { ${EVENT_TYPE} } ${ERRORS} } }`,
      delete: `mutation Delete($input: EventTypeArchiveInput!) { done: eventTypeArchive(input: $input) { one: eventType { ${EVENT_TYPE} } ${ERRORS} } }`,
    },
    example: 'livehook types create name=order.created \'examples=[{"no":"A-1"}]\'',
  },
];

export function nounCommands(): Command[] {
  return NOUNS.map(nounCommand);
}

function nounCommand(noun: Noun): Command {
  const { name, one, key, documents, example } = noun;
  const command = new Command(name).description(`${name} of a running hub: ${Object.keys(documents).join(', ')}`);
  const help = `\nExample:\n  ${example}`;
  command.addCommand(
    hubCommand('list')
      .description('list them; JSON lines in a pipe')
      .option('--limit <n>', 'how many at most', '100')
      .addHelpText('after', help)
      .action((options: ListOptions) => list(noun, options)),
  );
  command.addCommand(
    hubCommand('get')
      .argument(`<${key}>`)
      .description(`show one ${one}`)
      .addHelpText('after', help)
      .action((id: string, options: HubOptions) => get(noun, id, options)),
  );
  const { create, update, delete: remove } = documents;
  const fields = 'fields of the input as name=value; a value that is no JSON is text';
  if (create)
    command.addCommand(
      hubCommand('create')
        .argument('[fields...]', fields)
        .description(`make one`)
        .option('--input <path>', 'file with the input as JSON')
        .addHelpText('after', help)
        .action((given: string[], options: WriteOptions) =>
          write(create, { ...ownerOf(options), ...inputOf(given, options) }, {}, options),
        ),
    );
  if (update)
    command.addCommand(
      hubCommand('update')
        .argument(`<${key}>`)
        .argument('[fields...]', `${fields}, null clears it`)
        .description('change what is given')
        .option('--input <path>', 'file with the input as JSON')
        .addHelpText('after', help)
        .action((id: string, given: string[], options: WriteOptions) => {
          const input = inputOf(given, options);
          if (Object.keys(input).length === 0) throw new WrongUsage('expected what to change: name=value');
          return key === 'id'
            ? write(update, input, { id }, options)
            : write(update, { ...ownerOf(options), ...input, name: id }, {}, options);
        }),
    );
  if (remove)
    command.addCommand(
      hubCommand('delete')
        .argument(`<${key}>`)
        .description(key === 'id' ? `delete one, for good` : 'archive one: further events of it are refused')
        .addHelpText('after', help)
        .action((id: string, options: HubOptions) =>
          key === 'id' ? write(remove, undefined, { id }, options) : write(remove, { ...ownerOf(options), name: id }, {}, options),
        ),
    );
  return command;
}

const MAX_PER_PAGE = 100;
/** Of a terminal that does not know its own. */
const DEFAULT_COLUMNS = 80;

async function list({ documents, columns, isOfApplication }: Noun, options: ListOptions): Promise<void> {
  const limit = Number(options.limit);
  if (!Number.isSafeInteger(limit) || limit < 1) throw new WrongUsage(`--limit: expected a whole number from 1, got ${options.limit}`);
  const hub = new Connection(accessTo(options));
  const rows: Row[] = [];
  let after: string | null = null;
  do {
    const owner = isOfApplication ? { applicationId: options.application } : {};
    const variables = { first: Math.min(MAX_PER_PAGE, limit - rows.length), after, ...owner };
    const { page } = (await hub.run(documents.list ?? '', JSON.stringify(variables))) as {
      page: { nodes: readonly Row[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } };
    };
    rows.push(...page.nodes);
    after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
  } while (after !== null && rows.length < limit);
  const lines = isForPeople(options)
    ? tableOf(rows, columns, process.stdout.columns || DEFAULT_COLUMNS)
    : rows.map((row) => JSON.stringify(row));
  for (const line of lines) await print(line);
}

async function get({ documents, one, key, isOfApplication }: Noun, id: string, options: HubOptions): Promise<void> {
  const owner = isOfApplication && key === 'name' ? { applicationId: options.application } : {};
  const found = await new Connection(accessTo(options)).run(documents.get ?? '', JSON.stringify({ [key]: id, ...owner }));
  if (found.one === null) throw new NotThere(`there is no ${one} ${id}, or not for this key`);
  await print(JSON.stringify(found.one, null, isForPeople(options) ? 2 : undefined));
}

async function write(document: string, input: Row | undefined, variables: Row, options: HubOptions): Promise<void> {
  const hub = new Connection(accessTo(options));
  const { one, signingSecret } = await mutate<{ one: Row | null; signingSecret?: string | null }>(hub, document, { ...variables, input });
  const shown = signingSecret ? { ...one, signingSecret } : one;
  await print(JSON.stringify(shown, null, isForPeople(options) ? 2 : undefined));
}

/** An admin's application goes into the input, where the input has it. */
function ownerOf({ application }: HubOptions): Row {
  return application === undefined ? {} : { applicationId: application };
}

function inputOf(fields: readonly string[], { input }: WriteOptions): Row {
  const parts = fields.map((field) => {
    const [, name, text] = /^(\w+)=(.*)$/s.exec(field) ?? [];
    if (name === undefined || text === undefined) throw new WrongUsage(`expected name=value, got ${field}`);
    return [name, valueIn(text)] as const;
  });
  return { ...(input === undefined ? {} : fileOf(input)), ...Object.fromEntries(parts) };
}

function fileOf(path: string): Row {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row;
  } catch (error) {
    throw new WrongUsage(`--input: ${(error as Error).message}`);
  }
  throw new WrongUsage('--input: expected an object in JSON');
}

class NotThere extends Error {
  override readonly name = 'NotThere';
  readonly code = 'NOT_FOUND';
}

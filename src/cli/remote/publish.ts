import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { NewEvent, PublishResult } from '../../client';
import { connect, type HubOptions, hubCommand, WrongUsage } from './hub-access';
import { isForPeople, plain, print } from './output';

interface Options extends HubOptions {
  readonly file?: string;
  readonly lines?: string;
  readonly orderingKey?: string;
  readonly idempotencyKey?: string;
}

export const publishCommand = () =>
  hubCommand('publish')
    .argument('<type>', 'the event type, such as order.created')
    .argument('[json]', 'the payload; left out: each line of standard input is one')
    .description('publish an event, or one a line of a file or of standard input, in batches')
    .option('--file <path>', 'the payload is what is in this file')
    .option('--lines <path>', 'each line of this file is a payload')
    .option('--ordering-key <key>', 'for webhooks with ordering BY_KEY')
    .option('--idempotency-key <key>', 'the same key is the same event: it is stored once')
    .addHelpText('after', '\nExample:\n  livehook publish order.created \'{"no":"A-1"}\'\n  livehook publish order.created < orders.jsonl')
    .action(publish);

async function publish(type: string, json: string | undefined, options: Options): Promise<void> {
  if ([json, options.file, options.lines].filter((given) => given !== undefined).length > 1)
    throw new WrongUsage('expected one of the payload, --file and --lines');
  const single = json ?? (options.file === undefined ? undefined : readText(options.file));
  if (single === undefined && options.idempotencyKey !== undefined) throw new WrongUsage('--idempotency-key is for a single event');
  const { orderingKey, idempotencyKey } = options;
  const eventOf = (payloadText: string, where: string): NewEvent => {
    checkJson(payloadText, where);
    return { type, payloadText, orderingKey, idempotencyKey };
  };
  const client = connect(options);
  const counts = { published: 0, refused: 0 };
  const events = single === undefined ? eventsIn(options.lines, eventOf) : [eventOf(single, 'the payload')];
  try {
    for await (const result of client.publishAll(events)) await show(result, options, counts);
  } finally {
    await client.close();
  }
  if (counts.published + counts.refused > 1 && isForPeople(options))
    await print(`${counts.published} published, ${counts.refused} refused`);
  if (counts.refused > 0) process.exitCode = 1;
}

async function* eventsIn(path: string | undefined, eventOf: (text: string, where: string) => NewEvent): AsyncGenerator<NewEvent> {
  const input = path === undefined ? process.stdin : createReadStream(path);
  let line = 0;
  for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    line++;
    if (text.trim() !== '') yield eventOf(text, `line ${line}`);
  }
}

async function show(
  { event, published, error }: PublishResult<NewEvent>,
  options: Options,
  counts: { published: number; refused: number },
) {
  counts[published ? 'published' : 'refused']++;
  if (!published) {
    process.stderr.write(`livehook: ${(error as Error).message}\n`);
    return;
  }
  const { id, sequence, deduplicated } = published;
  const line = `${id}  ${plain(event.type)}  ${sequence}${deduplicated ? '  (was there already)' : ''}`;
  await print(isForPeople(options) ? line : JSON.stringify(published));
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new WrongUsage(`--file: ${(error as Error).message}`);
  }
}

function checkJson(text: string, where: string): void {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new WrongUsage(`${where}: expected JSON: ${(error as Error).message}`);
  }
}

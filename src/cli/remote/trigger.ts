import { Connection } from '../../client/connection';
import { accessTo, connect, type HubOptions, hubCommand, WrongUsage } from './hub-access';
import { isForPeople, plain, print } from './output';
import { valueIn } from './value';

interface Options extends HubOptions {
  readonly set?: string[];
  readonly example?: string;
}

export const EXAMPLES = `query Examples($name: String!, $applicationId: ID) {
  eventType(name: $name, applicationId: $applicationId) { examples }
}`;

export const triggerCommand = () =>
  hubCommand('trigger')
    .argument('<type>', 'the event type, such as order.created')
    .description("publish an event with the type's example as its payload")
    .option('--set <path=value...>', 'change a part of it: order.total=12, lines.0.sku="A-1"; what is no JSON is text')
    .option('--example <n>', 'which of its examples, from 1', '1')
    .addHelpText('after', '\nExample:\n  livehook trigger order.created --set order.no=A-7')
    .action(trigger);

async function trigger(type: string, options: Options): Promise<void> {
  const payload = await exampleOf(type, options);
  const changed = (options.set ?? []).reduce(withChange, payload);
  const client = connect(options);
  try {
    const published = await client.publish({ type, payload: changed });
    const line = `${published.id}  ${plain(type)}  ${published.sequence}`;
    await print(isForPeople(options) ? line : JSON.stringify(published));
  } finally {
    await client.close();
  }
}

async function exampleOf(name: string, options: Options): Promise<unknown> {
  const { applicationId, ...access } = accessTo(options);
  const { eventType } = (await new Connection(access).run(EXAMPLES, JSON.stringify({ name, applicationId }))) as {
    eventType: { examples: readonly unknown[] } | null;
  };
  const { examples = [] } = eventType ?? {};
  const index = Number(options.example) - 1;
  if (examples.length === 0) throw new WrongUsage(`${name} has no example: register the type with one, or use livehook publish`);
  if (!(index in examples)) throw new WrongUsage(`--example: expected 1 to ${examples.length}, got ${options.example}`);
  return examples[index];
}

/** A copy in which the value at the path is another; objects on the way are made, lists are not. */
export function withChange(payload: unknown, change: string): unknown {
  const [, path, text] = /^([^=]+)=(.*)$/s.exec(change) ?? [];
  if (path === undefined || text === undefined) throw new WrongUsage(`--set: expected path=value, got ${change}`);
  return changed(payload, path.split('.'), valueIn(text));
}

function changed(part: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  if (key === undefined) return value;
  if (Array.isArray(part)) {
    if (!/^\d{1,6}$/.test(key) || Number(key) > part.length)
      throw new WrongUsage(`--set: expected an index from 0 to ${part.length}, got ${key}`);
    return Object.assign([...part], { [key]: changed(part[Number(key)], rest, value) });
  }
  const object = typeof part === 'object' && part !== null ? (part as Readonly<Record<string, unknown>>) : {};
  const inner = Object.hasOwn(object, key) ? object[key] : undefined;
  return { ...object, [key]: changed(inner, rest, value) };
}

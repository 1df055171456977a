import type { DeliveryUpdate } from '../../client';
import { connect, type HubOptions, hubCommand } from './hub-access';
import { coloured, isForPeople, plain, print } from './output';

interface Options extends HubOptions {
  readonly failed?: true;
  readonly webhook?: string[];
  readonly type?: string[];
}

export const tailCommand = () =>
  hubCommand('tail')
    .description('show deliveries as they happen, until Ctrl-C; goes on where it was when the hub was away')
    .option('--failed', 'only attempts that failed')
    .option('--webhook <id...>', 'only deliveries to these webhooks')
    .option('--type <type...>', 'only events of these types, or wildcards such as order.*')
    .addHelpText('after', '\nExample:\n  livehook tail --failed --type "order.*"')
    .action(tail);

async function tail(options: Options): Promise<void> {
  const client = connect(options);
  const stop = () => void client.close();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const filter = {
    webhookIds: options.webhook,
    eventTypes: options.type,
    statuses: options.failed && ['RETRYING', 'FAILED'],
  };
  const line = isForPeople(options) ? lineOf : JSON.stringify;
  for await (const { updates } of client.deliveryUpdates({ filter }))
    for (const update of updates) if (!options.failed || hasFailed(update)) await print(line(update));
}

/** A delivery is RETRYING also when somebody has asked for another attempt. */
function hasFailed({ attempt }: DeliveryUpdate): boolean {
  return attempt !== null && attempt.outcome !== 'SUCCESS';
}

const COLOURS = { SUCCEEDED: 'green', RETRYING: 'yellow', FAILED: 'red' } as const;

function lineOf({ at, status, delivery, attempt }: DeliveryUpdate): string {
  const state = coloured(status.padEnd(9), COLOURS[status as keyof typeof COLOURS] ?? 'grey');
  const what = attempt === null ? '' : `#${attempt.number} ${attempt.statusCode ?? attempt.outcome} ${attempt.durationMs} ms`;
  const why = attempt?.error ? coloured(plain(attempt.error), 'grey') : '';
  return [at.slice(11, 23), state, delivery.id, plain(delivery.eventType), what, why].filter(Boolean).join('  ');
}

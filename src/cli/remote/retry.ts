import ms from 'ms';
import { Connection, dataOf } from '../../client/connection';
import { asLivehookError, LivehookError } from '../../client/errors';
import { systemClock } from '../../clock';
import { accessTo, type HubOptions, hubCommand, WrongUsage } from './hub-access';
import { mutate } from './mutate';
import { isForPeople, print } from './output';

interface ReplayOptions extends HubOptions {
  readonly since: string;
  readonly until?: string;
  readonly webhook?: string[];
  readonly type?: string[];
  readonly missed?: true;
  readonly dryRun?: true;
}

interface Job {
  readonly id: string;
  readonly status: string;
  readonly total: number;
  readonly done: number;
  readonly failed: number;
}

export const RETRY = `mutation Retry($id: ID!) {
  done: deliveryRetry(id: $id) { delivery { id status attemptCount } userErrors { field message code } }
}`;

const JOB = '{ id status total done failed }';

export const RETRY_MANY = `mutation RetryMany($input: DeliveriesRetryInput!) {
  done: deliveriesRetry(input: $input) { retryJob ${JOB} userErrors { field message code } }
}`;

export const REPLAY = `mutation Replay($input: EventReplayInput!) {
  done: eventReplay(input: $input) { retryJob ${JOB} userErrors { field message code } }
}`;

export const WATCH_JOB = `subscription WatchJob($id: ID!) { retryJob(id: $id) ${JOB} }`;

export const retryCommand = () =>
  hubCommand('retry')
    .argument('<delivery>', 'the id of the delivery')
    .description('attempt a delivery now, beside its schedule')
    .addHelpText('after', '\nExample:\n  livehook retry dlv_…')
    .action(retry);

export const replayCommand = () =>
  hubCommand('replay')
    .description('attempt again what failed, and wait until that is done; Ctrl-C leaves it running')
    .requiredOption('--since <time>', 'a duration such as 1h, or a time as ISO 8601')
    .option('--until <time>', 'likewise; left out: now')
    .option('--webhook <id...>', 'only deliveries to these webhooks')
    .option('--type <type...>', 'only events of these types, or wildcards such as order.*')
    .option('--missed', 'instead: events that the webhook has no delivery for; needs one --webhook')
    .option('--dry-run', 'only say how many there are')
    .addHelpText('after', '\nExample:\n  livehook replay --since 1d --webhook whk_… --dry-run')
    .action(replay);

async function retry(id: string, options: HubOptions): Promise<void> {
  const { delivery } = await mutate<{ delivery: { id: string; status: string; attemptCount: number } }>(connection(options), RETRY, { id });
  await print(
    isForPeople(options) ? `${delivery.id}  is attempted now, after ${delivery.attemptCount} attempts` : JSON.stringify(delivery),
  );
}

async function replay(options: ReplayOptions): Promise<void> {
  const hub = connection(options);
  const job = await start(hub, options);
  const ended = options.dryRun ? job : await watch(hub, job, options);
  await print(isForPeople(options) ? sentence(ended, options) : JSON.stringify(ended));
  if (ended.failed > 0 || ended.status === 'CANCELLED') process.exitCode = 1;
}

async function start(hub: Connection, options: ReplayOptions): Promise<Job> {
  const { application: applicationId, webhook, type: eventTypes, dryRun = false } = options;
  const after = timeOf('--since', options.since);
  const before = options.until === undefined ? undefined : timeOf('--until', options.until);
  if (options.missed && webhook?.length !== 1) throw new WrongUsage('--missed: expected one --webhook');
  const input = options.missed
    ? { applicationId, webhookId: webhook?.[0], after, before, eventTypes, dryRun }
    : { applicationId, filter: { webhookIds: webhook, eventTypes, createdAfter: after, createdBefore: before }, dryRun };
  const { retryJob } = await mutate<{ retryJob: Job }>(hub, options.missed ? REPLAY : RETRY_MANY, { input });
  return retryJob;
}

/** Until it is finished, however often the stream breaks. */
async function watch(hub: Connection, started: Job, options: ReplayOptions): Promise<Job> {
  const bar = isForPeople(options) ? drawBar : () => {};
  const left = new AbortController();
  let job: Job = started;
  for (let failures = 1; ; failures++) {
    try {
      for await (const result of hub.stream(WATCH_JOB, { id: started.id }, left.signal)) {
        job = dataOf(result).retryJob as Job;
        failures = 1;
        bar(job);
      }
    } catch (error) {
      if (!asLivehookError(error).isTemporary) throw error;
    }
    if (job.status !== 'RUNNING') break;
    await hub.wait(failures, new LivehookError('UNAVAILABLE', ''));
  }
  if (isForPeople(options)) process.stderr.write('\n');
  return job;
}

const BAR_CHARS = 30;

function drawBar({ done, total, failed }: Job): void {
  const filled = total === 0 ? BAR_CHARS : Math.round((BAR_CHARS * done) / total);
  process.stderr.write(`\r${'█'.repeat(filled)}${'░'.repeat(BAR_CHARS - filled)} ${done} of ${total}, ${failed} failed `);
}

function sentence({ status, total, done, failed }: Job, { dryRun }: ReplayOptions): string {
  if (dryRun) return `${total} deliveries would be attempted`;
  return `${status.toLowerCase()}: ${done} of ${total} attempted, ${failed} failed`;
}

function timeOf(option: string, text: string): string {
  const duration = /^\d/.test(text) && !/^\d{4}-/.test(text) ? ms(text as ms.StringValue) : undefined;
  const time = duration === undefined ? Date.parse(text) : systemClock.now() - duration;
  if (Number.isNaN(time))
    throw new WrongUsage(`${option}: expected a duration such as 1h, or a time such as 2026-01-31T12:00:00Z; got ${text}`);
  return new Date(time).toISOString();
}

function connection(options: HubOptions): Connection {
  return new Connection(accessTo(options));
}

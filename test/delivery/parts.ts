import { AttemptTrigger } from '../../src/attempts/attempt';
import { type Delivery, DeliveryStatus } from '../../src/deliveries/delivery';
import type { Finished } from '../../src/delivery/attempt';
import type { Verdict } from '../../src/delivery/completion/settle';
import { Dispatcher } from '../../src/delivery/dispatcher';
import type { DeliveriesLeft } from '../../src/delivery/facts';
import { type Job, weightOf } from '../../src/delivery/job';
import type { Exchange } from '../../src/delivery/transport/exchange';
import type { Event } from '../../src/events/event';
import { Facts } from '../../src/facts';
import { deliveryId, newApplicationId, newWebhookId, sequenceOf } from '../../src/ids';
import { silentLog } from '../../src/log';
import { Ordering, WebhookFormat } from '../../src/webhooks/webhook';
import type { LiveWebhook, Snapshot } from '../../src/webhooks/webhook-cache';
import { FakeClock } from '../support/fake-clock';

export function liveWebhook(overrides: Partial<LiveWebhook> = {}): LiveWebhook {
  const applicationId = overrides.applicationId ?? newApplicationId();
  return {
    id: newWebhookId(applicationId),
    applicationId,
    url: 'https://example.com/',
    eventTypes: ['*'],
    headers: [],
    retryDelaysMs: [1_000, 60_000],
    timeoutMs: 1_000,
    maxConcurrency: 1,
    ratePerSecond: null,
    ordering: Ordering.NONE,
    format: WebhookFormat.STANDARD,
    condition: null,
    payloadQuery: null,
    isSending: true,
    isVerified: true,
    credentials: { clientCertificate: null, oauth: null },
    signingKeys: [],
    status: 'ACTIVE' as LiveWebhook['status'],
    version: 1,
    ...overrides,
  };
}

export const snapshotOf = (...webhooks: LiveWebhook[]): Snapshot => ({
  version: 1,
  receiving: webhooks,
  byId: new Map(webhooks.map((webhook) => [webhook.id, webhook])),
});

interface JobOverrides {
  readonly key?: string | null;
  readonly attemptCount?: number;
  readonly payloadChars?: number;
}

export function eventFor({ applicationId }: LiveWebhook, sequence: number, { key = null, payloadChars = 2 }: JobOverrides = {}): Event {
  return {
    applicationId,
    sequence,
    type: 'order.created',
    orderingKey: key,
    payloadText: 'x'.repeat(payloadChars),
    redactedAt: null,
  } as Event;
}

/** The delivery of the event with this sequence. */
export function jobFor(webhook: LiveWebhook, sequence: number, overrides: JobOverrides = {}): Job {
  const { attemptCount = 0, payloadChars = 2 } = overrides;
  return {
    deliveryId: deliveryId(sequence, webhook.id),
    event: eventFor(webhook, sequence, overrides),
    attemptCount,
    manualAttempts: 0,
    trigger: attemptCount === 0 ? AttemptTrigger.FIRST : AttemptTrigger.AUTOMATIC,
    automaticDueAt: null,
    body: null,
    createdAt: 0,
    weight: weightOf(payloadChars),
  };
}

export const SUCCESS: Exchange = {
  outcome: 'SUCCESS',
  statusCode: 204,
  error: null,
  responseHeaders: [],
  responseBody: '',
  responseTruncated: false,
  durationMs: 1,
};
export const REFUSED: Exchange = { ...SUCCESS, outcome: 'CONNECT', statusCode: null, error: 'connection refused', responseBody: null };
export const ANSWERED_500: Exchange = { ...SUCCESS, outcome: 'HTTP_ERROR', statusCode: 500, error: 'the receiver answered 500' };

export const sequencesOf = (deliveryIds: readonly string[]) => deliveryIds.map(sequenceOf);

/** Lets promises that are settled, and what waits for the next turn of the event loop, go on. */
export async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

interface Sent {
  readonly job: Job;
  readonly webhook: LiveWebhook;
  readonly timeoutMs: number;
  readonly hold: (body: { body: NonNullable<Job['body']>; ownBytes: number; release: () => void }) => void;
  end(exchange: Exchange): void;
  fail(error: Error): void;
}

/** A dispatcher whose requests a test answers, with all that it says. */
export class DispatcherRig {
  readonly clock = new FakeClock();
  readonly facts = new Facts();
  /** Every request that was started. */
  readonly sent: Sent[] = [];
  readonly finished: Finished[] = [];
  readonly left: DeliveriesLeft[] = [];
  readonly released: string[] = [];
  /** Of each `roomFreed`: of which webhook; undefined: of any. */
  readonly roomFreed: (string | undefined)[] = [];
  readonly circuits: boolean[] = [];
  isLeaseHeld = true;
  isWritingBehind = false;
  fleet = { instances: 1, place: 0 };
  readonly dispatcher: Dispatcher;

  constructor() {
    const membership = { isLeaseHeld: () => this.isLeaseHeld };
    Object.defineProperty(membership, 'fleet', { get: () => this.fleet });
    this.dispatcher = new Dispatcher({
      instanceId: 'ins_here',
      clock: this.clock,
      log: silentLog,
      random: () => 0,
      attempter: {
        attempt: (job, webhook, { timeoutMs, hold }) =>
          new Promise<Finished>((resolve, reject) => {
            const end = (exchange: Exchange) =>
              resolve({
                job,
                webhook,
                request: { url: webhook.url, headers: [], body: '', timeoutMs },
                exchange,
                body: null,
                startedAt: 0,
              });
            this.sent.push({ job, webhook, timeoutMs, hold: hold as Sent['hold'], end, fail: reject });
          }),
      },
      completer: {
        add: (finished) => {
          this.finished.push(finished);
          return !this.isWritingBehind;
        },
      },
      releaser: { release: (deliveryIds) => void this.released.push(...deliveryIds) },
      membership: membership as { isLeaseHeld(): boolean; fleet: { instances: number; place: number } },
      facts: this.facts,
    });
    this.facts.deliveriesLeft.on((left) => void this.left.push(left));
    this.facts.roomFreed.on(({ webhook }) => void this.roomFreed.push(webhook?.id));
    this.facts.circuitChanged.on(({ change }) => void this.circuits.push(change.isOpen));
  }

  /** The sequences of what was sent. */
  get sentSequences(): number[] {
    return this.sent.map(({ job }) => job.event.sequence);
  }

  get releasedSequences(): number[] {
    return sequencesOf(this.released);
  }

  /** What was told to have left, as `how` and the sequences. */
  get told(): (readonly [DeliveriesLeft['how'], number[]])[] {
    return this.left.map(({ how, jobs }) => [how, jobs.map(({ event }) => event.sequence)] as const);
  }

  claimed(webhook: LiveWebhook, jobs: readonly Job[], hasMore = false): void {
    this.dispatcher.acceptClaimed(webhook, jobs, hasMore);
  }

  changed(applicationId: string, ...webhooks: LiveWebhook[]): void {
    this.facts.webhooksChanged.emit({ applicationId, snapshot: snapshotOf(...webhooks) });
  }

  /** The request of this sequence ends, and is not written down yet. */
  async end(sequence: number, exchange = SUCCESS): Promise<void> {
    this.#request(sequence).end(exchange);
    await turns();
  }

  async fail(sequence: number): Promise<void> {
    this.#request(sequence).fail(new Error('injected'));
    await turns();
  }

  /** What has ended is written down. */
  async settle(): Promise<void> {
    const verdicts = this.finished.splice(0).map(
      (finished): Verdict => ({
        finished,
        status: finished.exchange.outcome === 'SUCCESS' ? DeliveryStatus.SUCCEEDED : DeliveryStatus.RETRYING,
        delayMs: finished.exchange.outcome === 'SUCCESS' ? null : 1_000,
        endedAt: 0,
      }),
    );
    this.facts.attemptsSettled.emit({ verdicts, released: verdicts, durationMs: 0 });
    await turns();
  }

  /** The request of this sequence ends and is written down. */
  async complete(sequence: number, exchange = SUCCESS): Promise<void> {
    await this.end(sequence, exchange);
    await this.settle();
  }

  /** Ends and writes down whatever is sent, until nothing is. */
  async drain(): Promise<void> {
    for (let done = 0; done < this.sent.length; ) {
      for (const request of this.sent.slice(done)) request.end(SUCCESS);
      done = this.sent.length;
      await turns();
      await this.settle();
    }
  }

  /** As publishing does: asks for room for each event, and hands over what was stored. */
  store(webhook: LiveWebhook, events: readonly Event[]): { readonly owners: string[]; commit(): void; rollBack(): void } {
    const reservation = this.dispatcher.reserve();
    const owners = events.map((event) => reservation.ownerFor(webhook, event));
    const deliveries = events.map(
      ({ applicationId, sequence }, index) =>
        ({
          id: deliveryId(sequence, webhook.id),
          applicationId,
          eventSequence: sequence,
          webhookId: webhook.id,
          owner: owners[index],
          createdAt: new Date(0),
        }) as Delivery,
    );
    return { owners, commit: () => reservation.take(deliveries, events), rollBack: () => reservation.release() };
  }

  #request(sequence: number): Sent {
    const found = this.sent.findLast(({ job }) => job.event.sequence === sequence);
    if (found === undefined) throw new Error(`expected a request of ${sequence}, got ${this.sentSequences.join(', ')}`);
    return found;
  }
}

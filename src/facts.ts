import type { ApiKey } from './applications/api-key';
import type { Refusal } from './applications/api-keys';
import type { LoggedUpdate } from './deliveries/update-log';
import type { CircuitChange, DeliveriesLeft, SettledBatch } from './delivery/facts';
import type { Batch } from './events/append';
import type { Event } from './events/event';
import type { Redaction } from './events/redactions';
import type { Topic } from './live/notifier';
import type { RetryJob } from './replay/retry-job';
import type { LoggedWebhookUpdate } from './webhooks/update-log';
import type { LiveWebhook, Snapshot } from './webhooks/webhook-cache';

/** Tells those who listen what has happened, at once and in the order in which they came. Who tells knows none of them. */
class Signal<Fact = void> {
  readonly #listeners: ((fact: Fact) => void)[] = [];

  on(listener: (fact: Fact) => void): void {
    this.#listeners.push(listener);
  }

  emit(fact: Fact): void {
    for (const listener of this.#listeners) listener(fact);
  }
}

/** What the modules of the hub tell each other. Each is told after the commit that made it a fact. */
export class Facts {
  /** A batch of events is stored, with its deliveries. */
  readonly eventsStored = new Signal<{ readonly batch: Batch; readonly durationMs: number; readonly endedAt: number }>();
  /** Changes of deliveries have their places in the logs of their applications. */
  readonly updatesLogged = new Signal<ReadonlyMap<string, LoggedUpdate[]>>();
  /** The same of changes of webhooks. */
  readonly webhookUpdatesLogged = new Signal<{ readonly applicationId: string; readonly updates: readonly LoggedWebhookUpdate[] }>();
  /** A batch of attempts is written down. */
  readonly attemptsSettled = new Signal<SettledBatch>();
  /** The payload of an event is blanked, here or by another instance; may be told several times. */
  readonly eventRedacted = new Signal<Redaction & { readonly isOwn: boolean }>();

  /** An event in memory has lost its payload: nothing that was made of it is used again. */
  readonly eventBlanked = new Signal<{ readonly event: Event }>();

  /** Another instance may have changed something: it said so, or nobody knows better. `ids`: of applications, where the topic is about some. */
  readonly changedElsewhere = new Signal<{ readonly topic: Topic; readonly ids: readonly string[] }>();
  /** Somebody has changed the webhooks or the event types of an application here. */
  readonly webhooksEdited = new Signal<{ readonly applicationId: string }>();
  /** The webhooks of an application were read again; no matter who has changed them. */
  readonly webhooksChanged = new Signal<{ readonly applicationId: string; readonly snapshot: Snapshot }>();
  readonly applicationDeleted = new Signal<{ readonly applicationId: string }>();
  readonly keyRevoked = new Signal();
  /** A key let somebody in. */
  readonly keyUsed = new Signal<{ readonly apiKeyId: string }>();
  /** Somebody was not let in; `apiKey` is null where the token is none. */
  readonly keyRefused = new Signal<{ readonly reason: Refusal; readonly apiKey: ApiKey | null; readonly address: string | null }>();

  /** Deliveries are nobody's and due: of one webhook, or of any. */
  readonly deliveriesDue = new Signal<{ readonly webhookId?: string }>();
  /** The next one that is known to be due is so in so many milliseconds. */
  readonly deliveryScheduled = new Signal<{ readonly delayMs: number }>();
  /** Deliveries have left this instance's memory unsent. */
  readonly deliveriesLeft = new Signal<DeliveriesLeft>();
  /** Deliveries of this instance are anybody's again. */
  readonly deliveriesReleased = new Signal<{ readonly deliveryIds: readonly string[] }>();
  /** They could not be released: they are this instance's in the database and in nobody's memory. */
  readonly releaseFailed = new Signal<{ readonly deliveryIds: readonly string[] }>();
  /** Deliveries were cancelled, which this instance may have in memory. */
  readonly deliveriesCancelled = new Signal<{ readonly deliveryIds: readonly string[] }>();
  /** The same of deliveries that another instance has: it finds them in a row of its own. */
  readonly cancellationsStored = new Signal();
  /** There is room for more deliveries of a webhook, or of any. */
  readonly roomFreed = new Signal<{ readonly webhook?: LiveWebhook }>();
  /** What waited to be written down has been: sending may go on. */
  readonly settlingCaughtUp = new Signal();
  readonly circuitChanged = new Signal<{ readonly webhook: LiveWebhook; readonly change: CircuitChange }>();

  /** The lease was lost for a while and holds again: what is owned may be owned by others now. */
  readonly leaseRegained = new Signal();
  /** Instances have come or gone. */
  readonly membershipChanged = new Signal();

  /** Somebody has asked for a retry job, or for the end of one. */
  readonly jobRequested = new Signal<{ readonly job: RetryJob }>();
  /** A retry job has come further, or has ended. */
  readonly jobAdvanced = new Signal<{ readonly job: RetryJob }>();
}

import type { FaultKind } from './schedule';

/** Of every webhook: an answer that its hub notices later was accepted by the receiver, and has failed all the same. */
export const TIMEOUT_MS = 1_000;

/** A hub process: its place in the fleet, and which life there this is, from 1. It tells receivers so with every request. */
export interface HubName {
  readonly slot: number;
  readonly life: number;
}

/** Something that happened to a hub or to what all depend on; milliseconds since the epoch, `from` = `to` for a moment. */
export interface Trouble {
  readonly kind: FaultKind;
  /** Null: to every instance. */
  readonly slot: number | null;
  /** Null: to whatever life of the slot. */
  readonly life: number | null;
  readonly from: number;
  readonly to: number;
}

export type Ordering = 'NONE' | 'STRICT' | 'BY_KEY';

/** What an event is selected by. */
export interface Traits {
  readonly type: string;
  readonly total: number;
}

export interface WatchedWebhook {
  readonly id: string;
  readonly applicationId: string;
  readonly name: string;
  readonly ordering: Ordering;
  /** The receiver refuses every request, so every delivery must end as FAILED. */
  readonly isHopeless: boolean;
  wants(event: Traits): boolean;
}

/** A row of the log. */
export interface StoredEvent extends Traits {
  readonly applicationId: string;
  readonly sequence: number;
  readonly id: string;
  readonly orderingKey: string | null;
  /** The publisher's own number; null for what the hub itself had to say. */
  readonly no: number | null;
}

export interface StoredDelivery {
  readonly id: string;
  readonly eventId: string;
  readonly webhookId: string;
  readonly status: string;
  readonly attemptCount: number;
  readonly owner: string | null;
  /** Milliseconds from when it was read; null: none. */
  readonly dueInMs: number | null;
}

export interface Acknowledgement {
  readonly id: string;
  readonly sequence: number;
  readonly deduplicated: boolean;
}

/** What a publisher was told: `refused` is UNAVAILABLE or RATE_LIMITED (nothing was stored), `unknown` no answer at all. */
export type Answer = 'refused' | 'unknown' | Acknowledgement;

/** One event that was to be published, with every answer there was, one for each time it was sent. */
export interface Publication {
  readonly applicationId: string;
  readonly no: number;
  readonly hasKey: boolean;
  readonly answers: readonly Answer[];
}

/**
 * How a receiver treated a request. `accepted`: a whole 2xx was sent. `refused`: another status was. `lost`: the
 * connection was dropped after the request had been read, `dropped`: before. `unanswered`: the hub left first.
 */
export type Treatment = 'accepted' | 'refused' | 'lost' | 'dropped' | 'unanswered';

/** A request as a receiver saw it, in the order of arrival. */
export interface Receipt {
  readonly webhook: string;
  /** Where the webhook's target was, after so many moves. */
  readonly moves: number;
  readonly eventId: string;
  readonly attempt: number;
  readonly sender: HubName | null;
  readonly arrivedAt: number;
  readonly endedAt: number;
  readonly treatment: Treatment;
  readonly isVerified: boolean;
  /** Of the body; null where it was not read. */
  readonly digest: string | null;
}

/** The webhook's URL was changed, for the so-manieth time, and that was acknowledged at `at`. */
export interface Move {
  readonly webhook: string;
  readonly moves: number;
  readonly at: number;
}

export interface Watcher {
  readonly name: string;
  readonly applicationId: string;
  /** Where its cursor stood at the start. */
  readonly after: number;
  readonly connections: number;
  readonly seen: readonly number[];
  wants(event: Traits): boolean;
}

/** A subscriber of the updates of an application's deliveries, from the first on. */
export interface UpdateWatcher {
  readonly name: string;
  readonly applicationId: string;
  readonly connections: number;
  /** `deliveryId status attempt`. */
  readonly seen: readonly string[];
}

/** An attempt that its hub has written down as not delivered. */
export interface StoredFailure {
  /** Of the attempt. */
  readonly id: string;
  readonly outcome: string;
  readonly durationMs: number;
}

/** A row of the log of updates: those from one sequence to another. */
export interface StoredUpdates {
  readonly applicationId: string;
  readonly first: number;
  readonly last: number;
  readonly updates: readonly string[];
}

/** A hub that was told to end, or ended by itself. */
export interface Exit {
  readonly hub: HubName;
  /** What the harness sent; null: nothing. */
  readonly told: 'SIGKILL' | 'SIGTERM' | null;
  readonly code: number | null;
  readonly signal: string | null;
  /** How long it took. */
  readonly tookMs: number;
  /** The end of its log, where that says more. */
  readonly lastWords: string;
}

export interface Memory {
  readonly hub: HubName;
  readonly residentBytes: number;
  readonly boundBytes: number;
}

export interface StoredOwner {
  readonly webhookId: string;
  readonly owner: string;
}

/** All that was recorded in a run. */
export interface Facts {
  readonly webhooks: readonly WatchedWebhook[];
  readonly publications: readonly Publication[];
  readonly receipts: readonly Receipt[];
  readonly watchers: readonly Watcher[];
  readonly updateWatchers: readonly UpdateWatcher[];
  readonly moves: readonly Move[];
  /** Hubs that took a key after all that was revoked. */
  readonly takenKeys: readonly string[];
  readonly troubles: readonly Trouble[];
  readonly exits: readonly Exit[];
  readonly memory: readonly Memory[];
  /** From the database, when everything had settled or the time for it had run out. */
  readonly events: readonly StoredEvent[];
  readonly deliveries: readonly StoredDelivery[];
  readonly failures: readonly StoredFailure[];
  /** In the order of their sequences. */
  readonly updates: readonly StoredUpdates[];
  readonly instances: readonly string[];
  readonly owners: readonly StoredOwner[];
  readonly unfinishedJobs: readonly string[];
  /** Answers of hubs that no failure of the surroundings excuses. */
  readonly complaints: readonly string[];
  /** How many hubs should be running. */
  readonly fleet: number;
}

import type { ApiKeys } from '../applications/api-keys';
import type { Applications } from '../applications/applications';
import type { LastUses } from '../applications/last-uses';
import type { Attempt } from '../attempts/attempt';
import type { Attempts } from '../attempts/attempts';
import type { Stats } from '../attempts/stats';
import type { AuditEvent } from '../audit/audit-event';
import type { AuditLog } from '../audit/audit-log';
import type { AuditSelection } from '../audit/read-audit';
import type { Clock } from '../clock';
import type { Deliveries } from '../deliveries/deliveries';
import type { Delivery } from '../deliveries/delivery';
import type { Unfinished } from '../deliveries/unfinished';
import type { LoggedUpdate } from '../deliveries/update-log';
import type { InstanceRow } from '../delivery/instances/roll';
import type { Shaper } from '../delivery/request/shaper';
import type { Event } from '../events/event';
import type { EventTypes } from '../events/event-types';
import type { Events } from '../events/events';
import type { Publisher } from '../events/publisher';
import type { Redactions } from '../events/redactions';
import type { listEvents } from '../events/search';
import type { JobWatch } from '../live/job-watch';
import type { LiveLog } from '../live/live-log';
import type { Tester } from '../probes/tester';
import type { RetryJob } from '../replay/retry-job';
import type { RetryJobs } from '../replay/retry-jobs';
import type { Slices } from '../slices';
import type { Page, PageRequest, SearchAllowance } from '../store/page';
import type { CostlyFilter } from '../webhooks/costly-filter';
import type { Findings, StoredHealth } from '../webhooks/health';
import type { CompilePayloadQuery } from '../webhooks/payload-query';
import type { LoggedWebhookUpdate } from '../webhooks/update-log';
import type { Webhook } from '../webhooks/webhook';
import type { Webhooks } from '../webhooks/webhooks';
import type { Reason } from './budget';
import type { KeyLimits } from './key-limits';
import type { Unsent } from './unsent';

type AfterFirst<Call extends (...args: never[]) => unknown> = Parameters<Call> extends [unknown, ...infer Rest] ? Rest : never;

/** The stages, as the edge calls them. */
export interface Services {
  readonly applications: Applications;
  readonly apiKeys: ApiKeys;
  readonly lastUses: Pick<LastUses, 'flush'>;
  readonly keyLimits: KeyLimits;
  /** Who did what. */
  readonly audit: Pick<AuditLog, 'done' | 'read' | 'published'>;
  /** With what this instance has noted until now. */
  readonly readAudit: (
    applicationId: string | null,
    selection: AuditSelection,
    page: PageRequest,
    allowance: SearchAllowance,
  ) => Promise<Page<AuditEvent>>;
  /** Bytes of answers that nobody has read yet. */
  readonly unsent: Unsent;
  /** An operation was ended, or cut, for what it took. */
  readonly budgetExceeded: (reason: Reason) => void;
  readonly webhooks: Webhooks;
  readonly events: Events;
  /** Newest first. */
  readonly listEvents: (...request: AfterFirst<typeof listEvents>) => Promise<Page<Event>>;
  readonly eventTypes: EventTypes;
  readonly redactions: Pick<Redactions, 'redact'>;
  readonly publisher: Pick<Publisher, 'publish' | 'publishAll'>;
  /** Events of a publish were not stored: the code that was answered. */
  readonly refused: (code: string, events: number) => void;
  readonly deliveries: Deliveries;
  readonly retryJobs: RetryJobs;
  readonly jobWatch: JobWatch<RetryJob>;
  readonly attempts: Attempts;
  readonly stats: Pick<Stats, 'read' | 'series'>;
  /** What is to be delivered yet: of a webhook, or of an application. */
  readonly unfinished: (ownerId: string) => Promise<Unfinished>;
  readonly instances: () => Promise<readonly InstanceRow[]>;
  readonly costlyFilters: (webhookIds: readonly string[]) => Promise<readonly CostlyFilter[]>;
  readonly storedHealth: (webhookIds: readonly string[]) => Promise<readonly StoredHealth[]>;
  /** What this instance does about the receiver of a webhook. */
  readonly caution: (webhookId: string, version: number) => Findings['caution'];
  readonly eventLog: LiveLog<Event>;
  readonly updateLog: LiveLog<LoggedUpdate>;
  readonly webhookLog: LiveLog<LoggedWebhookUpdate>;
  /** Newest first. */
  readonly healthHistory: (webhookId: string, page: PageRequest) => Promise<Page<LoggedWebhookUpdate>>;
  readonly compilePayloadQuery: CompilePayloadQuery;
  readonly shaper: Pick<Shaper, 'bodyFor'>;
  readonly tester: Pick<Tester, 'test'>;
  /** The body that a test has sent. */
  readonly testBody: (attempt: Attempt) => Promise<string | null>;
  /** The stored body of a delivery whose `bodyKey` names one. */
  readonly fixedBody: (delivery: Delivery) => Promise<string | null>;
  /** A signature of now, by the secrets that a webhook has now; null: there is no such webhook. */
  readonly sign: (webhookId: string, eventId: string, body: string) => Promise<{ timestamp: number; value: string } | null>;
  /** In plain words which event blocks an ordered webhook; null: none does. */
  readonly orderProblem: (webhook: Webhook) => Promise<string | null>;
  readonly clock: Clock;
  readonly slices: Slices;
  /** Seconds between attempts where a webhook has no schedule of its own. */
  /** Targets get nothing before they have passed a verification. */
  readonly isVerificationRequired: boolean;
  readonly defaultRetrySchedule: readonly number[];
}

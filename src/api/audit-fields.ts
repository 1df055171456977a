import { defaultFieldResolver, type GraphQLField, type GraphQLObjectType, type GraphQLSchema } from 'graphql';
import type { ApiKey } from '../applications/api-key';
import type { Application } from '../applications/application';
import type { AuditAction } from '../audit/audit-event';
import type { Deed } from '../audit/gathering';
import type { Delivery } from '../deliveries/delivery';
import type { Event } from '../events/event';
import type { EventType } from '../events/event-type-record';
import { applicationIdOf } from '../ids';
import type { RetryJob } from '../replay/retry-job';
import type { Webhook } from '../webhooks/webhook';
import type { Context } from './context';
import { type BY_THE_HUB, mayReadPayloads } from './field-access';
import type { EventPublishPayload } from './resolvers/event-resolver';
import type { SelectionPreview } from './selection-preview';

/** What the mutations answer with, as far as it is looked at here. */
interface Answered {
  readonly userErrors?: readonly unknown[];
  readonly application?: Application | null;
  readonly apiKey?: ApiKey | null;
  readonly eventType?: EventType | null;
  readonly webhook?: Webhook | null;
  readonly event?: Event | null;
  readonly results?: readonly EventPublishPayload[];
  readonly delivery?: Delivery | null;
  readonly retryJob?: RetryJob | null;
}

type Arguments = Readonly<Record<string, unknown>>;

interface Change {
  readonly action: AuditAction;
  /** What was changed; its id tells the application, unless `applicationId` does. */
  readonly target: (answered: Answered, args: Arguments) => string | undefined;
  /** Null: it goes into the hub's own log. */
  readonly applicationId?: (answered: Answered) => string | null;
}

const id = (_answered: Answered, args: Arguments) => String(args.id);
const ofHub = () => null;

/** Every mutation stands here, so that a new one is decided on; `createSchema` fails where one is missing. */
const CHANGES: Readonly<Record<string, Change | 'publish'>> = {
  // An application's own log goes with it.
  applicationCreate: { action: 'application.created', target: ({ application }) => application?.id, applicationId: ofHub },
  applicationUpdate: { action: 'application.updated', target: id, applicationId: ({ application }) => application?.id ?? null },
  applicationDelete: { action: 'application.deleted', target: id, applicationId: ofHub },
  apiKeyCreate: { action: 'key.created', target: ({ apiKey }) => apiKey?.id, applicationId: ({ apiKey }) => apiKey?.applicationId ?? null },
  apiKeyRevoke: { action: 'key.revoked', target: id, applicationId: ({ apiKey }) => apiKey?.applicationId ?? null },
  eventTypeRegister: {
    action: 'event_type.registered',
    target: ({ eventType }) => eventType?.name,
    applicationId: ({ eventType }) => eventType?.applicationId ?? null,
  },
  eventTypeArchive: {
    action: 'event_type.archived',
    target: ({ eventType }) => eventType?.name,
    applicationId: ({ eventType }) => eventType?.applicationId ?? null,
  },
  webhookCreate: { action: 'webhook.created', target: ({ webhook }) => webhook?.id },
  webhookUpdate: { action: 'webhook.updated', target: id },
  webhookDelete: { action: 'webhook.deleted', target: id },
  webhookPause: { action: 'webhook.paused', target: id },
  webhookResume: { action: 'webhook.resumed', target: id },
  webhookSecretRotate: { action: 'webhook.secret_rotated', target: id },
  webhookTest: { action: 'webhook.tested', target: id },
  eventPublish: 'publish',
  eventsPublish: 'publish',
  eventRedact: { action: 'event.redacted', target: id },
  deliveryRetry: { action: 'delivery.retried', target: id },
  deliveryCancel: { action: 'delivery.cancelled', target: id },
  deliveriesRetry: { action: 'retry_job.created', target: ({ retryJob }) => retryJob?.id },
  eventReplay: { action: 'retry_job.created', target: ({ retryJob }) => retryJob?.id },
  retryJobCancel: { action: 'retry_job.cancelled', target: id },
};

/** The fields that show payloads and bodies, and what of. */
const READS: readonly { readonly type: string; readonly fields: readonly string[]; readonly action: AuditAction }[] = [
  { type: 'Event', fields: ['payload', 'payloadText', 'get'], action: 'payload.read' },
  { type: 'Delivery', fields: ['requestBody'], action: 'body.read' },
  { type: 'Attempt', fields: ['responseBody', 'curl'], action: 'body.read' },
];

/** Notes each mutation that changed something, and each read of a payload or body, whatever leads to it. */
export function auditFields(schema: GraphQLSchema): void {
  for (const field of Object.values(schema.getMutationType()?.getFields() ?? {})) {
    const change = CHANGES[field.name];
    if (change === undefined) throw new Error(`src/api/audit-fields.ts does not say what is noted of ${field.name}`);
    after(field, (answered, args, context) =>
      change === 'publish' ? published(answered, context) : changed(change, answered, args, context),
    );
  }
  for (const { type, fields, action } of READS)
    for (const name of fields) {
      const field = (schema.getType(type) as GraphQLObjectType).getFields()[name];
      if (field === undefined) throw new Error(`src/api/audit-fields.ts names ${type}.${name}, which is not there`);
      afterRead(field, action);
    }
  const preview = schema.getQueryType()?.getFields().payloadPreview;
  if (preview)
    after(preview, (_answered, { eventId }, context) => void (typeof eventId === 'string' && noteRead(context, 'payload.read', eventId)));
  for (const name of ['filterPreview', 'webhookPreview']) {
    const field = schema.getQueryType()?.getFields()[name];
    if (field) after(field, (answered, _args, context) => noteLookedAt(answered as unknown as SelectionPreview, context));
  }
}

type Field = GraphQLField<unknown, Context | typeof BY_THE_HUB>;

/** `note` after the resolver has answered without an error of the caller's. */
function after(field: Field, note: (answered: Answered, args: Arguments, context: Context) => Promise<void> | void): void {
  const resolve = field.resolve ?? defaultFieldResolver;
  field.resolve = async (source, args, context, info) => {
    const answered = (await resolve(source, args, context, info)) as Answered;
    if (!('isHub' in context) && !answered.userErrors?.length) await note(answered, args, context);
    return answered;
  };
}

/** Synchronous where the resolver is: events are shown to their followers without a promise. */
function afterRead(field: Field, action: AuditAction): void {
  const resolve = field.resolve ?? defaultFieldResolver;
  field.resolve = (source, args, context, info) => {
    const value: unknown = resolve(source, args, context, info);
    if (!('isHub' in context) && value !== null && mayReadPayloads(context)) noteRead(context, action, (source as { id: string }).id);
    return value;
  };
}

/** Of each event it is told what a filter finds in its payload. */
function noteLookedAt({ events }: SelectionPreview, context: Context): void {
  for (const { event } of events) noteRead(context, 'payload.read', event.id);
}

function noteRead(context: Context, action: AuditAction, targetId: string): void {
  context.services.audit.read(deedOf(context, action, applicationIdOf(targetId)), targetId);
}

async function changed({ action, target, applicationId }: Change, answered: Answered, args: Arguments, context: Context): Promise<void> {
  const targetId = target(answered, args);
  if (targetId === undefined) return;
  const owner = applicationId ? applicationId(answered) : applicationIdOf(targetId);
  await context.services.audit.done(deedOf(context, action, owner, [targetId]));
}

/** What was there already, under the same idempotency key, is no event that was published now. */
function published({ event, results = [], ...answer }: Answered, context: Context): void {
  const all = event ? [{ event, deduplicated: (answer as { deduplicated?: boolean }).deduplicated }] : results;
  const ids = all.flatMap(({ event: one, deduplicated }) => (one && !deduplicated ? [one.id] : []));
  const [first] = ids;
  if (first !== undefined) context.services.audit.published(deedOf(context, 'event.published', applicationIdOf(first)), ids);
}

function deedOf({ caller, address }: Context, action: AuditAction, applicationId: string | null, targetIds: readonly string[] = []): Deed {
  return { applicationId, actorId: caller?.apiKey.id ?? null, address, action, targetIds };
}

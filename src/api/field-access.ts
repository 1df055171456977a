import {
  defaultFieldResolver,
  type GraphQLFieldResolver,
  type GraphQLObjectType,
  type GraphQLSchema,
  isIntrospectionType,
  isNonNullType,
  isObjectType,
} from 'graphql';
import { Scope } from '../applications/api-key';
import type { Caller } from '../applications/api-keys';
import { HubError } from '../errors';

/** What a key needs in order to read a field, all of it. */
type Need = readonly Scope[];

/** Any valid key that got as far as the object: what follows from its id, or what its own resolver decides. */
const ANY: Need = [];
const EVENTS: Need = [Scope.EVENTS_READ];
const WEBHOOKS: Need = [Scope.WEBHOOKS_READ];
const DELIVERIES: Need = [Scope.DELIVERIES_READ];
const AUDIT: Need = [Scope.AUDIT_READ];
const EVENT_PAYLOADS: Need = [Scope.EVENTS_READ, Scope.PAYLOADS_READ];
const DELIVERY_BODIES: Need = [Scope.DELIVERIES_READ, Scope.PAYLOADS_READ];

/**
 * Who may read which field of a record, whatever led to it: a query, a stream, or a mutation that answers with it. Every
 * field stands here, so that a new one is decided on; `createSchema` fails where one is missing.
 *
 * A field that the key may not read is null, or where it cannot be null an error, FORBIDDEN.
 */
const RECORDS: Readonly<Record<string, Readonly<Record<string, Need>>>> = {
  Application: {
    id: ANY,
    name: ANY,
    createdAt: ANY,
    updatedAt: ANY,
    key: EVENTS,
    metadata: EVENTS,
    retentionDays: EVENTS,
    eventCursor: EVENTS,
    updateCursor: DELIVERIES,
    webhooks: WEBHOOKS,
    webhookCursor: WEBHOOKS,
    keys: AUDIT,
    backlog: DELIVERIES,
    series: DELIVERIES,
  },
  // A key sees itself and no other; admin keys see all.
  ApiKey: {
    id: ANY,
    applicationId: ANY,
    name: ANY,
    hint: ANY,
    scopes: ANY,
    createdAt: ANY,
    expiresAt: ANY,
    revokedAt: ANY,
    lastUsedAt: ANY,
    allowedNetworks: ANY,
  },
  EventType: {
    name: ANY,
    description: EVENTS,
    schema: EVENTS,
    examples: EVENTS,
    isRegistered: EVENTS,
    lastSeenAt: EVENTS,
    createdAt: EVENTS,
    updatedAt: EVENTS,
    archivedAt: EVENTS,
  },
  Event: {
    id: ANY,
    sequence: ANY,
    cursor: ANY,
    type: EVENTS,
    payload: EVENT_PAYLOADS,
    payloadText: EVENT_PAYLOADS,
    get: EVENT_PAYLOADS,
    idempotencyKey: EVENTS,
    orderingKey: EVENTS,
    occurredAt: EVENTS,
    createdAt: EVENTS,
    redactedAt: EVENTS,
    deliveries: DELIVERIES,
  },
  Webhook: {
    id: ANY,
    url: WEBHOOKS,
    description: WEBHOOKS,
    eventTypes: WEBHOOKS,
    headers: WEBHOOKS,
    retrySchedule: WEBHOOKS,
    timeoutSeconds: WEBHOOKS,
    maxConcurrency: WEBHOOKS,
    ordering: WEBHOOKS,
    ratePerSecond: WEBHOOKS,
    filter: WEBHOOKS,
    payloadQuery: WEBHOOKS,
    signing: WEBHOOKS,
    format: WEBHOOKS,
    verification: WEBHOOKS,
    allowedRatePerMinute: WEBHOOKS,
    secretHint: WEBHOOKS,
    publicKey: WEBHOOKS,
    clientCertificate: WEBHOOKS,
    oauth: WEBHOOKS,
    status: WEBHOOKS,
    health: WEBHOOKS,
    healthReason: WEBHOOKS, // without the ordering key for a key that may not read events
    stats: WEBHOOKS,
    series: WEBHOOKS,
    healthHistory: WEBHOOKS,
    backlog: WEBHOOKS,
    version: WEBHOOKS,
    createdAt: WEBHOOKS,
    updatedAt: WEBHOOKS,
    deliveries: DELIVERIES,
    tests: DELIVERIES,
  },
  Delivery: {
    id: ANY,
    sequence: ANY,
    webhookId: ANY,
    eventId: DELIVERIES,
    eventType: DELIVERIES,
    event: EVENTS,
    webhook: WEBHOOKS,
    status: DELIVERIES,
    attemptCount: DELIVERIES,
    nextAttemptAt: DELIVERIES,
    createdAt: DELIVERIES,
    completedAt: DELIVERIES,
    requestBody: DELIVERY_BODIES,
    attempts: DELIVERIES,
    lastAttempt: DELIVERIES,
  },
  Attempt: {
    id: ANY,
    number: ANY,
    trigger: DELIVERIES,
    startedAt: DELIVERIES,
    durationMs: DELIVERIES,
    timings: DELIVERIES,
    outcome: DELIVERIES,
    statusCode: DELIVERIES,
    error: DELIVERIES,
    requestHeaders: DELIVERIES,
    responseHeaders: DELIVERIES,
    responseBody: DELIVERY_BODIES,
    responseTruncated: DELIVERIES,
    curl: DELIVERIES, // without the body or the path for a key that may not read those
  },
  RetryJob: {
    id: ANY,
    kind: DELIVERIES,
    authorId: DELIVERIES,
    filter: DELIVERIES, // without the ordering key for a key that may not read events
    ratePerSecond: DELIVERIES,
    status: DELIVERIES,
    total: DELIVERIES,
    done: DELIVERIES,
    failed: DELIVERIES,
    createdAt: DELIVERIES,
    completedAt: DELIVERIES,
  },
};

/** Types that hold nothing but what the field which leads to them answers; the fields of the root types decide themselves. */
const PARTS = /^(Query|Mutation|Subscription|\w+Payload|\w+Connection|\w+Edge|PageInfo|TotalCount|UserError|Viewer)$/;
const MORE_PARTS: ReadonlySet<string> = new Set([
  'AuditEvent',
  'AttemptTimings',
  'ClientCertificate',
  'DeliveryBacklog',
  'DeliveryUpdate',
  'DeliveryUpdatePage',
  'Header',
  'HubStatus',
  'Instance',
  'OAuth',
  'PayloadPreview',
  'PreviewProblem',
  'PreviewedEvent',
  'SelectionPreview',
  'UnmetCondition',
  'WebhookUpdate',
  'HealthChange',
  'RetryJobFilter',
  'StatsPoint',
  'WebhookStats',
]);

/** Stands in the place of a context where the hub itself reads an event: in payload queries, which serve no key. */
export const BY_THE_HUB = { isHub: true } as const;

type Reader = { readonly caller: Caller | null } | typeof BY_THE_HUB;

/** Whether the caller may read payloads and bodies. The one gate: what shows any of them in another form asks here. */
export function mayReadPayloads(reader: Reader): boolean {
  return mayRead(reader, Scope.PAYLOADS_READ);
}

/** Whether the caller has this scope: for a field of which a part needs one more. */
export function mayRead(reader: Reader, scope: Scope): boolean {
  return lacking(reader, [scope]) === undefined;
}

function lacking(reader: Reader, need: Need): Scope | undefined {
  if ('isHub' in reader) return undefined;
  return need.find((scope) => reader.caller?.scopes.has(scope) !== true);
}

/** Puts the table above in front of the resolvers of a schema. */
export function guardFields(schema: GraphQLSchema): void {
  const undecided: string[] = [];
  for (const type of Object.values(schema.getTypeMap()))
    if (isObjectType(type) && !isIntrospectionType(type) && !PARTS.test(type.name) && !MORE_PARTS.has(type.name))
      undecided.push(...guardType(type));
  if (undecided.length > 0) throw new Error(`src/api/field-access.ts does not say who may read ${undecided.join(', ')}`);
}

/** Returns the fields that nothing is decided on. */
function guardType(type: GraphQLObjectType): string[] {
  const undecided: string[] = [];
  for (const [name, field] of Object.entries(type.getFields())) {
    const need = RECORDS[type.name]?.[name];
    if (need === undefined) undecided.push(`${type.name}.${name}`);
    else if (need.length > 0) field.resolve = guarded(field.resolve ?? defaultFieldResolver, need, isNonNullType(field.type));
  }
  return undecided;
}

/** Synchronous where the resolver is: events are shown to their followers without a promise. */
function guarded(resolve: GraphQLFieldResolver<unknown, Reader>, need: Need, isNonNull: boolean): GraphQLFieldResolver<unknown, Reader> {
  return (source, args, context, info) => {
    const scope = lacking(context, need);
    if (scope === undefined) return resolve(source, args, context, info);
    if (isNonNull) throw new HubError('FORBIDDEN', `The key lacks the scope ${scope}.`);
    return null;
  };
}

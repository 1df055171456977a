import {
  buildSchema,
  type GraphQLArgument,
  type GraphQLNamedType,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedScalarType,
  printType,
} from 'graphql';
import { createSchema } from '../../src/api/schema';
import { expectContract } from '../support/contract-file';

/** The part of the promised API that is built: names and types stay as they are here, whatever is added around them. */
const PROMISED = /* GraphQL */ `
  scalar JSON
  scalar DateTime
  scalar SafeInt

  type Mutation {
    applicationCreate(input: ApplicationCreateInput!): ApplicationPayload!
    applicationUpdate(id: ID!, input: ApplicationUpdateInput!): ApplicationPayload!
    applicationDelete(id: ID!): ApplicationDeletePayload!
    apiKeyCreate(input: ApiKeyCreateInput!): ApiKeyCreatePayload!
    apiKeyRevoke(id: ID!): ApiKeyPayload!
    webhookCreate(input: WebhookCreateInput!): WebhookCreatePayload!
    webhookUpdate(id: ID!, input: WebhookUpdateInput!): WebhookPayload!
    webhookDelete(id: ID!): WebhookDeletePayload!
    webhookPause(id: ID!): WebhookPayload!
    webhookResume(id: ID!): WebhookPayload!
    eventPublish(input: EventPublishInput!): EventPublishPayload!
    eventsPublish(input: EventsPublishInput!): EventsPublishPayload!
    deliveryRetry(id: ID!): DeliveryPayload!
    deliveryCancel(id: ID!): DeliveryPayload!
    eventTypeRegister(input: EventTypeRegisterInput!): EventTypePayload!
    webhookSecretRotate(id: ID!, input: WebhookSecretRotateInput): WebhookSecretRotatePayload!
    webhookTest(id: ID!, input: WebhookTestInput!): WebhookTestPayload!
    deliveriesRetry(input: DeliveriesRetryInput!): RetryJobPayload!
    retryJobCancel(id: ID!): RetryJobPayload!
  }

  enum Ordering { NONE STRICT BY_KEY }
  enum SigningScheme { V1 V1A }
  enum StatsWindow { HOUR DAY WEEK }
  type PayloadPreview { body: String errors: [String!]! }
  type WebhookStats { attempts: SafeInt! succeeded: SafeInt! failed: SafeInt! p50Ms: Int p95Ms: Int p99Ms: Int }
  input WebhookTestInput { eventType: String! payload: JSON! }
  input WebhookSecretRotateInput { secret: String overlapSeconds: Int }
  input EventTypeRegisterInput { applicationId: ID name: String! description: String schema: JSON }
  input DeliveriesRetryInput { applicationId: ID filter: DeliveryFilter dryRun: Boolean }
  type EventTypePayload { eventType: EventType userErrors: [UserError!]! }
  type EventType { name: String! description: String schema: JSON }
  type EventTypeConnection { edges: [EventTypeEdge!]! pageInfo: PageInfo! }
  type EventTypeEdge { cursor: String! node: EventType! }
  type WebhookSecretRotatePayload { webhook: Webhook signingSecret: String previousExpiresAt: DateTime userErrors: [UserError!]! }
  type WebhookTestPayload { attempt: Attempt userErrors: [UserError!]! }
  type RetryJobPayload { retryJob: RetryJob userErrors: [UserError!]! }
  type RetryJob implements Node { id: ID! total: SafeInt! done: SafeInt! failed: SafeInt! status: RetryJobStatus! }
  enum RetryJobStatus { RUNNING COMPLETED CANCELLED DRY_RUN }
  enum WebhookHealth { HEALTHY PAYLOAD_QUERY_INVALID }

  input ApplicationCreateInput { key: String name: String! metadata: JSON }
  input ApplicationUpdateInput { key: String name: String metadata: JSON }
  input ApiKeyCreateInput { applicationId: ID name: String scopes: [Scope!] expiresAt: DateTime }
  enum Scope { EVENTS_PUBLISH EVENTS_READ WEBHOOKS_WRITE WEBHOOKS_READ DELIVERIES_WRITE DELIVERIES_READ }
  input EventPublishInput { applicationId: ID type: String! payload: JSON! idempotencyKey: String orderingKey: String occurredAt: DateTime }
  input EventsPublishInput { applicationId: ID events: [EventPublishInput!]! }
  input HeaderInput { name: String! value: String! }
  input WebhookCreateInput {
    applicationId: ID
    url: String!
    description: String
    eventTypes: [String!]
    headers: [HeaderInput!]
    retrySchedule: [Int!]
    timeoutSeconds: Int
    maxConcurrency: Int
    secret: String
    filter: JSON
    payloadQuery: String
    ratePerSecond: Float
    ordering: Ordering
    signing: [SigningScheme!]
  }
  input WebhookUpdateInput {
    url: String
    description: String
    eventTypes: [String!]
    headers: [HeaderInput!]
    retrySchedule: [Int!]
    timeoutSeconds: Int
    maxConcurrency: Int
    expectedVersion: Int
  }
  input DeliveryFilter { webhookIds: [ID!] eventIds: [ID!] eventTypes: [String!] statuses: [DeliveryStatus!] createdAfter: DateTime createdBefore: DateTime }
  input EventFilter { types: [String!] idempotencyKey: String createdAfter: DateTime createdBefore: DateTime }
  input WebhookFilter { statuses: [WebhookStatus!] url: String }

  type UserError { field: [String!]! message: String! code: UserErrorCode! }
  enum UserErrorCode { REQUIRED INVALID TOO_LARGE NOT_FOUND TAKEN CONFLICT LIMIT_REACHED }
  type ApplicationPayload { application: Application userErrors: [UserError!]! }
  type ApplicationDeletePayload { application: Application userErrors: [UserError!]! }
  type ApiKeyPayload { apiKey: ApiKey userErrors: [UserError!]! }
  type ApiKeyCreatePayload { apiKey: ApiKey token: String userErrors: [UserError!]! }
  type WebhookPayload { webhook: Webhook userErrors: [UserError!]! }
  type WebhookCreatePayload { webhook: Webhook signingSecret: String userErrors: [UserError!]! }
  type WebhookDeletePayload { webhook: Webhook userErrors: [UserError!]! }
  type EventPublishPayload { event: Event deduplicated: Boolean! userErrors: [UserError!]! }
  type EventsPublishPayload { results: [EventPublishPayload!]! userErrors: [UserError!]! }
  type DeliveryPayload { delivery: Delivery userErrors: [UserError!]! }

  type Query {
    viewer: Viewer!
    node(id: ID!): Node
    application(id: ID, key: String): Application
    applications(first: Int = 50, after: String): ApplicationConnection!
    webhook(id: ID!): Webhook
    webhooks(applicationId: ID, first: Int = 50, after: String, filter: WebhookFilter): WebhookConnection!
    event(id: ID!): Event
    events(applicationId: ID, first: Int = 50, after: String, filter: EventFilter): EventConnection!
    delivery(id: ID!): Delivery
    deliveries(applicationId: ID, first: Int = 50, after: String, filter: DeliveryFilter): DeliveryConnection!
    eventTypes(applicationId: ID, first: Int = 50, after: String): EventTypeConnection!
    payloadPreview(payloadQuery: String!, eventId: ID): PayloadPreview!
  }
  type Subscription {
    event(applicationId: ID, types: [String!], filter: JSON, after: String): Event!
    retryJob(id: ID!): RetryJob!
    deliveryUpdates(applicationId: ID, filter: DeliveryFilter, after: String, maxBatch: Int = 100, intervalMs: Int = 100): DeliveryUpdatePage!
  }

  interface Node { id: ID! }
  type Viewer { application: Application apiKey: ApiKey! }
  type Application implements Node { id: ID! key: String name: String! metadata: JSON createdAt: DateTime! }
  type ApiKey implements Node { id: ID! name: String! scopes: [Scope!]! createdAt: DateTime! expiresAt: DateTime }
  type Event implements Node {
    id: ID!
    sequence: SafeInt!
    cursor: String!
    type: String!
    payload: JSON!
    get(path: String!): JSON
    idempotencyKey: String
    orderingKey: String
    occurredAt: DateTime!
    createdAt: DateTime!
    deliveries(first: Int = 50, after: String): DeliveryConnection!
  }
  type Header { name: String! value: String! }
  type Webhook implements Node {
    id: ID!
    url: String!
    description: String
    eventTypes: [String!]!
    headers: [Header!]!
    retrySchedule: [Int!]!
    timeoutSeconds: Int!
    maxConcurrency: Int!
    filter: JSON
    payloadQuery: String
    ratePerSecond: Float
    ordering: Ordering!
    signing: [SigningScheme!]!
    publicKey: String
    health: WebhookHealth!
    healthReason: String
    stats(window: StatsWindow = DAY): WebhookStats!
    secretHint: String!
    status: WebhookStatus!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
    deliveries(first: Int = 50, after: String, filter: DeliveryFilter): DeliveryConnection!
  }
  enum WebhookStatus { ACTIVE PAUSED DISABLED }
  type Delivery implements Node {
    id: ID!
    eventId: ID!
    eventType: String!
    sequence: SafeInt!
    webhookId: ID!
    event: Event
    webhook: Webhook
    status: DeliveryStatus!
    attemptCount: Int!
    nextAttemptAt: DateTime
    createdAt: DateTime!
    completedAt: DateTime
    requestBody: String
    attempts(first: Int = 50, after: String): AttemptConnection!
  }
  enum DeliveryStatus { PENDING RETRYING SUCCEEDED FAILED CANCELLED }
  type Attempt implements Node {
    id: ID!
    number: Int!
    trigger: AttemptTrigger!
    startedAt: DateTime!
    durationMs: Int!
    outcome: AttemptOutcome!
    statusCode: Int
    error: String
    requestHeaders: [Header!]!
    responseHeaders: [Header!]!
    responseBody: String
    responseTruncated: Boolean!
    curl: String!
  }
  enum AttemptTrigger { FIRST AUTOMATIC MANUAL TEST }
  enum AttemptOutcome { SUCCESS HTTP_ERROR TIMEOUT DNS CONNECT TLS BLOCKED_ADDRESS REDIRECT PAYLOAD_ERROR }
  type DeliveryUpdatePage { updates: [DeliveryUpdate!]! cursor: String! }
  type DeliveryUpdate { delivery: Delivery! attempt: Attempt status: DeliveryStatus! at: DateTime! }

  type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
  type ApplicationConnection { edges: [ApplicationEdge!]! pageInfo: PageInfo! }
  type ApplicationEdge { cursor: String! node: Application! }
  type WebhookConnection { edges: [WebhookEdge!]! pageInfo: PageInfo! }
  type WebhookEdge { cursor: String! node: Webhook! }
  type EventConnection { edges: [EventEdge!]! pageInfo: PageInfo! }
  type EventEdge { cursor: String! node: Event! }
  type DeliveryConnection { edges: [DeliveryEdge!]! pageInfo: PageInfo! }
  type DeliveryEdge { cursor: String! node: Delivery! }
  type AttemptConnection { edges: [AttemptEdge!]! pageInfo: PageInfo! }
  type AttemptEdge { cursor: String! node: Attempt! }
`;

const ROOTS = ['Query', 'Mutation', 'Subscription'];

function ownTypes(schema: GraphQLSchema): GraphQLNamedType[] {
  const place = ({ name }: GraphQLNamedType) => (ROOTS.includes(name) ? ROOTS.indexOf(name) : ROOTS.length);
  return Object.values(schema.getTypeMap())
    .filter((type) => !isIntrospectionType(type) && !isSpecifiedScalarType(type))
    .sort((a, b) => place(a) - place(b) || (a.name < b.name ? -1 : 1));
}

interface Member {
  readonly path: string;
  readonly description: string | null | undefined;
  /** As SDL; of an enum value nothing. */
  readonly signature: string;
}

const argumentMember = (path: string, { name, type, defaultValue, description }: GraphQLArgument): Member => ({
  path: `${path}(${name}:)`,
  description,
  signature: `${type}${defaultValue === undefined ? '' : ` = ${JSON.stringify(defaultValue)}`}`,
});

/** Everything that has a name: types, fields, arguments, input fields, enum values. */
function membersOf(schema: GraphQLSchema): Member[] {
  return ownTypes(schema).flatMap((type): Member[] => {
    const own: Member = { path: type.name, description: type.description, signature: type.constructor.name };
    if (isEnumType(type))
      return [own, ...type.getValues().map(({ name, description }) => ({ path: `${type.name}.${name}`, description, signature: '' }))];
    if (isInputObjectType(type))
      return [
        own,
        ...Object.values(type.getFields()).map((field) => ({
          path: `${type.name}.${field.name}`,
          description: field.description,
          signature: String(field.type),
        })),
      ];
    if (!isObjectType(type) && !isInterfaceType(type)) return [own];
    const interfaces = type
      .getInterfaces()
      .map(({ name }): Member => ({ path: `${type.name} implements ${name}`, description: name, signature: '' }));
    return [
      own,
      ...interfaces,
      ...Object.values(type.getFields()).flatMap((field) => {
        const path = `${type.name}.${field.name}`;
        return [
          { path, description: field.description, signature: String(field.type) },
          ...field.args.map((arg) => argumentMember(path, arg)),
        ];
      }),
    ];
  });
}

describe('The GraphQL schema', () => {
  test('is the one in schema/schema.graphql', async () => {
    const types = ownTypes(await createSchema()).map((type) => printType(type));
    expectContract('schema.graphql', `${types.join('\n\n')}\n`);
  });

  test('has everything that is promised, with the same types and defaults', async () => {
    const emitted = new Map(membersOf(await createSchema()).map(({ path, signature }) => [path, signature]));
    const promised = membersOf(buildSchema(PROMISED)).map(({ path, signature }) => [path, signature]);
    expect(promised.map(([path = '']) => [path, emitted.get(path)])).toEqual(promised);
  });

  test('asks for no argument beyond those promised', async () => {
    const promised = new Set(membersOf(buildSchema(PROMISED)).map(({ path }) => path));
    const added = membersOf(await createSchema()).filter(
      ({ path, signature }) => path.includes('(') && !promised.has(path) && signature.endsWith('!'),
    );
    expect(added.filter(({ path }) => promised.has(path.replace(/\(.*/, '')))).toEqual([]);
  });

  test('describes everything', async () => {
    expect(
      membersOf(await createSchema())
        .filter(({ description }) => !description?.trim())
        .map(({ path }) => path),
    ).toEqual([]);
  });
});

import 'reflect-metadata';
import { type GraphQLObjectType, GraphQLScalarType, type GraphQLSchema } from 'graphql';
import { GraphQLDateTime } from 'graphql-scalars';
import { buildSchemaSync, type PubSub } from 'type-graphql';
import { ApiKey } from '../applications/api-key';
import { Application } from '../applications/application';
import { Attempt } from '../attempts/attempt';
import { Delivery } from '../deliveries/delivery';
import { Event } from '../events/event';
import { JSON_NULL } from '../json-source';
import { RetryJob } from '../replay/retry-job';
import { Webhook } from '../webhooks/webhook';
import { auditFields } from './audit-fields';
import { countFields } from './count-fields';
import { plainArguments } from './exact-variables';
import { guardFields } from './field-access';
import { parseJsonLiteral } from './json-literal';
import { shapeExactly } from './payload-queries';
import { ApiKeyResolver } from './resolvers/api-key-resolver';
import { ApplicationResolver } from './resolvers/application-resolver';
import { AuditResolver } from './resolvers/audit-resolver';
import { AttemptResolver, DeliveryResolver, DeliveryUpdateResolver } from './resolvers/delivery-resolver';
import { EventResolver } from './resolvers/event-resolver';
import { EventTypeResolver } from './resolvers/event-type-resolver';
import { HubResolver } from './resolvers/hub-resolver';
import { NodeResolver } from './resolvers/node-resolver';
import { PreviewResolver } from './resolvers/preview-resolver';
import { RetryJobResolver } from './resolvers/retry-job-resolver';
import { WebhookResolver } from './resolvers/webhook-resolver';
import { WebhookTestResolver } from './resolvers/webhook-test-resolver';
import { HealthHistoryResolver, WebhookUpdateResolver } from './resolvers/webhook-update-resolver';

/** type-graphql wants one for any subscription; ours bring their own iterators and never touch it. */
const unusedPubSub: PubSub = {
  publish: () => {
    throw new Error('subscriptions are fed by live/, not by a PubSub');
  },
  subscribe: () => {
    throw new Error('subscriptions are fed by live/, not by a PubSub');
  },
};

/** type-graphql has no place for them. */
const ROOT_DESCRIPTIONS = {
  Query: 'What there is. Lists are Relay connections: page on with `after`.',
  Mutation: 'What can be done. A payload holds the result, or in `userErrors` what is wrong with the input.',
  Subscription: 'What happens, as it happens: over a WebSocket (`graphql-transport-ws`) or server-sent events.',
} as const;

/** The library names no specification of it, which code generators and clients look for. */
const DateTime = new GraphQLScalarType({
  ...GraphQLDateTime.toConfig(),
  specifiedByURL: 'https://datatracker.ietf.org/doc/html/rfc3339#section-5.6',
});

/**
 * `Event.payload` is `JSON!`, in every client that was ever generated, since each event has one. Of an event whose payload
 * is JSON's null GraphQL would take the whole answer back, so it gets to see an object that is written as null.
 */
function answerNullPayloads(schema: GraphQLSchema): void {
  const field = (schema.getType('Event') as GraphQLObjectType).getFields().payload;
  if (field) field.resolve = (event) => (event as Event).payload ?? JSON_NULL;
}

export function createSchema(): GraphQLSchema {
  const schema = buildSchemaSync({
    resolvers: [
      ApplicationResolver,
      ApiKeyResolver,
      AuditResolver,
      WebhookResolver,
      WebhookTestResolver,
      EventResolver,
      EventTypeResolver,
      DeliveryResolver,
      DeliveryUpdateResolver,
      AttemptResolver,
      RetryJobResolver,
      HubResolver,
      PreviewResolver,
      WebhookUpdateResolver,
      HealthHistoryResolver,
      NodeResolver,
    ],
    orphanedTypes: [Application, ApiKey, Webhook, Event, Delivery, Attempt, RetryJob],
    scalarsMap: [{ type: Date, scalar: DateTime }],
    pubSub: unusedPubSub,
    validate: false, // the stages check their input and answer with `userErrors`
    emitSchemaFile: false,
  });
  for (const [name, description] of Object.entries(ROOT_DESCRIPTIONS)) {
    const root = schema.getType(name);
    if (root) root.description = description;
  }
  answerNullPayloads(schema);
  shapeExactly(schema);
  plainArguments(schema);
  guardFields(schema);
  auditFields(schema);
  countFields(schema);
  (schema.getType('JSON') as GraphQLScalarType).parseLiteral = parseJsonLiteral;
  return schema;
}

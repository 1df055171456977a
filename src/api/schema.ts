import 'reflect-metadata';
import type { GraphQLSchema } from 'graphql';
import { GraphQLDateTime } from 'graphql-scalars';
import { buildSchema, type PubSub } from 'type-graphql';
import { ApiKey } from '../applications/api-key';
import { Application } from '../applications/application';
import { Attempt } from '../attempts/attempt';
import { Delivery } from '../deliveries/delivery';
import { Event } from '../events/event';
import { Webhook } from '../webhooks/webhook';
import { ApiKeyResolver } from './resolvers/api-key-resolver';
import { ApplicationResolver } from './resolvers/application-resolver';
import { AttemptResolver, DeliveryResolver, DeliveryUpdateResolver } from './resolvers/delivery-resolver';
import { EventResolver } from './resolvers/event-resolver';
import { EventTypeResolver } from './resolvers/event-type-resolver';
import { NodeResolver } from './resolvers/node-resolver';
import { WebhookResolver } from './resolvers/webhook-resolver';
import { WebhookTestResolver } from './resolvers/webhook-test-resolver';

/** type-graphql wants one for any subscription; ours bring their own iterators and never touch it. */
const unusedPubSub: PubSub = {
  publish: () => {
    throw new Error('subscriptions are fed by live/, not by a PubSub');
  },
  subscribe: () => {
    throw new Error('subscriptions are fed by live/, not by a PubSub');
  },
};

export function createSchema(): Promise<GraphQLSchema> {
  return buildSchema({
    resolvers: [
      ApplicationResolver,
      ApiKeyResolver,
      WebhookResolver,
      WebhookTestResolver,
      EventResolver,
      EventTypeResolver,
      DeliveryResolver,
      DeliveryUpdateResolver,
      AttemptResolver,
      NodeResolver,
    ],
    orphanedTypes: [Application, ApiKey, Webhook, Event, Delivery, Attempt],
    scalarsMap: [{ type: Date, scalar: GraphQLDateTime }],
    pubSub: unusedPubSub,
    validate: false, // the stages check their input and answer with `userErrors`
    emitSchemaFile: false,
  });
}

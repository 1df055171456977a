import { GraphQLJSON } from 'graphql-scalars';
import { Arg, Ctx, Field, FieldResolver, Float, ID, InputType, Int, Mutation, ObjectType, Query, Resolver, Root } from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { Delivery } from '../../deliveries/delivery';
import { applicationIdOf, isId, webhookIdOf } from '../../ids';
import { type Diagnosis, diagnose } from '../../webhooks/health';
import { SigningScheme, Webhook, WebhookHealth, WebhookStatus } from '../../webhooks/webhook';
import { refuseUnknownWebhook } from '../../webhooks/webhooks';
import { type Connection, connection, connectionType, pageRequest } from '../connection';
import { applicationFor, type Context, maySee, requireScope } from '../context';
import { type Answer, answer, UserError } from '../user-error';
import { StatsWindow, WebhookStats, WINDOW_MS } from '../webhook-stats';
import { checkFilter, DeliveryConnection, DeliveryFilter, deliveryConnection } from './delivery-resolver';

@InputType()
export class HeaderInput {
  @Field(() => String)
  name!: string;

  @Field(() => String)
  value!: string;
}

@InputType()
abstract class WebhookSettingsInput {
  @Field(() => String, { nullable: true })
  description?: string | null;

  @Field(() => [String], {
    nullable: true,
    description:
      'Names or wildcards: "order.*", "*.created"; default ["*"], which leaves out the hub\'s own events: name those as "livehook.*".',
  })
  eventTypes?: string[] | null;

  @Field(() => [HeaderInput], { nullable: true, description: 'Sent with every request; names of the hub and of HTTP itself are refused.' })
  headers?: HeaderInput[] | null;

  @Field(() => [Int], { nullable: true, description: 'Seconds between attempts; default: LIVEHOOK_RETRY_SCHEDULE.' })
  retrySchedule?: number[] | null;

  @Field(() => Int, { nullable: true, description: '1 to 30, default 15.' })
  timeoutSeconds?: number | null;

  @Field(() => Int, { nullable: true, description: 'Requests in flight to this webhook, default 10.' })
  maxConcurrency?: number | null;

  @Field(() => Float, { nullable: true, description: 'The most requests a second: above 0, at most 1,000; null: unlimited.' })
  ratePerSecond?: number | null;

  @Field(() => GraphQLJSON, {
    nullable: true,
    description:
      'A Mongo-style condition on { type, payload }: $eq $ne $gt $gte $lt $lte $in $nin $exists $startsWith $endsWith $and $or $not $elemMatch.',
  })
  filter?: unknown;

  @Field(() => String, {
    nullable: true,
    description: 'A subscription document with the single root field `event` that shapes the body; its types and filter select, too.',
  })
  payloadQuery?: string | null;

  @Field(() => [SigningScheme], { nullable: true, description: 'Default [V1].' })
  signing?: SigningScheme[] | null;
}

@InputType()
export class WebhookCreateInput extends WebhookSettingsInput {
  @Field(() => ID, { nullable: true })
  applicationId?: string | null;

  @Field(() => String)
  url!: string;

  @Field(() => String, { nullable: true, description: 'whsec_…; generated when absent.' })
  secret?: string | null;
}

@InputType({ description: 'An omitted field stays as it is, null puts the default back.' })
export class WebhookUpdateInput extends WebhookSettingsInput {
  @Field(() => String, { nullable: true })
  url?: string | null;

  @Field(() => Int, { nullable: true, description: 'Refused with CONFLICT unless the webhook is still at this version.' })
  expectedVersion?: number | null;
}

@InputType()
export class WebhookSecretRotateInput {
  @Field(() => String, { nullable: true, description: 'whsec_…; generated when absent.' })
  secret?: string | null;

  @Field(() => Int, { defaultValue: 86_400, description: 'How long the old secrets go on signing beside the new: up to 7 days.' })
  overlapSeconds!: number;
}

@InputType()
export class WebhookFilter {
  @Field(() => [WebhookStatus], { nullable: true })
  statuses?: WebhookStatus[] | null;

  @Field(() => String, { nullable: true, description: 'Only webhooks with exactly this URL.' })
  url?: string | null;
}

@ObjectType()
export class WebhookPayload {
  @Field(() => Webhook, { nullable: true })
  webhook?: Webhook | null;

  @Field(() => [UserError])
  userErrors!: UserError[];
}

@ObjectType()
export class WebhookCreatePayload extends WebhookPayload {
  @Field(() => String, { nullable: true, description: 'Shown this once. Null where the webhook signs with V1A alone: read its publicKey.' })
  signingSecret?: string | null;
}

@ObjectType()
export class WebhookDeletePayload extends WebhookPayload {
  @Field(() => ID, { nullable: true })
  deletedId?: string | null;
}

@ObjectType()
export class WebhookSecretRotatePayload extends WebhookPayload {
  @Field(() => String, { nullable: true, description: 'Shown this once. Null where the webhook signs with V1A alone: read its publicKey.' })
  signingSecret?: string | null;

  @Field(() => Date, { nullable: true, description: 'Until when the old secrets sign, too.' })
  previousExpiresAt?: Date | null;
}

const WebhookConnection = connectionType(Webhook);

@Resolver(() => Webhook)
export class WebhookResolver {
  @FieldResolver(() => [Int], { description: 'Seconds between attempts.' })
  retrySchedule(@Ctx() context: Context, @Root() webhook: Webhook): readonly number[] {
    return webhook.ownRetrySchedule ?? context.services.defaultRetrySchedule;
  }

  @FieldResolver(() => WebhookHealth)
  async health(@Ctx() context: Context, @Root() webhook: Webhook): Promise<WebhookHealth> {
    return (await diagnosis(context, webhook)).health;
  }

  @FieldResolver(() => String, { nullable: true, description: 'In plain words; null while it is healthy.' })
  async healthReason(@Ctx() context: Context, @Root() webhook: Webhook): Promise<string | null> {
    return (await diagnosis(context, webhook)).reason;
  }

  @FieldResolver(() => WebhookStats, { description: 'How its attempts went.' })
  async stats(
    @Ctx() { services }: Context,
    @Root() webhook: Webhook,
    @Arg('window', () => StatsWindow, { defaultValue: StatsWindow.DAY }) window: StatsWindow,
  ): Promise<WebhookStats> {
    return services.stats.read(webhook.id, WINDOW_MS[window]);
  }

  @FieldResolver(() => DeliveryConnection, { description: 'Newest first.' })
  async deliveries(
    @Ctx() context: Context,
    @Root() webhook: Webhook,
    @Arg('first', () => Int, { defaultValue: 50 }) first: number,
    @Arg('after', () => String, { nullable: true }) after?: string | null,
    @Arg('filter', () => DeliveryFilter, { nullable: true }) filter?: DeliveryFilter | null,
  ): Promise<Connection<Delivery>> {
    requireScope(context, Scope.DELIVERIES_READ);
    const { webhookIds, ...selection } = checkFilter(filter);
    const isWanted = !webhookIds || webhookIds.includes(webhook.id);
    return deliveryConnection(
      { first, after },
      (delivery) => webhookIdOf(delivery) === webhook.id,
      (page) => context.services.deliveries.list(webhook.applicationId, { ...selection, webhookIds: isWanted ? [webhook.id] : [] }, page),
    );
  }

  @Query(() => Webhook, { nullable: true })
  async webhook(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Webhook | null> {
    return (await maySee(context, Scope.WEBHOOKS_READ, id)) ? context.services.webhooks.byId(id) : null;
  }

  @Query(() => WebhookConnection)
  async webhooks(
    @Ctx() context: Context,
    @Arg('first', () => Int, { defaultValue: 50 }) first: number,
    @Arg('applicationId', () => ID, { nullable: true }) applicationId?: string | null,
    @Arg('after', () => String, { nullable: true }) after?: string | null,
    @Arg('filter', () => WebhookFilter, { nullable: true }) filter?: WebhookFilter | null,
  ): Promise<Connection<Webhook>> {
    const owner = applicationFor(context, Scope.WEBHOOKS_READ, applicationId, 'argument');
    const request = pageRequest({ first, after }, (cursor) =>
      decodeKeyCursor(cursor, (key) => isId('whk', key) && applicationIdOf(key) === owner),
    );
    return connection(await context.services.webhooks.list(owner, filter ?? {}, request), (row) => encodeKeyCursor(row.id), request);
  }

  @Mutation(() => WebhookCreatePayload)
  async webhookCreate(
    @Ctx() context: Context,
    @Arg('input', () => WebhookCreateInput) input: WebhookCreateInput,
  ): Promise<Answer<WebhookCreatePayload>> {
    return answer(async () =>
      context.services.webhooks.create(applicationFor(context, Scope.WEBHOOKS_WRITE, input.applicationId, 'input'), input),
    );
  }

  @Mutation(() => WebhookPayload)
  async webhookUpdate(
    @Ctx() context: Context,
    @Arg('id', () => ID) id: string,
    @Arg('input', () => WebhookUpdateInput) input: WebhookUpdateInput,
  ): Promise<Answer<WebhookPayload>> {
    return answer(async () => ({ webhook: await context.services.webhooks.update(await own(context, id), input) }));
  }

  @Mutation(() => WebhookDeletePayload, { description: 'What still waits for it is cancelled.' })
  async webhookDelete(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Answer<WebhookDeletePayload>> {
    return answer(async () => ({ webhook: await context.services.webhooks.delete(await own(context, id)), deletedId: id }));
  }

  @Mutation(() => WebhookPayload, { description: 'Events keep being stored as deliveries; nothing is sent.' })
  async webhookPause(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Answer<WebhookPayload>> {
    return answer(async () => ({ webhook: await context.services.webhooks.pause(await own(context, id)) }));
  }

  @Mutation(() => WebhookPayload, { description: 'Sends again, beginning with what waited; enables a disabled webhook.' })
  async webhookResume(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Answer<WebhookPayload>> {
    return answer(async () => ({ webhook: await context.services.webhooks.resume(await own(context, id)) }));
  }

  @Mutation(() => WebhookSecretRotatePayload, { description: 'New secrets; the old ones go on signing beside them for a while.' })
  async webhookSecretRotate(
    @Ctx() context: Context,
    @Arg('id', () => ID) id: string,
    @Arg('input', () => WebhookSecretRotateInput, { nullable: true }) input?: WebhookSecretRotateInput | null,
  ): Promise<Answer<WebhookSecretRotatePayload>> {
    return answer(async () => context.services.webhooks.rotateSecret(await own(context, id), input ?? { overlapSeconds: 86_400 }));
  }
}

async function diagnosis(context: Context, webhook: Webhook): Promise<Diagnosis> {
  return diagnose(webhook, {
    payloadQueryProblem: payloadQueryProblem(context, webhook),
    stored: await context.loaders.storedHealth.load(webhook.id),
    caution: context.services.caution(webhook.id, webhook.version),
  });
}

function payloadQueryProblem({ services }: Context, { payloadQuery }: Webhook): string | null {
  return payloadQuery === null ? null : services.compilePayloadQuery(payloadQuery).problem;
}

async function own(context: Context, id: string): Promise<string> {
  return (await maySee(context, Scope.WEBHOOKS_WRITE, id)) ? id : refuseUnknownWebhook(id);
}

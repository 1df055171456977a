import { GraphQLJSON } from 'graphql-scalars';
import { Arg, Ctx, Field, FieldResolver, ID, InputType, Int, Mutation, ObjectType, Query, Resolver, Root } from 'type-graphql';
import type { ApiKey } from '../../applications/api-key';
import { Application } from '../../applications/application';
import { decodeKeyCursor, encodeCursor, encodeKeyCursor, type LogName } from '../../cursor';
import { HubError } from '../../errors';
import { isId } from '../../ids';
import type { Webhook } from '../../webhooks/webhook';
import { After, type Connection, connection, connectionType, First, pageRequest } from '../connection';
import { type Context, requireAdmin, requireCaller } from '../context';
import { readSeries } from '../series';
import { type Answer, answer, type UserError, UserErrors } from '../user-error';
import { DeliveryBacklog, From, SeriesStep, StatsPoint, Step, To } from '../webhook-stats';
import { ApiKeyConnection, keyConnection } from './api-key-resolver';
import { OrderBy, WebhookConnection, WebhookFilter, type WebhookOrder, webhookConnection } from './webhook-resolver';

@InputType({ description: 'A new application.' })
export class ApplicationCreateInput {
  @Field(() => String, { nullable: true, description: 'Your own unique name for it, such as a customer number.' })
  key?: string | null;

  @Field(() => String, { description: 'What people call it.' })
  name!: string;

  @Field(() => GraphQLJSON, { nullable: true, description: 'Whatever you want to keep with it: at most 65,536 characters of JSON.' })
  metadata?: unknown;

  @Field(() => Int, {
    nullable: true,
    description: 'Days that events, deliveries and attempts are kept: 1 to 3650; null: LIVEHOOK_RETENTION.',
  })
  retentionDays?: number | null;
}

@InputType({ description: 'An omitted field stays as it is, null clears it.' })
export class ApplicationUpdateInput {
  @Field(() => String, { nullable: true, description: 'Your own unique name for it.' })
  key?: string | null;

  @Field(() => String, { nullable: true, description: 'What people call it.' })
  name?: string;

  @Field(() => GraphQLJSON, { nullable: true, description: 'Whatever you want to keep with it.' })
  metadata?: unknown;

  @Field(() => Int, {
    nullable: true,
    description: 'Days that events, deliveries and attempts are kept: 1 to 3650; null: LIVEHOOK_RETENTION.',
  })
  retentionDays?: number | null;
}

@ObjectType({ description: 'An application.' })
export class ApplicationPayload {
  @Field(() => Application, { nullable: true, description: 'As it is now.' })
  application?: Application | null;

  @UserErrors()
  userErrors!: UserError[];
}

@ObjectType({ description: 'What was deleted.' })
export class ApplicationDeletePayload {
  @Field(() => ID, { nullable: true, description: 'The id that is gone.' })
  deletedId?: string | null;

  @Field(() => Application, { nullable: true, description: 'As it was.' })
  application?: Application | null;

  @UserErrors()
  userErrors!: UserError[];
}

const ApplicationConnection = connectionType(Application);

@Resolver(() => Application)
export class ApplicationResolver {
  @FieldResolver(() => String, {
    description:
      'The present end of the event log: what `event(after: …)` shows from here on begins with the very next event. Needs the scope EVENTS_READ.',
  })
  eventCursor(@Ctx() context: Context, @Root() application: Application): Promise<string> {
    return endOf(context, 'event', application.id);
  }

  @FieldResolver(() => String, {
    description: 'The present end of the list of delivery updates, for `deliveryUpdates(after: …)`. Needs the scope DELIVERIES_READ.',
  })
  updateCursor(@Ctx() context: Context, @Root() application: Application): Promise<string> {
    return endOf(context, 'update', application.id);
  }

  @FieldResolver(() => String, {
    description: 'The present end of the list of webhook updates, for `webhookUpdates(after: …)`. Needs the scope WEBHOOKS_READ.',
  })
  webhookCursor(@Ctx() context: Context, @Root() application: Application): Promise<string> {
    return endOf(context, 'webhook', application.id);
  }

  @FieldResolver(() => WebhookConnection, { description: 'Its webhooks, as `webhooks` lists them. Needs the scope WEBHOOKS_READ.' })
  webhooks(
    @Ctx() context: Context,
    @Root() { id }: Application,
    @First() first?: number | null,
    @After() after?: string | null,
    @Arg('filter', () => WebhookFilter, { nullable: true, description: 'Only those that match all of it.' }) filter?: WebhookFilter | null,
    @OrderBy() orderBy?: WebhookOrder | null,
  ): Promise<Connection<Webhook>> {
    return webhookConnection(context, id, { first, after, filter, orderBy });
  }

  @FieldResolver(() => ApiKeyConnection, { description: 'Its keys, as `apiKeys` lists them. Needs the scope AUDIT_READ.' })
  keys(
    @Ctx() context: Context,
    @Root() { id }: Application,
    @First() first?: number | null,
    @After() after?: string | null,
  ): Promise<Connection<ApiKey>> {
    return context.budget.reading(() => keyConnection(context, id, { first, after }));
  }

  @FieldResolver(() => DeliveryBacklog, { description: 'What its webhooks are to get yet. Needs the scope DELIVERIES_READ.' })
  backlog(@Ctx() { services, budget }: Context, @Root() { id }: Application): Promise<DeliveryBacklog> {
    return budget.reading(() => services.unfinished(id));
  }

  @FieldResolver(() => [StatsPoint], {
    description:
      'How the attempts of all its webhooks went a step, oldest first, deleted ones and steps without an attempt among them. Kept for 7 days, however long deliveries are. Needs the scope DELIVERIES_READ.',
  })
  async series(
    @Ctx() { services, budget }: Context,
    @Root() { id }: Application,
    @From() from: Date,
    @To() to?: Date | null,
    @Step() step?: SeriesStep | null,
  ): Promise<readonly StatsPoint[]> {
    return readSeries({ services, budget }, id, { from, to, step });
  }

  @Query(() => Application, {
    nullable: true,
    description: 'By its id or by your own key for it; without either, the one the key belongs to.',
  })
  async application(
    @Ctx() context: Context,
    @Arg('id', () => ID, { nullable: true, description: 'Its id.' }) id?: string | null,
    @Arg('key', () => String, { nullable: true, description: 'Your own key for it.' }) key?: string | null,
  ): Promise<Application | null> {
    const caller = requireCaller(context);
    if (id && key) throw new HubError('BAD_USER_INPUT', 'expected id or key, got both');
    const { applications } = context.services;
    const wanted = id ?? (key ? undefined : (caller.applicationId ?? undefined));
    const found = wanted ? await applications.byId(wanted) : key ? await applications.byKey(key) : null;
    if (!wanted && !key) throw new HubError('BAD_USER_INPUT', 'expected id or key: an admin key has no application of its own');
    return found && caller.applicationId !== null && found.id !== caller.applicationId ? null : found;
  }

  @Query(() => ApplicationConnection, { description: 'All applications; needs an admin key.' })
  async applications(
    @Ctx() context: Context,
    @First() first?: number | null,
    @After() after?: string | null,
  ): Promise<Connection<Application>> {
    requireAdmin(context);
    const request = pageRequest({ first, after }, (cursor) => decodeKeyCursor(cursor, (key) => isId('app', key)));
    return connection(await context.services.applications.list(request), (row) => encodeKeyCursor(row.id), request);
  }

  @Mutation(() => ApplicationPayload, { description: 'Makes a tenant. Needs an admin key.' })
  async applicationCreate(
    @Ctx() context: Context,
    @Arg('input', () => ApplicationCreateInput, { description: 'The new application.' }) input: ApplicationCreateInput,
  ): Promise<Answer<ApplicationPayload>> {
    requireAdmin(context);
    return answer(async () => ({ application: await context.services.applications.create(input) }));
  }

  @Mutation(() => ApplicationPayload, { description: 'Changes what is given. Needs an admin key.' })
  async applicationUpdate(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the application.' }) id: string,
    @Arg('input', () => ApplicationUpdateInput, { description: 'What to change.' }) input: ApplicationUpdateInput,
  ): Promise<Answer<ApplicationPayload>> {
    requireAdmin(context);
    return answer(async () => ({ application: await context.services.applications.update(id, input) }));
  }

  @Mutation(() => ApplicationDeletePayload, { description: 'Its keys end at once, its rows are removed in the background.' })
  async applicationDelete(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the application.' }) id: string,
  ): Promise<Answer<ApplicationDeletePayload>> {
    requireAdmin(context);
    return answer(async () => ({ application: await context.services.applications.delete(id), deletedId: id }));
  }
}

/** Read before subscribing, so that nothing which happens in between is missed. */
async function endOf({ services }: Context, log: LogName, applicationId: string): Promise<string> {
  const logs = { event: services.eventLog, update: services.updateLog, webhook: services.webhookLog };
  return encodeCursor(log, applicationId, (await logs[log].head(applicationId)) ?? 0);
}

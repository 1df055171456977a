import {
  Arg,
  Ctx,
  Field,
  FieldResolver,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  Resolver,
  Root,
  Subscription,
} from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { Attempt, AttemptTrigger } from '../../attempts/attempt';
import { curlOf } from '../../attempts/curl';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import type { DeliverySelection } from '../../deliveries/deliveries';
import { Delivery, DeliveryStatus } from '../../deliveries/delivery';
import { bodyKey, derivedBody, isDerived } from '../../dispatch/body';
import { HubError, refuse, shown, UserErrorCode } from '../../errors';
import { Event } from '../../events/event';
import { eventTypePatternProblem } from '../../events/event-type';
import { applicationIdOf, attemptId, deliveryIdOf, isId } from '../../ids';
import { type UpdatePage, updateStream } from '../../live/streams';
import type { LoggedUpdate } from '../../live/update-log';
import { NOTHING, type Page, type PageRequest } from '../../store/page';
import { Webhook } from '../../webhooks/webhook';
import { type Connection, connection, connectionType, type PageArguments, pageRequest } from '../connection';
import { applicationFor, type Context, mayEnter, maySee, requireScope } from '../context';
import { type Answer, answer, UserError } from '../user-error';

@InputType({ description: 'What is left out does not restrict.' })
export class DeliveryFilter implements DeliverySelection {
  @Field(() => [ID], { nullable: true })
  webhookIds?: string[] | null;

  @Field(() => [ID], { nullable: true })
  eventIds?: string[] | null;

  @Field(() => [String], { nullable: true, description: 'Names or wildcards.' })
  eventTypes?: string[] | null;

  @Field(() => [DeliveryStatus], { nullable: true })
  statuses?: DeliveryStatus[] | null;

  @Field(() => Date, { nullable: true })
  createdAfter?: Date | null;

  @Field(() => Date, { nullable: true })
  createdBefore?: Date | null;
}

@ObjectType()
export class DeliveryPayload {
  @Field(() => Delivery, { nullable: true })
  delivery?: Delivery | null;

  @Field(() => [UserError])
  userErrors!: UserError[];
}

@ObjectType({ description: 'A delivery reached a status.' })
export class DeliveryUpdate {
  @Field(() => DeliveryStatus)
  status!: DeliveryStatus;
}

@ObjectType()
export class DeliveryUpdatePage {
  @Field(() => [DeliveryUpdate])
  updates!: DeliveryUpdate[];

  @Field(() => String, { description: 'Where the last of them stands: pass it as `after`.' })
  cursor!: string;
}

export const DeliveryConnection = connectionType(Delivery);
export const AttemptConnection = connectionType(Attempt);

/** `isListed`: whether a delivery could be in this list, by its id; cursors of other lists are refused. */
export async function deliveryConnection(
  args: PageArguments,
  isListed: (deliveryId: string) => boolean,
  read: (page: PageRequest) => Promise<Page<Delivery>>,
): Promise<Connection<Delivery>> {
  const request = pageRequest(args, (cursor) => decodeKeyCursor(cursor, (key) => isId('dlv', key) && isListed(key)));
  return connection(await read(request), (row) => encodeKeyCursor(row.id), request);
}

export function checkFilter(filter: DeliveryFilter | null | undefined): DeliverySelection {
  for (const pattern of filter?.eventTypes ?? []) {
    const problem = eventTypePatternProblem(pattern);
    if (problem) throw new HubError('BAD_USER_INPUT', `filter.eventTypes: ${problem}`);
  }
  return filter ?? {};
}

/** A row that a foreign key would promise: retention may have removed it. */
function present<Row>(row: Row | null, what: string): Row {
  if (row === null) throw new HubError('BAD_USER_INPUT', `the ${what} of this delivery has been removed`);
  return row;
}

/** The stored body, or the one that follows from the event. */
async function requestBodyOf({ loaders, services }: Context, delivery: Delivery): Promise<string | null> {
  if (delivery.bodyKey !== null && !isDerived(delivery.bodyKey)) return services.fixedBody(delivery);
  const webhook = delivery.bodyKey === null ? await loaders.webhook.load(delivery.webhookId) : null;
  const isShapedLater = (webhook?.payloadQuery ?? null) !== null;
  const event = isShapedLater ? null : await loaders.event.load(delivery.id);
  if (event === null || event.redactedAt !== null) return null;
  return derivedBody(event, delivery.bodyKey ?? bodyKey(webhook?.format ?? 'STANDARD', null)).toString();
}

@Resolver(() => Delivery)
export class DeliveryResolver {
  @FieldResolver(() => Event)
  async event(@Ctx() context: Context, @Root() delivery: Delivery): Promise<Event> {
    requireScope(context, Scope.EVENTS_READ);
    return present(await context.loaders.event.load(delivery.id), 'event');
  }

  @FieldResolver(() => Webhook)
  async webhook(@Ctx() context: Context, @Root() delivery: Delivery): Promise<Webhook> {
    requireScope(context, Scope.WEBHOOKS_READ);
    return present(await context.loaders.webhook.load(delivery.webhookId), 'webhook');
  }

  @FieldResolver(() => String, {
    nullable: true,
    description: 'The body of every attempt, byte for byte; null where a payload query has not made it yet, or the event was redacted.',
  })
  async requestBody(@Ctx() context: Context, @Root() delivery: Delivery): Promise<string | null> {
    return requestBodyOf(context, delivery);
  }

  @FieldResolver(() => AttemptConnection, { description: 'First to last.' })
  async attempts(
    @Ctx() context: Context,
    @Root() delivery: Delivery,
    @Arg('first', () => Int, { defaultValue: 50 }) first: number,
    @Arg('after', () => String, { nullable: true }) after?: string | null,
  ): Promise<Connection<Attempt>> {
    const request = pageRequest({ first, after }, (cursor) =>
      decodeKeyCursor(cursor, (key) => isId('att', key) && deliveryIdOf(key) === delivery.id),
    );
    return connection(await context.services.attempts.list(delivery.id, request), (row) => encodeKeyCursor(row.id), request);
  }

  @Query(() => Delivery, { nullable: true })
  async delivery(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Delivery | null> {
    return (await maySee(context, Scope.DELIVERIES_READ, id)) ? context.services.deliveries.byId(id) : null;
  }

  @Query(() => DeliveryConnection, { description: 'Those of the newest event first.' })
  async deliveries(
    @Ctx() context: Context,
    @Arg('first', () => Int, { defaultValue: 50 }) first: number,
    @Arg('applicationId', () => ID, { nullable: true }) applicationId?: string | null,
    @Arg('after', () => String, { nullable: true }) after?: string | null,
    @Arg('filter', () => DeliveryFilter, { nullable: true }) filter?: DeliveryFilter | null,
  ): Promise<Connection<Delivery>> {
    const owner = applicationFor(context, Scope.DELIVERIES_READ, applicationId, 'argument');
    const selection = checkFilter(filter);
    const mayRead = await mayEnter(context, owner);
    return deliveryConnection(
      { first, after },
      (id) => applicationIdOf(id) === owner,
      async (page) => (mayRead ? context.services.deliveries.list(owner, selection, page) : NOTHING),
    );
  }

  @Mutation(() => DeliveryPayload, { description: 'A new attempt now, with the same `webhook-id`.' })
  async deliveryRetry(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Answer<DeliveryPayload>> {
    return answer(async () => ({ delivery: await context.services.deliveries.retry(await own(context, id)) }));
  }

  @Mutation(() => DeliveryPayload, { description: 'Stops a delivery that is not finished.' })
  async deliveryCancel(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Answer<DeliveryPayload>> {
    return answer(async () => ({ delivery: await context.services.deliveries.cancel(await own(context, id)) }));
  }

  @Subscription(() => DeliveryUpdatePage, {
    description: 'Changes of deliveries, gathered into pages of at most `maxBatch` at most every `intervalMs`. Resumes like `event`.',
    subscribe: async ({ args, context }: { args: UpdateSubscriptionArguments; context: Context }) => {
      const applicationId = applicationFor(context, Scope.DELIVERIES_READ, args.applicationId, 'argument');
      const { after, maxBatch, intervalMs } = args;
      return updateStream(context.services.updateLog, context.services.clock, {
        applicationId,
        selection: checkFilter(args.filter),
        after,
        maxBatch,
        intervalMs,
      });
    },
  })
  async deliveryUpdates(
    @Ctx() { loaders }: Context,
    @Root() page: UpdatePage,
    @Arg('applicationId', () => ID, { nullable: true }) _applicationId?: string | null,
    @Arg('filter', () => DeliveryFilter, { nullable: true }) _filter?: DeliveryFilter | null,
    @Arg('after', () => String, { nullable: true }) _after?: string | null,
    @Arg('maxBatch', () => Int, { defaultValue: 100 }) _maxBatch?: number,
    @Arg('intervalMs', () => Int, { defaultValue: 100 }) _intervalMs?: number,
  ): Promise<DeliveryUpdatePage> {
    // What retention has removed is of no interest any more, and `delivery` is never null.
    const rows = await loaders.delivery.loadMany(page.updates.flatMap(({ delivery, deliveryId }) => (delivery ? [] : [deliveryId])));
    const byId = new Map(rows.flatMap((row) => (row instanceof Delivery ? [[row.id, row]] : [])));
    const failed = rows.find((row) => row instanceof Error);
    if (failed) throw failed;
    const updates = page.updates.flatMap((update) => {
      const delivery = update.delivery ?? byId.get(update.deliveryId);
      return delivery ? [{ ...update, delivery }] : [];
    });
    return { ...page, updates } as unknown as DeliveryUpdatePage;
  }
}

interface UpdateSubscriptionArguments {
  readonly applicationId?: string | null;
  readonly filter?: DeliveryFilter | null;
  readonly after?: string | null;
  readonly maxBatch: number;
  readonly intervalMs: number;
}

async function own(context: Context, id: string): Promise<string> {
  return (await maySee(context, Scope.DELIVERIES_WRITE, id))
    ? id
    : refuse('id', `expected the id of a delivery, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
}

@Resolver(() => DeliveryUpdate)
export class DeliveryUpdateResolver {
  @FieldResolver(() => Delivery)
  async delivery(@Ctx() { loaders }: Context, @Root() update: LoggedUpdate): Promise<Delivery> {
    return update.delivery ?? present(await loaders.delivery.load(update.deliveryId), 'row');
  }

  @FieldResolver(() => Attempt, { nullable: true, description: 'The attempt that brought it there, where one did.' })
  async attempt(@Ctx() { loaders }: Context, @Root() update: LoggedUpdate): Promise<Attempt | null> {
    if (update.attemptNumber === 0) return null;
    return update.attempt ?? loaders.attempt.load(attemptId(update.deliveryId, update.attemptNumber));
  }

  @FieldResolver(() => Date)
  at(@Root() update: LoggedUpdate): Date {
    return new Date(update.at);
  }
}

@Resolver(() => Attempt)
export class AttemptResolver {
  @FieldResolver(() => String, { description: 'The request as a command for a shell.' })
  async curl(@Ctx() context: Context, @Root() attempt: Attempt): Promise<string> {
    if (attempt.trigger === AttemptTrigger.TEST) return curlOf(attempt, await context.services.testBody(attempt));
    const delivery = await context.loaders.delivery.load(attempt.deliveryId);
    return curlOf(attempt, delivery && (await requestBodyOf(context, delivery)));
  }
}

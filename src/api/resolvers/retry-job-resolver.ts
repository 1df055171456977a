import { GraphQLSafeInt } from 'graphql-scalars';
import {
  Arg,
  Ctx,
  Field,
  FieldResolver,
  Float,
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
import { refuseUnknown } from '../../applications/applications';
import { AttemptOutcome } from '../../attempts/attempt';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { DeliveryStatus } from '../../deliveries/delivery';
import { HubError, refuse, shown, UserErrorCode } from '../../errors';
import { applicationIdOf, isId } from '../../ids';
import type { ReplayRequest } from '../../replay/check-selection';
import { RetryJob, RetryJobKind } from '../../replay/retry-job';
import { refuseUnknownJob } from '../../replay/retry-jobs';
import { NOTHING } from '../../store/page';
import { After, type Connection, connection, connectionType, First, pageRequest } from '../connection';
import { applicationFor, asSubscription, type Context, mayEnter, maySee, OfApplication, requireCaller } from '../context';
import { mayRead } from '../field-access';
import { type Answer, answer, type UserError, UserErrors } from '../user-error';
import { DeliveryFilter } from './delivery-resolver';

const DRY_RUN = 'Only count: the answer has the `total`, and nothing is stored or sent.';

@InputType({ description: 'Which deliveries to try again.' })
export class DeliveriesRetryInput {
  @Field(() => ID, { nullable: true, description: 'The application they belong to. A key of its own may leave it out.' })
  applicationId?: string | null;

  @Field(() => DeliveryFilter, {
    nullable: true,
    description:
      'Which deliveries; without `statuses` the FAILED ones. RETRYING ones that wait for a later time are tried now as well; where that fails, they wait for that time again. Those that are due or being sent already are left alone, PENDING ones among them, and neither counted. Lists, where given, are not empty.',
  })
  filter?: DeliveryFilter | null;

  @Field(() => Boolean, { nullable: true, defaultValue: false, description: DRY_RUN })
  dryRun?: boolean | null;
}

@InputType({ description: 'Which events a webhook is to get.' })
export class EventReplayInput implements ReplayRequest {
  @Field(() => ID, { nullable: true, description: "Default: the webhook's." })
  applicationId?: string | null;

  @Field(() => ID, { description: 'The webhook.' })
  webhookId!: string;

  @Field(() => Date, { nullable: true, description: 'Only events that the hub stored after this time.' })
  after?: Date | null;

  @Field(() => Date, { nullable: true, description: 'Only events that the hub stored before this time.' })
  before?: Date | null;

  @Field(() => [String], { nullable: true, description: 'Names or wildcards.' })
  eventTypes?: string[] | null;

  @Field(() => Boolean, { nullable: true, defaultValue: false, description: DRY_RUN })
  dryRun?: boolean | null;
}

@ObjectType({ description: 'A job, or what was wrong with the input.' })
export class RetryJobPayload {
  @Field(() => RetryJob, { nullable: true, description: 'As it is now; null where the input was refused.' })
  retryJob?: RetryJob | null;

  @UserErrors()
  userErrors!: UserError[];
}

@ObjectType({ description: 'What a job was asked to take; what is null did not restrict.' })
export class RetryJobFilter {
  @Field(() => [ID], { nullable: true, description: 'Deliveries to any of these webhooks; of an `eventReplay`, to this one.' })
  webhookIds!: readonly string[] | null;

  @Field(() => [ID], { nullable: true, description: 'Those of any of these events.' })
  eventIds!: readonly string[] | null;

  @Field(() => [String], { nullable: true, description: 'Names or wildcards.' })
  eventTypes!: readonly string[] | null;

  @Field(() => [DeliveryStatus], { nullable: true, description: 'Those in any of these states; null for an `eventReplay`.' })
  statuses!: readonly DeliveryStatus[] | null;

  @Field(() => Date, { nullable: true, description: 'Deliveries created later; of an `eventReplay`, events stored later.' })
  createdAfter!: Date | null;

  @Field(() => Date, { nullable: true, description: 'The same earlier.' })
  createdBefore!: Date | null;

  @Field(() => [AttemptOutcome], { nullable: true, description: 'Those whose last attempt ended in any of these ways.' })
  outcomes!: readonly AttemptOutcome[] | null;

  @Field(() => [Int], { nullable: true, description: 'Those whose last attempt was answered with any of these HTTP statuses.' })
  statusCodes!: readonly number[] | null;

  @Field(() => Int, { nullable: true, description: 'Those whose last attempt took as many milliseconds or more.' })
  minDurationMs!: number | null;

  @Field(() => String, { nullable: true, description: 'Those of events with this ordering key; null for a key without EVENTS_READ.' })
  orderingKey!: string | null;

  @Field(() => GraphQLSafeInt, { nullable: true, description: 'Those of events with this sequence or a higher one.' })
  minSequence!: number | null;

  @Field(() => GraphQLSafeInt, { nullable: true, description: 'Those of events with this sequence or a lower one.' })
  maxSequence!: number | null;
}

const NOT_NARROWED = { outcomes: null, statusCodes: null, minDurationMs: null, orderingKey: null, minSequence: null, maxSequence: null };

/** Pure: as it was asked for. */
function filterOf(selection: RetryJob['selection']): RetryJobFilter {
  const time = (at: number | null) => (at === null ? null : new Date(at));
  const { eventTypes } = selection;
  const own = { eventTypes, createdAfter: time(selection.createdAfter), createdBefore: time(selection.createdBefore) };
  if (selection.kind === RetryJobKind.REPLAY)
    return { ...NOT_NARROWED, ...own, webhookIds: [selection.webhookId], eventIds: null, statuses: null };
  const { webhookIds, eventIds, statuses = null, narrowed } = selection;
  const { outcomes = null, statusCodes = null, minDurationMs = null, ...more } = narrowed ?? { ...NOT_NARROWED, statuses };
  return { ...own, webhookIds, eventIds, outcomes, statusCodes, minDurationMs, ...more };
}

const RetryJobConnection = connectionType(RetryJob);

@Resolver(() => RetryJob)
export class RetryJobResolver {
  @FieldResolver(() => RetryJobFilter, { description: 'What it was asked to take.' })
  filter(@Ctx() context: Context, @Root() { selection }: RetryJob): RetryJobFilter {
    const filter = filterOf(selection);
    return mayRead(context, Scope.EVENTS_READ) ? filter : { ...filter, orderingKey: null };
  }

  @FieldResolver(() => Float, { description: 'Deliveries a second that have ended, on average since it was asked for.' })
  ratePerSecond(@Ctx() { services }: Context, @Root() { done, createdAt, completedAt }: RetryJob): number {
    const tookMs = Math.max(1, (completedAt?.getTime() ?? services.clock.now()) - createdAt.getTime());
    return Math.round((done / tookMs) * 1e6) / 1e3;
  }

  @Query(() => RetryJob, { nullable: true, description: 'By its id; needs the scope DELIVERIES_READ.' })
  async retryJob(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the job.' }) id: string,
  ): Promise<RetryJob | null> {
    return (await maySee(context, Scope.DELIVERIES_READ, id)) ? context.services.retryJobs.byId(id) : null;
  }

  @Query(() => RetryJobConnection, { description: 'Newest first.' })
  async retryJobs(
    @Ctx() context: Context,
    @First() first: number,
    @OfApplication() applicationId?: string | null,
    @After() after?: string | null,
  ): Promise<Connection<RetryJob>> {
    const owner = applicationFor(context, Scope.DELIVERIES_READ, applicationId, 'argument');
    const request = pageRequest({ first, after }, (cursor) =>
      decodeKeyCursor(cursor, (key) => isId('job', key) && applicationIdOf(key) === owner),
    );
    const page = (await mayEnter(context, owner)) ? await context.services.retryJobs.list(owner, request) : NOTHING;
    return connection<RetryJob>(page, (row) => encodeKeyCursor(row.id), request);
  }

  @Mutation(() => RetryJobPayload, {
    description:
      'A new attempt of each delivery that the filter names, with the same `webhook-id` and body, in the background: few at a time for each webhook, so that new events do not wait behind them. Goes on after a restart. Deliveries of deleted and disabled webhooks are left out; those of a paused one wait until it is resumed.',
  })
  async deliveriesRetry(
    @Ctx() context: Context,
    @Arg('input', () => DeliveriesRetryInput, { description: 'Which ones.' }) input: DeliveriesRetryInput,
  ): Promise<Answer<RetryJobPayload>> {
    return answer(async () => {
      const applicationId = applicationFor(context, Scope.DELIVERIES_WRITE, input.applicationId, 'input');
      if (!(await mayEnter(context, applicationId))) refuseUnknown(applicationId);
      return { retryJob: await context.services.retryJobs.retry(applicationId, input.filter ?? {}, askedBy(context, input)) };
    });
  }

  @Mutation(() => RetryJobPayload, {
    description:
      'Deliveries of stored events to a webhook that has none for them: it did not exist yet, was disabled, or did not select them. Only events that it selects today. A job like that of `deliveriesRetry`; asked for twice, the second finds nothing left to do.',
  })
  async eventReplay(
    @Ctx() context: Context,
    @Arg('input', () => EventReplayInput, { description: 'Which ones, and to whom.' }) input: EventReplayInput,
  ): Promise<Answer<RetryJobPayload>> {
    return answer(async () => {
      const named = input.applicationId ?? (isId('whk', input.webhookId) ? ownerOf(context, input.webhookId) : null);
      const applicationId = applicationFor(context, Scope.DELIVERIES_WRITE, named, 'input');
      if (!isId('whk', input.webhookId) || !(await mayEnter(context, applicationId))) refuseUnknownWebhook(input.webhookId);
      return { retryJob: await context.services.retryJobs.replay(applicationId, input, askedBy(context, input)) };
    });
  }

  @Mutation(() => RetryJobPayload, {
    description:
      'Hands nothing more out. What was handed out and has not been sent goes back to what it was, on whatever instance; of an `eventReplay` it becomes CANCELLED. Requests that are under way still end and are counted.',
  })
  async retryJobCancel(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the job.' }) id: string,
  ): Promise<Answer<RetryJobPayload>> {
    return answer(async () => {
      if (!(await maySee(context, Scope.DELIVERIES_WRITE, id))) refuseUnknownJob(id);
      return { retryJob: await context.services.retryJobs.cancel(id) };
    });
  }

  @Subscription(() => RetryJob, {
    description: 'The job as it is, then as it comes further; ends when it is finished.',
    subscribe: async ({ args: { id }, context }: { args: { id: string }; context: Context }) => {
      const job = (await maySee(context, Scope.DELIVERIES_READ, id)) ? await context.services.retryJobs.byId(id) : null;
      if (job === null) throw new HubError('BAD_USER_INPUT', `id: expected the id of a retry job, got ${shown(id)}`);
      return asSubscription(context, async () => context.services.jobWatch.follow(job));
    },
    name: 'retryJob',
  })
  retryJobSubscription(@Root() job: RetryJob, @Arg('id', () => ID, { description: 'The id of the job.' }) _id: string): RetryJob {
    return job;
  }
}

function askedBy(context: Context, { dryRun }: { readonly dryRun?: boolean | null }) {
  return { isDryRun: dryRun ?? false, authorId: requireCaller(context).apiKey.id };
}

/** An admin's webhook says whose it is; a key of an application has its own anyway. */
function ownerOf(context: Context, webhookId: string): string | null {
  return requireCaller(context).applicationId === null ? applicationIdOf(webhookId) : null;
}

function refuseUnknownWebhook(id: string): never {
  return refuse('webhookId', `expected the id of a webhook, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
}

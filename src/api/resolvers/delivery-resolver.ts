import type { GraphQLResolveInfo } from 'graphql';
import { GraphQLSafeInt } from 'graphql-scalars';
import {
  Arg,
  Ctx,
  Field,
  FieldResolver,
  ID,
  Info,
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
import { Attempt, AttemptOutcome, AttemptTrigger } from '../../attempts/attempt';
import { curlOf } from '../../attempts/curl';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { Delivery, DeliveryStatus } from '../../deliveries/delivery';
import { type DeliverySelection, selectionProblems } from '../../deliveries/selection';
import type { LoggedUpdate } from '../../deliveries/update-log';
import { mentionsSignature } from '../../delivery/completion/signature-hint';
import { bodyKey, derivedBody, isDerived } from '../../delivery/request/body';
import { HubError, refuse, refuseLongList, shown, UserErrorCode } from '../../errors';
import { Event } from '../../events/event';
import { applicationIdOf, attemptId, deliveryIdOf, isId, webhookIdOf } from '../../ids';
import { DEFAULT_BATCH, DEFAULT_INTERVAL_MS, type UpdatePage, updateStream } from '../../live/streams';
import { eventTypePatternProblem } from '../../matching/event-type';
import { NOTHING, type Page, type PageRequest } from '../../store/page';
import { type Header, Webhook } from '../../webhooks/webhook';
import {
  After,
  type Connection,
  connection,
  connectionType,
  eitherEndConnection,
  eitherEndRequest,
  First,
  isGiven,
  MAX_FIRST,
  type PageArguments,
  pageRequest,
  searchedConnectionType,
} from '../connection';
import {
  applicationFor,
  asSubscription,
  type Context,
  mayEnter,
  maySee,
  OfApplication,
  readAttemptPage,
  searchAllowance,
} from '../context';
import { mayRead, mayReadPayloads } from '../field-access';
import { type Answer, answer, type UserError, UserErrors } from '../user-error';

@InputType({ description: 'What is left out does not restrict.' })
export class DeliveryFilter implements DeliverySelection {
  @Field(() => [ID], { nullable: true, description: 'Those to any of these webhooks.' })
  webhookIds?: string[] | null;

  @Field(() => [ID], { nullable: true, description: 'Those of any of these events.' })
  eventIds?: string[] | null;

  @Field(() => [String], { nullable: true, description: 'Names or wildcards.' })
  eventTypes?: string[] | null;

  @Field(() => [DeliveryStatus], { nullable: true, description: 'Those in any of these states.' })
  statuses?: DeliveryStatus[] | null;

  @Field(() => Date, { nullable: true, description: 'Those created later.' })
  createdAfter?: Date | null;

  @Field(() => Date, { nullable: true, description: 'Those created earlier.' })
  createdBefore?: Date | null;

  @Field(() => [AttemptOutcome], {
    nullable: true,
    description:
      'Those whose last attempt ended in any of these ways. `outcomes`, `statusCodes` and `minDurationMs` hold for the same attempt; in `deliveryUpdates` for that which brought the update, so that updates without one are left out.',
  })
  outcomes?: AttemptOutcome[] | null;

  @Field(() => [Int], { nullable: true, description: 'Those whose last attempt was answered with any of these HTTP statuses.' })
  statusCodes?: number[] | null;

  @Field(() => Int, { nullable: true, description: 'Those whose last attempt took as many milliseconds or more.' })
  minDurationMs?: number | null;

  @Field(() => String, { nullable: true, description: 'Those of events with this ordering key.' })
  orderingKey?: string | null;

  @Field(() => GraphQLSafeInt, { nullable: true, description: 'Those of events with this sequence or a higher one.' })
  minSequence?: number | null;

  @Field(() => GraphQLSafeInt, { nullable: true, description: 'Those of events with this sequence or a lower one.' })
  maxSequence?: number | null;
}

@ObjectType({ description: 'A delivery.' })
export class DeliveryPayload {
  @Field(() => Delivery, { nullable: true, description: 'As it is now.' })
  delivery?: Delivery | null;

  @UserErrors()
  userErrors!: UserError[];
}

@ObjectType({ description: 'A delivery reached a status.' })
export class DeliveryUpdate {
  @Field(() => DeliveryStatus, { description: 'The status it reached, whatever it has now.' })
  status!: DeliveryStatus;
}

@ObjectType({ description: 'Some changes of deliveries, in the order they happened.' })
export class DeliveryUpdatePage {
  @Field(() => [DeliveryUpdate], { description: 'The changes, oldest first.' })
  updates!: DeliveryUpdate[];

  @Field(() => String, { description: 'Where the last of them stands: pass it as `after`.' })
  cursor!: string;
}

export const DeliveryConnection = searchedConnectionType(Delivery);
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

export function listDeliveries(
  context: Context,
  applicationId: string,
  selection: DeliverySelection,
  page: PageRequest,
): Promise<Page<Delivery>> {
  return context.budget.reading(() => context.services.deliveries.list(applicationId, selection, page, searchAllowance(context)));
}

export function checkFilter(filter: DeliveryFilter | null | undefined): DeliverySelection {
  for (const list of ['webhookIds', 'eventIds', 'eventTypes', 'statuses', 'outcomes', 'statusCodes'] as const)
    refuseLongList(`filter.${list}`, filter?.[list]);
  for (const pattern of filter?.eventTypes ?? []) {
    const problem = eventTypePatternProblem(pattern);
    if (problem) throw new HubError('BAD_USER_INPUT', `filter.eventTypes: ${problem}`);
  }
  for (const [field, problem] of selectionProblems(filter ?? {})) throw new HubError('BAD_USER_INPUT', `filter.${field}: ${problem}`);
  return filter ?? {};
}

/** A row that a foreign key would promise: retention may have removed it. */
function present<Row>(row: Row | null, what: string): Row {
  if (row === null) throw new HubError('BAD_USER_INPUT', `the ${what} of this delivery has been removed`);
  return row;
}

/** The stored body, or the one that follows from the event. Of one delivery an operation makes it once. */
function requestBodyOf(context: Context, delivery: Delivery): Promise<string | null> {
  const { bodies } = context.loaders;
  const known = bodies.get(delivery.id);
  if (known) return known;
  const made = makeRequestBody(context, delivery);
  bodies.set(delivery.id, made);
  return made;
}

async function makeRequestBody({ budget, loaders, services }: Context, delivery: Delivery): Promise<string | null> {
  if (delivery.bodyKey !== null && !isDerived(delivery.bodyKey)) return budget.readingText(() => services.fixedBody(delivery));
  const webhook = delivery.bodyKey === null ? await loaders.webhook.load(delivery.webhookId) : null;
  const isShapedLater = (webhook?.payloadQuery ?? null) !== null;
  const event = isShapedLater ? null : await loaders.event.load(delivery.id);
  if (event === null || event.redactedAt !== null) return null;
  budget.demand(event.payloadText.length);
  return derivedBody(event, delivery.bodyKey ?? bodyKey(webhook?.format ?? 'STANDARD', null)).toString();
}

@Resolver(() => Delivery)
export class DeliveryResolver {
  @FieldResolver(() => ID, { description: 'The id of what it brings.' })
  async eventId(@Ctx() { loaders }: Context, @Root() delivery: Delivery): Promise<string> {
    return present(await loaders.eventId.load(delivery.id), 'event');
  }

  @FieldResolver(() => Event, {
    nullable: true,
    description: 'What it brings; null for a key without EVENTS_READ, and when it has been removed.',
  })
  async event(@Ctx() { loaders }: Context, @Root() delivery: Delivery): Promise<Event | null> {
    return loaders.event.load(delivery.id);
  }

  @FieldResolver(() => Webhook, {
    nullable: true,
    description: 'Where it goes; null for a key without WEBHOOKS_READ, and when it has been removed.',
  })
  async webhook(@Ctx() { loaders }: Context, @Root() delivery: Delivery): Promise<Webhook | null> {
    return loaders.webhook.load(delivery.webhookId);
  }

  @FieldResolver(() => String, {
    nullable: true,
    description:
      'The body of every attempt, byte for byte; null where a payload query has not made it yet, the event was redacted, or for a key without PAYLOADS_READ.',
  })
  async requestBody(@Ctx() context: Context, @Root() delivery: Delivery): Promise<string | null> {
    return requestBodyOf(context, delivery);
  }

  @FieldResolver(() => AttemptConnection, {
    description: 'First to last. With `last` those at the end of the list, in the same order.',
  })
  async attempts(
    @Ctx() context: Context,
    @Root() delivery: Delivery,
    @Info() info: GraphQLResolveInfo,
    @First() first?: number | null,
    @Arg('last', () => Int, { nullable: true, description: `The last so many: 1 to ${MAX_FIRST}; not together with \`first\`.` })
    last?: number | null,
    @After() after?: string | null,
    @Arg('before', () => String, {
      nullable: true,
      description: 'The `startCursor` of the page after, or the `cursor` of any edge: only what stands before it.',
    })
    before?: string | null,
  ): Promise<Connection<Attempt>> {
    const asked = eitherEndRequest({ first: isGiven(info, 'first') ? first : null, last, after, before }, (cursor) =>
      decodeKeyCursor(cursor, (key) => isId('att', key) && deliveryIdOf(key) === delivery.id),
    );
    const { attempts } = context.services;
    const page = await readAttemptPage(context, asked.request, (part, columns) =>
      asked.isFromEnd ? attempts.listLatest(delivery.id, part, columns) : attempts.list(delivery.id, part, columns),
    );
    return eitherEndConnection(page, (row) => encodeKeyCursor(row.id), asked);
  }

  @FieldResolver(() => Attempt, { nullable: true, description: 'The newest of its attempts; null before the first has ended.' })
  async lastAttempt(@Ctx() { loaders }: Context, @Root() { id, attemptCount }: Delivery): Promise<Attempt | null> {
    return attemptCount === 0 ? null : loaders.attempt.load(attemptId(id, attemptCount));
  }

  @Query(() => Delivery, { nullable: true, description: 'By its id; null when there is none, or not for this key.' })
  async delivery(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the delivery.' }) id: string,
  ): Promise<Delivery | null> {
    return (await maySee(context, Scope.DELIVERIES_READ, id)) ? context.services.deliveries.byId(id) : null;
  }

  @Query(() => DeliveryConnection, { description: 'Those of the newest event first.' })
  async deliveries(
    @Ctx() context: Context,
    @First() first?: number | null,
    @OfApplication() applicationId?: string | null,
    @After() after?: string | null,
    @Arg('filter', () => DeliveryFilter, { nullable: true, description: 'Only those that match all of it.' })
    filter?: DeliveryFilter | null,
  ): Promise<Connection<Delivery>> {
    const owner = applicationFor(context, Scope.DELIVERIES_READ, applicationId, 'argument');
    const selection = checkFilter(filter);
    const mayRead = await mayEnter(context, owner);
    return deliveryConnection(
      { first, after },
      (id) => applicationIdOf(id) === owner,
      async (page) => (mayRead ? listDeliveries(context, owner, selection, page) : NOTHING),
    );
  }

  @Mutation(() => DeliveryPayload, {
    description:
      'A new attempt now, with the same `webhook-id`, whatever became of the earlier ones. It is an extra: it takes no place in the retry schedule, and where it fails the next automatic attempt stays due when it was; without one the delivery is FAILED. One that is due or being sent already is left to that attempt; one whose webhook is paused or disabled waits for that.',
  })
  async deliveryRetry(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the delivery.' }) id: string,
  ): Promise<Answer<DeliveryPayload>> {
    return answer(async () => ({ delivery: await context.services.deliveries.retry(await own(context, id)) }));
  }

  @Mutation(() => DeliveryPayload, {
    description:
      'Stops a delivery that is not finished, on whatever instance it is queued. A request that is under way still ends and is recorded.',
  })
  async deliveryCancel(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the delivery.' }) id: string,
  ): Promise<Answer<DeliveryPayload>> {
    return answer(async () => ({ delivery: await context.services.deliveries.cancel(await own(context, id)) }));
  }

  @Subscription(() => DeliveryUpdatePage, {
    description: 'Changes of deliveries, gathered into pages of at most `maxBatch` at most every `intervalMs`. Resumes like `event`.',
    subscribe: async ({ args, context }: { args: UpdateSubscriptionArguments; context: Context }) => {
      const applicationId = applicationFor(context, Scope.DELIVERIES_READ, args.applicationId, 'argument');
      const { after, maxBatch, intervalMs } = args;
      const watch = {
        applicationId,
        selection: checkFilter(args.filter),
        after,
        maxBatch: maxBatch ?? DEFAULT_BATCH,
        intervalMs: intervalMs ?? DEFAULT_INTERVAL_MS,
      };
      return asSubscription(context, () => updateStream(context.services, watch));
    },
  })
  async deliveryUpdates(
    @Ctx() { loaders }: Context,
    @Root() page: UpdatePage,
    @OfApplication() _applicationId?: string | null,
    @Arg('filter', () => DeliveryFilter, { nullable: true, description: 'Only those that match all of it.' })
    _filter?: DeliveryFilter | null,
    @Arg('after', () => String, { nullable: true, description: 'The `cursor` of the last page seen; without it, from now on.' }) _after?:
      | string
      | null,
    @Arg('maxBatch', () => Int, { nullable: true, defaultValue: DEFAULT_BATCH, description: 'The most updates in a page: 1 to 1,000.' })
    _maxBatch?: number | null,
    @Arg('intervalMs', () => Int, {
      nullable: true,
      defaultValue: DEFAULT_INTERVAL_MS,
      description: 'The least milliseconds from page to page: 0 to 60,000.',
    })
    _intervalMs?: number | null,
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
  readonly maxBatch?: number | null;
  readonly intervalMs?: number | null;
}

async function own(context: Context, id: string): Promise<string> {
  return (await maySee(context, Scope.DELIVERIES_WRITE, id))
    ? id
    : refuse('id', `expected the id of a delivery, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
}

@Resolver(() => DeliveryUpdate)
export class DeliveryUpdateResolver {
  @FieldResolver(() => Delivery, { description: 'The delivery, at least as new as this change.' })
  async delivery(@Ctx() { loaders }: Context, @Root() update: LoggedUpdate): Promise<Delivery> {
    return update.delivery ?? present(await loaders.delivery.load(update.deliveryId), 'row');
  }

  @FieldResolver(() => Attempt, { nullable: true, description: 'The attempt that brought it there, where one did.' })
  async attempt(@Ctx() { loaders }: Context, @Root() update: LoggedUpdate): Promise<Attempt | null> {
    if (update.attemptNumber === 0) return null;
    return update.attempt ?? loaders.attempt.load(attemptId(update.deliveryId, update.attemptNumber));
  }

  @FieldResolver(() => Date, { description: 'When.' })
  at(@Root() update: LoggedUpdate): Date {
    return new Date(update.at);
  }
}

@Resolver(() => Attempt)
export class AttemptResolver {
  @FieldResolver(() => String, {
    nullable: true,
    description:
      'What went wrong, in one sentence. Where the answer reads as if the receiver could not verify the signature, it says so, and for a key with WEBHOOKS_READ the `secretHint` of the webhook.',
  })
  async error(@Ctx() context: Context, @Root() { error, deliveryId }: Attempt): Promise<string | null> {
    if (error === null || !mentionsSignature(error) || !mayRead(context, Scope.WEBHOOKS_READ)) return error;
    const webhook = await context.loaders.webhook.load(webhookIdOf(deliveryId));
    return webhook ? `${error}. The webhook's signing secret ends in ${webhook.secretHint} (\`secretHint\`).` : error;
  }

  @FieldResolver(() => String, {
    description:
      'The request as a command for a shell, with the values of own headers masked; without its body for a key without PAYLOADS_READ, without the path of its URL for one without WEBHOOKS_READ.',
  })
  async curl(
    @Ctx() context: Context,
    @Root() attempt: Attempt,
    @Arg('resign', () => Boolean, {
      nullable: true,
      defaultValue: false,
      description:
        'With the time of now and a signature by the secrets that the webhook has now: a receiver that verifies accepts it for five minutes. Needs the scopes DELIVERIES_WRITE and PAYLOADS_READ.',
    })
    resign?: boolean | null,
  ): Promise<string> {
    if (resign) requireScopes(context, [Scope.DELIVERIES_WRITE, Scope.PAYLOADS_READ]);
    const body = mayReadPayloads(context) ? await sentBodyOf(context, attempt) : null;
    await context.budget.turn(FIELDS_PER_CURL);
    context.budget.demand(body?.length ?? 0);
    const url = mayRead(context, Scope.WEBHOOKS_READ) ? attempt.url : `${new URL(attempt.url).origin}/…`;
    return curlOf(attempt, body, { url, ...(resign && { headers: await resigned(context, attempt, body) }) });
  }
}

/** 16,000 of them, of bodies that were read for all at once, held the event loop for 280 ms. */
const FIELDS_PER_CURL = 10;

function requireScopes(context: Context, scopes: readonly Scope[]): void {
  for (const scope of scopes) if (!mayRead(context, scope)) throw new HubError('FORBIDDEN', `The key lacks the scope ${scope}.`);
}

/** The headers of an attempt, signed once more. */
async function resigned({ services }: Context, attempt: Attempt, body: string | null): Promise<Header[]> {
  const headers = attempt.requestHeaders;
  const id = headers.find(({ name }) => name === 'webhook-id')?.value;
  const signature = body === null || id === undefined ? null : await services.sign(webhookIdOf(attempt.deliveryId), id, body);
  if (signature === null)
    throw new HubError(
      'BAD_USER_INPUT',
      'resign: expected an attempt whose body, headers and webhook are still there; of this one something is gone',
    );
  const fresh = new Map([
    ['webhook-timestamp', String(signature.timestamp)],
    ['webhook-signature', signature.value],
  ]);
  return headers.map(({ name, value }) => ({ name, value: fresh.get(name) ?? value }));
}

/** The body of an attempt of a delivery or of a test. */
async function sentBodyOf(context: Context, attempt: Attempt): Promise<string | null> {
  const { budget, loaders, services } = context;
  if (attempt.trigger === AttemptTrigger.TEST) return budget.readingText(() => services.testBody(attempt));
  const delivery = await loaders.delivery.load(attempt.deliveryId);
  return delivery && requestBodyOf(context, delivery);
}

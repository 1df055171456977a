import { GraphQLJSON } from 'graphql-scalars';
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
  registerEnumType,
} from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { Delivery } from '../../deliveries/delivery';
import { HubError, refuseLongList } from '../../errors';
import { applicationIdOf, isId, webhookIdOf } from '../../ids';
import { parsePlace, placeText } from '../../store/page';
import { certificateFacts } from '../../webhooks/credentials';
import { type Diagnosis, diagnose } from '../../webhooks/health';
import type { Listing } from '../../webhooks/list-webhooks';
import {
  ClientCertificate,
  Ordering,
  SigningScheme,
  Webhook,
  WebhookFormat,
  WebhookHealth,
  WebhookStatus,
  WebhookVerification,
} from '../../webhooks/webhook';
import { refuseUnknownWebhook } from '../../webhooks/webhooks';
import { After, type Connection, connection, First, type PageArguments, pageRequest, searchedConnectionType } from '../connection';
import { applicationFor, type Context, maySee, OfApplication, searchAllowance } from '../context';
import { mayRead } from '../field-access';
import { readSeries } from '../series';
import { type Answer, answer, type UserError, UserErrors } from '../user-error';
import { DeliveryBacklog, From, SeriesStep, StatsPoint, StatsWindow, Step, To, WebhookStats, WINDOW_MS } from '../webhook-stats';
import { checkFilter, DeliveryConnection, DeliveryFilter, deliveryConnection, listDeliveries } from './delivery-resolver';

@InputType({ description: 'An HTTP header to send.' })
export class HeaderInput {
  @Field(() => String, { description: 'Its name, in any case.' })
  name!: string;

  @Field(() => String, {
    description: 'Printable ASCII on one line; in an update the mask that is shown, `••••1234`, leaves the value as it is.',
  })
  value!: string;
}

@InputType({ description: 'The client credentials grant of OAuth 2.0.' })
export class OAuthInput {
  @Field(() => String, { description: 'Where tokens are asked for: what holds for a target holds for it.' })
  tokenUrl!: string;

  @Field(() => String, { description: 'At most 512 characters of printable ASCII.' })
  clientId!: string;

  @Field(() => String, { description: 'At most 2,048 characters of printable ASCII; only its last four are shown.' })
  clientSecret!: string;

  @Field(() => String, { nullable: true, description: 'Scopes separated by spaces.' })
  scope?: string | null;

  @Field(() => String, { nullable: true, description: 'Sent as `audience`, where the server wants one.' })
  audience?: string | null;
}

@InputType()
abstract class WebhookSettingsInput {
  @Field(() => String, { nullable: true, description: 'For people: at most 2,000 characters.' })
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

  @Field(() => Ordering, { nullable: true, description: 'Default NONE.' })
  ordering?: Ordering | null;

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

  @Field(() => WebhookFormat, { nullable: true, description: 'Default STANDARD. A delivery keeps the format of its first attempt.' })
  format?: WebhookFormat | null;

  @Field(() => String, {
    nullable: true,
    description: 'PEM, with its chain: shown to receivers that ask for a client certificate. Goes with `clientKey`.',
  })
  clientCertificate?: string | null;

  @Field(() => String, { nullable: true, description: 'PEM, without a passphrase: the private key of `clientCertificate`. Never shown.' })
  clientKey?: string | null;

  @Field(() => OAuthInput, {
    nullable: true,
    description: 'Requests carry a bearer token from there. Given, it replaces all of what was there before.',
  })
  oauth?: OAuthInput | null;

  @Field(() => WebhookVerification, {
    nullable: true,
    description:
      'What the target has to pass before this is stored, and again when the URL changes. Default NONE, unless LIVEHOOK_REQUIRE_VERIFICATION asks for one.',
  })
  verification?: WebhookVerification | null;
}

@InputType({ description: 'Where events go, which ones, and how.' })
export class WebhookCreateInput extends WebhookSettingsInput {
  @Field(() => ID, { nullable: true, description: 'The application to create it for. A key of its own may leave it out.' })
  applicationId?: string | null;

  @Field(() => String, { description: 'The target: https, a public address, without credentials.' })
  url!: string;

  @Field(() => String, { nullable: true, description: 'whsec_…; generated when absent.' })
  secret?: string | null;
}

@InputType({ description: 'An omitted field stays as it is, null puts the default back.' })
export class WebhookUpdateInput extends WebhookSettingsInput {
  @Field(() => String, { nullable: true, description: 'The target: https, a public address, without credentials.' })
  url?: string | null;

  @Field(() => Int, { nullable: true, description: 'Refused with CONFLICT unless the webhook is still at this version.' })
  expectedVersion?: number | null;
}

const DEFAULT_OVERLAP_SECONDS = 86_400;

@InputType({ description: 'How a secret is replaced.' })
export class WebhookSecretRotateInput {
  @Field(() => String, { nullable: true, description: 'whsec_…; generated when absent.' })
  secret?: string | null;

  @Field(() => Int, {
    nullable: true,
    defaultValue: DEFAULT_OVERLAP_SECONDS,
    description: 'How long the old secrets go on signing beside the new: up to 7 days.',
  })
  overlapSeconds?: number | null;
}

const MAX_TEXT_CHARS = 255;

@InputType({ description: 'What is left out does not restrict.' })
export class WebhookFilter {
  @Field(() => [WebhookStatus], { nullable: true, description: 'Those in any of these states.' })
  statuses?: WebhookStatus[] | null;

  @Field(() => String, { nullable: true, description: 'Those with this URL.' })
  url?: string | null;

  @Field(() => String, {
    nullable: true,
    description: `Those with this text in their URL or description, in whatever case; at most ${MAX_TEXT_CHARS} characters.`,
  })
  text?: string | null;

  @Field(() => [WebhookHealth], {
    nullable: true,
    description: 'Those whose health is any of these. It is found out webhook by webhook: see `searchedUntil`.',
  })
  health?: WebhookHealth[] | null;
}

export enum WebhookOrder {
  CREATED_AT_ASC = 'CREATED_AT_ASC',
  CREATED_AT_DESC = 'CREATED_AT_DESC',
}

registerEnumType(WebhookOrder, {
  name: 'WebhookOrder',
  description: 'How webhooks are sorted.',
  valuesConfig: {
    CREATED_AT_ASC: { description: 'Those made first come first.' },
    CREATED_AT_DESC: { description: 'Those made last come first.' },
  },
});

/** The argument that says how a list of webhooks is sorted. */
export const OrderBy = () =>
  Arg('orderBy', () => WebhookOrder, { nullable: true, defaultValue: WebhookOrder.CREATED_AT_ASC, description: 'How they are sorted.' });

@ObjectType({ description: 'A webhook.' })
export class WebhookPayload {
  @Field(() => Webhook, { nullable: true, description: 'As it is now.' })
  webhook?: Webhook | null;

  @UserErrors()
  userErrors!: UserError[];
}

@ObjectType({ description: 'A new webhook and, this once, its signing secret.' })
export class WebhookCreatePayload extends WebhookPayload {
  @Field(() => String, { nullable: true, description: 'Shown this once. Null where the webhook signs with V1A alone: read its publicKey.' })
  signingSecret?: string | null;
}

@ObjectType({ description: 'What was deleted.' })
export class WebhookDeletePayload extends WebhookPayload {
  @Field(() => ID, { nullable: true, description: 'The id that is gone.' })
  deletedId?: string | null;
}

@ObjectType({ description: 'New secrets, shown this once.' })
export class WebhookSecretRotatePayload extends WebhookPayload {
  @Field(() => String, { nullable: true, description: 'Shown this once. Null where the webhook signs with V1A alone: read its publicKey.' })
  signingSecret?: string | null;

  @Field(() => Date, { nullable: true, description: 'Until when the old secrets sign, too.' })
  previousExpiresAt?: Date | null;
}

export const WebhookConnection = searchedConnectionType(Webhook);

interface WebhookArguments extends PageArguments {
  readonly filter?: WebhookFilter | null | undefined;
  readonly orderBy?: WebhookOrder | null | undefined;
}

/** Webhooks of one application. */
export async function webhookConnection(
  context: Context,
  applicationId: string,
  { filter, orderBy, ...page }: WebhookArguments,
): Promise<Connection<Webhook>> {
  refuseLongList('filter.statuses', filter?.statuses);
  refuseLongList('filter.health', filter?.health);
  const chars = filter?.text?.length ?? 0;
  if (chars > MAX_TEXT_CHARS)
    throw new HubError('BAD_USER_INPUT', `filter.text: expected at most ${MAX_TEXT_CHARS} characters, got ${chars}`);
  const isPlace = (key: string) => {
    const { id = '' } = parsePlace(key) ?? {};
    return isId('whk', id) && applicationIdOf(id) === applicationId;
  };
  const request = pageRequest(page, (cursor) => decodeKeyCursor(cursor, isPlace));
  const listing: Listing = {
    applicationId,
    selection: filter ?? {},
    direction: orderBy === WebhookOrder.CREATED_AT_DESC ? 'DESC' : 'ASC',
    healthOf: async (webhook) => (await diagnosis(context, webhook)).health,
  };
  const list = () => context.services.webhooks.list(listing, request, searchAllowance(context));
  const cursorOf = ({ createdAt, id }: Webhook) => encodeKeyCursor(placeText({ at: createdAt.getTime(), id }));
  return connection(await context.budget.reading(list), cursorOf, request);
}

/** Without the event and its ordering key, for who may not read events. */
const ORDER_BLOCKED = 'An event that keeps failing holds up those after it until it succeeds, fails for good or is cancelled.';

@Resolver(() => Webhook)
export class WebhookResolver {
  @FieldResolver(() => [Int], { description: 'Seconds between attempts.' })
  retrySchedule(@Ctx() context: Context, @Root() webhook: Webhook): readonly number[] {
    return webhook.ownRetrySchedule ?? context.services.defaultRetrySchedule;
  }

  @FieldResolver(() => ClientCertificate, { nullable: true, description: 'What it shows to receivers that ask for a client certificate.' })
  clientCertificate(@Root() { clientCertificatePem }: Webhook): ClientCertificate | null {
    return clientCertificatePem === null ? null : certificateFacts(clientCertificatePem);
  }

  @FieldResolver(() => WebhookHealth, { description: 'Whether something needs to be seen to.' })
  async health(@Ctx() context: Context, @Root() webhook: Webhook): Promise<WebhookHealth> {
    return (await diagnosis(context, webhook)).health;
  }

  @FieldResolver(() => String, { nullable: true, description: 'In plain words; null while it is healthy.' })
  async healthReason(@Ctx() context: Context, @Root() webhook: Webhook): Promise<string | null> {
    const { health, reason } = await diagnosis(context, webhook);
    return health === WebhookHealth.ORDER_BLOCKED && !mayRead(context, Scope.EVENTS_READ) ? ORDER_BLOCKED : reason;
  }

  @FieldResolver(() => WebhookStats, { description: 'How its attempts went.' })
  async stats(
    @Ctx() { services }: Context,
    @Root() webhook: Webhook,
    @Arg('window', () => StatsWindow, { nullable: true, defaultValue: StatsWindow.DAY, description: 'How far back.' })
    window: StatsWindow | null,
  ): Promise<WebhookStats> {
    return services.stats.read(webhook.id, WINDOW_MS[window ?? StatsWindow.DAY]);
  }

  @FieldResolver(() => [StatsPoint], {
    description: 'The same a step, oldest first, steps without an attempt among them. Kept for 7 days, however long deliveries are.',
  })
  async series(
    @Ctx() { services, budget }: Context,
    @Root() webhook: Webhook,
    @From() from: Date,
    @To() to?: Date | null,
    @Step() step?: SeriesStep | null,
  ): Promise<readonly StatsPoint[]> {
    return readSeries({ services, budget }, webhook.id, { from, to, step });
  }

  @FieldResolver(() => DeliveryBacklog, { description: 'What it is to get yet.' })
  async backlog(@Ctx() { services, budget }: Context, @Root() webhook: Webhook): Promise<DeliveryBacklog> {
    return budget.reading(() => services.unfinished(webhook.id));
  }

  @FieldResolver(() => DeliveryConnection, { description: 'Newest first; needs the scope DELIVERIES_READ.' })
  async deliveries(
    @Ctx() context: Context,
    @Root() webhook: Webhook,
    @First() first?: number | null,
    @After() after?: string | null,
    @Arg('filter', () => DeliveryFilter, { nullable: true, description: 'Only those that match all of it.' })
    filter?: DeliveryFilter | null,
  ): Promise<Connection<Delivery>> {
    const { webhookIds, ...selection } = checkFilter(filter);
    const isWanted = !webhookIds || webhookIds.includes(webhook.id);
    return deliveryConnection(
      { first, after },
      (delivery) => webhookIdOf(delivery) === webhook.id,
      (page) => listDeliveries(context, webhook.applicationId, { ...selection, webhookIds: isWanted ? [webhook.id] : [] }, page),
    );
  }

  @Query(() => Webhook, { nullable: true, description: 'By its id; null when there is none, or not for this key.' })
  async webhook(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the webhook.' }) id: string,
  ): Promise<Webhook | null> {
    return (await maySee(context, Scope.WEBHOOKS_READ, id)) ? context.services.webhooks.byId(id) : null;
  }

  @Query(() => WebhookConnection, { description: 'Those that are not deleted, in the order in which they were made.' })
  async webhooks(
    @Ctx() context: Context,
    @First() first?: number | null,
    @OfApplication() applicationId?: string | null,
    @After() after?: string | null,
    @Arg('filter', () => WebhookFilter, { nullable: true, description: 'Only those that match all of it.' }) filter?: WebhookFilter | null,
    @OrderBy() orderBy?: WebhookOrder | null,
  ): Promise<Connection<Webhook>> {
    return webhookConnection(context, applicationFor(context, Scope.WEBHOOKS_READ, applicationId, 'argument'), {
      first,
      after,
      filter,
      orderBy,
    });
  }

  @Mutation(() => WebhookCreatePayload, { description: 'It gets the very next event.' })
  async webhookCreate(
    @Ctx() context: Context,
    @Arg('input', () => WebhookCreateInput, { description: 'The new webhook.' }) input: WebhookCreateInput,
  ): Promise<Answer<WebhookCreatePayload>> {
    return answer(async () =>
      context.services.webhooks.create(applicationFor(context, Scope.WEBHOOKS_WRITE, input.applicationId, 'input'), input),
    );
  }

  @Mutation(() => WebhookPayload, { description: 'Changes what is given; holds from the very next request.' })
  async webhookUpdate(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the webhook.' }) id: string,
    @Arg('input', () => WebhookUpdateInput, { description: 'What to change.' }) input: WebhookUpdateInput,
  ): Promise<Answer<WebhookPayload>> {
    return answer(async () => ({ webhook: await context.services.webhooks.update(await own(context, id), input) }));
  }

  @Mutation(() => WebhookDeletePayload, { description: 'What still waits for it is cancelled.' })
  async webhookDelete(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the webhook.' }) id: string,
  ): Promise<Answer<WebhookDeletePayload>> {
    return answer(async () => ({ webhook: await context.services.webhooks.delete(await own(context, id)), deletedId: id }));
  }

  @Mutation(() => WebhookPayload, { description: 'Events keep being stored as deliveries; nothing is sent.' })
  async webhookPause(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the webhook.' }) id: string,
  ): Promise<Answer<WebhookPayload>> {
    return answer(async () => ({ webhook: await context.services.webhooks.pause(await own(context, id)) }));
  }

  @Mutation(() => WebhookPayload, { description: 'Sends again, beginning with what waited; enables a disabled webhook.' })
  async webhookResume(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the webhook.' }) id: string,
  ): Promise<Answer<WebhookPayload>> {
    return answer(async () => ({ webhook: await context.services.webhooks.resume(await own(context, id)) }));
  }

  @Mutation(() => WebhookSecretRotatePayload, { description: 'New secrets; the old ones go on signing beside them for a while.' })
  async webhookSecretRotate(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the webhook.' }) id: string,
    @Arg('input', () => WebhookSecretRotateInput, { nullable: true, description: 'Left out: a generated secret and a day of overlap.' })
    input?: WebhookSecretRotateInput | null,
  ): Promise<Answer<WebhookSecretRotatePayload>> {
    return answer(async () =>
      context.services.webhooks.rotateSecret(await own(context, id), {
        secret: input?.secret ?? null,
        overlapSeconds: input?.overlapSeconds ?? DEFAULT_OVERLAP_SECONDS,
      }),
    );
  }
}

async function diagnosis(context: Context, webhook: Webhook): Promise<Diagnosis> {
  return diagnose(webhook, {
    payloadQueryProblem: payloadQueryProblem(context, webhook),
    isVerificationMissing: context.services.isVerificationRequired && webhook.verification === WebhookVerification.NONE,
    orderProblem: await context.services.orderProblem(webhook),
    stored: await context.loaders.storedHealth.load(webhook.id),
    costlyFilter: await context.loaders.costlyFilter.load(webhook.id),
    caution: context.services.caution(webhook.id, webhook.version),
  });
}

function payloadQueryProblem({ services }: Context, { payloadQuery }: Webhook): string | null {
  return payloadQuery === null ? null : services.compilePayloadQuery(payloadQuery).problem;
}

async function own(context: Context, id: string): Promise<string> {
  return (await maySee(context, Scope.WEBHOOKS_WRITE, id)) ? id : refuseUnknownWebhook(id);
}

import { GraphQLJSON } from 'graphql-scalars';
import { Arg, Ctx, Field, FieldResolver, ID, InputType, Int, ObjectType, Query, Resolver, Root } from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { HubError, InputRefused, Problems, shown } from '../../errors';
import type { Event } from '../../events/event';
import { checkEvent } from '../../events/publish';
import { sampleEvent } from '../../events/sample-event';
import type { PayloadQuery } from '../../webhooks/payload-query';
import { WebhookFormat } from '../../webhooks/webhook';
import { applicationFor, type Context, findEvent, mayEnter, maySee, OfApplication, requireScope } from '../context';
import { PayloadQueryFailed } from '../payload-queries';
import { MAX_PREVIEWED_EVENTS, PreviewedEvent, PreviewProblem, previewSelection, SelectionPreview } from '../selection-preview';

@ObjectType({ description: 'What a payload query makes of an event, or why it makes nothing.' })
export class PayloadPreview {
  @Field(() => String, { nullable: true, description: 'The whole body as it would be sent.' })
  body!: string | null;

  @Field(() => [String], { description: 'What is wrong with the query; empty when there is a body.' })
  errors!: readonly string[];

  @Field(() => [PreviewProblem], { description: 'The same, each with its place in the document.' })
  problems!: readonly PreviewProblem[];
}

@InputType({ description: 'A webhook as it might be.' })
export class WebhookPreviewInput {
  @Field(() => ID, { nullable: true, description: 'The application whose events to look at. A key of its own may leave it out.' })
  applicationId?: string | null;

  @Field(() => [String], { nullable: true, description: 'As in WebhookCreateInput.' })
  eventTypes?: string[] | null;

  @Field(() => GraphQLJSON, { nullable: true, description: 'As in WebhookCreateInput.' })
  filter?: unknown;

  @Field(() => String, { nullable: true, description: 'As in WebhookCreateInput.' })
  payloadQuery?: string | null;

  @Field(() => WebhookFormat, { nullable: true, description: 'As in WebhookCreateInput.' })
  format?: WebhookFormat | null;
}

const NEEDS = 'Needs the scopes EVENTS_READ and PAYLOADS_READ: by bisecting, a filter tells all that it asks about.';
const DEFAULT_TYPE = 'sample.event';
/** A sample is in no log. */

const Last = (most: number) =>
  Arg('last', () => Int, {
    nullable: true,
    defaultValue: most,
    description: `How many of the newest events to look at: 1 to ${MAX_PREVIEWED_EVENTS}.`,
  });

/** What was looked at, with the format that bodies are asked for in. */
interface WithFormat extends PreviewedEvent {
  readonly format?: WebhookFormat;
  made?: Promise<PayloadPreview>;
}

@Resolver(() => PreviewedEvent)
export class PreviewResolver {
  @FieldResolver(() => String, {
    nullable: true,
    description: 'The whole body as it would be sent; null where it would not be, or cannot be made.',
  })
  async body(@Ctx() context: Context, @Root() row: WithFormat): Promise<string | null> {
    return row.isTaken ? (await made(context, row)).body : null;
  }

  @FieldResolver(() => [PreviewProblem], { description: 'Why the body cannot be made; empty where it can, or would not be sent.' })
  async bodyProblems(@Ctx() context: Context, @Root() row: WithFormat): Promise<readonly PreviewProblem[]> {
    return row.isTaken ? (await made(context, row)).problems : [];
  }

  @Query(() => PayloadPreview, {
    description:
      'The body that a payload query would make: of an event, which needs the scopes EVENTS_READ and PAYLOADS_READ, or of a sample, which needs EVENTS_READ.',
  })
  async payloadPreview(
    @Ctx() context: Context,
    @Arg('payloadQuery', () => String, { description: 'A subscription document with the single root field `event`.' }) payloadQuery: string,
    @OfApplication() applicationId?: string | null,
    @Arg('eventId', () => ID, { nullable: true, description: 'The event to run it on; or give a `payload`.' }) eventId?: string | null,
    @Arg('eventType', () => String, { nullable: true, description: `The type of the sample; default: ${DEFAULT_TYPE}.` })
    eventType?: string | null,
    @Arg('payload', () => GraphQLJSON, { nullable: true, description: 'A sample payload to run it on, in the place of an event.' })
    payload?: unknown,
  ): Promise<PayloadPreview> {
    const isSample = payload !== undefined;
    if (isSample === (typeof eventId === 'string')) throw new HubError('BAD_USER_INPUT', 'expected either eventId or payload');
    const event =
      typeof eventId === 'string'
        ? await storedEvent(context, eventId)
        : checkedSample(context, applicationFor(context, Scope.EVENTS_READ, applicationId, 'argument'), eventType ?? DEFAULT_TYPE, payload);
    return bodyOf(context, event, context.services.compilePayloadQuery(payloadQuery));
  }

  @Query(() => SelectionPreview, { description: `Which of the newest events a filter takes, and why not the others. ${NEEDS}` })
  async filterPreview(
    @Ctx() context: Context,
    @Arg('filter', () => GraphQLJSON, { description: 'A condition as a webhook’s.' }) filter: unknown,
    @Last(MAX_PREVIEWED_EVENTS) last: number,
    @OfApplication() applicationId?: string | null,
    @Arg('eventTypes', () => [String], { nullable: true, description: 'Names or wildcards; default ["*"].' }) eventTypes?: string[] | null,
  ): Promise<SelectionPreview> {
    return preview(context, applicationId, { filter, eventTypes }, last);
  }

  @Query(() => SelectionPreview, {
    description: `What a webhook that is not saved yet would get of the newest events, why not the others, and the bodies. ${NEEDS}`,
  })
  async webhookPreview(
    @Ctx() context: Context,
    @Arg('input', () => WebhookPreviewInput, { description: 'The webhook.' }) input: WebhookPreviewInput,
    @Last(10) last: number,
  ): Promise<SelectionPreview> {
    const found = await preview(context, input.applicationId, input, last);
    return { ...found, events: found.events.map((row) => ({ ...row, format: input.format ?? WebhookFormat.STANDARD })) };
  }
}

async function preview(
  context: Context,
  applicationId: string | null | undefined,
  previewed: Parameters<typeof previewSelection>[2],
  last: number | null,
): Promise<SelectionPreview> {
  requireScope(context, Scope.PAYLOADS_READ);
  const owner = applicationFor(context, Scope.EVENTS_READ, applicationId, 'argument');
  if (!(await mayEnter(context, owner))) return { events: [], taken: 0, isCut: false, problems: [] };
  return previewSelection(context, owner, previewed, last ?? MAX_PREVIEWED_EVENTS);
}

async function storedEvent(context: Context, eventId: string): Promise<Event> {
  requireScope(context, Scope.PAYLOADS_READ);
  const event = (await maySee(context, Scope.EVENTS_READ, eventId)) ? await findEvent(context, eventId) : null;
  if (event === null) throw new HubError('BAD_USER_INPUT', `eventId: expected the id of an event, got ${shown(eventId)}`);
  return event;
}

function checkedSample({ services }: Context, applicationId: string, type: string, payload: unknown): Event {
  const problems = new Problems();
  const { payloadText } = checkEvent({ type, payload }, problems);
  if (problems.found.length > 0)
    throw new HubError('BAD_USER_INPUT', new InputRefused(problems.found).message.replace(/^type: /, 'eventType: '));
  return sampleEvent({ applicationId, type, payloadText, now: services.clock.now() });
}

/** Made once, when one of the two fields asks for it. */
function made(context: Context, row: WithFormat): Promise<PayloadPreview> {
  row.made ??= bodyOf(context, row.event, row.query, row.format);
  return row.made;
}

async function bodyOf(
  { services, budget }: Context,
  event: Event,
  query: PayloadQuery | null,
  format = WebhookFormat.STANDARD,
): Promise<PayloadPreview> {
  if (query !== null && query.problem !== null) return failed(query.problem, query.problems);
  budget.demand(query === null ? event.payloadText.length : 0);
  const body = await services.shaper.bodyFor(event, null, query, format);
  if ('problem' in body) return failed(body.problem, body.cause instanceof PayloadQueryFailed ? body.cause.problems : undefined);
  body.release();
  return { body: body.body.bytes.toString(), errors: [], problems: [] };
}

function failed(message: string, places: PayloadQuery['problems'] = [{ message, line: null, column: null }]): PayloadPreview {
  return { body: null, errors: [message], problems: places.map((one) => ({ ...one, field: 'payloadQuery' })) };
}

import { GraphQLJSON, GraphQLSafeInt } from 'graphql-scalars';
import { Arg, Ctx, Field, FieldResolver, ID, InputType, Mutation, ObjectType, Query, Resolver, Root, Subscription } from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { decodeCursor, encodeCursor } from '../../cursor';
import { Delivery } from '../../deliveries/delivery';
import { sequenceProblems } from '../../deliveries/selection';
import { HubError, InputRefused, refuseLongList } from '../../errors';
import { Event } from '../../events/event';
import type { EventColumns } from '../../events/events';
import { at } from '../../events/path';
import { type EventInput, MAX_EVENTS_PER_PUBLISH } from '../../events/publish';
import type { Published } from '../../events/publisher';
import { refuseUnknownEvent } from '../../events/redactions';
import type { EventSelection } from '../../events/search';
import { applicationIdOf, sequenceOf } from '../../ids';
import { eventStream } from '../../live/streams';
import { compileCondition } from '../../matching/condition';
import { eventTypePatternProblem } from '../../matching/event-type';
import { NOTHING, type PageRequest, type SearchAllowance } from '../../store/page';
import { After, type Connection, connection, First, pageRequest, searchedConnectionType } from '../connection';
import {
  applicationFor,
  asSubscription,
  type Context,
  findEvent,
  mayEnter,
  maySee,
  OfApplication,
  readEventPage,
  requireScope,
  searchAllowance,
} from '../context';
import { type Answer, answer, UserError, UserErrors, userErrors } from '../user-error';
import { DeliveryConnection, deliveryConnection, listDeliveries } from './delivery-resolver';

@InputType()
abstract class EventFields implements EventInput {
  @Field(() => String, { description: 'A dotted name: order.created' })
  type!: string;

  @Field(() => GraphQLJSON, { description: 'At most 1 MiB; its keys keep their order. Any JSON, null included.' })
  payload!: unknown;

  @Field(() => String, {
    nullable: true,
    description: 'Same key, same application: the first event comes back, deduplicated: true, nothing is sent again.',
  })
  idempotencyKey?: string | null;

  @Field(() => String, { nullable: true, description: 'For webhooks with ordering BY_KEY.' })
  orderingKey?: string | null;

  @Field(() => Date, { nullable: true, description: 'Default: now.' })
  occurredAt?: Date | null;
}

@InputType({ description: 'An event to store and deliver.' })
export class EventPublishInput extends EventFields {
  @Field(() => ID, {
    nullable: true,
    description: 'The application to publish for. A key of its own may leave it out, and so may each event of a batch.',
  })
  applicationId?: string | null;
}

@InputType({ description: 'Events to store and deliver.' })
export class EventsPublishInput {
  @Field(() => ID, { nullable: true, description: 'The application to publish for. A key of its own may leave it out.' })
  applicationId?: string | null;

  @Field(() => [EventPublishInput], { description: `1 to ${MAX_EVENTS_PER_PUBLISH}, stored in this order.` })
  events!: EventPublishInput[];
}

@InputType({ description: 'What is left out does not restrict.' })
export class EventFilter {
  @Field(() => [String], { nullable: true, description: 'Names or wildcards.' })
  types?: string[] | null;

  @Field(() => String, { nullable: true, description: 'The one published with this key.' })
  idempotencyKey?: string | null;

  @Field(() => Date, { nullable: true, description: 'Those stored later.' })
  createdAfter?: Date | null;

  @Field(() => Date, { nullable: true, description: 'Those stored earlier.' })
  createdBefore?: Date | null;

  @Field(() => String, { nullable: true, description: 'Those with this ordering key.' })
  orderingKey?: string | null;

  @Field(() => GraphQLSafeInt, { nullable: true, description: 'Those with this sequence or a higher one.' })
  minSequence?: number | null;

  @Field(() => GraphQLSafeInt, { nullable: true, description: 'Those with this sequence or a lower one.' })
  maxSequence?: number | null;

  @Field(() => GraphQLJSON, {
    nullable: true,
    description:
      "Those that a condition like a webhook's `filter` takes: an object in a variable, or its JSON in a string. Needs the scope PAYLOADS_READ. It is searched for from the newest event back: see `searchedUntil`.",
  })
  condition?: unknown;
}

@ObjectType({ description: 'What became of an event.' })
export class EventPublishPayload {
  @Field(() => Event, { nullable: true, description: 'As it is stored.' })
  event?: Event | null;

  @Field(() => Boolean, { description: 'The event was there already, under the same idempotency key.' })
  deduplicated!: boolean;

  @UserErrors()
  userErrors!: UserError[];
}

@ObjectType({ description: 'A redacted event, or what was wrong.' })
export class EventRedactPayload {
  @Field(() => Event, { nullable: true, description: 'As it is now.' })
  event?: Event | null;

  @UserErrors()
  userErrors!: UserError[];
}

@ObjectType({ description: 'What became of each event.' })
export class EventsPublishPayload {
  @Field(() => [EventPublishPayload], { description: 'One for each event given, in their order.' })
  results!: EventPublishPayload[];

  @Field(() => [UserError], { description: 'What is wrong with the input as a whole.' })
  userErrors!: UserError[];
}

const EventConnection = searchedConnectionType(Event);

@Resolver(() => Event)
export class EventResolver {
  @FieldResolver(() => GraphQLJSON, {
    nullable: true,
    description: 'A part of the payload: `order.lines.0.sku`. Null where there is none, or for a key without PAYLOADS_READ.',
  })
  get(@Root() event: Event, @Arg('path', () => String, { description: 'Keys and indices, joined by dots.' }) path: string): unknown {
    return at(event.payload, path);
  }

  @FieldResolver(() => DeliveryConnection, { description: 'One for each webhook that it went to; needs the scope DELIVERIES_READ.' })
  async deliveries(
    @Ctx() context: Context,
    @Root() event: Event,
    @First() first?: number | null,
    @After() after?: string | null,
  ): Promise<Connection<Delivery>> {
    return deliveryConnection(
      { first, after },
      (id) => applicationIdOf(id) === event.applicationId && sequenceOf(id) === event.sequence,
      (page) => listDeliveries(context, event.applicationId, { eventIds: [event.id] }, page),
    );
  }

  @Query(() => Event, { nullable: true, description: 'By its id; null when there is none, or not for this key.' })
  async event(@Ctx() context: Context, @Arg('id', () => ID, { description: 'The id of the event.' }) id: string): Promise<Event | null> {
    return (await maySee(context, Scope.EVENTS_READ, id)) ? findEvent(context, id) : null;
  }

  @Query(() => EventConnection, { description: 'Newest first.' })
  async events(
    @Ctx() context: Context,
    @First() first?: number | null,
    @OfApplication() applicationId?: string | null,
    @After() after?: string | null,
    @Arg('filter', () => EventFilter, { nullable: true, description: 'Only those that match all of it.' }) filter?: EventFilter | null,
  ): Promise<Connection<Event>> {
    const owner = applicationFor(context, Scope.EVENTS_READ, applicationId, 'argument');
    const selection = checkFilter(context, filter ?? {});
    const request = pageRequest({ first, after }, (cursor) => String(decodeCursor('event', owner, cursor)));
    let allowance: SearchAllowance | undefined; // one for all parts of the page
    const list = (page: PageRequest, columns: EventColumns) => {
      allowance ??= searchAllowance(context);
      return context.services.listEvents(owner, selection, page, columns, allowance);
    };
    const page = (await mayEnter(context, owner)) ? await readEventPage(context, request, list) : NOTHING;
    return connection<Event>(
      page,
      (event) => event.cursor,
      request,
      (sequence) => encodeCursor('event', owner, Number(sequence)),
    );
  }

  @Mutation(() => EventPublishPayload, {
    description:
      'Answers when the event is on disk, with its deliveries. Of the event, a key with EVENTS_PUBLISH alone reads `id`, `sequence` and `cursor`.',
  })
  async eventPublish(
    @Ctx() context: Context,
    @Arg('input', () => EventPublishInput, { description: 'The event.' }) input: EventPublishInput,
  ): Promise<Answer<EventPublishPayload>> {
    const payload = await counted(context, 1, () =>
      answer<Partial<EventPublishPayload>>(async () => {
        const applicationId = applicationFor(context, Scope.EVENTS_PUBLISH, input.applicationId, 'input');
        return { ...(await context.services.publisher.publish({ applicationId, traceContext: context.traceContext }, input)) };
      }),
    );
    return { deduplicated: false, ...payload };
  }

  @Mutation(() => EventsPublishPayload, {
    description: 'Up to 1,000 events, each on its own merit: a wrong one leaves its neighbours alone.',
  })
  async eventsPublish(
    @Ctx() context: Context,
    @Arg('input', () => EventsPublishInput, { description: 'The events.' }) input: EventsPublishInput,
  ): Promise<Answer<EventsPublishPayload>> {
    const { length } = input.events;
    const payload = await counted(context, length, () =>
      answer<Partial<EventsPublishPayload>>(async () => {
        const applicationId = applicationFor(context, Scope.EVENTS_PUBLISH, input.applicationId, 'input');
        const published = await context.services.publisher.publishAll({ applicationId, traceContext: context.traceContext }, input.events);
        return { results: published.map((each) => resultOf(context, each)) };
      }),
    );
    return { results: [], ...payload };
  }

  @Mutation(() => EventRedactPayload, {
    description:
      'Blanks the payload of an event for good, with all that was stored of it: bodies, and the responses of its deliveries, which may repeat it. What was not delivered yet is cancelled. The event keeps its id, type, keys and place. Needs the scope EVENTS_REDACT.',
  })
  async eventRedact(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the event.' }) id: string,
  ): Promise<Answer<EventRedactPayload>> {
    return answer(async () => {
      if (!(await maySee(context, Scope.EVENTS_REDACT, id))) return refuseUnknownEvent(id);
      return { event: await context.services.redactions.redact(id) };
    });
  }

  @Subscription(() => Event, {
    description:
      'Events of an application in sequence order: those after `after`, then live ones. None missed, none repeated, whatever instance serves it and however often it reconnects.',
    subscribe: async ({ args, context }: { args: EventSubscriptionArguments; context: Context }) => {
      const applicationId = applicationFor(context, Scope.EVENTS_READ, args.applicationId, 'argument');
      // By bisecting, a filter tells all that it asks about.
      if ((args.filter ?? null) !== null) requireScope(context, Scope.PAYLOADS_READ);
      return asSubscription(context, () => eventStream(context.services.eventLog, { ...args, applicationId }, context.services.slices));
    },
    name: 'event',
  })
  eventSubscription(
    @Root() event: Event,
    @OfApplication() _applicationId?: string | null,
    @Arg('types', () => [String], { nullable: true, description: 'Names or wildcards.' }) _types?: string[] | null,
    @Arg('filter', () => GraphQLJSON, {
      nullable: true,
      description: "A condition like a webhook's: an object in a variable, or its JSON in a string. Needs the scope PAYLOADS_READ.",
    })
    _filter?: unknown,
    @Arg('after', () => String, { nullable: true, description: "An event's `cursor`." }) _after?: string | null,
  ): Event {
    return event;
  }
}

function checkFilter(context: Context, { condition, ...filter }: EventFilter): EventSelection {
  refuseLongList('filter.types', filter.types);
  for (const pattern of filter.types ?? []) {
    const problem = eventTypePatternProblem(pattern);
    if (problem) throw new HubError('BAD_USER_INPUT', `filter.types: ${problem}`);
  }
  for (const [field, problem] of sequenceProblems(filter)) throw new HubError('BAD_USER_INPUT', `filter.${field}: ${problem}`);
  if (condition === undefined || condition === null) return filter;
  // By bisecting, a condition tells all that it asks about.
  requireScope(context, Scope.PAYLOADS_READ);
  const compiled = compileCondition(condition);
  if ('problem' in compiled) throw new HubError('BAD_USER_INPUT', `filter.condition: ${compiled.problem}`);
  return { ...filter, condition: compiled.condition };
}

interface EventSubscriptionArguments {
  readonly applicationId?: string | null;
  readonly types?: string[] | null;
  readonly filter?: unknown;
  readonly after?: string | null;
}

/** Counts the events of a publish that was refused or failed as a whole. */
async function counted<P extends { userErrors: UserError[] }>(context: Context, events: number, publish: () => Promise<P>): Promise<P> {
  try {
    const payload = await publish();
    const [problem] = payload.userErrors;
    if (problem) context.services.refused(problem.code, events);
    return payload;
  } catch (error) {
    context.services.refused(error instanceof HubError ? error.code : 'INTERNAL_SERVER_ERROR', events);
    throw error;
  }
}

/** What became of one event of a batch. */
function resultOf({ services }: Context, published: Published): EventPublishPayload {
  if (!(published instanceof InputRefused)) return { ...published, userErrors: [] };
  const [problem] = published.problems;
  if (problem) services.refused(problem.code, 1);
  return { deduplicated: false, userErrors: userErrors(published) };
}

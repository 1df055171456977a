import { GraphQLJSON } from 'graphql-scalars';
import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { EventType } from '../../events/event-type-record';
import { eventTypeProblem } from '../../matching/event-type';
import { NOTHING } from '../../store/page';
import { After, type Connection, connection, connectionType, First, pageRequest } from '../connection';
import { applicationFor, type Context, mayEnter, OfApplication } from '../context';
import { type Answer, answer, type UserError, UserErrors } from '../user-error';

@InputType({ description: 'A name that events can have, and what their payloads must look like.' })
export class EventTypeRegisterInput {
  @Field(() => ID, { nullable: true, description: 'The application it belongs to. A key of its own may leave it out.' })
  applicationId?: string | null;

  @Field(() => String, { description: 'A dotted name: order.created' })
  name!: string;

  @Field(() => String, { nullable: true, description: 'For people. Left out: as it was; null: none.' })
  description?: string | null;

  @Field(() => GraphQLJSON, { nullable: true, description: 'JSON Schema, draft 2020-12. Left out: as it was; null: none.' })
  schema?: unknown;

  @Field(() => [GraphQLJSON], {
    nullable: 'itemsAndList',
    description:
      'Payloads as they may look, at most 10 of 65,536 characters together, that fit the schema. Left out: as they were; null: none.',
  })
  examples?: unknown[] | null;
}

@InputType({ description: 'A registered event type.' })
export class EventTypeArchiveInput {
  @Field(() => ID, { nullable: true, description: 'The application it belongs to. A key of its own may leave it out.' })
  applicationId?: string | null;

  @Field(() => String, { description: 'Its name.' })
  name!: string;
}

@ObjectType({ description: 'An event type, or what was wrong with the input.' })
export class EventTypePayload {
  @Field(() => EventType, { nullable: true, description: 'As it is now; null where the input was refused.' })
  eventType?: EventType | null;

  @UserErrors()
  userErrors!: UserError[];
}

const EventTypeConnection = connectionType(EventType);

@Resolver(() => EventType)
export class EventTypeResolver {
  @Query(() => EventType, { nullable: true, description: 'By its name: registered, or seen; null where it is neither.' })
  async eventType(
    @Ctx() context: Context,
    @Arg('name', () => String, { description: 'Its name.' }) name: string,
    @OfApplication() applicationId?: string | null,
  ): Promise<EventType | null> {
    const owner = applicationFor(context, Scope.EVENTS_READ, applicationId, 'argument');
    return (await mayEnter(context, owner)) ? context.services.eventTypes.byName(owner, name) : null;
  }

  @Query(() => EventTypeConnection, { description: 'Registered event types by name, archived ones among them.' })
  async eventTypes(
    @Ctx() context: Context,
    @First() first: number,
    @OfApplication() applicationId?: string | null,
    @After() after?: string | null,
    @Arg('seen', () => Boolean, {
      nullable: true,
      defaultValue: false,
      description:
        "Those too that events have and nobody has registered, the thousand used last. The hub's own, livehook.…, are not among them.",
    })
    seen?: boolean | null,
  ): Promise<Connection<EventType>> {
    const owner = applicationFor(context, Scope.EVENTS_READ, applicationId, 'argument');
    const request = pageRequest({ first, after }, (cursor) => decodeKeyCursor(cursor, (key) => eventTypeProblem(key) === null));
    const page = (await mayEnter(context, owner))
      ? await context.services.eventTypes.list(owner, request, { isSeenToo: seen ?? false })
      : NOTHING;
    return connection<EventType>(page, (row) => encodeKeyCursor(row.name), request);
  }

  @Mutation(() => EventTypePayload, { description: 'Registers a type, or changes a registered one; brings an archived one back.' })
  async eventTypeRegister(
    @Ctx() context: Context,
    @Arg('input', () => EventTypeRegisterInput, { description: 'The type, and what changes of it.' }) input: EventTypeRegisterInput,
  ): Promise<Answer<EventTypePayload>> {
    return answer(async () => {
      const owner = applicationFor(context, Scope.EVENTS_PUBLISH, input.applicationId, 'input');
      return { eventType: await context.services.eventTypes.register(owner, input) };
    });
  }

  @Mutation(() => EventTypePayload, { description: 'Refuses further events of the type; those that are stored stay.' })
  async eventTypeArchive(
    @Ctx() context: Context,
    @Arg('input', () => EventTypeArchiveInput, { description: 'The type.' }) input: EventTypeArchiveInput,
  ): Promise<Answer<EventTypePayload>> {
    return answer(async () => {
      const owner = applicationFor(context, Scope.EVENTS_PUBLISH, input.applicationId, 'input');
      return { eventType: await context.services.eventTypes.archive(owner, input.name) };
    });
  }
}

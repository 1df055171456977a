import { GraphQLJSON } from 'graphql-scalars';
import { Arg, Ctx, Field, ID, InputType, Int, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { eventTypeProblem } from '../../events/event-type';
import { EventType } from '../../events/event-type-record';
import { type Connection, connection, connectionType, pageRequest } from '../connection';
import { applicationFor, type Context } from '../context';
import { type Answer, answer, UserError } from '../user-error';

@InputType()
export class EventTypeRegisterInput {
  @Field(() => ID, { nullable: true })
  applicationId?: string | null;

  @Field(() => String, { description: 'A dotted name: order.created' })
  name!: string;

  @Field(() => String, { nullable: true })
  description?: string | null;

  @Field(() => GraphQLJSON, { nullable: true, description: 'JSON Schema, draft 2020-12. Left out: as it was; null: none.' })
  schema?: unknown;
}

@InputType()
export class EventTypeArchiveInput {
  @Field(() => ID, { nullable: true })
  applicationId?: string | null;

  @Field(() => String)
  name!: string;
}

@ObjectType()
export class EventTypePayload {
  @Field(() => EventType, { nullable: true })
  eventType?: EventType | null;

  @Field(() => [UserError])
  userErrors!: UserError[];
}

const EventTypeConnection = connectionType(EventType);

@Resolver(() => EventType)
export class EventTypeResolver {
  @Query(() => EventTypeConnection, { description: 'Registered event types by name, archived ones among them.' })
  async eventTypes(
    @Ctx() context: Context,
    @Arg('first', () => Int, { defaultValue: 50 }) first: number,
    @Arg('applicationId', () => ID, { nullable: true }) applicationId?: string | null,
    @Arg('after', () => String, { nullable: true }) after?: string | null,
  ): Promise<Connection<EventType>> {
    const owner = applicationFor(context, Scope.EVENTS_READ, applicationId, 'argument');
    const request = pageRequest({ first, after }, (cursor) => decodeKeyCursor(cursor, (key) => eventTypeProblem(key) === null));
    return connection(await context.services.eventTypes.list(owner, request), (row) => encodeKeyCursor(row.name), request);
  }

  @Mutation(() => EventTypePayload, { description: 'Registers a type, or changes a registered one; brings an archived one back.' })
  async eventTypeRegister(
    @Ctx() context: Context,
    @Arg('input', () => EventTypeRegisterInput) input: EventTypeRegisterInput,
  ): Promise<Answer<EventTypePayload>> {
    return answer(async () => {
      const owner = applicationFor(context, Scope.EVENTS_PUBLISH, input.applicationId, 'input');
      return { eventType: await context.services.eventTypes.register(owner, input) };
    });
  }

  @Mutation(() => EventTypePayload, { description: 'Refuses further events of the type; those that are stored stay.' })
  async eventTypeArchive(
    @Ctx() context: Context,
    @Arg('input', () => EventTypeArchiveInput) input: EventTypeArchiveInput,
  ): Promise<Answer<EventTypePayload>> {
    return answer(async () => {
      const owner = applicationFor(context, Scope.EVENTS_PUBLISH, input.applicationId, 'input');
      return { eventType: await context.services.eventTypes.archive(owner, input.name) };
    });
  }
}

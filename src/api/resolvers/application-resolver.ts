import { GraphQLJSON } from 'graphql-scalars';
import { Arg, Ctx, Field, ID, InputType, Int, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { Application } from '../../applications/application';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { HubError } from '../../errors';
import { isId } from '../../ids';
import { type Connection, connection, connectionType, pageRequest } from '../connection';
import { type Context, requireAdmin, requireCaller } from '../context';
import { type Answer, answer, UserError } from '../user-error';

@InputType()
export class ApplicationCreateInput {
  @Field(() => String, { nullable: true, description: 'Your own unique name for it, such as a customer number.' })
  key?: string | null;

  @Field(() => String)
  name!: string;

  @Field(() => GraphQLJSON, { nullable: true })
  metadata?: unknown;

  @Field(() => Int, {
    nullable: true,
    description: 'Days that events, deliveries and attempts are kept: 1 to 3650; null: LIVEHOOK_RETENTION.',
  })
  retentionDays?: number | null;
}

@InputType({ description: 'An omitted field stays as it is, null clears it.' })
export class ApplicationUpdateInput {
  @Field(() => String, { nullable: true })
  key?: string | null;

  @Field(() => String, { nullable: true })
  name?: string;

  @Field(() => GraphQLJSON, { nullable: true })
  metadata?: unknown;

  @Field(() => Int, {
    nullable: true,
    description: 'Days that events, deliveries and attempts are kept: 1 to 3650; null: LIVEHOOK_RETENTION.',
  })
  retentionDays?: number | null;
}

@ObjectType()
export class ApplicationPayload {
  @Field(() => Application, { nullable: true })
  application?: Application | null;

  @Field(() => [UserError])
  userErrors!: UserError[];
}

@ObjectType()
export class ApplicationDeletePayload {
  @Field(() => ID, { nullable: true })
  deletedId?: string | null;

  @Field(() => Application, { nullable: true, description: 'As it was.' })
  application?: Application | null;

  @Field(() => [UserError])
  userErrors!: UserError[];
}

const ApplicationConnection = connectionType(Application);

@Resolver(() => Application)
export class ApplicationResolver {
  @Query(() => Application, {
    nullable: true,
    description: 'By its id or by your own key for it; without either, the one the key belongs to.',
  })
  async application(
    @Ctx() context: Context,
    @Arg('id', () => ID, { nullable: true }) id?: string | null,
    @Arg('key', () => String, { nullable: true }) key?: string | null,
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
    @Arg('first', () => Int, { defaultValue: 50 }) first: number,
    @Arg('after', () => String, { nullable: true }) after?: string | null,
  ): Promise<Connection<Application>> {
    requireAdmin(context);
    const request = pageRequest({ first, after }, (cursor) => decodeKeyCursor(cursor, (key) => isId('app', key)));
    return connection(await context.services.applications.list(request), (row) => encodeKeyCursor(row.id), request);
  }

  @Mutation(() => ApplicationPayload)
  async applicationCreate(
    @Ctx() context: Context,
    @Arg('input', () => ApplicationCreateInput) input: ApplicationCreateInput,
  ): Promise<Answer<ApplicationPayload>> {
    requireAdmin(context);
    return answer(async () => ({ application: await context.services.applications.create(input) }));
  }

  @Mutation(() => ApplicationPayload)
  async applicationUpdate(
    @Ctx() context: Context,
    @Arg('id', () => ID) id: string,
    @Arg('input', () => ApplicationUpdateInput) input: ApplicationUpdateInput,
  ): Promise<Answer<ApplicationPayload>> {
    requireAdmin(context);
    return answer(async () => ({ application: await context.services.applications.update(id, input) }));
  }

  @Mutation(() => ApplicationDeletePayload, { description: 'Its keys end at once, its rows are removed in the background.' })
  async applicationDelete(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Answer<ApplicationDeletePayload>> {
    requireAdmin(context);
    return answer(async () => ({ application: await context.services.applications.delete(id), deletedId: id }));
  }
}

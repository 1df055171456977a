import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { ApiKey, Scope } from '../../applications/api-key';
import { Application } from '../../applications/application';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { isId } from '../../ids';
import { NOTHING } from '../../store/page';
import { After, type Connection, connection, connectionType, First, type PageArguments, pageRequest } from '../connection';
import { auditedApplication, type Context, mayEnter, requireAdmin, requireCaller } from '../context';
import { type Answer, answer, type UserError, UserErrors } from '../user-error';

@InputType({ description: 'What a new key is for and what it may do.' })
export class ApiKeyCreateInput {
  @Field(() => ID, { nullable: true, description: 'The application it acts for; left out: an admin key.' })
  applicationId?: string | null;

  @Field(() => String, { nullable: true, description: 'What it is for; for people.' })
  name?: string | null;

  @Field(() => [Scope], { nullable: true, description: "All of an application's when left out." })
  scopes?: Scope[] | null;

  @Field(() => Date, { nullable: true, description: 'When it ends by itself; never when left out.' })
  expiresAt?: Date | null;

  @Field(() => [String], {
    nullable: true,
    description: 'CIDRs of the networks that it may be used from, such as 203.0.113.0/24, at most 100; from anywhere when left out.',
  })
  allowedNetworks?: string[] | null;
}

@ObjectType({ description: 'A new key and, this once, its token.' })
export class ApiKeyCreatePayload {
  @Field(() => ApiKey, { nullable: true, description: 'The key, without its token.' })
  apiKey?: ApiKey | null;

  @Field(() => String, { nullable: true, description: 'Shown this once: only its hash is stored.' })
  token?: string | null;

  @UserErrors()
  userErrors!: UserError[];
}

@ObjectType({ description: 'A key.' })
export class ApiKeyPayload {
  @Field(() => ApiKey, { nullable: true, description: 'The key as it is now.' })
  apiKey?: ApiKey | null;

  @UserErrors()
  userErrors!: UserError[];
}

@ObjectType({ description: 'The caller.' })
export class Viewer {
  @Field(() => Boolean, { description: 'Whether it is an admin key.' })
  admin!: boolean;

  @Field(() => Application, { nullable: true, description: "The key's application; null for an admin key." })
  application?: Application | null;

  @Field(() => ApiKey, { description: 'The key that came with the request.' })
  apiKey!: ApiKey;
}

export const ApiKeyConnection = connectionType(ApiKey);

/** Keys of an application, or with null the admin keys. */
export async function keyConnection(context: Context, owner: string | null, page: PageArguments): Promise<Connection<ApiKey>> {
  const { lastUses, apiKeys } = context.services;
  const request = pageRequest(page, (cursor) => decodeKeyCursor(cursor, (key) => isId('key', key)));
  await lastUses.flush();
  const mayRead = owner === null || (await mayEnter(context, owner));
  return connection(mayRead ? await apiKeys.list(owner, request) : NOTHING, (row) => encodeKeyCursor(row.id), request);
}

@Resolver(() => ApiKey)
export class ApiKeyResolver {
  @Query(() => Viewer, { description: 'The caller.' })
  async viewer(@Ctx() context: Context): Promise<Viewer> {
    const { apiKey, applicationId } = requireCaller(context);
    const application = applicationId === null ? null : await context.services.applications.byId(applicationId);
    return { admin: applicationId === null, application, apiKey };
  }

  @Query(() => ApiKeyConnection, {
    description:
      'Keys, those that have ended as well, in the order of their ids. Needs the scope AUDIT_READ. Admin keys see their own kind without `applicationId`.',
  })
  async apiKeys(
    @Ctx() context: Context,
    @First() first?: number | null,
    @Arg('applicationId', () => ID, {
      nullable: true,
      description: 'Whose keys. A key of its own may leave it out; with an admin key that lists the admin keys.',
    })
    applicationId?: string | null,
    @After() after?: string | null,
  ): Promise<Connection<ApiKey>> {
    return keyConnection(context, auditedApplication(context, applicationId), { first, after });
  }

  @Mutation(() => ApiKeyCreatePayload, { description: 'Makes a key for an application, or another admin key. Needs an admin key.' })
  async apiKeyCreate(
    @Ctx() context: Context,
    @Arg('input', () => ApiKeyCreateInput, { description: 'What the key is for.' }) input: ApiKeyCreateInput,
  ): Promise<Answer<ApiKeyCreatePayload>> {
    requireAdmin(context);
    return answer(async () => context.services.apiKeys.create(input));
  }

  @Mutation(() => ApiKeyPayload, { description: 'Ends a key at once, and every stream it opened. Needs an admin key.' })
  async apiKeyRevoke(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the key.' }) id: string,
  ): Promise<Answer<ApiKeyPayload>> {
    requireAdmin(context);
    return answer(async () => ({ apiKey: await context.services.apiKeys.revoke(id) }));
  }
}

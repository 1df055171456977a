import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { ApiKey, Scope } from '../../applications/api-key';
import { Application } from '../../applications/application';
import { type Context, requireAdmin, requireCaller } from '../context';
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

@ObjectType({ description: 'Whoever asks.' })
export class Viewer {
  @Field(() => Boolean, { description: 'Whether it is an admin key.' })
  admin!: boolean;

  @Field(() => Application, { nullable: true, description: "The key's application; null for an admin key." })
  application?: Application | null;

  @Field(() => ApiKey, { description: 'The key that came with the request.' })
  apiKey!: ApiKey;
}

@Resolver(() => ApiKey)
export class ApiKeyResolver {
  @Query(() => Viewer, { description: 'Whoever asks.' })
  async viewer(@Ctx() context: Context): Promise<Viewer> {
    const { apiKey, applicationId } = requireCaller(context);
    const application = applicationId === null ? null : await context.services.applications.byId(applicationId);
    return { admin: applicationId === null, application, apiKey };
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

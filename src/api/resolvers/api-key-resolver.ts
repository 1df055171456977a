import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { ApiKey, Scope } from '../../applications/api-key';
import { Application } from '../../applications/application';
import { type Context, requireAdmin, requireCaller } from '../context';
import { type Answer, answer, UserError } from '../user-error';

@InputType()
export class ApiKeyCreateInput {
  @Field(() => ID, { nullable: true, description: 'The application it acts for; left out: an admin key.' })
  applicationId?: string | null;

  @Field(() => String, { nullable: true })
  name?: string | null;

  @Field(() => [Scope], { nullable: true, description: "All of an application's when left out." })
  scopes?: Scope[] | null;

  @Field(() => Date, { nullable: true, description: 'When it ends by itself; never when left out.' })
  expiresAt?: Date | null;
}

@ObjectType()
export class ApiKeyCreatePayload {
  @Field(() => ApiKey, { nullable: true })
  apiKey?: ApiKey | null;

  @Field(() => String, { nullable: true, description: 'Shown this once: only its hash is stored.' })
  token?: string | null;

  @Field(() => [UserError])
  userErrors!: UserError[];
}

@ObjectType()
export class ApiKeyPayload {
  @Field(() => ApiKey, { nullable: true })
  apiKey?: ApiKey | null;

  @Field(() => [UserError])
  userErrors!: UserError[];
}

@ObjectType({ description: 'Whoever asks.' })
export class Viewer {
  @Field(() => Boolean, { description: 'Whether it is an admin key.' })
  admin!: boolean;

  @Field(() => Application, { nullable: true, description: "The key's application; null for an admin key." })
  application?: Application | null;

  @Field(() => ApiKey)
  apiKey!: ApiKey;
}

@Resolver(() => ApiKey)
export class ApiKeyResolver {
  @Query(() => Viewer)
  async viewer(@Ctx() context: Context): Promise<Viewer> {
    const { apiKey, applicationId } = requireCaller(context);
    const application = applicationId === null ? null : await context.services.applications.byId(applicationId);
    return { admin: applicationId === null, application, apiKey };
  }

  @Mutation(() => ApiKeyCreatePayload)
  async apiKeyCreate(
    @Ctx() context: Context,
    @Arg('input', () => ApiKeyCreateInput) input: ApiKeyCreateInput,
  ): Promise<Answer<ApiKeyCreatePayload>> {
    requireAdmin(context);
    return answer(async () => context.services.apiKeys.create(input));
  }

  @Mutation(() => ApiKeyPayload, { description: 'Ends a key and every stream it opened.' })
  async apiKeyRevoke(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Answer<ApiKeyPayload>> {
    requireAdmin(context);
    return answer(async () => ({ apiKey: await context.services.apiKeys.revoke(id) }));
  }
}

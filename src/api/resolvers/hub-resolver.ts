import { Ctx, Field, ID, ObjectType, Query, Resolver } from 'type-graphql';
import type { InstanceRow } from '../../delivery/instances/roll';
import { VERSION } from '../../version';
import { type Context, requireAdmin } from '../context';

@ObjectType({ description: 'One running hub process.' })
export class Instance implements InstanceRow {
  @Field(() => ID, { description: 'New with each start.' })
  id!: string;

  @Field(() => String, { description: 'The name of the machine that it runs on.' })
  host!: string;

  @Field(() => String, { nullable: true, description: 'The version that it runs; null where it is one that did not say.' })
  version!: string | null;

  @Field(() => Date, { description: "When it started, by the database's clock." })
  startedAt!: Date;

  @Field(() => Date, {
    description: "Its last sign of life, by the database's clock: every 3 seconds. After 11 seconds without one the others take over.",
  })
  heartbeatAt!: Date;
}

@ObjectType({ description: 'The hub itself.' })
export class HubStatus {
  @Field(() => String, { description: 'The version of the instance that answers.' })
  version!: string;

  @Field(() => [Instance], { description: 'Those that share this database, the oldest first.' })
  instances!: readonly Instance[];
}

@Resolver()
export class HubResolver {
  @Query(() => HubStatus, { description: 'The hub itself; needs an admin key.' })
  async hub(@Ctx() context: Context): Promise<HubStatus> {
    requireAdmin(context);
    return { version: VERSION, instances: await context.budget.reading(() => context.services.instances()) };
  }
}

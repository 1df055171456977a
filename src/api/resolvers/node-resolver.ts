import { Arg, Ctx, ID, Query, Resolver } from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { kindOf } from '../../ids';
import { Node } from '../../node';
import { type Context, maySee, requireCaller } from '../context';

@Resolver()
export class NodeResolver {
  @Query(() => Node, { nullable: true, description: 'Whatever has this id, where the key may see it.' })
  async node(@Ctx() context: Context, @Arg('id', () => ID) id: string): Promise<Node | null> {
    const { services } = context;
    const caller = requireCaller(context);
    const isVisible = (owner: string | null) => caller.applicationId === null || caller.applicationId === owner;
    switch (kindOf(id)) {
      case 'app':
        return isVisible(id) ? services.applications.byId(id) : null;
      case 'key': {
        const apiKey = await services.apiKeys.byId(id);
        return apiKey && isVisible(apiKey.applicationId) ? apiKey : null;
      }
      case 'whk':
        return maySee(context, Scope.WEBHOOKS_READ, id) ? services.webhooks.byId(id) : null;
      case 'evt':
        return maySee(context, Scope.EVENTS_READ, id) ? services.events.byId(id) : null;
      case 'dlv':
        return maySee(context, Scope.DELIVERIES_READ, id) ? services.deliveries.byId(id) : null;
      case 'att':
        return maySee(context, Scope.DELIVERIES_READ, id) ? services.attempts.byId(id) : null;
      default:
        return null;
    }
  }
}

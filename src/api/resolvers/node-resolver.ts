import { Arg, Ctx, ID, Query, Resolver } from 'type-graphql';
import { type ApiKey, Scope } from '../../applications/api-key';
import { kindOf } from '../../ids';
import { Node } from '../../node';
import { type Context, findEvent, mayEnter, maySee, requireCaller } from '../context';

@Resolver()
export class NodeResolver {
  @Query(() => Node, { nullable: true, description: 'Whatever has this id, where the key may see it.' })
  async node(@Ctx() context: Context, @Arg('id', () => ID, { description: 'The id of the thing.' }) id: string): Promise<Node | null> {
    const { services } = context;
    requireCaller(context);
    switch (kindOf(id)) {
      case 'app':
        return (await mayEnter(context, id)) ? services.applications.byId(id) : null;
      case 'key': {
        const apiKey = await services.apiKeys.byId(id);
        return apiKey && (await maySeeKey(context, apiKey)) ? apiKey : null;
      }
      case 'whk':
        return (await maySee(context, Scope.WEBHOOKS_READ, id)) ? services.webhooks.byId(id) : null;
      case 'evt':
        return (await maySee(context, Scope.EVENTS_READ, id)) ? findEvent(context, id) : null;
      case 'dlv':
        return (await maySee(context, Scope.DELIVERIES_READ, id)) ? services.deliveries.byId(id) : null;
      case 'att':
        return (await maySee(context, Scope.DELIVERIES_READ, id)) ? services.attempts.byId(id) : null;
      case 'job':
        return (await maySee(context, Scope.DELIVERIES_READ, id)) ? services.retryJobs.byId(id) : null;
      default:
        return null;
    }
  }
}

/** A key sees itself, an admin key all of them. */
async function maySeeKey(context: Context, { id, applicationId }: ApiKey): Promise<boolean> {
  const caller = requireCaller(context);
  if (caller.applicationId !== null) return caller.apiKey.id === id;
  return applicationId === null || mayEnter(context, applicationId);
}

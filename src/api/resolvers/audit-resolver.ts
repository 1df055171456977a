import { Arg, Ctx, Field, ID, InputType, Query, Resolver } from 'type-graphql';
import { AUDIT_ACTIONS, AuditEvent } from '../../audit/audit-event';
import type { AuditSelection } from '../../audit/read-audit';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { HubError, shown } from '../../errors';
import { isId } from '../../ids';
import { After, type Connection, connection, First, pageRequest, searchedConnectionType } from '../connection';
import { auditedApplication, type Context, mayEnter, searchAllowance } from '../context';

const MAX_FILTER_VALUES = 100;

@InputType({ description: 'What is left out does not restrict.' })
export class AuditFilter implements AuditSelection {
  @Field(() => [ID], { nullable: true, description: 'Done by any of these keys, at most 100.' })
  actorIds?: string[] | null;

  @Field(() => [String], { nullable: true, description: 'Any of these actions, such as webhook.updated.' })
  actions?: string[] | null;

  @Field(() => [ID], { nullable: true, description: 'Done to any of these, at most 100.' })
  targetIds?: string[] | null;

  @Field(() => Date, { nullable: true, description: 'Done then or later.' })
  after?: Date | null;

  @Field(() => Date, { nullable: true, description: 'Done earlier.' })
  before?: Date | null;
}

const AuditEventConnection = searchedConnectionType(AuditEvent);

@Resolver(() => AuditEvent)
export class AuditResolver {
  @Query(() => AuditEventConnection, {
    description:
      'Who did what, newest first: each mutation that changed something, each read of a payload or body, refused keys. Needs the scope AUDIT_READ. A filter searches: see `searchedUntil`.',
  })
  async auditEvents(
    @Ctx() context: Context,
    @First() first?: number | null,
    @Arg('applicationId', () => ID, {
      nullable: true,
      description:
        "The application. A key of its own may leave it out; for an admin key that means the hub's own log: applications and admin keys.",
    })
    applicationId?: string | null,
    @After() after?: string | null,
    @Arg('filter', () => AuditFilter, { nullable: true, description: 'Only those that match all of it.' }) filter?: AuditFilter | null,
  ): Promise<Connection<AuditEvent>> {
    const owner = auditedApplication(context, applicationId);
    const request = pageRequest({ first, after }, (cursor) => decodeKeyCursor(cursor, (key) => isId('aud', key)));
    checkFilter(filter ?? {});
    const mayRead = owner === null || (await mayEnter(context, owner));
    const page = await context.budget.reading(() =>
      context.services.readAudit(mayRead ? owner : NOBODY, filter ?? {}, request, searchAllowance(context)),
    );
    return connection(page, (row) => encodeKeyCursor(row.id), request);
  }
}

/** Has no rows. */
const NOBODY = 'app_~';

function checkFilter({ actions, actorIds, targetIds }: AuditFilter): void {
  const unknown = actions?.find((action) => !(AUDIT_ACTIONS as readonly string[]).includes(action));
  if (unknown !== undefined)
    throw new HubError('BAD_USER_INPUT', `filter.actions: expected some of ${AUDIT_ACTIONS.join(', ')}, got ${shown(unknown)}`);
  for (const [name, values] of Object.entries({ actions, actorIds, targetIds }))
    if ((values?.length ?? 0) > MAX_FILTER_VALUES)
      throw new HubError('BAD_USER_INPUT', `filter.${name}: expected at most ${MAX_FILTER_VALUES}, got ${values?.length}`);
}

import { Arg, Ctx, Field, FieldResolver, ID, ObjectType, Resolver, Root, registerEnumType, Subscription } from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { decodeKeyCursor, encodeCursor, encodeKeyCursor } from '../../cursor';
import { applicationIdOf } from '../../ids';
import { webhookUpdateStream } from '../../live/streams';
import { type LoggedWebhookUpdate, WebhookUpdateKind } from '../../webhooks/update-log';
import { Webhook, WebhookHealth } from '../../webhooks/webhook';
import { After, type Connection, connection, connectionType, First, pageRequest } from '../connection';
import { applicationFor, asSubscription, type Context, OfApplication } from '../context';

registerEnumType(WebhookUpdateKind, {
  name: 'WebhookUpdateKind',
  description: 'What happened to a webhook.',
  valuesConfig: {
    CREATED: { description: 'It was made.' },
    UPDATED: { description: 'Its settings were changed.' },
    SECRET_ROTATED: { description: 'It got new secrets.' },
    PAUSED: { description: 'Somebody paused it.' },
    RESUMED: { description: 'Somebody resumed it.' },
    DISABLED: { description: 'The hub disabled it: its target is gone or failed for too long.' },
    DELETED: { description: 'It was deleted.' },
    HEALTH: { description: 'Its health changed, and nothing else.' },
  },
});

@ObjectType({ description: 'Something happened to a webhook.' })
export class WebhookUpdate {
  @Field(() => ID, { description: 'The webhook.' })
  webhookId!: string;

  @Field(() => WebhookUpdateKind, { description: 'What happened.' })
  kind!: WebhookUpdateKind;

  @Field(() => WebhookHealth, { nullable: true, description: 'Its health from then on, where that changed.' })
  health!: WebhookHealth | null;

  @Field(() => String, { nullable: true, description: 'Why, in plain words; null where it is healthy, or its health did not change.' })
  reason!: string | null;
}

@ObjectType({ description: 'A change of a webhook’s health.' })
export class HealthChange {
  @Field(() => WebhookHealth, { description: 'What it was from then on.' })
  health!: WebhookHealth;

  @Field(() => String, { nullable: true, description: 'Why, in plain words; null where it was healthy.' })
  reason!: string | null;

  @Field(() => Date, { description: 'When it changed.' })
  at!: Date;
}

const HealthChangeConnection = connectionType(HealthChange);

@Resolver(() => WebhookUpdate)
export class WebhookUpdateResolver {
  @FieldResolver(() => String, { description: 'Pass it as `after` to go on behind this update.' })
  cursor(@Root() { webhookId, sequence }: LoggedWebhookUpdate): string {
    return encodeCursor('webhook', applicationIdOf(webhookId), sequence);
  }

  @FieldResolver(() => Date, { description: 'When it happened.' })
  at(@Root() { at }: LoggedWebhookUpdate): Date {
    return new Date(at);
  }

  @FieldResolver(() => Webhook, { nullable: true, description: 'As it is when this is told; null where it is deleted by then.' })
  async webhook(@Ctx() { loaders }: Context, @Root() { webhookId }: LoggedWebhookUpdate): Promise<Webhook | null> {
    const webhook = await loaders.webhook.load(webhookId);
    return webhook?.deletedAt === null ? webhook : null;
  }

  @Subscription(() => WebhookUpdate, {
    description:
      'What happens to webhooks: created, updated, paused, resumed, disabled, deleted, and every stored change of health, as `Webhook.healthHistory` has them. Those after `after`, then live ones; none missed, none repeated, whatever instance serves it and however often it reconnects.',
    subscribe: async ({ args, context }: { args: WebhookUpdateArguments; context: Context }) => {
      const applicationId = applicationFor(context, Scope.WEBHOOKS_READ, args.applicationId, 'argument');
      return asSubscription(context, () => webhookUpdateStream(context.services.webhookLog, { ...args, applicationId }));
    },
  })
  webhookUpdates(
    @Root() update: LoggedWebhookUpdate,
    @OfApplication() _applicationId?: string | null,
    @Arg('webhookIds', () => [ID], { nullable: true, description: 'Only of these.' }) _webhookIds?: string[] | null,
    @Arg('after', () => String, { nullable: true, description: "An update's `cursor`, or `Application.webhookCursor`." })
    _after?: string | null,
  ): WebhookUpdate {
    return update as unknown as WebhookUpdate;
  }
}

interface WebhookUpdateArguments {
  readonly applicationId?: string | null;
  readonly webhookIds?: string[] | null;
  readonly after?: string | null;
}

@Resolver(() => Webhook)
export class HealthHistoryResolver {
  @FieldResolver(() => HealthChangeConnection, {
    description:
      'Changes of its health that were stored, newest first, kept as long as deliveries: HEALTHY, FAILING, CIRCUIT_OPEN, FILTER_TOO_COSTLY and DISABLED. What follows from the settings or from an instance’s memory (UNVERIFIED, PAYLOAD_QUERY_INVALID, ORDER_BLOCKED, THROTTLED) is not among them.',
  })
  async healthHistory(
    @Ctx() { services, budget }: Context,
    @Root() { id }: Webhook,
    @First() first?: number | null,
    @After() after?: string | null,
  ): Promise<Connection<HealthChange>> {
    const request = pageRequest({ first, after }, (cursor) => decodeKeyCursor(cursor, (key) => /^\d{1,16}$/.test(key)));
    const page = await budget.reading(() => services.healthHistory(id, request));
    const sequences = new Map<HealthChange, number>();
    const changes = page.rows.flatMap(({ health, reason, at, sequence }) => {
      if (health === null) return [];
      const change = { health, reason, at: new Date(at) };
      sequences.set(change, sequence);
      return [change];
    });
    return connection<HealthChange>({ ...page, rows: changes }, (row) => encodeKeyCursor(String(sequences.get(row))), request);
  }
}

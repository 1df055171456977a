import { GraphQLSafeInt } from 'graphql-scalars';
import { Field, ID, ObjectType, registerEnumType } from 'type-graphql';

/** What is noted: a noun and what was done to it. */
export const AUDIT_ACTIONS = [
  'application.created',
  'application.updated',
  'application.deleted',
  'key.created',
  'key.revoked',
  'key.refused',
  'event_type.registered',
  'event_type.archived',
  'webhook.created',
  'webhook.updated',
  'webhook.deleted',
  'webhook.paused',
  'webhook.resumed',
  'webhook.secret_rotated',
  'webhook.tested',
  'event.published',
  'event.redacted',
  'delivery.retried',
  'delivery.cancelled',
  'retry_job.created',
  'retry_job.cancelled',
  'payload.read',
  'body.read',
] as const;

export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** Why a token let nobody in: the values are those of `Refusal`. */
export enum KeyRefusal {
  UNKNOWN = 'unknown',
  EXPIRED = 'expired',
  REVOKED = 'revoked',
  NETWORK = 'network',
}

registerEnumType(KeyRefusal, {
  name: 'KeyRefusal',
  description: 'Why a key was refused.',
  valuesConfig: {
    UNKNOWN: { description: 'The token is no key of this hub.' },
    EXPIRED: { description: 'It has ended by itself.' },
    REVOKED: { description: 'Somebody has ended it.' },
    NETWORK: { description: 'It may not be used from that address.' },
  },
});

@ObjectType({ description: 'Somebody did something, or several times the same.' })
export class AuditEvent {
  @Field(() => ID, { description: 'In the order of time.' })
  id!: string;

  @Field(() => ID, {
    nullable: true,
    description: 'The key; null where there was none: the command line, a start of the hub, a token that is no key.',
  })
  actorId!: string | null;

  @Field(() => String, { nullable: true, description: "The key's partner; null: none." })
  partner!: string | null;

  @Field(() => String, { nullable: true, description: 'The address that it came from, where it is known.' })
  address!: string | null;

  @Field(() => String, { description: `What was done: ${AUDIT_ACTIONS.join(', ')}.` })
  action!: AuditAction;

  @Field(() => [ID], {
    description: 'To what, at most 100. Of published events the first and the last; of event types their names.',
  })
  targetIds!: readonly string[];

  @Field(() => GraphQLSafeInt, { description: 'How often: events published, payloads read, tokens refused; 1 for anything else.' })
  count!: number;

  @Field(() => KeyRefusal, {
    nullable: true,
    description: 'Of `key.refused`: why; null for those of many addresses, which are counted together.',
  })
  reason!: KeyRefusal | null;

  @Field(() => Date, { description: 'When; of several, the first.' })
  at!: Date;
}

import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { Node } from '../node';
import { JsonColumn, LongTextColumn, TextColumn, TimeColumn } from '../store/columns';

export enum WebhookStatus {
  ACTIVE = 'ACTIVE',
  PAUSED = 'PAUSED',
  DISABLED = 'DISABLED',
}

registerEnumType(WebhookStatus, {
  name: 'WebhookStatus',
  description: 'Whether a webhook gets and sends deliveries.',
  valuesConfig: {
    ACTIVE: { description: 'Events become deliveries, deliveries are sent.' },
    PAUSED: { description: 'Events become deliveries; nothing is sent until it is resumed.' },
    DISABLED: { description: 'The target answered 410 Gone: no new deliveries, nothing is sent until it is resumed.' },
  },
});

@ObjectType({ description: 'One HTTP header.' })
export class Header {
  @Field(() => String, { description: 'Its name.' })
  name!: string;

  @Field(() => String, { description: 'Its value.' })
  value!: string;
}

@Entity('webhooks')
@ObjectType({ implements: Node, description: 'What a partner registered: a target URL, the events it wants, how to send them.' })
export class Webhook extends Node {
  @Field(() => ID, { description: 'Global: `node(id)` finds it again.' })
  @PrimaryColumn({ type: 'varchar' })
  id!: string;

  @TextColumn('application_id')
  applicationId!: string;

  @Field(() => String, { description: 'The target, in its normal form.' })
  @TextColumn('url')
  url!: string;

  @Field(() => String, { nullable: true, description: 'For people.' })
  @LongTextColumn('description', { nullable: true })
  description!: string | null;

  @Field(() => [String], { description: 'Names or wildcards: `order.*`, `*.created`, `*`.' })
  @JsonColumn('event_types')
  eventTypes!: string[];

  @Field(() => [Header], { description: 'Sent with every request, beside our own.' })
  @JsonColumn('headers')
  headers!: Header[];

  /** Seconds; null: the hub's default. */
  @JsonColumn('retry_schedule', { nullable: true })
  ownRetrySchedule!: number[] | null;

  @Field(() => Int, { description: 'One deadline over connecting, sending and reading to the end.' })
  @Column({ name: 'timeout_seconds', type: 'integer' })
  timeoutSeconds!: number;

  @Field(() => Int, { description: 'The most requests in flight to this webhook.' })
  @Column({ name: 'max_concurrency', type: 'integer' })
  maxConcurrency!: number;

  /** The signing secret, encrypted; see `seal.ts`. */
  @LongTextColumn('sealed_secret')
  sealedSecret!: string;

  @Field(() => String, { description: "The signing secret's last four characters." })
  @TextColumn('secret_hint')
  secretHint!: string;

  @Field(() => WebhookStatus, { description: 'Whether it gets and sends deliveries.' })
  @TextColumn('status')
  status!: WebhookStatus;

  @Field(() => Int, { description: 'Counts changes; pass it as `expectedVersion` to change only what you have seen.' })
  @Column({ name: 'version', type: 'integer' })
  version!: number;

  @Field(() => Date, { description: 'When it was made.' })
  @TimeColumn('created_at')
  createdAt!: Date;

  @Field(() => Date, { description: 'When it was last changed.' })
  @TimeColumn('updated_at')
  updatedAt!: Date;

  /** A deleted webhook stays for the deliveries that name it, out of every list. */
  @TimeColumn('deleted_at', { nullable: true })
  deletedAt!: Date | null;
}

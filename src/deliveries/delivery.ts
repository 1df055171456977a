import { GraphQLSafeInt } from 'graphql-scalars';
import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { sequenceOf } from '../ids';
import { Node } from '../node';
import { TextColumn, TimeColumn } from '../store/columns';

export enum DeliveryStatus {
  PENDING = 'PENDING',
  RETRYING = 'RETRYING',
  SUCCEEDED = 'SUCCEEDED',
  FAILED = 'FAILED',
  CANCELLED = 'CANCELLED',
}

registerEnumType(DeliveryStatus, {
  name: 'DeliveryStatus',
  description: 'How far a delivery has come.',
  valuesConfig: {
    PENDING: { description: 'No attempt has ended yet.' },
    RETRYING: { description: 'The last attempt failed; another one follows.' },
    SUCCEEDED: { description: 'The receiver answered 2xx to the last attempt.' },
    FAILED: { description: 'The last attempt failed, and no other follows.' },
    CANCELLED: { description: 'Somebody stopped it, or its webhook was deleted.' },
  },
});

/**
 * Due as soon as its turn comes. Of an ordered webhook everything that waits has the same due time, so that within the
 * index on due work it stands in the order of the primary key, which is the order of the sequences.
 */
export const IN_TURN = new Date(0);

@Entity('deliveries')
@ObjectType({ implements: Node, description: 'One event on its way to one webhook.' })
export class Delivery extends Node {
  /** Carries application, sequence and webhook; see `ids.ts`. */
  @Field(() => ID, { description: 'Global: `node(id)` finds it again.' })
  @PrimaryColumn({ type: 'varchar' })
  id!: string;

  @TextColumn('application_id')
  applicationId!: string;

  @Field(() => ID, { description: 'The id of the webhook that it goes to.' })
  @TextColumn('webhook_id')
  webhookId!: string;

  @Field(() => String, { description: 'The type of the event that it brings.' })
  @TextColumn('event_type')
  eventType!: string;

  /** Length of the event's payload: says what sending it takes of memory before it is read. */
  @Column({ name: 'payload_chars', type: 'integer' })
  payloadChars!: number;

  @Field(() => DeliveryStatus, { description: 'How far it has come.' })
  @TextColumn('status')
  status!: DeliveryStatus;

  @Field(() => Int, { description: 'How many attempts have ended.' })
  @Column({ name: 'attempt_count', type: 'integer' })
  attemptCount!: number;

  /** The instance that sends it; '' while it waits for one; null once it is finished. */
  @TextColumn('owner', { nullable: true })
  owner!: string | null;

  /** The epoch: it waits for its turn in an ordered webhook, see `IN_TURN`. Null once it is finished. */
  @TimeColumn('due_at', { nullable: true })
  dueAt!: Date | null;

  @Field(() => Date, {
    nullable: true,
    description: 'When the next attempt is due; in an ordered webhook, from when it waits for its turn. Null once it is finished.',
  })
  get nextAttemptAt(): Date | null {
    return this.dueAt?.getTime() === IN_TURN.getTime() ? this.createdAt : this.dueAt;
  }

  /** What the next attempt is for; null: the schedule. */
  @TextColumn('next_trigger', { nullable: true })
  nextTrigger!: string | null;

  /** Which body it sends: null until the first attempt has fixed it, '' for the standard one, else a key in `bodies`. */
  @TextColumn('body_key', { nullable: true })
  bodyKey!: string | null;

  /** The event's. */
  @TextColumn('ordering_key', { nullable: true })
  orderingKey!: string | null;

  @Field(() => Date, { description: 'When the event was stored.' })
  @TimeColumn('created_at')
  createdAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When it succeeded, failed for good or was cancelled.' })
  @TimeColumn('completed_at', { nullable: true })
  completedAt!: Date | null;

  @Field(() => GraphQLSafeInt, { name: 'sequence', description: 'The sequence of the event that it brings.' })
  get eventSequence(): number {
    return sequenceOf(this.id);
  }
}

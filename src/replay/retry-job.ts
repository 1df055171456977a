import { GraphQLSafeInt } from 'graphql-scalars';
import { Field, ID, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { DeliveryStatus } from '../deliveries/delivery';
import type { AttemptSelection } from '../deliveries/selection';
import { Node } from '../node';
import { JsonColumn, NumberColumn, TextColumn, TimeColumn } from '../store/columns';

export enum RetryJobKind {
  RETRY = 'RETRY',
  REPLAY = 'REPLAY',
}

registerEnumType(RetryJobKind, {
  name: 'RetryJobKind',
  description: 'What a job does.',
  valuesConfig: {
    RETRY: { description: 'New attempts of deliveries that exist: `deliveriesRetry`.' },
    REPLAY: { description: 'Deliveries of events that a webhook has none for: `eventReplay`.' },
  },
});

export enum RetryJobStatus {
  RUNNING = 'RUNNING',
  COMPLETED = 'COMPLETED',
  CANCELLED = 'CANCELLED',
  DRY_RUN = 'DRY_RUN',
}

registerEnumType(RetryJobStatus, {
  name: 'RetryJobStatus',
  description: 'How far a job is.',
  valuesConfig: {
    RUNNING: { description: 'In the background, a few deliveries at a time. One whose webhook is paused waits until it is resumed.' },
    COMPLETED: { description: 'All of its deliveries have had their attempt.' },
    CANCELLED: { description: 'Somebody stopped it. Requests that are under way still end: `completedAt` tells when they have.' },
    DRY_RUN: { description: 'Only counted: nothing is stored or sent, and the id names nothing.' },
  },
});

/** Deliveries to be tried again. What is null does not restrict; times are milliseconds since the epoch. */
export interface RetrySelection {
  readonly kind: RetryJobKind.RETRY;
  /** The application's last event when the job was made. */
  readonly lastSequence: number;
  readonly webhookIds: readonly string[] | null;
  readonly eventIds: readonly string[] | null;
  readonly eventTypes: readonly string[] | null;
  /** Absent where there is `narrowed`, which has them then. */
  readonly statuses?: readonly DeliveryStatus[];
  readonly narrowed?: NarrowedSelection;
  readonly createdAfter: number | null;
  readonly createdBefore: number | null;
}

/**
 * More conditions than earlier hubs know. An instance of such a one that runs beside finds no `statuses` and
 * leaves the job alone: by half of its conditions it would send too much.
 */
export interface NarrowedSelection extends AttemptSelection {
  readonly statuses: readonly DeliveryStatus[];
  readonly orderingKey: string | null;
  readonly minSequence: number | null;
  readonly maxSequence: number | null;
}

/** Events that a webhook is to get, where it has no delivery for them. */
export interface ReplaySelection {
  readonly kind: RetryJobKind.REPLAY;
  readonly lastSequence: number;
  readonly webhookId: string;
  readonly eventTypes: readonly string[] | null;
  readonly createdAfter: number | null;
  readonly createdBefore: number | null;
}

@Entity('retry_jobs')
@ObjectType({
  implements: Node,
  description: 'Deliveries that somebody asked for again, sent in the background at a pace that leaves new events their room.',
})
export class RetryJob extends Node {
  /** Carries application and time; see `ids.ts`. */
  @Field(() => ID, { description: 'Global: `node(id)` finds it again.' })
  @PrimaryColumn({ type: 'varchar' })
  id!: string;

  @TextColumn('application_id')
  applicationId!: string;

  @Field(() => RetryJobKind, { description: 'What it does.' })
  @TextColumn('kind')
  kind!: RetryJobKind;

  @Field(() => RetryJobStatus, { description: 'How far it is.' })
  @TextColumn('status')
  status!: RetryJobStatus;

  @Field(() => ID, { nullable: true, description: 'The key that asked for it; null where that was not noted yet.' })
  @TextColumn('author_id', { nullable: true })
  authorId!: string | null;

  @JsonColumn('selection')
  selection!: RetrySelection | ReplaySelection;

  /** How far the planning has come, as its source reads it; null once everything is planned. */
  @TextColumn('scan_cursor', { nullable: true })
  scanCursor!: string | null;

  /** How many deliveries were planned, without those that needed no attempt any more when their turn came. */
  @NumberColumn('planned')
  planned!: number;

  @Field(() => GraphQLSafeInt, {
    description:
      'How many deliveries it is for. Counted when the job is made; those that need no attempt any more when their turn comes (retried by hand, removed, their webhook disabled) are taken off.',
  })
  @NumberColumn('total')
  total!: number;

  @Field(() => GraphQLSafeInt, {
    description: 'How many of them have ended: their new attempt has, or they were cancelled or removed before it.',
  })
  @NumberColumn('done')
  done!: number;

  @Field(() => GraphQLSafeInt, {
    description: 'How many of `done` did not succeed. Where the retry schedule of such a delivery has attempts left, they follow as usual.',
  })
  @NumberColumn('failed')
  failed!: number;

  /** Counts changes. */
  @Column({ name: 'version', type: 'integer' })
  version!: number;

  /** The instance that takes its steps, until `workerUntil` by the database's clock. */
  @TextColumn('worker')
  worker!: string;

  @NumberColumn('worker_until')
  workerUntil!: number;

  @Field(() => Date, { description: 'When it was asked for.' })
  @TimeColumn('created_at')
  createdAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When the last of its deliveries had ended.' })
  @TimeColumn('completed_at', { nullable: true })
  completedAt!: Date | null;
}

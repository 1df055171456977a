import { GraphQLJSON, GraphQLSafeInt } from 'graphql-scalars';
import { Field, ID, ObjectType } from 'type-graphql';
import { Entity, PrimaryColumn } from 'typeorm';
import { encodeCursor } from '../cursor';
import { Node } from '../node';
import { LongTextColumn, TextColumn, TimeColumn } from '../store/columns';
import { forgetPayload, parsedPayload } from './parsed-payloads';

/** What stands in the place of a payload that was redacted. An object, as almost every payload is. */
export const REDACTED_PAYLOAD = '{}';

@Entity('events')
@ObjectType({ implements: Node, description: 'One thing that happened. Immutable, but that its payload may be redacted.' })
export class Event extends Node {
  @PrimaryColumn({ name: 'application_id', type: 'varchar' })
  applicationId!: string;

  @Field(() => GraphQLSafeInt, { description: '1, 2, 3 … per application, in commit order, without gaps.' })
  @PrimaryColumn({ type: 'bigint', transformer: { to: (value: number) => value, from: Number } })
  sequence!: number;

  @Field(() => ID, { description: 'Global: `node(id)` finds it again.' })
  @TextColumn('id')
  id!: string;

  @Field(() => String, { description: 'A dotted name: order.created' })
  @TextColumn('type')
  type!: string;

  @Field(() => String, {
    description:
      'The payload as minified JSON, exactly as it was published: every digit of its numbers, its keys in their order. The `data` of every request, byte for byte. Needs the scope PAYLOADS_READ.',
  })
  @LongTextColumn('payload')
  payloadText!: string;

  @Field(() => String, { nullable: true, description: 'The key that its publisher gave it, if any.' })
  @TextColumn('idempotency_key', { nullable: true })
  idempotencyKey!: string | null;

  @Field(() => String, { nullable: true, description: 'What webhooks with ordering BY_KEY keep in order, if anything.' })
  @TextColumn('ordering_key', { nullable: true })
  orderingKey!: string | null;

  @Field(() => Date, { description: 'When it happened, as its publisher says.' })
  @TimeColumn('occurred_at')
  occurredAt!: Date;

  @Field(() => Date, { description: 'When the hub stored it.' })
  @TimeColumn('created_at')
  createdAt!: Date;

  @Field(() => Date, {
    nullable: true,
    description: 'When its payload was blanked by eventRedact: it is an empty object from then on.',
  })
  @TimeColumn('redacted_at', { nullable: true })
  redactedAt!: Date | null;

  /** The trace of its publisher, see `trace-context.ts`; null where none came. */
  @TextColumn('trace_context', { nullable: true })
  traceContext!: string | null;

  /** Blanks this copy, as its row has been. */
  redact(at: Date): void {
    this.payloadText = REDACTED_PAYLOAD;
    forgetPayload(this);
    this.redactedAt = at;
  }

  @Field(() => GraphQLJSON, {
    description: 'As it was published, its keys in their order; null where that is what was published. Needs the scope PAYLOADS_READ.',
  })
  get payload(): unknown {
    return parsedPayload(this);
  }

  @Field(() => String, { description: 'Where this event stands in the log: pass it as `after`.' })
  get cursor(): string {
    return encodeCursor('event', this.applicationId, this.sequence);
  }
}

import { GraphQLJSON } from 'graphql-scalars';
import { Field, ObjectType } from 'type-graphql';
import { Entity, PrimaryColumn } from 'typeorm';
import { JsonColumn, LongTextColumn, TimeColumn } from '../store/columns';

@Entity('event_types')
@ObjectType({ description: 'A name that events can have, and what their payloads must look like.' })
export class EventType {
  @PrimaryColumn({ name: 'application_id', type: 'varchar' })
  applicationId!: string;

  @Field(() => String, { description: 'Dotted, such as `order.created`.' })
  @PrimaryColumn({ type: 'varchar' })
  name!: string;

  @Field(() => String, { nullable: true, description: 'For people.' })
  @LongTextColumn('description', { nullable: true })
  description!: string | null;

  @Field(() => GraphQLJSON, { nullable: true, description: 'JSON Schema, draft 2020-12; payloads that break it are refused.' })
  @JsonColumn('payload_schema', { nullable: true })
  schema!: unknown;

  /** JSON, as it was given. */
  @LongTextColumn('examples', { nullable: true })
  examplesText!: string | null;

  @Field(() => [GraphQLJSON], { nullable: 'items', description: 'Payloads as they may look: they fit the schema.' })
  get examples(): unknown[] {
    return this.examplesText === null ? [] : (JSON.parse(this.examplesText) as unknown[]);
  }

  @Field(() => Boolean, { description: 'False: events have this type, and nobody has registered it.' })
  get isRegistered(): boolean {
    return !this.isSeenOnly;
  }

  /** Stands for a type that is in no row. */
  isSeenOnly?: boolean;

  @Field(() => Date, {
    nullable: true,
    description:
      'When the last event of this type was stored, to the minute; null: none was, or not for long. Events that version 0.1 stored are not counted.',
  })
  lastSeenAt?: Date | null;

  @Field(() => Date, { description: 'When it was registered first; where nobody has registered it, when an event had it first.' })
  @TimeColumn('created_at')
  createdAt!: Date;

  @Field(() => Date, { description: 'When it was registered last.' })
  @TimeColumn('updated_at')
  updatedAt!: Date;

  @Field(() => Date, { nullable: true, description: 'Since when events of this type are refused; registering it again brings it back.' })
  @TimeColumn('archived_at', { nullable: true })
  archivedAt!: Date | null;
}

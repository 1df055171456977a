import { GraphQLJSON } from 'graphql-scalars';
import { Field, ID, Int, ObjectType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { Node } from '../node';
import { JsonColumn, TextColumn, TimeColumn } from '../store/columns';

@Entity('applications')
@ObjectType({ implements: Node, description: 'A tenant. Owns its webhooks, events and keys; nothing crosses from one to another.' })
export class Application extends Node {
  @Field(() => ID, { description: 'Global: `node(id)` finds it again.' })
  @PrimaryColumn({ type: 'varchar' })
  id!: string;

  @Field(() => String, {
    nullable: true,
    description: 'Your own unique name for it, such as a customer number. Null for a key without EVENTS_READ.',
  })
  @TextColumn('unique_key', { nullable: true })
  key!: string | null;

  @Field(() => String, { description: 'What people call it.' })
  @TextColumn('name')
  name!: string;

  @Field(() => GraphQLJSON, { nullable: true, description: 'Whatever you want to keep with it. Null for a key without EVENTS_READ.' })
  @JsonColumn('metadata', { nullable: true })
  metadata!: unknown;

  @Field(() => Int, {
    nullable: true,
    description: "How many days its events, deliveries and attempts are kept; null: the hub's default, or a key without EVENTS_READ.",
  })
  @Column({ name: 'retention_days', type: 'integer', nullable: true })
  retentionDays!: number | null;

  @Field(() => Date, { description: 'When it was made.' })
  @TimeColumn('created_at')
  createdAt!: Date;

  @Field(() => Date, { description: 'When it was last changed.' })
  @TimeColumn('updated_at')
  updatedAt!: Date;

  /** Set while a deleted application's rows are being removed in the background. */
  @TimeColumn('deleted_at', { nullable: true })
  deletedAt!: Date | null;
}

import { Field, ID, ObjectType, registerEnumType } from 'type-graphql';
import { Entity, PrimaryColumn } from 'typeorm';
import { Node } from '../node';
import { JsonColumn, TextColumn, TimeColumn } from '../store/columns';

/** What a key may do for its application. An admin key may do everything, in every application. */
export enum Scope {
  EVENTS_PUBLISH = 'EVENTS_PUBLISH',
  EVENTS_READ = 'EVENTS_READ',
  WEBHOOKS_WRITE = 'WEBHOOKS_WRITE',
  WEBHOOKS_READ = 'WEBHOOKS_READ',
  DELIVERIES_WRITE = 'DELIVERIES_WRITE',
  DELIVERIES_READ = 'DELIVERIES_READ',
}

export const ALL_SCOPES: readonly Scope[] = Object.values(Scope);

registerEnumType(Scope, {
  name: 'Scope',
  description: "What an application's key may do.",
  valuesConfig: {
    EVENTS_PUBLISH: { description: 'Publish events.' },
    EVENTS_READ: { description: 'Read and watch events.' },
    WEBHOOKS_WRITE: { description: 'Create, change, pause, resume and delete webhooks.' },
    WEBHOOKS_READ: { description: 'Read webhooks.' },
    DELIVERIES_WRITE: { description: 'Retry and cancel deliveries.' },
    DELIVERIES_READ: { description: 'Read and watch deliveries and their attempts.' },
  },
});

@Entity('api_keys')
@ObjectType({ implements: Node, description: 'Lets a program in. Only a hash of its token is stored.' })
export class ApiKey extends Node {
  @Field(() => ID, { description: 'Global: `node(id)` finds it again.' })
  @PrimaryColumn({ type: 'varchar' })
  id!: string;

  @Field(() => ID, { nullable: true, description: 'The application it acts for; null: an admin key.' })
  @TextColumn('application_id', { nullable: true })
  applicationId!: string | null;

  @Field(() => String, { description: 'What it is for.' })
  @TextColumn('name')
  name!: string;

  /** SHA-256 of the token in hex: tokens are long and random, so a slow hash would add nothing. */
  @TextColumn('token_hash')
  tokenHash!: string;

  @Field(() => String, { description: "The token's last four characters, to tell keys apart." })
  @TextColumn('hint')
  hint!: string;

  @Field(() => [Scope], { description: 'What it may do; an admin key may do everything.' })
  @JsonColumn('scopes')
  scopes!: Scope[];

  @Field(() => Date, { description: 'When it was made.' })
  @TimeColumn('created_at')
  createdAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When it ends by itself; null: never.' })
  @TimeColumn('expires_at', { nullable: true })
  expiresAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When somebody ended it; null: nobody has.' })
  @TimeColumn('revoked_at', { nullable: true })
  revokedAt!: Date | null;

  /** Set for the key that LIVEHOOK_ADMIN_KEY names: a new value there retires the old one. */
  @TextColumn('origin')
  origin!: 'API' | 'ENVIRONMENT' | 'GENERATED' | 'COMMAND';
}

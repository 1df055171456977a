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
  PAYLOADS_READ = 'PAYLOADS_READ',
  EVENTS_REDACT = 'EVENTS_REDACT',
  DELIVERIES_RECEIVE = 'DELIVERIES_RECEIVE',
  PORTAL_WRITE = 'PORTAL_WRITE',
  AUDIT_READ = 'AUDIT_READ',
}

export const ALL_SCOPES: readonly Scope[] = Object.values(Scope);

/** What a key may do that was made without scopes: all but to see who else has keys, and what they do. */
export const DEFAULT_SCOPES: readonly Scope[] = ALL_SCOPES.filter((scope) => scope !== Scope.AUDIT_READ);

/** The scopes of version 0.1, whose instances cannot show a key that has others. */
const FIRST_SCOPES: readonly Scope[] = [
  Scope.EVENTS_PUBLISH,
  Scope.EVENTS_READ,
  Scope.WEBHOOKS_WRITE,
  Scope.WEBHOOKS_READ,
  Scope.DELIVERIES_WRITE,
  Scope.DELIVERIES_READ,
];

/** The scopes of a key as its row holds them. */
export function storedScopes(scopes: readonly Scope[]): Pick<ApiKey, 'firstScopes' | 'grantedScopes'> {
  return { firstScopes: scopes.filter((scope) => FIRST_SCOPES.includes(scope)), grantedScopes: [...scopes] };
}

/**
 * What a key of version 0.1 may do, by the scopes that it was given: all that it could, under the names that it has now.
 * Readers of events and deliveries read payloads, publishers redacted.
 */
function scopesOfFirst(first: readonly Scope[]): readonly Scope[] {
  if (FIRST_SCOPES.every((scope) => first.includes(scope))) return DEFAULT_SCOPES;
  const isReader = first.includes(Scope.EVENTS_READ) || first.includes(Scope.DELIVERIES_READ);
  return [...first, ...(isReader ? [Scope.PAYLOADS_READ] : []), ...(first.includes(Scope.EVENTS_PUBLISH) ? [Scope.EVENTS_REDACT] : [])];
}

registerEnumType(Scope, {
  name: 'Scope',
  description:
    "What an application's key may do. A field that it may not read is null, or FORBIDDEN where the field cannot be null; that holds for what a mutation answers, too.",
  valuesConfig: {
    EVENTS_PUBLISH: { description: 'Publish events, register event types.' },
    EVENTS_READ: { description: 'Read and watch events, event types, and what is noted with the application.' },
    WEBHOOKS_WRITE: {
      description:
        'Create, change, test, pause, resume and delete webhooks. It decides where payloads and the values of headers are sent, which is a way to read them.',
    },
    WEBHOOKS_READ: { description: 'Read webhooks.' },
    DELIVERIES_WRITE: { description: 'Retry and cancel deliveries; with PAYLOADS_READ, have requests of the past signed once more.' },
    DELIVERIES_READ: { description: 'Read and watch deliveries and their attempts.' },
    PAYLOADS_READ: {
      description:
        'Read the payloads of events and the bodies of requests and responses, beside EVENTS_READ or DELIVERIES_READ for the event or attempt that has them.',
    },
    EVENTS_REDACT: { description: 'Blank the payloads of events for good.' },
    DELIVERIES_RECEIVE: { description: 'Receive the requests of socket webhooks.' },
    PORTAL_WRITE: { description: 'Create portal sessions.' },
    AUDIT_READ: { description: 'Read who did what, and the keys of the application. Not among the scopes given by default.' },
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

  /** Those of version 0.1, for its instances to read. */
  @JsonColumn('scopes')
  firstScopes!: Scope[];

  /** Null: the key was made by an instance of version 0.1. */
  @JsonColumn('granted_scopes', { nullable: true })
  grantedScopes!: Scope[] | null;

  @Field(() => [Scope], { description: 'What it may do; an admin key may do everything.' })
  get scopes(): readonly Scope[] {
    return this.grantedScopes ?? scopesOfFirst(this.firstScopes);
  }

  @Field(() => Date, { description: 'When it was made.' })
  @TimeColumn('created_at')
  createdAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When it ends by itself; null: never.' })
  @TimeColumn('expires_at', { nullable: true })
  expiresAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When somebody ended it; null: nobody has.' })
  @TimeColumn('revoked_at', { nullable: true })
  revokedAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When it was last used, to the minute; null: not since this is noted.' })
  @TimeColumn('last_used_at', { nullable: true })
  lastUsedAt!: Date | null;

  @Field(() => [String], { nullable: true, description: 'CIDRs of the networks that it may be used from; null: from anywhere.' })
  @JsonColumn('allowed_networks', { nullable: true })
  allowedNetworks!: readonly string[] | null;

  /** Set for the key that LIVEHOOK_ADMIN_KEY names: a new value there retires the old one. */
  @TextColumn('origin')
  origin!: 'API' | 'ENVIRONMENT' | 'GENERATED' | 'COMMAND';
}

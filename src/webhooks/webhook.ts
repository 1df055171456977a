import { GraphQLJSON } from 'graphql-scalars';
import { Field, Float, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { Node } from '../node';
import { JsonColumn, LongTextColumn, TextColumn, TimeColumn } from '../store/columns';
import { maskedHeaders } from './header-mask';

export enum WebhookStatus {
  ACTIVE = 'ACTIVE',
  PAUSED = 'PAUSED',
  DISABLED = 'DISABLED',
}

export enum WebhookHealth {
  HEALTHY = 'HEALTHY',
  ORDER_BLOCKED = 'ORDER_BLOCKED',
  THROTTLED = 'THROTTLED',
  FAILING = 'FAILING',
  CIRCUIT_OPEN = 'CIRCUIT_OPEN',
  FILTER_TOO_COSTLY = 'FILTER_TOO_COSTLY',
  PAYLOAD_QUERY_INVALID = 'PAYLOAD_QUERY_INVALID',
  UNVERIFIED = 'UNVERIFIED',
  DISABLED = 'DISABLED',
}

registerEnumType(WebhookHealth, {
  name: 'WebhookHealth',
  description: 'What stands in the way of a webhook.',
  valuesConfig: {
    HEALTHY: { description: 'Nothing to see to.' },
    ORDER_BLOCKED: { description: 'An event that keeps failing holds up those after it, of its key or all; see `healthReason`.' },
    THROTTLED: { description: 'Its receiver is overloaded or asked for a pause: it is sent less until that is over.' },
    FAILING: { description: 'Several attempts in a row have failed and none has succeeded since.' },
    CIRCUIT_OPEN: { description: 'Its receiver is away or overloaded: deliveries wait, one at a time tries whether it is back.' },
    FILTER_TOO_COSTLY: {
      description:
        'Its filter takes too many comparisons for some events: it does not get those. Stays for a day, or until the filter is changed.',
    },
    PAYLOAD_QUERY_INVALID: { description: 'Its payload query no longer fits the schema: deliveries wait until it is mended.' },
    UNVERIFIED: { description: 'This hub requires a verification and its target has passed none: deliveries wait until one is passed.' },
    DISABLED: { description: 'It failed for too long, or its target is gone: it gets no more deliveries until it is resumed.' },
  },
});

export enum Ordering {
  NONE = 'NONE',
  STRICT = 'STRICT',
  BY_KEY = 'BY_KEY',
}

registerEnumType(Ordering, {
  name: 'Ordering',
  description: 'In what order a webhook gets its events; kept through failures, retries, pauses and restarts.',
  valuesConfig: {
    NONE: { description: 'As they come, several at once; a retry goes when it is due.' },
    STRICT: { description: 'In the order of their sequences, one at a time: the next goes when the one before has succeeded or ended.' },
    BY_KEY: { description: 'In the order of their sequences within an `orderingKey`, several keys at once. Without a key: as NONE.' },
  },
});

export enum SigningScheme {
  V1 = 'V1',
  V1A = 'V1A',
}

registerEnumType(SigningScheme, {
  name: 'SigningScheme',
  description: 'Of Standard Webhooks 1.0.0.',
  valuesConfig: {
    V1: { description: 'HMAC-SHA256 with a secret that both sides know.' },
    V1A: { description: 'ed25519: receivers need only the public key.' },
  },
});

export enum WebhookFormat {
  STANDARD = 'STANDARD',
  CLOUDEVENTS_STRUCTURED = 'CLOUDEVENTS_STRUCTURED',
  CLOUDEVENTS_BINARY = 'CLOUDEVENTS_BINARY',
}

registerEnumType(WebhookFormat, {
  name: 'WebhookFormat',
  description: 'How an event becomes a request. Headers and signatures of Standard Webhooks are there in every format.',
  valuesConfig: {
    STANDARD: { description: 'The body of Standard Webhooks: id, type, timestamp, sequence, data.' },
    CLOUDEVENTS_STRUCTURED: { description: 'A CloudEvents 1.0 event as `application/cloudevents+json`.' },
    CLOUDEVENTS_BINARY: { description: 'CloudEvents 1.0 attributes as `ce-` headers; the body is the data alone.' },
  },
});

export enum WebhookVerification {
  NONE = 'NONE',
  CHALLENGE = 'CHALLENGE',
  CLOUDEVENTS = 'CLOUDEVENTS',
}

registerEnumType(WebhookVerification, {
  name: 'WebhookVerification',
  description: 'How a target shows that it wants events before it gets any.',
  valuesConfig: {
    NONE: { description: 'It need not.' },
    CHALLENGE: {
      description:
        'The hub POSTs `{"type":"livehook.webhook.verification","challenge":"…"}`, signed, and expects the challenge back, as `{"challenge":"…"}` or as plain text.',
    },
    CLOUDEVENTS: {
      description:
        'The handshake of HTTP 1.1 Web Hooks for Event Delivery: OPTIONS with WebHook-Request-Origin, answered with WebHook-Allowed-Origin.',
    },
  },
});

registerEnumType(WebhookStatus, {
  name: 'WebhookStatus',
  description: 'Whether a webhook gets and sends deliveries.',
  valuesConfig: {
    ACTIVE: { description: 'Events become deliveries, deliveries are sent.' },
    PAUSED: { description: 'Events become deliveries; nothing is sent until it is resumed.' },
    DISABLED: {
      description: 'The target answered 410 Gone or failed for too long: no new deliveries, nothing is sent until it is resumed.',
    },
  },
});

@ObjectType({ description: 'One HTTP header.' })
export class Header {
  @Field(() => String, { description: 'Its name.' })
  name!: string;

  @Field(() => String, { description: 'Its value.' })
  value!: string;
}

@ObjectType({ description: 'What a webhook shows to receivers that ask for a client certificate. Its key is never shown.' })
export class ClientCertificate {
  @Field(() => String, { description: 'Whom it names, e.g. `O=Example Bank, CN=hub.example.com`.' })
  subject!: string;

  @Field(() => String, { description: 'SHA-256 of the certificate, in hexadecimal with colons.' })
  fingerprint!: string;

  @Field(() => Date, { description: 'When it expires.' })
  expiresAt!: Date;
}

@ObjectType({ description: 'Where tokens for the receiver come from: the client credentials grant of OAuth 2.0.' })
export class OAuth {
  @Field(() => String, { description: 'Where tokens are asked for.' })
  tokenUrl!: string;

  @Field(() => String, { description: 'Who asks.' })
  clientId!: string;

  @Field(() => String, { description: "The client secret's last four characters; empty for one that is short." })
  secretHint!: string;

  @Field(() => String, { nullable: true, description: 'What is asked for, separated by spaces.' })
  scope!: string | null;

  @Field(() => String, { nullable: true, description: 'For whom, where the server wants to be told.' })
  audience!: string | null;
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

  @Field(() => [String], {
    description:
      "Names or wildcards: `order.*`, `*.created`, `*`. The hub's own events go only to those that name them: `livehook.*`, not `*`.",
  })
  @JsonColumn('event_types')
  eventTypes!: string[];

  /** Masked where the values are sealed; with their values as long as instances of version 0.1 run. */
  @JsonColumn('headers')
  storedHeaders!: Header[];

  /** The same with their values, encrypted; null where there are none, or not yet. */
  @LongTextColumn('sealed_headers', { nullable: true })
  sealedHeaders!: string | null;

  @Field(() => [Header], {
    description:
      'Sent with every request, beside our own. Their values are secrets: shown by their last four characters, `••••1234`, short ones by none.',
  })
  get headers(): Header[] {
    return maskedHeaders(this.storedHeaders);
  }

  /** Seconds; null: the hub's default. */
  @JsonColumn('retry_schedule', { nullable: true })
  ownRetrySchedule!: number[] | null;

  @Field(() => Int, { description: 'One deadline over connecting, sending and reading to the end.' })
  @Column({ name: 'timeout_seconds', type: 'integer' })
  timeoutSeconds!: number;

  @Field(() => Int, { description: 'The most requests in flight to this webhook.' })
  @Column({ name: 'max_concurrency', type: 'integer' })
  maxConcurrency!: number;

  @Field(() => Ordering, { description: 'In which order its deliveries are sent.' })
  @TextColumn('ordering')
  ordering!: Ordering;
  @Field(() => Float, { nullable: true, description: 'The most requests a second, over all instances; null: unlimited.' })
  @Column({ name: 'rate_per_second', type: 'double', nullable: true })
  ratePerSecond!: number | null;

  @Field(() => GraphQLJSON, { nullable: true, description: 'A condition on { type, payload }: only events that meet it are sent.' })
  @JsonColumn('filter', { nullable: true })
  filter!: unknown;

  @Field(() => String, {
    nullable: true,
    description: 'A subscription document with the single root field `event`: what it selects becomes `data` of the body.',
  })
  @LongTextColumn('payload_query', { nullable: true })
  payloadQuery!: string | null;

  @Field(() => [SigningScheme], { description: 'How requests are signed; with several schemes each request carries a signature of each.' })
  @JsonColumn('signing')
  signing!: SigningScheme[];

  @Field(() => WebhookFormat, { description: 'What its requests look like.' })
  @TextColumn('format')
  format!: WebhookFormat;

  @Field(() => WebhookVerification, {
    description: 'What its target had to pass before it got events, and has to again when the URL changes.',
  })
  @TextColumn('verification')
  verification!: WebhookVerification;

  @Field(() => Int, {
    nullable: true,
    description: 'Requests a minute that the target allowed in its CLOUDEVENTS verification; null: it named no limit.',
  })
  @Column({ name: 'allowed_rate', type: 'integer', nullable: true })
  allowedRatePerMinute!: number | null;

  @Field(() => String, { description: "The signing secret's last four characters." })
  @TextColumn('secret_hint')
  secretHint!: string;

  @Field(() => String, { nullable: true, description: 'whpk_…: what V1A signatures are verified with.' })
  @TextColumn('public_key', { nullable: true })
  publicKey!: string | null;

  /** The certificate and its chain. */
  @LongTextColumn('client_certificate', { nullable: true })
  clientCertificatePem!: string | null;

  @LongTextColumn('client_key', { nullable: true })
  sealedClientKey!: string | null;

  @Field(() => OAuth, { nullable: true, description: 'Where the token comes from that requests carry; null: they carry none.' })
  @JsonColumn('oauth', { nullable: true })
  oauth!: OAuth | null;

  @LongTextColumn('oauth_secret', { nullable: true })
  sealedOAuthSecret!: string | null;

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

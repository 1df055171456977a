import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { attemptNumberOf, deliveryIdOf } from '../ids';
import { Node } from '../node';
import { JsonColumn, LongTextColumn, TextColumn, TimeColumn } from '../store/columns';
import { Header } from '../webhooks/webhook';
import { unpackHeaders } from './packed-headers';

export enum AttemptTrigger {
  FIRST = 'FIRST',
  AUTOMATIC = 'AUTOMATIC',
  MANUAL = 'MANUAL',
  TEST = 'TEST',
}

export enum AttemptOutcome {
  SUCCESS = 'SUCCESS',
  HTTP_ERROR = 'HTTP_ERROR',
  TIMEOUT = 'TIMEOUT',
  DNS = 'DNS',
  CONNECT = 'CONNECT',
  TLS = 'TLS',
  BLOCKED_ADDRESS = 'BLOCKED_ADDRESS',
  REDIRECT = 'REDIRECT',
  PAYLOAD_ERROR = 'PAYLOAD_ERROR',
}

registerEnumType(AttemptTrigger, {
  name: 'AttemptTrigger',
  description: 'Why an attempt was made.',
  valuesConfig: {
    FIRST: { description: 'The first attempt of a delivery.' },
    AUTOMATIC: { description: 'The retry schedule.' },
    MANUAL: { description: 'Somebody asked for it.' },
    TEST: { description: 'A test of the webhook.' },
  },
});

registerEnumType(AttemptOutcome, {
  name: 'AttemptOutcome',
  description: 'How an attempt ended.',
  valuesConfig: {
    SUCCESS: { description: 'Answered 2xx.' },
    HTTP_ERROR: { description: 'Answered another status, or with something that is not HTTP.' },
    TIMEOUT: { description: 'The exchange had not ended at its deadline.' },
    DNS: { description: 'The name does not lead to a public address.' },
    CONNECT: { description: 'No connection, or it broke.' },
    TLS: { description: 'No trusted TLS connection.' },
    BLOCKED_ADDRESS: { description: 'The URL itself names an address, port or host that webhooks may not reach.' },
    REDIRECT: { description: 'Answered 3xx; redirects are not followed.' },
    PAYLOAD_ERROR: { description: 'The body could not be made.' },
  },
});

@ObjectType({
  description:
    'How long the phases took, in milliseconds; null where one did not happen or did not end. A kept connection needs no new one.',
})
export class AttemptTimings {
  @Field(() => Int, { nullable: true, description: 'Resolving the name.' })
  dnsMs!: number | null;

  @Field(() => Int, { nullable: true, description: 'Until the receiver accepted the connection.' })
  connectMs!: number | null;

  @Field(() => Int, { nullable: true, description: 'The TLS handshake.' })
  tlsMs!: number | null;

  @Field(() => Int, { nullable: true, description: 'From sending the request to the first byte of the answer.' })
  firstByteMs!: number | null;

  @Field(() => Int, { description: 'Everything: the `durationMs` of the attempt.' })
  totalMs!: number;
}

@Entity('attempts')
@ObjectType({ implements: Node, description: 'One HTTP request, of a delivery or of a test. Written once, never changed.' })
export class Attempt extends Node {
  @Field(() => ID, { description: 'Global: `node(id)` finds it again.' })
  @PrimaryColumn({ type: 'varchar' })
  id!: string;

  @Field(() => AttemptTrigger, { description: 'Why it was made.' })
  @TextColumn('triggered_by')
  trigger!: AttemptTrigger;

  @Field(() => Date, { description: 'When it began.' })
  @TimeColumn('started_at')
  startedAt!: Date;

  @Field(() => Int, { description: 'From resolving the name to the end of the response.' })
  @Column({ name: 'duration_ms', type: 'integer' })
  durationMs!: number;

  @Field(() => AttemptOutcome, { description: 'How it ended.' })
  @TextColumn('outcome')
  outcome!: AttemptOutcome;

  @Field(() => Int, { nullable: true, description: 'What the receiver answered; null when no status came.' })
  @Column({ name: 'status_code', type: 'integer', nullable: true })
  statusCode!: number | null;

  @LongTextColumn('error', { nullable: true })
  error!: string | null;

  /** Where it went; a webhook may change its URL between attempts. */
  @LongTextColumn('url')
  url!: string;

  @LongTextColumn('request_headers')
  packedRequestHeaders!: string;

  @Field(() => [Header], { description: 'As they came.' })
  @JsonColumn('response_headers')
  responseHeaders!: Header[];

  @Field(() => String, { nullable: true, description: 'At most its first 64 KiB. Null for a key without PAYLOADS_READ.' })
  @LongTextColumn('response_body', { nullable: true })
  responseBody!: string | null;

  @Field(() => Boolean, { description: 'Whether the body went on past what is kept.' })
  @Column({ name: 'response_truncated', type: 'smallint', transformer: { to: Number, from: Boolean } })
  responseTruncated!: boolean;

  /** As `dispatch/exchange.ts` has them; null where nothing was sent. */
  @JsonColumn('phases', { nullable: true })
  phases!: readonly (number | null)[] | null;

  @Field(() => [Header], {
    description: "As they were sent; the values of the webhook's own by their last four characters, `••••1234`.",
  })
  get requestHeaders(): Header[] {
    return unpackHeaders(this.id, this.packedRequestHeaders).map(([name, value]) => ({ name, value }));
  }

  @Field(() => AttemptTimings, { description: 'Where the time went.' })
  get timings(): AttemptTimings {
    const [dnsMs = null, connectMs = null, tlsMs = null, firstByteMs = null] = this.phases ?? [];
    return { dnsMs, connectMs, tlsMs, firstByteMs, totalMs: this.durationMs };
  }

  @Field(() => Int, { description: '1 for the first attempt of its delivery; tests are numbered by webhook.' })
  get number(): number {
    return attemptNumberOf(this.id);
  }

  get deliveryId(): string {
    return deliveryIdOf(this.id);
  }
}

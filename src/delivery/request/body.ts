import type { Event } from '../../events/event';
import { MAX_PAYLOAD_BYTES } from '../../events/publish';
import type { PayloadQuery } from '../../webhooks/payload-query';
import type { WebhookFormat } from '../../webhooks/webhook';
import type { HeaderPair } from '../transport/exchange';
import { binaryHeaders, STRUCTURED_HEADERS, structuredBody } from './cloud-events';

/** The bytes of every attempt of a delivery. */
export interface FixedBody {
  /** Format and payload query, see `bodyKey`; what goes beside the body follows from it as well. */
  readonly key: string;
  readonly bytes: Buffer;
}

/**
 * A body larger than this is not made. Every payload that can be published fits, in any format, and so does what selects
 * all of one together with a few other fields; a payload query that repeats it fifty times does not.
 */
export const MAX_BODY_BYTES = MAX_PAYLOAD_BYTES + 16 * 1024;

/** The key of the standard body. */
export const STANDARD_BODY = '';

export type Format = `${WebhookFormat}`;

/** What the keys of a format begin with. Keys of payload queries have no colon. */
const PREFIX = {
  STANDARD: STANDARD_BODY,
  CLOUDEVENTS_STRUCTURED: 'structured:',
  CLOUDEVENTS_BINARY: 'binary:',
} as const satisfies Record<Format, string>;

export function bodyKey(format: Format, query: Pick<PayloadQuery, 'key'> | null): string {
  return PREFIX[format] + (query?.key ?? '');
}

function formatOf(key: string): Format {
  if (key.startsWith(PREFIX.CLOUDEVENTS_STRUCTURED)) return 'CLOUDEVENTS_STRUCTURED';
  return key.startsWith(PREFIX.CLOUDEVENTS_BINARY) ? 'CLOUDEVENTS_BINARY' : 'STANDARD';
}

/** Whether the body of this key follows from the event alone, and is not stored. */
export function isDerived(key: string): boolean {
  return key === PREFIX[formatOf(key)];
}

/** The body of a key that is derived. */
export function derivedBody(event: Event, key: string): Buffer {
  return key === STANDARD_BODY ? bodyOf(event) : encoded(formatOf(key), event, event.payloadText);
}

/** The headers that say what the body of this key is. */
export function contentHeaders(event: Event, key: string): readonly HeaderPair[] {
  switch (formatOf(key)) {
    case 'STANDARD':
      return [['content-type', 'application/json']];
    case 'CLOUDEVENTS_STRUCTURED':
      return STRUCTURED_HEADERS;
    case 'CLOUDEVENTS_BINARY':
      return binaryHeaders(event);
  }
}

function encoded(format: Format, event: Event, data: string): Buffer {
  switch (format) {
    case 'STANDARD':
      return envelope(event, data);
    case 'CLOUDEVENTS_STRUCTURED':
      return Buffer.from(structuredBody(event, data));
    case 'CLOUDEVENTS_BINARY':
      return Buffer.from(data);
  }
}

const standardBodies = new WeakMap<Event, Buffer>();

/**
 * The standard body for an event: `{"id","type","timestamp","sequence","data"}`, minified, `data` being the payload's
 * own text.
 */
export function bodyOf(event: Event): Buffer {
  const known = standardBodies.get(event);
  if (known) return known;
  const body = envelope(event, event.payloadText);
  standardBodies.set(event, body);
  return body;
}

/**
 * What a delivery sends where no payload query has to be run for it: the body that its first attempt has fixed, or one
 * that follows from the event alone. Undefined where the `Shaper` has to be asked.
 */
export function readyBody(event: Event, fixed: FixedBody | null, query: PayloadQuery | null, format: Format): FixedBody | undefined {
  if (fixed !== null) return fixed;
  if (query !== null) return undefined;
  const key = bodyKey(format, null);
  return { key, bytes: derivedBody(event, key) };
}

/**
 * Runs a payload query.
 * @throws Error with a sentence for people when it fails, or selects too much
 */
export async function shapedBody(event: Event, key: string, query: PayloadQuery): Promise<Buffer> {
  const bytes = encoded(formatOf(key), event, await query.run(event, MAX_BODY_BYTES));
  if (bytes.length > MAX_BODY_BYTES) throw new BodyTooLarge(MAX_BODY_BYTES);
  return bytes;
}

/** What a payload query selects of an event is more than a body may have. */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';

  constructor(mostBytes: number) {
    super(`it selects more than the ${mostBytes} bytes that a body may have; select less of the payload, or select it only once`);
  }
}

/** Nothing that was made of this event's payload is used again. */
export function forgetStandardBody(event: Event): void {
  standardBodies.delete(event);
}

/** Ids and type names need no escaping: their alphabets hold neither quotes nor backslashes. */
export function envelope({ id, type, occurredAt, sequence }: Event, data: string): Buffer {
  return Buffer.from(`{"id":"${id}","type":"${type}","timestamp":"${occurredAt.toISOString()}","sequence":${sequence},"data":${data}}`);
}

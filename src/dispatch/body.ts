import type { Event } from '../events/event';
import type { PayloadQuery } from '../webhooks/payload-query';
import type { WebhookFormat } from '../webhooks/webhook';
import { binaryHeaders, STRUCTURED_HEADERS, structuredBody } from './cloud-events';
import type { HeaderPair } from './exchange';

/** The bytes of every attempt of a delivery. */
export interface FixedBody {
  /** Format and payload query, see `bodyKey`; what goes beside the body follows from it as well. */
  readonly key: string;
  readonly bytes: Buffer;
}

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

/** Made once an event and distinct document, not once a webhook; forgotten with the event. */
const bodies = new WeakMap<Event, Map<string, Promise<Buffer>>>();
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
 * What a delivery sends: the body that its first attempt has fixed, or else the one that its webhook asks for now.
 * `problem`: its payload query failed.
 */
export async function bodyFor(
  event: Event,
  fixed: FixedBody | null,
  query: PayloadQuery | null,
  format: Format = 'STANDARD',
): Promise<FixedBody | { readonly problem: string }> {
  if (fixed !== null) return fixed;
  const key = bodyKey(format, query);
  if (key === STANDARD_BODY) return { key, bytes: bodyOf(event) };
  try {
    return { key, bytes: await madeBody(event, key, query) };
  } catch (error) {
    return { problem: `the payload query failed: ${(error as Error).message}` };
  }
}

/** The same where nothing has to be waited for, which is most often; undefined where `bodyFor` has to be asked. */
export function readyBody(event: Event, fixed: FixedBody | null, query: PayloadQuery | null, format: Format): FixedBody | undefined {
  if (fixed !== null) return fixed;
  return query === null && format === 'STANDARD' ? { key: STANDARD_BODY, bytes: bodyOf(event) } : undefined;
}

/** Nothing that was made of this event's payload is used again. */
export function forgetBodies(event: Event): void {
  bodies.delete(event);
  standardBodies.delete(event);
}

function madeBody(event: Event, key: string, query: PayloadQuery | null): Promise<Buffer> {
  const own = bodies.get(event) ?? new Map<string, Promise<Buffer>>();
  bodies.set(event, own);
  const known = own.get(key);
  if (known) return known;
  const selected = query === null ? Promise.resolve(event.payloadText) : query.run(event);
  const made = selected.then((data) => encoded(formatOf(key), event, data));
  own.set(key, made);
  made.catch(() => own.delete(key)); // the next attempt tries again
  return made;
}

/** Ids and type names need no escaping: their alphabets hold neither quotes nor backslashes. */
export function envelope({ id, type, occurredAt, sequence }: Event, data: string): Buffer {
  return Buffer.from(`{"id":"${id}","type":"${type}","timestamp":"${occurredAt.toISOString()}","sequence":${sequence},"data":${data}}`);
}

import type { Event } from '../events/event';
import type { PayloadQuery } from '../webhooks/payload-query';

/** The bytes of every attempt of a delivery. */
export interface FixedBody {
  /** '' for the standard body, else its key in `bodies`. */
  readonly key: string;
  readonly bytes: Buffer;
}

/** The standard body follows from the event alone and is not stored. */
export const STANDARD_BODY = '';

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
): Promise<FixedBody | { readonly problem: string }> {
  if (fixed !== null) return fixed;
  if (query === null) return { key: STANDARD_BODY, bytes: bodyOf(event) };
  try {
    return { key: query.key, bytes: await shapedBody(event, query) };
  } catch (error) {
    return { problem: `the payload query failed: ${(error as Error).message}` };
  }
}

/** Nothing that was made of this event's payload is used again. */
export function forgetBodies(event: Event): void {
  bodies.delete(event);
  standardBodies.delete(event);
}

function shapedBody(event: Event, query: PayloadQuery): Promise<Buffer> {
  const own = bodies.get(event) ?? new Map<string, Promise<Buffer>>();
  bodies.set(event, own);
  const known = own.get(query.key);
  if (known) return known;
  const made = query.run(event).then((data) => envelope(event, data));
  own.set(query.key, made);
  made.catch(() => own.delete(query.key)); // the next attempt tries again
  return made;
}

/** Ids and type names need no escaping: their alphabets hold neither quotes nor backslashes. */
export function envelope({ id, type, occurredAt, sequence }: Event, data: string): Buffer {
  return Buffer.from(`{"id":"${id}","type":"${type}","timestamp":"${occurredAt.toISOString()}","sequence":${sequence},"data":${data}}`);
}

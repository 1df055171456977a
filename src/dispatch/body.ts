import type { Event } from '../events/event';

/** Serialised once an event, not once a webhook; forgotten with the event. */
const bodies = new WeakMap<Event, Buffer>();

/**
 * The body of every request for an event: `{"id","type","timestamp","sequence","data"}`, minified, `data` being the
 * payload's own text. It depends on nothing but the event, so every retry sends the same bytes.
 */
export function bodyOf(event: Event): Buffer {
  const known = bodies.get(event);
  if (known) return known;
  // Ids and type names need no escaping: their alphabets hold neither quotes nor backslashes.
  const body = Buffer.from(
    `{"id":"${event.id}","type":"${event.type}","timestamp":"${event.occurredAt.toISOString()}","sequence":${event.sequence},"data":${event.payloadText}}`,
  );
  bodies.set(event, body);
  return body;
}

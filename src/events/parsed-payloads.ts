import type { Event } from './event';

/**
 * Payloads as values. One takes up to 21 times the memory of its text (`[{},{},…]`), which nobody weighs, so they are
 * kept for the events that were looked at last: an event is filtered, shaped and shown to subscribers within moments.
 */
const MAX_KEPT_CHARS = 4 * 1024 * 1024;

interface Kept {
  readonly value: unknown;
  readonly chars: number;
}

const kept = new Map<Event, Kept>();
let keptChars = 0;

/** Parsed once, however many webhooks and subscribers of this instance look at it in a row. */
export function parsedPayload(event: Event): unknown {
  const known = kept.get(event);
  if (known !== undefined) return known.value;
  const value: unknown = JSON.parse(event.payloadText);
  const chars = event.payloadText.length;
  kept.set(event, { value, chars });
  keptChars += chars;
  for (const oldest of kept.keys()) {
    if (keptChars <= MAX_KEPT_CHARS || oldest === event) break;
    forgetPayload(oldest);
  }
  return value;
}

export function forgetPayload(event: Event): void {
  keptChars -= kept.get(event)?.chars ?? 0;
  kept.delete(event);
}

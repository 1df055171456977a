import { LRUCache } from 'lru-cache';
import type { Event } from './event';

/**
 * Payloads as values. One takes up to 21 times the memory of its text (`[{},{},…]`), which nobody weighs, so they are
 * kept for the events that were looked at last: an event is filtered, shaped and shown to subscribers within moments.
 */
const MAX_KEPT_CHARS = 4 * 1024 * 1024;

const kept = new LRUCache<Event, { readonly value: unknown }>({
  maxSize: MAX_KEPT_CHARS,
  sizeCalculation: (_value, { payloadText }) => payloadText.length,
});

/** Parsed once, however many webhooks and subscribers of this instance look at it in a row. */
export function parsedPayload(event: Event): unknown {
  const known = kept.get(event);
  if (known !== undefined) return known.value;
  const value: unknown = JSON.parse(event.payloadText);
  kept.set(event, { value });
  return value;
}

export function forgetPayload(event: Event): void {
  kept.delete(event);
}

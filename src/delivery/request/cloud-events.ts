import type { Event } from '../../events/event';
import type { HeaderPair } from '../transport/exchange';

/*
 * CloudEvents 1.0.2 over HTTP. `id`, `type` and `source` are made of letters, digits and `_./`, so that neither JSON nor
 * headers need escaping.
 */

/** Both attributes of `sequence`'s extension must order as text: 53 bits have 16 digits. */
const SEQUENCE_DIGITS = 16;

function attributesOf({ id, applicationId, type, occurredAt, sequence }: Event) {
  return {
    specversion: '1.0',
    id,
    source: `/applications/${applicationId}`,
    type,
    time: occurredAt.toISOString(),
    sequence: String(sequence).padStart(SEQUENCE_DIGITS, '0'),
  } as const;
}

/** Structured mode: attributes and data in one JSON document. `data` is minified JSON and stays byte for byte. */
export function structuredBody(event: Event, data: string): string {
  const attributes = JSON.stringify({ ...attributesOf(event), datacontenttype: 'application/json' });
  return `${attributes.slice(0, -1)},"data":${data}}`;
}

export const STRUCTURED_HEADERS: readonly HeaderPair[] = [['content-type', 'application/cloudevents+json']];

/** Binary mode: attributes as headers, `datacontenttype` being the content type; the body is the data alone. */
export function binaryHeaders(event: Event): HeaderPair[] {
  const attributes = Object.entries(attributesOf(event)).map(([name, value]) => [`ce-${name}`, value] as const);
  return [['content-type', 'application/json'], ...attributes];
}

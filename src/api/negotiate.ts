import { LRUCache } from 'lru-cache';
import Negotiator from 'negotiator';
import { BadRequest } from './request-body';

const JSON_TYPE = 'application/json; charset=utf-8';
const RESPONSE_TYPE = 'application/graphql-response+json; charset=utf-8';
const STREAM_TYPE = 'text/event-stream; charset=utf-8';
const PAGE_TYPE = 'text/html; charset=utf-8';

/** In the order in which they are given to a client that likes them equally, such as one that says nothing or takes everything. */
const OFFERED = [JSON_TYPE, RESPONSE_TYPE, STREAM_TYPE, PAGE_TYPE] as const;

export type JsonType = typeof JSON_TYPE | typeof RESPONSE_TYPE;

/** What a client takes of what `/graphql` can answer with. */
export interface Accepted {
  /** Of the two JSON types the one that it prefers; undefined: it takes neither. */
  readonly json: JsonType | undefined;
  readonly stream: boolean;
  /** It is a browser that opens a page. */
  readonly prefersPage: boolean;
}

/** Browsers send some 150, and 16 KiB of short ranges took 75 ms. */
const MAX_ACCEPT_CHARS = 1_000;
const MAX_KEPT = 1_000;

/** There are few of them, and each comes with every request of its client. */
const kept = new LRUCache<string, Accepted>({ max: MAX_KEPT });

/**
 * Media types with their weights and parameters, by RFC 9110, 12.5.1. A client that says nothing takes everything.
 * @throws BadRequest 400 when there is more of it than anyone needs
 */
export function negotiate(header: string | undefined): Accepted {
  const accept = header?.trim() || '*/*';
  if (accept.length > MAX_ACCEPT_CHARS)
    throw new BadRequest(400, `expected an Accept header of at most ${MAX_ACCEPT_CHARS} characters, got ${accept.length}`);
  const known = kept.get(accept);
  if (known) return known;
  const byPreference = new Negotiator({ headers: { accept } }).mediaTypes([...OFFERED]);
  const accepted: Accepted = {
    json: byPreference.find(isJson),
    stream: byPreference.includes(STREAM_TYPE),
    prefersPage: byPreference[0] === PAGE_TYPE,
  };
  kept.set(accept, accepted);
  return accepted;
}

function isJson(type: string): type is JsonType {
  return type === JSON_TYPE || type === RESPONSE_TYPE;
}

/** Whether a body is what `/graphql` reads: JSON in UTF-8. */
export function isJsonBody(contentType: string | undefined): boolean {
  const [type = '', ...parameters] = (contentType ?? '').toLowerCase().split(';');
  if (!['application/json', 'application/graphql+json'].includes(type.trim())) return false;
  return parameters.every((parameter) => !/^\s*charset=/.test(parameter) || /^\s*charset="?utf-?8"?\s*$/.test(parameter));
}

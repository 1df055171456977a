import { Problems, shown, UserErrorCode } from '../errors';
import { isMask, masked, maskedHeaders } from './header-mask';
import type { Seal } from './seal';
import type { Header, Webhook } from './webhook';
import { MAX_HEADER_CHARS_PER_WEBHOOK } from './webhook-input';

/** A webhook's own headers in its row: their values sealed, with masks beside them. */
export type StoredHeaders = Pick<Webhook, 'storedHeaders' | 'sealedHeaders'>;

export function sealedHeaders(seal: Seal, webhookId: string, headers: readonly Header[]): StoredHeaders {
  if (headers.length === 0) return plainHeaders(headers);
  return { storedHeaders: maskedHeaders(headers), sealedHeaders: seal.close(Buffer.from(JSON.stringify(headers)), webhookId) };
}

/** As version 0.1 stores and reads them. */
export function plainHeaders(headers: readonly Header[]): StoredHeaders {
  return { storedHeaders: headers.map(({ name, value }) => ({ name, value })), sealedHeaders: null };
}

/** A webhook's own headers with their values. */
export function openHeaders(seal: Seal, webhook: StoredHeaders & Pick<Webhook, 'id'>): readonly Header[] {
  const { id, storedHeaders, sealedHeaders } = webhook;
  if (sealedHeaders === null) return storedHeaders;
  const opened = JSON.parse(seal.open(sealedHeaders, id).toString()) as Header[];
  // An instance of version 0.1 that changes headers leaves what is sealed behind: what it has written is newer.
  return JSON.stringify(maskedHeaders(opened)) === JSON.stringify(storedHeaders) ? opened : storedHeaders;
}

/**
 * Headers as a caller gives them, with the values that stand for stored ones put in: a caller that sends back what was shown
 * changes nothing.
 * @throws InputRefused for the mask of anything else
 */
export function withStoredValues(given: readonly Header[], stored: readonly Header[]): readonly Header[] {
  const problems = new Problems();
  const byName = new Map(stored.map((header) => [header.name.toLowerCase(), header.value]));
  const headers = given.map(({ name, value }, index) => {
    const known = byName.get(name.toLowerCase());
    if (!isMask(value)) return { name, value };
    if (known !== undefined && masked(known) === value) return { name, value: known };
    const instead = known === undefined ? 'none of this name is stored' : 'the stored one shows as another';
    problems.add(['headers', String(index), 'value'], `expected a value in full, got the mask ${shown(value)}: ${instead}`);
    return { name, value };
  });
  const chars = headers.reduce((sum, { name, value }) => sum + name.length + value.length, 0);
  if (chars > MAX_HEADER_CHARS_PER_WEBHOOK)
    problems.add('headers', `expected at most ${MAX_HEADER_CHARS_PER_WEBHOOK} characters in all, got ${chars}`, UserErrorCode.TOO_LARGE);
  problems.throwIfAny();
  return headers;
}

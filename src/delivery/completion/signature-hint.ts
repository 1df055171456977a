import { documentAt } from '../../version';
import type { LiveWebhook } from '../../webhooks/webhook-cache';
import type { Exchange } from '../transport/exchange';

/** A receiver that names a reason does so at the beginning. */
const MAX_CHARS_LOOKED_AT = 4_096;
const STATUSES: ReadonlySet<number | null> = new Set([400, 401, 403, 422]);
const SIGNATURE = /signature|\bhmac\b|webhook-(?:id|timestamp)|signing.secret|\bwhsec_/i;
const TIMESTAMP =
  /\btimestamp\b[^.\n]{0,40}\b(?:old|expired|stale|tolerance|future)\b|\b(?:old|expired|stale|invalid|missing)\b[^.\n]{0,20}\btimestamp\b/i;
/** With one of these a 401 is about that, as far as anybody can tell. */
const CREDENTIAL = /authorization|api-?key|token/;

const HINT = 'this may mean that it could not verify the signature';

/** A receiver's new partner asks it first, so the attempt answers it: a hint, since only the receiver knows. */
export function errorOf(
  { error, outcome, statusCode, responseBody }: Exchange,
  { headers, credentials }: Pick<LiveWebhook, 'headers' | 'credentials'>,
): string | null {
  if (error === null || outcome !== 'HTTP_ERROR' || !STATUSES.has(statusCode)) return error;
  const said = responseBody?.slice(0, MAX_CHARS_LOOKED_AT) ?? '';
  const hasCredential = credentials.oauth !== null || headers.some(([name]) => CREDENTIAL.test(name.toLowerCase()));
  const isHinted = SIGNATURE.test(said) || TIMESTAMP.test(said) || (statusCode === 401 && !hasCredential);
  return isHinted ? `${error}; ${HINT}: see ${documentAt('schema/webhook.md#my-signature-does-not-verify')}` : error;
}

/** Whether the error of an attempt speaks of the signature. */
export function mentionsSignature(error: string): boolean {
  return error.includes(HINT);
}

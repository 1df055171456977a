import { createHmac, type KeyObject } from 'node:crypto';

/** What is signed, as Standard Webhooks 1.0.0 says. */
export interface SignedContent {
  /** The `webhook-id`. */
  readonly id: string;
  /** Whole seconds since the epoch. */
  readonly timestamp: number;
  /** The exact bytes that are sent. */
  readonly body: Buffer;
}

/** The `webhook-signature`: `v1,<base64 HMAC-SHA256>` per live secret, space-separated. */
export function sign({ id, timestamp, body }: SignedContent, keys: readonly KeyObject[]): string {
  const head = `${id}.${timestamp}.`;
  return keys.map((key) => `v1,${createHmac('sha256', key).update(head).update(body).digest('base64')}`).join(' ');
}

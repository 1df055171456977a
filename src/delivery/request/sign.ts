import { createHmac, sign as signEd25519 } from 'node:crypto';
import type { SigningKey } from '../../webhooks/signing-secret';

/** What is signed, as Standard Webhooks 1.0.0 says. */
export interface SignedContent {
  /** The `webhook-id`. */
  readonly id: string;
  /** Whole seconds since the epoch. */
  readonly timestamp: number;
  /** The exact bytes that are sent. */
  readonly body: Buffer;
}

/** The `webhook-signature`: `v1,<base64 HMAC-SHA256>` and `v1a,<base64 ed25519>`, one for each secret that is live at `now`. */
export function sign({ id, timestamp, body }: SignedContent, keys: readonly SigningKey[], now: number): string {
  const head = `${id}.${timestamp}.`;
  const signatures: string[] = [];
  for (const { scheme, key, expiresAt } of keys) {
    if (expiresAt !== null && expiresAt <= now) continue;
    if (scheme === 'V1') signatures.push(`v1,${createHmac('sha256', key).update(head).update(body).digest('base64')}`);
    else signatures.push(`v1a,${signEd25519(null, Buffer.concat([Buffer.from(head), body]), key).toString('base64')}`);
  }
  return signatures.join(' ');
}

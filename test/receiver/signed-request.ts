import { sign } from '../../src/delivery/request/sign';
import { keyObject, parseSigningSecret } from '../../src/webhooks/signing-secret';
import { SigningScheme } from '../../src/webhooks/webhook';

/** The headers of a request that the hub makes now. */
export function signatureHeaders(secret: string, body: string, id = 'evt_1') {
  const parsed = parseSigningSecret(secret);
  if ('problem' in parsed) throw new Error(parsed.problem);
  const key = { scheme: SigningScheme.V1, key: keyObject(SigningScheme.V1, parsed.key), expiresAt: null };
  const timestamp = Math.floor(Date.now() / 1_000);
  const signature = sign({ id, timestamp, body: Buffer.from(body) }, [key], 0);
  return { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': signature };
}

/** A whole request, for a receiver and for `fetch`. */
export function signedRequest(secret: string, { type, data }: { readonly type: string; readonly data: unknown }, id = 'evt_1') {
  const body = JSON.stringify({ id, type, timestamp: '2026-01-31T12:00:00.000Z', sequence: 42, data });
  return { method: 'POST', body, headers: signatureHeaders(secret, body, id) };
}

import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { SigningScheme } from './webhook';

const PREFIX = 'whsec_';
const PUBLIC_PREFIX = 'whpk_';
const MIN_BYTES = 24;
const MAX_BYTES = 64;
const ED25519_BYTES = 32;
/** What comes before the 32 bytes of an ed25519 private key in PKCS #8, RFC 8410. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** A key to sign with, as long as it lasts. */
export interface SigningKey {
  readonly scheme: SigningScheme;
  readonly key: KeyObject;
  /** Milliseconds since the epoch; null: without end. */
  readonly expiresAt: number | null;
}

/** A secret as receivers know it: `whsec_` and base64, the form of Standard Webhooks. */
export function newSigningSecret(): string {
  return PREFIX + randomBytes(MIN_BYTES).toString('base64');
}

/** The bytes of a new ed25519 private key. */
export function newPrivateKey(): Buffer {
  return randomBytes(ED25519_BYTES); // any 32 bytes are one, RFC 8032
}

/** The key in a secret, or what is wrong with the text; the message never repeats it. */
export function parseSigningSecret(text: string): { readonly key: Buffer } | { readonly problem: string } {
  const expected = `expected ${PREFIX} and ${MIN_BYTES} to ${MAX_BYTES} bytes in base64`;
  if (!text.startsWith(PREFIX)) return { problem: `${expected}; the prefix is missing` };
  const base64 = text.slice(PREFIX.length);
  const key = Buffer.from(base64, 'base64');
  if (key.toString('base64').replace(/=+$/, '') !== base64.replace(/=+$/, ''))
    return { problem: `${expected}; got something that is not base64` };
  if (key.length < MIN_BYTES || key.length > MAX_BYTES) return { problem: `${expected}; got ${key.length} bytes` };
  if (isTrivial(key)) return { problem: `${expected} of random data; got bytes that repeat or count up` };
  return { key };
}

/** Random bytes have fewer than 8 different ones among 24 about once in 10^17 keys. */
function isTrivial(key: Buffer): boolean {
  const steps = new Set(key.subarray(1).map((byte, index) => byte - (key[index] ?? 0)));
  return new Set(key).size < 8 || steps.size === 1;
}

/** A key object for what is stored of a secret: made once, since making one costs more than a signature. */
export function keyObject(scheme: SigningScheme, bytes: Buffer): KeyObject {
  switch (scheme) {
    case SigningScheme.V1:
      return createSecretKey(bytes);
    case SigningScheme.V1A:
      return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, bytes]), format: 'der', type: 'pkcs8' });
  }
}

/** The public half of an ed25519 key as receivers know it: `whpk_` and base64. */
export function publicKeyOf(privateKey: Buffer): string {
  const spki = createPublicKey(keyObject(SigningScheme.V1A, privateKey)).export({ format: 'der', type: 'spki' });
  return PUBLIC_PREFIX + spki.subarray(-ED25519_BYTES).toString('base64');
}

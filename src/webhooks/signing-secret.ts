import { randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';
const LEAST_BYTES = 24;
const MOST_BYTES = 64;

/** A secret as receivers know it: `whsec_` and base64, the form of Standard Webhooks. */
export function newSigningSecret(): string {
  return PREFIX + randomBytes(LEAST_BYTES).toString('base64');
}

/** The key in a secret, or what is wrong with the text; the message never repeats it. */
export function parseSigningSecret(text: string): { key: Buffer } | { problem: string } {
  const expected = `expected ${PREFIX} and ${LEAST_BYTES} to ${MOST_BYTES} bytes in base64`;
  if (!text.startsWith(PREFIX)) return { problem: `${expected}; the prefix is missing` };
  const base64 = text.slice(PREFIX.length);
  const key = Buffer.from(base64, 'base64');
  if (key.toString('base64').replace(/=+$/, '') !== base64.replace(/=+$/, ''))
    return { problem: `${expected}; got something that is not base64` };
  if (key.length < LEAST_BYTES || key.length > MOST_BYTES) return { problem: `${expected}; got ${key.length} bytes` };
  return { key };
}

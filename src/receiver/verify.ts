import { createHmac, createPublicKey, timingSafeEqual, verify as verifyEd25519 } from 'node:crypto';

/** What is wrong with a request. */
export type VerificationProblem =
  | 'HEADER_MISSING'
  | 'HEADER_INVALID'
  | 'TIMESTAMP_TOO_OLD'
  | 'TIMESTAMP_TOO_NEW'
  | 'SIGNATURE_MISMATCH'
  | 'SECRET_INVALID'
  | 'BODY_INVALID';

/** A request that is not to be trusted, or a secret that can't verify any. The message never repeats a secret. */
export class WebhookVerificationError extends Error {
  override readonly name = 'WebhookVerificationError';

  constructor(
    readonly code: VerificationProblem,
    message: string,
  ) {
    super(message);
  }
}

/** Names in any case: those of `node:http`, of `fetch`, or an object of one's own. */
export type HeadersLike = { get(name: string): string | null } | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** `whsec_…` for `v1`, the public key `whpk_…` for `v1a`; several while one replaces another. */
  readonly secrets: string | readonly string[];
  /** How far `webhook-timestamp` may be off, in seconds. Default: 300. */
  readonly toleranceSeconds?: number;
  /** The time by which it is judged, in milliseconds since 1970. Default: now. */
  readonly now?: number;
}

/** What a request is, once its signature is right. */
export interface Verified {
  /** The same in each attempt. */
  readonly id: string;
  /** When this attempt was made. */
  readonly timestamp: Date;
}

const TOLERANCE_SECONDS = 5 * 60;

/**
 * Checks the signature over the bytes of a body as they came, and returns the body parsed.
 * Standard Webhooks 1.0.0: `v1` is HMAC-SHA256, `v1a` is ed25519, each over `id.timestamp.body`.
 * @throws WebhookVerificationError
 */
export function verify<Body = unknown>(
  body: string | Uint8Array,
  headers: HeadersLike,
  options: VerifyOptions | string | readonly string[],
): Body {
  const isSecrets = typeof options !== 'object' || Array.isArray(options);
  verifySignature(body, headers, isSecrets ? { secrets: options as string | readonly string[] } : (options as VerifyOptions));
  try {
    return JSON.parse(textOf(body)) as Body;
  } catch {
    throw new WebhookVerificationError('BODY_INVALID', 'Expected a body in JSON: the signature is right, but it is none.');
  }
}

/**
 * The same for a body of any kind.
 * @throws WebhookVerificationError
 */
export function verifySignature(body: string | Uint8Array, headers: HeadersLike, options: VerifyOptions): Verified {
  const keys = keysOf(options.secrets);
  const id = required(headers, 'webhook-id');
  const seconds = secondsIn(required(headers, 'webhook-timestamp'), options);
  const signatures = required(headers, 'webhook-signature').split(' ').filter(Boolean);
  const content = Buffer.concat([Buffer.from(`${id}.${seconds}.`), typeof body === 'string' ? Buffer.from(body) : body]);
  if (!keys.some((key) => signatures.some((signature) => key.fits(signature, content)))) throw mismatch(keys, signatures);
  return { id, timestamp: new Date(seconds * 1_000) };
}

/** The value of a header; several are joined, as in HTTP. */
export function headerOf(headers: HeadersLike, name: string): string | undefined {
  if (typeof headers.get === 'function') return (headers as { get(name: string): string | null }).get(name) ?? undefined;
  const fields = headers as Readonly<Record<string, string | readonly string[] | undefined>>;
  const found = fields[name] ?? Object.entries(fields).find(([written]) => written.toLowerCase() === name)?.[1];
  return typeof found === 'object' ? found.join(', ') : found;
}

export function textOf(body: string | Uint8Array): string {
  return typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
}

function required(headers: HeadersLike, name: string): string {
  const value = headerOf(headers, name)?.trim();
  if (value) return value;
  throw new WebhookVerificationError('HEADER_MISSING', `Expected the header ${name}, but the request has none.`);
}

function secondsIn(text: string, { toleranceSeconds = TOLERANCE_SECONDS, now = Date.now() }: VerifyOptions): number {
  if (!/^\d{1,12}$/.test(text))
    throw new WebhookVerificationError('HEADER_INVALID', `Expected webhook-timestamp in whole seconds since 1970, got ${shown(text)}.`);
  const seconds = Number(text);
  const age = Math.floor(now / 1_000) - seconds;
  if (Math.abs(age) <= toleranceSeconds) return seconds;
  const off = `${Math.abs(age)} seconds ${age > 0 ? 'old' : 'in the future'}, more than the ${toleranceSeconds} that are accepted`;
  const hint = 'either the request is played again, or a clock is wrong';
  throw new WebhookVerificationError(age > 0 ? 'TIMESTAMP_TOO_OLD' : 'TIMESTAMP_TOO_NEW', `The webhook-timestamp is ${off}: ${hint}.`);
}

interface Key {
  readonly scheme: 'v1' | 'v1a';
  fits(signature: string, content: Uint8Array): boolean;
}

function keysOf(secrets: string | readonly string[]): readonly Key[] {
  const all = Array.isArray(secrets) ? (secrets as readonly string[]) : [secrets as string];
  if (all.length > 0) return all.map(keyOf);
  throw new WebhookVerificationError('SECRET_INVALID', 'Expected at least one secret, got none.');
}

function keyOf(secret: string): Key {
  if (typeof secret !== 'string' || secret === '')
    throw new WebhookVerificationError('SECRET_INVALID', 'Expected a secret such as whsec_…, got none: is its setting missing?');
  return secret.startsWith('whpk_') ? publicKey(bytesIn(secret, 'whpk_')) : sharedKey(bytesIn(secret, 'whsec_'));
}

function bytesIn(secret: string, prefix: string): Buffer {
  const base64 = secret.startsWith(prefix) ? secret.slice(prefix.length) : secret;
  const bytes = Buffer.from(base64, 'base64');
  const strip = (text: string) => text.replace(/=+$/, '');
  if (bytes.length > 0 && strip(bytes.toString('base64')) === strip(base64)) return bytes;
  throw new WebhookVerificationError('SECRET_INVALID', `Expected ${prefix} and base64; the secret is something else, or cut off.`);
}

function sharedKey(secret: Buffer): Key {
  return {
    scheme: 'v1',
    fits: (signature, content) => {
      const given = signatureIn(signature, 'v1,');
      const right = given && createHmac('sha256', secret).update(content).digest();
      return right !== undefined && given?.length === right.length && timingSafeEqual(given, right);
    },
  };
}

const ED25519_BYTES = 32;

/** What comes before the bytes of an ed25519 public key in SPKI, RFC 8410. */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');

function publicKey(bytes: Buffer): Key {
  if (bytes.length !== ED25519_BYTES)
    throw new WebhookVerificationError('SECRET_INVALID', `Expected whpk_ and ${ED25519_BYTES} bytes in base64, got ${bytes.length} bytes.`);
  const key = createPublicKey({ key: Buffer.concat([SPKI_HEAD, bytes]), format: 'der', type: 'spki' });
  return {
    scheme: 'v1a',
    fits: (signature, content) => {
      const given = signatureIn(signature, 'v1a,');
      return given !== undefined && verifyEd25519(null, content, key, given);
    },
  };
}

function signatureIn(text: string, scheme: string): Buffer | undefined {
  return text.startsWith(scheme) ? Buffer.from(text.slice(scheme.length), 'base64') : undefined;
}

function mismatch(keys: readonly Key[], signatures: readonly string[]): WebhookVerificationError {
  const schemes = [...new Set(signatures.map((signature) => signature.split(',', 1)[0] ?? ''))];
  const known = schemes.filter((scheme) => keys.some((key) => key.scheme === scheme));
  const wanted = [...new Set(keys.map(({ scheme }) => scheme))].join(' and ');
  const why =
    known.length > 0
      ? 'either the secret is that of another webhook, or the body is not the bytes that came: verify it before it is parsed'
      : `the secrets are for ${wanted}, the request is signed as ${schemes.map(shown).join(', ')}`;
  return new WebhookVerificationError('SIGNATURE_MISMATCH', `No signature fits: ${why}.`);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 40));
}

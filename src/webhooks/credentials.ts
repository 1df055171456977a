import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { type Problems, UserErrorCode } from '../errors';
import type { TargetUrl } from '../net/target-url';
import type { Seal } from './seal';

/** How a webhook shows to its receiver who it is, beside signatures. */
export interface CredentialSettings {
  /** PEM, the certificate first and then its chain; null with a `clientKey` of null: none. */
  readonly clientCertificate?: string | null;
  /** PEM, without a passphrase. */
  readonly clientKey?: string | null;
  /** Replaced as a whole; null: none. */
  readonly oauth?: OAuthSettings | null;
}

/** The client credentials grant of OAuth 2.0, RFC 6749 section 4.4. */
export interface OAuthSettings {
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scope?: string | null;
  readonly audience?: string | null;
}

/** What is stored of it; the secret lies sealed beside it. */
export interface StoredOAuth {
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly secretHint: string;
  readonly scope: string | null;
  readonly audience: string | null;
}

/** The columns of a webhook that hold its credentials. */
export interface StoredCredentials {
  readonly clientCertificatePem: string | null;
  readonly sealedClientKey: string | null;
  readonly oauth: StoredOAuth | null;
  readonly sealedOAuthSecret: string | null;
}

/** A certificate and its key, ready to be shown. `id` is that of the connections which show it. */
export interface ClientCertificate {
  readonly id: string;
  readonly certificate: string;
  readonly key: string;
}

/** What tokens are asked for with. `id` changes with any of it. */
export interface OAuthClient extends Omit<StoredOAuth, 'secretHint'> {
  readonly id: string;
  readonly clientSecret: string;
}

export interface Credentials {
  readonly clientCertificate: ClientCertificate | null;
  readonly oauth: OAuthClient | null;
}

const MAX_PEM_CHARS = 32_768;
const MAX_CHAIN = 8;
/** Signing with a longer one takes the event loop's time: 8,192 bits 55 ms for each handshake, 4,096 bits 9 ms. */
const MAX_RSA_BITS = 4_096;
const MAX_CLIENT_ID_CHARS = 512;
const MAX_CLIENT_SECRET_CHARS = 2_048;
const MAX_SCOPE_CHARS = 2_048;
/** Of a shorter secret its last four characters would tell too much. */
const MIN_HINTED_CHARS = 12;

const ONE_CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const PRINTABLE = /^[\x20-\x7e]+$/;
/** RFC 6749, appendix A.4. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/;

/** Everything wrong with the credentials; no problem repeats a key or secret. */
export function checkCredentials(
  settings: CredentialSettings,
  problems: Problems,
  { now, target }: { readonly now: number; readonly target: (url: string) => TargetUrl },
): void {
  const { clientCertificate, clientKey, oauth } = settings;
  if (typeof clientCertificate === 'string' || typeof clientKey === 'string')
    checkCertificate(clientCertificate ?? '', clientKey ?? '', problems, now);
  else if ((clientCertificate === null) !== (clientKey === null) && (clientCertificate === undefined) !== (clientKey === undefined))
    problems.add(
      clientKey === null ? 'clientKey' : 'clientCertificate',
      'expected clientCertificate and clientKey together, both null to clear them',
    );
  if (oauth) checkOAuth(oauth, problems, target);
}

function checkCertificate(certificate: string, key: string, problems: Problems, now: number): void {
  const found = readCertificate(certificate, now);
  if ('problem' in found) problems.add('clientCertificate', found.problem, found.code);
  const privateKey = readKey(key);
  if ('problem' in privateKey) problems.add('clientKey', privateKey.problem, privateKey.code);
  if ('problem' in found || 'problem' in privateKey) return;
  if (!found.certificate.checkPrivateKey(privateKey.key))
    problems.add('clientKey', 'expected the private key of clientCertificate, got that of another certificate');
  else if (!isUsable(certificate, key))
    problems.add(
      'clientCertificate',
      'expected a certificate that TLS takes: an elliptic key, or RSA of at least 2,048 bits, signed with SHA-256',
    );
}

type Unreadable = { readonly problem: string; readonly code?: UserErrorCode };

function readCertificate(text: string, now: number): { readonly certificate: X509Certificate } | Unreadable {
  const expected = 'expected a certificate in PEM (-----BEGIN CERTIFICATE-----), followed by its chain';
  if (text.length > MAX_PEM_CHARS) return { problem: `${expected}, of at most ${MAX_PEM_CHARS} characters`, code: UserErrorCode.TOO_LARGE };
  const parts = text.match(ONE_CERTIFICATE) ?? [];
  if (parts.length === 0)
    return {
      problem: `${expected}; got ${text.trim() === '' ? 'nothing' : 'something else'}`,
      ...(text === '' && { code: UserErrorCode.REQUIRED }),
    };
  if (parts.length > MAX_CHAIN)
    return { problem: `${expected}, at most ${MAX_CHAIN} in all; got ${parts.length}`, code: UserErrorCode.TOO_LARGE };
  try {
    const [certificate] = parts.map((part) => new X509Certificate(part));
    if (certificate === undefined) return { problem: expected };
    const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
    if (to <= now) return { problem: `expected a certificate that is valid, got one that expired at ${new Date(to).toISOString()}` };
    if (from > now) return { problem: `expected a certificate that is valid, got one that begins at ${new Date(from).toISOString()}` };
    return { certificate };
  } catch {
    return { problem: `${expected}; got one that cannot be read` };
  }
}

function readKey(text: string): { readonly key: KeyObject } | Unreadable {
  const expected = 'expected the private key of the certificate in PEM, without a passphrase';
  if (text === '') return { problem: `${expected}; got nothing`, code: UserErrorCode.REQUIRED };
  if (text.length > MAX_PEM_CHARS) return { problem: `${expected}, of at most ${MAX_PEM_CHARS} characters`, code: UserErrorCode.TOO_LARGE };
  if (/ENCRYPTED/.test(text)) return { problem: `${expected}; got one with a passphrase` };
  try {
    const key = createPrivateKey(text);
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    return bits > MAX_RSA_BITS ? { problem: `${expected}, RSA of at most ${MAX_RSA_BITS} bits; got ${bits}` } : { key };
  } catch {
    return { problem: `${expected}; got something else` };
  }
}

function isUsable(cert: string, key: string): boolean {
  try {
    createSecureContext({ cert, key, minVersion: 'TLSv1.2' });
    return true;
  } catch {
    return false;
  }
}

function checkOAuth(oauth: OAuthSettings, problems: Problems, target: (url: string) => TargetUrl): void {
  const add = (field: keyof OAuthSettings, message: string, code?: UserErrorCode) => problems.add(['oauth', field], message, code);
  const checkText = (field: 'clientId' | 'clientSecret' | 'audience', text: string, maxChars: number) => {
    if (text === '') add(field, 'expected a text, got nothing', UserErrorCode.REQUIRED);
    else if (text.length > maxChars) add(field, `expected at most ${maxChars} characters, got ${text.length}`, UserErrorCode.TOO_LARGE);
    else if (!PRINTABLE.test(text)) add(field, 'expected printable ASCII on one line');
  };
  const tokenUrl = target(oauth.tokenUrl);
  if ('problem' in tokenUrl) add('tokenUrl', tokenUrl.problem);
  checkText('clientId', oauth.clientId, MAX_CLIENT_ID_CHARS);
  checkText('clientSecret', oauth.clientSecret, MAX_CLIENT_SECRET_CHARS);
  if (typeof oauth.audience === 'string') checkText('audience', oauth.audience, MAX_SCOPE_CHARS);
  if (typeof oauth.scope !== 'string') return;
  if (oauth.scope.length > MAX_SCOPE_CHARS)
    add('scope', `expected at most ${MAX_SCOPE_CHARS} characters, got ${oauth.scope.length}`, UserErrorCode.TOO_LARGE);
  else if (!SCOPE.test(oauth.scope)) add('scope', 'expected scopes separated by single spaces, such as "hooks:write events"');
}

/** Who seals what: a secret moved to another webhook, or to another column, does not open. */
const KEY_OWNER = (webhookId: string) => `${webhookId}/client-key`;
const SECRET_OWNER = (webhookId: string) => `${webhookId}/oauth-secret`;

/** The sealed columns of a webhook, with the owners that they are sealed for. */
export const SEALED_COLUMNS = [
  ['client_key', KEY_OWNER],
  ['oauth_secret', SECRET_OWNER],
] as const;

/** The columns that checked settings change. */
export function storedCredentials(
  settings: CredentialSettings,
  { webhookId, seal, target }: { readonly webhookId: string; readonly seal: Seal; readonly target: (url: string) => TargetUrl },
): Partial<StoredCredentials> {
  const { clientCertificate, clientKey, oauth } = settings;
  const sealed = (text: string, owner: string) => seal.close(Buffer.from(text), owner);
  return {
    ...(clientCertificate === undefined
      ? {}
      : {
          clientCertificatePem: clientCertificate === null ? null : (clientCertificate.match(ONE_CERTIFICATE) ?? []).join('\n'),
          sealedClientKey: typeof clientKey === 'string' ? sealed(clientKey, KEY_OWNER(webhookId)) : null,
        }),
    ...(oauth === undefined
      ? {}
      : { oauth: oauth && storedOAuth(oauth, target), sealedOAuthSecret: oauth && sealed(oauth.clientSecret, SECRET_OWNER(webhookId)) }),
  };
}

function storedOAuth(
  { tokenUrl, clientId, clientSecret, scope, audience }: OAuthSettings,
  target: (url: string) => TargetUrl,
): StoredOAuth {
  const normal = target(tokenUrl);
  return {
    tokenUrl: 'url' in normal ? normal.url : tokenUrl,
    clientId,
    secretHint: clientSecret.length < MIN_HINTED_CHARS ? '' : clientSecret.slice(-4),
    scope: scope ?? null,
    audience: audience ?? null,
  };
}

/** What is sent, from what is stored. */
export function openCredentials(stored: StoredCredentials & { readonly id: string }, seal: Seal): Credentials {
  const { id, clientCertificatePem, sealedClientKey, oauth, sealedOAuthSecret } = stored;
  const open = (sealed: string, owner: string) => seal.open(sealed, owner).toString();
  return {
    clientCertificate:
      clientCertificatePem === null || sealedClientKey === null
        ? null
        : {
            id: `${id}/${fingerprintOf(clientCertificatePem)}`,
            certificate: clientCertificatePem,
            key: open(sealedClientKey, KEY_OWNER(id)),
          },
    oauth: oauth === null || sealedOAuthSecret === null ? null : clientOf(id, oauth, open(sealedOAuthSecret, SECRET_OWNER(id))),
  };
}

function clientOf(webhookId: string, { tokenUrl, clientId, scope, audience }: StoredOAuth, clientSecret: string): OAuthClient {
  const what = { tokenUrl, clientId, clientSecret, scope, audience };
  return { ...what, id: `${webhookId}/${createHash('sha256').update(JSON.stringify(what)).digest('base64url')}` };
}

function fingerprintOf(certificate: string): string {
  return new X509Certificate(certificate).fingerprint256;
}

/** What may be shown of a client certificate. */
export interface CertificateFacts {
  readonly subject: string;
  readonly fingerprint: string;
  readonly expiresAt: Date;
}

export function certificateFacts(pem: string): CertificateFacts {
  const { subject, fingerprint256, validTo } = new X509Certificate(pem);
  return { subject: subject.split('\n').join(', '), fingerprint: fingerprint256, expiresAt: new Date(validTo) };
}

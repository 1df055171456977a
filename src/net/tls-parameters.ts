import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import { shown } from '../errors';

/** How a connection to a server is encrypted, in Node's words. */
export interface TlsSettings {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Whether the server's certificate has to come from a known authority. */
  readonly rejectUnauthorized: boolean;
  /** Whether it has to name the host as well. */
  readonly verifyIdentity: boolean;
  readonly minVersion: 'TLSv1.2';
}

const SSL_MODES = ['DISABLED', 'REQUIRED', 'VERIFY_CA', 'VERIFY_IDENTITY'] as const;
const MYSQL_PARAMETERS = ['ssl-mode', 'ssl-ca', 'ssl-cert', 'ssl-key'] as const;
const REDIS_PARAMETERS = ['cacert', 'cert', 'key'] as const;

/**
 * The parameters of a MySQL URL, as MySQL's own clients spell their options; undefined: no encryption. With an authority
 * and without a mode everything is verified.
 * @throws Error that says what was expected
 */
export function mysqlTls({ searchParams, hostname }: URL): TlsSettings | undefined {
  const given = readParameters(searchParams, MYSQL_PARAMETERS);
  const mode = given['ssl-mode'] === undefined ? undefined : parseMode(given['ssl-mode']);
  const files = { ca: given['ssl-ca'], cert: given['ssl-cert'], key: given['ssl-key'] };
  const hasFiles = Object.values(files).some((file) => file !== undefined);
  if (mode === 'DISABLED' && hasFiles) throw new Error('expected no ssl-ca, ssl-cert or ssl-key beside ssl-mode=DISABLED');
  if (mode === 'DISABLED' || (mode === undefined && !hasFiles)) return undefined;
  const verified = mode ?? 'VERIFY_IDENTITY';
  // The driver compares the certificate with no address, only with names.
  if (verified === 'VERIFY_IDENTITY' && isIP(hostname.replace(/^\[|\]$/g, '')) !== 0)
    throw new Error('expected the name of a host, not its address, for ssl-mode=VERIFY_IDENTITY; VERIFY_CA takes an address');
  return settings(files, 'ssl-', { rejectUnauthorized: verified !== 'REQUIRED', verifyIdentity: verified === 'VERIFY_IDENTITY' });
}

/** The same of a Redis URL, as redis-cli spells its options. `rediss://` verifies everything, always. */
export function redisTls({ protocol, searchParams }: URL): TlsSettings | undefined {
  const { cacert, cert, key } = readParameters(searchParams, REDIS_PARAMETERS);
  if (protocol === 'rediss:') return settings({ ca: cacert, cert, key }, '', { rejectUnauthorized: true, verifyIdentity: true });
  if ((cacert ?? cert ?? key) !== undefined) throw new Error('expected rediss:// beside cacert, cert or key: redis:// is not encrypted');
  return undefined;
}

function readParameters<Name extends string>(given: URLSearchParams, known: readonly Name[]): Partial<Record<Name, string>> {
  const read: Partial<Record<Name, string>> = {};
  for (const [text, value] of given) {
    const name = known.find((candidate) => candidate === text);
    if (name === undefined) throw new Error(`expected none but these parameters: ${known.join(', ')}; ${shown(text)} is not known`);
    if (read[name] !== undefined) throw new Error(`expected ${name} once`);
    if (value === '') throw new Error(`expected a value for ${name}`);
    read[name] = value;
  }
  return read;
}

function parseMode(text: string): (typeof SSL_MODES)[number] {
  const mode = SSL_MODES.find((candidate) => candidate === text.toUpperCase());
  if (mode !== undefined) return mode;
  if (text.toUpperCase() === 'PREFERRED')
    throw new Error(`expected ssl-mode to be one of ${SSL_MODES.join(', ')}: PREFERRED lets anybody between switch the encryption off`);
  throw new Error(`expected ssl-mode to be one of ${SSL_MODES.join(', ')}, not ${shown(text)}`);
}

type Files = Readonly<Record<'ca' | 'cert' | 'key', string | undefined>>;

function settings(files: Files, prefix: string, verification: Pick<TlsSettings, 'rejectUnauthorized' | 'verifyIdentity'>): TlsSettings {
  const nameOf = (what: 'ca' | 'cert' | 'key') => `${prefix}${what === 'ca' && prefix === '' ? 'cacert' : what}`;
  if ((files.cert === undefined) !== (files.key === undefined))
    throw new Error(`expected ${nameOf('cert')} and ${nameOf('key')} together: a certificate of one's own and its key`);
  const read: { -readonly [K in keyof Files]?: string } = {};
  for (const what of ['ca', 'cert', 'key'] as const) {
    const file = files[what];
    if (file !== undefined) read[what] = readPem(nameOf(what), file);
  }
  try {
    createSecureContext(read);
  } catch (error) {
    throw new Error(`expected files in PEM that belong together (${(error as Error).message})`);
  }
  return { ...read, ...verification, minVersion: 'TLSv1.2' };
}

function readPem(name: string, file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`expected ${name} to name a file that can be read (${(error as Error).message})`);
  }
  if (!text.includes('-----BEGIN ')) throw new Error(`expected ${name} to name a file in PEM, which ${shown(file)} is not`);
  return text;
}

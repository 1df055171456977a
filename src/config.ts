import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import ms from 'ms';
import { DAY, HOUR, SECOND } from './clock';
import { shown } from './errors';
import type { LogLevel } from './log';
import { parseAllowedTarget, parseDeniedTargets } from './net/address-policy';
import { parseDnsServers } from './net/dns-servers';
import { parseEgressProxy } from './net/egress-proxy';
import { PortRanges } from './net/port-ranges';
import { mysqlTls, redisTls, type TlsSettings } from './net/tls-parameters';
import { parseUrl } from './net/url';

/** One setting: everything that is known about it, once. From it come the config, `--help`, `.env.example` and the table in cli/README.md. */
interface Setting<T> {
  readonly name: string;
  /** As it would be written in the environment; null: none. */
  readonly default: string | null;
  readonly description: string;
  readonly secret?: true;
  /** Returns the value or throws an `Error` that says what was expected. */
  parse(text: string): T;
}

const setting = <T>(definition: Setting<T>) => definition;

export const SETTINGS = {
  databaseUrl: setting({
    name: 'DATABASE_URL',
    default: 'sqlite:./livehook.db',
    description:
      'embedded SQLite, or mysql://user:password@host:port/database (MySQL 8+, MariaDB 10.6+); TLS with ?ssl-mode=VERIFY_IDENTITY&ssl-ca=<file>',
    secret: true,
    parse: parseDatabaseUrl,
  }),
  redisUrl: setting({
    name: 'REDIS_URL',
    default: null,
    description:
      'redis://user:password@host:port or rediss://… (TLS, ?cacert=<file>), Redis 6 or later: instances tell each other at once what has changed',
    secret: true,
    parse: parseRedisUrl,
  }),
  host: setting({ name: 'HOST', default: '127.0.0.1', description: 'address to listen on', parse: nonEmpty }),
  port: setting({
    name: 'PORT',
    default: '4000',
    description: 'port to listen on; 0 picks a free one',
    parse: (text) => integer(text, 0, 65_535),
  }),
  publicUrl: setting({
    name: 'LIVEHOOK_PUBLIC_URL',
    default: null,
    description: 'where others reach the hub, such as https://hooks.example.com; http://HOST:PORT when absent',
    parse: parsePublicUrl,
  }),
  corsOrigins: setting({
    name: 'LIVEHOOK_CORS_ORIGINS',
    default: null,
    description:
      "comma-separated origins of web pages that may call /graphql, such as https://app.example.com, or *; only the hub's own pages when absent",
    parse: parseCorsOrigins,
  }),
  adminKey: setting({
    name: 'LIVEHOOK_ADMIN_KEY',
    default: null,
    description: 'the first admin key, at least 32 characters; generated at the first start and printed once when absent',
    secret: true,
    parse: parseAdminKey,
  }),
  secretKey: setting({
    name: 'LIVEHOOK_SECRET_KEY',
    default: null,
    description: '32 bytes, base64; encrypts secrets at rest. Generated beside the SQLite file; required with MySQL',
    secret: true,
    parse: parseSecretKey,
  }),
  previousSecretKeys: setting({
    name: 'LIVEHOOK_PREVIOUS_SECRET_KEYS',
    default: null,
    description: 'comma-separated former values of LIVEHOOK_SECRET_KEY, to read with until livehook secrets rekey has run',
    secret: true,
    parse: (text) => text.split(',').map((part) => parseSecretKey(part.trim())),
  }),
  allowedTargets: setting({
    name: 'LIVEHOOK_ALLOWED_TARGETS',
    default: null,
    description: 'comma-separated CIDRs of private addresses that webhooks may reach, e.g. 127.0.0.0/8',
    parse: parseAllowedTargets,
  }),
  deniedTargets: setting({
    name: 'LIVEHOOK_DENIED_TARGETS',
    default: null,
    description: 'comma-separated CIDRs and host names (example.com, *.example.com) that webhooks may not reach, whatever is allowed',
    parse: parseDeniedTargets,
  }),
  allowedPorts: setting({
    name: 'LIVEHOOK_ALLOWED_PORTS',
    default: '80,443,1024-65535',
    description: 'ports that webhooks may reach: numbers and ranges, comma-separated',
    parse: (text) => new PortRanges(text),
  }),
  dnsServers: setting({
    name: 'LIVEHOOK_DNS_SERVERS',
    default: null,
    description:
      'comma-separated addresses of the name servers that host names of webhooks are looked up with, instead of those of the system',
    parse: parseDnsServers,
  }),
  egressProxy: setting({
    name: 'LIVEHOOK_EGRESS_PROXY',
    default: null,
    description: 'http://user:password@host:port or https://…: an HTTP proxy that every request to a webhook goes through, by CONNECT',
    secret: true,
    parse: parseEgressProxy,
  }),
  trustedProxies: setting({
    name: 'LIVEHOOK_TRUSTED_PROXIES',
    default: null,
    description: 'comma-separated CIDRs of reverse proxies whose X-Forwarded-For is believed, e.g. 127.0.0.1/32',
    parse: parseAllowedTargets,
  }),
  allowHttp: setting({ name: 'LIVEHOOK_ALLOW_HTTP', default: 'false', description: 'permit http:// targets', parse: boolean }),
  requireVerification: setting({
    name: 'LIVEHOOK_REQUIRE_VERIFICATION',
    default: 'false',
    description: 'send only to targets that have passed a verification: webhooks without one are refused, or their deliveries wait',
    parse: boolean,
  }),
  retrySchedule: setting({
    name: 'LIVEHOOK_RETRY_SCHEDULE',
    default: '5s,5m,30m,2h,5h,10h,10h',
    description: 'default delays between attempts; a webhook may override it',
    parse: parseSchedule,
  }),
  retention: setting({
    name: 'LIVEHOOK_RETENTION',
    default: '90d',
    description: 'how long events, deliveries and attempts are kept; an application may have a retention of its own',
    parse: parseRetention,
  }),
  origin: setting({
    name: 'LIVEHOOK_ORIGIN',
    default: 'livehook',
    description: 'DNS name of this hub, as receivers of CloudEvents are asked for permission with it',
    parse: parseOrigin,
  }),
  disableAfterMs: setting({
    name: 'LIVEHOOK_DISABLE_AFTER',
    default: '5d',
    description: 'webhooks that fail for so long, without one success, are disabled',
    parse: parseDuration,
  }),
  otlpEndpoint: setting({
    name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    default: null,
    description: 'base URL of an OpenTelemetry collector (OTLP over HTTP), e.g. http://127.0.0.1:4318, that traces are sent to',
    parse: parseEndpoint,
  }),
  otlpHeaders: setting({
    name: 'OTEL_EXPORTER_OTLP_HEADERS',
    default: null,
    description: 'comma-separated name=value headers for the collector, values percent-encoded',
    secret: true,
    parse: parseHeaders,
  }),
  serviceName: setting({
    name: 'OTEL_SERVICE_NAME',
    default: null,
    description: 'service.name of its traces; livehook when neither this nor OTEL_RESOURCE_ATTRIBUTES says otherwise',
    parse: nonEmpty,
  }),
  resourceAttributes: setting({
    name: 'OTEL_RESOURCE_ATTRIBUTES',
    default: null,
    description:
      'comma-separated name=value pairs that its traces are marked with, values percent-encoded, e.g. deployment.environment.name=production',
    parse: parseAttributes,
  }),
  traceRatio: setting({
    name: 'OTEL_TRACES_SAMPLER_ARG',
    default: '1',
    description: 'how many of the traces that begin at the hub are recorded, from 0 to 1; publishers decide over theirs',
    parse: parseRatio,
  }),
  webhooksPerApplication: setting({
    name: 'LIVEHOOK_WEBHOOKS_PER_APPLICATION',
    default: '5000',
    description: 'webhooks that an application may have, deleted ones not counted. An event for 5,000 keeps SQLite for about 250 ms',
    parse: (text) => integer(text, 1, 1_000_000),
  }),
  connections: setting({
    name: 'LIVEHOOK_CONNECTIONS',
    default: '10000',
    description: 'connections that an instance has open at most, WebSockets and event streams among them',
    parse: (text) => integer(text, 1, 1_000_000),
  }),
  connectionsPerKey: setting({
    name: 'LIVEHOOK_CONNECTIONS_PER_KEY',
    default: '5000',
    description: 'connections that one key has open at most, on an instance; each counts for the key that used it last',
    parse: (text) => integer(text, 1, 1_000_000),
  }),
  subscriptions: setting({
    name: 'LIVEHOOK_SUBSCRIPTIONS',
    default: '100000',
    description: 'subscriptions that an instance runs at most',
    parse: (text) => integer(text, 1, 10_000_000),
  }),
  subscriptionsPerKey: setting({
    name: 'LIVEHOOK_SUBSCRIPTIONS_PER_KEY',
    default: '10000',
    description: 'subscriptions that one key has running at most, on an instance',
    parse: (text) => integer(text, 1, 10_000_000),
  }),
  requestsPerSecond: setting({
    name: 'LIVEHOOK_REQUESTS_PER_SECOND',
    default: null,
    description: 'operations a second that each key of an application may send to an instance; admin keys are exempt',
    parse: (text) => integer(text, 1, 1_000_000),
  }),
  introspection: setting({
    name: 'LIVEHOOK_INTROSPECTION',
    default: 'true',
    description: 'who may read the schema by introspection: true (everyone), keys (those with a valid key) or false (nobody)',
    parse: parseIntrospection,
  }),
  metricsToken: setting({
    name: 'LIVEHOOK_METRICS_TOKEN',
    default: null,
    description: 'bearer token that /metrics asks for, at least 16 characters',
    secret: true,
    parse: parseMetricsToken,
  }),
  metricsPort: setting({
    name: 'LIVEHOOK_METRICS_PORT',
    default: null,
    description: 'port of its own for /metrics, on HOST; 0 picks a free one. PORT has none then',
    parse: (text) => integer(text, 0, 65_535),
  }),
  unsentBytes: setting({
    name: 'LIVEHOOK_UNSENT_BYTES',
    default: '134217728',
    description:
      'bytes of answers that an instance holds at most, being made or not read by their clients yet; divided between applications',
    parse: (text) => integer(text, 32 * 1024 * 1024, 64 * 1024 ** 3),
  }),
  logLevel: setting({
    name: 'LIVEHOOK_LOG_LEVEL',
    default: 'info',
    description: 'debug, info, warn, error or silent; JSON lines on standard error, on a terminal lines for people',
    parse: parseLogLevel,
  }),
};

type Settings = typeof SETTINGS;
type Values = { [K in keyof Settings]: ReturnType<Settings[K]['parse']> };
type Optional =
  | 'publicUrl'
  | 'corsOrigins'
  | 'metricsToken'
  | 'metricsPort'
  | 'redisUrl'
  | 'adminKey'
  | 'secretKey'
  | 'previousSecretKeys'
  | 'allowedTargets'
  | 'trustedProxies'
  | 'deniedTargets'
  | 'dnsServers'
  | 'egressProxy'
  | 'otlpEndpoint'
  | 'otlpHeaders'
  | 'serviceName'
  | 'resourceAttributes'
  | 'requestsPerSecond';

export type Config = Readonly<Omit<Values, Optional> & { [K in Optional]: Values[K] | undefined }>;

export type DatabaseUrl =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'mysql'; readonly url: string; readonly tls?: TlsSettings };

export interface RedisUrl {
  readonly url: string;
  readonly tls?: TlsSettings;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly problems: readonly string[]) {
    super(`Invalid configuration:\n${problems.map((line) => `  ${line}`).join('\n')}`);
  }
}

/** Reads every setting once and reports all mistakes at once, as a `ConfigError`. */
export function readConfig(environment: Environment): Config {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, { name, default: fallback, parse, secret }] of Object.entries(SETTINGS) as [string, Setting<unknown>][]) {
    let source = name;
    let text: string | null;
    try {
      const inFile = secret && given(environment, fileNameOf(name)) !== undefined;
      if (inFile) source = fileNameOf(name);
      text = (inFile ? readSecret(environment, name) : given(environment, name)) ?? fallback;
    } catch (error) {
      problems.push(`${source}: ${(error as Error).message}`);
      continue;
    }
    if (text === null) continue;
    try {
      values[key] = parse(text);
    } catch (error) {
      problems.push(`${source}: ${(error as Error).message}; got ${secret ? `a value of ${text.length} characters` : shown(text)}`);
    }
  }
  if (values.metricsPort !== undefined && values.metricsPort !== 0 && values.metricsPort === values.port)
    problems.push(`LIVEHOOK_METRICS_PORT: expected another port than PORT, got ${values.port} for both`);
  const database = values.databaseUrl as DatabaseUrl | undefined;
  if (database?.kind === 'mysql' && values.secretKey === undefined && !problems.some((line) => line.startsWith('LIVEHOOK_SECRET_KEY')))
    problems.push(
      'LIVEHOOK_SECRET_KEY: required with a MySQL DATABASE_URL, because every instance must read the secrets; make one with: openssl rand -base64 32',
    );
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(values) as unknown as Config;
}

/** Of a secret: the setting that names a file with it, as Docker and Kubernetes mount them. */
const fileNameOf = (name: string) => `${name}_FILE`;

type Environment = Readonly<Record<string, string | undefined>>;

function given(environment: Environment, name: string): string | undefined {
  const text = environment[name]?.trim();
  return text === '' ? undefined : text;
}

/** White space around it, such as the line's end that editors write, is no part of a secret. */
function readSecret(environment: Environment, name: string): string {
  if (given(environment, name) !== undefined) throw new Error(`expected either ${name} or ${fileNameOf(name)}, got both`);
  const file = given(environment, fileNameOf(name)) ?? '';
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new Error(`expected the path of a file that can be read (${(error as Error).message})`);
  }
  if (text === '') throw new Error(`expected a file with the value of ${name}, got an empty one: ${shown(file)}`);
  return text;
}

/** The settings as a start-up log line may show them: secrets only as given or not. */
export function describeConfig(config: Config): Record<string, unknown> {
  const facts: Record<string, unknown> = {};
  for (const [key, { name, secret }] of Object.entries(SETTINGS) as [keyof Config, Setting<unknown>][]) {
    const value = config[key];
    facts[name] = secret ? (value === undefined ? 'none' : 'given') : (value ?? 'none');
  }
  const { databaseUrl } = config;
  facts[SETTINGS.databaseUrl.name] = databaseUrl.kind === 'sqlite' ? `sqlite:${databaseUrl.path}` : shownMysql(databaseUrl);
  return facts;
}

/** The same, of the settings that are not at their defaults: for people, who would not find them among fifty others. */
export function describeChanges(config: Config): Record<string, unknown> {
  const facts = describeConfig(config);
  for (const [key, { name, default: fallback, parse }] of Object.entries(SETTINGS) as [keyof Config, Setting<unknown>][])
    if (isDeepStrictEqual(config[key], fallback === null ? undefined : parse(fallback))) delete facts[name];
  return facts;
}

/** The table of settings as lines for `--help` and `.env.example`. */
export function settingLines(): readonly { name: string; default: string; description: string }[] {
  return (Object.values(SETTINGS) as Setting<unknown>[]).map(({ name, default: fallback, description, secret }) => ({
    name,
    default: fallback ?? '',
    description: secret ? `${description}; or ${fileNameOf(name)}, a file that holds it` : description,
  }));
}

function shownMysql({ url, tls }: Extract<DatabaseUrl, { kind: 'mysql' }>): string {
  const parsed = new URL(url);
  if (parsed.password !== '') parsed.password = '***';
  if (tls) parsed.searchParams.set('ssl-mode', tls.verifyIdentity ? 'VERIFY_IDENTITY' : tls.rejectUnauthorized ? 'VERIFY_CA' : 'REQUIRED');
  return parsed.toString();
}

function nonEmpty(text: string): string {
  return text;
}

function integer(text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isInteger(value) || value < least || value > most) throw new Error(`expected a whole number from ${least} to ${most}`);
  return value;
}

function boolean(text: string): boolean {
  switch (text.toLowerCase()) {
    case 'true':
    case '1':
      return true;
    case 'false':
    case '0':
      return false;
    default:
      throw new Error('expected true or false');
  }
}

function parseDatabaseUrl(text: string): DatabaseUrl {
  const expected = 'expected sqlite:<path of a file> or mysql://user:password@host:port/database';
  if (text.startsWith('sqlite:')) {
    const path = text.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '');
    if (path === '' || path.includes(':memory:')) throw new Error(`${expected}; a database in memory would lose what it acknowledged`);
    return { kind: 'sqlite', path };
  }
  const url = parseUrl(text);
  if (url === undefined || !['mysql:', 'mariadb:'].includes(url.protocol)) throw new Error(expected);
  if (url.hostname === '' || url.pathname.length < 2) throw new Error(`${expected}; host and database must both be named`);
  const tls = mysqlTls(url);
  return { kind: 'mysql', url: withoutQuery(text), ...(tls && { tls }) };
}

/** The rest stays as it was written: drivers take names and passwords apart in their own ways. */
function withoutQuery(url: string): string {
  return url.replace(/\?.*$/s, '');
}

function parseRedisUrl(text: string): RedisUrl {
  const url = parseUrl(text);
  if (url === undefined || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '')
    throw new Error('expected redis://user:password@host:port or rediss://user:password@host:port');
  const tls = redisTls(url);
  return { url: withoutQuery(text), ...(tls && { tls }) };
}

function parseAdminKey(text: string): string {
  if (text.length < 32) throw new Error('expected at least 32 characters');
  if (!/^[\x21-\x7e]+$/.test(text)) throw new Error('expected printable ASCII without spaces');
  return text;
}

function parseSecretKey(text: string): Buffer {
  const key = Buffer.from(text, 'base64');
  const isBase64 = key.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '').replaceAll('-', '+').replaceAll('_', '/');
  if (!isBase64 || key.length !== 32) throw new Error('expected 32 bytes in base64 (make them with: openssl rand -base64 32)');
  return key;
}

function parseAllowedTargets(text: string): readonly string[] {
  const cidrs = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  for (const cidr of cidrs) parseAllowedTarget(cidr);
  return cidrs;
}

/** Delays in milliseconds. */
function parseSchedule(text: string): readonly number[] {
  return text.split(',').map((part) => {
    const delay = /^[\d.]+ ?[a-z]+$/i.test(part.trim()) ? ms(part.trim() as ms.StringValue) : undefined;
    if (delay === undefined || !Number.isFinite(delay) || delay < SECOND)
      throw new Error('expected durations of at least 1s separated by commas, such as 5s,5m,2h');
    return delay;
  });
}

/** Milliseconds. */
function parseRetention(text: string): number {
  const retention = /[a-z]$/i.test(text) ? ms(text as ms.StringValue) : undefined;
  if (typeof retention !== 'number' || !(retention >= HOUR && retention <= 3_650 * DAY))
    throw new Error('expected a duration from 1h to 3650d, such as 90d');
  return retention;
}

function parseOrigin(text: string): string {
  if (text.length > 253 || !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(text))
    throw new Error('expected a DNS name of at most 253 characters, such as hooks.example.com');
  return text;
}

function parseDuration(text: string): number {
  const span = /[a-z]$/i.test(text) ? ms(text as ms.StringValue) : undefined;
  if (typeof span !== 'number' || !(span >= SECOND)) throw new Error('expected a duration of at least 1s, such as 12h or 5d');
  return span;
}

function parseEndpoint(text: string): string {
  const url = parseUrl(text);
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.search !== '')
    throw new Error('expected an http:// or https:// URL without credentials, such as http://127.0.0.1:4318');
  return text;
}

function parseHeaders(text: string): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const part of text.split(',').filter((one) => one.trim() !== '')) {
    const [, name = '', value] = /^\s*([A-Za-z0-9!#$&^_.+-]+)\s*=\s*([\x21-\x7e]*)\s*$/.exec(part) ?? [];
    if (value === undefined) throw new Error('expected name=value pairs separated by commas, values percent-encoded');
    headers[name] = decodeURIComponent(value);
  }
  return headers;
}

/** As OpenTelemetry writes them: all or nothing. */
function parseAttributes(text: string): Readonly<Record<string, string>> {
  const attributes: Record<string, string> = {};
  for (const part of text.split(',').filter((one) => one.trim() !== '')) {
    const [, name, value] = /^\s*([^\s=]+)\s*=\s*(.*?)\s*$/.exec(part) ?? [];
    const decoded = value === undefined ? undefined : percentDecoded(value);
    if (name === undefined || decoded === undefined)
      throw new Error('expected name=value pairs separated by commas, values percent-encoded');
    attributes[name] = decoded;
  }
  return attributes;
}

/** Undefined: it is not percent-encoded. */
function percentDecoded(value: string): string | undefined {
  try {
    return decodeURIComponent(value);
  } catch {
    return undefined;
  }
}

function parseRatio(text: string): number {
  const ratio = /^(\d+(\.\d+)?|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (!(ratio >= 0 && ratio <= 1)) throw new Error('expected a number from 0 to 1');
  return ratio;
}

function parseIntrospection(text: string): 'true' | 'keys' | 'false' {
  if (text !== 'true' && text !== 'keys' && text !== 'false') throw new Error('expected true, keys or false');
  return text;
}

/** Without a slash at its end. */
function parsePublicUrl(text: string): string {
  const url = parseUrl(text);
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '')
    throw new Error('expected an http:// or https:// URL without credentials, query or fragment, such as https://hooks.example.com');
  return url.href.replace(/\/+$/, '');
}

/** As browsers write them, or `*`. */
function parseCorsOrigins(text: string): readonly string[] | '*' {
  if (text === '*') return text;
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const url = parseUrl(part);
      const isOrigin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@*,\s]+$/i.test(part) && url !== undefined && url.host !== '';
      if (!isOrigin) throw new Error('expected * alone, or origins separated by commas, without a path, such as https://app.example.com');
      return url.origin === 'null' ? part.toLowerCase() : url.origin; // schemes of apps and extensions have no origin to URL
    });
}

function parseMetricsToken(text: string): string {
  if (!/^[\x21-\x7e]{16,}$/.test(text)) throw new Error('expected at least 16 characters of printable ASCII without spaces');
  return text;
}

function parseLogLevel(text: string): LogLevel {
  const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];
  const level = levels.find((candidate) => candidate === text);
  if (level === undefined) throw new Error(`expected one of ${levels.join(', ')}`);
  return level;
}

import { Problems, shown, UserErrorCode } from '../errors';
import { compileCondition } from '../matching/condition';
import { eventTypePatternProblem } from '../matching/event-type';
import type { CredentialSettings } from './credentials';
import { isMask } from './header-mask';
import type { CompilePayloadQuery } from './payload-query';
import { parseSigningSecret } from './signing-secret';
import { type Header, Ordering, SigningScheme, type WebhookFormat, type WebhookVerification } from './webhook';

/** What a caller may set. Omitted: unchanged, or the default at creation; null: cleared, back to the default. */
export interface WebhookSettings extends CredentialSettings {
  readonly url?: string | null;
  readonly description?: string | null;
  readonly eventTypes?: readonly string[] | null;
  readonly headers?: readonly Header[] | null;
  /** Seconds. */
  readonly retrySchedule?: readonly number[] | null;
  readonly timeoutSeconds?: number | null;
  readonly maxConcurrency?: number | null;
  readonly ordering?: Ordering | null;
  readonly ratePerSecond?: number | null;
  /** Mongo-style; see `condition.ts`. */
  readonly filter?: unknown;
  /** A subscription document; see `payload-query.ts`. */
  readonly payloadQuery?: string | null;
  readonly signing?: readonly SigningScheme[] | null;
  readonly format?: WebhookFormat | null;
  /** What the target has to pass first, and again whenever the URL changes. Default NONE. */
  readonly verification?: WebhookVerification | null;
}

export const DEFAULT_TIMEOUT_SECONDS = 15;
export const DEFAULT_MAX_CONCURRENCY = 10;
export const DEFAULT_ORDERING = Ordering.NONE;
export const DEFAULT_SIGNING: readonly SigningScheme[] = [SigningScheme.V1];
export const DEFAULT_EVENT_TYPES: readonly string[] = ['*'];

/** Names and values together. */
export const MAX_HEADER_CHARS_PER_WEBHOOK = 4_096;

const MAX = {
  descriptionChars: 2_000,
  eventTypes: 100,
  headers: 20,
  headerChars: MAX_HEADER_CHARS_PER_WEBHOOK,
  retries: 30,
  retryDelaySeconds: 7 * 24 * 3600,
  timeoutSeconds: 30,
  concurrency: 1_000,
  ratePerSecond: 1_000,
} as const;

/**
 * Names that belong to the protocol or to us; a webhook's own headers can't take their place. A `Proxy` header becomes
 * HTTP_PROXY in a CGI program, whose own requests then go where it says.
 */
const RESERVED =
  /^(webhook-.*|livehook-.*|ce-.*|proxy|proxy-.*|content-(type|length|encoding|range)|transfer-encoding|host|user-agent|connection|keep-alive|upgrade|te|trailer|expect|accept-encoding|date|http2-settings|traceparent|tracestate)$/i;
/** CGI, WSGI, PHP and others make `_` or nothing else of every character that is no letter or digit. */
const folded = (name: string) => name.replaceAll(/[^A-Za-z0-9]/g, '-');
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
const UNPRINTABLE = /[^\x20-\x7e]/u;

/** Everything wrong with the settings, but for the URL, which depends on where webhooks may point. */
export function checkSettings(
  settings: WebhookSettings & { readonly secret?: string | null },
  problems: Problems,
  compilePayloadQuery: CompilePayloadQuery,
): void {
  const {
    description,
    eventTypes,
    headers,
    retrySchedule,
    timeoutSeconds,
    maxConcurrency,
    ratePerSecond,
    secret,
    filter,
    payloadQuery,
    signing,
  } = settings;
  if (description && description.length > MAX.descriptionChars)
    problems.add('description', `expected at most ${MAX.descriptionChars} characters, got ${description.length}`, UserErrorCode.TOO_LARGE);
  if (eventTypes) checkEventTypes(eventTypes, problems);
  if (headers) checkHeaders(headers, problems);
  if (retrySchedule) checkSchedule(retrySchedule, problems);
  if (typeof timeoutSeconds === 'number') checkWhole(timeoutSeconds, 'timeoutSeconds', MAX.timeoutSeconds, problems);
  if (typeof maxConcurrency === 'number') checkWhole(maxConcurrency, 'maxConcurrency', MAX.concurrency, problems);
  if (typeof ratePerSecond === 'number' && !(ratePerSecond > 0 && ratePerSecond <= MAX.ratePerSecond))
    problems.add('ratePerSecond', `expected a number above 0, at most ${MAX.ratePerSecond}, got ${ratePerSecond}; null is unlimited`);
  if (filter !== undefined && filter !== null) {
    const compiled = compileCondition(filter);
    if ('problem' in compiled) problems.add('filter', compiled.problem);
  }
  if (typeof payloadQuery === 'string') {
    const compiled = compilePayloadQuery(payloadQuery);
    if (compiled.problem !== null) problems.add('payloadQuery', compiled.problem);
  }
  if (signing && signing.length === 0) problems.add('signing', 'expected at least one scheme; leave it out for V1');
  if (typeof secret === 'string') {
    const parsed = parseSigningSecret(secret);
    if ('problem' in parsed) problems.add('secret', parsed.problem);
  }
}

function checkWhole(value: number, field: string, most: number, problems: Problems): void {
  if (!Number.isInteger(value) || value < 1 || value > most) problems.add(field, `expected a whole number from 1 to ${most}, got ${value}`);
}

function checkEventTypes(eventTypes: readonly string[], problems: Problems): void {
  if (eventTypes.length === 0) problems.add('eventTypes', 'expected at least one event type or wildcard; leave it out for all');
  if (eventTypes.length > MAX.eventTypes)
    problems.add('eventTypes', `expected at most ${MAX.eventTypes}, got ${eventTypes.length}`, UserErrorCode.TOO_LARGE);
  for (const [index, pattern] of eventTypes.slice(0, MAX.eventTypes).entries()) {
    const problem = eventTypePatternProblem(pattern);
    if (problem) problems.add(['eventTypes', String(index)], problem);
  }
}

function checkHeaders(headers: readonly Header[], problems: Problems): void {
  if (headers.length > MAX.headers)
    problems.add('headers', `expected at most ${MAX.headers}, got ${headers.length}`, UserErrorCode.TOO_LARGE);
  const seen = new Set<string>();
  let chars = 0;
  for (const [index, { name, value }] of headers.slice(0, MAX.headers).entries()) {
    const at = ['headers', String(index)];
    if (!TOKEN.test(name)) problems.add([...at, 'name'], `expected the name of an HTTP header, got ${shown(name)}`);
    else if (RESERVED.test(folded(name)))
      problems.add([...at, 'name'], `${name} is set by the hub or by HTTP itself and can't be overridden`);
    else if (seen.has(name.toLowerCase())) problems.add([...at, 'name'], `${name} is given twice`);
    const [odd] = (isMask(value) ? null : UNPRINTABLE.exec(value)) ?? []; // what a mask stands for is looked up later
    if (odd !== undefined) problems.add([...at, 'value'], `expected printable ASCII on one line, got one with ${codePoint(odd)}`);
    seen.add(name.toLowerCase());
    chars += name.length + value.length;
  }
  if (chars > MAX.headerChars)
    problems.add('headers', `expected at most ${MAX.headerChars} characters in all, got ${chars}`, UserErrorCode.TOO_LARGE);
}

/** `U+000A`: a value may be secret, one character of it is not. */
function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}

function checkSchedule(delays: readonly number[], problems: Problems): void {
  if (delays.length > MAX.retries)
    problems.add('retrySchedule', `expected at most ${MAX.retries} delays, got ${delays.length}`, UserErrorCode.TOO_LARGE);
  for (const [index, delay] of delays.slice(0, MAX.retries).entries())
    if (!Number.isInteger(delay) || delay < 1 || delay > MAX.retryDelaySeconds)
      problems.add(['retrySchedule', String(index)], `expected whole seconds from 1 to ${MAX.retryDelaySeconds}, got ${delay}`);
}

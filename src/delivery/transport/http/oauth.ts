import { LRUCache } from 'lru-cache';
import { type Clock, HOUR, MINUTE, SECOND } from '../../../clock';
import type { OAuthClient } from '../../../webhooks/credentials';
import type { Exchange, HeaderPair, Outcome, OutgoingRequest } from '../exchange';

const MAX_TOKENS = 10_000;
const MAX_TOKEN_CHARS = 8_192;
/** A token is not used in its last seconds: it has to last until the receiver has looked at it. */
const SPARE_MS = 10 * SECOND;
/** Where the server does not say, and the longest that it is believed. */
const DEFAULT_LIFE_MS = 5 * MINUTE;
const MAX_LIFE_MS = 24 * HOUR;
const MAX_FETCH_MS = 15 * SECOND;
/** A server that gave no token is left alone for so long, however many deliveries ask. */
const FAILURE_KEPT_MS = SECOND;

interface Deps {
  readonly clock: Clock;
  readonly userAgent: string;
  readonly sender: { send(request: OutgoingRequest): Promise<Exchange> };
}

interface Token {
  readonly text: string;
  readonly expiresAt: number;
}

/** Why there is no token, as the attempt that needed it ends. */
interface NoToken {
  readonly outcome: Outcome;
  readonly error: string;
}

/** Where the client's secret goes: servers have to know the first, and some know only the other. */
type Style = 'BASIC' | 'BODY';

/** What is known of one client: at most one request for a token is under way. */
interface Entry {
  token: Token | null;
  failure: (NoToken & { readonly until: number }) | null;
  running: Promise<Token | NoToken> | null;
  style: Style | null;
}

/**
 * Sends requests with the token that their webhook's OAuth client needs. A token is kept until it expires. When the
 * receiver answers 401 to one that was kept, a new one is asked for and the request is sent again, once, within the same
 * attempt and its deadline: a token that was revoked early costs no place in the retry schedule.
 *
 * The token is in no header of the request that is handed in, so that no record of the attempt has it. It comes from a
 * URL that the tenant chose: it is asked for by the same sender, with the same address policy.
 */
export class OAuthSender {
  readonly #deps: Deps;
  /** By the id of the client. */
  readonly #entries = new LRUCache<string, Entry>({ max: MAX_TOKENS });

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  send(request: OutgoingRequest): Promise<Exchange> {
    const oauth = request.credentials?.oauth ?? null;
    return oauth === null ? this.#deps.sender.send(request) : this.#sendAuthorized(request, oauth);
  }

  async #sendAuthorized(request: OutgoingRequest, oauth: OAuthClient): Promise<Exchange> {
    const { clock } = this.#deps;
    const startedAt = clock.monotonic();
    const leftMs = () => request.timeoutMs - (clock.monotonic() - startedAt);
    const entry = this.#entryOf(oauth.id);
    const kept = entry.token !== null && entry.token.expiresAt > startedAt ? entry.token : null;
    let exchange = await this.#sendOnce(request, oauth, leftMs);
    if (exchange.statusCode === 401 && kept !== null && leftMs() > 0) {
      // Another attempt may have renewed it meanwhile.
      if (entry.token === kept) entry.token = null;
      exchange = await this.#sendOnce(request, oauth, leftMs);
    }
    return { ...exchange, durationMs: Math.round(clock.monotonic() - startedAt) };
  }

  async #sendOnce(request: OutgoingRequest, oauth: OAuthClient, leftMs: () => number): Promise<Exchange> {
    const token = await this.#tokenWithin(request, oauth, leftMs());
    if ('error' in token) return failed(token);
    if (leftMs() <= 0) return failed(outOfTime(request.timeoutMs));
    const headers: HeaderPair[] = [...request.headers, ['authorization', `Bearer ${token.text}`]];
    return this.#deps.sender.send({ ...request, headers, timeoutMs: leftMs() });
  }

  #entryOf(id: string): Entry {
    const entry = this.#entries.get(id) ?? { token: null, failure: null, running: null, style: null };
    this.#entries.set(id, entry);
    return entry;
  }

  /** A request for a token may be another attempt's, with a deadline of its own. */
  #tokenWithin(request: OutgoingRequest, oauth: OAuthClient, leftMs: number): Promise<Token | NoToken> {
    return new Promise((resolve) => {
      const cancel = this.#deps.clock.after(Math.max(0, leftMs), () => resolve(outOfTime(request.timeoutMs)));
      void this.#token(request, oauth).then((token) => {
        cancel();
        resolve(token);
      });
    });
  }

  async #token(request: OutgoingRequest, oauth: OAuthClient): Promise<Token | NoToken> {
    const { clock } = this.#deps;
    const entry = this.#entryOf(oauth.id);
    const now = clock.monotonic();
    if (entry.token !== null && entry.token.expiresAt > now) return entry.token;
    if (entry.failure !== null && entry.failure.until > now) return entry.failure;
    entry.running ??= this.#fetch(request, oauth, entry).then((result) => {
      entry.running = null;
      entry.token = 'error' in result ? null : result;
      entry.failure = 'error' in result ? { ...result, until: clock.monotonic() + FAILURE_KEPT_MS } : null;
      return result;
    });
    return entry.running;
  }

  async #fetch(request: OutgoingRequest, oauth: OAuthClient, entry: Entry): Promise<Token | NoToken> {
    const first = await this.#ask(request, oauth, entry.style ?? 'BASIC');
    if (first.outcome === 'SUCCESS' || entry.style !== null || !isClientRefused(first)) return this.#read(first);
    const second = await this.#ask(request, oauth, 'BODY');
    if (second.outcome === 'SUCCESS') entry.style = 'BODY';
    return this.#read(second.outcome === 'SUCCESS' ? second : first);
  }

  #ask(
    { credentials, applicationId }: OutgoingRequest,
    { tokenUrl, clientId, clientSecret, scope, audience }: OAuthClient,
    style: Style,
  ): Promise<Exchange> {
    const form = new URLSearchParams({ grant_type: 'client_credentials' });
    if (scope !== null) form.set('scope', scope);
    if (audience !== null) form.set('audience', audience);
    if (style === 'BODY') {
      form.set('client_id', clientId);
      form.set('client_secret', clientSecret);
    }
    return this.#deps.sender.send({
      ...(applicationId !== undefined && { applicationId }),
      url: tokenUrl,
      timeoutMs: MAX_FETCH_MS,
      body: form.toString(),
      // Banks' servers ask for the certificate here as well, RFC 8705.
      credentials: { clientCertificate: credentials?.clientCertificate ?? null, oauth: null },
      headers: [
        ['content-type', 'application/x-www-form-urlencoded'],
        ['accept', 'application/json'],
        ['user-agent', this.#deps.userAgent],
        ...(style === 'BASIC' ? [['authorization', `Basic ${basic(clientId, clientSecret)}`] as const] : []),
      ],
    });
  }

  #read(exchange: Exchange): Token | NoToken {
    const { outcome, error, responseBody } = exchange;
    if (outcome !== 'SUCCESS') return noToken(outcome, `${error}${reasonIn(exchange)}`);
    const { access_token: text, token_type: type, expires_in: expiresIn } = jsonOf(responseBody);
    if (typeof text !== 'string' || text === '' || text.length > MAX_TOKEN_CHARS || !/^[\x21-\x7e]+$/.test(text))
      return noToken('HTTP_ERROR', 'expected JSON with an access_token');
    if (typeof type === 'string' && type.toLowerCase() !== 'bearer') return noToken('HTTP_ERROR', 'expected a token_type of Bearer');
    return { text, expiresAt: this.#deps.clock.monotonic() + lifeMs(expiresIn) };
  }
}

/** RFC 6749, section 2.3.1: both are encoded as forms are. */
function basic(clientId: string, clientSecret: string): string {
  const encoded = (text: string) => new URLSearchParams({ '': text }).toString().slice(1);
  return Buffer.from(`${encoded(clientId)}:${encoded(clientSecret)}`).toString('base64');
}

/** At least a second, or every request would ask for a token of its own. */
function lifeMs(expiresIn: unknown): number {
  const seconds = Number(expiresIn);
  if (expiresIn === undefined || expiresIn === null || !Number.isFinite(seconds)) return DEFAULT_LIFE_MS;
  return Math.min(Math.max(seconds * SECOND - SPARE_MS, SECOND), MAX_LIFE_MS);
}

function isClientRefused(exchange: Exchange): boolean {
  return exchange.statusCode === 401 || (exchange.statusCode === 400 && jsonOf(exchange.responseBody).error === 'invalid_client');
}

/** The code of RFC 6749, section 5.2: of what a server says, the one thing with a form. */
function reasonIn({ statusCode, responseBody }: Exchange): string {
  const { error } = jsonOf(responseBody);
  const code = typeof error === 'string' && /^[a-z_]{1,40}$/.test(error) ? ` (${error})` : '';
  return statusCode === 400 || statusCode === 401 ? `${code}: check clientId, clientSecret and scope` : code;
}

function jsonOf(text: string | null): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function noToken(outcome: Outcome, why: string): NoToken {
  return { outcome, error: `no OAuth token from tokenUrl: ${why.replace('the receiver', 'the server')}` };
}

function outOfTime(timeoutMs: number): NoToken {
  return { outcome: 'TIMEOUT', error: `no complete response within ${timeoutMs} ms: still waiting for an OAuth token from tokenUrl` };
}

/** Nothing was sent. The status of the token's server is not the receiver's: a 410 there disables no webhook. */
function failed({ outcome, error }: NoToken): Exchange {
  return { outcome, statusCode: null, error, responseHeaders: [], responseBody: null, responseTruncated: false, durationMs: 0 };
}

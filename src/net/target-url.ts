import { isIP } from 'node:net';
import type { AddressPolicy } from './address-policy';
import { parseUrl } from './url';

export const MAX_TARGET_URL_LENGTH = 2_048;

const MAX_ECHO_LENGTH = 80;
const MAX_HOST_NAME_LENGTH = 253;
const MAX_LABEL_LENGTH = 63;

export interface TargetUrlRules {
  /** Permits `http://` beside `https://`. */
  readonly allowHttp: boolean;
  /** Judges hosts that are literal addresses. Names are judged when they are resolved, at every new connection. */
  readonly policy: AddressPolicy;
}

/** The URL in its normal form, or what is wrong with it: one sentence that says what was expected and what came. */
export type TargetUrl = { readonly url: string } | { readonly problem: string };

/**
 * Checks where a webhook may point. Normalising by WHATWG rules comes first, so `https://2130706433/`, `https://0x7f.1/`
 * and `https://127.0.0.1./` are all seen as 127.0.0.1, and what is stored is what will be connected to.
 * A problem never repeats credentials or the query.
 */
export function parseTargetUrl(text: string, rules: TargetUrlRules): TargetUrl {
  const url = readUrl(text, rules);
  if (typeof url === 'string') return { problem: url };
  const problem = checkParts(text, url, rules.policy) ?? checkHost(url, rules.policy);
  return problem === null ? { url: url.href } : { problem };
}

function readUrl(text: string, rules: TargetUrlRules): URL | string {
  const expected = rules.allowHttp ? 'an absolute https:// or http:// URL' : 'an absolute https:// URL';
  if (text.length > MAX_TARGET_URL_LENGTH) return tooLong(text.length);
  // WHATWG would drop or encode these in silence: better to ask than to send somewhere else than was meant.
  if (/[\p{Cc}\s]/u.test(text)) return `expected ${expected} without spaces or control characters, got ${echo(text)}`;
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/[^/\\]/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return `expected ${expected}, got ${echo(text)}`;
  if (scheme !== 'https' && !(scheme === 'http' && rules.allowHttp)) return `expected ${expected}, got ${scheme}://`;
  return parseUrl(text) ?? `expected ${expected}, got ${echo(text)}`;
}

function checkParts(text: string, url: URL, policy: AddressPolicy): string | null {
  if (url.username !== '' || url.password !== '') return 'expected a URL without credentials, got one with a user name or password';
  if (text.includes('#')) return 'expected a URL without a fragment, got one with "#"';
  if (url.port === '0') return 'expected a port from 1 to 65535, got 0';
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  const badPort = policy.checkPort(port);
  if (badPort !== null) return `expected a port that webhooks may reach (${badPort}), got ${port}`;
  return url.href.length > MAX_TARGET_URL_LENGTH ? tooLong(url.href.length) : null;
}

function checkHost(url: URL, policy: AddressPolicy): string | null {
  const address = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) !== 0) {
    const reason = policy.check(address);
    return reason === null ? null : `expected a public address, got ${address} (${reason})`;
  }
  const name = url.hostname.replace(/\.$/, '');
  if (!isHostName(name)) return `expected a host name of labels of 1 to ${MAX_LABEL_LENGTH} characters, got ${echo(url.hostname)}`;
  if (policy.checkHost(name) !== null) return `expected a host that webhooks may reach, got ${echo(name)} (denied)`;
  const isLocal = name === 'localhost' || name.endsWith('.localhost');
  return isLocal && !allowsLoopback(policy) ? `expected a public host, got ${echo(name)} (loopback)` : null;
}

function isHostName(name: string): boolean {
  return name.length <= MAX_HOST_NAME_LENGTH && name.split('.').every((label) => label.length > 0 && label.length <= MAX_LABEL_LENGTH);
}

function allowsLoopback(policy: AddressPolicy): boolean {
  return policy.check('127.0.0.1') === null || policy.check('::1') === null;
}

function tooLong(length: number): string {
  return `expected at most ${MAX_TARGET_URL_LENGTH} characters, got ${length}`;
}

/** What came, quoted and short. With an "@" credentials may be in it, and behind "?" a token: neither is repeated. */
function echo(text: string): string {
  if (text.includes('@')) return 'a text with "@" in it';
  const [shown = ''] = text.split(/[?#]/, 1);
  return JSON.stringify(shown.length > MAX_ECHO_LENGTH ? `${shown.slice(0, MAX_ECHO_LENGTH)}…` : shown);
}

import { errors } from 'undici';
import { TunnelRefused } from '../../../net/egress-proxy';
import type { Outcome } from '../exchange';
import { tlsReason } from './tls-reason';

export interface Failure {
  readonly outcome: Outcome;
  readonly message: string;
}

/** A failure whose outcome is known where it happens. Without a `code`, so that undici hands it on as it is. */
export class SendFailure extends Error implements Failure {
  constructor(
    readonly outcome: Outcome,
    message: string,
  ) {
    super(message);
  }
}

/** More came than a whole response may take. Where its status is known, that decides. */
export class ReceivedTooMuch extends SendFailure {
  constructor(maxBytes: number) {
    super('HTTP_ERROR', `the receiver sent more than ${maxBytes / 1_024} KiB without completing its response`);
  }
}

export function tooManyInterim(most: number): SendFailure {
  return new SendFailure('HTTP_ERROR', `the receiver sent more than ${most} interim (1xx) responses before its answer`);
}

export const CLOSED = 'the sender is closed';

/** The target is one that its owner can see is not allowed: a literal address, a port, a host name on the operator's list. */
export function blocked(what: string, reason: string): SendFailure {
  return new SendFailure('BLOCKED_ADDRESS', `webhooks may not reach ${what} (${reason})`);
}

/**
 * One text for a name without an address and for one that leads to a blocked address: a tenant that could tell them apart
 * would map the network that the hub stands in. The operator's log has the difference.
 */
export function unresolved(hostname: string): SendFailure {
  return new SendFailure('DNS', `cannot resolve ${hostname} to a public address: check the name and its A and AAAA records`);
}

/** Why no connection came about, without the address that a name led to. */
export function refusal(error: Error, host: string): string {
  const { code }: NodeJS.ErrnoException = error instanceof AggregateError ? error.errors[0] : error;
  switch (code) {
    case 'ECONNREFUSED':
      return `connection refused by ${host}`;
    case 'ETIMEDOUT':
      return `no answer from ${host}`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `no route to ${host}`;
    case undefined:
    case 'ECONNRESET':
    case 'EPIPE':
      return `the connection was closed at once by ${host}`;
    default:
      return `cannot connect to ${host}`;
  }
}

/** What a tenant reads when the hub's proxy made no connection: nothing of the proxy, or of what it says. */
export function proxyFailure(error: Error, host: string): SendFailure {
  if (!(error instanceof TunnelRefused))
    return new SendFailure('CONNECT', "the hub's egress proxy cannot be reached: tell the operator of the hub");
  switch (error.status) {
    case 401:
    case 403:
    case 407:
      return new SendFailure('CONNECT', `the hub's egress proxy does not permit connections to ${host}`);
    default:
      return new SendFailure('CONNECT', `the hub's egress proxy cannot connect to ${host}`);
  }
}

/** undici's codes for a request that breaks HTTP's rules before any byte of it is sent. */
const UNSENDABLE = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH']);

/**
 * What a failure on an open connection means. An answer that is not HTTP, or breaks its limits, is the receiver's
 * mistake as much as a 500 and thus HTTP_ERROR; one that ends too early is a lost connection.
 */
export function classify(error: NodeJS.ErrnoException, endedByReceiver: boolean, maxHeaderBytes: number): Failure {
  if (error instanceof SendFailure) return error;
  const code = error.code ?? '';
  if (UNSENDABLE.has(code)) return { outcome: 'PAYLOAD_ERROR', message: `the request could not be built: ${error.message}` };
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') return { outcome: 'TLS', message: `TLS failed: ${tlsReason(error)}` };
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return httpError(`more than ${maxHeaderBytes} bytes of headers`);
  // The two 1xx that undici does not skip. We never send what would ask for them.
  if (error.message === 'bad response') return httpError('an unexpected 100 Continue');
  if (error.message === 'bad upgrade') return httpError('an unexpected 101 Switching Protocols');
  if (endedByReceiver) return { outcome: 'CONNECT', message: 'the connection was closed before the response was complete' };
  if (isMalformed(error)) return httpError(`something that is not HTTP/1.1: ${error.message}`);
  return { outcome: 'CONNECT', message: 'the connection was lost before the response was complete' };
}

/** What undici's parser finds wrong, or an assertion in it that an answer out of turn trips. */
function isMalformed(error: NodeJS.ErrnoException): boolean {
  if (error instanceof errors.HTTPParserError || error instanceof errors.ResponseContentLengthMismatchError) return true;
  return error.code === 'ERR_ASSERTION';
}

function httpError(what: string): Failure {
  return { outcome: 'HTTP_ERROR', message: `the receiver answered ${what}` };
}

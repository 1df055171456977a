import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, SECOND } from '../clock';
import { HubError, type HubErrorCode } from '../errors';
import { BadRequest } from './request-body';
import { type StaticFile, staticFile } from './static-files';

/** How long a client that still sends may take to see that it was refused. */
const LINGER_MS = 2 * SECOND;

export function isRead({ method }: IncomingMessage): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** Runs `step` when the answer is given or its client gone; at once when that is so already. */
export function whenClosed(response: ServerResponse, step: () => void): void {
  if (response.destroyed) step();
  else response.once('close', step);
}

export interface Failure {
  readonly status: number;
  readonly message: string;
  readonly code: string;
  readonly retryAfterSeconds?: number | undefined;
}

export function sendJson(response: ServerResponse, status: number, content: string): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.setHeader('content-length', Buffer.byteLength(content));
  response.end(content);
}

export function sendText(response: ServerResponse, contentType: string, content: string): void {
  response.setHeader('content-type', contentType);
  response.setHeader('content-length', Buffer.byteLength(content));
  response.end(content);
}

/** As the JSON type that is set already, where its client prefers one. */
export function sendError(response: ServerResponse, failure: Failure): void {
  const content = errorText(failure);
  setRetryAfter(response, failure);
  response.statusCode = failure.status;
  setErrorType(response);
  response.setHeader('content-length', Buffer.byteLength(content));
  response.end(content);
}

export function sendPage(response: ServerResponse, page: string, policy: string): void {
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.setHeader('content-length', Buffer.byteLength(page));
  response.setHeader('content-security-policy', policy);
  response.setHeader('referrer-policy', 'no-referrer');
  response.setHeader('cache-control', 'no-cache');
  response.end(page);
}

export function sendStatic(request: IncomingMessage, response: ServerResponse, path: string): void {
  const file = isRead(request) ? staticFile(path) : undefined;
  if (file) sendFile(request, response, file);
  else sendError(response, { status: 404, message: 'Not found', code: 'NOT_FOUND' });
}

function sendFile(request: IncomingMessage, response: ServerResponse, file: StaticFile): void {
  response.setHeader('content-type', file.contentType);
  response.setHeader('etag', file.etag);
  response.setHeader('cache-control', 'no-cache');
  response.setHeader('vary', 'accept-encoding');
  if (request.headers['if-none-match'] === file.etag) {
    response.statusCode = 304;
    response.end();
    return;
  }
  const isZipped = file.gzip !== undefined && /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  const body = isZipped && file.gzip ? file.gzip : file.body;
  if (isZipped) response.setHeader('content-encoding', 'gzip');
  response.setHeader('content-length', body.length);
  response.end(body);
}

const STATUS: Partial<Record<HubErrorCode, number>> = { UNAVAILABLE: 503, RATE_LIMITED: 429, FORBIDDEN: 403 };

/** What a request gets that failed as a whole. */
export function failureOf(error: unknown): Failure {
  if (error instanceof BadRequest) return { status: error.status, message: error.message, code: 'BAD_REQUEST' };
  if (error instanceof HubError) {
    const { code, message, retryAfterSeconds } = error;
    return { status: STATUS[code] ?? 400, message, code, retryAfterSeconds };
  }
  return { status: 500, message: 'Internal error: it has been logged.', code: 'INTERNAL_SERVER_ERROR' };
}

/**
 * Answers a client that still sends, and drops what comes meanwhile. Closing at once would reset the connection, and
 * the client would lose the answer that tells it why.
 */
export function refuseUnread(request: IncomingMessage, response: ServerResponse, clock: Clock, failure: Failure): void {
  const content = errorText(failure);
  setRetryAfter(response, failure);
  setErrorType(response);
  response.writeHead(failure.status, { connection: 'close', 'content-length': Buffer.byteLength(content) });
  response.write(content);
  response.once(
    'close',
    clock.after(LINGER_MS, () => response.destroy()),
  );
  request.once('end', () => response.end());
  request.resume();
}

function setErrorType(response: ServerResponse): void {
  if (!response.hasHeader('content-type')) response.setHeader('content-type', 'application/json; charset=utf-8');
}

function setRetryAfter(response: ServerResponse, { retryAfterSeconds }: Failure): void {
  if (retryAfterSeconds !== undefined) response.setHeader('retry-after', retryAfterSeconds);
}

function errorText({ message, code, retryAfterSeconds: retryAfter }: Failure): string {
  return JSON.stringify({ errors: [{ message, extensions: { code, ...(retryAfter !== undefined && { retryAfter }) } }] });
}

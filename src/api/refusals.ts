import type { IncomingMessage } from 'node:http';
import { HubError } from '../errors';
import type { OperationRequest } from './operations';

const ONE_EVENT = /\beventPublish\s*\(/g;
const MANY_EVENTS = /\beventsPublish\s*\(/g;
/** As an operation's own name it is no field. */
const OWN_NAME = /\bmutation\s+events?Publish\b/g;
/** Lists of events are looked for no deeper in the variables. */
const MAX_DEPTH = 3;
/** Of requests that nobody reads but to count them. */
const MAX_BYTES_PER_REQUEST = 16 * 1024;
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Counts the events of publishes that were refused before their operation ran: too many requests, no key, no database to look
 * the key up in, an operation that is wrong. What runs counts for itself.
 */
export class Refusals {
  readonly #refused: (code: string, events: number) => void;
  /** Of requests that are being refused. */
  #bytes = 0;

  constructor(refused: (code: string, events: number) => void) {
    this.#refused = refused;
  }

  /** Of an operation that is known. */
  operation(operation: OperationRequest, error: unknown): void {
    const events = eventsIn(operation);
    if (events > 0) this.#refused(codeOf(error), events);
  }

  /**
   * Of a request that was refused unread: by what of it comes all the same, of which a little is looked at. What is longer,
   * or breaks off, is taken for one event.
   */
  unread(request: IncomingMessage, error: unknown): void {
    if (request.method !== 'POST' || !(error instanceof HubError)) return;
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      if (bytes + chunk.length > MAX_BYTES_PER_REQUEST || this.#bytes + chunk.length > MAX_BYTES) return;
      bytes += chunk.length;
      this.#bytes += chunk.length;
      chunks.push(chunk);
    });
    request.once('close', () => {
      this.#bytes -= bytes;
      const isWhole = request.complete && bytes === Number(request.headers['content-length'] ?? bytes);
      if (isWhole) this.body(Buffer.concat(chunks).toString(), error);
      else this.#refused(error.code, 1);
    });
  }

  /** Of a request of which only the text is known. */
  body(text: string, error: unknown): void {
    if (!(error instanceof HubError) || !/\bevents?Publish\b/.test(text)) return;
    try {
      this.operation(JSON.parse(text) as OperationRequest, error);
    } catch {
      // no operation, so no publish
    }
  }
}

function codeOf(error: unknown): string {
  if (error instanceof HubError) return error.code;
  const { originalError, extensions } = error as { originalError?: unknown; extensions?: { code?: unknown } };
  if (originalError instanceof HubError) return originalError.code;
  return typeof extensions?.code === 'string' ? extensions.code : 'GRAPHQL_VALIDATION_FAILED';
}

/** How many events an operation would have published: those of its variables, or as many as it has fields that publish. */
function eventsIn({ query, variables }: OperationRequest): number {
  if (typeof query !== 'string') return 0;
  const text = query.replace(OWN_NAME, 'mutation');
  const [one, many] = [ONE_EVENT, MANY_EVENTS].map((field) => text.match(field)?.length ?? 0);
  return (one ?? 0) + (many ? Math.max(many, listed(variables, MAX_DEPTH)) : 0);
}

function listed(value: unknown, depth: number): number {
  if (Array.isArray(value)) return value.length;
  if (typeof value !== 'object' || value === null || depth === 0) return 0;
  return Object.values(value).reduce<number>((sum, part) => sum + listed(part, depth - 1), 0);
}

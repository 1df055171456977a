/** A request as far as the receivers look at it. */
export interface ReadRequest {
  readonly path: string;
  /** The `webhook-id`; undefined: it has none. */
  readonly id: string | undefined;
  readonly head: string;
  readonly bodyStart: number;
  /** Where the next request begins. */
  readonly end: number;
}

const BLANK_LINE = Buffer.from('\r\n\r\n');

/**
 * The first whole request in what came over a connection; undefined: more has to come. Just enough of HTTP/1.1 for
 * what undici sends: names of headers in lower case, a `content-length`.
 */
export function readRequest(received: Buffer): ReadRequest | undefined {
  const headEnd = received.indexOf(BLANK_LINE);
  if (headEnd < 0) return undefined;
  const head = received.toString('latin1', 0, headEnd);
  const bodyStart = headEnd + BLANK_LINE.length;
  const end = bodyStart + Number(headerIn(head, 'content-length') ?? 0);
  if (received.length < end) return undefined;
  const pathStart = head.indexOf(' ') + 1;
  return { path: head.slice(pathStart, head.indexOf(' ', pathStart)), id: headerIn(head, 'webhook-id'), head, bodyStart, end };
}

export function headerIn(head: string, name: string): string | undefined {
  const at = head.indexOf(`\r\n${name}: `);
  if (at < 0) return undefined;
  const start = at + name.length + 4;
  const end = head.indexOf('\r\n', start);
  return head.slice(start, end < 0 ? undefined : end);
}

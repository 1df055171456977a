import type { IncomingMessage } from 'node:http';
import { LIMITS } from './limits';

/** A request that can't be read, as an HTTP answer. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** The body as text, refused as soon as it is known to be too long. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const tooLarge = () => new BadRequest(413, `expected a body of at most ${LIMITS.requestBytes} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > LIMITS.requestBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > LIMITS.requestBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new BadRequest(400, 'expected a body of JSON');
  }
}

import type { IncomingMessage } from 'node:http';
import { parseKeepingPayloads } from '../json-source';
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

/** The body as text, refused as soon as it is known to be too long; what is left of it then is the caller's to drop. */
export function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    // Not `for await`: leaving that early destroys the socket, and with it the answer.
    const refuse = () => {
      request.off('data', take);
      reject(new BadRequest(413, `expected a body of at most ${LIMITS.requestBytes} bytes`));
    };
    const take = (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > LIMITS.requestBytes) refuse();
    };
    if (Number(request.headers['content-length'] ?? 0) > LIMITS.requestBytes) return refuse();
    request.on('data', take);
    request.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    request.once('error', () => reject(new BadRequest(400, 'expected the whole body, but the connection broke')));
  });
}

export function parseJson(text: string): unknown {
  try {
    return parseKeepingPayloads(text);
  } catch {
    throw new BadRequest(400, 'expected a body of JSON');
  }
}

import type { IncomingMessage } from 'node:http';
import { MAX_EVENTS_PER_PUBLISH } from '../events/publish';
import { JsonRefused, parseRequest } from '../json-source';
import type { Holding } from './intake';
import { LIMITS } from './limits';

/** A request that can't be read, as an HTTP answer. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';

  constructor(
    readonly status: number,
    message: string,
    /** Methods that would do, with 405. */
    readonly allow?: string,
  ) {
    super(message);
  }
}

/** The body as text, refused as soon as it is known to be too long; what is left of it then is the caller's to drop. */
export function readBody(request: IncomingMessage, holding: Holding): Promise<string> {
  const { mostBytes } = holding;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    // Not `for await`: leaving that early destroys the socket, and with it the answer.
    const refuse = (error: unknown) => {
      holding.evicted = undefined;
      request.off('data', take);
      chunks.length = 0;
      reject(error);
    };
    const take = (chunk: Buffer) => {
      try {
        holding.take(chunk.length);
      } catch (error) {
        return refuse(error);
      }
      chunks.push(chunk);
      if (holding.bytes > mostBytes) refuse(tooLarge(mostBytes));
    };
    const broken = () => refuse(new BadRequest(400, 'expected the whole body, but the connection broke'));
    if (request.destroyed) return broken(); // while the key was looked up: no event will say so any more
    if (Number(request.headers['content-length'] ?? 0) > mostBytes) return refuse(tooLarge(mostBytes));
    holding.evicted = refuse;
    request.on('data', take);
    request.once('end', () => {
      holding.evicted = undefined;
      resolve(Buffer.concat(chunks).toString('utf8'));
    });
    request.once('error', broken);
  });
}

function tooLarge(mostBytes: number): BadRequest {
  return new BadRequest(
    413,
    `expected a body of at most ${mostBytes} bytes${mostBytes < LIMITS.requestBytes ? ' without a valid key' : ''}`,
  );
}

/** `variablesAt`: the names that lead to the variables of the operation, whose payloads are sent on exactly as they came. */
export function readJson(text: string, variablesAt: readonly string[]): unknown {
  return parseRequest(text, { variablesAt, mostEvents: MAX_EVENTS_PER_PUBLISH });
}

/** As `readJson`, of an HTTP request. */
export function parseJson(text: string, variablesAt: readonly string[] = ['variables']): unknown {
  try {
    return readJson(text, variablesAt);
  } catch (error) {
    throw new BadRequest(400, error instanceof JsonRefused ? error.message : 'expected a body of JSON');
  }
}

import type { IncomingMessage } from 'node:http';
import { type Caller, holderOf } from '../applications/api-keys';
import { MAX_EVENTS_PER_PUBLISH } from '../events/publish';
import { isLongRequest, JsonRefused, parseRequest, parseRequestInTurns } from '../json-source';
import type { Slices } from '../slices';
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

/**
 * `variablesAt`: the names that lead to the variables of the operation, whose payloads are sent on exactly as they came.
 * A promise where there is much to parse for somebody with a key: others get the event loop in between.
 */
export function readJson(text: string, variablesAt: readonly string[], { slices, caller }: Reading): unknown {
  const shape = { variablesAt, mostEvents: MAX_EVENTS_PER_PUBLISH };
  if (caller === null || !isLongRequest(text)) return parseRequest(text, shape);
  const owner = holderOf(caller);
  return parseRequestInTurns(text, shape, {
    turn: (chars) => (slices.isOver(chars) ? slices.next(owner) : undefined),
    jsonVariables: (root) => declaredJson(root, variablesAt),
  });
}

/** The variables that the document beside them declares as JSON. One that is missed here is only parsed earlier. */
function declaredJson(root: unknown, variablesAt: readonly string[]): ReadonlySet<string> {
  const request = variablesAt.slice(0, -1).reduce<unknown>((part, name) => Object(part)[name], root);
  const { query } = Object(request) as { query?: unknown };
  return new Set(typeof query === 'string' ? Array.from(query.matchAll(/\$(\w+)\s*:\s*JSON\b/g), ([, name = '']) => name) : []);
}

/** For whom JSON is read; without a key there is little of it. */
export interface Reading {
  readonly slices: Slices;
  readonly caller: Caller | null;
}

/** As `readJson`, of an HTTP request. */
export async function parseJsonInTurns(text: string, reading: Reading): Promise<unknown> {
  try {
    return await readJson(text, ['variables'], reading);
  } catch (error) {
    throw noJson(error);
  }
}

/** As `parseJsonInTurns`, at once: of what is short. */
export function parseJson(text: string, variablesAt: readonly string[] = ['variables']): unknown {
  try {
    return parseRequest(text, { variablesAt, mostEvents: MAX_EVENTS_PER_PUBLISH });
  } catch (error) {
    throw noJson(error);
  }
}

function noJson(error: unknown): unknown {
  if (error instanceof JsonRefused) return new BadRequest(400, error.message);
  return error instanceof SyntaxError ? new BadRequest(400, 'expected a body of JSON') : error;
}

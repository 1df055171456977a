import type { IncomingMessage } from 'node:http';
import type { ApiKeys, Caller } from '../applications/api-keys';
import { callerOf } from './bearer';
import type { Connections } from './connections';

/** Who is behind a request; null: nobody with a valid key. */
export type Identify = (request: IncomingMessage, authorization: unknown) => Promise<Caller | null>;

/** A connection over which a valid key has come is no stranger's any more. */
export function identifier(apiKeys: ApiKeys, connections: Connections): Identify {
  return async (request, authorization) => {
    const caller = await callerOf(apiKeys, authorization);
    if (caller !== null) connections.introduce(request.socket);
    return caller;
  };
}

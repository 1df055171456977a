import type { IncomingMessage } from 'node:http';
import type { ApiKeys, Caller } from '../applications/api-keys';
import { callerOf } from './bearer';
import type { AddressOf } from './client-address';
import type { Connections } from './connections';
import type { KeyLimits } from './key-limits';

/**
 * Who is behind a request; null: nobody with a valid key. Rejects with a HubError RATE_LIMITED when the key has too many
 * connections open without this one,
 * FORBIDDEN when it may not be used from where the request comes.
 */
export type Identify = (request: IncomingMessage, authorization: unknown) => Promise<Caller | null>;

/** A connection over which a valid key has come is not unauthenticated any more, but one of those that the key has open. */
export function identifier(apiKeys: ApiKeys, connections: Connections, keyLimits: KeyLimits, addressOf: AddressOf): Identify {
  return async (request, authorization) => {
    const caller = await callerOf(apiKeys, authorization, addressOf(request));
    if (caller !== null) connections.introduce(request.socket, caller.apiKey.id, () => keyLimits.openConnection(caller));
    return caller;
  };
}

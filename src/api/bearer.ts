import type { ApiKeys, Caller } from '../applications/api-keys';

/** The caller behind `Bearer <key>`, or null when there is none or its key is not valid. */
export async function callerOf(apiKeys: ApiKeys, authorization: unknown, address: string | null): Promise<Caller | null> {
  if (typeof authorization !== 'string') return null;
  const [, token] = /^Bearer +(\S{1,512})\s*$/i.exec(authorization) ?? [];
  return token === undefined ? null : apiKeys.authenticate(token, address);
}

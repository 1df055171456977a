import { newApiKeyId } from '../ids';
import type { Tx } from '../store/database';
import { ALL_SCOPES, ApiKey, storedScopes } from './api-key';

/** What the start found out about the admin keys. */
export interface AdminKeyFindings {
  /** A token that was generated for the first admin key and must be shown now or never. */
  readonly generated?: string;
  /** Why LIVEHOOK_ADMIN_KEY lets nobody in, and what to do. */
  readonly problem?: string;
  /** Ids of keys that were made, or retired. */
  readonly created?: readonly string[];
  readonly retired?: readonly string[];
  /** There is no other admin key that does. */
  readonly isLockedOut?: boolean;
}

/**
 * Stores the key of LIVEHOOK_ADMIN_KEY, which retires the one before. A key that has ended stays ended, whatever the
 * environment says: it may have leaked, and it must not come back with the next restart of some instance.
 */
export async function adoptAdminKey(tx: Tx, token: string, tokenHash: string, now: number): Promise<AdminKeyFindings> {
  const known = await tx.manager.findOneBy(ApiKey, { tokenHash });
  const problem = known && problemOf(known, now);
  if (problem) return { problem, isLockedOut: !(await hasAdminKey(tx, now)) };
  const retired = await retireOthers(tx, tokenHash, now);
  if (known) return { retired };
  const id = newApiKeyId();
  await tx.manager.insert(ApiKey, {
    id,
    applicationId: null,
    name: 'LIVEHOOK_ADMIN_KEY',
    tokenHash,
    hint: token.slice(-4),
    ...storedScopes(ALL_SCOPES),
    createdAt: new Date(now),
    expiresAt: null,
    revokedAt: null,
    lastUsedAt: null,
    allowedNetworks: null,
    origin: 'ENVIRONMENT',
  });
  return { created: [id], retired };
}

async function retireOthers(tx: Tx, tokenHash: string, now: number): Promise<readonly string[]> {
  const rows = await tx.query<{ id: string }>(
    `SELECT id FROM api_keys WHERE origin = 'ENVIRONMENT' AND token_hash <> ? AND revoked_at IS NULL ${tx.dialect.forUpdate}`,
    [tokenHash],
  );
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const { sql, parameters } = tx.dialect.oneOf('id', ids);
  await tx.execute(`UPDATE api_keys SET revoked_at = ? WHERE ${sql}`, [now, ...parameters]);
  return ids;
}

/** Whether any admin key lets somebody in. */
export async function hasAdminKey({ query }: Pick<Tx, 'query'>, now: number): Promise<boolean> {
  const rows = await query(
    'SELECT id FROM api_keys WHERE application_id IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) LIMIT 1',
    [now],
  );
  return rows.length > 0;
}

function problemOf({ id, applicationId, revokedAt, expiresAt }: ApiKey, now: number): string | null {
  if (applicationId !== null) return `it is the token of ${id}, which belongs to ${applicationId} and is no admin key; ${WHAT_TO_DO}`;
  if (revokedAt !== null) return `its key ${id} was revoked at ${revokedAt.toISOString()} and stays revoked; ${WHAT_TO_DO}`;
  if (expiresAt !== null && expiresAt.getTime() <= now) return `its key ${id} expired at ${expiresAt.toISOString()}; ${WHAT_TO_DO}`;
  return null;
}

const WHAT_TO_DO = 'set a new value (make one with: openssl rand -base64 33), or remove the setting and use another admin key';

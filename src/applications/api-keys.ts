import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Clock, SECOND } from '../clock';
import { HubError, Problems, refuse, shown, UserErrorCode } from '../errors';
import type { Facts } from '../facts';
import { isId, newApiKeyId } from '../ids';
import type { Log } from '../log';
import { Networks } from '../net/networks';
import type { Database } from '../store/database';
import { type Page, type PageRequest, readPage } from '../store/page';
import { type AdminKeyFindings, adoptAdminKey, hasAdminKey } from './admin-key';
import { ALL_SCOPES, ApiKey, DEFAULT_SCOPES, type Scope, storedScopes } from './api-key';
import { Application } from './application';
import { refuseUnknown } from './applications';
import { KeyLookup } from './key-lookup';

export interface ApiKeyCreation {
  /** Null or omitted: an admin key. */
  readonly applicationId?: string | null;
  readonly name?: string | null;
  readonly scopes?: readonly Scope[] | null;
  readonly expiresAt?: Date | null;
  /** CIDRs; null or omitted: from anywhere. */
  readonly allowedNetworks?: readonly string[] | null;
  readonly origin?: ApiKey['origin'];
}

/** Who presented a valid token. */
export interface Caller {
  readonly apiKey: ApiKey;
  /** Null: an admin key. */
  readonly applicationId: string | null;
  readonly scopes: ReadonlySet<Scope>;
}

/** Who has what is shared, when it is divided fairly: an application with all its keys, or an admin key. */
export function holderOf({ apiKey, applicationId }: Caller): string {
  return applicationId ?? apiKey.id;
}

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

/** Why a token lets nobody in. */
export const REFUSALS = ['unknown', 'expired', 'revoked', 'network'] as const;
export type Refusal = (typeof REFUSALS)[number];

/** How long a key is trusted without asking the database: the longest that another instance's revocation takes to act here. */
const TRUST_MS = 1 * SECOND;
const MAX_REMEMBERED = 10_000;
const MAX_NAME_CHARS = 255;
const MAX_NETWORKS_PER_KEY = 100;

/** Keys and who they let in. */
export class ApiKeys {
  readonly #deps: Deps;
  readonly #remembered = new LRUCache<string, { caller: Caller; readAt: number }>({ max: MAX_REMEMBERED });
  /** Hashes of what is no key, by when the database said so: repeating it costs no query. */
  readonly #unknown = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  /** Hashes of keys that were valid at the last look: a crowd that guesses keys does not keep them out. */
  readonly #known = new LRUCache<string, true>({ max: MAX_REMEMBERED });
  readonly #lookup: KeyLookup;
  readonly #watched = new Map<() => void, Caller>();
  #stopWatching: (() => void) | undefined;
  /** Moves on with every `forget`, so that an answer read before it is not remembered after it. */
  #generation = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { facts } = deps;
    facts.applicationDeleted.on(() => this.forget());
    facts.changedElsewhere.on(({ topic }) => {
      if (topic === 'keys' || topic === 'everything') this.forget();
    });
    this.#lookup = new KeyLookup(deps.database);
  }

  /** Keys, and what is none, of which something is remembered. */
  get remembered(): number {
    return this.#remembered.size + this.#unknown.size;
  }

  async create(creation: ApiKeyCreation): Promise<{ apiKey: ApiKey; token: string }> {
    const { database, clock } = this.#deps;
    const problems = new Problems();
    const name = creation.name ?? 'unnamed';
    if (name.length > MAX_NAME_CHARS) problems.add('name', `expected at most ${MAX_NAME_CHARS} characters, got ${name.length}`);
    if (creation.expiresAt && creation.expiresAt.getTime() <= clock.now())
      problems.add('expiresAt', `must be in the future, got ${creation.expiresAt.toISOString()}`);
    if (creation.scopes && (creation.applicationId ?? null) === null)
      problems.add('scopes', "expected an applicationId beside scopes: they limit an application's key, an admin key may do everything");
    if (creation.scopes && creation.scopes.length === 0) problems.add('scopes', 'expected at least one scope, or none given for all');
    checkNetworks(creation.allowedNetworks ?? null, problems);
    problems.throwIfAny();

    const token = `lhk_${randomBytes(32).toString('base64url')}`;
    const apiKey = Object.assign(new ApiKey(), {
      id: newApiKeyId(),
      applicationId: creation.applicationId ?? null,
      name,
      tokenHash: hashOf(token),
      hint: token.slice(-4),
      ...storedScopes([...new Set(creation.scopes ?? DEFAULT_SCOPES)]),
      createdAt: new Date(clock.now()),
      expiresAt: creation.expiresAt ?? null,
      revokedAt: null,
      lastUsedAt: null,
      allowedNetworks: creation.allowedNetworks ?? null,
      origin: creation.origin ?? 'API',
    } satisfies Partial<ApiKey>);
    await database.transaction(async (tx) => {
      if (apiKey.applicationId !== null) {
        const { applicationId } = apiKey;
        // Locked, so that a deletion at the same time either sees the new key or is seen here.
        if (isId('app', applicationId)) await tx.query(`SELECT id FROM applications WHERE id = ? ${tx.dialect.forUpdate}`, [applicationId]);
        const application = isId('app', applicationId) ? await tx.manager.findOneBy(Application, { id: applicationId }) : null;
        if (application === null || application.deletedAt !== null) refuseUnknown(applicationId);
      }
      await tx.manager.insert(ApiKey, apiKey);
    });
    return { apiKey, token };
  }

  /** Ends a key at once, and every stream that it opened on this instance; on others within a second. */
  async revoke(id: string): Promise<ApiKey> {
    const { database, clock } = this.#deps;
    const apiKey = await database.transaction(async (tx) => {
      const found = isId('key', id) ? await tx.manager.findOneBy(ApiKey, { id }) : null;
      if (found === null) return refuse('id', `expected the id of a key, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
      if (found.revokedAt === null) {
        found.revokedAt = new Date(clock.now());
        await tx.manager.update(ApiKey, { id }, { revokedAt: found.revokedAt });
      }
      return found;
    });
    this.forget();
    this.#deps.facts.keyRevoked.emit();
    return apiKey;
  }

  async byId(id: string): Promise<ApiKey | null> {
    return this.#deps.database.read.manager.findOneBy(ApiKey, { id });
  }

  /**
   * The caller behind a token that came from an address, or null for one that is unknown, expired or revoked.
   * @throws HubError FORBIDDEN for a key that is bound to other networks
   */
  async authenticate(token: string, address: string | null = null): Promise<Caller | null> {
    const caller = await this.#callerByHash(hashOf(token), address);
    if (caller === null) return null;
    const { apiKey } = caller;
    if (apiKey.allowedNetworks !== null && !isWithin(apiKey.allowedNetworks, address)) {
      this.#deps.facts.keyRefused.emit({ reason: 'network', apiKey, address });
      throw new HubError('FORBIDDEN', `The key may not be used from ${address ?? 'an unknown address'}.`);
    }
    this.#deps.facts.keyUsed.emit({ apiKeyId: apiKey.id });
    return caller;
  }

  /** In the order of their ids; of an application, or with null the admin keys. Those that have ended as well. */
  async list(applicationId: string | null, page: PageRequest): Promise<Page<ApiKey>> {
    const select = this.#deps.database.read.manager.createQueryBuilder(ApiKey, 'k');
    if (applicationId === null) select.where('k.applicationId IS NULL');
    else select.where('k.applicationId = :applicationId', { applicationId });
    return readPage(select, { ...page, column: 'k.id', direction: 'ASC' });
  }

  /** Drops what is remembered, so that the next look is at the database, and checks running streams at once. */
  forget(): void {
    this.#generation++;
    this.#remembered.clear();
    this.#unknown.clear();
    void this.#checkWatched();
  }

  /** Calls `ended` once when the caller's key is revoked or expires. Returns how to stop watching. */
  watch(caller: Caller, ended: () => void): () => void {
    this.#watched.set(ended, caller);
    this.#scheduleCheck();
    return () => {
      this.#watched.delete(ended);
      if (this.#watched.size === 0) this.close();
    };
  }

  close(): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
  }

  /** Sees to an admin key existing at the start. */
  async ensureAdminKey(fromEnvironment: string | undefined): Promise<AdminKeyFindings> {
    const { database, clock } = this.#deps;
    if (fromEnvironment !== undefined) return this.#adopt(fromEnvironment);
    if (await hasAdminKey(database.read, clock.now())) return {};
    const { apiKey, token } = await this.create({ name: 'first admin key', origin: 'GENERATED' });
    return { generated: token, created: [apiKey.id] };
  }

  async #adopt(token: string): Promise<AdminKeyFindings> {
    const { database, clock } = this.#deps;
    try {
      return await database.transaction((tx) => adoptAdminKey(tx, token, hashOf(token), clock.now()));
    } catch (error) {
      if (database.dialect.classify(error) !== 'duplicate') throw error;
      return {}; // another instance that starts at the same time has stored it
    }
  }

  async #callerByHash(tokenHash: string, address: string | null): Promise<Caller | null> {
    const now = this.#deps.clock.monotonic();
    const remembered = this.#remembered.get(tokenHash);
    if (remembered && now - remembered.readAt < TRUST_MS) return this.#letIn(remembered.caller, address);
    const isUnknown = now - (this.#unknown.get(tokenHash) ?? Number.NEGATIVE_INFINITY) < TRUST_MS;
    return this.#letIn(isUnknown ? null : await this.#readCaller(tokenHash, { isPatient: this.#known.has(tokenHash) }), address);
  }

  #letIn(caller: Caller | null, address: string | null): Caller | null {
    const reason = caller === null ? 'unknown' : this.#endOf(caller);
    if (reason === null) return caller;
    this.#deps.facts.keyRefused.emit({ reason, apiKey: caller?.apiKey ?? null, address });
    return null;
  }

  /** `isPatient`: waits for its turn even when many do. */
  async #readCaller(tokenHash: string, { isPatient }: { isPatient: boolean }): Promise<Caller | null> {
    const readAt = this.#deps.clock.monotonic();
    const generation = this.#generation;
    const apiKey = await this.#lookup.find(tokenHash, isPatient);
    this.#remembered.delete(tokenHash);
    this.#unknown.delete(tokenHash);
    const caller = apiKey && {
      apiKey,
      applicationId: apiKey.applicationId,
      scopes: new Set(apiKey.applicationId === null ? ALL_SCOPES : apiKey.scopes),
    };
    if (generation === this.#generation) {
      if (caller) this.#remembered.set(tokenHash, { caller, readAt });
      else this.#unknown.set(tokenHash, readAt);
    }
    if (caller && this.#endOf(caller) === null) this.#known.set(tokenHash, true);
    else this.#known.delete(tokenHash);
    return caller;
  }

  #endOf({ apiKey: { revokedAt, expiresAt } }: Caller): 'revoked' | 'expired' | null {
    if (revokedAt !== null) return 'revoked';
    return expiresAt !== null && expiresAt.getTime() <= this.#deps.clock.now() ? 'expired' : null;
  }

  #scheduleCheck(): void {
    this.#stopWatching ??= this.#deps.clock.after(TRUST_MS, () => {
      this.#stopWatching = undefined;
      void this.#checkWatched();
    });
  }

  /** One look at each distinct key, however many streams it holds open. */
  async #checkWatched(): Promise<void> {
    const verdicts = new Map<string, Promise<Caller | null>>();
    for (const [ended, { apiKey }] of [...this.#watched]) {
      const verdict = verdicts.get(apiKey.tokenHash) ?? this.#readCaller(apiKey.tokenHash, { isPatient: true });
      verdicts.set(apiKey.tokenHash, verdict);
      try {
        const caller = await verdict;
        if (caller !== null && this.#endOf(caller) === null) this.#deps.facts.keyUsed.emit({ apiKeyId: caller.apiKey.id });
        else if (this.#watched.delete(ended)) ended();
      } catch (error) {
        this.#deps.log.warn({ error: (error as Error).message }, 'key.check_failed'); // asked again in a second
        break;
      }
    }
    if (this.#watched.size > 0) this.#scheduleCheck();
  }
}

function checkNetworks(networks: readonly string[] | null, problems: Problems): void {
  if (networks === null) return;
  if (networks.length < 1 || networks.length > MAX_NETWORKS_PER_KEY)
    problems.add('allowedNetworks', `expected 1 to ${MAX_NETWORKS_PER_KEY} CIDRs, or null for any address, got ${networks.length}`);
  for (const [index, network] of networks.slice(0, MAX_NETWORKS_PER_KEY).entries()) {
    const problem = networkProblem(network);
    if (problem !== null) problems.add(['allowedNetworks', String(index)], problem);
  }
}

function networkProblem(text: string): string | null {
  try {
    new Networks([text]);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function isWithin(networks: readonly string[], address: string | null): boolean {
  return address !== null && new Networks(networks).includes(address);
}

function hashOf(token: string): string {
  return hash('sha256', token, 'hex'); // once a request: `createHash` takes 2.1 µs, this 0.6
}

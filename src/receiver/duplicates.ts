/** Remembers which webhooks have come. */
export interface DuplicateStore {
  /** Remembers `id` for `ttlSeconds`; false: it was known. */
  add(id: string, ttlSeconds: number): boolean | Promise<boolean>;
  /**
   * Forgets `id`, as its handler has failed. Leave it out where `add` belongs to a transaction that a failure rolls back.
   */
  delete?(id: string): void | Promise<void>;
}

/** Ids that are remembered at most: some 20 MB. */
const MAX_IDS = 100_000;

/** For one process, until it ends. What has been there for longest goes first where there is no more room. */
export class MemoryDuplicates implements DuplicateStore {
  /** When each runs out, oldest first. */
  readonly #expiresAt = new Map<string, number>();
  readonly #now: () => number;
  readonly #maxIds: number;

  constructor({ maxIds = MAX_IDS, now = Date.now }: { readonly maxIds?: number; readonly now?: () => number } = {}) {
    this.#maxIds = maxIds;
    this.#now = now;
  }

  add(id: string, ttlSeconds: number): boolean {
    const now = this.#now();
    const known = this.#expiresAt.get(id);
    if (known !== undefined && known > now) return false;
    this.#expiresAt.delete(id);
    this.#expiresAt.set(id, now + ttlSeconds * 1_000);
    this.#makeRoom(now);
    return true;
  }

  delete(id: string): void {
    this.#expiresAt.delete(id);
  }

  #makeRoom(now: number): void {
    for (const [id, expiresAt] of this.#expiresAt) {
      if (expiresAt > now && this.#expiresAt.size <= this.#maxIds) return;
      this.#expiresAt.delete(id);
    }
  }
}

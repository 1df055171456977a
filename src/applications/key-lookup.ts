import { HubError } from '../errors';
import type { Database } from '../store/database';
import { ApiKey } from './api-key';

const MAX_PER_QUERY = 500;
/** Beyond it callers with a key that is not known here are turned away: more than the database answers in a second. */
const MAX_WAITING = 5_000;
const RETRY_AFTER_SECONDS = 1;

interface Asked {
  readonly answer: Promise<ApiKey | null>;
  readonly resolve: (apiKey: ApiKey | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Finds keys by the hashes of their tokens, one query at a time: what is asked meanwhile waits and goes into the next
 * one together. However many guess keys, the database hears of it at its own pace.
 */
export class KeyLookup {
  readonly #database: Database;
  /** Of the queries to come. Nobody joins the one that runs: it may have read already. */
  readonly #waiting = new Map<string, Asked>();
  #isRunning = false;

  constructor(database: Database) {
    this.#database = database;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** @throws HubError RATE_LIMITED when too many wait and `isPatient` is not set, UNAVAILABLE when the database is away */
  find(tokenHash: string, isPatient = false): Promise<ApiKey | null> {
    const known = this.#waiting.get(tokenHash);
    if (known) return known.answer;
    if (this.#waiting.size >= MAX_WAITING && !isPatient) return Promise.reject(tooMany());
    const asked = ask();
    this.#waiting.set(tokenHash, asked);
    if (!this.#isRunning) void this.#run();
    return asked.answer;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.size > 0) {
      const batch = new Map([...this.#waiting].slice(0, MAX_PER_QUERY));
      for (const tokenHash of batch.keys()) this.#waiting.delete(tokenHash);
      await this.#read(batch);
    }
    this.#isRunning = false;
  }

  async #read(batch: ReadonlyMap<string, Asked>): Promise<void> {
    try {
      const found = await this.#database.urgentRead.manager
        .createQueryBuilder(ApiKey, 'k')
        .where('k.tokenHash IN (:...hashes)', { hashes: [...batch.keys()] })
        .getMany();
      const byHash = new Map(found.map((apiKey) => [apiKey.tokenHash, apiKey]));
      for (const [tokenHash, { resolve }] of batch) resolve(byHash.get(tokenHash) ?? null);
    } catch (error) {
      for (const { reject } of batch.values()) reject(error);
    }
  }
}

function ask(): Asked {
  let resolve: Asked['resolve'] = () => {};
  let reject: Asked['reject'] = () => {};
  const answer = new Promise<ApiKey | null>((onAnswer, onError) => {
    resolve = onAnswer;
    reject = onError;
  });
  return { answer, resolve, reject };
}

function tooMany(): HubError {
  return new HubError('RATE_LIMITED', `Too many keys wait to be looked up: try again in ${RETRY_AFTER_SECONDS} s.`, RETRY_AFTER_SECONDS);
}

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { type Config, ConfigError } from '../config';
import type { Log } from '../log';
import type { Queries } from '../store/database';
import { makePrivateFolder } from '../store/sqlite-files';
import { Seal } from './seal';
import { missingKeyId } from './sealed-places';

/** A key that was made for a new database: it is not kept before it is known that nothing needs another one. */
interface MadeKey {
  readonly path: string;
  readonly key: Buffer;
}

/** The key that secrets at rest are encrypted with, and whether it opens those that are stored. */
export class SecretKey {
  readonly seal: Seal;
  /** Of the key beside the SQLite file; undefined where the settings give one. */
  readonly #path: string | undefined;
  readonly #made: MadeKey | undefined;
  #isFitting = true;

  constructor(config: Config) {
    const { secretKey, previousSecretKeys, databaseUrl } = config;
    this.#path = secretKey === undefined && databaseUrl.kind === 'sqlite' ? `${databaseUrl.path}.key` : undefined;
    const stored = secretKey ?? (this.#path === undefined ? undefined : readKey(this.#path));
    this.#made = stored === undefined && this.#path !== undefined ? { path: this.#path, key: randomBytes(32) } : undefined;
    const key = stored ?? this.#made?.key;
    if (key === undefined) throw new Error('expected LIVEHOOK_SECRET_KEY: config.ts requires it with MySQL');
    this.seal = new Seal(key, previousSecretKeys);
  }

  /**
   * Keeps a key that was made for this database, readable by its owner only.
   * @throws ConfigError where a stored secret needs another key: none is kept then
   */
  async settle(queries: Queries): Promise<void> {
    const missing = await missingKeyId(queries, this.seal);
    if (missing !== undefined) throw new ConfigError([this.#problem(missing)]);
    if (this.#made) keepKey(this.#made);
  }

  /** Whether it opens what is stored: other instances may have stored secrets with another key by now. */
  async fits(queries: Queries, log: Log): Promise<boolean> {
    if (this.#isFitting && !this.seal.hasMissed) return true;
    const missing = await missingKeyId(queries, this.seal);
    if (missing === undefined) this.seal.forgetMissed();
    else if (this.#isFitting) log.error({ needs: missing, problem: this.#problem(missing) }, 'secret_key.not_fitting');
    this.#isFitting = missing === undefined;
    return this.#isFitting;
  }

  #problem(missing: string): string {
    if (this.#made)
      return `LIVEHOOK_SECRET_KEY: the database has encrypted secrets, and the file with their key is not there: ${this.#made.path}. Put it back, it belongs to every backup (the key with the id ${missing} is needed), or give that key as LIVEHOOK_SECRET_KEY. No new key was made`;
    const source = this.#path ?? 'LIVEHOOK_SECRET_KEY';
    return `${source}: the database has secrets that were encrypted with another key: it needs the key with the id ${missing}, known are ${this.seal.keyIds.join(', ')}. Start with that key; or, to replace it, name it in LIVEHOOK_PREVIOUS_SECRET_KEYS and run livehook secrets rekey`;
  }
}

function readKey(path: string): Buffer | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const key = Buffer.from(text, 'base64');
  if (key.length !== 32) throw new ConfigError([`${path}: expected 32 bytes in base64, got ${key.length}: put the file back as it was`]);
  return key;
}

function keepKey({ path, key }: MadeKey): void {
  makePrivateFolder(path);
  try {
    writeFileSync(path, `${key.toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new ConfigError([`${path}: another process has just made it: start again`]);
  }
}

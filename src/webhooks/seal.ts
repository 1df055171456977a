import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { HubError } from '../errors';

const IV_BYTES = 12;
const TAG_BYTES = 16;
/** How a key is named in front of what it has sealed. */
export const KEY_ID_CHARS = 8;

/** A stored secret needs a key that this instance does not have: others may have it, and it may be given to this one. */
export class SecretKeyMissing extends HubError {
  constructor(keyId: string, known: readonly string[]) {
    super('UNAVAILABLE', 'The hub cannot read a secret that it has stored, for want of its key: nothing was stored, try again.');
    this.cause = new Error(
      `a secret was encrypted with another LIVEHOOK_SECRET_KEY: it needs the key with the id ${keyId}, known are ${known.join(', ')}`,
    );
  }
}

/**
 * Encrypts secrets at rest, those that webhooks sign with and those in their headers: AES-256-GCM, bound to the row that holds it, so that a secret moved to another
 * webhook's row does not open. Stored as `<key id>.<base64url of iv, tag, ciphertext>`; the key id tells which
 * LIVEHOOK_SECRET_KEY it needs.
 */
export class Seal {
  /** Of the key that new secrets are sealed with. */
  readonly keyId: string;
  readonly #keys = new Map<string, Buffer>();
  #hasMissed = false;

  /**
   * `previous` keys open what was sealed before, until `livehook secrets rekey` has sealed it again.
   * @throws RangeError unless every key has 32 bytes
   */
  constructor(key: Buffer, previous: readonly Buffer[] = []) {
    this.keyId = keyIdOf(key);
    for (const known of [...previous, key]) {
      if (known.length !== 32) throw new RangeError(`expected a key of 32 bytes, got ${known.length}`);
      this.#keys.set(keyIdOf(known), known);
    }
  }

  /** The ids of the keys that it can open with. */
  get keyIds(): readonly string[] {
    return [...this.#keys.keys()];
  }

  knows(keyId: string): boolean {
    return this.#keys.has(keyId);
  }

  /** Whether it has met a secret of a key that it does not know. */
  get hasMissed(): boolean {
    return this.#hasMissed;
  }

  forgetMissed(): void {
    this.#hasMissed = false;
  }

  close(secret: Buffer, owner: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#keyOf(this.keyId), iv).setAAD(Buffer.from(owner));
    const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
    return `${this.keyId}.${Buffer.concat([iv, cipher.getAuthTag(), ciphertext]).toString('base64url')}`;
  }

  /**
   * Throws when it was sealed for another owner, or was changed.
   * @throws SecretKeyMissing when it was sealed with a key that is not known here
   */
  open(sealed: string, owner: string): Buffer {
    const [keyId = '', body = ''] = sealed.split('.');
    const bytes = Buffer.from(body, 'base64url');
    const decipher = createDecipheriv('aes-256-gcm', this.#keyOf(keyId), bytes.subarray(0, IV_BYTES))
      .setAAD(Buffer.from(owner))
      .setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
  }

  #keyOf(keyId: string): Buffer {
    const key = this.#keys.get(keyId);
    if (key !== undefined) return key;
    this.#hasMissed = true;
    throw new SecretKeyMissing(keyId, this.keyIds);
  }
}

/** Tells keys apart without saying anything about them. */
function keyIdOf(key: Buffer): string {
  return createHash('sha256').update('livehook secret key').update(key).digest('hex').slice(0, KEY_ID_CHARS);
}

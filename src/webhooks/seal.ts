import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts signing secrets at rest: AES-256-GCM, bound to the row that holds it, so that a secret moved to another
 * webhook's row does not open. Stored as `<key id>.<base64url of iv, tag, ciphertext>`; the key id tells which
 * LIVEHOOK_SECRET_KEY it needs.
 */
export class Seal {
  readonly keyId: string;
  readonly #key: Buffer;

  /** @throws RangeError unless the key has 32 bytes */
  constructor(key: Buffer) {
    if (key.length !== 32) throw new RangeError(`expected a key of 32 bytes, got ${key.length}`);
    this.#key = key;
    this.keyId = createHash('sha256').update('livehook secret key').update(key).digest('hex').slice(0, 8);
  }

  close(secret: Buffer, owner: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv).setAAD(Buffer.from(owner));
    const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
    return `${this.keyId}.${Buffer.concat([iv, cipher.getAuthTag(), ciphertext]).toString('base64url')}`;
  }

  /** Throws when it was sealed with another key, for another owner, or was changed. */
  open(sealed: string, owner: string): Buffer {
    const [keyId, body = ''] = sealed.split('.');
    if (keyId !== this.keyId)
      throw new Error(
        `a signing secret was encrypted with another LIVEHOOK_SECRET_KEY (its key id is ${keyId}, the given key's is ${this.keyId})`,
      );
    const bytes = Buffer.from(body, 'base64url');
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, IV_BYTES))
      .setAAD(Buffer.from(owner))
      .setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
  }
}

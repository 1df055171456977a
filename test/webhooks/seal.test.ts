import { Seal } from '../../src/webhooks/seal';

const seal = new Seal(Buffer.alloc(32, 1));
const secret = Buffer.from('a signing secret of any length');

describe('A seal', () => {
  test('opens what it closed, for the same owner', () => {
    for (const bytes of [secret, Buffer.alloc(0), Buffer.alloc(64, 9)])
      expect(seal.open(seal.close(bytes, 'whk_1'), 'whk_1')).toEqual(bytes);
  });

  test('shows nothing of the secret, nor that two are equal', () => {
    const [one, two] = [seal.close(secret, 'whk_1'), seal.close(secret, 'whk_1')];
    expect(one).not.toBe(two);
    expect(Buffer.from(one.split('.')[1] ?? '', 'base64url').includes('signing')).toBe(false);
    expect(one).toMatch(/^[0-9a-f]{8}\.[\w-]+$/);
  });

  test('does not open for another owner, nor when a bit was changed', () => {
    const closed = seal.close(secret, 'whk_1');
    expect(() => seal.open(closed, 'whk_2')).toThrow();
    const [keyId, body = ''] = closed.split('.');
    const bytes = Buffer.from(body, 'base64url');
    for (const index of [0, 12, 28, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(index) ^ 1, index);
      expect(() => seal.open(`${keyId}.${changed.toString('base64url')}`, 'whk_1')).toThrow();
    }
    expect(() => seal.open(`${keyId}.`, 'whk_1')).toThrow();
  });

  test('names the key that it would take', () => {
    const other = new Seal(Buffer.alloc(32, 2));
    const refusal = thrownBy(() => other.open(seal.close(secret, 'whk_1'), 'whk_1'));
    expect(refusal.message).not.toContain(seal.keyId); // callers are told no more than to try again
    expect((refusal.cause as Error).message).toBe(
      `a secret was encrypted with another LIVEHOOK_SECRET_KEY: it needs the key with the id ${seal.keyId}, known are ${other.keyId}`,
    );
    expect(() => new Seal(Buffer.alloc(16))).toThrow('expected a key of 32 bytes, got 16');
  });
});

function thrownBy(step: () => unknown): Error {
  try {
    step();
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected an error, got none');
}

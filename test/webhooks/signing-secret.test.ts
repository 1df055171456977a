import { randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { newSigningSecret, parseSigningSecret } from '../../src/webhooks/signing-secret';

const withKey = (bytes: number) => `whsec_${Buffer.alloc(bytes, 0xfb).toString('base64')}`;

describe('A signing secret', () => {
  test('is made in the form of Standard Webhooks, never the same twice', () => {
    const secret = newSigningSecret();
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{32}$/);
    expect(newSigningSecret()).not.toBe(secret);
    expect(() => new Webhook(secret)).not.toThrow();
    const parsed = parseSigningSecret(secret);
    expect('key' in parsed && parsed.key.length).toBe(24);
  });

  test('of 24 to 64 bytes is taken, with padding or without', () => {
    for (const bytes of [24, 25, 26, 32, 64]) {
      const key = randomBytes(bytes);
      expect(parseSigningSecret(`whsec_${key.toString('base64')}`)).toEqual({ key });
      expect(parseSigningSecret(`whsec_${key.toString('base64').replace(/=+$/, '')}`)).toEqual({ key });
    }
  });

  test.each([
    ['zeros', Buffer.alloc(24)],
    ['one byte again and again', Buffer.alloc(64, 'x')],
    ['a word again and again', Buffer.from('secret'.repeat(4))],
    ['bytes that count up', Buffer.from(Array.from({ length: 32 }, (_, index) => index))],
    ['bytes that count down', Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index))],
  ])('that anybody may guess is refused: %s', (_, key) => {
    expect(parseSigningSecret(`whsec_${key.toString('base64')}`)).toEqual({
      problem: 'expected whsec_ and 24 to 64 bytes in base64 of random data; got bytes that repeat or count up',
    });
  });

  test.each([
    ['', 'the prefix is missing'],
    ['WHSEC_AAAA', 'the prefix is missing'],
    [withKey(32).slice(6), 'the prefix is missing'],
    ['whsec_', 'got 0 bytes'],
    [withKey(23), 'got 23 bytes'],
    [withKey(65), 'got 65 bytes'],
    [`${withKey(32)} `, 'not base64'],
    [`whsec_${'-_'.repeat(20)}`, 'not base64'], // what verifies it decodes plain base64
    [`whsec_${'A'.repeat(33)}`, 'not base64'],
  ])('in another form is refused without being repeated: %j', (text, problem) => {
    const parsed = parseSigningSecret(text);
    const message = 'problem' in parsed ? parsed.problem : '';
    expect(message).toMatch(/^expected whsec_ and 24 to 64 bytes in base64; /);
    expect(message).toContain(problem);
    if (text.length > 12) expect(message).not.toContain(text.slice(6, 20));
  });
});

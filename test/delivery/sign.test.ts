import { Webhook } from 'standardwebhooks';
import { sign } from '../../src/delivery/request/sign';
import { keyObject, newSigningSecret, parseSigningSecret, type SigningKey } from '../../src/webhooks/signing-secret';
import { SigningScheme } from '../../src/webhooks/webhook';

/** `expiresAt`: milliseconds since the epoch. */
function keyOf(secret: string, expiresAt: number | null = null): SigningKey {
  const parsed = parseSigningSecret(secret);
  if ('problem' in parsed) throw new Error(parsed.problem);
  return { scheme: SigningScheme.V1, key: keyObject(SigningScheme.V1, parsed.key), expiresAt };
}

describe('A signature', () => {
  test('of a secret that is replaced ends on time', () => {
    const [old, current] = [newSigningSecret(), newSigningSecret()];
    const content = { id: 'evt_1', timestamp: 1, body: Buffer.from('{}') };
    const keys = [keyOf(current), keyOf(old, 5_000)];
    expect(sign(content, keys, 4_999).split(' ')).toEqual([sign(content, [keyOf(current)], 0), sign(content, [keyOf(old)], 0)]);
    expect(sign(content, keys, 5_000)).toBe(sign(content, [keyOf(current)], 0));
  });

  test('is the one that the published example has', () => {
    // https://github.com/standard-webhooks/standard-webhooks, the vector that its libraries are tested with
    const content = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1_614_265_330, body: Buffer.from('{"test": 2432232314}') };
    expect(sign(content, [keyOf('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')], 0)).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  test('of each live secret is accepted by the standardwebhooks library, for these bytes, this id and this time only', () => {
    const [first, second, foreign] = [newSigningSecret(), newSigningSecret(), newSigningSecret()];
    const timestamp = Math.floor(Date.now() / 1_000);
    const body = Buffer.from('{"text":"ünï 🦄","list":[1,2]}');
    const signature = sign({ id: 'evt_1', timestamp, body }, [keyOf(first), keyOf(second)], 0);
    const headers = { 'webhook-id': 'evt_1', 'webhook-timestamp': String(timestamp), 'webhook-signature': signature };
    expect(signature).toMatch(/^v1,[\w+/]{43}= v1,[\w+/]{43}=$/);
    for (const secret of [first, second]) expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body.toString()));
    expect(() => new Webhook(foreign).verify(body, headers)).toThrow();
    expect(() => new Webhook(first).verify(`${body} `, headers)).toThrow();
    expect(() => new Webhook(first).verify(body, { ...headers, 'webhook-id': 'evt_2' })).toThrow();
    expect(() => new Webhook(first).verify(body, { ...headers, 'webhook-timestamp': String(timestamp + 1) })).toThrow();
  });
});

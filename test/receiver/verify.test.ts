import { Webhook } from 'standardwebhooks';
import { sign } from '../../src/delivery/request/sign';
import { verify, verifySignature, WebhookVerificationError } from '../../src/receiver';
import {
  keyObject,
  newPrivateKey,
  newSigningSecret,
  parseSigningSecret,
  publicKeyOf,
  type SigningKey,
} from '../../src/webhooks/signing-secret';
import { SigningScheme } from '../../src/webhooks/webhook';

const ID = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
const BODY = '{"test": 2432232314}';
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

function shared(secret: string): SigningKey {
  const parsed = parseSigningSecret(secret);
  if ('problem' in parsed) throw new Error(parsed.problem);
  return { scheme: SigningScheme.V1, key: keyObject(SigningScheme.V1, parsed.key), expiresAt: null };
}

function edwards(privateKey: Buffer): SigningKey {
  return { scheme: SigningScheme.V1A, key: keyObject(SigningScheme.V1A, privateKey), expiresAt: null };
}

function signed(keys: readonly SigningKey[], { body = BODY, timestamp = Math.floor(Date.now() / 1_000) } = {}) {
  const signature = sign({ id: ID, timestamp, body: Buffer.from(body) }, keys, 0);
  return { 'webhook-id': ID, 'webhook-timestamp': String(timestamp), 'webhook-signature': signature };
}

/** The code of the error, or what came back. */
function outcome(step: () => unknown): unknown {
  try {
    return step();
  } catch (error) {
    expect(error).toBeInstanceOf(WebhookVerificationError);
    expect((error as Error).message).not.toContain('MfKQ9r8');
    return (error as WebhookVerificationError).code;
  }
}

describe('A webhook is verified', () => {
  test('as in the example that the libraries of Standard Webhooks are tested with', () => {
    // https://github.com/standard-webhooks/standard-webhooks
    const headers = {
      'webhook-id': ID,
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    };
    expect(verify(BODY, headers, { secrets: SECRET, now: 1_614_265_330_000 })).toEqual({ test: 2432232314 });
  });

  const now = Math.floor(Date.now() / 1_000);
  const good = signed([shared(SECRET)]);
  test.each<[what: string, headers: Record<string, string>, body: string, secret: string, code: string | null]>([
    ['as it was sent', good, BODY, SECRET, null],
    ['with a secret without its prefix', good, BODY, SECRET.slice('whsec_'.length), null],
    ['with headers in other letters', Object.fromEntries(Object.entries(good).map(([k, v]) => [k.toUpperCase(), v])), BODY, SECRET, null],
    ['299 seconds old', signed([shared(SECRET)], { timestamp: now - 290 }), BODY, SECRET, null],
    [
      'with an unknown signature before the right one',
      { ...good, 'webhook-signature': `v2,AAAA v1,AAAA ${good['webhook-signature']}` },
      BODY,
      SECRET,
      null,
    ],
    ['without an id', { ...good, 'webhook-id': '' }, BODY, SECRET, 'HEADER_MISSING'],
    ['without a time', { ...good, 'webhook-timestamp': '' }, BODY, SECRET, 'HEADER_MISSING'],
    ['without a signature', { ...good, 'webhook-signature': '' }, BODY, SECRET, 'HEADER_MISSING'],
    ['with a time in words', { ...good, 'webhook-timestamp': 'now' }, BODY, SECRET, 'HEADER_INVALID'],
    ['310 seconds old', signed([shared(SECRET)], { timestamp: now - 310 }), BODY, SECRET, 'TIMESTAMP_TOO_OLD'],
    ['320 seconds ahead', signed([shared(SECRET)], { timestamp: now + 320 }), BODY, SECRET, 'TIMESTAMP_TOO_NEW'],
    [
      'with another time',
      { ...good, 'webhook-timestamp': String(Number(good['webhook-timestamp']) - 1) },
      BODY,
      SECRET,
      'SIGNATURE_MISMATCH',
    ],
    ['with another id', { ...good, 'webhook-id': 'msg_2' }, BODY, SECRET, 'SIGNATURE_MISMATCH'],
    ['with another body', good, `${BODY} `, SECRET, 'SIGNATURE_MISMATCH'],
    ['with another secret', good, BODY, newSigningSecret(), 'SIGNATURE_MISMATCH'],
    ['with half a signature', { ...good, 'webhook-signature': good['webhook-signature'].slice(0, 20) }, BODY, SECRET, 'SIGNATURE_MISMATCH'],
    [
      'with another version',
      { ...good, 'webhook-signature': good['webhook-signature'].replace('v1,', 'v2,') },
      BODY,
      SECRET,
      'SIGNATURE_MISMATCH',
    ],
  ])('%s as the standardwebhooks library does it', (_what, headers, body, secret, code) => {
    const theirs = () =>
      new Webhook(secret).verify(body, Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v])));
    if (code === null) expect(theirs()).toEqual(JSON.parse(body));
    else expect(theirs).toThrow();
    expect(outcome(() => verify(body, headers, secret))).toEqual(code ?? JSON.parse(body));
    expect(outcome(() => verify(Buffer.from(body), new Headers(headers), { secrets: [secret] }))).toEqual(code ?? JSON.parse(body));
  });

  test('by the public key of ed25519', () => {
    const privateKey = newPrivateKey();
    const headers = signed([edwards(privateKey)]);
    expect(verify(BODY, headers, publicKeyOf(privateKey))).toEqual({ test: 2432232314 });
    expect(outcome(() => verify(BODY, headers, publicKeyOf(newPrivateKey())))).toBe('SIGNATURE_MISMATCH');
    expect(outcome(() => verify(`${BODY} `, headers, publicKeyOf(privateKey)))).toBe('SIGNATURE_MISMATCH');
    expect(() => verify(BODY, headers, SECRET)).toThrow('the secrets are for v1, the request is signed as "v1a"');
  });

  test('while one secret replaces another, and while one scheme replaces another', () => {
    const [old, current, privateKey] = [newSigningSecret(), newSigningSecret(), newPrivateKey()];
    const secrets = [old, current, publicKeyOf(privateKey)];
    for (const keys of [
      [shared(old)],
      [shared(current)],
      [shared(newSigningSecret()), edwards(privateKey)],
      [shared(current), shared(old)],
    ])
      expect(verify(BODY, signed(keys), { secrets })).toEqual({ test: 2432232314 });
    expect(outcome(() => verify(BODY, signed([shared(newSigningSecret())]), { secrets }))).toBe('SIGNATURE_MISMATCH');
  });

  test('and the signed id and time come back', () => {
    const headers = signed([shared(SECRET)], { timestamp: 1_614_265_330, body: 'no JSON' });
    expect(verifySignature('no JSON', headers, { secrets: SECRET, now: 1_614_265_331_000 })).toEqual({
      id: ID,
      timestamp: new Date('2021-02-25T15:02:10Z'),
    });
    expect(outcome(() => verify('no JSON', headers, { secrets: SECRET, now: 1_614_265_331_000 }))).toBe('BODY_INVALID');
  });

  test('within the tolerance that is asked for', () => {
    const headers = signed([shared(SECRET)], { timestamp: 1_614_265_330 });
    const at = (seconds: number, toleranceSeconds: number) =>
      outcome(() => verify(BODY, headers, { secrets: SECRET, toleranceSeconds, now: seconds * 1_000 }));
    expect(at(1_614_265_340, 10)).toEqual({ test: 2432232314 });
    expect(at(1_614_265_341, 10)).toBe('TIMESTAMP_TOO_OLD');
    expect(at(1_614_265_319, 10)).toBe('TIMESTAMP_TOO_NEW');
  });

  test.each([[[]], [''], [undefined], ['whsec_'], ['whsec_not base64!'], ['whpk_AAAA'], [[SECRET, '']]])(
    'by no secret such as %j, and that is said',
    (secrets) => {
      expect(outcome(() => verify(BODY, good, { secrets: secrets as string }))).toBe('SECRET_INVALID');
    },
  );
});

import { errorOf } from '../../src/delivery/completion/signature-hint';
import type { Exchange } from '../../src/delivery/transport/exchange';
import { documentAt } from '../../src/version';
import { ANSWERED_500, liveWebhook } from './parts';

const HINTED =
  /^the receiver answered \d{3}; this may mean that it could not verify the signature: see \S*schema\/webhook\.md#my-signature-does-not-verify$/;

const answered = (statusCode: number, responseBody = ''): Exchange => ({
  ...ANSWERED_500,
  statusCode,
  responseBody,
  error: `the receiver answered ${statusCode}`,
});

describe('The error of an attempt', () => {
  test.each([
    [401, ''],
    [401, '{"error":"Invalid signature"}'],
    [403, '<h1>Forbidden</h1><p>HMAC mismatch'],
    [400, 'Missing required header: webhook-id'],
    [400, 'Message timestamp too old'],
    [400, 'invalid timestamp'],
    [422, `${' '.repeat(4_000)}No matching signature found`],
  ])('hints at the signature where the answer is %i %j', (status, body) => {
    expect(errorOf(answered(status, body), liveWebhook())).toMatch(HINTED);
  });

  test.each([
    [403, ''],
    [400, '{"error":"field timestamp must be a date"}'],
    [400, 'designature'.slice(2, 8)],
    [422, '{"error":"no such customer"}'],
    [404, 'unknown signature'],
    [500, 'signature'],
    [400, `${' '.repeat(5_000)}signature`],
  ])('says nothing of it where it is %i %j', (status, body) => {
    expect(errorOf(answered(status, body), liveWebhook())).toBe(`the receiver answered ${status}`);
  });

  test('takes a bare 401 for the matter of the credential that the webhook sends, where it sends one', () => {
    const webhook = liveWebhook({ headers: [['Authorization', 'Bearer x']] });
    expect(errorOf(answered(401), webhook)).toBe('the receiver answered 401');
    expect(errorOf(answered(401, 'bad signature'), webhook)).toMatch(HINTED);
  });

  test('takes no longer for a long answer', () => {
    const body = 'old webhook timestamp stale '.repeat(2_340);
    expect(errorOf(answered(400, body), liveWebhook())).toMatch(HINTED);
    for (const text of ['old '.repeat(16_384), 'timestamp '.repeat(6_553), 'timestamp'.repeat(7_281)])
      expect(errorOf(answered(400, text), liveWebhook())).toBe('the receiver answered 400');
  });
});

test('A page of the documentation is in the repository that the package names, at the tag of its version', () => {
  const at = (repository?: string | { url: string }) =>
    documentAt('schema/webhook.md#verifying', { version: '1.2.3', ...(repository !== undefined && { repository }) });
  expect(at()).toBe('schema/webhook.md#verifying');
  expect(at('github:someone/livehook')).toBe('schema/webhook.md#verifying');
  const expected = 'https://github.com/someone/livehook/blob/v1.2.3/schema/webhook.md#verifying';
  expect(at('https://github.com/someone/livehook')).toBe(expected);
  expect(at({ url: 'git+https://github.com/someone/livehook.git' })).toBe(expected);
});

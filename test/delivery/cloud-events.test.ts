import { bodyKey, contentHeaders, derivedBody, isDerived } from '../../src/delivery/request/body';
import { Shaper } from '../../src/delivery/request/shaper';
import type { Exchange } from '../../src/delivery/transport/exchange';
import { Event } from '../../src/events/event';
import { judgeChallenge, judgeHandshake } from '../../src/probes/verifier';
import type { PayloadQuery } from '../../src/webhooks/payload-query';
import { SUCCESS } from './parts';

const event = Object.assign(new Event(), {
  id: 'evt_0123456789ab0000000001a00000',
  applicationId: 'app_0123456789ab',
  sequence: 42,
  type: 'order.created',
  payloadText: '{"b":1,"a":"é"}',
  occurredAt: new Date('2026-01-31T12:00:00.000Z'),
  createdAt: new Date('2026-01-31T12:00:01.000Z'),
  redactedAt: null,
});
const query: PayloadQuery = {
  key: 'abcdefghijklmnopqrstuv',
  types: null,
  condition: null,
  filter: null,
  problem: null,
  problems: [],
  run: async () => '{"event":1}',
};

async function made(format: 'STANDARD' | 'CLOUDEVENTS_STRUCTURED' | 'CLOUDEVENTS_BINARY', shaping: PayloadQuery | null) {
  const held = await new Shaper().bodyFor(event, null, shaping, format);
  if ('problem' in held) throw new Error(held.problem);
  const { body } = held;
  return { key: body.key, text: body.bytes.toString(), headers: contentHeaders(event, body.key) };
}

describe('A CloudEvents request', () => {
  test('in structured mode is one document with every attribute', async () => {
    const { key, text, headers } = await made('CLOUDEVENTS_STRUCTURED', null);
    expect(headers).toEqual([['content-type', 'application/cloudevents+json']]);
    expect(JSON.parse(text)).toEqual({
      specversion: '1.0',
      id: 'evt_0123456789ab0000000001a00000',
      source: '/applications/app_0123456789ab',
      type: 'order.created',
      time: '2026-01-31T12:00:00.000Z',
      datacontenttype: 'application/json',
      sequence: '0000000000000042',
      data: { b: 1, a: 'é' },
    });
    expect(text).toContain('"data":{"b":1,"a":"é"}}');
    expect(derivedBody(event, key).toString()).toBe(text);
  });

  test('in binary mode has its attributes in headers and the data as its body', async () => {
    const { key, text, headers } = await made('CLOUDEVENTS_BINARY', null);
    expect(text).toBe('{"b":1,"a":"é"}');
    expect(Object.fromEntries(headers)).toEqual({
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': 'evt_0123456789ab0000000001a00000',
      'ce-source': '/applications/app_0123456789ab',
      'ce-type': 'order.created',
      'ce-time': '2026-01-31T12:00:00.000Z',
      'ce-sequence': '0000000000000042',
    });
    expect(derivedBody(event, key).toString()).toBe(text);
  });

  test('carries what a payload query selects, under a key of its own', async () => {
    expect(JSON.parse((await made('CLOUDEVENTS_STRUCTURED', query)).text).data).toEqual({ event: 1 });
    expect((await made('CLOUDEVENTS_BINARY', query)).text).toBe('{"event":1}');
    expect((await made('STANDARD', query)).text).toContain('"data":{"event":1}}');
  });

  test('keys tell formats and queries apart, fit their column, and say what has to be stored', () => {
    const keys = (['STANDARD', 'CLOUDEVENTS_STRUCTURED', 'CLOUDEVENTS_BINARY'] as const).flatMap((format) => [
      bodyKey(format, null),
      bodyKey(format, query),
    ]);
    expect(new Set(keys).size).toBe(6);
    expect(keys.map(isDerived)).toEqual([true, false, true, false, true, false]);
    expect(keys.every((key) => key.length <= 48)).toBe(true);
  });
});

const answered = (part: Partial<Exchange>): Exchange => ({ ...SUCCESS, statusCode: 200, ...part });

describe('A verification', () => {
  test.each([['abc'], [' abc\n'], ['{"challenge":"abc"}'], ['{ "challenge": "abc", "more": 1 }'], ['"abc"']])(
    'takes %j as the challenge abc',
    (responseBody) => {
      expect(judgeChallenge(answered({ responseBody }), 'abc')).toEqual({ allowedRatePerMinute: null });
    },
  );

  test.each([[''], ['abcd'], ['{"challenge":"ab"}'], ['[]'], ['null'], ['<html>abc</html>']])(
    'refuses %j for the challenge abc',
    (responseBody) => {
      expect(judgeChallenge(answered({ responseBody }), 'abc')).toEqual({
        problem: expect.stringContaining('expected the target to send the challenge back'),
      });
    },
  );

  test('tells what came instead of an answer', () => {
    const exchange = answered({ outcome: 'HTTP_ERROR', statusCode: 404, error: 'the receiver answered 404' });
    const verdict = { problem: 'the target did not pass its verification: the receiver answered 404' };
    expect(judgeChallenge(exchange, 'abc')).toEqual(verdict);
    expect(judgeHandshake(exchange, 'hooks.example.com')).toEqual(verdict);
  });

  test.each([
    [{ 'webhook-allowed-origin': '*' }, { allowedRatePerMinute: null }],
    [{ 'webhook-allowed-origin': 'hooks.example.com', 'webhook-allowed-rate': '*' }, { allowedRatePerMinute: null }],
    [{ 'webhook-allowed-origin': 'Hooks.Example.com', 'webhook-allowed-rate': '120' }, { allowedRatePerMinute: 120 }],
    [{ allow: 'POST' }, { problem: expect.stringContaining('got "none"') }],
    [{ 'webhook-allowed-origin': 'example.com' }, { problem: expect.stringContaining('got "example.com"') }],
    [{ 'webhook-allowed-origin': '*', 'webhook-allowed-rate': '0' }, { problem: expect.stringContaining('WebHook-Allowed-Rate') }],
    [{ 'webhook-allowed-origin': '*', 'webhook-allowed-rate': 'fast' }, { problem: expect.stringContaining('WebHook-Allowed-Rate') }],
  ])('of CloudEvents judges %j', (headers, verdict) => {
    const responseHeaders = Object.entries(headers).filter((pair): pair is [string, string] => typeof pair[1] === 'string');
    expect(judgeHandshake(answered({ responseHeaders }), 'hooks.example.com')).toEqual(verdict);
  });
});

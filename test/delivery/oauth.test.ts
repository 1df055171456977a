import type { Exchange, OutgoingRequest } from '../../src/delivery/transport/exchange';
import { OAuthSender } from '../../src/delivery/transport/http/oauth';
import type { OAuthClient } from '../../src/webhooks/credentials';
import { FakeClock } from '../support/fake-clock';
import { SUCCESS } from './parts';

const CLIENT: OAuthClient = {
  id: 'whk_1/abc',
  tokenUrl: 'https://login.test/token',
  clientId: 'hub one',
  clientSecret: 'p:w+d',
  scope: 'hooks:write',
  audience: null,
};
const TARGET = 'https://hook.test/';

const exchange = (overrides: Partial<Exchange> = {}): Exchange => ({ ...SUCCESS, statusCode: 200, ...overrides });

const refused = (statusCode: number, responseBody = ''): Exchange =>
  exchange({ outcome: 'HTTP_ERROR', statusCode, error: `the receiver answered ${statusCode}`, responseBody });

const token = (text: string, more: object = { expires_in: 3600 }): Exchange =>
  exchange({ responseBody: JSON.stringify({ access_token: text, token_type: 'bearer', ...more }) });

/** A sender whose servers answer as told; by default tokens are numbered and the receiver takes every one. */
function rig() {
  const clock = new FakeClock();
  const asked: OutgoingRequest[] = [];
  const sent: OutgoingRequest[] = [];
  const answers = {
    token: (_request: OutgoingRequest): Exchange | Promise<Exchange> => token(`t${asked.length}`),
    target: (_request: OutgoingRequest): Exchange | Promise<Exchange> => exchange({ statusCode: 204 }),
  };
  const sender = new OAuthSender({
    clock,
    userAgent: 'Livehook/test',
    sender: {
      send: async (request) => {
        const isToken = request.url === CLIENT.tokenUrl;
        (isToken ? asked : sent).push(request);
        return isToken ? answers.token(request) : answers.target(request);
      },
    },
  });
  const send = (oauth: OAuthClient | null = CLIENT, timeoutMs = 10_000) =>
    sender.send({
      url: TARGET,
      headers: [['webhook-id', 'evt_1']],
      body: '{}',
      timeoutMs,
      credentials: { clientCertificate: null, oauth },
    });
  const tokens = () => sent.map(({ headers }) => headers.find(([name]) => name === 'authorization')?.[1]);
  return { clock, asked, sent, answers, send, tokens };
}

describe('A request with an OAuth client', () => {
  test('carries a token, which is asked for once and kept until shortly before it expires', async () => {
    const { clock, asked, send, tokens } = rig();
    for (let n = 0; n < 3; n++) expect(await send()).toMatchObject({ outcome: 'SUCCESS', statusCode: 204 });
    clock.advance(3_589_000);
    await send();
    expect(tokens()).toEqual(Array(4).fill('Bearer t1'));
    clock.advance(2_000);
    await send();
    expect(tokens().at(-1)).toBe('Bearer t2');
    expect(asked).toHaveLength(2);
  });

  test('asks as RFC 6749 says: form-encoded, the client in the header, its parts encoded', async () => {
    const { asked, send } = rig();
    await send({ ...CLIENT, audience: 'https://api.test' });
    expect(asked[0]).toMatchObject({
      url: CLIENT.tokenUrl,
      body: 'grant_type=client_credentials&scope=hooks%3Awrite&audience=https%3A%2F%2Fapi.test',
      headers: expect.arrayContaining([
        ['content-type', 'application/x-www-form-urlencoded'],
        ['authorization', `Basic ${Buffer.from('hub+one:p%3Aw%2Bd').toString('base64')}`],
      ]),
    });
  });

  test('without a client goes out as it is', async () => {
    const { asked, sent, send } = rig();
    await send(null);
    expect(asked).toEqual([]);
    expect(sent[0]?.headers).toEqual([['webhook-id', 'evt_1']]);
  });

  test('shares one request for a token with all that need it at once', async () => {
    const { asked, answers, send, tokens } = rig();
    let answer: (exchange: Exchange) => void = () => undefined;
    answers.token = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const all = Array.from({ length: 50 }, () => send());
    await new Promise(setImmediate);
    answer(token('shared'));
    await Promise.all(all);
    expect(asked).toHaveLength(1);
    expect(new Set(tokens())).toEqual(new Set(['Bearer shared']));
  });

  test('is sent again with a new token, once, when the receiver refuses one that was kept', async () => {
    const { asked, answers, send, tokens } = rig();
    await send();
    answers.target = ({ headers }) => (headers.at(-1)?.[1] === 'Bearer t1' ? refused(401) : exchange());
    expect(await send()).toMatchObject({ outcome: 'SUCCESS' });
    expect(tokens()).toEqual(['Bearer t1', 'Bearer t1', 'Bearer t2']);
    answers.target = () => refused(401);
    expect(await send()).toMatchObject({ outcome: 'HTTP_ERROR', statusCode: 401 });
    expect(tokens().slice(3)).toEqual(['Bearer t2', 'Bearer t3']);
    expect(asked).toHaveLength(3);
  });

  test('is not sent again when the receiver refuses a token that is new', async () => {
    const { asked, sent, answers, send } = rig();
    answers.target = () => refused(401);
    expect(await send()).toMatchObject({ outcome: 'HTTP_ERROR', statusCode: 401 });
    expect([asked.length, sent.length]).toEqual([1, 1]);
  });

  test.each<[string, Exchange, Partial<Exchange>]>([
    [
      'refuses the client',
      refused(401, '{"error":"invalid_client","error_description":"<secret>"}'),
      {
        outcome: 'HTTP_ERROR',
        error: 'no OAuth token from tokenUrl: the server answered 401 (invalid_client): check clientId, clientSecret and scope',
      },
    ],
    ['is gone', refused(410), { outcome: 'HTTP_ERROR', error: 'no OAuth token from tokenUrl: the server answered 410' }],
    [
      'cannot be reached',
      exchange({ outcome: 'CONNECT', statusCode: null, error: 'connection refused by login.test' }),
      { outcome: 'CONNECT', error: 'no OAuth token from tokenUrl: connection refused by login.test' },
    ],
    [
      'is not allowed',
      exchange({ outcome: 'BLOCKED_ADDRESS', statusCode: null, error: 'webhooks may not reach 10.0.0.1 (private)' }),
      { outcome: 'BLOCKED_ADDRESS' },
    ],
    [
      'answers no JSON',
      exchange({ responseBody: '<html>' }),
      { error: 'no OAuth token from tokenUrl: expected JSON with an access_token' },
    ],
    [
      'gives a token that is no header',
      token('a\r\nx-evil: 1'),
      { error: 'no OAuth token from tokenUrl: expected JSON with an access_token' },
    ],
    [
      'gives a token of another type',
      token('t', { token_type: 'mac' }),
      { error: 'no OAuth token from tokenUrl: expected a token_type of Bearer' },
    ],
  ])('fails where the token server %s, and nothing is sent', async (_, answer, expected) => {
    const { sent, answers, send } = rig();
    answers.token = () => answer;
    const { responseHeaders, responseBody, statusCode, ...ended } = await send();
    expect(ended).toMatchObject(expected);
    expect([responseHeaders, responseBody, statusCode, sent]).toEqual([[], null, null, []]);
    expect(JSON.stringify(ended)).not.toMatch(/<secret>|p:w\+d|p%3Aw/);
  });

  test('leaves a token server that failed alone for a second, however many ask', async () => {
    const { clock, asked, answers, send } = rig();
    answers.token = () => refused(500);
    for (let n = 0; n < 20; n++) await send();
    expect(asked).toHaveLength(1);
    clock.advance(1_001);
    answers.token = () => token('back');
    expect(await send()).toMatchObject({ outcome: 'SUCCESS' });
  });

  test('puts the secret into the body for servers that want it there, and remembers it', async () => {
    const { clock, asked, answers, send } = rig();
    const isInBody = (request: OutgoingRequest) => String(request.body).includes('client_secret=p%3Aw%2Bd');
    answers.token = (request) => (isInBody(request) ? token('t', { expires_in: 60 }) : refused(400, '{"error":"invalid_client"}'));
    expect(await send()).toMatchObject({ outcome: 'SUCCESS' });
    clock.advance(60_000);
    expect(await send()).toMatchObject({ outcome: 'SUCCESS' });
    expect(asked.map(isInBody)).toEqual([false, true, true]);
    expect(asked.map(({ headers }) => headers.some(([name]) => name === 'authorization'))).toEqual([true, false, false]);
  });

  test('ends at its deadline while the token server is silent', async () => {
    const { clock, sent, answers, send } = rig();
    answers.token = () => new Promise(() => undefined);
    const ended = send(CLIENT, 5_000);
    clock.advance(5_000);
    expect(await ended).toMatchObject({
      outcome: 'TIMEOUT',
      error: 'no complete response within 5000 ms: still waiting for an OAuth token from tokenUrl',
      durationMs: 5_000,
    });
    expect(sent).toEqual([]);
  });

  test('keeps the tokens of different webhooks, and of changed clients, apart', async () => {
    const { send, tokens } = rig();
    await send();
    await send({ ...CLIENT, id: 'whk_2/abc' });
    await send({ ...CLIENT, id: 'whk_1/def' });
    expect(tokens()).toEqual(['Bearer t1', 'Bearer t2', 'Bearer t3']);
  });
});

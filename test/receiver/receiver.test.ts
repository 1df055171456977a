import {
  type Answer,
  type DuplicateStore,
  MemoryDuplicates,
  type ReceiverOptions,
  RetryLater,
  type WebhookEvent,
  WebhookReceiver,
} from '../../src/receiver';
import { newSigningSecret } from '../../src/webhooks/signing-secret';
import { signatureHeaders } from './signed-request';

const SECRET = newSigningSecret();
const EVENT = { id: 'evt_1', type: 'order.created', timestamp: '2026-01-31T12:00:00.000Z', sequence: 42, data: { no: 'A-1' } };

interface Shop {
  readonly 'order.created': { readonly no: string };
  readonly 'order.paid': { readonly cents: number };
}

/** A request as the hub makes it. */
function request(value: unknown = EVENT, { id = 'evt_1', secret = SECRET, headers = {} as Record<string, string> } = {}) {
  const body = typeof value === 'string' ? value : JSON.stringify(value);
  return {
    method: 'POST',
    body,
    headers: { ...signatureHeaders(secret, body, id), 'livehook-delivery-id': 'dlv_1', 'livehook-attempt': '3', ...headers },
  };
}

function receiver(options: Partial<ReceiverOptions<Shop>> = {}): WebhookReceiver<Shop> {
  return new WebhookReceiver<Shop>({ secrets: SECRET, handlers: {}, ...options });
}

const codeOf = ({ body }: Answer) => (JSON.parse(body) as { code: string }).code;

describe('A receiver of webhooks', () => {
  test('hands each event to the handler of its type, and the rest to that of *', async () => {
    const seen: unknown[] = [];
    const hub = receiver({
      handlers: {
        'order.created': (event, delivery) => seen.push(event.data.no, event, delivery.deliveryId, delivery.attempt),
        '*': ({ type }) => seen.push(type),
      },
    });
    expect(await hub.receive(request())).toEqual({ status: 204, headers: {}, body: '' });
    expect(seen).toEqual(['A-1', EVENT, 'dlv_1', 3]);
    expect((await hub.receive(request({ ...EVENT, type: 'toString' }))).status).toBe(204);
    expect(seen.at(-1)).toBe('toString');
  });

  test('accepts what nobody handles', async () => {
    expect((await receiver().receive(request())).status).toBe(204);
  });

  test.each<[what: string, event: object, headers: Record<string, string>]>([
    [
      'structured',
      {
        specversion: '1.0',
        id: 'evt_1',
        source: '/a',
        type: 'order.created',
        time: EVENT.timestamp,
        sequence: '0000000000000042',
        data: EVENT.data,
      },
      {},
    ],
    [
      'binary',
      EVENT.data,
      { 'ce-specversion': '1.0', 'ce-type': 'order.created', 'ce-time': EVENT.timestamp, 'ce-sequence': '0000000000000042' },
    ],
  ])('knows an event in a CloudEvent in %s mode', async (_mode, body, headers) => {
    const seen: WebhookEvent[] = [];
    const answer = await receiver({ handlers: { 'order.created': (event) => seen.push(event) } }).receive(request(body, { headers }));
    expect({ answer: answer.status, seen }).toEqual({ answer: 204, seen: [EVENT] });
  });

  test('refuses what is not genuine, not a webhook, or no event, and says why', async () => {
    const handled = jest.fn();
    const hub = receiver({ handlers: { '*': handled }, maxBodyBytes: 1_000 });
    const foreign = await hub.receive(request(EVENT, { secret: newSigningSecret() }));
    expect([foreign.status, codeOf(foreign)]).toEqual([401, 'SIGNATURE_MISMATCH']);
    const unsigned = await hub.receive({ method: 'POST', headers: {}, body: '{}' });
    expect([unsigned.status, codeOf(unsigned)]).toEqual([401, 'HEADER_MISSING']);
    for (const body of ['no JSON', '[]', '7', 'null', '{"type":1}', '{"type":"a.b"}']) {
      const answer = await hub.receive(request(body));
      expect([answer.status, codeOf(answer)]).toEqual([400, 'BODY_INVALID']);
    }
    const get = await hub.receive({ method: 'GET', headers: {}, body: '' });
    expect([get.status, get.headers.allow]).toEqual([405, 'POST, OPTIONS']);
    expect((await hub.receive(request({ ...EVENT, data: 'x'.repeat(1_000) }))).status).toBe(413);
    expect((await receiver({ secrets: 'whsec_?' }).receive(request())).status).toBe(500);
    expect(handled).not.toHaveBeenCalled();
  });

  test('answers the challenges that ask whether it wants webhooks', async () => {
    const asked = { type: 'livehook.webhook.verification', challenge: 'abc' };
    const answer = await receiver().receive(request(asked));
    expect([answer.status, JSON.parse(answer.body)]).toEqual([200, { challenge: 'abc' }]);
    expect((await receiver().receive(request(asked, { secret: newSigningSecret() }))).status).toBe(401);
    const handshake = await receiver().receive({ method: 'OPTIONS', headers: { 'WebHook-Request-Origin': 'hub.example' }, body: '' });
    expect([handshake.status, handshake.headers['webhook-allowed-origin']]).toEqual([204, 'hub.example']);
  });

  test('that fails has the hub try again, and tells its owner why, not the hub', async () => {
    const failures: unknown[] = [];
    const hub = receiver({
      handlers: {
        'order.created': () => {
          throw new Error('the database is away: mysql://root@…');
        },
        'order.paid': () => Promise.reject(new RetryLater(29.5)),
      },
      onError: (error, { id }) => failures.push(String(error), id),
    });
    const failed = await hub.receive(request());
    expect([failed.status, failed.body]).toEqual([500, '{"error":"The handler of this event has failed.","code":"HANDLER_FAILED"}']);
    expect(failures).toEqual(['Error: the database is away: mysql://root@…', 'evt_1']);
    const later = await hub.receive(request({ ...EVENT, type: 'order.paid' }));
    expect([later.status, later.headers['retry-after']]).toEqual([503, '30']);
    expect(failures).toHaveLength(2);
  });
});

describe('A repeated webhook', () => {
  test('is accepted and not handled again', async () => {
    const seen: string[] = [];
    const hub = receiver({ duplicates: new MemoryDuplicates(), handlers: { '*': ({ id }) => seen.push(id) } });
    for (const id of ['evt_1', 'evt_1', 'evt_2', 'evt_1']) expect((await hub.receive(request({ ...EVENT, id }, { id }))).status).toBe(204);
    expect(seen).toEqual(['evt_1', 'evt_2']);
  });

  test('is handled when the handler had failed, also when the store can’t forget', async () => {
    let attempts = 0;
    const handlers = { '*': () => (++attempts === 1 ? Promise.reject(new Error('not yet')) : undefined) };
    const hub = receiver({ duplicates: new MemoryDuplicates(), handlers });
    expect([(await hub.receive(request())).status, (await hub.receive(request())).status, attempts]).toEqual([500, 204, 2]);
    const stuck: DuplicateStore = { add: () => true, delete: () => Promise.reject(new Error('away')) };
    attempts = 0;
    expect((await receiver({ duplicates: stuck, handlers }).receive(request())).status).toBe(500);
  });

  test('that comes while the first is handled gets the answer of the first', async () => {
    const { promise, reject } = withReject();
    let handled = 0;
    const hub = receiver({
      duplicates: new MemoryDuplicates(),
      handlers: {
        '*': () => {
          handled++;
          return promise;
        },
      },
    });
    const both = [hub.receive(request()), hub.receive(request())];
    reject(new Error('in the end it failed'));
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([500, 500]);
    expect(handled).toBe(1);
  });

  test('is not accepted when it is not known whether it is one', async () => {
    const away: DuplicateStore = { add: () => Promise.reject(new Error('the store is away')) };
    const failures: string[] = [];
    const handled = jest.fn();
    const hub = receiver({ duplicates: away, handlers: { '*': handled }, onError: (error) => failures.push(String(error)) });
    expect((await hub.receive(request())).status).toBe(500);
    expect(failures).toEqual(['Error: the store is away']);
    expect(handled).not.toHaveBeenCalled();
  });
});

describe('The duplicates in memory', () => {
  test('are forgotten when their time is over, and the oldest when there are too many', () => {
    let now = 0;
    const store = new MemoryDuplicates({ maxIds: 2, now: () => now });
    expect([store.add('a', 10), store.add('a', 10)]).toEqual([true, false]);
    now = 9_999;
    expect(store.add('a', 10)).toBe(false);
    now = 10_000;
    expect([store.add('a', 10), store.add('b', 10), store.add('c', 10)]).toEqual([true, true, true]);
    expect([store.add('b', 10), store.add('c', 10), store.add('a', 10)]).toEqual([false, false, true]);
  });
});

function withReject() {
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<void>((_resolve, rejectIt) => {
    reject = rejectIt;
  });
  return { promise, reject };
}

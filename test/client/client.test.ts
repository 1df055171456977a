import { type ClientOptions, type CursorStore, LivehookClient, type LivehookError, type NewEvent } from '../../src/client';
import { describeEachDatabase } from '../support/databases';
import { until } from '../support/until';
import { type TestHub, withHub } from '../support/with-hub';

const BACKOFF = { firstMs: 5, mostMs: 50 };

type Fault = 'lose answer' | 'refuse' | 'cut stream';

/** The way to a hub, which can be led elsewhere, and fail. */
class Way {
  /** Of the hub; null: nobody is there. */
  target: string | null;
  /** What happens to the next requests. */
  readonly faults: Fault[] = [];
  readonly requests: string[] = [];
  readonly #streams = new Set<AbortController>();

  constructor(target: string) {
    this.target = target;
  }

  readonly fetch: typeof fetch = async (url, init) => {
    const fault = this.faults.shift();
    this.requests.push(String(init?.body));
    if (this.target === null || fault === 'refuse') throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
    const cut = new AbortController();
    const isStream = new Headers(init?.headers).get('accept') === 'text/event-stream';
    if (isStream) this.#streams.add(cut);
    const signal = AbortSignal.any([cut.signal, ...(init?.signal ? [init.signal] : [])]);
    const response = await fetch(String(url).replace('http://hub.test', this.target), { ...init, signal });
    if (fault === 'lose answer') {
      await response.text();
      throw new TypeError('fetch failed', { cause: new Error('read ECONNRESET') });
    }
    return response;
  };

  cut(): void {
    for (const stream of this.#streams) stream.abort(new TypeError('terminated', { cause: new Error('other side closed') }));
    this.#streams.clear();
  }
}

function origin(url: string): string {
  return new URL(url).origin;
}

async function open(hub: TestHub, more: Partial<ClientOptions> = {}) {
  const application = await hub.application();
  const way = new Way(origin(hub.url));
  const options: ClientOptions = { url: 'http://hub.test', key: application.key, fetch: way.fetch, backoff: BACKOFF, ...more };
  return { application, way, options, client: new LivehookClient(options) };
}

const event = (n: number): NewEvent => ({ type: 'order.created', payload: { n } });
const codeOf = (error: unknown) => (error as LivehookError).code;

async function stored(hub: TestHub): Promise<number[]> {
  const { applications } = await hub.admin.query<{ applications: { nodes: { id: string }[] } }>('{ applications { nodes { id } } }');
  const [{ id } = { id: '' }] = applications.nodes;
  const { events } = await hub.admin.query<{ events: { nodes: { payload: { n: number } }[] } }>(
    'query ($id: ID!) { events(applicationId: $id, first: 100) { nodes { payload } } }',
    { id },
  );
  return events.nodes.map(({ payload }) => payload.n).reverse();
}

describeEachDatabase('A client', (makeDatabase) => {
  test('publishes each event once, whatever happens on the way, and tells what the hub refuses', () =>
    withHub(makeDatabase, async (hub) => {
      const { way, client } = await open(hub);
      way.faults.push('refuse', 'lose answer', 'lose answer');
      const first = await client.publish(event(1));
      expect(first).toEqual({ id: expect.stringMatching(/^evt_/), sequence: 1, deduplicated: true });
      expect(await client.publish({ ...event(2), idempotencyKey: 'mine' })).toMatchObject({ sequence: 2, deduplicated: false });
      expect(await client.publish({ ...event(2), idempotencyKey: 'mine' })).toMatchObject({ sequence: 2, deduplicated: true });
      const mixed = await Promise.allSettled([
        client.publish(event(3)),
        client.publish({ type: 'no type', payload: 1 }),
        client.publish(event(4)),
      ]);
      expect(mixed.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      const { reason } = mixed[1] as PromiseRejectedResult;
      expect([codeOf(reason), (reason as LivehookError).userErrors[0]?.code]).toEqual(['USER_ERROR', 'INVALID']);
      await expect(client.publish({ type: 'a.b' })).rejects.toThrow('payload: expected a value that JSON has');
      expect(await stored(hub)).toEqual([1, 2, 3, 4]);
      await client.close();
      await expect(client.publish(event(5))).rejects.toMatchObject({ code: 'CLOSED' });
    }));

  test('publishes what there is in batches, in its order, and says of each how it went', () =>
    withHub(makeDatabase, async (hub) => {
      const { way, client, application } = await open(hub, { publishing: { maxBatch: 400, maxRequests: 1 } });
      async function* source(): AsyncGenerator<NewEvent> {
        for (let n = 1; n <= 2_000; n++) yield n === 1_500 ? { type: 'no type', payload: n } : event(n);
      }
      const sequences: (number | undefined)[] = [];
      for await (const { published } of client.publishAll(source())) sequences.push(published?.sequence);
      expect(sequences).toEqual([
        ...Array.from({ length: 1_499 }, (_, index) => index + 1),
        undefined,
        ...Array.from({ length: 500 }, (_, index) => index + 1_500),
      ]);
      expect(way.requests.length).toBeLessThan(50);
      const { events } = await application.client.query<{ events: { nodes: { sequence: number; payload: unknown }[] } }>(
        '{ events(first: 1) { nodes { sequence payload } } }',
      );
      expect(events.nodes).toEqual([{ sequence: 1_999, payload: { n: 2_000 } }]);
      await client.close();
    }));

  test('passes payloads on to the digit', () =>
    withHub(makeDatabase, async (hub) => {
      const { client } = await open(hub);
      const payloadText = '{"n":1.0,"big":12345678901234567890,"2":"b","1":"a"}';
      const events = client.events();
      const next = events.next();
      await client.publish({ type: 'a.b', payloadText });
      const { value } = await next;
      expect(value).toMatchObject({ type: 'a.b', sequence: 1, payloadText, payload: JSON.parse(payloadText) });
      await events.return();
      await client.close();
    }));

  test('gets each event once and in order, over cut streams and another instance, from the moment it asked', () =>
    withHub(makeDatabase, async (hub) => {
      const { way, client, options } = await open(hub);
      await client.publish(event(0));
      const saved: string[] = [];
      const cursors: CursorStore = { load: () => saved.at(-1), save: (cursor) => void saved.push(cursor) };
      const seen: number[] = [];
      const reader = new LivehookClient<{ 'order.created': { n: number } }>(options);
      const asked = way.requests.length;
      way.faults.push('refuse'); // the first question for the end of the log
      const reading = (async () => {
        for await (const { payload } of reader.events({ types: ['order.*'], cursors })) seen.push(payload.n);
      })();
      // It has asked where the log ends, and its stream is refused.
      await until(() => way.requests.length >= asked + 2, { description: 'the reader knows where the log ends' });
      for (let n = 1; n <= 60; n++) {
        await client.publish(event(n));
        if (n === 10 || n === 11) way.cut();
        if (n === 30) {
          way.target = null;
          way.cut();
          // A SQLite file belongs to one hub at a time.
          if (hub.databaseUrl.startsWith('sqlite:')) await hub.hub.stop();
          way.target = origin((await hub.startAnother()).url);
          await hub.hub.stop();
        }
      }
      await client.publish({ type: 'invoice.paid', payload: { n: -1 } });
      await until(() => seen.at(-1) === 60, { description: 'the last event' });
      await reader.close();
      await reading;
      expect(seen).toEqual(Array.from({ length: seen.length }, (_, index) => 60 - seen.length + 1 + index));
      expect(seen[0]).toBe(1);
      expect(saved.length).toBe(60);

      // What is not known to be handled to its end comes again.
      for (let reads = 0; reads < 2; reads++) {
        const second = new LivehookClient(options);
        for await (const { payload } of second.events({ cursors })) {
          expect(payload).toEqual({ n: -1 });
          break;
        }
        await second.close();
      }
      await client.close();
    }));

  test('gets what happens to each delivery once and in order, over cut streams', () =>
    withHub(makeDatabase, async (hub) => {
      const { way, client, application } = await open(hub);
      await application.webhook('/hooks');
      const seen: string[] = [];
      const reading = (async () => {
        for await (const { updates } of client.deliveryUpdates({ filter: { statuses: ['SUCCEEDED'] }, maxBatch: 3 }))
          for (const { delivery, status, attempt } of updates) seen.push(`${delivery.sequence} ${status} ${attempt?.statusCode}`);
      })();
      await until(() => way.requests.some((body) => body.includes('subscription DeliveryUpdates')), { description: 'the stream' });
      for (let n = 1; n <= 20; n++) {
        await client.publish(event(n));
        if (n % 5 === 0) way.cut();
      }
      await until(() => seen.length >= 20, { description: 'every delivery' });
      expect([...seen].sort()).toEqual(Array.from({ length: 20 }, (_, index) => `${index + 1} SUCCEEDED 204`).sort());
      await client.close();
      await reading;
    }));

  test('ends where trying again cures nothing', () =>
    withHub(makeDatabase, async (hub) => {
      const { way, options, client } = await open(hub);
      const foreign = new LivehookClient({ ...options, key: 'whatever-0123456789-0123456789' });
      await expect(foreign.publish(event(1))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
      await expect(foreign.events().next()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
      const requests = way.requests.length;
      expect(requests).toBe(2);
      await expect(client.events({ after: 'nonsense' }).next()).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
      await expect(client.events({ filter: { payload: { $what: 1 } }, after: 'x' }).next()).rejects.toMatchObject({
        code: 'BAD_USER_INPUT',
      });
      way.target = null;
      const impatient = new LivehookClient({ ...options, maxTries: 3 });
      await expect(impatient.publish(event(1))).rejects.toThrow("The hub can't be reached: connect ECONNREFUSED");
      expect(way.requests.length).toBe(requests + 2 + 3);
      await Promise.all([foreign.close(), client.close(), impatient.close()]);
    }));
});

describe('A client on its own', () => {
  const answering = (...answers: { status?: number; body: unknown; headers?: Record<string, string> }[]) => {
    const bodies: string[] = [];
    const send: typeof fetch = async (_url, init) => {
      bodies.push(String(init?.body));
      const { status = 200, body, headers = {} } = answers[Math.min(bodies.length, answers.length) - 1] ?? { body: null };
      return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status, headers });
    };
    return { bodies, send };
  };
  const done = (count: number) => ({
    body: {
      data: {
        eventsPublish: {
          results: Array.from({ length: count }, (_, index) => ({
            event: { id: `evt_${index}`, sequence: index },
            deduplicated: false,
            userErrors: [],
          })),
          userErrors: [],
        },
      },
    },
  });

  test('sends one idempotency key however often it tries, and obeys a rate limit', async () => {
    const limited = { status: 429, body: { errors: [{ message: 'slowly', extensions: { code: 'RATE_LIMITED', retryAfter: 0 } }] } };
    const { bodies, send } = answering(
      limited,
      { status: 502, body: '<html>' },
      { status: 503, body: '', headers: { 'retry-after': '0' } },
      done(1),
    );
    const client = new LivehookClient({ url: 'https://hub.example/', key: 'k', fetch: send, backoff: { firstMs: 1, mostMs: 1 } });
    expect(await client.publish(event(1))).toMatchObject({ id: 'evt_0' });
    expect(bodies.length).toBe(4);
    expect(new Set(bodies).size).toBe(1);
    expect(bodies[0]).toMatch(/"idempotencyKey":"[0-9a-f-]{36}"/);
  });

  test('tries again what of a batch the hub could not store, and no more than that', async () => {
    const partly = done(2).body;
    const [, second] = partly.data.eventsPublish.results;
    Object.assign(second as object, { event: null, userErrors: [{ field: null, message: 'away', code: 'UNAVAILABLE' }] });
    const { bodies, send } = answering({ body: partly }, done(1));
    const client = new LivehookClient({ url: 'https://hub.example', key: 'k', fetch: send, backoff: { firstMs: 1, mostMs: 1 } });
    await Promise.all([client.publish(event(1)), client.publish(event(2))]);
    const keysIn = (body = '') => [...body.matchAll(/"idempotencyKey":"([^"]+)"/g)].map(([, key]) => key);
    expect(keysIn(bodies[1])).toEqual(keysIn(bodies[0]).slice(1));
  });

  test('bounds what waits, and publishes it before it closes', async () => {
    let open: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const sizes: number[] = [];
    const send: typeof fetch = async (_url, init) => {
      await gate;
      const count = [...String(init?.body).matchAll(/"type"/g)].length;
      sizes.push(count);
      return new Response(JSON.stringify(done(count).body));
    };
    const client = new LivehookClient({
      url: 'https://hub.example',
      key: 'k',
      fetch: send,
      publishing: { maxQueuedBytes: 1_000, maxBatch: 3 },
    });
    const waiting: Promise<unknown>[] = [];
    for (;;) {
      const next = client.publish(event(waiting.length));
      const isFull = await Promise.race([
        next.then(
          () => false,
          () => true,
        ),
        new Promise<boolean>((resolve) => setImmediate(resolve, false)),
      ]);
      if (isFull) {
        await expect(next).rejects.toMatchObject({ code: 'QUEUE_FULL' });
        break;
      }
      waiting.push(next);
    }
    expect(waiting.length).toBeGreaterThan(5);
    expect(waiting.length).toBeLessThan(20);
    const closing = client.close();
    open();
    await closing;
    await Promise.all(waiting);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(waiting.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(3);
  });

  test.each(['hub.example', 'ftp://hub.example', ''])('refuses %j as the URL of a hub', (url) => {
    expect(() => new LivehookClient({ url, key: 'k' })).toThrow('Expected the hub');
  });

  test('says when what answers is no hub', async () => {
    const { send } = answering({ body: '<html>hello</html>', headers: { 'content-type': 'text/html' } });
    const client = new LivehookClient({ url: 'https://hub.example', key: 'k', fetch: send });
    await expect(client.publish(event(1))).rejects.toThrow('is the URL that of one?');
    await expect(client.events({ after: 'x' }).next()).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  });
});

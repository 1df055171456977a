import { type AddressInfo, createServer } from 'node:net';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { readTraceContext, traceContextOf } from '../../src/trace-context';
import { Collector } from '../support/collector';
import { createSqliteDatabase, describeEachDatabase } from '../support/databases';
import { type ReceivedRequest } from '../support/receiver';
import { until } from '../support/until';
import { type TestApplication, type TestHub, withHub } from '../support/with-hub';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const PARENT = `00-${TRACE}-${SPAN}-01`;

const PUBLISH = 'mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { id } userErrors { message } } }';
const PUBLISH_MANY =
  'mutation ($input: EventsPublishInput!) { eventsPublish(input: $input) { results { event { id } } userErrors { message } } }';

interface Publish {
  readonly query?: string;
  readonly input?: Record<string, unknown>;
  readonly headers?: Record<string, string>;
}

async function publish({ url }: TestHub, { key }: TestApplication, { query = PUBLISH, input, headers = {} }: Publish): Promise<void> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...headers },
    body: JSON.stringify({ query, variables: { input: input ?? { type: 'order.created', payload: { no: 1 } } } }),
  });
  expect(await response.json()).toEqual({ data: expect.anything() });
}

function traceOf({ headers }: ReceivedRequest) {
  const context = traceContextOf(headers.traceparent, headers.tracestate);
  return context === null ? null : readTraceContext(context);
}

describeEachDatabase("A publisher's trace", (makeDatabase) => {
  test('reaches the receiver in every attempt, each a step of its own, and the signature still holds', async () => {
    await withHub(makeDatabase, async (hub) => {
      const { receiver } = hub;
      const shop = await hub.application();
      await shop.webhook('/orders');
      receiver.answer('/orders', (_request, nth) => ({ status: nth === 1 ? 503 : 204 }));
      const state = "rojo='1\\'';--"; // all of it may be in one
      await publish(hub, shop, { headers: { traceparent: PARENT, tracestate: state } });

      const requests = await receiver.waitFor(2, '/orders');
      const traces = requests.map(traceOf);
      for (const trace of traces) expect(trace).toMatchObject({ traceId: TRACE, isSampled: true, state });
      expect(new Set([SPAN, ...traces.map((trace) => trace?.spanId)]).size).toBe(3);
      expect(requests.map(({ verified }) => verified)).toEqual([true, true]);
    });
  });

  test('goes on after a restart', async () => {
    await withHub(makeDatabase, async (hub) => {
      const { receiver } = hub;
      const shop = await hub.application();
      const { id } = await shop.webhook('/orders');
      await shop.client.mutate('mutation ($id: ID!) { webhookPause(id: $id) { userErrors { message } } }', { id });
      await publish(hub, shop, { headers: { traceparent: PARENT } });
      await hub.hub.stop();

      const { url } = await hub.startAnother();
      await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${shop.key}` },
        body: JSON.stringify({ query: 'mutation ($id: ID!) { webhookResume(id: $id) { userErrors { message } } }', variables: { id } }),
      });
      const [request] = await receiver.waitFor(1, '/orders');
      expect(request && traceOf(request)).toMatchObject({ traceId: TRACE });
    });
  });

  test('is that of the request for all its events', async () => {
    await withHub(makeDatabase, async (hub) => {
      const shop = await hub.application();
      await shop.webhook('/orders');
      const events = [1, 2, 3].map((no) => ({ type: 'order.created', payload: { no } }));
      await publish(hub, shop, { query: PUBLISH_MANY, input: { events }, headers: { traceparent: PARENT } });
      const requests = await hub.receiver.waitFor(3, '/orders');
      expect(requests.map((request) => traceOf(request)?.traceId)).toEqual([TRACE, TRACE, TRACE]);
      expect(new Set(requests.map((request) => traceOf(request)?.spanId)).size).toBe(3);
    });
  });
});

describe('Without a collector', () => {
  test('a publish in no trace, or with a header that is wrong, starts none', async () => {
    await withHub(createSqliteDatabase, async (hub) => {
      const shop = await hub.application();
      await shop.webhook('/orders');
      await publish(hub, shop, {});
      await publish(hub, shop, { headers: { traceparent: `00-${TRACE}-${SPAN}`, tracestate: 'rojo=1' } });
      const requests = await hub.receiver.waitFor(2, '/orders');
      for (const { headers } of requests) {
        expect(headers).not.toHaveProperty('traceparent');
        expect(headers).not.toHaveProperty('tracestate');
      }
    });
  });

  test('a publish over a WebSocket brings its trace in the extensions of the operation', async () => {
    await withHub(createSqliteDatabase, async (hub) => {
      const shop = await hub.application();
      await shop.webhook('/orders');
      const socket = createClient({
        url: `${hub.url.replace(/^http/, 'ws')}/graphql`,
        webSocketImpl: WebSocket,
        connectionParams: { authorization: `Bearer ${shop.key}` },
      });
      const variables = { input: { type: 'order.created', payload: {} } };
      const extensions = { traceparent: PARENT, tracestate: 'rojo=1' };
      await new Promise((next, error) => socket.subscribe({ query: PUBLISH, variables, extensions }, { next, error, complete() {} }));
      const [request] = await hub.receiver.waitFor(1, '/orders');
      expect(request && traceOf(request)).toMatchObject({ traceId: TRACE, state: 'rojo=1' });
      await socket.dispose();
    });
  });
});

describe('Spans', () => {
  test('arrive at the collector, from the publisher over the commit to each attempt', async () => {
    const collector = await Collector.listen();
    const environment = {
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-api-key=a%20key',
      OTEL_SERVICE_NAME: 'hooks',
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=other,deployment.environment.name=a%20test%2C%20of%20course',
    };
    try {
      await withHub(
        createSqliteDatabase,
        async (hub) => {
          const shop = await hub.application();
          const webhook = await shop.webhook('/orders', {
            url: `${hub.receiver.url('/orders')}?token=s3cret&v=1`,
          });
          hub.receiver.answer('/orders', (_request, nth) => ({ status: nth === 1 ? 503 : 204 }));
          await publish(hub, shop, { headers: { traceparent: PARENT } });
          const requests = await hub.receiver.waitFor(2, '/orders');
          await until(() => collector.named('deliver').length === 2, { description: 'the spans of both attempts' });

          const [publishing] = collector.named('publish');
          expect(publishing).toMatchObject({
            traceId: TRACE,
            parentSpanId: SPAN,
            kind: 2,
            attributes: { 'livehook.application.id': shop.id, 'livehook.events': 1 },
            resource: {
              'service.name': 'hooks',
              'service.version': expect.stringMatching(/^\d/),
              'deployment.environment.name': 'a test, of course',
            },
          });
          expect(collector.named('commit')).toEqual([expect.objectContaining({ traceId: TRACE, parentSpanId: publishing?.spanId })]);
          const delivering = collector.named('deliver');
          expect(delivering.map(({ spanId }) => spanId)).toEqual(requests.map((request) => traceOf(request)?.spanId));
          expect(delivering).toEqual([
            expect.objectContaining({
              traceId: TRACE,
              parentSpanId: publishing?.spanId,
              kind: 3,
              status: { code: 2, message: 'HTTP_ERROR' },
            }),
            expect.objectContaining({ traceId: TRACE, parentSpanId: publishing?.spanId, kind: 3, status: { code: 0 } }),
          ]);
          const { host, hostname, port } = new URL(hub.receiver.url('/'));
          const target = {
            'server.address': hostname,
            'server.port': Number(port),
            'url.full': `http://${host}/orders?token=REDACTED&v=REDACTED`,
          };
          expect(JSON.stringify(collector.spans)).not.toMatch(/s3cret/);
          expect(delivering.map(({ attributes }) => attributes)).toEqual([
            expect.objectContaining({
              'livehook.outcome': 'HTTP_ERROR',
              'http.response.status_code': 503,
              'livehook.attempt': 1,
              'livehook.webhook.id': webhook.id,
              'error.type': '503',
              ...target,
            }),
            expect.objectContaining({ 'livehook.outcome': 'SUCCESS', 'http.response.status_code': 204, 'livehook.attempt': 2, ...target }),
          ]);
          const [commit] = collector.named('commit');
          for (const { startTimeUnixNano } of delivering)
            expect(BigInt(startTimeUnixNano) >= BigInt(commit?.endTimeUnixNano ?? 0)).toBe(true);
          for (const { startTimeUnixNano, endTimeUnixNano } of collector.spans)
            expect(BigInt(endTimeUnixNano) >= BigInt(startTimeUnixNano)).toBe(true);
          expect(collector.requests[0]).toMatchObject({ path: '/v1/traces', headers: { 'x-api-key': 'a key' } });
        },
        { environment },
      );
    } finally {
      await collector.close();
    }
  });

  test('of a publish that came in no trace begin one, which the receiver is told', async () => {
    const collector = await Collector.listen();
    try {
      await withHub(
        createSqliteDatabase,
        async (hub) => {
          const shop = await hub.application();
          await shop.webhook('/orders');
          await shop.publish();
          const [request] = await hub.receiver.waitFor(1, '/orders');
          await hub.hub.stop(); // hands over what there is, without waiting for the next export
          const [publishing, ...others] = collector.named('publish');
          expect(others).toEqual([]);
          expect(publishing?.parentSpanId ?? '').toBe('');
          expect(request && traceOf(request)).toMatchObject({ traceId: publishing?.traceId, isSampled: true });
          expect(collector.named('deliver')).toEqual([expect.objectContaining({ parentSpanId: publishing?.spanId })]);
        },
        { environment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } },
      );
    } finally {
      await collector.close();
    }
  });

  test('are not made of traces that their publisher does not record, or that chance leaves out', async () => {
    const collector = await Collector.listen();
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_TRACES_SAMPLER_ARG: '0' };
    try {
      await withHub(
        createSqliteDatabase,
        async (hub) => {
          const shop = await hub.application();
          await shop.webhook('/orders');
          await publish(hub, shop, { headers: { traceparent: `00-${TRACE}-${SPAN}-00` } });
          await publish(hub, shop, {});
          await publish(hub, shop, { headers: { traceparent: PARENT } });
          const requests = await hub.receiver.waitFor(3, '/orders');
          expect(requests.map((request) => traceOf(request)?.isSampled).sort()).toEqual([false, false, true]);
          await hub.hub.stop();
          expect(new Set(collector.spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
          expect(collector.spans.map(({ name }) => name).sort()).toEqual(['commit', 'deliver', 'publish']);
        },
        { environment },
      );
    } finally {
      await collector.close();
    }
  });

  test('that no collector takes harm nothing, and do not hold up a hub that stops', async () => {
    const lines: { facts: object; event: string }[] = [];
    const note = (facts: object, event: string) => void lines.push({ facts, event });
    const log = { debug() {}, info: note, warn: note, error: note };
    // One that accepts and never answers: the worst of them.
    const silent = createServer((socket) => socket.on('error', () => {}));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    for (const endpoint of ['http://127.0.0.1:1', `http://127.0.0.1:${port}`])
      await withHub(
        createSqliteDatabase,
        async (hub) => {
          const shop = await hub.application();
          await shop.webhook('/orders');
          await publish(hub, shop, { headers: { traceparent: PARENT } });
          const [request] = await hub.receiver.waitFor(1, '/orders');
          expect(request && traceOf(request)).toMatchObject({ traceId: TRACE });
          await hub.hub.stop(); // or the test runs out of time
        },
        { environment: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, log },
      );
    silent.close();
    expect(lines.filter(({ event }) => event === 'hub.stopped')).toHaveLength(2);
  }, 20_000);
});

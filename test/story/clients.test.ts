import { transformSync } from '@swc/core';
import { WebSocket } from 'ws';
import type { Hub } from '../../src/hub';
import { example } from '../support/documentation';
import { createMysqlDatabase } from '../support/mariadb';
import { freePort } from '../support/server-process';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';

interface Seen {
  readonly sequence: number;
  readonly type: string;
}

interface Following {
  readonly url: string;
  readonly key: string;
  readonly after: string;
  handle(event: Seen): void;
  failed(problem: unknown): void;
  /** Relay's alone. */
  readonly subscription: unknown;
  readonly fetchQuery: unknown;
}

interface Module {
  follow(following: Following): unknown;
}

/** A module of the page, as its reader would have it in a file of that name. */
function load(file: string): Module {
  const { code } = transformSync(example('schema/clients.md', file), {
    swcrc: false,
    module: { type: 'commonjs' },
    jsc: { target: 'es2022' },
  });
  const exported = {};
  const find = (name: string) => (name.startsWith('./') ? load(name.slice(2)) : require(name));
  new Function('require', 'exports', code)(find, exported);
  return exported as Module;
}

/** What Relay's compiler makes of the page's subscription. */
function relaySubscription() {
  const selections = [
    {
      kind: 'LinkedField',
      name: 'event',
      alias: null,
      storageKey: null,
      plural: false,
      concreteType: 'Event',
      args: [{ kind: 'Variable', name: 'after', variableName: 'after' }],
      selections: ['sequence', 'type', 'payload', 'cursor', 'id'].map((name) => ({
        kind: 'ScalarField',
        name,
        alias: null,
        args: null,
        storageKey: null,
      })),
    },
  ];
  const argumentDefinitions = [{ kind: 'LocalArgument', name: 'after', defaultValue: null }];
  const text = 'subscription EventsSubscription($after: String) { event(after: $after) { sequence type payload cursor id } }';
  return {
    kind: 'Request',
    fragment: {
      kind: 'Fragment',
      name: 'EventsSubscription',
      type: 'Subscription',
      metadata: null,
      abstractKey: null,
      argumentDefinitions,
      selections,
    },
    operation: { kind: 'Operation', name: 'EventsSubscription', argumentDefinitions, selections },
    params: { id: null, cacheID: 'events', name: 'EventsSubscription', operationKind: 'subscription', metadata: {}, text },
  };
}

const CLIENTS = ['graphql-ws.mjs', 'apollo.mjs', 'urql.mjs', 'relay.mjs', 'graphql-sse.mjs'] as const;

describe("The page's clients", () => {
  const hadWebSocket = globalThis.WebSocket;
  const refused: Record<string, number> = {};

  /** As browsers have it; counts the connections that were refused. */
  class CountingWebSocket extends WebSocket {
    constructor(address: string, protocols: string) {
      super(address, protocols);
      this.on('error', () => {
        refused[address] = (refused[address] ?? 0) + 1;
      });
    }
  }

  beforeAll(() => Object.assign(globalThis, { WebSocket: CountingWebSocket }));
  afterAll(() => Object.assign(globalThis, { WebSocket: hadWebSocket }));

  test('see every event exactly once through a restart of the hub, which refuses them for a while', async () => {
    await withHub(createMysqlDatabase, async ({ application, startAnother }) => {
      const shop = await application();
      const { viewer } = await shop.client.query<{ viewer: { application: { eventCursor: string } } }>(
        '{ viewer { application { eventCursor } } }',
      );
      const port = await freePort();
      const start = () => startAnother({ environment: { PORT: String(port) } });
      const publish = async (...types: string[]) => {
        for (const type of types) await shop.publish({ type }); // through the instance that goes on
      };
      const seen = new Map<string, Seen[]>(CLIENTS.map((name) => [name, []]));
      const failures: unknown[] = [];
      const areAll = (count: number) => [...seen.values()].every(({ length }) => length >= count);
      const follow = (name: (typeof CLIENTS)[number]) =>
        load(name).follow({
          url: `ws://127.0.0.1:${port}/graphql?client=${name}`,
          key: shop.key,
          after: viewer.application.eventCursor,
          handle: (event) => seen.get(name)?.push(event),
          failed: (problem) => failures.push([name, problem]),
          subscription: relaySubscription(),
          fetchQuery: () => {
            throw new Error('expected no query');
          },
        });
      const running = (hub: Hub) => until(() => hub.live.followers === CLIENTS.length, { description: 'all of them to subscribe' });

      const first = await start();
      const streams = CLIENTS.map(follow);
      try {
        await publish('a.one');
        await until(() => areAll(1), { description: 'all of them to see the first event' });
        await first.hub.stop();
        await publish('a.two', 'a.three');
        const sockets = CLIENTS.filter((name) => name !== 'graphql-sse.mjs');
        await until(() => Object.keys(refused).length === sockets.length, { description: 'each socket to be refused once' });
        const second = await start();
        await running(second.hub);
        await publish('a.four');
        await until(() => areAll(4), { description: 'all of them to see the last event' });
        const expected = ['a.one', 'a.two', 'a.three', 'a.four'].map((type, index) => [index + 1, type]);
        expect(Object.fromEntries([...seen].map(([name, events]) => [name, events.map(({ sequence, type }) => [sequence, type])]))).toEqual(
          Object.fromEntries(CLIENTS.map((name) => [name, expected])),
        );
        expect(failures).toEqual([]);
      } finally {
        for (const stream of streams) leave(stream); // or they would try for ever
      }
    });
  });
});

/** Each library has its own way to unsubscribe. */
function leave(stream: unknown): void {
  if (typeof stream === 'function') stream();
  else if (typeof (stream as { unsubscribe?: unknown }).unsubscribe === 'function') (stream as { unsubscribe(): void }).unsubscribe();
  else (stream as { dispose(): void }).dispose();
}

import { Script } from 'node:vm';
import { gunzipSync } from 'node:zlib';
import { parse } from 'graphql';
import { GRAPHIQL_CSP, graphiqlPage, graphiqlScript, graphiqlStyle } from '../../src/api/graphiql';
import { staticFile, staticPaths } from '../../src/api/static-files';

const CONTENT_TYPES: Record<string, string> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml; charset=utf-8',
};

function file(path: string) {
  const found = staticFile(path);
  if (!found) throw new Error(`expected a file at ${path}, got none`);
  return found;
}

function referencesOf(html: string): string[] {
  return [...html.matchAll(/<(?:script|link|img)\b[^>]*\b(?:src|href)="([^"]*)"/g)].map((match) => match[1] ?? '');
}

describe('the GraphiQL page', () => {
  const page = graphiqlPage();

  test('is titled Livehook GraphiQL', () => {
    expect(page).toContain('<title>Livehook GraphiQL</title>');
  });

  test('loads only files that the hub serves itself', () => {
    const references = referencesOf(page);
    expect(references).toContain('assets/graphiql.min.js');
    for (const reference of references) expect(staticPaths).toContain(`/${reference}`);
  });

  test('names no host but reserved examples', () => {
    for (const text of [page, graphiqlScript, graphiqlStyle]) {
      const hosts = [...text.matchAll(/(?:https?:|wss?:)?\/\/([a-z0-9][a-z0-9.-]*)/gi)].map((match) => match[1] ?? '');
      expect(hosts.filter((host) => !host.endsWith('.example') && host.includes('.'))).toEqual([]);
    }
  });

  test('has no inline script or handler, so that its policy needs no exception for scripts', () => {
    expect(page).not.toMatch(/<script(?![^>]*\bsrc=)/);
    expect(page).not.toMatch(/\son[a-z]+=/i);
    expect(GRAPHIQL_CSP).toContain("script-src 'self';");
    expect(GRAPHIQL_CSP).not.toContain('unsafe-eval');
  });

  test('may connect to its own host only', () => {
    expect(GRAPHIQL_CSP).toContain("default-src 'none'");
    expect(GRAPHIQL_CSP).toContain("connect-src 'self'");
    expect(GRAPHIQL_CSP).not.toMatch(/https?:|wss?:|\*/);
  });

  test('has a script that a browser can parse', () => {
    expect(() => new Script(graphiqlScript)).not.toThrow();
  });

  test('opens with a query that runs, and examples that parse once their # is taken away', () => {
    const literal = /defaultQuery: (".*"),\n/.exec(graphiqlScript)?.[1] ?? '';
    const query: string = JSON.parse(literal);
    expect(() => parse(query)).not.toThrow();
    const examples = query.slice(query.indexOf('one after the other:'), query.indexOf('query WhoAmI')).split('\n').slice(1);
    expect(parse(examples.map((line) => line.replace(/^# ?/, '')).join('\n')).definitions).toHaveLength(4);
  });
});

describe('a subscription in GraphiQL', () => {
  interface Socket {
    readonly payload: { query: string; variables?: Record<string, unknown> };
    readonly options: {
      shouldRetry(): boolean;
      on: { connected(socket: unknown, acknowledgement: unknown, isAgain: boolean): void };
    };
    readonly sink: { next(result: unknown): void; error(reason: unknown): void };
    isDisposed: boolean;
  }

  /** Runs the page's script, and the query as GraphiQL would. */
  function run(query: string, variables?: Record<string, unknown>) {
    const sockets: Socket[] = [];
    const shown: unknown[] = [];
    const errors: unknown[] = [];
    let fetcher: ((params: object, options: object) => { subscribe(observer: object): { unsubscribe(): void } }) | undefined;
    const browser = {
      location: { protocol: 'https:', host: 'hooks.example', pathname: '/hub/graphql' },
      sessionStorage: { getItem: () => null },
      document: { getElementById: () => null },
      ReactDOM: { createRoot: () => ({ render() {} }) },
      React: {
        createElement: (_type: unknown, properties: { fetcher?: typeof fetcher } | null) => {
          fetcher = properties?.fetcher ?? fetcher;
        },
      },
      GraphiQL: {},
      graphqlWs: {
        createClient: (options: Socket['options'] & { url: string }) => ({
          subscribe: (payload: Socket['payload'], sink: Socket['sink']) => {
            expect(options.url).toBe('wss://hooks.example/hub/graphql');
            sockets.push({ payload, options, sink, isDisposed: false });
          },
          dispose: () => {
            for (const socket of sockets) socket.isDisposed = true;
          },
        }),
      },
      setTimeout,
      clearTimeout,
    };
    new Script(graphiqlScript).runInNewContext(browser);
    const options = { headers: { authorization: 'Bearer x' }, documentAST: parse(query) };
    const { unsubscribe } = fetcher?.({ query, variables }, options).subscribe({
      next: (result: unknown) => shown.push(result),
      error: (reason: unknown) => errors.push(reason),
      complete: () => {},
    }) ?? { unsubscribe: () => {} };
    const [socket] = sockets;
    if (!socket) throw new Error('expected the script to subscribe');
    return { socket, shown, errors, unsubscribe };
  }

  test.each<[query: string, begun: string, resumed: string]>([
    [
      'subscription { event { sequence } }',
      'subscription { event { sequence  livehookCursor: cursor } }',
      'subscription { event(after: "c1") { sequence  livehookCursor: cursor } }',
    ],
    [
      'subscription A @a { # c\n  event (types: ["a.*"]) @b { type # }\n } }',
      'subscription A @a { # c\n  event (types: ["a.*"]) @b { type # }\n  livehookCursor: cursor } }',
      'subscription A @a { # c\n  event (after: "c1", types: ["a.*"]) @b { type # }\n  livehookCursor: cursor } }',
    ],
    [
      'subscription { event: deliveryUpdates(maxBatch: 3, after: "c0") { cursor } }',
      'subscription { event: deliveryUpdates(maxBatch: 3, after: "c0") { cursor  livehookCursor: cursor } }',
      'subscription { event: deliveryUpdates(maxBatch: 3, after: "c1") { cursor  livehookCursor: cursor } }',
    ],
  ])('of %s resumes where it broke, and shows what was asked for', (query, begun, resumed) => {
    const { socket, shown } = run(query);
    expect(socket.payload.query).toBe(begun);
    socket.options.on.connected({}, {}, false);
    socket.sink.next({ data: { event: { sequence: 1, livehookCursor: 'c1' } } });
    expect(shown).toEqual([{ data: { event: { sequence: 1 } } }]);
    expect(socket.payload.query).toBe(resumed);
    expect(() => parse(resumed)).not.toThrow();
    socket.options.on.connected({}, {}, true);
    socket.sink.next({ data: { event: { sequence: 2, livehookCursor: 'c2' } } });
    expect(shown[1]).toEqual({ data: { event: { sequence: 2 } } });
    expect(socket.payload.query).toBe(resumed.replace('"c1"', '"c2"'));
  });

  test('with a variable as its cursor resumes by that, and leaves the rest of them', () => {
    const query = 'subscription ($from: String, $types: [String!]) { mine: event(after: $from, types: $types) { id } }';
    const { socket, shown } = run(query, { types: ['a'] });
    socket.options.on.connected({}, {}, false);
    socket.sink.next({ data: { mine: { id: '1', livehookCursor: 'c1' } } });
    expect(socket.payload).toMatchObject({
      query: query.replace('{ id }', '{ id  livehookCursor: cursor }'),
      variables: { types: ['a'], from: 'c1' },
    });
    expect(shown).toEqual([{ data: { mine: { id: '1' } } }]);
  });

  test.each(['subscription { retryJob(id: "x") { done } }', 'subscription { ...Events } fragment Events on Subscription { event { id } }'])(
    'that has no cursor, %s, is sent again as it was',
    (query) => {
      const { socket, shown } = run(query);
      socket.options.on.connected({}, {}, false);
      socket.sink.next({ data: { retryJob: { done: 1 } } });
      socket.options.on.connected({}, {}, true);
      socket.sink.next({ data: { retryJob: { done: 2 } } });
      expect(socket.payload.query).toBe(query);
      expect(shown).toEqual([{ data: { retryJob: { done: 1 } } }, { data: { retryJob: { done: 2 } } }]);
    },
  );

  test('says so when it broke before there was a cursor', () => {
    const { socket, shown } = run('subscription { event { sequence } }');
    socket.options.on.connected({}, {}, false);
    socket.options.on.connected({}, {}, true);
    for (const sequence of [5, 6]) socket.sink.next({ data: { event: { sequence, livehookCursor: 'c' } } });
    expect(shown).toEqual([
      {
        data: { event: { sequence: 5 } },
        extensions: { livehook: 'The connection broke before the first result: what happened until it was back is not shown.' },
      },
      { data: { event: { sequence: 6 } } },
    ]);
  });

  test.each([
    ['subscription { event(after: "c0") { id } }', {}, false],
    ['subscription { event(after: null) { id } }', {}, true],
    ['subscription ($after: String) { event(after: $after) { id } }', { after: 'c0' }, false],
    ['subscription ($after: String) { event(after: $after) { id } }', {}, true],
  ])('of %s with %j may have missed something then: %s', (query, variables, mayHaveMissed) => {
    const { socket, shown } = run(query, variables);
    for (const isAgain of [false, true]) socket.options.on.connected({}, {}, isAgain);
    socket.sink.next({ data: { event: { id: '1', livehookCursor: 'c' } } });
    expect('extensions' in (shown[0] as object)).toBe(mayHaveMissed);
  });

  test('goes on trying once it was connected, and says at once that a hub cannot be reached that never was', () => {
    const { socket, errors, unsubscribe } = run('subscription { event { sequence } }');
    expect(socket.options.shouldRetry()).toBe(false);
    socket.options.on.connected({}, {}, false);
    expect(socket.options.shouldRetry()).toBe(true);
    socket.sink.error({ code: 4401, reason: 'The key has ended' });
    expect(errors).toEqual([[{ message: 'The WebSocket closed: 4401 The key has ended' }]]);
    unsubscribe();
    expect(socket.isDisposed).toBe(true);
  });
});

describe('the table of static files', () => {
  test.each(staticPaths)('holds %s with its content type, an etag and the same bytes compressed', (path) => {
    const { body, contentType, etag, gzip } = file(path);
    expect(body.length).toBeGreaterThan(0);
    expect(contentType).toBe(CONTENT_TYPES[path.slice(path.lastIndexOf('.') + 1)]);
    expect(etag).toMatch(/^W\/"[\w-]{22}"$/);
    if (gzip) expect(gunzipSync(gzip).equals(body)).toBe(true);
  });

  test('gives every file an etag of its own', () => {
    expect(new Set(staticPaths.map((path) => file(path).etag)).size).toBe(staticPaths.length);
  });

  test('compresses what is large', () => {
    const { body, gzip } = file('/assets/graphiql.min.js');
    expect(gzip?.length).toBeLessThan(body.length / 2);
  });

  test('reads a file once', () => {
    expect(staticFile('/assets/graphql-ws.min.js')).toBe(staticFile('/assets/graphql-ws.min.js'));
  });

  test('holds scripts that a browser can parse', () => {
    for (const path of staticPaths.filter((name) => name.endsWith('.js'))) {
      expect(() => new Script(file(path).body.toString())).not.toThrow();
    }
  });

  test.each(['/', '/assets', '/assets/', '/assets/../package.json', '/assets/graphiql.min.js/', '/assets/%2e%2e/x', '__proto__'])(
    'knows nothing at %s',
    (path) => {
      expect(staticFile(path)).toBeUndefined();
    },
  );
});

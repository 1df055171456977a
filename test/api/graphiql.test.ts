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

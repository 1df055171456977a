import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { deliveryListScript } from '../dashboard/delivery-list';
import { dashboardScript } from '../dashboard/script';
import { dashboardIcon, dashboardStyle } from '../dashboard/style';
import { graphiqlScript, graphiqlStyle } from './graphiql';

export interface StaticFile {
  readonly body: Buffer;
  readonly contentType: string;
  /** Weak, because the plain and the gzipped form share it (RFC 9110, 8.8.1). */
  readonly etag: string;
  /** Absent where compressing does not pay. */
  readonly gzip?: Buffer;
}

/** Below this a compressed file still fills one network packet. */
const WORTH_COMPRESSING_BYTES = 1024;

const SCRIPT = 'text/javascript; charset=utf-8';
const STYLE = 'text/css; charset=utf-8';
const ICON = 'image/svg+xml; charset=utf-8';

type Source = readonly [contentType: string, read: () => Buffer];

/** Everything that is served, by exact path: what is not listed here cannot be reached, whatever the path says. */
const sources: ReadonlyMap<string, Source> = new Map([
  ['/assets/graphiql.min.js', fromPackage(SCRIPT, 'graphiql', 'graphiql.min.js')],
  ['/assets/graphiql.min.css', fromPackage(STYLE, 'graphiql', 'graphiql.min.css')],
  ['/assets/react.production.min.js', fromPackage(SCRIPT, 'react', 'umd/react.production.min.js')],
  ['/assets/react-dom.production.min.js', fromPackage(SCRIPT, 'react-dom', 'umd/react-dom.production.min.js')],
  ['/assets/graphql-ws.min.js', fromPackage(SCRIPT, 'graphql-ws', 'umd/graphql-ws.min.js')],
  ['/assets/livehook-graphiql.js', fromText(SCRIPT, graphiqlScript)],
  ['/assets/livehook-graphiql.css', fromText(STYLE, graphiqlStyle)],
  ['/assets/dashboard.js', fromText(SCRIPT, dashboardScript)],
  ['/assets/delivery-list.js', fromText(SCRIPT, deliveryListScript)],
  ['/assets/dashboard.css', fromText(STYLE, dashboardStyle)],
  ['/assets/livehook.svg', fromText(ICON, dashboardIcon)],
]);

const loaded = new Map<string, StaticFile>();

export const staticPaths: readonly string[] = [...sources.keys()];

/**
 * The file for an exact URL path, or undefined. Read and compressed at its first use (at most 30 ms, once),
 * so that commands and tests which show no page do not pay for it.
 */
export function staticFile(path: string): StaticFile | undefined {
  const known = loaded.get(path);
  if (known) return known;
  const source = sources.get(path);
  if (!source) return undefined;
  const file = load(source);
  loaded.set(path, file);
  return file;
}

function load([contentType, read]: Source): StaticFile {
  const body = read();
  const gzip = body.length < WORTH_COMPRESSING_BYTES ? undefined : gzipSync(body);
  return Object.freeze({ body, contentType, etag: etagOf(body), gzip });
}

function etagOf(body: Buffer): string {
  return `W/"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
}

/** The `exports` of these packages hide the browser builds; all of them export their package.json. */
function fromPackage(contentType: string, name: string, file: string): Source {
  return [contentType, () => readFileSync(join(dirname(require.resolve(`${name}/package.json`)), file))];
}

function fromText(contentType: string, text: string): Source {
  return [contentType, () => Buffer.from(text)];
}

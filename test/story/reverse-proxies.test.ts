import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { Authority, type Certificate } from '../support/certificates';
import { createSqliteDatabase } from '../support/databases';
import { findBinary, freePort, GuardedProcess } from '../support/server-process';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';

const PAGE = readFileSync(join(__dirname, '../../src/api/README.md'), 'utf8');
const NAME = 'hooks.example.com';

/** The configuration that follows `<!-- proxy: name -->` on the page. */
function configurationOf(name: string): string {
  const [, configuration] = new RegExp(`<!-- proxy: ${name} -->\\s+\x60{3}\\w+\\n([^]*?)\x60{3}`).exec(PAGE) ?? [];
  if (configuration === undefined) throw new Error(`src/api/README.md has no configuration of ${name}`);
  return configuration;
}

interface Places {
  readonly folder: string;
  readonly port: number;
  readonly hubPort: string;
  readonly certificate: Certificate;
}

interface Proxy {
  /** Under which it serves the hub. */
  readonly path: string;
  readonly command: (folder: string) => readonly string[];
  /** As the page has it. */
  readonly configuration: () => string;
  /** What is beside the page's text in a file of its own. */
  readonly file: (configuration: string, places: Places) => string;
}

const nginx = {
  command: (folder: string) => [
    findBinary(['nginx'], 'nginx'),
    '-p',
    folder,
    '-c',
    join(folder, 'proxy.conf'),
    '-g',
    'daemon off; master_process off;',
  ],
  configuration: () => configurationOf('nginx'),
  file: (configuration: string, { folder }: Places) => {
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
    return `${process.getuid?.() === 0 ? 'user root; ' : ''}pid ${folder}/nginx.pid; error_log stderr; events {} http { access_log off; ${paths}\n${configuration}}\n`;
  },
};

/** The page says what comes in the place of `location /`. */
function nginxUnderPath(): string {
  const whole = configurationOf('nginx');
  const configuration = whole.replace(/ {4}location \/ \{[^}]*\}\n/, () => configurationOf('nginx-path'));
  if (configuration === whole) throw new Error("expected nginx's configuration to have a `location /`");
  return configuration;
}

const PROXIES: Readonly<Record<string, Proxy>> = {
  nginx: { path: '', ...nginx },
  'nginx under a path': { path: '/hub', ...nginx, configuration: nginxUnderPath },
  haproxy: {
    path: '',
    command: (folder) => [findBinary(['haproxy'], 'haproxy'), '-db', '-f', join(folder, 'proxy.conf')],
    configuration: () => configurationOf('haproxy'),
    file: (configuration) => configuration,
  },
  caddy: {
    path: '',
    command: (folder) => [findBinary(['caddy'], 'caddy'), 'run', '--adapter', 'caddyfile', '--config', join(folder, 'proxy.conf')],
    configuration: () => configurationOf('caddy'),
    file: (configuration, { folder }) =>
      `{\n  admin off\n  auto_https disable_redirects\n  default_bind 127.0.0.1\n  storage file_system ${folder}\n}\n${configuration}`,
  },
};

/** The page's configuration, with the ports and paths of this test. */
function localised(configuration: string, { port, hubPort, certificate }: Places): string {
  return configuration
    .replaceAll('/etc/ssl/hooks.pem', certificate.certificateFile)
    .replaceAll('/etc/ssl/hooks.key', certificate.keyFile)
    .replaceAll(/:400[01]\b/g, `:${hubPort}`)
    .replace('listen 443', `listen 127.0.0.1:${port}`)
    .replace('bind :443', `bind 127.0.0.1:${port}`)
    .replace(`https://${NAME} {`, `https://${NAME}:${port} {`);
}

/** Asks the proxy as a client that resolves the name to this machine. */
function ask(port: number, ca: string, path: string, { body, headers = {} }: { body?: string; headers?: Record<string, string> } = {}) {
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; body: string }>((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      path,
      ca,
      servername: NAME,
      method: body === undefined ? 'GET' : 'POST',
      headers: { host: NAME, 'content-type': 'application/json', ...headers },
    };
    const request = httpsRequest(options, (response) => {
      text(response).then((answer) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: answer }), reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

const PUBLISH = 'mutation { eventPublish(input: { type: "order.created", payload: { no: 1 } }) { event { sequence } } }';
const EVENTS = 'subscription { event { sequence } }';

describe('Behind a reverse proxy, configured as the page says', () => {
  let authority: Authority;
  let certificate: Certificate;

  beforeAll(async () => {
    authority = await Authority.make();
    certificate = await authority.issue({ names: [NAME] });
    // HAProxy finds the key beside the certificate.
    await writeFile(`${certificate.certificateFile}.key`, certificate.key);
  });
  afterAll(() => authority.remove());

  test.each(Object.entries(PROXIES))(
    '%s passes everything on that the hub speaks',
    async (name, { path, command, configuration, file }) => {
      await withHub(createSqliteDatabase, async ({ url, application }) => {
        const shop = await application();
        const ca = await authority.certificate();
        const folder = await mkdtemp(join(tmpdir(), 'livehook-proxy-'));
        const places = { folder, port: await freePort(), hubPort: new URL(url).port, certificate };
        await writeFile(join(folder, 'proxy.conf'), file(localised(configuration(), places), places));
        const proxy = await GuardedProcess.start(command(folder), folder);
        try {
          const authorization = `Bearer ${shop.key}`;
          await until(async () => (await ask(places.port, ca, `${path}/healthz`)).status === 200, { description: `${name} to serve` });
          expect((await ask(places.port, ca, `${path}/metrics`)).status).toBe(404);

          for (const page of ['/', '/graphql']) {
            const { status, body } = await ask(places.port, ca, `${path}${page}`, { headers: { accept: 'text/html' } });
            expect([page, status]).toEqual([page, 200]);
            const assets = [...body.matchAll(/(?:src|href)="([^"#]*\.[a-z]+)"/g)].map((match) => match[1] ?? '');
            expect(assets.length).toBeGreaterThan(3);
            for (const asset of assets) {
              const { pathname } = new URL(asset, `https://${NAME}${path}${page}`);
              expect([asset, (await ask(places.port, ca, pathname)).status]).toEqual([asset, 200]);
            }
          }

          const webSocket = createClient({
            url: `wss://127.0.0.1:${places.port}${path}/graphql`,
            webSocketImpl: class extends WebSocket {
              constructor(address: string, protocols: string) {
                super(address, protocols, { ca, servername: NAME, origin: `https://${NAME}`, headers: { host: NAME } } as object); // TLS options pass through
              }
            },
            connectionParams: { authorization },
            retryAttempts: 0,
          });
          const live = webSocket.iterate({ query: EVENTS });
          const first = live.next();
          const streamed = new Promise<string>((resolve, reject) => {
            const options = { host: '127.0.0.1', port: places.port, ca, servername: NAME, method: 'POST', path: `${path}/graphql` };
            const headers = { host: NAME, authorization, accept: 'text/event-stream', 'content-type': 'application/json' };
            const request = httpsRequest({ ...options, headers }, (response) => {
              let sent = '';
              response.on('data', (chunk) => {
                sent += String(chunk);
                if (/"sequence":\d+/.test(sent)) {
                  resolve(sent);
                  request.destroy();
                }
              });
            });
            request.on('error', reject);
            request.end(JSON.stringify({ query: EVENTS }));
          });

          // Subscribing takes a moment on either transport: publishing goes on until both have seen something.
          let isOver = false;
          const publishing = (async () => {
            while (!isOver) {
              const answer = await ask(places.port, ca, `${path}/graphql`, {
                body: JSON.stringify({ query: PUBLISH }),
                headers: { authorization },
              });
              expect(JSON.parse(answer.body)).toMatchObject({ data: { eventPublish: { event: { sequence: expect.any(Number) } } } });
            }
          })();
          expect(await first).toMatchObject({ done: false, value: { data: { event: { sequence: expect.any(Number) } } } });
          expect(await streamed).toMatch(/^event: next$/m);
          isOver = true;
          await publishing;
          await live.return?.(undefined);
          await webSocket.dispose();

          const large = JSON.stringify({ query: '{ viewer { admin } }', variables: { filler: 'x'.repeat(15 * 1024 * 1024) } });
          const answer = await ask(places.port, ca, `${path}/graphql`, { body: large, headers: { authorization } });
          expect([answer.status, JSON.parse(answer.body)]).toEqual([200, { data: { viewer: { admin: false } } }]);
        } finally {
          await proxy.end('SIGKILL');
          await rm(folder, { recursive: true, force: true });
        }
      });
    },
  );
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, describeConfig, readConfig, SETTINGS, settingLines } from '../src/config';
import { PortRanges } from '../src/net/port-ranges';

const MYSQL = 'mysql://hub:p%40ss@db.example:3306/livehook';
const SECRET_KEY = Buffer.alloc(32, 250).toString('base64');

function problemsOf(environment: Record<string, string>): readonly string[] {
  try {
    readConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('The configuration', () => {
  test('has a default for everything that is not given or empty', () => {
    const expected = {
      databaseUrl: { kind: 'sqlite', path: './livehook.db' },
      host: '127.0.0.1',
      port: 4000,
      allowedPorts: new PortRanges('80,443,1024-65535'),
      allowHttp: false,
      requireVerification: false,
      retrySchedule: [5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000],
      retention: 7_776_000_000,
      origin: 'livehook',
      disableAfterMs: 432_000_000,
      traceRatio: 1,
      connections: 10_000,
      connectionsPerKey: 5_000,
      subscriptions: 100_000,
      subscriptionsPerKey: 10_000,
      unsentBytes: 134_217_728,
      webhooksPerApplication: 5_000,
      introspection: 'true',
      logLevel: 'info',
    };
    expect(readConfig({})).toEqual(expected);
    expect(readConfig(Object.fromEntries(Object.values(SETTINGS).map(({ name }) => [name, ' '])))).toEqual(expected);
    expect(Object.isFrozen(readConfig({}))).toBe(true);
  });

  test.each([
    ['DATABASE_URL', 'sqlite:/var/lib/hub.db', 'databaseUrl', { kind: 'sqlite', path: '/var/lib/hub.db' }],
    ['DATABASE_URL', 'sqlite:///var/lib/hub.db', 'databaseUrl', { kind: 'sqlite', path: '/var/lib/hub.db' }],
    ['DATABASE_URL', MYSQL, 'databaseUrl', { kind: 'mysql', url: MYSQL }],
    ['DATABASE_URL', 'mariadb://localhost/hub', 'databaseUrl', { kind: 'mysql', url: 'mariadb://localhost/hub' }],
    ['REDIS_URL', 'redis://localhost', 'redisUrl', { url: 'redis://localhost' }],
    [
      'REDIS_URL',
      'rediss://hub:p%40ss@redis.example:6380',
      'redisUrl',
      {
        url: 'rediss://hub:p%40ss@redis.example:6380',
        tls: { rejectUnauthorized: true, verifyIdentity: true, minVersion: 'TLSv1.2' },
      },
    ],
    ['HOST', '::', 'host', '::'],
    ['PORT', '0', 'port', 0],
    ['PORT', ' 65535 ', 'port', 65_535],
    ['LIVEHOOK_ADMIN_KEY', 'k'.repeat(32), 'adminKey', 'k'.repeat(32)],
    ['LIVEHOOK_SECRET_KEY', SECRET_KEY, 'secretKey', Buffer.alloc(32, 250)],
    ['LIVEHOOK_SECRET_KEY', Buffer.alloc(32, 250).toString('base64url'), 'secretKey', Buffer.alloc(32, 250)],
    ['LIVEHOOK_ALLOWED_TARGETS', '127.0.0.0/8, ::1/128,', 'allowedTargets', ['127.0.0.0/8', '::1/128']],
    [
      'LIVEHOOK_DENIED_TARGETS',
      '203.0.113.0/24, *.Example.com,2001:db8::/32',
      'deniedTargets',
      { cidrs: ['203.0.113.0/24', '2001:db8::/32'], hosts: ['*.example.com'] },
    ],
    [
      'LIVEHOOK_DNS_SERVERS',
      '10.0.0.53, [fd00::53]:5353,::1,127.0.0.1:53',
      'dnsServers',
      ['10.0.0.53', '[fd00::53]:5353', '::1', '127.0.0.1:53'],
    ],
    [
      'LIVEHOOK_EGRESS_PROXY',
      'http://hub:p%40ss@proxy.corp.example:3128',
      'egressProxy',
      { hostname: 'proxy.corp.example', port: 3128, isSecure: false, authorization: `Basic ${Buffer.from('hub:p@ss').toString('base64')}` },
    ],
    ['LIVEHOOK_EGRESS_PROXY', 'https://[::1]', 'egressProxy', { hostname: '::1', port: 443, isSecure: true, authorization: null }],
    ['LIVEHOOK_ALLOWED_PORTS', '443', 'allowedPorts', new PortRanges('443')],
    ['LIVEHOOK_ALLOW_HTTP', 'TRUE', 'allowHttp', true],
    ['LIVEHOOK_ALLOW_HTTP', '0', 'allowHttp', false],
    ['LIVEHOOK_RETENTION', '1h', 'retention', 3_600_000],
    ['LIVEHOOK_DISABLE_AFTER', '12h', 'disableAfterMs', 43_200_000],
    ['LIVEHOOK_ORIGIN', 'hooks.example.com', 'origin', 'hooks.example.com'],
    ['LIVEHOOK_RETRY_SCHEDULE', '1s, 90s,1.5h,7d', 'retrySchedule', [1_000, 90_000, 5_400_000, 604_800_000]],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://127.0.0.1:4318/base', 'otlpEndpoint', 'http://127.0.0.1:4318/base'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'x-api-key=a%20key, x-team=hooks', 'otlpHeaders', { 'x-api-key': 'a key', 'x-team': 'hooks' }],
    ['OTEL_TRACES_SAMPLER_ARG', '0.25', 'traceRatio', 0.25],
    ['OTEL_SERVICE_NAME', 'hooks', 'serviceName', 'hooks'],
    ['OTEL_RESOURCE_ATTRIBUTES', 'a.b=c%20d, e=f=g', 'resourceAttributes', { 'a.b': 'c d', e: 'f=g' }],
    ['LIVEHOOK_CONNECTIONS', '20', 'connections', 20],
    ['LIVEHOOK_CONNECTIONS_PER_KEY', '2', 'connectionsPerKey', 2],
    ['LIVEHOOK_SUBSCRIPTIONS', '50', 'subscriptions', 50],
    ['LIVEHOOK_SUBSCRIPTIONS_PER_KEY', '5', 'subscriptionsPerKey', 5],
    ['LIVEHOOK_REQUESTS_PER_SECOND', '100', 'requestsPerSecond', 100],
    ['LIVEHOOK_INTROSPECTION', 'keys', 'introspection', 'keys'],
    ['LIVEHOOK_PUBLIC_URL', 'https://Hooks.example.com/', 'publicUrl', 'https://hooks.example.com'],
    ['LIVEHOOK_CORS_ORIGINS', '*', 'corsOrigins', '*'],
    [
      'LIVEHOOK_CORS_ORIGINS',
      'HTTPS://App.example.com:443, http://localhost:3000,capacitor://LocalHost, http://[::1]:80',
      'corsOrigins',
      ['https://app.example.com', 'http://localhost:3000', 'capacitor://localhost', 'http://[::1]'],
    ],
    ['LIVEHOOK_METRICS_TOKEN', 'm'.repeat(16), 'metricsToken', 'm'.repeat(16)],
    ['LIVEHOOK_METRICS_PORT', '9464', 'metricsPort', 9464],
    ['LIVEHOOK_LOG_LEVEL', 'silent', 'logLevel', 'silent'],
  ] as const)('reads %s=%s', (name, text, key, value) => {
    expect(readConfig({ LIVEHOOK_SECRET_KEY: SECRET_KEY, [name]: text })[key]).toEqual(value);
  });

  test.each([
    [
      'DATABASE_URL',
      'postgres://x/y',
      'expected sqlite:<path of a file> or mysql://user:password@host:port/database; got a value of 14 characters',
    ],
    ['DATABASE_URL', 'sqlite::memory:', 'would lose what it acknowledged'],
    ['DATABASE_URL', 'mysql://host', 'host and database must both be named'],
    ['REDIS_URL', 'http://localhost:6379', 'expected redis://user:password@host:port or rediss://user:password@host:port; got a value of'],
    ['REDIS_URL', 'redis:', 'expected redis://user:password@host:port'],
    ['PORT', '65536', 'expected a whole number from 0 to 65535; got "65536"'],
    ['PORT', '0x50', 'expected a whole number'],
    ['PORT', '1e3', 'expected a whole number'],
    ['LIVEHOOK_ADMIN_KEY', 'short', 'expected at least 32 characters; got a value of 5 characters'],
    ['LIVEHOOK_ADMIN_KEY', `${'k'.repeat(32)} k`, 'expected printable ASCII without spaces'],
    ['LIVEHOOK_SECRET_KEY', SECRET_KEY.slice(4), 'expected 32 bytes in base64'],
    ['LIVEHOOK_SECRET_KEY', `${SECRET_KEY.slice(0, 20)} ${SECRET_KEY.slice(20)}`, 'expected 32 bytes in base64'],
    ['LIVEHOOK_ALLOWED_TARGETS', '10.0.0.0/8,10.1.2.3/8', 'expected 10.0.0.0/8 or a longer prefix, got "10.1.2.3/8"'],
    ['LIVEHOOK_DNS_SERVERS', '10.0.0.53:99999', 'expected addresses separated by commas'],
    ['LIVEHOOK_DNS_SERVERS', 'dns.example.com', 'expected addresses separated by commas'],
    ['LIVEHOOK_DENIED_TARGETS', '203.0.113.7', 'expected a CIDR such as 203.0.113.7/32'],
    ['LIVEHOOK_DENIED_TARGETS', 'https://example.com', 'expected a CIDR such as 10.0.0.0/8'],
    ['LIVEHOOK_DENIED_TARGETS', 'a.*.example.com', 'or a host such as example.com or *.example.com'],
    ['LIVEHOOK_ALLOWED_PORTS', '0', 'expected ports from 1 to 65535 and ranges of them, separated by commas'],
    ['LIVEHOOK_ALLOWED_PORTS', '80,', 'expected ports from 1 to 65535'],
    ['LIVEHOOK_ALLOWED_PORTS', '65536', 'expected ports from 1 to 65535'],
    ['LIVEHOOK_ALLOWED_PORTS', '443-80', 'expected ports from 1 to 65535'],
    ['LIVEHOOK_ALLOWED_PORTS', 'https', 'expected ports from 1 to 65535'],
    ['LIVEHOOK_EGRESS_PROXY', 'proxy:3128', 'expected http://host:port or https://host:port'],
    ['LIVEHOOK_EGRESS_PROXY', 'socks5://hub:secret@proxy:1080', 'expected http://host:port or https://host:port'],
    ['LIVEHOOK_ALLOW_HTTP', 'yes', 'expected true or false; got "yes"'],
    ['LIVEHOOK_RETRY_SCHEDULE', '5s,5', 'expected durations of at least 1s separated by commas, such as 5s,5m,2h; got "5s,5"'],
    ['LIVEHOOK_RETRY_SCHEDULE', '5s,,5m', 'expected durations of at least 1s separated by commas'],
    ['LIVEHOOK_RETRY_SCHEDULE', '500ms', 'expected durations of at least 1s separated by commas'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318', 'expected an http:// or https:// URL without credentials'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://user:key@collector', 'expected an http:// or https:// URL without credentials'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'x-api-key', 'expected name=value pairs separated by commas, values percent-encoded; got a value of 9'],
    ['OTEL_RESOURCE_ATTRIBUTES', 'a=%zz', 'expected name=value pairs separated by commas, values percent-encoded; got "a=%zz"'],
    ['OTEL_TRACES_SAMPLER_ARG', '1.5', 'expected a number from 0 to 1; got "1.5"'],
    ['LIVEHOOK_CONNECTIONS', '0', 'expected a whole number from 1 to 1000000; got "0"'],
    ['LIVEHOOK_REQUESTS_PER_SECOND', '0.5', 'expected a whole number from 1 to 1000000'],
    ['LIVEHOOK_INTROSPECTION', 'yes', 'expected true, keys or false; got "yes"'],
    ['LIVEHOOK_CORS_ORIGINS', 'app.example.com', 'expected * alone, or origins separated by commas, without a path'],
    ['LIVEHOOK_CORS_ORIGINS', 'https://app.example.com/', 'expected * alone, or origins separated by commas, without a path'],
    ['LIVEHOOK_CORS_ORIGINS', 'https://app.example.com/page', 'expected * alone, or origins separated by commas, without a path'],
    ['LIVEHOOK_CORS_ORIGINS', 'https://*.example.com', 'expected * alone, or origins separated by commas, without a path'],
    ['LIVEHOOK_CORS_ORIGINS', 'https://app.example.com,*', 'expected * alone, or origins separated by commas, without a path'],
    ['LIVEHOOK_CORS_ORIGINS', 'https://me:pw@app.example.com', 'expected * alone, or origins separated by commas, without a path'],
    ['LIVEHOOK_CORS_ORIGINS', 'https://app.example.com:99999', 'expected * alone, or origins separated by commas, without a path'],
    ['LIVEHOOK_CORS_ORIGINS', 'null', 'expected * alone, or origins separated by commas, without a path'],
    ['LIVEHOOK_PUBLIC_URL', 'hooks.example.com', 'expected an http:// or https:// URL without credentials, query or fragment'],
    ['LIVEHOOK_PUBLIC_URL', 'https://hooks.example.com/?x', 'expected an http:// or https:// URL without credentials, query or fragment'],
    ['LIVEHOOK_METRICS_TOKEN', 'short', 'expected at least 16 characters of printable ASCII without spaces; got a value of 5 characters'],
    ['LIVEHOOK_METRICS_PORT', '4000', 'expected another port than PORT, got 4000 for both'],
    ['LIVEHOOK_LOG_LEVEL', 'verbose', 'expected one of debug, info, warn, error, silent; got "verbose"'],
  ])('refuses %s=%s', (name, text, message) => {
    expect(problemsOf({ [name]: text })).toEqual([expect.stringContaining(message)]);
    expect(problemsOf({ [name]: text })[0]).toMatch(new RegExp(`^${name}: `));
  });

  test('reports every mistake at once, and never repeats a secret', () => {
    const problems = problemsOf({
      PORT: 'x',
      LIVEHOOK_ADMIN_KEY: 'hunter2',
      LIVEHOOK_SECRET_KEY: 'hunter2',
      DATABASE_URL: 'mysql://u:hunter2@',
      LIVEHOOK_ALLOW_HTTP: '?',
    });
    expect(problems.map((line) => line.split(':')[0])).toEqual([
      'DATABASE_URL',
      'PORT',
      'LIVEHOOK_ADMIN_KEY',
      'LIVEHOOK_SECRET_KEY',
      'LIVEHOOK_ALLOW_HTTP',
    ]);
    expect(problems.join('\n')).not.toContain('hunter2');
    expect(() => readConfig({ PORT: 'x', LIVEHOOK_ALLOW_HTTP: '?' })).toThrow(
      /^Invalid configuration:\n {2}PORT: .*\n {2}LIVEHOOK_ALLOW_HTTP: /,
    );
  });

  describe('read from files', () => {
    let folder = '';
    const file = (text: string, name = 'secret') => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'livehook-secrets-'));
    });
    afterAll(() => rmSync(folder, { recursive: true }));

    const secrets = (Object.values(SETTINGS) as { name: string; secret?: true }[]).filter(({ secret }) => secret).map(({ name }) => name);

    test('are all secrets, without the line end that editors write', () => {
      const path = file(`${'k'.repeat(32)}\r\n`);
      expect(readConfig({ LIVEHOOK_ADMIN_KEY_FILE: path }).adminKey).toBe('k'.repeat(32));
      expect(readConfig({ DATABASE_URL_FILE: file('sqlite:/var/lib/hub.db\n') }).databaseUrl).toEqual({
        kind: 'sqlite',
        path: '/var/lib/hub.db',
      });
      expect(readConfig({ DATABASE_URL: MYSQL, LIVEHOOK_SECRET_KEY_FILE: file(SECRET_KEY) }).secretKey).toEqual(Buffer.alloc(32, 250));
      expect(secrets).toEqual(
        expect.arrayContaining(['DATABASE_URL', 'REDIS_URL', 'LIVEHOOK_PREVIOUS_SECRET_KEYS', 'OTEL_EXPORTER_OTLP_HEADERS']),
      );
      for (const name of secrets)
        expect(problemsOf({ [`${name}_FILE`]: '/not/there' })).toEqual([
          expect.stringMatching(new RegExp(`^${name}_FILE: expected the path of a file that can be read \\(ENOENT`)),
        ]);
    });

    test('and from the environment at once are refused, as are empty files and wrong values, which are not repeated', () => {
      const path = file('hunter2');
      for (const name of secrets)
        expect(problemsOf({ [name]: 'x', [`${name}_FILE`]: path })).toEqual([
          `${name}_FILE: expected either ${name} or ${name}_FILE, got both`,
        ]);
      expect(problemsOf({ LIVEHOOK_ADMIN_KEY_FILE: path })).toEqual([
        'LIVEHOOK_ADMIN_KEY_FILE: expected at least 32 characters; got a value of 7 characters',
      ]);
      expect(problemsOf({ REDIS_URL_FILE: file(' \n', 'empty') })).toEqual([
        expect.stringContaining('REDIS_URL_FILE: expected a file with the value of REDIS_URL, got an empty one'),
      ]);
    });

    test('are what is secret and nothing else', () => {
      expect(readConfig({ PORT_FILE: '/not/there' }).port).toBe(4_000);
      expect(describeConfig(readConfig({ LIVEHOOK_ADMIN_KEY_FILE: file('k'.repeat(32)) }))).toMatchObject({ LIVEHOOK_ADMIN_KEY: 'given' });
    });
  });

  test('wants a secret key with MySQL, and says why', () => {
    expect(problemsOf({ DATABASE_URL: MYSQL })).toEqual([
      expect.stringMatching(/^LIVEHOOK_SECRET_KEY: required with a MySQL DATABASE_URL, because /),
    ]);
    expect(problemsOf({ DATABASE_URL: MYSQL, LIVEHOOK_SECRET_KEY: SECRET_KEY })).toEqual([]);
    expect(problemsOf({ DATABASE_URL: MYSQL, LIVEHOOK_SECRET_KEY: 'wrong' })).toHaveLength(1);
  });

  test('is logged without its secrets', () => {
    const config = readConfig({
      DATABASE_URL: MYSQL,
      LIVEHOOK_SECRET_KEY: SECRET_KEY,
      LIVEHOOK_ADMIN_KEY: 'k'.repeat(32),
      LIVEHOOK_ALLOWED_TARGETS: '::1/128',
      REDIS_URL: 'redis://:r3dis@localhost',
    });
    const facts = describeConfig(config);
    expect(facts).toMatchObject({
      DATABASE_URL: 'mysql://hub:***@db.example:3306/livehook',
      REDIS_URL: 'given',
      LIVEHOOK_SECRET_KEY: 'given',
      LIVEHOOK_ADMIN_KEY: 'given',
      LIVEHOOK_ALLOWED_TARGETS: ['::1/128'],
      PORT: 4000,
    });
    expect(Object.keys(facts)).toEqual(Object.values(SETTINGS).map(({ name }) => name));
    const text = JSON.stringify(facts);
    for (const secret of ['p%40ss', 'r3dis', SECRET_KEY, 'k'.repeat(32)]) expect(text).not.toContain(secret);
    expect(describeConfig(readConfig({}))).toMatchObject({ DATABASE_URL: 'sqlite:./livehook.db', LIVEHOOK_ADMIN_KEY: 'none' });
  });

  test('describes every setting in a line', () => {
    for (const { name, description } of settingLines()) {
      expect(name).toMatch(/^[A-Z][A-Z_]+$/);
      expect(description).toMatch(/^\S[^\n|]{5,}\S$/);
    }
  });
});

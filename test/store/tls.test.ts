import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/clock';
import { readConfig } from '../../src/config';
import { createDatabase } from '../../src/data-source';
import { Facts } from '../../src/facts';
import { Notifier } from '../../src/live/notifier';
import { type Log, silentLog } from '../../src/log';
import { Authority, type Certificate } from '../support/certificates';
import { createMysqlDatabase, type Mariadb, startMariadb } from '../support/mariadb';
import { Redis } from '../support/redis';
import { freePort } from '../support/server-process';
import { until } from '../support/until';
import { testEnvironment } from '../support/with-hub';

let authority: Authority;
let stranger: Authority;
let ofLocalhost: Certificate;
let ofAnother: Certificate;
let ofClient: Certificate;

beforeAll(async () => {
  [authority, stranger] = await Promise.all([Authority.make(), Authority.make()]);
  ofLocalhost = await authority.issue({ names: ['localhost'] });
  ofAnother = await authority.issue({ names: ['db.example'] });
  ofClient = await authority.issue({ names: [], subject: 'livehook' });
});
afterAll(() => Promise.all([authority.remove(), stranger.remove()]));

function queryOf(parameters: Readonly<Record<string, string>>): string {
  return new URLSearchParams(parameters).toString();
}

describe('TLS to MariaDB', () => {
  let server: Mariadb;
  let live: Certificate;

  /** The server's certificate lies where this puts it. */
  async function serveWith({ certificateFile, keyFile }: Certificate): Promise<void> {
    await Promise.all([copyFile(certificateFile, live.certificateFile), copyFile(keyFile, live.keyFile)]);
  }

  beforeAll(async () => {
    const folder = join(authority.file, '..');
    live = { ...ofLocalhost, certificateFile: join(folder, 'live.pem'), keyFile: join(folder, 'live.key') };
    await serveWith(ofLocalhost);
    server = await startMariadb({ settings: { 'ssl-ca': authority.file, 'ssl-cert': live.certificateFile, 'ssl-key': live.keyFile } });
  });
  afterAll(() => server.stop());

  const url = (parameters: Readonly<Record<string, string>>, host = 'localhost') =>
    `${server.url.replace('127.0.0.1', host)}?${queryOf(parameters)}`;

  /** The cipher that the connection is encrypted with; empty: none. */
  async function cipherAt(databaseUrl: string): Promise<string> {
    const database = createDatabase(readConfig(testEnvironment(databaseUrl)).databaseUrl, silentLog);
    try {
      await database.open();
      const [row] = await database.read.query<{ Value: string }>("SHOW SESSION STATUS LIKE 'Ssl_cipher'");
      return row?.Value ?? '';
    } finally {
      await database.close();
    }
  }

  async function failureAt(databaseUrl: string): Promise<string> {
    return cipherAt(databaseUrl).then(
      (cipher) => `connected with ${cipher}`,
      (error: Error) => `${(error.cause as Error | undefined)?.message ?? error.message}`,
    );
  }

  test('is there when asked for, and not otherwise', async () => {
    const ca = { 'ssl-ca': authority.file };
    expect(await cipherAt(url({}))).toBe('');
    expect(await cipherAt(url({ 'ssl-mode': 'DISABLED' }))).toBe('');
    expect(await cipherAt(url({ 'ssl-mode': 'REQUIRED' }))).toMatch(/^TLS_/);
    expect(await cipherAt(url({ 'ssl-mode': 'verify_ca', ...ca }, '127.0.0.1'))).toMatch(/^TLS_/);
    expect(await cipherAt(url({ 'ssl-mode': 'VERIFY_IDENTITY', ...ca }))).toMatch(/^TLS_/);
    expect(await cipherAt(url(ca))).toMatch(/^TLS_/);
  });

  test('takes no certificate of another authority', async () => {
    const wrong = { 'ssl-ca': stranger.file };
    for (const mode of ['VERIFY_CA', 'VERIFY_IDENTITY'])
      expect(await failureAt(url({ 'ssl-mode': mode, ...wrong }))).toMatch(/certificate/);
    expect(await failureAt(url(wrong))).toMatch(/certificate/);
    expect(await failureAt(url({ 'ssl-mode': 'VERIFY_CA' }))).toMatch(/certificate/); // none of the system's has signed it
  });

  test('takes no certificate for another host where the identity counts, in any connection of the pool', async () => {
    await serveWith(ofAnother);
    await server.restart();
    const ca = { 'ssl-ca': authority.file };
    expect(await cipherAt(url({ 'ssl-mode': 'VERIFY_CA', ...ca }))).toMatch(/^TLS_/);
    expect(await failureAt(url({ 'ssl-mode': 'VERIFY_IDENTITY', ...ca }))).toMatch(/Hostname\/IP does not match certificate's altnames/);
    expect(await failureAt(url(ca))).toMatch(/does not match/);
    await serveWith(ofLocalhost);
    await server.restart();
  });

  test('shows a certificate of its own where the server wants one', async () => {
    const database = createDatabase(readConfig(testEnvironment(server.url)).databaseUrl, silentLog);
    await database.open();
    await database.transaction((tx) => tx.execute("CREATE USER tls@'127.0.0.1' IDENTIFIED BY 'p' REQUIRE X509"));
    await database.transaction((tx) => tx.execute("GRANT ALL ON livehook.* TO tls@'127.0.0.1'"));
    await database.close();
    const ca = { 'ssl-ca': authority.file };
    const ofUser = (parameters: Readonly<Record<string, string>>) => url(parameters).replace(/\/\/.*@/, '//tls:p@');
    expect(await failureAt(ofUser(ca))).toMatch(/Access denied/);
    expect(await cipherAt(ofUser({ ...ca, 'ssl-cert': ofClient.certificateFile, 'ssl-key': ofClient.keyFile }))).toMatch(/^TLS_/);
  });

  test('is not done without, when the server has none', async () => {
    const { url: plain, drop } = await createMysqlDatabase();
    expect(await failureAt(plain)).toBe('connected with ');
    for (const mode of ['REQUIRED', 'VERIFY_CA', 'VERIFY_IDENTITY'])
      expect(await failureAt(`${plain.replace('127.0.0.1', 'localhost')}?ssl-mode=${mode}`)).toBe(
        'Server does not support secure connection',
      );
    await drop();
  });
});

describe('TLS to Redis', () => {
  let redis: Redis;
  let port: number;

  beforeAll(async () => {
    port = await freePort();
    redis = await Redis.start({
      'tls-port': String(port),
      'tls-cert-file': ofLocalhost.certificateFile,
      'tls-key-file': ofLocalhost.keyFile,
      'tls-ca-cert-file': authority.file,
      'tls-auth-clients': 'yes',
    });
  });
  afterAll(() => redis.stop());

  /** `connected`, or why not. */
  async function outcomeAt(text: string): Promise<string> {
    const said: string[] = [];
    const note = (facts: { error?: string }, event: string) => void said.push(event === 'doorbell.away' ? `${facts.error}` : event);
    const log: Log = { debug: note, info: note, warn: note, error: note };
    const { redisUrl } = readConfig({ REDIS_URL: text });
    const doorbell = new Notifier({ instanceId: 'ins_1', redis: redisUrl, clock: systemClock, log, facts: new Facts() });
    doorbell.start();
    await until(() => said.length > 0, { description: 'the doorbell to say what came of it' });
    await doorbell.close();
    return said[0] ?? '';
  }

  test('verifies the authority and the host, always, and shows a certificate of its own', async () => {
    const own = { cert: ofClient.certificateFile, key: ofClient.keyFile };
    const at = (host: string, parameters: Readonly<Record<string, string>>) => `rediss://${host}:${port}?${queryOf(parameters)}`;
    expect(await outcomeAt(at('localhost', { cacert: authority.file, ...own }))).toBe('doorbell.connected');
    expect(await outcomeAt(at('localhost', { cacert: stranger.file, ...own }))).toMatch(/certificate/);
    expect(await outcomeAt(at('localhost', own))).toMatch(/certificate/);
    expect(await outcomeAt(at('127.0.0.1', { cacert: authority.file, ...own }))).toMatch(/does not match certificate's altnames/);
    expect(await outcomeAt(at('localhost', { cacert: authority.file }))).not.toBe('doorbell.connected');
  });

  test('is not done without, when the server has none', async () => {
    expect(await outcomeAt(redis.url.replace('redis:', 'rediss:'))).not.toBe('doorbell.connected');
  });
});

describe('The parameters of a URL', () => {
  const problemOf = (name: string, text: string) => {
    try {
      readConfig({ LIVEHOOK_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'), [name]: text });
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };

  test.each([
    ['ssl=true', 'expected none but these parameters: ssl-mode, ssl-ca, ssl-cert, ssl-key; "ssl" is not known'],
    ['ssl-mode=PREFERRED', 'PREFERRED lets anybody between switch the encryption off'],
    ['ssl-mode=yes', 'expected ssl-mode to be one of DISABLED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY, not "yes"'],
    ['ssl-mode=REQUIRED&ssl-mode=DISABLED', 'expected ssl-mode once'],
    ['ssl-ca=', 'expected a value for ssl-ca'],
    ['ssl-mode=DISABLED&ssl-ca=/etc/ca.pem', 'expected no ssl-ca, ssl-cert or ssl-key beside ssl-mode=DISABLED'],
    ['ssl-ca=/not/there.pem', 'expected ssl-ca to name a file that can be read (ENOENT'],
    [`ssl-ca=${__filename}`, 'expected ssl-ca to name a file in PEM, which '],
    ['ssl-mode=REQUIRED&ssl-cert=/etc/own.pem', 'expected ssl-cert and ssl-key together'],
  ])('of MySQL are known or refused: %s', (parameters, message) => {
    expect(problemOf('DATABASE_URL', `mysql://u:hunter2@db.example/hub?${parameters}`)).toContain(message);
    expect(problemOf('DATABASE_URL', `mysql://u:hunter2@db.example/hub?${parameters}`)).not.toContain('hunter2');
  });

  test('want the name of a host where the identity counts', () => {
    for (const host of ['10.0.0.1', '[::1]'])
      expect(problemOf('DATABASE_URL', `mysql://u@${host}/hub?ssl-mode=VERIFY_IDENTITY`)).toContain('expected the name of a host');
  });

  test('of a key and a certificate that do not belong together are refused', async () => {
    const parameters = queryOf({ 'ssl-cert': ofClient.certificateFile, 'ssl-key': ofLocalhost.keyFile });
    expect(problemOf('DATABASE_URL', `mysql://u@db.example/hub?${parameters}`)).toContain('expected files in PEM that belong together');
  });

  test.each([
    ['rediss://localhost?tls=yes', 'expected none but these parameters: cacert, cert, key; "tls" is not known'],
    ['redis://localhost?cacert=/etc/ca.pem', 'expected rediss:// beside cacert, cert or key'],
    ['rediss://localhost?cert=/etc/own.pem', 'expected cert and key together'],
    ['rediss://localhost?cacert=/not/there.pem', 'expected cacert to name a file that can be read (ENOENT'],
  ])('of Redis are known or refused: %s', (text, message) => {
    expect(problemOf('REDIS_URL', text)).toContain(message);
  });
});

import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseHosts } from '../../src/net/hosts-file';
import { candidates, parseSearchList } from '../../src/net/search-list';
import { type LookupOptions, systemLookup } from '../../src/net/system-lookup';
import { type DnsAnswer, DnsServer } from '../support/dns-server';
import { FakeClock } from '../support/fake-clock';
import { until } from '../support/until';

const APP = 'app_1';

describe('A lookup', () => {
  let server: DnsServer;
  let folder: string;
  let answer: (name: string, type: 'A' | 'AAAA') => DnsAnswer;
  const clock = new FakeClock();

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'livehook-hosts-'));
    await writeFile(join(folder, 'hosts'), '192.0.2.7 printer Printer.Office\n');
    server = await DnsServer.listen((name, type) => answer(name, type));
    answer = () => 'unknown';
  });
  afterEach(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });

  const lookup = (options: Partial<LookupOptions> = {}) =>
    systemLookup({
      clock,
      servers: [server.address],
      hostsFile: join(folder, 'hosts'),
      searchList: { domains: [], ndots: 1 },
      ...options,
    });

  test('brings the addresses of both families', async () => {
    answer = () => ['192.0.2.1', '192.0.2.2', '2001:db8::1'];
    expect([...(await lookup()('Hook.Example.com', APP))].sort()).toEqual(['192.0.2.1', '192.0.2.2', '2001:db8::1']);
  });

  test('of a name in the hosts file asks nobody, and sees the file change', async () => {
    const ours = lookup();
    expect(await ours('PRINTER.office', APP)).toEqual(['192.0.2.7']);
    await writeFile(join(folder, 'hosts'), '192.0.2.8 printer\n');
    await utimes(join(folder, 'hosts'), 1, 1);
    clock.advance(5_000);
    expect(await ours('printer', APP)).toEqual(['192.0.2.8']);
    expect(server.questions).toEqual([]);
  });

  test('of localhost leads to this machine, whatever a name server says', async () => {
    answer = () => ['203.0.113.1'];
    for (const name of ['localhost', 'a.localhost', 'localhost.']) expect(await lookup()(name, APP)).toEqual(['127.0.0.1', '::1']);
    expect(server.questions).toEqual([]);
  });

  test('completes a name by the search list', async () => {
    answer = (name) => (name === 'shop.svc.cluster.test' ? ['192.0.2.3'] : 'unknown');
    const searchList = { domains: ['ns.test', 'svc.cluster.test'], ndots: 1 };
    expect(await lookup({ searchList })('shop', APP)).toEqual(['192.0.2.3']);
    expect(server.questions.filter((question) => question.endsWith(' A'))).toEqual(['shop.ns.test A', 'shop.svc.cluster.test A']);
  });

  test('of a name without an address fails, and the name is not asked for again for some seconds', async () => {
    const ours = lookup();
    for (let times = 0; times < 3; times++) await expect(ours('nowhere.test', APP)).rejects.toThrow(/ENOTFOUND/);
    expect(server.questions).toHaveLength(2);
    answer = () => ['192.0.2.1'];
    clock.advance(5_000);
    expect(await ours('nowhere.test', APP)).toEqual(['192.0.2.1']);
  });

  test('is made once for all who wait for the same name', async () => {
    answer = () => ['192.0.2.1'];
    const ours = lookup();
    await Promise.all(Array.from({ length: 50 }, () => ours('hook.test', APP)));
    expect(server.questions).toHaveLength(2);
  });

  test('does not wait for a family that a name server is silent about', async () => {
    answer = (_, type) => (type === 'A' ? ['192.0.2.1'] : 'silent');
    const answered = lookup()('hook.test', APP);
    await until(() => server.questions.length === 2, { description: 'both questions' });
    const found = until(() => clock.advance(300) ?? answered, { description: 'the one answer' });
    expect(await answered).toEqual(['192.0.2.1']);
    await found;
  });

  test('of a name whose server is silent ends in time', async () => {
    answer = () => 'silent';
    const answered = lookup()('silent.test', APP);
    const outcome = expect(answered).rejects.toThrow(/ECANCELLED/);
    await until(() => server.questions.length === 2, { description: 'both questions' });
    clock.advance(6_000);
    await outcome;
  });

  test('of hundreds of names whose server is silent leaves an application its half, and others their answers at once', async () => {
    answer = (name) => (name.endsWith('hostile.test') ? 'silent' : ['192.0.2.1']);
    const ours = lookup();
    const hostile: Promise<string>[] = [];
    const asked = () => new Set(server.questions).size;
    while (hostile.length < 600) {
      // No more at once than the socket of the test takes in.
      for (let count = 0; count < 40; count++) hostile.push(ours(`h${hostile.length}.hostile.test`, 'app_hostile').then(String, String));
      await until(() => asked() >= 2 * Math.min(hostile.length, 512), { description: 'the questions' });
    }
    expect(await Promise.race(hostile)).toMatch(/too many names/);
    expect(await ours('good.test', 'app_other')).toEqual(['192.0.2.1']);
    clock.advance(6_000);
    const outcomes = await Promise.all(hostile);
    expect(outcomes.filter((outcome) => outcome.includes('too many names'))).toHaveLength(600 - 512);
  });

  test('of a name without a dot whose server is silent holds up no other name without one', async () => {
    answer = (name) => (name.startsWith('silent') ? 'silent' : ['192.0.2.1']);
    const ours = lookup({ searchList: { domains: ['corp.test'], ndots: 1 } });
    const silent = Array.from({ length: 20 }, (_, no) => ours(`silent${no}`, 'app_hostile').catch(() => 'failed'));
    expect(await ours('good', 'app_other')).toEqual(['192.0.2.1']);
    clock.advance(6_000);
    expect(new Set(await Promise.all(silent))).toEqual(new Set(['failed']));
  });
});

describe('A hosts file', () => {
  test('has an address and its names on each line, and comments', () => {
    const hosts = parseHosts('127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # this machine\n# 10.0.0.1 none\nnonsense x\n192.0.2.1\n');
    expect([...hosts]).toEqual([
      ['localhost', ['127.0.0.1', '::1']],
      ['ip6-localhost', ['::1']],
    ]);
  });
});

describe('A search list', () => {
  test('is what resolv.conf says last', () => {
    const text = 'nameserver 10.0.0.1\ndomain a.test\nsearch B.test. c.test\noptions edns0 ndots:5\n';
    expect(parseSearchList(text)).toEqual({ domains: ['b.test', 'c.test'], ndots: 5 });
    expect(parseSearchList('')).toEqual({ domains: [], ndots: 1 });
  });

  test('says which names a name stands for', () => {
    const list = { domains: ['a.test', 'b.test'], ndots: 2 };
    expect(candidates('shop', list)).toEqual(['shop.a.test', 'shop.b.test', 'shop']);
    expect(candidates('x.y.example', list)).toEqual(['x.y.example', 'x.y.example.a.test', 'x.y.example.b.test']);
    expect(candidates('shop.example.', list)).toEqual(['shop.example']);
  });
});

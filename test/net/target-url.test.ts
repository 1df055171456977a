import { AddressPolicy } from '../../src/net/address-policy';
import { MAX_TARGET_URL_LENGTH, parseTargetUrl } from '../../src/net/target-url';

const strict = { allowHttp: false, policy: new AddressPolicy() };
const withHttp = { allowHttp: true, policy: new AddressPolicy() };
const development = { allowHttp: true, policy: new AddressPolicy(['127.0.0.0/8']) };

describe('a target URL', () => {
  test.each([
    ['https://example.com', 'https://example.com/'],
    ['https://example.com/hooks?token=a%20b', 'https://example.com/hooks?token=a%20b'],
    ['HTTPS://EXAMPLE.com:443/', 'https://example.com/'],
    ['https://example.com:8443/a/../b', 'https://example.com:8443/b'],
    ['https://bücher.example/', 'https://xn--bcher-kva.example/'],
    ['https://8.8.8.8/', 'https://8.8.8.8/'],
    ['https://[2606:4700:4700::1111]/', 'https://[2606:4700:4700::1111]/'],
    ['https://my_host.example/', 'https://my_host.example/'],
    ['https://example.com/@user', 'https://example.com/@user'],
  ])('%s is taken as %s', (text, url) => {
    expect(parseTargetUrl(text, strict)).toEqual({ url });
  });

  test.each([
    ['', 'expected an absolute https:// URL, got ""'],
    ['example.com/hook', 'expected an absolute https:// URL, got "example.com/hook"'],
    ['/hook', 'expected an absolute https:// URL, got "/hook"'],
    ['https:example.com', 'expected an absolute https:// URL, got "https:example.com"'],
    ['https://', 'expected an absolute https:// URL, got "https://"'],
    ['https:///hook', 'expected an absolute https:// URL, got "https:///hook"'],
    ['https://?x', 'expected an absolute https:// URL, got "https://"'],
    ['https://exa[mple.com/', 'expected an absolute https:// URL, got "https://exa[mple.com/"'],
    ['https://example.com:99999/', 'expected an absolute https:// URL, got "https://example.com:99999/"'],
    ['http://example.com/', 'expected an absolute https:// URL, got http://'],
    ['ftp://example.com/', 'expected an absolute https:// URL, got ftp://'],
    ['file:///etc/passwd', 'expected an absolute https:// URL, got "file:///etc/passwd"'],
    ['javascript:alert(1)', 'expected an absolute https:// URL, got "javascript:alert(1)"'],
    [' https://example.com/', 'expected an absolute https:// URL without spaces or control characters, got " https://example.com/"'],
    ['https://exam\nple.com/', 'expected an absolute https:// URL without spaces or control characters, got "https://exam\\nple.com/"'],
    ['https://example.com/#top', 'expected a URL without a fragment, got one with "#"'],
    ['https://example.com/#', 'expected a URL without a fragment, got one with "#"'],
    ['https://example.com:0/', 'expected a port from 1 to 65535, got 0'],
    ['https://a..b/', 'expected a host name of labels of 1 to 63 characters, got "a..b"'],
    [`https://${'a'.repeat(64)}.example/`, `expected a host name of labels of 1 to 63 characters, got "${'a'.repeat(64)}.example"`],
  ])('%j is refused', (text, problem) => {
    expect(parseTargetUrl(text, strict)).toEqual({ problem });
  });

  test('is refused with credentials, which the problem does not repeat', () => {
    for (const text of ['https://bob:hunter2@example.com/', 'https://bob@example.com/', 'https://bob:hunter2@exa[mple', 'bob:hunter2@x']) {
      const outcome = parseTargetUrl(text, strict);
      expect(outcome).toHaveProperty('problem');
      expect(JSON.stringify(outcome)).not.toMatch(/bob|hunter2/);
    }
  });

  test('may be as long as the limit, before and after it is normalised', () => {
    const base = 'https://example.com/';
    const longest = base + 'a'.repeat(MAX_TARGET_URL_LENGTH - base.length);
    expect(parseTargetUrl(longest, strict)).toEqual({ url: longest });
    expect(parseTargetUrl(`${longest}a`, strict)).toEqual({ problem: 'expected at most 2048 characters, got 2049' });
    expect(parseTargetUrl(base + 'ü'.repeat(500), strict)).toEqual({ problem: 'expected at most 2048 characters, got 3020' });
  });

  test('is judged the same the ten-thousandth time', () => {
    const judged = Array.from({ length: 20_000 }, () => 'url' in parseTargetUrl('https://bücher.example/', strict));
    expect(judged.filter((isTaken) => !isTaken)).toEqual([]);
  });

  test('may use http where that is permitted', () => {
    expect(parseTargetUrl('http://example.com/', withHttp)).toEqual({ url: 'http://example.com/' });
    expect(parseTargetUrl('ftp://example.com/', withHttp)).toEqual({
      problem: 'expected an absolute https:// or http:// URL, got ftp://',
    });
  });
});

describe('a target URL whose host is an address', () => {
  test.each([
    'https://127.0.0.1/',
    'https://127.0.0.1./',
    'https://127.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://0x7f000001/',
    'https://0177.0.0.1/',
    'https://017700000001/',
    'https://１２７.０.０.１/',
    'https://127。0。0。1/',
    'https://%31%32%37.0.0.1/',
  ])('%s is seen as 127.0.0.1', (text) => {
    expect(parseTargetUrl(text, strict)).toEqual({ problem: 'expected a public address, got 127.0.0.1 (loopback)' });
    expect(parseTargetUrl(text, development)).toEqual({ url: 'https://127.0.0.1/' });
  });

  test.each([
    ['https://[::1]/', '::1 (loopback)'],
    ['https://[::ffff:127.0.0.1]/', '::ffff:7f00:1 (loopback)'],
    ['https://[::127.0.0.1]/', '::7f00:1 (loopback (v4-compatible))'],
    ['https://[64:ff9b::a9fe:a9fe]/', '64:ff9b::a9fe:a9fe (link-local (nat64))'],
    ['https://169.254.169.254/latest/meta-data', '169.254.169.254 (link-local)'],
    ['https://0/', '0.0.0.0 (unspecified)'],
    ['https://10.0.0.8:8080/', '10.0.0.8 (private)'],
    ['https://[fd00::1]/', 'fd00::1 (unique local)'],
  ])('%s is refused', (text, got) => {
    expect(parseTargetUrl(text, strict)).toEqual({ problem: `expected a public address, got ${got}` });
  });

  test.each(['https://localhost/', 'https://LOCALHOST:3000/', 'https://localhost./', 'https://api.localhost/', 'https://ⓛocalhost/'])(
    '%s counts as loopback',
    (text) => {
      expect(parseTargetUrl(text, strict)).toHaveProperty('problem', expect.stringContaining('(loopback)'));
      expect(parseTargetUrl(text, development)).toHaveProperty('url');
      expect(parseTargetUrl(text, { allowHttp: false, policy: new AddressPolicy(['::1/128']) })).toHaveProperty('url');
    },
  );
});

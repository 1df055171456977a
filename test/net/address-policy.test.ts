import { AddressPolicy, parseAllowedTarget, parseDeniedTargets } from '../../src/net/address-policy';
import { PortRanges } from '../../src/net/port-ranges';

const open = new AddressPolicy();

describe('an address policy that allows nothing beside the public internet', () => {
  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '169.253.255.255',
    '169.255.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450:4001:81b::200e',
    '::ffff:8.8.8.8',
    '::ffff:808:808',
  ])('lets %s pass', (address) => {
    expect(open.check(address)).toBeNull();
  });

  test.each([
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['10.0.0.1', 'private'],
    ['10.255.255.255', 'private'],
    ['100.64.0.1', 'cgnat'],
    ['100.127.255.255', 'cgnat'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['168.63.129.16', 'cloud metadata'],
    ['169.254.169.254', 'link-local'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.0.0.1', 'reserved'],
    ['192.0.0.192', 'reserved'],
    ['192.0.2.1', 'documentation'],
    ['192.31.196.1', 'reserved'],
    ['192.52.193.1', 'reserved'],
    ['192.88.99.1', 'reserved'],
    ['192.168.1.1', 'private'],
    ['192.175.48.1', 'reserved'],
    ['198.18.0.1', 'benchmarking'],
    ['198.19.255.255', 'benchmarking'],
    ['198.51.100.1', 'documentation'],
    ['203.0.113.1', 'documentation'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.254', 'reserved'],
    ['255.255.255.255', 'broadcast'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['0:0:0:0:0:0:0:1', 'loopback'],
    ['100::1', 'discard'],
    ['100:0:0:1::1', 'reserved'],
    ['2001:1::1', 'reserved'],
    ['2001:2::1', 'benchmarking'],
    ['2001:3::1', 'reserved'],
    ['2001:4:112::1', 'reserved'],
    ['2001:10::1', 'orchid'],
    ['2001:20::1', 'orchid'],
    ['2001:30::1', 'reserved'],
    ['2001:db8::1', 'documentation'],
    ['2620:4f:8000::1', 'reserved'],
    ['3fff::1', 'documentation'],
    ['3fff:fff::1', 'documentation'],
    ['4000::1', 'reserved'],
    ['5f00::1', 'reserved'],
    ['fc00::1', 'unique local'],
    ['fd00:ec2::254', 'unique local'],
    ['fe80::1', 'link-local'],
    ['febf::1', 'link-local'],
    ['fec0::1', 'site-local'],
    ['ff02::1', 'multicast'],
  ])('blocks %s as %s', (address, reason) => {
    expect(open.check(address)).toBe(reason);
  });

  test.each([
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:7f00:1', 'loopback'],
    ['::ffff:169.254.169.254', 'link-local'],
    ['::ffff:10.0.0.1', 'private'],
    ['::127.0.0.1', 'loopback (v4-compatible)'],
    ['::7f00:1', 'loopback (v4-compatible)'],
    ['::8.8.8.8', 'v4-compatible'],
    ['::ffff:0:10.0.0.1', 'private (v4-translated)'],
    ['::ffff:0:8.8.8.8', 'v4-translated'],
    ['64:ff9b::10.0.0.1', 'private (nat64)'],
    ['64:ff9b::8.8.8.8', 'nat64'],
    ['64:ff9b:1::10.0.0.1', 'private (nat64)'],
    ['64:ff9b:1::8.8.8.8', 'nat64'],
    ['2002:7f00:1::', 'loopback (6to4)'],
    ['2002:808:808::1', '6to4'],
    ['2001:0:808:808::f5ff:fffe', 'private (teredo)'],
    ['2001:0:a00:1::f7f7:f7f7', 'teredo'],
  ])('sees the IPv4 address inside %s: %s', (address, reason) => {
    expect(open.check(address)).toBe(reason);
  });

  test.each(['', 'localhost', '1.2.3', '0177.0.0.1', '0x7f000001', '2130706433', '1.2.3.4.5', '256.1.1.1', '[::1]', ':::', '8.8.8.8 '])(
    'blocks %j, which is not an address',
    (address) => {
      expect(open.check(address)).toBe('not an IP address');
    },
  );

  test('judges an address with a zone as without one, and blocks a public one for the zone', () => {
    expect(open.check('fe80::1%eth0')).toBe('link-local');
    expect(open.check('::1%lo')).toBe('loopback');
    expect(open.check('2606:4700:4700::1111%eth0')).toBe('zone id');
    expect(open.check('::ffff:127.0.0.1%1')).toBe('loopback');
  });
});

describe('an address policy with allowed blocks', () => {
  test('lets the addresses of these blocks pass, and no others', () => {
    const policy = new AddressPolicy(['127.0.0.0/8', '10.1.2.3/32', 'fd00::/8', 'fe80::/10']);
    expect(policy.check('127.0.0.1')).toBeNull();
    expect(policy.check('10.1.2.3')).toBeNull();
    expect(policy.check('fd12::1')).toBeNull();
    expect(policy.check('fe80::1%eth0')).toBeNull();
    expect(policy.check('10.1.2.4')).toBe('private');
    expect(policy.check('fc12::1')).toBe('unique local');
    expect(policy.check('::1')).toBe('loopback');
  });

  test('judges a mapped address by the IPv4 block, however the block is spelt', () => {
    expect(new AddressPolicy(['127.0.0.0/8']).check('::ffff:127.0.0.1')).toBeNull();
    expect(new AddressPolicy(['::ffff:127.0.0.0/104']).check('127.0.0.1')).toBeNull();
    expect(new AddressPolicy(['::ffff:127.0.0.0/104']).check('::ffff:127.0.0.1')).toBeNull();
  });

  test('lets other embeddings pass only where both the form and the embedded address may be reached', () => {
    expect(new AddressPolicy(['10.0.0.0/8']).check('64:ff9b::10.0.0.1')).toBe('nat64');
    expect(new AddressPolicy(['64:ff9b::/96']).check('64:ff9b::10.0.0.1')).toBe('private (nat64)');
    expect(new AddressPolicy(['64:ff9b::/96']).check('64:ff9b::8.8.8.8')).toBeNull();
    expect(new AddressPolicy(['64:ff9b::/96', '10.0.0.0/8']).check('64:ff9b::10.0.0.1')).toBeNull();
  });
});

describe('an address policy that denies', () => {
  const policy = new AddressPolicy(['10.0.0.0/8', 'fd00::/8', '64:ff9b::/96', '2002::/16'], {
    denied: parseDeniedTargets('10.9.0.0/16, 8.8.8.0/24, fd00:1::/32, *.corp.example, deny.example'),
    ports: new PortRanges('443, 8000-8999'),
  });

  test.each(['10.9.0.1', '::ffff:10.9.0.1', '8.8.8.8', 'fd00:1::7', 'fd00:1::7%eth0'])('closes %s, whatever is allowed', (address) => {
    expect(policy.check(address)).toBe('denied');
  });

  test.each(['64:ff9b::8.8.8.8', '2002:0808:0808::1'])('closes %s, which carries a denied address', (address) => {
    expect(policy.check(address)).toMatch(/^denied /);
  });

  test.each(['10.8.0.1', '8.8.4.4', 'fd00:2::7', '64:ff9b::8.8.4.4'])('leaves %s open', (address) => {
    expect(policy.check(address)).toBeNull();
  });

  test('closes hosts by their names, and by a wildcard those below it', () => {
    const names = [
      'deny.example',
      'DENY.example.',
      'a.corp.example',
      'b.a.corp.example',
      'corp.example',
      'a.deny.example',
      'xcorp.example',
    ];
    expect(names.map((name) => policy.checkHost(name))).toEqual(['denied', 'denied', 'denied', 'denied', null, null, null]);
  });

  test('opens the ports that are listed, and no others', () => {
    expect([443, 8000, 8999].map((port) => policy.checkPort(port))).toEqual([null, null, null]);
    for (const port of [80, 442, 7999, 9000]) expect(policy.checkPort(port)).toBe('allowed ports: 443, 8000-8999');
  });
});

describe('parsing an allowed block', () => {
  test.each(['0.0.0.0/0', '127.0.0.0/8', '10.1.2.3/32', 'fd00::/8', '::/0', '::1/128', ' 10.0.0.0/8 '])('accepts %j', (text) => {
    expect(() => parseAllowedTarget(text)).not.toThrow();
  });

  test.each([
    ['', 'expected a CIDR such as 10.0.0.0/8 or fd00::/8, got ""'],
    ['internal', 'expected a CIDR such as 10.0.0.0/8 or fd00::/8, got "internal"'],
    ['010.0.0.0/8', 'expected a CIDR such as 10.0.0.0/8 or fd00::/8, got "010.0.0.0/8"'],
    ['10/8', 'expected a CIDR such as 10.0.0.0/8 or fd00::/8, got "10/8"'],
    ['10.0.0.0/8/9', 'expected a CIDR such as 10.0.0.0/8 or fd00::/8, got "10.0.0.0/8/9"'],
    ['fe80::%eth0/10', 'expected a CIDR such as 10.0.0.0/8 or fd00::/8, got "fe80::%eth0/10"'],
    ['127.0.0.1', 'expected a CIDR such as 127.0.0.1/32, got "127.0.0.1" without a prefix'],
    ['::1', 'expected a CIDR such as ::1/128, got "::1" without a prefix'],
    ['10.0.0.0/33', 'expected a prefix from 0 to 32 after the "/", got "10.0.0.0/33"'],
    ['10.0.0.0/', 'expected a prefix from 0 to 32 after the "/", got "10.0.0.0/"'],
    ['10.0.0.0/-1', 'expected a prefix from 0 to 32 after the "/", got "10.0.0.0/-1"'],
    ['fd00::/129', 'expected a prefix from 0 to 128 after the "/", got "fd00::/129"'],
    ['10.1.2.3/8', 'expected 10.0.0.0/8 or a longer prefix, got "10.1.2.3/8"'],
    ['fd00::1/8', 'expected fd00::/8 or a longer prefix, got "fd00::1/8"'],
  ])('refuses %j and says what was expected', (text, message) => {
    expect(() => parseAllowedTarget(text)).toThrow(new Error(message));
  });
});

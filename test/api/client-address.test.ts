import type { IncomingMessage } from 'node:http';
import { clientAddresses } from '../../src/api/client-address';
import { Networks, plainAddress } from '../../src/net/networks';

const from = (remoteAddress: string | undefined, forwardedFor?: string) =>
  ({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwardedFor } }) as unknown as IncomingMessage;

describe('The address of a client', () => {
  test.each([
    ['203.0.113.9', undefined, '203.0.113.9'],
    ['::ffff:203.0.113.9', undefined, '203.0.113.9'],
    ['2001:DB8::9', undefined, '2001:db8::9'],
    ['fe80::1%eth0', undefined, 'fe80::1'],
    ['203.0.113.9', '198.51.100.1', '203.0.113.9'], // nobody that is trusted
    ['10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['::ffff:10.0.0.1', '::ffff:198.51.100.1', '198.51.100.1'],
    ['10.0.0.1', '6.6.6.6, 198.51.100.1', '198.51.100.1'], // what stands before it the client made up
    ['10.0.0.1', '6.6.6.6, 198.51.100.1, 10.0.0.2', '198.51.100.1'],
    ['10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['10.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
    ['10.0.0.1', '[2001:db8::7]:4711', '2001:db8::7'],
    ['10.0.0.1', '198.51.100.1, unknown', '10.0.0.1'],
    ['10.0.0.1', '', '10.0.0.1'],
    ['10.0.0.1', undefined, '10.0.0.1'],
    [undefined, '198.51.100.1', null],
  ])('that is connected from %s with X-Forwarded-For %s, behind proxies in 10.0.0.0/8, is %s', (remote, forwarded, address) => {
    expect(clientAddresses(['10.0.0.0/8'])(from(remote, forwarded))).toBe(address);
  });

  test('is that of the connection where no proxy is trusted', () => {
    expect(clientAddresses([])(from('10.0.0.1', '198.51.100.1'))).toBe('10.0.0.1');
  });
});

describe('Networks', () => {
  test('hold an IPv4 address in IPv6 clothes as that address, and nothing that is no address', () => {
    const networks = new Networks(['203.0.113.0/24', '2001:db8::/32', '::ffff:10.0.0.0/104']);
    for (const address of ['203.0.113.9', '::ffff:203.0.113.9', '::FFFF:cb00:7109', '2001:db8::1', '10.9.9.9', '::ffff:10.9.9.9'])
      expect([address, networks.includes(address)]).toEqual([address, true]);
    for (const address of ['203.0.114.9', '::203.0.113.9', '2001:db9::1', '', 'localhost', '203.0.113.9/24'])
      expect([address, networks.includes(address)]).toEqual([address, false]);
    expect(new Networks(['0.0.0.0/0']).includes('2001:db8::1')).toBe(false);
    expect(plainAddress('nonsense')).toBeUndefined();
  });
});

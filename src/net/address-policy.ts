import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { PortRanges } from './port-ranges';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** A block of addresses: those whose first `bits` bits equal those of `network`. */
export interface Cidr {
  readonly network: Address;
  readonly bits: number;
}

const MAPPED_BITS = 96;

/**
 * Reads one CIDR such as `10.0.0.0/8` or `fd00::/8`. Strict: no short or octal IPv4, no zone, no bits set behind the
 * prefix, since `10.1.2.3/8` more often means one machine than 16 million. Throws an Error whose message says what was
 * expected and what came.
 */
export function parseAllowedTarget(text: string): Cidr {
  const [address = '', prefix, ...rest] = text.trim().split('/');
  if (isIP(address) === 0 || address.includes('%') || rest.length > 0) {
    throw new Error(`expected a CIDR such as 10.0.0.0/8 or fd00::/8, got ${JSON.stringify(text)}`);
  }
  const network = parseAddress(address);
  const widest = network.kind() === 'ipv4' ? 32 : 128;
  if (prefix === undefined) throw new Error(`expected a CIDR such as ${address}/${widest}, got ${JSON.stringify(text)} without a prefix`);
  const bits = Number(prefix);
  if (!/^\d{1,3}$/.test(prefix) || bits > widest) {
    throw new Error(`expected a prefix from 0 to ${widest} after the "/", got ${JSON.stringify(text)}`);
  }
  const cleared = clearHostBits(network, bits);
  if (cleared !== network.toString()) throw new Error(`expected ${cleared}/${bits} or a longer prefix, got ${JSON.stringify(text)}`);
  return unmapCidr({ network, bits });
}

/**
 * Reads what `isIP` has accepted. A dotted tail is written in hexadecimal first, since ipaddr.js takes `::8.8.8.8` for
 * the mapped `::ffff:8.8.8.8` while sockets do not.
 */
export function parseAddress(address: string): Address {
  if (isIP(address) === 4) return ipaddr.IPv4.parse(address);
  return ipaddr.IPv6.parse(address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => `${hex(a, b)}:${hex(c, d)}`));
}

function hex(high: string, low: string): string {
  return (Number(high) * 256 + Number(low)).toString(16);
}

function clearHostBits(network: Address, bits: number): string {
  const cidr = `${network.toString()}/${bits}`;
  return (network.kind() === 'ipv4' ? ipaddr.IPv4.networkAddressFromCIDR(cidr) : ipaddr.IPv6.networkAddressFromCIDR(cidr)).toString();
}

/** `::ffff:10.0.0.0/104` is another spelling of 10.0.0.0/8, and mapped addresses are judged as IPv4. */
function unmapCidr({ network, bits }: Cidr): Cidr {
  if (!isIPv6(network) || bits < MAPPED_BITS || !network.isIPv4MappedAddress()) return { network, bits };
  return { network: network.toIPv4Address(), bits: bits - MAPPED_BITS };
}

/**
 * IPv4 that is not plain global unicast: the IANA special-purpose registry, multicast, the class E space, and one public
 * address that answers only inside a cloud. Written out instead of ipaddr.js's `range()`, whose names and gaps may change
 * with a release: what is blocked is decided here. The first match names the reason.
 */
const SPECIAL_V4 = table({
  unspecified: ['0.0.0.0/8'],
  loopback: ['127.0.0.0/8'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
  'link-local': ['169.254.0.0/16'],
  cgnat: ['100.64.0.0/10'],
  documentation: ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24'],
  benchmarking: ['198.18.0.0/15'],
  // 168.63.129.16 is Azure's host agent, reachable from every virtual machine there.
  'cloud metadata': ['168.63.129.16/32'],
  multicast: ['224.0.0.0/4'],
  broadcast: ['255.255.255.255/32'],
  // Protocol assignments, AS112, AMT, the retired 6to4 relays, class E.
  reserved: ['192.0.0.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.175.48.0/24', '240.0.0.0/4'],
});

/** The same for IPv6, without the forms that carry an IPv4 address. */
const SPECIAL_V6 = table({
  unspecified: ['::/128'],
  loopback: ['::1/128'],
  'link-local': ['fe80::/10'],
  'site-local': ['fec0::/10'],
  'unique local': ['fc00::/7'],
  multicast: ['ff00::/8'],
  discard: ['100::/64'],
  documentation: ['2001:db8::/32', '3fff::/20'],
  benchmarking: ['2001:2::/48'],
  orchid: ['2001:10::/28', '2001:20::/28'],
  // The rest of the protocol assignments, and AS112.
  reserved: ['2001::/23', '2620:4f:8000::/48'],
});

/** Global unicast is assigned from here only; everything outside is reserved, whether a table names it or not. */
const GLOBAL_V6 = parseAllowedTarget('2000::/3');

/** Ways to write an IPv4 address inside an IPv6 one. A packet to such an address ends up at the IPv4 address. */
const EMBEDDINGS: readonly { readonly name: string; readonly block: Cidr; readonly embedded: (bytes: number[]) => number[] }[] = [
  { name: 'v4-compatible', block: parseAllowedTarget('::/96'), embedded: (bytes) => bytes.slice(12) },
  { name: 'v4-translated', block: parseAllowedTarget('::ffff:0:0:0/96'), embedded: (bytes) => bytes.slice(12) },
  { name: 'nat64', block: parseAllowedTarget('64:ff9b::/96'), embedded: (bytes) => bytes.slice(12) },
  // Of the layouts RFC 6052 allows under a local prefix, the usual /96 one.
  { name: 'nat64', block: parseAllowedTarget('64:ff9b:1::/48'), embedded: (bytes) => bytes.slice(12) },
  { name: '6to4', block: parseAllowedTarget('2002::/16'), embedded: (bytes) => bytes.slice(2, 6) },
  // The client's address, stored inverted.
  { name: 'teredo', block: parseAllowedTarget('2001::/32'), embedded: (bytes) => bytes.slice(12).map((byte) => byte ^ 0xff) },
];

/** What webhooks may not reach although it is public, or allowed. */
export interface DeniedTargets {
  readonly cidrs: readonly string[];
  /** In lower case; `*.example.com` means every name below example.com. */
  readonly hosts: readonly string[];
}

/** Reads CIDRs and host names, separated by commas. Throws an Error whose message says what was expected and what came. */
export function parseDeniedTargets(text: string): DeniedTargets {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const cidrs = parts.filter((part) => /[/:]/.test(part) || isIP(part) !== 0);
  for (const cidr of cidrs) parseAllowedTarget(cidr);
  const hosts = parts.filter((part) => !cidrs.includes(part)).map((part) => part.toLowerCase().replace(/\.$/, ''));
  for (const host of hosts)
    if (!/^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(host))
      throw new Error(
        `expected a CIDR such as 203.0.113.0/24, or a host such as example.com or *.example.com, got ${JSON.stringify(host)}`,
      );
  return { cidrs, hosts };
}

interface Restrictions {
  /** Wins over `allowed`. */
  readonly denied?: DeniedTargets;
  /** Default: every port. */
  readonly ports?: PortRanges;
}

/** Decides which addresses, ports and hosts webhooks may reach: plain global unicast, and what the operator allowed. */
export class AddressPolicy {
  readonly #allowed: readonly Cidr[];
  readonly #denied: readonly Cidr[];
  readonly #deniedHosts: readonly string[];
  readonly #ports: PortRanges;

  /** `allowed`: CIDRs that may be reached although they are not public. Throws as {@link parseAllowedTarget}. */
  constructor(allowed: readonly string[] = [], { denied, ports = new PortRanges('1-65535') }: Restrictions = {}) {
    this.#allowed = allowed.map(parseAllowedTarget);
    this.#denied = (denied?.cidrs ?? []).map(parseAllowedTarget);
    this.#deniedHosts = denied?.hosts ?? [];
    this.#ports = ports;
  }

  /** Null when `port` may be reached, else which ones may. */
  checkPort(port: number): string | null {
    return this.#ports.has(port) ? null : `allowed ports: ${this.#ports}`;
  }

  /** Null unless the operator has denied this name. What it leads to is for {@link check} to say. */
  checkHost(hostname: string): string | null {
    const name = hostname.toLowerCase().replace(/\.$/, '');
    const isDenied = this.#deniedHosts.some((host) => (host.startsWith('*.') ? name.endsWith(host.slice(1)) : name === host));
    return isDenied ? 'denied' : null;
  }

  /**
   * Null when `address` may be reached, else why not, in a word or two: `loopback`, `private`, `link-local` …
   * Takes an address as the resolver and sockets give it (no brackets); what cannot be read is blocked.
   */
  check(address: string): string | null {
    const [plain = '', zone] = address.split('%', 2);
    if (isIP(plain) === 0) return 'not an IP address';
    const parsed = parseAddress(plain);
    const reason = isIPv6(parsed) ? this.#checkV6(parsed) : this.#checkV4(parsed);
    if (reason !== null || zone === undefined) return reason;
    // Zones belong to link-local addresses; on any other they only help to dodge a comparison.
    return this.#allows(parsed) ? null : 'zone id';
  }

  #checkV4(address: ipaddr.IPv4): string | null {
    if (this.#denies(address)) return 'denied';
    if (this.#allows(address)) return null;
    return nameOf(address, SPECIAL_V4);
  }

  #checkV6(address: ipaddr.IPv6): string | null {
    // Sockets treat a mapped address as the IPv4 address it holds, so it is judged as that and nothing else.
    if (address.isIPv4MappedAddress()) return this.#checkV4(address.toIPv4Address());
    if (this.#denies(address)) return 'denied';
    const plain = nameOf(address, EXACT_V6);
    const embedding = plain === null ? EMBEDDINGS.find(({ block }) => contains(block, address)) : undefined;
    if (embedding === undefined) return this.#allows(address) ? null : (nameOf(address, SPECIAL_V6) ?? outsideGlobal(address));
    // Both must be fit to be reached: the relay that the outer address leads to, and the machine behind it.
    const inner = this.#checkV4(new ipaddr.IPv4(embedding.embedded(address.toByteArray())));
    if (inner !== null) return `${inner} (${embedding.name})`;
    return this.#allows(address) ? null : embedding.name;
  }

  #denies(address: Address): boolean {
    return this.#denied.some((block) => contains(block, address));
  }

  #allows(address: Address): boolean {
    return this.#allowed.some((block) => contains(block, address));
  }
}

/** `::` and `::1` lie in the v4-compatible block without being of that form. */
const EXACT_V6 = SPECIAL_V6.filter(({ block }) => block.bits === 128);

function outsideGlobal(address: ipaddr.IPv6): string | null {
  return contains(GLOBAL_V6, address) ? null : 'reserved';
}

interface NamedBlock {
  readonly name: string;
  readonly block: Cidr;
}

function table(blocks: Record<string, readonly string[]>): readonly NamedBlock[] {
  return Object.entries(blocks).flatMap(([name, cidrs]) => cidrs.map((cidr) => ({ name, block: parseAllowedTarget(cidr) })));
}

function nameOf(address: Address, blocks: readonly NamedBlock[]): string | null {
  return blocks.find(({ block }) => contains(block, address))?.name ?? null;
}

function contains(block: Cidr, address: Address): boolean {
  return address.kind() === block.network.kind() && address.match(block.network, block.bits);
}

function isIPv6(address: Address): address is ipaddr.IPv6 {
  return address.kind() === 'ipv6';
}

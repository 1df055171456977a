import { isIP } from 'node:net';
import type ipaddr from 'ipaddr.js';
import { type Cidr, parseAddress, parseAllowedTarget } from './address-policy';

/** Blocks of addresses, as CIDRs. */
export class Networks {
  readonly #blocks: readonly Cidr[];

  /** @throws Error that says what was expected */
  constructor(cidrs: readonly string[]) {
    this.#blocks = cidrs.map(parseAllowedTarget);
  }

  includes(address: string): boolean {
    const parsed = plain(address);
    return parsed !== undefined && this.#blocks.some((block) => isWithin(parsed, block));
  }
}

/** An address as it is shown and compared: an IPv4 address in IPv6 clothes is the IPv4 address. Undefined for what is none. */
export function plainAddress(text: string): string | undefined {
  return plain(text)?.toString();
}

function plain(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  const [address = ''] = text.split('%', 1);
  if (isIP(address) === 0) return undefined;
  const parsed = parseAddress(address);
  return 'isIPv4MappedAddress' in parsed && parsed.isIPv4MappedAddress() ? parsed.toIPv4Address() : parsed;
}

function isWithin(address: ipaddr.IPv4 | ipaddr.IPv6, { network, bits }: Cidr): boolean {
  return address.kind() === network.kind() && address.match(network as never, bits);
}

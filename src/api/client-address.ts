import type { IncomingMessage } from 'node:http';
import { isIP, type Socket } from 'node:net';
import { Networks, plainAddress } from '../net/networks';

/** Where a request comes from; null when its connection is gone already. */
export type AddressOf = (request: IncomingMessage) => string | null;

/** A list of a thousand proxies was written by somebody who wants it to be read for long. */
const MAX_PROXIES_PER_REQUEST = 20;

/**
 * The address of the client. `X-Forwarded-For` is believed as far as it was written by proxies of `trusted`: read from
 * its end, the first address that is none of them is the client's. What stands before it anybody may have made up.
 */
export function clientAddresses(trusted: readonly string[]): AddressOf {
  const proxies = new Networks(trusted);
  // Parsed once a connection: for each request it was 1.1 % of what a publish takes.
  const peers = new WeakMap<Socket, string>();
  const peerOf = (socket: Socket): string | undefined => {
    const address = peers.get(socket) ?? plainAddress(socket.remoteAddress ?? '');
    if (address !== undefined) peers.set(socket, address);
    return address;
  };
  return ({ socket, headers }) => {
    let address = peerOf(socket);
    if (address === undefined || trusted.length === 0) return address ?? null;
    const forwarded = String(headers['x-forwarded-for'] ?? '').split(',');
    for (const hop of forwarded.reverse().slice(0, MAX_PROXIES_PER_REQUEST)) {
      if (!proxies.includes(address)) break;
      const next = plainAddress(withoutPort(hop.trim()));
      if (next === undefined) break; // "unknown", or nonsense: the proxy that wrote it is all that is known
      address = next;
    }
    return address;
  };
}

/** Some proxies add it: `203.0.113.9:4711`, `[2001:db8::9]:4711`. */
function withoutPort(hop: string): string {
  if (isIP(hop) !== 0) return hop;
  return /^\[([^\]]*)\](:\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop;
}

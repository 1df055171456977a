import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type Socket } from 'node:net';
import { parseUrl } from './url';

/** An HTTP proxy that all of a hub's webhooks go through, by CONNECT. */
export interface EgressProxy {
  readonly hostname: string;
  readonly port: number;
  readonly isSecure: boolean;
  /** The value of `proxy-authorization`. */
  readonly authorization: string | null;
}

/** @throws Error that says what was expected */
export function parseEgressProxy(text: string): EgressProxy {
  const url = parseUrl(text);
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw new Error('expected http://host:port or https://host:port, with user:password@ where the proxy asks for it');
  const isSecure = url.protocol === 'https:';
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return {
    hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port) || (isSecure ? 443 : 80),
    isSecure,
    authorization: credentials === ':' ? null : `Basic ${Buffer.from(credentials).toString('base64')}`,
  };
}

/** The proxy was asked and did not connect. */
export class TunnelRefused extends Error {
  constructor(
    readonly status: number,
    /** What the proxy says about it: for the operator alone. */
    readonly reason: string,
  ) {
    super(`the proxy answered ${status}`);
  }

  /** Whether another address of the same name may fare better: this one was not reached, rather than not permitted. */
  get isUnreachable(): boolean {
    return this.status >= 500;
  }
}

/**
 * Asks for a tunnel to an address that the hub has resolved and checked: were the proxy given the name, it would resolve
 * it again, and the check would be of another answer. `tunnelThrough(...)[0]` may be destroyed at any time.
 */
export function tunnelThrough(proxy: EgressProxy, address: string, port: number): [ClientRequest, Promise<Socket>] {
  const authority = `${isIP(address) === 6 ? `[${address}]` : address}:${port}`;
  const request = (proxy.isSecure ? httpsRequest : httpRequest)({
    method: 'CONNECT',
    hostname: proxy.hostname,
    port: proxy.port,
    path: authority,
    headers: { host: authority, ...(proxy.authorization === null ? {} : { 'proxy-authorization': proxy.authorization }) },
    agent: false,
  });
  return [request.end(), opened(request)];
}

function opened(request: ClientRequest): Promise<Socket> {
  return new Promise((resolve, reject) => {
    request.once('connect', (response: IncomingMessage, socket: Socket, head: Buffer) => {
      // Stays for the life of the socket: an error nobody listens to would end the process.
      socket.on('error', reject);
      if (response.statusCode === 200 && head.length === 0) return resolve(socket);
      socket.destroy();
      const reason =
        head.length > 0 && response.statusCode === 200
          ? 'the receiver spoke first'
          : String(response.headers['x-smokescreen-error'] ?? response.statusMessage ?? '');
      reject(new TunnelRefused(response.statusCode ?? 0, reason.slice(0, 200)));
    });
    request.on('error', reject);
    request.once('close', () => reject(new Error('closed')));
  });
}

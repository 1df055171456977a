import { isIP } from 'node:net';

const SERVER = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d{1,5}))?$/;

/**
 * Addresses of name servers, with a port where it is not 53.
 * @throws Error that says what was expected
 */
export function parseDnsServers(text: string): readonly string[] {
  const servers = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (!servers.every(isServer))
    throw new Error('expected addresses separated by commas, with a port where it is not 53, such as 10.0.0.53 or [fd00::53]:5353');
  return servers;
}

function isServer(server: string): boolean {
  if (isIP(server) !== 0) return true;
  const [, bracketed = '', plain = '', port = '53'] = SERVER.exec(server) ?? [];
  return (isIP(bracketed) === 6 || isIP(plain) === 4) && Number(port) >= 1 && Number(port) <= 65_535;
}

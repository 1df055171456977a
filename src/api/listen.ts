import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CannotStart } from '../errors';

/** A setting of the port, for what is said about it. */
type PortSetting = 'PORT' | 'LIVEHOOK_METRICS_PORT';

/**
 * Listens and returns the address, e.g. `http://127.0.0.1:4000`.
 * @throws CannotStart with a sentence for the operator
 */
export async function listen(server: Server, host: string, port: number, setting: PortSetting): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    // Later ones are of connections that could not be taken, which is no reason to end.
    server.on('error', (error: NodeJS.ErrnoException) => reject(new CannotStart(problemOf(error, host, port, setting), error)));
    server.listen(port, host, resolve);
  });
  const { address, port: actual, family } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`;
}

function problemOf({ code, message }: NodeJS.ErrnoException, host: string, port: number, setting: PortSetting): string {
  switch (code) {
    case 'EADDRINUSE':
      return `${setting}: port ${port} of ${host} is in use by another program, perhaps another hub: end that one, or set ${setting} to another port`;
    case 'EACCES':
      return `${setting}: this user may not listen on port ${port} of ${host}: set ${setting} to a port from 1024 on, behind a reverse proxy`;
    case 'EADDRNOTAVAIL':
      return `HOST: expected an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them; got ${host}`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `HOST: expected an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them; got a name that no name server knows: ${host}`;
    default:
      return `HOST, ${setting}: the hub cannot listen on port ${port} of ${host}: ${message}`;
  }
}

import { promises as dns } from 'node:dns';
import { SECOND } from '../clock';

/** The addresses of a host name, IPv4 and IPv6 as text; rejects when there is none. */
export type Lookup = (hostname: string) => Promise<readonly string[]>;

const DNS_TIMEOUT_MS = 5 * SECOND;
/** Answers of a name server that leave room for a hosts file or a search domain to know better. */
const UNKNOWN_TO_DNS = new Set(['ENOTFOUND', 'ENODATA', 'ECONNREFUSED']);

/**
 * Resolves by asking the name servers of the system directly. `getaddrinfo` would block one of four threads that the
 * whole process shares, so that a few webhooks with a dead name server would hold up everybody. It is asked, one name at
 * a time, only about what the name servers don't know: names from the hosts file and those without a dot.
 */
export function systemLookup(): Lookup {
  const running = new Map<string, Promise<readonly string[]>>();
  let hostsTurn: Promise<unknown> = Promise.resolve();

  const askHosts = (hostname: string): Promise<readonly string[]> => {
    const answer = hostsTurn.then(() => dns.lookup(hostname, { all: true })).then((found) => found.map(({ address }) => address));
    hostsTurn = answer.catch(() => undefined);
    return answer;
  };
  const resolve = async (hostname: string) => (hasDomain(hostname) ? await askNameServers(hostname) : null) ?? askHosts(hostname);

  // Connections made together share one question; each still judges the answer.
  return (hostname) => {
    const shared = running.get(hostname);
    if (shared !== undefined) return shared;
    const answer = resolve(hostname).finally(() => running.delete(hostname));
    running.set(hostname, answer);
    return answer;
  };
}

function hasDomain(hostname: string): boolean {
  const name = hostname.replace(/\.$/, '');
  return name.includes('.') && !name.endsWith('.localhost');
}

/** Null when the name servers don't know the name. */
async function askNameServers(hostname: string): Promise<readonly string[] | null> {
  const resolver = new dns.Resolver({ timeout: DNS_TIMEOUT_MS, tries: 2 });
  const [v4, v6] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
  const found = [v4, v6].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  if (found.length > 0) return found;
  const failures = [v4, v6].flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []));
  const unexpected = failures.find(({ code }) => !UNKNOWN_TO_DNS.has(code));
  if (unexpected !== undefined) throw unexpected;
  return null;
}

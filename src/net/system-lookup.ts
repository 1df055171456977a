import { promises as dns } from 'node:dns';
import { LRUCache } from 'lru-cache';
import { type Clock, SECOND, sleep } from '../clock';
import { FairShare } from '../fair-share';
import { HostsFile, systemHostsFile } from './hosts-file';
import { candidates, type SearchList, systemSearchList } from './search-list';

/** The addresses of a host name, IPv4 and IPv6 as text; rejects when there is none. `applicationId`: whose question it is. */
export type Lookup = (hostname: string, applicationId: string) => Promise<readonly string[]>;

export interface LookupOptions {
  readonly clock: Clock;
  /** Addresses of name servers, with a port where it is not 53. Default: those of the system. */
  readonly servers?: readonly string[];
  readonly hostsFile?: string;
  readonly searchList?: SearchList;
}

/** A name server that says nothing is asked once more. */
const SERVER_TIMEOUT_MS = 2 * SECOND;
const TRIES = 2;
/** For everything that has to be asked about one name. */
const MAX_LOOKUP_MS = 6 * SECOND;
/** When one family of addresses is known, how long the other is waited for: some name servers answer no AAAA at all. */
const OTHER_FAMILY_MS = SECOND / 4;
/** Each is a socket. An application has at most half of what is free. */
const MAX_LOOKUPS = 1_024;
/** How long a name that has no address, or whose name server is silent, is not asked for again. */
const FAILURE_KEPT_MS = 5 * SECOND;
const MAX_FAILURES_KEPT = 10_000;
/** What means that there is no such name, so that the next completion of it may be tried. */
const UNKNOWN = new Set(['ENOTFOUND', 'ENODATA']);
const LOOPBACK = ['127.0.0.1', '::1'];

interface Failure {
  readonly error: Error;
  readonly until: number;
}

/**
 * Resolves names without `getaddrinfo`, which takes one of four threads that the whole process shares for as long as a
 * name server is silent: a few hostile names would hold up everybody's. What it would do is done here: the hosts file,
 * the search list of resolv.conf, and the name servers, asked over sockets of their own. Other sources of nsswitch.conf,
 * such as mDNS or LDAP, are not asked.
 *
 * A name is asked for once, however many wait for it, and a failure is remembered for some seconds. Names of different
 * applications never wait for each other.
 */
export function systemLookup({ clock, servers, hostsFile = systemHostsFile(), searchList = systemSearchList() }: LookupOptions): Lookup {
  const hosts = new HostsFile(hostsFile, clock);
  const share = new FairShare(MAX_LOOKUPS);
  const running = new Map<string, Promise<readonly string[]>>();
  const failures = new LRUCache<string, Failure>({ max: MAX_FAILURES_KEPT });

  const ask = async (name: string, applicationId: string): Promise<readonly string[]> => {
    if (!share.take(applicationId, 1)) throw new Error(`too many names of ${applicationId} are being resolved`);
    try {
      return await resolve(name, { clock, servers, searchList });
    } catch (error) {
      failures.set(name, { error: error as Error, until: clock.monotonic() + FAILURE_KEPT_MS });
      throw error;
    } finally {
      share.giveBack(applicationId, 1);
    }
  };

  return async (hostname, applicationId) => {
    const name = hostname.toLowerCase();
    const local = (await hosts.addressesOf(name.replace(/\.$/, ''))) ?? loopback(name);
    if (local !== undefined) return local;
    const failure = failures.get(name);
    if (failure !== undefined && failure.until > clock.monotonic()) throw failure.error;
    // Connections made together share one question; each still judges the answer.
    const shared = running.get(name);
    if (shared !== undefined) return shared;
    const answer = ask(name, applicationId).finally(() => running.delete(name));
    running.set(name, answer);
    return answer;
  };
}

/** RFC 6761: these lead to this machine, whatever a name server says. */
function loopback(name: string): readonly string[] | undefined {
  return /(^|\.)localhost\.?$/.test(name) ? LOOPBACK : undefined;
}

interface Asking {
  readonly clock: Clock;
  readonly servers: readonly string[] | undefined;
  readonly searchList: SearchList;
}

/** Asks for each whole name in turn until one has addresses. */
async function resolve(name: string, { clock, servers, searchList }: Asking): Promise<readonly string[]> {
  const resolver = new dns.Resolver({ timeout: SERVER_TIMEOUT_MS, tries: TRIES });
  if (servers !== undefined) resolver.setServers(servers);
  const cancel = clock.after(MAX_LOOKUP_MS, () => resolver.cancel());
  try {
    let unknown: unknown;
    for (const candidate of candidates(name, searchList)) {
      try {
        return await addressesOf(candidate, resolver, clock);
      } catch (error) {
        if (!UNKNOWN.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
        unknown ??= error;
      }
    }
    throw unknown;
  } finally {
    cancel();
    resolver.cancel(); // an answer that nobody waits for any more
  }
}

async function addressesOf(name: string, resolver: dns.Resolver, clock: Clock): Promise<readonly string[]> {
  const found: string[] = [];
  const failed: NodeJS.ErrnoException[] = [];
  const families = [resolver.resolve4(name), resolver.resolve6(name)].map((family) =>
    family.then(
      (addresses) => void found.push(...addresses),
      (error: NodeJS.ErrnoException) => void failed.push(error),
    ),
  );
  const both = Promise.all(families);
  await Promise.race(families);
  if (found.length > 0) await Promise.race([both, sleep(clock, OTHER_FAMILY_MS)]);
  else await both;
  if (found.length > 0) return [...found];
  throw failed.find(({ code }) => !UNKNOWN.has(code ?? '')) ?? failed[0] ?? new Error('no answer');
}

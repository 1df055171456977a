import { readFileSync } from 'node:fs';

/** How the system completes names, from resolv.conf. */
export interface SearchList {
  readonly domains: readonly string[];
  /** A name with so many dots is tried as it is before it is completed. */
  readonly ndots: number;
}

const NO_SEARCH: SearchList = { domains: [], ndots: 1 };
/** As many as glibc took for long; each is another question. */
const MAX_DOMAINS = 6;
const MAX_NDOTS = 15;

/** Pure: the last of the lines `search` and `domain` counts, as for glibc. */
export function parseSearchList(text: string): SearchList {
  let { domains, ndots } = NO_SEARCH;
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === 'search' || keyword === 'domain')
      domains = values.slice(0, keyword === 'domain' ? 1 : MAX_DOMAINS).map((domain) => domain.replace(/\.$/, '').toLowerCase());
    const [, given] = keyword === 'options' ? (/(?:^|\s)ndots:(\d+)/.exec(values.join(' ')) ?? []) : [];
    if (given !== undefined) ndots = Math.min(Number(given), MAX_NDOTS);
  }
  return { domains: domains.filter((domain) => domain !== ''), ndots };
}

export function systemSearchList(): SearchList {
  try {
    return parseSearchList(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch {
    return NO_SEARCH; // a system without one
  }
}

/** Pure: the whole names that a name may stand for, in the order they are asked for. One that ends in a dot is whole. */
export function candidates(hostname: string, { domains, ndots }: SearchList): readonly string[] {
  if (hostname.endsWith('.')) return [hostname.slice(0, -1)];
  const completed = domains.map((domain) => `${hostname}.${domain}`);
  return hostname.split('.').length > ndots ? [hostname, ...completed] : [...completed, hostname];
}

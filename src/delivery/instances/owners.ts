import type { Queries } from '../../store/database';

/** Everybody who owns deliveries: a probe of the index for each, however many deliveries they own. */
export async function owners(queries: Queries): Promise<string[]> {
  const found: string[] = [];
  for (let last = ''; ; ) {
    const [row] = await queries.query<{ owner: string | null }>('SELECT MIN(owner) AS owner FROM deliveries WHERE owner > ?', [last]);
    const owner = row?.owner ?? null;
    if (owner === null) return found;
    found.push(owner);
    last = owner;
  }
}

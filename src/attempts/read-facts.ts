import type { Queries } from '../store/database';
import type { AttemptOutcome } from './attempt';

/** What filters ask of an attempt: none of its headers and bodies. */
export interface AttemptFacts {
  readonly outcome: AttemptOutcome;
  readonly statusCode: number | null;
  readonly durationMs: number;
}

const ATTEMPTS_PER_READ = 500;

/** By their ids; those that retention has removed are left out. */
export async function readAttemptFacts(queries: Queries, ids: readonly string[]): Promise<Map<string, AttemptFacts>> {
  const facts = new Map<string, AttemptFacts>();
  for (let start = 0; start < ids.length; start += ATTEMPTS_PER_READ) {
    const { sql, parameters } = queries.dialect.oneOf('id', ids.slice(start, start + ATTEMPTS_PER_READ));
    const rows = await queries.query<{ id: string; outcome: AttemptOutcome; status_code: number | null; duration_ms: number }>(
      `SELECT id, outcome, status_code, duration_ms FROM attempts WHERE ${sql}`,
      parameters,
    );
    for (const { id, outcome, status_code, duration_ms } of rows)
      facts.set(id, { outcome, statusCode: status_code === null ? null : Number(status_code), durationMs: Number(duration_ms) });
  }
  return facts;
}

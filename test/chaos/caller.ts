import { setTimeout as pause } from 'node:timers/promises';
import { pick, type Random } from './random';

/** What came of a request: data; a refusal that promises that nothing was done; or nobody knows. */
export type Outcome<Data> = { readonly data: Data } | 'refused' | 'unknown';

interface Body<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly { readonly message: string; readonly extensions?: { readonly code?: unknown } }[];
}

const PATIENCE_MS = 4_000;
const TRY_AGAIN: ReadonlySet<unknown> = new Set(['UNAVAILABLE', 'RATE_LIMITED']);

/** A client behind a load balancer: each request goes to any instance that takes connections. */
export class Caller {
  readonly #urls: () => readonly string[];
  readonly #key: string;
  readonly #random: Random;
  readonly #complain: (problem: string) => void;

  /** `complain` hears of answers that no failure of the surroundings excuses. */
  constructor(options: { urls: () => readonly string[]; key: string; random: Random; complain: (problem: string) => void }) {
    this.#urls = options.urls;
    this.#key = options.key;
    this.#random = options.random;
    this.#complain = options.complain;
  }

  async call<Data>(query: string, variables: Record<string, unknown>): Promise<Outcome<Data>> {
    const urls = this.#urls();
    if (urls.length === 0) return 'refused';
    try {
      const response = await fetch(`${pick(this.#random, urls)}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${this.#key}` },
        body: JSON.stringify({ query, variables }),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      return this.#outcomeOf((await response.json()) as Body<Data>);
    } catch (error) {
      // Nobody listens there: nothing was sent. Of anything else it is not known what came of it.
      return codeOf(error) === 'ECONNREFUSED' ? 'refused' : 'unknown';
    }
  }

  /** Until it is done; for set-up, while nothing is broken. */
  async insist<Data>(query: string, variables: Record<string, unknown>): Promise<Data> {
    for (;;) {
      const outcome = await this.call<Data>(query, variables);
      if (typeof outcome === 'object') return outcome.data;
      await pause(200);
    }
  }

  #outcomeOf<Data>({ data, errors = [] }: Body<Data>): Outcome<Data> {
    const [error] = errors;
    // A hub that lost its database while storing says that it does not know.
    if (error && TRY_AGAIN.has(error.extensions?.code)) return /may be stored/.test(error.message) ? 'unknown' : 'refused';
    if (!error && data) return { data };
    this.#complain(error ? `${error.extensions?.code}: ${error.message}` : 'an answer with neither data nor errors');
    return 'unknown';
  }
}

function codeOf(error: unknown): unknown {
  return (error as { cause?: { code?: unknown } }).cause?.code;
}

import type { Event } from '../events/event';
import type { Condition } from '../fanout/condition';

/** A payload query, ready to run. Equal documents of an application share one. */
export interface PayloadQuery {
  /** Tells documents apart: what two webhooks with the same key send is made once. */
  readonly key: string;
  /** Its `types` argument; null: all. */
  readonly types: readonly string[] | null;
  /** Its `filter` argument; null: all. */
  readonly condition: Condition | null;
  /** What it selects of an event, as minified JSON; rejects with a sentence when an error came instead. */
  readonly run: (event: Event) => Promise<string>;
}

/**
 * Knows GraphQL, so that nobody below the API needs to: judges a document and makes it into something to run.
 * `problem` says what is wrong with it, by the schema in force.
 */
export type CompilePayloadQuery = (document: string) => { readonly query: PayloadQuery } | { readonly problem: string };

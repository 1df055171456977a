import type { Event } from '../events/event';
import type { Condition } from '../matching/condition';

/** A payload query as far as it could be read: even one that no longer fits the schema still says which events it is for. */
export interface PayloadQuery {
  /** Tells documents apart: what two webhooks with the same key send is made once. */
  readonly key: string;
  /** Its `types` argument; null: all. */
  readonly types: readonly string[] | null;
  /** Its `filter` argument; null: all. */
  readonly condition: Condition | null;
  /** What is wrong with it by the schema in force; null: it can run. */
  readonly problem: string | null;
  /**
   * What it selects of an event, as minified JSON; rejects with a sentence when an error came instead, or as soon as it
   * is clear that it would be longer than `most` characters by far.
   */
  readonly run: (event: Event, most: number) => Promise<string>;
}

/** Knows GraphQL, so that nobody below the API needs to. */
export type CompilePayloadQuery = (document: string) => PayloadQuery;

import type { Event } from '../events/event';
import type { Condition } from '../matching/condition';

/** Something that is wrong with a document, and where it is; lines and columns count from 1. */
export interface DocumentProblem {
  readonly message: string;
  readonly line: number | null;
  readonly column: number | null;
}

/** A payload query as far as it could be read: even one that no longer fits the schema still says which events it is for. */
export interface PayloadQuery {
  /** Tells documents apart: what two webhooks with the same key send is made once. */
  readonly key: string;
  /** Its `types` argument; null: all. */
  readonly types: readonly string[] | null;
  /** Its `filter` argument; null: all. */
  readonly condition: Condition | null;
  /** The same as it was written; null: all. */
  readonly filter: unknown;
  /** What is wrong with it by the schema in force; null: it can run. */
  readonly problem: string | null;
  /** All of it, the first being `problem`. */
  readonly problems: readonly DocumentProblem[];
  /**
   * What it selects of an event, as minified JSON; rejects with a sentence when an error came instead, or as soon as it
   * is clear that it would be longer than `most` characters by far.
   */
  readonly run: (event: Event, most: number) => Promise<string>;
}

/** Knows GraphQL, so that nobody below the API needs to. */
export type CompilePayloadQuery = (document: string) => PayloadQuery;

import { HubError } from '../errors';
import { FairShare } from '../fair-share';
import type { Release } from './key-limits';
import { LIMITS } from './limits';

/** Measured: a syntax tree takes 85 to 104 times the characters of its document; 5.8 KB of fields are half a megabyte. */
const TREE_BYTES_PER_CHAR = 100;
/** Of the rest of a message, above all its variables, as values. */
const VALUE_BYTES_PER_CHAR = 4;
const RETRY_AFTER_SECONDS = 1;

/** What a subscription keeps in memory of the message that asked for it. */
export interface Kept {
  readonly messageChars: number;
  /** Subscriptions of one application that share it pay for it once. */
  readonly document: object;
  readonly documentChars: number;
}

/** Memory that subscriptions hold as long as they run, divided between applications. */
export class SubscriptionMemory {
  readonly #share = new FairShare(LIMITS.subscriptionBytes);
  /** By holder: how many of its subscriptions use a document. */
  readonly #users = new Map<string, Map<object, number>>();

  get bytes(): number {
    return this.#share.total;
  }

  /** @throws HubError RATE_LIMITED */
  take(holder: string, { messageChars, document, documentChars }: Kept): Release {
    const ownBytes = messageChars * VALUE_BYTES_PER_CHAR;
    const treeBytes = documentChars * TREE_BYTES_PER_CHAR;
    const isNew = !this.#users.get(holder)?.has(document);
    if (!this.#share.take(holder, ownBytes + (isNew ? treeBytes : 0))) throw tooMuch();
    this.#use(holder, document, 1);
    return () => {
      const isLast = this.#use(holder, document, -1) === 0;
      this.#share.giveBack(holder, ownBytes + (isLast ? treeBytes : 0));
    };
  }

  #use(holder: string, document: object, change: 1 | -1): number {
    const documents = this.#users.get(holder) ?? new Map<object, number>();
    this.#users.set(holder, documents);
    const users = (documents.get(document) ?? 0) + change;
    if (users > 0) documents.set(document, users);
    else documents.delete(document);
    if (documents.size === 0) this.#users.delete(holder);
    return users;
  }
}

function tooMuch(): HubError {
  const message = `The subscriptions that run were asked for by documents and variables too large together: try again in ${RETRY_AFTER_SECONDS} s.`;
  return new HubError('RATE_LIMITED', message, RETRY_AFTER_SECONDS);
}

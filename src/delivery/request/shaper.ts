import type { Event } from '../../events/event';
import { FairShare } from '../../fair-share';
import { TurnQueues } from '../../turn-queues';
import type { PayloadQuery } from '../../webhooks/payload-query';
import { bodyKey, type FixedBody, type Format, MAX_BODY_BYTES, readyBody, shapedBody } from './body';

/** Bodies that payload queries have made, in memory at once: being sent, or waiting for their outcome to be stored. */
export const MAX_SHAPED_BYTES = 64 * 1024 * 1024;
/** Bodies, and their events, that nobody uses at the moment but that the next webhook with the same document may. */
const MAX_UNUSED_BYTES = 8 * 1024 * 1024;
/**
 * What one turn of the event loop may read and write. A payload query over 1 MiB takes 15 to 40 ms, and without a pause
 * a thousand webhooks with a document each would have the process to themselves.
 */
const MAX_CHARS_PER_TURN = 256 * 1024;
/** What running a document takes besides, expressed in characters: about 100 µs. */
const CHARS_PER_RUN = 8 * 1024;

/** A body to be sent. It counts as used until it is released. */
export interface HeldBody {
  readonly body: FixedBody;
  /** Bytes that were made for it alone, beside the event. */
  readonly ownBytes: number;
  release(): void;
}

interface Making {
  readonly event: Event;
  readonly key: string;
  readonly query: PayloadQuery;
  readonly made: (bytes: Buffer) => void;
  readonly failed: (error: unknown) => void;
}

/** One body, made once an event and document, however many webhooks ask for it at once. */
interface Entry {
  readonly event: Event;
  readonly key: string;
  readonly bytes: Promise<Buffer>;
  /** What it holds of the share of its application; 0 until it is made. */
  heldBytes: number;
  /** Of the event that it keeps in memory. */
  readonly payloadChars: number;
  users: number;
}

/**
 * Runs payload queries one after the other, application by application in turn and a bounded amount in each turn of the
 * event loop. The bodies are shared and weighed: an application whose receivers keep many of them in flight waits for
 * its own, not the others.
 */
export class Shaper {
  readonly #share = new FairShare(MAX_SHAPED_BYTES);
  #entries = new WeakMap<Event, Map<string, Entry>>();
  /** Of the entries those that nobody uses; the longest unused first. */
  readonly #unused = new Set<Entry>();
  #unusedBytes = 0;
  /** By application. */
  readonly #waiting = new TurnQueues<Making>();
  #isRunning = false;

  /** What bodies made by payload queries take, those among them that nobody uses included. */
  get bytes(): number {
    return this.#share.total + this.#unusedBytes;
  }

  /** What a delivery sends: the body that its first attempt has fixed, or else the one that its webhook asks for now. */
  async bodyFor(
    event: Event,
    fixed: FixedBody | null,
    query: PayloadQuery | null,
    format: Format = 'STANDARD',
  ): Promise<HeldBody | { readonly problem: string; readonly cause: unknown }> {
    const ready = readyBody(event, fixed, query, format);
    if (ready !== undefined || query === null) return { body: ready as FixedBody, ownBytes: 0, release: () => {} };
    const entry = this.#use(event, bodyKey(format, query), query);
    let isReleased = false;
    const release = () => {
      if (!isReleased) this.#leave(entry);
      isReleased = true;
    };
    try {
      const bytes = await entry.bytes;
      return { body: { key: entry.key, bytes }, ownBytes: bytes.length, release };
    } catch (error) {
      release();
      return { problem: `the payload query failed: ${(error as Error).message}`, cause: error };
    }
  }

  /** Nothing that was made of this event's payload is used again. */
  forget(event: Event): void {
    for (const entry of this.#entries.get(event)?.values() ?? []) this.#takeUp(entry);
    this.#entries.delete(event);
  }

  #use(event: Event, key: string, query: PayloadQuery): Entry {
    const own = this.#entries.get(event) ?? new Map<string, Entry>();
    this.#entries.set(event, own);
    const known = own.get(key);
    if (known === undefined) {
      const entry = this.#make(event, key, query);
      own.set(key, entry);
      return entry;
    }
    if (this.#takeUp(known)) this.#share.giveBack(event.applicationId, -known.heldBytes);
    known.users++;
    return known;
  }

  #make(event: Event, key: string, query: PayloadQuery): Entry {
    const bytes = new Promise<Buffer>((made, failed) => {
      const making = { event, key, query, made, failed };
      this.#waiting.add(event.applicationId, making);
    });
    const entry: Entry = { event, key, bytes, heldBytes: 0, payloadChars: event.payloadText.length, users: 1 };
    bytes.then(
      (made) => {
        entry.heldBytes = made.length;
      },
      () => this.#remove(entry), // the next attempt tries again
    );
    this.#goOn();
    return entry;
  }

  #leave(entry: Entry): void {
    entry.users--;
    if (entry.users > 0 || entry.heldBytes === 0) return;
    this.#share.giveBack(entry.event.applicationId, entry.heldBytes);
    if (this.#entries.get(entry.event)?.get(entry.key) === entry) this.#keepUnused(entry);
    this.#goOn();
  }

  #keepUnused(entry: Entry): void {
    this.#unused.add(entry);
    this.#unusedBytes += unusedBytes(entry);
    for (const oldest of this.#unused) {
      if (this.#unusedBytes <= MAX_UNUSED_BYTES) return;
      this.#takeUp(oldest);
      this.#remove(oldest);
    }
  }

  /** Whether nobody used it; from now on it is not among those. */
  #takeUp(entry: Entry): boolean {
    const wasUnused = this.#unused.delete(entry);
    if (wasUnused) this.#unusedBytes -= unusedBytes(entry);
    return wasUnused;
  }

  #remove(entry: Entry): void {
    const own = this.#entries.get(entry.event);
    if (own?.get(entry.key) === entry) own.delete(entry.key);
  }

  #goOn(): void {
    if (this.#isRunning || this.#waiting.isEmpty) return;
    this.#isRunning = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    let chars = 0;
    for (let next = this.#next(); next; next = this.#next()) {
      chars += CHARS_PER_RUN + next.event.payloadText.length + (await this.#perform(next));
      if (chars < MAX_CHARS_PER_TURN) continue;
      chars = 0;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    this.#isRunning = false;
  }

  /** Takes the room that a body may need, of the next application that has it. */
  #next(): Making | undefined {
    return this.#waiting.next((_, applicationId) => this.#share.take(applicationId, MAX_BODY_BYTES));
  }

  /** Returns how many bytes were made. */
  async #perform({ event, key, query, made, failed }: Making): Promise<number> {
    try {
      const bytes = await shapedBody(event, key, query);
      this.#share.giveBack(event.applicationId, MAX_BODY_BYTES - bytes.length);
      made(bytes);
      return bytes.length;
    } catch (error) {
      this.#share.giveBack(event.applicationId, MAX_BODY_BYTES);
      failed(error);
      return 0;
    }
  }
}

function unusedBytes({ heldBytes, payloadChars }: Entry): number {
  return heldBytes + payloadChars;
}

import type { Caller } from '../applications/api-keys';
import { HubError } from '../errors';
import { FairShare } from '../fair-share';
import { LIMITS } from './limits';

const RETRY_AFTER_SECONDS = 1;
/** Streams that look for room again when some becomes free, the longest waiting first. Each that ends lets others look. */
const MAX_WOKEN_AT_ONCE = 16;

/** What one answer takes, from its first field until the socket has taken all of it. */
export interface UnsentAnswer {
  /**
   * So many more bytes of the answer, and of rows that are read to make it, which the connection does not hold.
   * @throws HubError RATE_LIMITED where there is no room for them
   */
  take(answerBytes: number, readBytes: number): void;
  /** The answer is made: it has so many bytes, and is there whatever the limits say. */
  made(bytes: number): void;
  release(): void;
}

/** Whose answers: the connection they go over, where there is one, and the application they are for. */
interface Owner {
  bytes: number;
}

/**
 * Bytes of answers that are being made, or wait for their client to read them: divided between applications, and of a
 * connection no more than `LIMITS.unsentBytesPerConnection`.
 */
export class Unsent {
  readonly #share: FairShare;
  readonly #connections = new WeakMap<object, Owner>();
  /** By connection, each of which waits for one message at a time. */
  readonly #waiting = new Map<object, () => void>();

  constructor(maxBytes: number) {
    this.#share = new FairShare(maxBytes);
  }

  get bytes(): number {
    return this.#share.total;
  }

  /** For one answer. `connection`: whatever stands for it; null for an answer that many connections share. */
  open(connection: object | null, caller: Caller | null): UnsentAnswer {
    const name = groupOf(caller);
    const own = connection === null ? undefined : this.#of(connection);
    let answered = 0;
    let read = 0;
    const change = (answerBytes: number, readBytes: number) => {
      answered += answerBytes;
      read += readBytes;
      if (own) own.bytes += answerBytes;
      this.#change(name, answerBytes + readBytes);
    };
    return {
      take: (answerBytes, readBytes) => {
        this.#refuse(name, own, answerBytes, readBytes);
        change(answerBytes, readBytes);
      },
      made: (bytes) => change(bytes - answered, -read),
      release: () => {
        if (answered + read !== 0) change(-answered, -read);
      },
    };
  }

  /** Undefined when there is room for a message of a stream, else resolves when there may be. */
  room(connection: object, caller: Caller | null, bytes: number): Promise<void> | undefined {
    if (this.#share.allows(groupOf(caller), bytes)) return undefined;
    return new Promise((resolve) => this.#waiting.set(connection, resolve));
  }

  /** The connection is closed: it waits for no room any more. */
  leave(connection: object): void {
    const resolve = this.#waiting.get(connection);
    this.#waiting.delete(connection);
    resolve?.();
  }

  /** There may be room, also since one that was woken does not need it. */
  wake(): void {
    let woken = 0;
    for (const [connection, resolve] of this.#waiting) {
      if (woken++ === MAX_WOKEN_AT_ONCE) return;
      this.#waiting.delete(connection);
      resolve();
    }
  }

  #of(connection: object): Owner {
    const known = this.#connections.get(connection);
    if (known) return known;
    const made = { bytes: 0 };
    this.#connections.set(connection, made);
    return made;
  }

  #refuse(name: string, own: Owner | undefined, answerBytes: number, readBytes: number): void {
    const max = LIMITS.unsentBytesPerConnection;
    if (own && own.bytes + answerBytes > max)
      throw refusal(`Answers that this connection has not read yet may hold ${max} bytes together: read them, then ask again.`);
    if (!this.#share.allows(name, answerBytes + readBytes))
      throw refusal(
        `Answers that are being made or wait to be read hold ${this.bytes} of ${this.#share.most} bytes: read yours, and try again in ${RETRY_AFTER_SECONDS} s.`,
      );
  }

  #change(name: string, bytes: number): void {
    this.#share.giveBack(name, -bytes); // what is made is there, whatever the share allows
    if (bytes < 0 && this.#waiting.size > 0) this.wake();
  }
}

function groupOf(caller: Caller | null): string {
  return caller === null ? 'no key' : (caller.applicationId ?? 'admin');
}

function refusal(message: string): HubError {
  return new HubError('RATE_LIMITED', message, RETRY_AFTER_SECONDS);
}

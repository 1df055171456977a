import type { HeaderPair, Outcome } from '../exchange';
import { tooManyInterim } from './failure';

export const MAX_RESPONSE_BODY_BYTES = 64 * 1_024;
export const MAX_RESPONSE_HEADERS = 100;
/** Each costs as much as an answer. */
const MAX_INTERIM_RESPONSES = 32;
/** Of a body: each chunk costs 3 µs, however small. */
const MAX_RESPONSE_CHUNKS = 4_096;
const MAX_ECHOED_LOCATION = 500;

/** What has come of an answer so far, within bounds. */
export class Received {
  /** Null: no answer has begun, but for 1xx. */
  statusCode: number | null = null;
  /** There was more of it than is kept. */
  isTruncated = false;
  #headers: readonly Buffer[] = [];
  #body: Buffer | null = null;
  #bytes = 0;
  #interim = 0;
  #chunks = 0;

  /**
   * 1xx are not the answer; however many come, the deadline stands.
   * @throws SendFailure for too many of them: undici stops parsing, and the rest of what has come is left alone
   */
  head(statusCode: number, headers: readonly Buffer[]): void {
    if (statusCode < 200) {
      this.#interim += 1;
      if (this.#interim > MAX_INTERIM_RESPONSES) throw tooManyInterim(MAX_INTERIM_RESPONSES);
      return;
    }
    this.statusCode = statusCode;
    this.#headers = headers;
  }

  /** False: that was enough, and `isTruncated`. */
  add(chunk: Buffer): boolean {
    const room = MAX_RESPONSE_BODY_BYTES - this.#bytes;
    this.#keep(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.#chunks += 1;
    this.isTruncated = chunk.length > room || this.#chunks > MAX_RESPONSE_CHUNKS;
    return !this.isTruncated;
  }

  /** Values are bytes by the standard; latin1 keeps each of them. */
  get headers(): HeaderPair[] {
    const kept: HeaderPair[] = [];
    const end = Math.min(this.#headers.length, 2 * MAX_RESPONSE_HEADERS);
    for (let at = 0; at < end; at += 2)
      kept.push([this.#headers[at]?.toString('latin1').toLowerCase() ?? '', this.#headers[at + 1]?.toString('latin1') ?? '']);
    return kept;
  }

  get body(): string | null {
    return this.statusCode === null ? null : (this.#body?.toString('utf8', 0, this.#bytes) ?? '');
  }

  /** What the status says. */
  get meaning(): { readonly outcome: Outcome; readonly error: string | null } {
    const status = this.statusCode ?? 0;
    if (status >= 200 && status <= 299) return { outcome: 'SUCCESS', error: null };
    if (status >= 300 && status <= 399) return { outcome: 'REDIRECT', error: this.#redirect(status) };
    return { outcome: 'HTTP_ERROR', error: `the receiver answered ${status}` };
  }

  #redirect(status: number): string {
    const location = this.headers.find(([name]) => name === 'location')?.[1];
    if (location === undefined) return `the receiver answered ${status}, a redirect without a location`;
    return `the receiver answered ${status}, a redirect to ${location.slice(0, MAX_ECHOED_LOCATION)}: redirects are not followed`;
  }

  /** Copies, so that a receiver sending single bytes cannot make each of them hold a buffer of its own. */
  #keep(chunk: Buffer): void {
    const bytes = this.#bytes + chunk.length;
    if (this.#body === null) {
      this.#body = Buffer.from(chunk);
    } else {
      if (bytes > this.#body.length) this.#body = Buffer.concat([this.#body], Math.min(2 * bytes, MAX_RESPONSE_BODY_BYTES));
      chunk.copy(this.#body, this.#bytes);
    }
    this.#bytes = bytes;
  }
}

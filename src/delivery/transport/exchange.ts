import type { Credentials } from '../../webhooks/credentials';

/** How an attempt ended: the `AttemptOutcome` of the API. */
export type Outcome = 'SUCCESS' | 'HTTP_ERROR' | 'TIMEOUT' | 'DNS' | 'CONNECT' | 'TLS' | 'BLOCKED_ADDRESS' | 'REDIRECT' | 'PAYLOAD_ERROR';

export type HeaderPair = readonly [name: string, value: string];

/** One signed request, ready to leave. */
export interface OutgoingRequest {
  /** Default: POST. */
  readonly method?: 'POST' | 'OPTIONS';
  readonly url: string;
  /** In the order they are sent; names in lower case. */
  readonly headers: readonly HeaderPair[];
  readonly body: Buffer | string;
  /** One deadline over resolving, connecting, sending and reading to the end. Milliseconds. */
  readonly timeoutMs: number;
  /** Whose it is: what it uses up counts as this application's. */
  readonly applicationId?: string;
  /** How the sender shows who it is; nothing of it is in `headers`. */
  readonly credentials?: Credentials;
}

/** How long each phase took, in milliseconds; null where it did not happen or did not end: a kept connection needs no new one. */
export type Phases = readonly [dnsMs: number | null, connectMs: number | null, tlsMs: number | null, firstByteMs: number | null];

/** What came of it. A failure is a value: `send` never rejects. */
export interface Exchange {
  readonly outcome: Outcome;
  /** The final (not 1xx) status, when one was received before the end. */
  readonly statusCode: number | null;
  /** One sentence for people, e.g. `connection refused by 127.0.0.1:9999`; null on success. */
  readonly error: string | null;
  readonly responseHeaders: readonly HeaderPair[];
  /** At most 64 KiB, decoded as UTF-8 (broken sequences replaced); null when no status was received. */
  readonly responseBody: string | null;
  readonly responseTruncated: boolean;
  readonly durationMs: number;
  /** Absent where nothing was sent. */
  readonly phases?: Phases;
}

import type { AttemptTrigger } from '../attempts/attempt';
import type { Event } from '../events/event';
import type { FixedBody } from './request/body';

/** A delivery that this instance owns and has in memory. */
export interface Job {
  readonly deliveryId: string;
  readonly event: Event;
  /** How many attempts it has behind it; fences the settling. */
  readonly attemptCount: number;
  /** How many of those somebody asked for: they use up no place in the retry schedule. */
  readonly manualAttempts: number;
  readonly trigger: AttemptTrigger;
  /** Of a MANUAL one: when the next automatic attempt is due, should it fail; null: there is none. By the database's clock. */
  readonly automaticDueAt: number | null;
  /** The body that an earlier attempt has fixed; null: none has. */
  readonly body: FixedBody | null;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** What it takes of memory while it waits, in bytes, see `weightOf` and `weightWith`. */
  readonly weight: number;
}

/** What a payload of so many characters is taken to weigh in memory, in bytes: its text, and the body made of it. */
export const weightOf = (payloadChars: number) => 512 + 2 * payloadChars;

/** The same with a body that was read from the database, which a payload query may have made larger than the payload. */
export const weightWith = (body: FixedBody | null, payloadChars: number) =>
  512 + payloadChars + Math.max(payloadChars, body?.bytes.length ?? 0);

/** The characters that `weightOf` makes the same of: what a delivery says of itself in the database before it is claimed. */
export const charsWith = (body: FixedBody, payloadChars: number) => Math.ceil((payloadChars + body.bytes.length) / 2);

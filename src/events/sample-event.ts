import { newEventId } from '../ids';
import { Event } from './event';

/** Of what is in no log. */
export const NO_SEQUENCE = 0;

/** An event that is not stored: to try a webhook or a payload query with. `now`: milliseconds since the epoch. */
export function sampleEvent({
  applicationId,
  type,
  payloadText,
  now,
}: Pick<Event, 'applicationId' | 'type' | 'payloadText'> & { readonly now: number }): Event {
  return Object.assign(new Event(), {
    applicationId,
    sequence: NO_SEQUENCE,
    id: newEventId(applicationId, NO_SEQUENCE),
    type,
    payloadText,
    idempotencyKey: null,
    orderingKey: null,
    occurredAt: new Date(now),
    createdAt: new Date(now),
    redactedAt: null,
    traceContext: null,
  });
}

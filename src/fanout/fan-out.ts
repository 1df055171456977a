import { Delivery, DeliveryStatus, IN_TURN } from '../deliveries/delivery';
import type { Event } from '../events/event';
import { isOwnEventType } from '../events/event-type';
import { deliveryId } from '../ids';
import type { Tx } from '../store/database';
import type { LiveWebhook } from '../webhooks/directory';
import { Ordering } from '../webhooks/webhook';
import { matchesAnyType } from './match';

/** Room in this instance's queues, asked for before the commit and taken up after it. */
export interface Room {
  /** The instance that will send the delivery, or '' when its queue for the webhook is full. */
  ownerFor(webhook: LiveWebhook, event: Event): string;
}

/** The deliveries of an event: one for each webhook that wants it. */
export function fanOut(event: Event, webhooks: readonly LiveWebhook[], dueAt: Date, room: Room): Delivery[] {
  const deliveries: Delivery[] = [];
  for (const webhook of webhooks) {
    if (!wants(webhook, event)) continue;
    const delivery = new Delivery();
    delivery.id = deliveryId(event.sequence, webhook.id);
    delivery.applicationId = event.applicationId;
    delivery.webhookId = webhook.id;
    delivery.eventType = event.type;
    delivery.payloadChars = event.payloadText.length;
    delivery.status = DeliveryStatus.PENDING;
    delivery.attemptCount = 0;
    delivery.owner = room.ownerFor(webhook, event);
    delivery.dueAt = webhook.ordering === Ordering.NONE ? dueAt : IN_TURN;
    delivery.nextTrigger = null;
    delivery.bodyKey = null;
    delivery.orderingKey = event.orderingKey;
    delivery.createdAt = dueAt;
    delivery.completedAt = null;
    deliveries.push(delivery);
  }
  return deliveries;
}

/** The hub's own events go only to those that name them: `livehook.*`, not `*`. */
export function wantsType(eventTypes: readonly string[], type: string): boolean {
  return matchesAnyType(isOwnEventType(type) ? eventTypes.filter(isOwnEventType) : eventTypes, type);
}

/**
 * By the webhook's own selection and by the one in its payload query.
 */
export function wants({ eventTypes, condition, payloadQuery }: LiveWebhook, event: Event): boolean {
  if (!wantsType(eventTypes, event.type) || (condition !== null && !condition(event))) return false;
  if (payloadQuery === null) return true;
  const { types, condition: inner } = payloadQuery;
  return (types === null || matchesAnyType(types, event.type)) && (inner === null || inner(event));
}

const COLUMNS = [
  'id',
  'application_id',
  'webhook_id',
  'event_type',
  'payload_chars',
  'status',
  'attempt_count',
  'owner',
  'due_at',
  'ordering_key',
  'created_at',
];

/** Inside the append's transaction: an event is never stored without its deliveries. */
export async function insertDeliveries(tx: Tx, deliveries: readonly Delivery[]): Promise<void> {
  await tx.insert(
    'deliveries',
    COLUMNS,
    deliveries.map((delivery) => [
      delivery.id,
      delivery.applicationId,
      delivery.webhookId,
      delivery.eventType,
      delivery.payloadChars,
      delivery.status,
      delivery.attemptCount,
      delivery.owner,
      delivery.dueAt?.getTime() ?? null,
      delivery.orderingKey ?? null,
      delivery.createdAt.getTime(),
    ]),
  );
}

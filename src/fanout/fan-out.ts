import { Delivery, DeliveryStatus, IN_TURN } from '../deliveries/delivery';
import type { Event } from '../events/event';
import { deliveryIds } from '../ids';
import type { Tx } from '../store/database';
import { Ordering } from '../webhooks/webhook';
import type { LiveWebhook } from '../webhooks/webhook-cache';

/** Room in this instance's queues, asked for before the commit and taken up after it. */
export interface Room {
  /** The instance that will send the delivery, or '' when its queue for the webhook is full. */
  ownerFor(webhook: LiveWebhook, event: Event): string;
}

/** The deliveries of an event: one for each webhook that gets it. */
export function fanOut(event: Event, webhooks: readonly LiveWebhook[], dueAt: Date, room: Room): Delivery[] {
  const deliveries: Delivery[] = [];
  const idFor = deliveryIds(event.sequence, event.applicationId);
  for (const webhook of webhooks) {
    const delivery = new Delivery();
    delivery.id = idFor(webhook.id);
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

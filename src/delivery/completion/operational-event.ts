import type { OperationalEvent, OperationalEventType } from '../../events/operational-events';
import type { LiveWebhook } from '../../webhooks/webhook-cache';
import type { Exchange } from '../transport/exchange';

/** What the hub says of a webhook to its application. */
export function aboutWebhook(webhook: LiveWebhook, type: OperationalEventType, more: OperationalEvent['payload']): OperationalEvent {
  return { applicationId: webhook.applicationId, type, payload: { webhookId: webhook.id, url: plainUrl(webhook.url), ...more } };
}

/** Without what a receiver may have put into a redirect: the reason is told to others. */
export function reasonOf({ outcome, statusCode, error }: Exchange): string {
  return outcome === 'REDIRECT' ? `the receiver answered ${statusCode}, a redirect` : (error ?? outcome);
}

/** Neither credentials nor a query, which may hold a secret. */
function plainUrl(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}

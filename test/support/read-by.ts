/**
 * By what scopes a field is read: alone, or where one is not enough, with another beside it. `story/field-access.test.ts`
 * asks a hub for each of them; a field that is missing here fails that test and `guard/field-access.test.ts`.
 */
export const READ_BY: Readonly<Record<string, string>> = {
  'any key':
    'ApiKey.id ApiKey.applicationId ApiKey.name ApiKey.hint ApiKey.scopes ApiKey.createdAt ApiKey.expiresAt ' +
    'ApiKey.lastUsedAt ApiKey.allowedNetworks ' +
    'Application.id Application.name Application.createdAt Application.updatedAt ' +
    'Query.application Query.node Query.viewer',
  EVENTS_READ:
    'Application.eventCursor Application.key Application.metadata Application.retentionDays ' +
    'Event.type Event.idempotencyKey Event.orderingKey Event.occurredAt Event.createdAt Event.redactedAt ' +
    'EventType.description EventType.schema EventType.examples EventType.isRegistered EventType.lastSeenAt EventType.createdAt EventType.updatedAt EventType.archivedAt ' +
    'Query.event Query.eventType Query.eventTypes Query.events Subscription.event',
  'EVENTS_PUBLISH, EVENTS_READ': 'EventType.name',
  'EVENTS_PUBLISH, EVENTS_READ, EVENTS_REDACT': 'Event.id Event.sequence Event.cursor',
  'EVENTS_READ + PAYLOADS_READ': 'Event.payload Event.payloadText Event.get Query.payloadPreview Query.filterPreview Query.webhookPreview',
  'DELIVERIES_READ + EVENTS_PUBLISH, DELIVERIES_READ + EVENTS_READ, DELIVERIES_READ + EVENTS_REDACT': 'Event.deliveries',
  WEBHOOKS_READ:
    'Webhook.url Webhook.description Webhook.eventTypes Webhook.headers Webhook.retrySchedule Webhook.timeoutSeconds ' +
    'Webhook.maxConcurrency Webhook.ordering Webhook.ratePerSecond Webhook.filter Webhook.payloadQuery Webhook.signing Webhook.format ' +
    'Webhook.verification Webhook.allowedRatePerMinute Webhook.secretHint Webhook.publicKey Webhook.clientCertificate Webhook.oauth Webhook.status Webhook.health ' +
    'Webhook.healthReason Webhook.stats Webhook.series Webhook.backlog Webhook.healthHistory Application.webhooks Application.webhookCursor Subscription.webhookUpdates Webhook.version Webhook.createdAt Webhook.updatedAt Query.webhook Query.webhooks',
  'WEBHOOKS_READ, WEBHOOKS_WRITE': 'Webhook.id',
  'DELIVERIES_READ + WEBHOOKS_READ, DELIVERIES_READ + WEBHOOKS_WRITE': 'Webhook.deliveries Webhook.tests',
  DELIVERIES_READ:
    'Application.updateCursor Application.backlog Application.series ' +
    'Delivery.eventId Delivery.eventType Delivery.status Delivery.attemptCount Delivery.nextAttemptAt Delivery.createdAt ' +
    'Delivery.completedAt Delivery.attempts Delivery.lastAttempt Attempt.trigger Attempt.startedAt Attempt.durationMs Attempt.timings Attempt.outcome ' +
    'Attempt.statusCode Attempt.error Attempt.requestHeaders Attempt.responseHeaders Attempt.responseTruncated Attempt.curl ' +
    'RetryJob.kind RetryJob.authorId RetryJob.filter RetryJob.ratePerSecond RetryJob.status RetryJob.total RetryJob.done RetryJob.failed RetryJob.createdAt RetryJob.completedAt ' +
    'Query.deliveries Query.delivery Query.retryJob Query.retryJobs Subscription.deliveryUpdates Subscription.retryJob',
  'DELIVERIES_READ, DELIVERIES_WRITE': 'Delivery.id Delivery.sequence Delivery.webhookId RetryJob.id',
  'DELIVERIES_READ, WEBHOOKS_WRITE': 'Attempt.id Attempt.number',
  'DELIVERIES_READ + EVENTS_READ, DELIVERIES_WRITE + EVENTS_READ': 'Delivery.event',
  'DELIVERIES_READ + WEBHOOKS_READ, DELIVERIES_WRITE + WEBHOOKS_READ': 'Delivery.webhook',
  'DELIVERIES_READ + PAYLOADS_READ': 'Delivery.requestBody Attempt.responseBody',
  EVENTS_PUBLISH: 'Mutation.eventPublish Mutation.eventsPublish Mutation.eventTypeRegister Mutation.eventTypeArchive',
  EVENTS_REDACT: 'Mutation.eventRedact',
  WEBHOOKS_WRITE:
    'Mutation.webhookCreate Mutation.webhookUpdate Mutation.webhookDelete Mutation.webhookPause Mutation.webhookResume ' +
    'Mutation.webhookSecretRotate Mutation.webhookTest',
  DELIVERIES_WRITE: 'Mutation.deliveryRetry Mutation.deliveryCancel Mutation.deliveriesRetry Mutation.eventReplay Mutation.retryJobCancel',
  AUDIT_READ: 'Query.apiKeys Query.auditEvents Application.keys',
  'admin keys':
    'Query.applications Query.hub Mutation.applicationCreate Mutation.applicationUpdate Mutation.applicationDelete Mutation.apiKeyCreate ' +
    // A key that is revoked reads nothing.
    'Mutation.apiKeyRevoke ApiKey.revokedAt',
};

/** Objects that hold nothing but what the field that leads to them has answered. */
const PARTS =
  /^(__.*|\w+Payload|\w+Connection|\w+Edge|PageInfo|TotalCount|UserError|Viewer|Header|ClientCertificate|OAuth|AttemptTimings|WebhookStats|StatsPoint|DeliveryBacklog|HubStatus|Instance|PayloadPreview|PreviewProblem|PreviewedEvent|SelectionPreview|UnmetCondition|WebhookUpdate|HealthChange|RetryJobFilter|AuditEvent|DeliveryUpdate|DeliveryUpdatePage)$/;

/** Whether the fields of this type stand in the table. */
export const isDecidedByField = (type: string) => !PARTS.test(type);

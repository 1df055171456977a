/** Everything the demo asks of the hub. */

export const APPLICATION_CREATE = /* GraphQL */ `
  mutation ($input: ApplicationCreateInput!) {
    applicationCreate(input: $input) { application { id } userErrors { field message } }
  }`;

export const API_KEY_CREATE = /* GraphQL */ `
  mutation ($input: ApiKeyCreateInput!) {
    apiKeyCreate(input: $input) { token userErrors { field message } }
  }`;

export const WEBHOOK_CREATE = /* GraphQL */ `
  mutation ($input: WebhookCreateInput!) {
    webhookCreate(input: $input) { webhook { id } signingSecret userErrors { field message } }
  }`;

export const EVENT_PUBLISH = /* GraphQL */ `
  mutation ($input: EventPublishInput!) {
    eventPublish(input: $input) { event { id sequence } userErrors { field message } }
  }`;

export const DELIVERY_UPDATES = /* GraphQL */ `
  subscription ($after: String) {
    deliveryUpdates(filter: { statuses: [RETRYING, SUCCEEDED, FAILED, CANCELLED] }, after: $after, intervalMs: 20) {
      cursor
      updates {
        status
        at
        attempt { number outcome statusCode durationMs }
        delivery { nextAttemptAt event { id sequence type } webhook { id } }
      }
    }
  }`;

/** `livehook/receiver`: what receives webhooks. Loads nothing of the hub. */
export { expressHandler, fastifyPlugin, fetchHandler, nodeHandler } from './adapters';
export { type DuplicateStore, MemoryDuplicates } from './duplicates';
export type { WebhookEvent } from './event';
export {
  type Answer,
  type DeliveryInfo,
  type Handler,
  type Handlers,
  type IncomingWebhook,
  type ReceiverOptions,
  RetryLater,
  type Scope,
  WebhookReceiver,
} from './receiver';
export {
  type HeadersLike,
  type VerificationProblem,
  type Verified,
  type VerifyOptions,
  verify,
  verifySignature,
  WebhookVerificationError,
} from './verify';

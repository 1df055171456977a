/** `livehook/client`: publishes to a hub and watches it. Loads nothing of the hub. */
export type { Backoff } from './backoff';
export {
  type ClientOptions,
  type DeliveryUpdate,
  type DeliveryUpdates,
  type DeliveryUpdatesOptions,
  type EventOf,
  type EventsOptions,
  LivehookClient,
  type PublishResult,
  type StoredEvent,
  type StoredEventOf,
} from './client';
export { LivehookError, type UserError } from './errors';
export type { CursorStore, FollowOptions } from './follow';
export type { NewEvent, Published, PublisherOptions } from './publisher';

import { Connection, type ConnectionOptions } from './connection';
import { type Feed, type FollowOptions, follow } from './follow';
import { type NewEvent, type Published, Publisher, type PublisherOptions } from './publisher';

export interface ClientOptions extends ConnectionOptions {
  readonly publishing?: PublisherOptions;
}

/** An event as it is stored. */
export interface StoredEvent<Type extends string = string, Payload = unknown> {
  readonly id: string;
  readonly sequence: number;
  readonly type: Type;
  readonly payload: Payload;
  /** To the digit. */
  readonly payloadText: string;
  readonly idempotencyKey: string | null;
  readonly orderingKey: string | null;
  readonly occurredAt: string;
  readonly createdAt: string;
  readonly cursor: string;
}

export interface EventsOptions extends FollowOptions {
  /** Names or wildcards. */
  readonly types?: readonly string[];
  /** A condition as a webhook's. */
  readonly filter?: unknown;
}

/** Some changes of deliveries, in the order in which they happened. */
export interface DeliveryUpdates {
  readonly updates: readonly DeliveryUpdate[];
  readonly cursor: string;
}

export interface DeliveryUpdate {
  readonly status: string;
  readonly at: string;
  readonly delivery: {
    readonly id: string;
    readonly eventId: string;
    readonly eventType: string;
    readonly sequence: number;
    readonly webhookId: string;
    readonly attemptCount: number;
    readonly nextAttemptAt: string | null;
  };
  readonly attempt: {
    readonly id: string;
    readonly number: number;
    readonly outcome: string;
    readonly statusCode: number | null;
    readonly durationMs: number;
    readonly error: string | null;
  } | null;
}

export interface DeliveryUpdatesOptions extends FollowOptions {
  /** A `DeliveryFilter`. */
  readonly filter?: object;
  /** Changes in a page, at most. Default: 100. */
  readonly maxBatch?: number;
}

/** The events of a map of payloads by type. */
export type EventOf<Events extends object> = { [Type in keyof Events & string]: NewEvent<Type, Events[Type]> }[keyof Events & string];

export type StoredEventOf<Events extends object> = {
  [Type in keyof Events & string]: StoredEvent<Type, Events[Type]>;
}[keyof Events & string];

export const EVENTS = `subscription Events($applicationId: ID, $types: [String!], $filter: JSON, $after: String) {
  event(applicationId: $applicationId, types: $types, filter: $filter, after: $after) {
    id sequence type payloadText idempotencyKey orderingKey occurredAt createdAt cursor
  }
}`;

export const DELIVERY_UPDATES = `subscription DeliveryUpdates($applicationId: ID, $filter: DeliveryFilter, $after: String, $maxBatch: Int) {
  deliveryUpdates(applicationId: $applicationId, filter: $filter, after: $after, maxBatch: $maxBatch) {
    updates {
      status
      at
      delivery { id eventId eventType sequence webhookId attemptCount nextAttemptAt }
      attempt { id number outcome statusCode durationMs error }
    }
    cursor
  }
}`;

export const EVENT_CURSOR = 'query EventCursor($id: ID) { application(id: $id) { cursor: eventCursor } }';
export const UPDATE_CURSOR = 'query UpdateCursor($id: ID) { application(id: $id) { cursor: updateCursor } }';

/** Publishes to a hub, and watches it. */
export class LivehookClient<Events extends object = Readonly<Record<string, unknown>>> {
  readonly #connection: Connection;
  readonly #publisher: Publisher;
  readonly #applicationId: string | undefined;

  constructor({ publishing = {}, ...options }: ClientOptions) {
    this.#connection = new Connection(options);
    this.#applicationId = options.applicationId;
    this.#publisher = new Publisher(this.#connection, options.applicationId, publishing);
  }

  /**
   * Resolves when the event is on the hub's disk, with its deliveries. Events that are published together go in batches,
   * and are tried again under the same idempotency key while the hub is away.
   * @throws LivehookError USER_ERROR for an event that the hub refuses, QUEUE_FULL when too much waits
   */
  publish(event: EventOf<Events>): Promise<Published> {
    return this.#publisher.publish(event as NewEvent);
  }

  /**
   * Publishes all there are, waiting where the hub is slower than their source, and says of each in its turn how it went.
   * Ends early where its results are not read on.
   */
  async *publishAll(
    events: Iterable<EventOf<Events>> | AsyncIterable<EventOf<Events>>,
  ): AsyncGenerator<PublishResult<EventOf<Events>>, void> {
    const results: Promise<PublishResult<EventOf<Events>>>[] = [];
    for await (const event of events) {
      await this.#publisher.room();
      results.push(
        this.publish(event).then(
          (published) => ({ event, published }),
          (error: unknown) => ({ event, error }),
        ),
      );
      if (results.length >= MAX_AHEAD) yield* results.splice(0, MAX_AHEAD / 2);
    }
    yield* results;
  }

  /** The events of the application in the order of their sequence, each once, resumed over whatever happens between. */
  events(options: EventsOptions = {}): AsyncGenerator<StoredEventOf<Events>, void> {
    const { types, filter } = options;
    const feed: Feed<StoredEventOf<Events>> = {
      query: EVENTS,
      variables: { applicationId: this.#applicationId, types, filter },
      field: 'event',
      toItem: (value) => withPayload(value as StoredEvent) as unknown as StoredEventOf<Events>,
      cursorOf: ({ cursor }) => cursor,
      end: () => this.#end(EVENT_CURSOR),
    };
    return follow(this.#connection, feed, options);
  }

  /** What happens to deliveries, page by page, each once, resumed over whatever happens between. */
  deliveryUpdates(options: DeliveryUpdatesOptions = {}): AsyncGenerator<DeliveryUpdates, void> {
    const { filter, maxBatch } = options;
    const feed: Feed<DeliveryUpdates> = {
      query: DELIVERY_UPDATES,
      variables: { applicationId: this.#applicationId, filter, maxBatch },
      field: 'deliveryUpdates',
      toItem: (value) => value as DeliveryUpdates,
      cursorOf: ({ cursor }) => cursor,
      end: () => this.#end(UPDATE_CURSOR),
    };
    return follow(this.#connection, feed, options);
  }

  /** Publishes what waits, ends what is watched, and takes no more. */
  async close(): Promise<void> {
    await this.#publisher.close();
    this.#connection.close();
  }

  async #end(query: string): Promise<string> {
    const data = await this.#connection.run(query, JSON.stringify({ id: this.#applicationId }));
    return (data.application as { cursor: string }).cursor;
  }
}

/** Results that may wait to be read: two batches on each of four requests. */
const MAX_AHEAD = 8_000;

/** One of `published` and `error` is there. */
export interface PublishResult<Event> {
  readonly event: Event;
  readonly published?: Published;
  readonly error?: unknown;
}

function withPayload(event: Omit<StoredEvent, 'payload'>): StoredEvent {
  return { ...event, payload: JSON.parse(event.payloadText) as unknown };
}

import type { Connection } from './connection';
import { LivehookError, type UserError, userError } from './errors';

/** What is published. `payload` is any JSON; where its text matters to the digit, `payloadText` is it. */
export interface NewEvent<Type extends string = string, Payload = unknown> {
  readonly type: Type;
  readonly payload?: Payload;
  /** Instead of `payload`: its JSON, which arrives as it is written. */
  readonly payloadText?: string;
  /** The same key is the same event. Default: a new one, so that a publish which is tried again is stored once. */
  readonly idempotencyKey?: string;
  readonly orderingKey?: string;
  /** Default: now, by the hub's clock. */
  readonly occurredAt?: Date | string;
}

export interface Published {
  readonly id: string;
  readonly sequence: number;
  /** It was there already, under its idempotency key. */
  readonly deduplicated: boolean;
}

export interface PublisherOptions {
  /** Events of a request. Default: 1,000, which a hub takes at most. */
  readonly maxBatch?: number;
  /** Bytes of a request, but for a single event that is larger. Default: 4 MiB. */
  readonly maxBatchBytes?: number;
  /** How long an event waits for others, in milliseconds. Default: 2. */
  readonly gatherMs?: number;
  /** Requests at once. Default: 4. */
  readonly maxRequests?: number;
  /** Bytes that may wait; beyond them `publish` fails with QUEUE_FULL, and `publishAll` waits. Default: 64 MiB. */
  readonly maxQueuedBytes?: number;
}

interface Waiting {
  readonly text: string;
  readonly resolve: (published: Published) => void;
  readonly reject: (error: LivehookError) => void;
}

interface Result {
  readonly event: { readonly id: string; readonly sequence: number } | null;
  readonly deduplicated: boolean;
  readonly userErrors: readonly UserError[];
}

export const PUBLISH_EVENTS = `mutation PublishEvents($input: EventsPublishInput!) {
  eventsPublish(input: $input) {
    results { event { id sequence } deduplicated userErrors { field message code } }
    userErrors { field message code }
  }
}`;

const MAX_BATCH = 1_000;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
const GATHER_MS = 2;
const MAX_REQUESTS = 4;
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** What the hub could not store of a batch is tried again this often. */
const MAX_TRIES = 10;

/** Gathers events into batches. Each keeps its idempotency key however often it is sent, and is stored once. */
export class Publisher {
  readonly #connection: Connection;
  readonly #applicationId: string | undefined;
  readonly #options: PublisherOptions;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #running = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;
  /** Told when a request has ended. */
  readonly #watchers = new Set<() => void>();

  constructor(connection: Connection, applicationId: string | undefined, options: PublisherOptions) {
    this.#connection = connection;
    this.#applicationId = applicationId;
    this.#options = options;
  }

  /** Resolves when the event is on the hub's disk, with its deliveries. */
  publish(event: NewEvent): Promise<Published> {
    const { maxQueuedBytes = MAX_QUEUED_BYTES } = this.#options;
    if (this.#isClosed) return Promise.reject(new LivehookError('CLOSED', 'The client is closed.'));
    if (this.#queuedBytes >= maxQueuedBytes) {
      const hint = 'wait for earlier events, or use publishAll, which does';
      return Promise.reject(new LivehookError('QUEUE_FULL', `${this.#queuedBytes} bytes of events wait to be published: ${hint}.`));
    }
    return new Promise((resolve, reject) => {
      const text = textOf(event);
      this.#queuedBytes += text.length;
      this.#queue.push({ text, resolve, reject });
      this.#schedule();
    });
  }

  /** Until there is room for another event. */
  async room(): Promise<void> {
    const { maxQueuedBytes = MAX_QUEUED_BYTES } = this.#options;
    while (this.#queuedBytes >= maxQueuedBytes) await this.#change();
  }

  /** Takes no more, and resolves when what it has is published or refused. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#queue.length > 0 || this.#running > 0) {
      this.#send();
      await this.#change();
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#watchers.add(resolve));
  }

  /** A full batch leaves at once, fewer events when they have waited for others. */
  #schedule(): void {
    const { maxBatch = MAX_BATCH, maxBatchBytes = MAX_BATCH_BYTES, gatherMs = GATHER_MS } = this.#options;
    if (this.#queue.length >= maxBatch || this.#queuedBytes >= maxBatchBytes) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), gatherMs);
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { maxRequests = MAX_REQUESTS } = this.#options;
    while (this.#queue.length > 0 && this.#running < maxRequests) void this.#request(this.#takeBatch());
  }

  #takeBatch(): Waiting[] {
    const { maxBatch = MAX_BATCH, maxBatchBytes = MAX_BATCH_BYTES } = this.#options;
    let bytes = 0;
    let count = 0;
    for (const { text } of this.#queue) {
      if (count > 0 && (count >= maxBatch || bytes + text.length > maxBatchBytes)) break;
      bytes += text.length;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #request(batch: readonly Waiting[]): Promise<void> {
    this.#running++;
    try {
      await this.#publish(batch);
    } catch (error) {
      for (const { reject } of batch) reject(error as LivehookError);
    } finally {
      this.#running--;
      this.#queuedBytes -= batch.reduce((sum, { text }) => sum + text.length, 0);
      for (const resolve of this.#watchers) resolve();
      this.#watchers.clear();
      this.#send();
    }
  }

  /** Each event has its own answer; those that the hub could not store are sent again. */
  async #publish(batch: readonly Waiting[]): Promise<void> {
    let left = batch;
    for (let failures = 1; left.length > 0; failures++) {
      const results = await this.#results(left);
      const unavailable: Waiting[] = [];
      left.forEach((waiting, index) => {
        const result = results[index];
        const isUnavailable = result?.userErrors.some(({ code }) => code === 'UNAVAILABLE') ?? true;
        if (isUnavailable && failures < MAX_TRIES) unavailable.push(waiting);
        else settle(waiting, result);
      });
      left = unavailable;
      if (left.length > 0) await this.#connection.wait(failures, new LivehookError('UNAVAILABLE', ''));
    }
  }

  async #results(batch: readonly Waiting[]): Promise<readonly Result[]> {
    const application = this.#applicationId === undefined ? '' : `"applicationId":${JSON.stringify(this.#applicationId)},`;
    const variables = `{"input":{${application}"events":[${batch.map(({ text }) => text).join(',')}]}}`;
    const { eventsPublish } = (await this.#connection.run(PUBLISH_EVENTS, variables)) as {
      eventsPublish: { results: readonly Result[]; userErrors: readonly UserError[] };
    };
    if (eventsPublish.userErrors.length > 0) throw userError(eventsPublish.userErrors);
    return eventsPublish.results;
  }
}

function settle({ resolve, reject }: Waiting, result: Result | undefined): void {
  if (result?.event) resolve({ ...result.event, deduplicated: result.deduplicated });
  else reject(userError(result?.userErrors ?? []));
}

/** As it stands in the request. */
function textOf({ type, payload, payloadText, idempotencyKey = crypto.randomUUID(), orderingKey, occurredAt }: NewEvent): string {
  const fields = JSON.stringify({ type, idempotencyKey, orderingKey, occurredAt });
  const text = payloadText ?? JSON.stringify(payload);
  if (text === undefined) throw new LivehookError('USER_ERROR', 'payload: expected a value that JSON has, got undefined or a function');
  return `${fields.slice(0, -1)},"payload":${text}}`;
}

import { encodeCursor } from '../../src/cursor';
import { Client, GraphqlFailure, type Subscription } from '../support/graphql-client';
import { between, pick, type Random } from './random';

/** What is read: a log of an application, as a subscription with a cursor. */
export interface Reading<Entry> {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  /** Where it begins. */
  readonly cursor: string;
  /** What a message brings, and the cursor to go on behind it. */
  take(data: Record<string, unknown>): { readonly entries: readonly Entry[]; readonly cursor: string };
}

interface Options<Entry> {
  readonly name: string;
  readonly key: string;
  readonly transport: 'WebSocket' | 'SSE';
  readonly reading: Reading<Entry>;
  readonly urls: () => readonly string[];
  readonly random: Random;
  readonly complain: (problem: string) => void;
}

interface EventMessage {
  readonly event: { readonly sequence: number; readonly cursor: string };
}

/** The sequences of events; `types` null: of all. */
export function readingEvents(applicationId: string, types: readonly string[] | null): Reading<number> {
  return {
    query: 'subscription ($types: [String!], $after: String) { event(types: $types, after: $after) { sequence cursor } }',
    variables: { types },
    cursor: encodeCursor('event', applicationId, 0),
    take(data) {
      const { event } = data as unknown as EventMessage;
      return { entries: [event.sequence], cursor: event.cursor };
    },
  };
}

interface UpdatesMessage {
  readonly deliveryUpdates: {
    readonly updates: readonly {
      readonly delivery: { id: string };
      readonly status: string;
      readonly attempt: { number: number } | null;
    }[];
    readonly cursor: string;
  };
}

/** Changes of deliveries, each as `deliveryId status attempt`. */
export function readingUpdates(applicationId: string): Reading<string> {
  return {
    query:
      'subscription ($after: String) { deliveryUpdates(after: $after) { updates { delivery { id } status attempt { number } } cursor } }',
    variables: {},
    cursor: encodeCursor('update', applicationId, 0),
    take(data) {
      const { updates, cursor } = (data as unknown as UpdatesMessage).deliveryUpdates;
      return { entries: updates.map(({ delivery, status, attempt }) => `${delivery.id} ${status} ${attempt?.number ?? 0}`), cursor };
    },
  };
}

/** A stream that is silent for so long may come from a hub that is frozen: another one is asked. */
const SILENCE_MS = 4_000;
/** It also leaves for no reason. */
const STAY_MS = [2_000, 15_000] as const;
const AGAIN_MS = 100;

/** Reads a log live, from any instance, and goes on behind its cursor with the next. */
export class Subscriber<Entry> {
  readonly seen: Entry[] = [];
  connections = 0;
  readonly #options: Options<Entry>;
  #cursor: string;
  #isStopping = false;
  #leave = () => {};

  constructor(options: Options<Entry>) {
    this.#options = options;
    this.#cursor = options.reading.cursor;
  }

  get name(): string {
    return this.#options.name;
  }

  async run(): Promise<void> {
    while (!this.#isStopping) await this.#readOnce();
  }

  stop(): void {
    this.#isStopping = true;
    this.#leave();
  }

  async #readOnce(): Promise<void> {
    const { urls, random, key, transport, reading } = this.#options;
    const known = urls();
    if (known.length === 0) return this.#rest(AGAIN_MS);
    const client = new Client(pick(random, known), key);
    const variables = { ...reading.variables, after: this.#cursor };
    const stream = transport === 'SSE' ? client.subscribeSse(reading.query, variables) : client.subscribe(reading.query, variables);
    this.connections++;
    let silence: NodeJS.Timeout | undefined;
    const stay = setTimeout(() => void stream.return(), between(random, ...STAY_MS));
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(() => void stream.return(), SILENCE_MS);
    };
    this.#leave = () => void stream.return();
    try {
      listen();
      await this.#read(stream, listen);
    } catch (error) {
      this.#judge(error);
      await this.#rest(AGAIN_MS); // the cursor stands where it stood
    } finally {
      clearTimeout(silence);
      clearTimeout(stay);
      client.close().catch(() => {}); // it may have lost its connection
    }
  }

  async #read(stream: Subscription<Record<string, unknown>>, listen: () => void): Promise<void> {
    for await (const { data, errors } of stream) {
      if (errors || !data) throw new GraphqlFailure('the stream has failed', { errors });
      listen();
      const { entries, cursor } = this.#options.reading.take(data);
      this.seen.push(...entries);
      this.#cursor = cursor;
    }
  }

  /** A stream may end at any time, but there is only one reason for a hub to refuse it. */
  #judge(error: unknown): void {
    const codes = error instanceof GraphqlFailure ? error.codes.filter((code) => code !== 'UNAVAILABLE') : [];
    if (codes.length > 0) this.#options.complain(`${this.name}, after ${this.seen.at(-1) ?? 'nothing'}: ${(error as Error).message}`);
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#leave = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

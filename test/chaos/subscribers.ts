import { encodeCursor } from '../../src/cursor';
import { Client, GraphqlFailure, type Subscription } from '../support/graphql-client';
import type { Traits, Watcher } from './facts';
import type { Head } from './observation';
import { between, pick, type Random } from './random';

interface Options {
  readonly name: string;
  readonly applicationId: string;
  readonly key: string;
  readonly transport: 'WebSocket' | 'SSE';
  /** Null: everything. */
  readonly types: readonly string[] | null;
  readonly wants: (event: Traits) => boolean;
  readonly after: number;
  readonly urls: () => readonly string[];
  readonly random: Random;
  readonly complain: (problem: string) => void;
}

interface Seen {
  readonly event: { readonly sequence: number; readonly cursor: string };
}

const EVENTS = 'subscription ($types: [String!], $after: String) { event(types: $types, after: $after) { sequence cursor } }';
/** A stream that is silent for so long may come from a hub that is frozen: another one is asked. */
const SILENCE_MS = 4_000;
/** It also leaves for no reason. */
const STAY_MS = [2_000, 15_000] as const;
const AGAIN_MS = 100;

/** Reads an application's events live, from any instance, and goes on behind its cursor with the next. */
export class Subscriber implements Watcher {
  readonly name: string;
  readonly applicationId: string;
  readonly after: number;
  readonly wants: (event: Traits) => boolean;
  readonly seen: number[] = [];
  connections = 0;
  readonly #options: Options;
  #cursor: string;
  #isStopping = false;
  #leave = () => {};

  constructor(options: Options) {
    this.#options = options;
    this.name = options.name;
    this.applicationId = options.applicationId;
    this.after = options.after;
    this.wants = options.wants;
    this.#cursor = encodeCursor('event', options.applicationId, options.after);
  }

  async run(): Promise<void> {
    while (!this.#isStopping) await this.#readOnce();
  }

  /** Whether one of these has not come yet. */
  isBehind(heads: readonly Head[]): boolean {
    const last = this.seen.at(-1) ?? 0;
    return heads.some(
      (head) => head.applicationId === this.applicationId && head.sequence > last && this.wants({ type: head.type, total: 0 }),
    );
  }

  stop(): void {
    this.#isStopping = true;
    this.#leave();
  }

  async #readOnce(): Promise<void> {
    const { urls, random, key, transport, types } = this.#options;
    const known = urls();
    if (known.length === 0) return this.#rest(AGAIN_MS);
    const client = new Client(pick(random, known), key);
    const variables = { types, after: this.#cursor };
    const stream = transport === 'SSE' ? client.subscribeSse<Seen>(EVENTS, variables) : client.subscribe<Seen>(EVENTS, variables);
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

  async #read(stream: Subscription<Seen>, listen: () => void): Promise<void> {
    for await (const { data, errors } of stream) {
      if (errors || !data) throw new GraphqlFailure('the stream has failed', { errors });
      listen();
      this.seen.push(data.event.sequence);
      this.#cursor = data.event.cursor;
    }
  }

  /** A stream may end at any time, but there is only one reason for a hub to refuse it. */
  #judge(error: unknown): void {
    const codes = error instanceof GraphqlFailure ? error.codes.filter((code) => code !== 'UNAVAILABLE') : [];
    if (codes.length > 0) this.#options.complain(`${this.name}, after ${this.seen.at(-1) ?? this.after}: ${(error as Error).message}`);
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

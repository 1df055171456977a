import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWebSocketClient, type Client as WebSocketClient } from 'graphql-ws';
import { WebSocket } from 'ws';

export type Variables = Record<string, unknown>;

export interface ResponseError {
  readonly message: string;
  readonly path?: readonly (string | number)[];
  readonly extensions?: Readonly<Record<string, unknown>>;
}

export interface Result<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly ResponseError[];
}

export interface Response<Data> extends Result<Data> {
  readonly status: number;
}

type DefaultData = Record<string, unknown>;

/** A caller of the hub, with its key or none. */
export class Client {
  readonly #url: string;
  readonly #authorization: { authorization?: string };
  #webSocket: WebSocketClient | undefined;

  /** `baseUrl` as `http://127.0.0.1:4000`. */
  constructor(baseUrl: string, key?: string) {
    this.#url = new URL('/graphql', baseUrl).href;
    this.#authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  }

  async request<Data = DefaultData>(query: string, variables: Variables = {}): Promise<Response<Data>> {
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json, application/json',
        ...this.#authorization,
      },
      body: JSON.stringify({ query, variables }),
    });
    const text = await response.text();
    return { status: response.status, ...parse<Data>(text, response.status) };
  }

  /** As `request`, but the bare data: top-level errors are thrown as a `GraphqlFailure`. */
  async query<Data = DefaultData>(query: string, variables: Variables = {}): Promise<Data> {
    return dataOf(await this.request<Data>(query, variables));
  }

  async mutate<Data = DefaultData>(mutation: string, variables: Variables = {}): Promise<Data> {
    return this.query<Data>(mutation, variables);
  }

  /** Over a WebSocket, which all of this client's subscriptions share; it opens with the first and closes after the last. */
  subscribe<Data = DefaultData>(query: string, variables: Variables = {}): Subscription<Data> {
    this.#webSocket ??= createWebSocketClient({
      url: this.#url.replace(/^http/, 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: this.#authorization,
      lazy: true,
      retryAttempts: 0,
    });
    const client = this.#webSocket;
    return new Subscription<Data>((sink) => client.subscribe({ query, variables }, sink));
  }

  /** Over server-sent events, a connection of its own for each subscription. */
  subscribeSse<Data = DefaultData>(query: string, variables: Variables = {}): Subscription<Data> {
    const client = createSseClient({ url: this.#url, headers: { ...this.#authorization } as Record<string, string>, retryAttempts: 0 });
    return new Subscription<Data>((sink) => client.subscribe({ query, variables }, sink));
  }

  /** Closes the WebSocket, and with it whatever was subscribed there. */
  async close(): Promise<void> {
    await this.#webSocket?.dispose();
  }
}

/** Errors of a GraphQL response, or of the connection (`closeCode` of a WebSocket, `status` of an HTTP response). */
export class GraphqlFailure extends Error {
  readonly errors: readonly ResponseError[];
  readonly closeCode: number | undefined;
  readonly status: number | undefined;

  constructor(message: string, facts: { errors?: readonly ResponseError[]; closeCode?: number; status?: number; cause?: unknown } = {}) {
    super(message, { cause: facts.cause });
    this.name = 'GraphqlFailure';
    this.errors = facts.errors ?? [];
    this.closeCode = facts.closeCode;
    this.status = facts.status;
  }

  /** The `extensions.code` of each error. */
  get codes(): unknown[] {
    return this.errors.map((error) => error.extensions?.code);
  }
}

interface Sink<Data> {
  next(result: Result<Data>): void;
  error(error: unknown): void;
  complete(): void;
}

interface Waiting<Data> {
  readonly resolve: (result: IteratorResult<Result<Data>>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The results of one subscription. Written by hand since the `iterate()` of graphql-ws and of graphql-sse waits
 * for ever when the subscription ended or failed before the first `next()`.
 */
export class Subscription<Data> implements AsyncIterableIterator<Result<Data>> {
  readonly #dispose: () => void;
  readonly #arrived: Result<Data>[] = [];
  readonly #waiting: Waiting<Data>[] = [];
  #end: { failure?: GraphqlFailure } | undefined;

  constructor(subscribe: (sink: Sink<Data>) => () => void) {
    this.#dispose = subscribe({
      next: (result) => this.#arrive(result),
      error: (error) => this.#finish({ failure: connectionFailure(error) }),
      complete: () => this.#finish({}),
    });
  }

  next(): Promise<IteratorResult<Result<Data>>> {
    const result = this.#arrived.shift();
    if (result) return Promise.resolve({ done: false, value: result });
    if (this.#end?.failure) return Promise.reject(this.#end.failure);
    if (this.#end) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Unsubscribes; a `next()` still waiting is answered `done`. */
  return(): Promise<IteratorResult<Result<Data>>> {
    this.#finish({});
    this.#arrived.length = 0;
    this.#dispose();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The data of the next `count` results. Throws when one has errors, when the subscription ends first, or on time-out, which also unsubscribes. */
  async take(count: number, timeoutMs = 45_000): Promise<Data[]> {
    const taken: Data[] = [];
    const complain = () =>
      this.#finish({ failure: new GraphqlFailure(`waited ${timeoutMs} ms for ${count} results, got ${taken.length}`) });
    const guard = setTimeout(complain, timeoutMs);
    try {
      while (taken.length < count) {
        const result = await this.next();
        if (result.done) throw new GraphqlFailure(`the subscription ended after ${taken.length} of ${count} results`);
        taken.push(dataOf(result.value));
      }
      return taken;
    } finally {
      clearTimeout(guard);
    }
  }

  /** How many results have arrived and were not asked for. */
  get buffered(): number {
    return this.#arrived.length;
  }

  #arrive(result: Result<Data>): void {
    if (this.#end) return;
    const waiting = this.#waiting.shift();
    if (waiting) waiting.resolve({ done: false, value: result });
    else this.#arrived.push(result);
  }

  #finish(end: { failure?: GraphqlFailure }): void {
    this.#end ??= end;
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (this.#end.failure) reject(this.#end.failure);
      else resolve({ done: true, value: undefined });
    }
  }
}

function parse<Data>(text: string, status: number): Result<Data> {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new GraphqlFailure(`expected a JSON body, got status ${status} and: ${text.slice(0, 500)}`, { status, cause });
  }
}

function dataOf<Data>({ data, errors = [], status }: Result<Data> & { status?: number }): Data {
  if (errors.length > 0) throw new GraphqlFailure(summary(errors), { errors, status });
  if (data === null || data === undefined) throw new GraphqlFailure('the response has neither data nor errors', { status });
  return data;
}

function summary(errors: readonly ResponseError[]): string {
  return errors.map(({ message, extensions }) => (extensions?.code ? `${extensions.code}: ${message}` : message)).join('\n');
}

/** The clients give a list of GraphQL errors, a WebSocket's close event, or an error of the network with or without a response. */
function connectionFailure(cause: unknown): GraphqlFailure {
  if (Array.isArray(cause)) return new GraphqlFailure(summary(cause), { errors: cause, cause });
  const { code, reason, message, response } = cause as { code?: unknown; reason?: string; message?: string; response?: { status: number } };
  const closeCode = typeof code === 'number' ? code : undefined;
  const text =
    closeCode === undefined ? (message ?? String(cause)) : `the WebSocket was closed with ${closeCode} ${reason ?? ''}`.trimEnd();
  return new GraphqlFailure(text, { closeCode, status: response?.status, cause });
}

import { BACKOFF, type Backoff, delayMs, pause } from './backoff';
import { asLivehookError, LivehookError } from './errors';

export interface ConnectionOptions {
  /** Where the hub is: `https://hub.example`, with or without `/graphql`. */
  readonly url: string;
  readonly key: string;
  /** For admin keys: the application to act for. */
  readonly applicationId?: string;
  /** How long a request may take, in milliseconds. Default: 30,000. */
  readonly timeoutMs?: number;
  /** Tries of a request that fails for reasons that pass. Default: 10, over some two minutes. */
  readonly maxTries?: number;
  readonly backoff?: Backoff;
  /** Default: that of the platform. */
  readonly fetch?: typeof fetch;
  readonly random?: () => number;
}

interface GraphqlError {
  readonly message: string;
  readonly extensions?: { readonly code?: string; readonly retryAfter?: number };
}

export interface GraphqlResult {
  readonly data?: Readonly<Record<string, unknown>> | null;
  readonly errors?: readonly GraphqlError[];
}

const TIMEOUT_MS = 30_000;
const MAX_TRIES = 10;
/** A stream is pinged every 12 seconds: one that is silent for as long as this is dead. */
const SILENCE_MS = 40_000;

/** Operations over HTTP, and subscriptions over server-sent events. */
export class Connection {
  readonly #endpoint: string;
  readonly #options: ConnectionOptions;
  readonly #closed = new AbortController();

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#endpoint = endpointOf(options.url);
    if (!options.key) throw new LivehookError('UNAUTHENTICATED', 'Expected a key, got none.');
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  close(): void {
    this.#closed.abort();
  }

  /**
   * Runs an operation, again where it fails for a reason that passes: only for what may be done twice.
   * @throws LivehookError
   */
  async run(query: string, variables: string): Promise<Readonly<Record<string, unknown>>> {
    const { maxTries = MAX_TRIES } = this.#options;
    for (let failures = 1; ; failures++) {
      try {
        return await this.#once(query, variables);
      } catch (thrown) {
        const error = asLivehookError(thrown);
        if (!error.isTemporary || failures >= maxTries || this.closed.aborted) throw error;
        await this.wait(failures, error);
      }
    }
  }

  /** Until the next try is due. */
  wait(failures: number, { retryAfterSeconds }: LivehookError): Promise<void> {
    const { backoff = BACKOFF, random = Math.random } = this.#options;
    return pause(delayMs(failures, retryAfterSeconds, backoff, random()), this.closed);
  }

  /**
   * The results of a subscription, until its end, the hub's or the connection's.
   * @throws LivehookError
   */
  async *stream(query: string, variables: object, left: AbortSignal): AsyncGenerator<GraphqlResult, 'complete' | 'broken'> {
    const silence = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(new DOMException('', 'TimeoutError')), SILENCE_MS);
    };
    heard();
    try {
      const signal = AbortSignal.any([left, this.closed, silence.signal]);
      const response = await this.#post(query, JSON.stringify(variables), 'text/event-stream', signal);
      if (!response.headers.get('content-type')?.startsWith('text/event-stream')) throw await failureOf(response);
      for await (const { event, data } of messagesIn(response.body, heard)) {
        if (event === 'complete') return 'complete';
        if (event !== 'next') continue;
        clearTimeout(timer); // while nobody asks for the next, nothing is read
        yield JSON.parse(data) as GraphqlResult;
        heard();
      }
      return 'broken';
    } finally {
      clearTimeout(timer);
    }
  }

  async #once(query: string, variables: string): Promise<Readonly<Record<string, unknown>>> {
    const { timeoutMs = TIMEOUT_MS } = this.#options;
    const response = await this.#post(query, variables, 'application/json', AbortSignal.timeout(timeoutMs));
    if (!response.ok) throw await failureOf(response);
    const { data, errors } = (await jsonOf(response)) ?? {};
    const [error] = errors ?? [];
    if (error) throw errorOf(error);
    if (!data) throw new LivehookError('BAD_RESPONSE', 'Expected the answer of a hub: is the URL that of one?');
    return data;
  }

  #post(query: string, variables: string, accept: string, signal: AbortSignal): Promise<Response> {
    const { key, fetch: send = fetch } = this.#options;
    return send(this.#endpoint, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', accept },
      body: `{"query":${JSON.stringify(query)},"variables":${variables}}`,
      signal,
    });
  }
}

/** @throws LivehookError for what is wrong with the operation, or the caller */
export function dataOf({ data, errors }: GraphqlResult): Readonly<Record<string, unknown>> {
  const [error] = errors ?? [];
  if (error) throw errorOf(error);
  return data ?? {};
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new LivehookError('BAD_URL', `Expected the hub's URL as https://…, got ${JSON.stringify(text)}.`);
  if (!url.pathname.endsWith('/graphql')) url.pathname = `${url.pathname.replace(/\/$/, '')}/graphql`;
  return url.href;
}

async function failureOf(response: Response): Promise<LivehookError> {
  const [error] = (await jsonOf(response))?.errors ?? [];
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfterSeconds = Number.isFinite(retryAfter) ? retryAfter : undefined;
  if (error) return errorOf(error, retryAfterSeconds);
  const isTemporary = response.status === 429 || response.status >= 500;
  return new LivehookError(isTemporary ? 'UNAVAILABLE' : 'BAD_REQUEST', `The hub has answered ${response.status}.`, { retryAfterSeconds });
}

function errorOf({ message, extensions }: GraphqlError, retryAfterSeconds?: number): LivehookError {
  return new LivehookError(extensions?.code ?? 'BAD_REQUEST', message, { retryAfterSeconds: extensions?.retryAfter ?? retryAfterSeconds });
}

async function jsonOf(response: Response): Promise<GraphqlResult | undefined> {
  const text = await response.text();
  try {
    return JSON.parse(text) as GraphqlResult;
  } catch {
    return undefined;
  }
}

/** The messages of an event stream: fields by line, a blank line at the end of each. */
async function* messagesIn(body: ReadableStream<Uint8Array> | null, heard: () => void): AsyncGenerator<{ event: string; data: string }> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body ?? []) {
    heard();
    rest += decoder.decode(chunk, { stream: true });
    const blocks = rest.split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const lines = block.split('\n');
      const field = (name: string) =>
        lines
          .filter((line) => line.startsWith(`${name}:`))
          .map((line) => line.slice(name.length + 1).trimStart())
          .join('\n');
      if (field('event') !== '') yield { event: field('event'), data: field('data') };
    }
  }
}

import { type Client, createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

interface Watch<Data> {
  /** The socket is open, and what was subscribed is on its way. */
  readonly connected: () => void;
  readonly next: (data: Data) => void;
  /** The stream is over, which nobody asked for. */
  readonly ended: (reason: string) => void;
}

interface Failure {
  readonly message: string;
}

interface Answered {
  readonly data?: Readonly<Record<string, { readonly userErrors?: readonly (Failure & { readonly field: readonly string[] })[] } | null>>;
  readonly errors?: readonly Failure[];
}

/** A user of the hub from outside: mutations over HTTP, subscriptions over a WebSocket, nothing else. */
export class Caller {
  readonly #url: string;
  readonly #authorization: string;
  readonly #signal: AbortSignal;
  readonly #socket: Client;

  constructor(hubUrl: string, key: string, signal: AbortSignal) {
    this.#url = `${hubUrl}/graphql`;
    this.#authorization = `Bearer ${key}`;
    this.#signal = signal;
    this.#socket = createClient({
      url: this.#url.replace(/^http/, 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: { authorization: this.#authorization },
    });
  }

  /** The payload of a mutation that is the document's only field. Throws what the hub has to say against it. */
  async mutate<Payload>(document: string, variables: Record<string, unknown>): Promise<Payload> {
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: this.#authorization },
      body: JSON.stringify({ query: document, variables }),
      signal: this.#signal,
    });
    const { data, errors } = (await response.json()) as Answered;
    const [name, payload] = Object.entries(data ?? {})[0] ?? [];
    const refusals = payload?.userErrors?.map(({ field, message }) => `${field.join('.')}: ${message}`);
    const problems = errors?.map(({ message }) => message) ?? refusals ?? [];
    if (problems.length > 0 || !payload) throw new Error(`${name ?? 'the mutation'} was refused: ${problems.join('; ')}`);
    return payload as Payload;
  }

  /** `cursorOf`: where in the stream a message stands, so that a connection that breaks goes on from there. */
  subscribe<Data>(document: string, cursorOf: (data: Data) => string, { connected, next, ended }: Watch<Data>): void {
    this.#socket.on('connected', connected);
    // The client sends this very object again when it reconnects.
    const payload = { query: document, variables: { after: null as string | null } };
    this.#socket.subscribe<Data>(payload, {
      next: ({ data, errors }) => {
        if (errors) return ended(describe(errors));
        if (!data) return;
        payload.variables.after = cursorOf(data);
        next(data);
      },
      error: (error) => ended(describe(error)),
      complete: () => ended('the hub ended it'),
    });
  }

  async close(): Promise<void> {
    await this.#socket.dispose();
  }
}

/** graphql-ws fails with GraphQL errors, with an `Error`, or with the event of a closed socket. */
function describe(failure: unknown): string {
  if (Array.isArray(failure)) return failure.map(describe).join('; ');
  const { message, code, reason } = failure as { message?: string; code?: number; reason?: string };
  return message || `the socket was closed: ${code ?? ''} ${reason ?? ''}`.trimEnd();
}

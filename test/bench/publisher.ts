import { Client } from 'undici';
import { monotonicMs } from './monotonic';
import { payloadText } from './payloads';

export interface Published {
  /** When the first request left and the last answer came. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** The events' ids. */
  readonly ids: readonly string[];
}

const ONE = 'mutation ($input: EventPublishInput!) { eventPublish(input: $input) { event { id } userErrors { field message } } }';
const MANY =
  'mutation ($input: EventsPublishInput!) { eventsPublish(input: $input) { results { event { id } userErrors { field message } } userErrors { field message } } }';

interface Result {
  readonly event: { readonly id: string } | null;
}

/** Publishes over so many connections, one request at a time on each. Answers are read when the last has come. */
export class Publisher {
  readonly #clients: Client[];
  readonly #headers: Record<string, string>;
  #number = 0;
  #turn = 0;

  constructor({ url, key, connections }: { url: string; key: string; connections: number }) {
    this.#clients = Array.from({ length: connections }, () => new Client(url, { pipelining: 1 }));
    this.#headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  }

  /** `eventsPublish`, `batch` events at a time. */
  async publishMany(events: number, batch = 100): Promise<Published> {
    const requests: Buffer[] = [];
    for (let left = events; left > 0; left -= batch) requests.push(this.#many(Math.min(left, batch)));
    return this.#publish(requests, (answer) => (answer.eventsPublish as { results: Result[] }).results);
  }

  /** `eventPublish`, one at a time. */
  async publishEach(events: number): Promise<Published> {
    const requests = Array.from({ length: events }, () => this.#one());
    return this.#publish(requests, (answer) => [answer.eventPublish as Result]);
  }

  /** One `eventPublish`, at once, the connections taking turns. Returns the event's id. */
  async publishOne(): Promise<string> {
    const client = this.#clients[++this.#turn % this.#clients.length];
    if (!client) throw new Error('the publisher has no connection');
    const [id] = idsIn(await this.#send(client, this.#one()), (answer) => [answer.eventPublish as Result]);
    return id ?? '';
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.destroy()));
  }

  #one(): Buffer {
    return Buffer.from(`{"query":${JSON.stringify(ONE)},"variables":{"input":${this.#event()}}}`);
  }

  #many(events: number): Buffer {
    const list = Array.from({ length: events }, () => this.#event()).join(',');
    return Buffer.from(`{"query":${JSON.stringify(MANY)},"variables":{"input":{"events":[${list}]}}}`);
  }

  #event(): string {
    return `{"type":"order.created","payload":${payloadText(++this.#number)}}`;
  }

  async #publish(requests: readonly Buffer[], resultsIn: (answer: Record<string, unknown>) => Result[]): Promise<Published> {
    const answers: string[] = [];
    let next = 0;
    const startedAt = monotonicMs();
    await Promise.all(
      this.#clients.map(async (client) => {
        for (let request = requests[next++]; request; request = requests[next++]) answers.push(await this.#send(client, request));
      }),
    );
    const endedAt = monotonicMs();
    return { startedAt, endedAt, ids: answers.flatMap((answer) => idsIn(answer, resultsIn)) };
  }

  async #send(client: Client, body: Buffer): Promise<string> {
    const { body: answer } = await client.request({ path: '/graphql', method: 'POST', headers: this.#headers, body });
    return answer.text();
  }
}

function idsIn(answer: string, resultsIn: (data: Record<string, unknown>) => Result[]): string[] {
  const { data } = JSON.parse(answer) as { data?: Record<string, unknown> };
  if (!data) throw new Error(`expected events to be stored, got ${answer.slice(0, 500)}`);
  return resultsIn(data).map(({ event }) => {
    if (event === null) throw new Error(`expected events to be stored, got ${answer.slice(0, 500)}`);
    return event.id;
  });
}

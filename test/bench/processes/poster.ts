import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { Client } from 'undici';
import { answerQuestions } from '../helper';
import { monotonicMs } from '../monotonic';

export interface Posting {
  /** As webhooks have them: `http://127.0.0.1:1234/path`. Each event goes to each. */
  readonly urls: readonly string[];
  readonly events: number;
  /** Of the payload. */
  readonly bytes: number;
  /** Keep-alive connections to each receiver, one request at a time on each. */
  readonly connections: number;
  /** In base64. */
  readonly secret: string;
}

export interface Posted {
  readonly startedAt: number;
  /** The events' ids. */
  readonly ids: readonly string[];
}

export type Poster = typeof questions;

interface Message {
  readonly id: string;
  readonly sequence: number;
  readonly body: Buffer;
}

/** Bodies like the hub's, made before the clock starts. */
function messageOf(sequence: number, bytes: number): Message {
  const id = `evt_${randomBytes(14).toString('hex')}`;
  const head = `{"id":"${id}","type":"order.created","timestamp":"${new Date().toISOString()}","sequence":${sequence},"data":`;
  return { id, sequence, body: Buffer.from(`${head}{"text":"${'x'.repeat(bytes - 11)}"}}`) };
}

/** Signs and posts, with the headers that the hub sends. Resolves when the answer has come. */
function post(client: Client, path: string, { id, sequence, body }: Message, key: KeyObject): Promise<void> {
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
  const headers = [
    'content-type',
    'application/json',
    'webhook-id',
    id,
    'webhook-timestamp',
    String(timestamp),
    'webhook-signature',
    `v1,${signature}`,
    'livehook-delivery-id',
    `dlv_${id.slice(4)}000`,
    'livehook-attempt',
    '1',
    'livehook-sequence',
    String(sequence),
    'livehook-event-type',
    'order.created',
    'user-agent',
    'Livehook/0.1.0',
  ];
  return new Promise((resolve, reject) => {
    client.dispatch(
      { path, method: 'POST', headers, body },
      { onConnect() {}, onHeaders: () => true, onData: () => true, onComplete: () => resolve(), onError: reject },
    );
  });
}

const clients = new Map<string, Client[]>();

function connectionsTo(origin: string, count: number): Client[] {
  const open = clients.get(origin) ?? [];
  clients.set(origin, open);
  while (open.length < count) open.push(new Client(origin, { pipelining: 1 }));
  return open.slice(0, count);
}

const questions = {
  /** Posts as fast as it goes. */
  async post({ urls, events, bytes, connections, secret }: Posting): Promise<Posted> {
    const key = createSecretKey(Buffer.from(secret, 'base64'));
    const messages = Array.from({ length: events }, (_, index) => messageOf(index + 1, bytes));
    const paths = new Map<string, string[]>();
    for (const { origin, pathname } of urls.map((url) => new URL(url))) paths.set(origin, [...(paths.get(origin) ?? []), pathname]);
    const startedAt = monotonicMs();
    const workers = [...paths].flatMap(([origin, own]) => {
      let next = 0;
      return connectionsTo(origin, connections).map(async (client) => {
        for (;;) {
          const message = messages[Math.floor(next / own.length)];
          const path = own[next % own.length];
          if (!message || path === undefined) return;
          next++;
          await post(client, path, message, key);
        }
      });
    });
    await Promise.all(workers);
    return { startedAt, ids: messages.map(({ id }) => id) };
  },
};

answerQuestions(questions);

import { createHmac, type KeyObject, randomBytes } from 'node:crypto';
import type { Client } from 'undici';

export interface Message {
  readonly id: string;
  readonly sequence: number;
  readonly body: Buffer;
}

/** A body like the hub's, its payload of so many bytes. */
export function messageOf(sequence: number, bytes: number): Message {
  const id = `evt_${randomBytes(14).toString('hex')}`;
  const head = `{"id":"${id}","type":"order.created","timestamp":"${new Date().toISOString()}","sequence":${sequence},"data":`;
  return { id, sequence, body: Buffer.from(`${head}{"text":"${'x'.repeat(bytes - 11)}"}}`) };
}

/** Signs and posts, with the headers that the hub sends. Resolves when the answer has come. */
export function post(client: Client, path: string, { id, sequence, body }: Message, key: KeyObject): Promise<void> {
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
  const headers = [
    ['content-type', 'application/json'],
    ['webhook-id', id],
    ['webhook-timestamp', String(timestamp)],
    ['webhook-signature', `v1,${signature}`],
    ['livehook-delivery-id', `dlv_${id.slice(4)}000`],
    ['livehook-attempt', '1'],
    ['livehook-sequence', String(sequence)],
    ['livehook-event-type', 'order.created'],
    ['user-agent', 'Livehook/0.1.0'],
  ].flat();
  return new Promise((resolve, reject) => {
    client.dispatch(
      { path, method: 'POST', headers, body },
      { onConnect() {}, onHeaders: () => true, onData: () => true, onComplete: () => resolve(), onError: reject },
    );
  });
}

import { once } from 'node:events';
import { WebSocket } from 'ws';
import { answerQuestions } from '../helper';
import { monotonicMs } from '../monotonic';

export interface Watching {
  /** Of the WebSocket: `ws://127.0.0.1:4000/graphql`. */
  readonly url: string;
  /** Null: a bare server that begins to send by itself. */
  readonly subscription: { readonly key: string; readonly query: string } | null;
  readonly count: number;
}

export interface Watched {
  readonly frames: number;
  /** Frames that were not the next in their socket's order. */
  readonly disorder: number;
  /** The first sequence and the last that each socket has seen. */
  readonly ranges: readonly (readonly [first: number, last: number])[];
  /** One frame as it came. */
  readonly example: string;
}

export type Watchers = typeof questions;

interface Watcher {
  readonly socket: WebSocket;
  first: number;
  last: number;
}

const LOOK_EVERY_MS = 10;
const OPENED_AT_ONCE = 50;

let watchers: Watcher[] = [];
let frames = 0;
let disorder = 0;
let example = '';
let lastFrameAt = 0;

function take(watcher: Watcher, frame: string): void {
  const sequence = Number(/"sequence":(\d+)/.exec(frame)?.[1]);
  if (watcher.first === 0) watcher.first = sequence;
  else if (sequence !== watcher.last + 1) disorder++;
  watcher.last = sequence;
  if (frames++ === 0) example = frame;
  lastFrameAt = monotonicMs();
}

async function open({ url, subscription }: Watching): Promise<Watcher> {
  const options = { perMessageDeflate: false, skipUTF8Validation: true };
  const socket = subscription === null ? new WebSocket(url, options) : new WebSocket(url, 'graphql-transport-ws', options);
  const watcher = { socket, first: 0, last: 0 };
  await once(socket, 'open');
  if (subscription !== null) {
    socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${subscription.key}` } }));
    await once(socket, 'message');
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: subscription.query } }));
  }
  socket.on('message', (data: Buffer) => take(watcher, data.toString('latin1')));
  return watcher;
}

const questions = {
  async watch(watching: Watching): Promise<void> {
    for (let left = watching.count; left > 0; left -= OPENED_AT_ONCE)
      watchers.push(...(await Promise.all(Array.from({ length: Math.min(left, OPENED_AT_ONCE) }, () => open(watching)))));
  },

  /** Begins to count anew. */
  reset(): void {
    frames = 0;
    disorder = 0;
    for (const watcher of watchers) watcher.first = 0;
  },

  /** Resolves when so many frames have come since the reset, or none for `quietMs`. */
  seen({ total, quietMs }: { total: number; quietMs: number }): Promise<Watched> {
    const since = monotonicMs();
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        if (frames < total && monotonicMs() - Math.max(since, lastFrameAt) < quietMs) return;
        clearInterval(timer);
        resolve({ frames, disorder, ranges: watchers.map(({ first, last }) => [first, last] as const), example });
      }, LOOK_EVERY_MS);
    });
  },

  leave(): void {
    for (const { socket } of watchers) socket.terminate();
    watchers = [];
  },
};

answerQuestions(questions);

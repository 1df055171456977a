import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import { answerQuestions } from '../helper';
import { openLoop } from '../open-loop';

export interface Broadcast {
  /** A frame as the hub sent it; its sequence is replaced. */
  readonly example: string;
  readonly count: number;
  readonly perSecond: number;
}

export type Broadcaster = typeof questions;

let server: WebSocketServer;
let sequence = 0;

const questions = {
  async listen(): Promise<string> {
    server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, backlog: 1_024 });
    await once(server, 'listening');
    return `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  },

  /** Sends each frame to everybody. */
  async broadcast({ example, ...pace }: Broadcast): Promise<void> {
    await openLoop(pace, async () => {
      const frame = example.replace(/"sequence":\d+/, `"sequence":${++sequence}`);
      for (const client of server.clients) client.send(frame);
    });
  },
};

answerQuestions(questions);

import { createSecretKey } from 'node:crypto';
import { createPool } from 'mysql2/promise';
import { Client } from 'undici';
import { messageOf, post } from '../bare-post';
import { answerQuestions } from '../helper';
import { monotonicMs } from '../monotonic';
import { openLoop } from '../open-loop';

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

export interface Storing {
  readonly databaseUrl: string;
  readonly url: string;
  readonly events: number;
  readonly perSecond: number;
  readonly bytes: number;
  readonly secret: string;
}

export type Poster = typeof questions;

/** Of which either may have so many under way, so that a slow one holds up none behind it. */
const CONNECTIONS = 16;

const clients = new Map<string, Client[]>();

function connectionsTo(origin: string, count: number): Client[] {
  const open = clients.get(origin) ?? [];
  clients.set(origin, open);
  while (open.length < count) open.push(new Client(origin, { pipelining: 1 }));
  return open.slice(0, count);
}

const questions = {
  /** Posts as fast as it goes. Bodies are made before the clock starts, signatures are not. */
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

  /** Stores each event durably, then posts it, as many a second. Returns by id when each was due. */
  async storeAndPost({ databaseUrl, url, events, perSecond, bytes, secret }: Storing): Promise<Map<string, number>> {
    const { origin, pathname } = new URL(url);
    const key = createSecretKey(Buffer.from(secret, 'base64'));
    const open = connectionsTo(origin, CONNECTIONS);
    const pool = createPool({ uri: databaseUrl, connectionLimit: CONNECTIONS });
    const due = new Map<string, number>();
    try {
      await pool.query('CREATE TABLE IF NOT EXISTS bare_events (id BIGINT AUTO_INCREMENT PRIMARY KEY, payload MEDIUMTEXT NOT NULL)');
      await openLoop({ count: events, perSecond }, async (dueAt, index) => {
        const message = messageOf(index + 1, bytes);
        due.set(message.id, dueAt);
        await pool.execute('INSERT INTO bare_events (payload) VALUES (?)', [message.body.toString()]);
        const client = open[index % CONNECTIONS];
        if (client) await post(client, pathname, message, key);
      });
    } finally {
      await pool.end();
    }
    return due;
  },
};

answerQuestions(questions);

import { isIP } from 'node:net';
import { createClient } from '@redis/client';
import { type Cancel, type Clock, SECOND } from '../clock';
import type { RedisUrl } from '../config';
import type { Facts } from '../facts';
import type { Log } from '../log';

/**
 * What the others should look at again: the logs of an application; its webhooks and event types; keys; retry jobs;
 * redactions; deliveries of others that were cancelled; deliveries that nobody owns; all of it.
 */
const TOPICS = ['logs', 'webhooks', 'keys', 'jobs', 'redactions', 'cancellations', 'deliveries', 'everything'] as const;
export type Topic = (typeof TOPICS)[number];

interface Deps {
  readonly instanceId: string;
  /** Undefined: there is no Redis, the poll does it alone. */
  readonly redis: RedisUrl | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

const CHANNEL = 'livehook.doorbell';
/** Hints gather for so long: under load a message has many, not every commit a message. */
const GATHER_MS = 5;
/** Of more than so many applications one message says that everything has changed. */
const MAX_IDS = 500;
const RECONNECT_MS = 1 * SECOND;
const CONNECT_TIMEOUT_MS = 2 * SECOND;
const PING_MS = 2 * SECOND;
/** A connection on which nothing moves for so long, with a ping or a message unanswered, is dead. */
const SILENCE_MS = 5 * SECOND;
const LAST_WORD_MS = 500;

type Connection = ReturnType<typeof connectionTo>;

/**
 * Hints between instances over Redis, so that they look again at once and not with their next poll. A hint may be lost:
 * the database is the truth, and the poll goes on. Each connection has one life; when it breaks, a new one is made, and
 * once that listens, everything is looked at.
 */
export class Notifier {
  readonly #deps: Deps;
  #connection: Connection | undefined;
  #isListening = false;
  /** Whether the log has said that Redis is away. */
  #isAwaySaid = false;
  #hints = new Map<Topic, Set<string>>();
  #sending: Promise<void> | undefined;
  #cancelGathering: Cancel | undefined;
  #cancelReconnect: Cancel | undefined;
  #isClosed = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { facts } = deps;
    facts.eventsStored.on(({ batch }) => this.ring('logs', new Set(batch.stored.map(({ applicationId }) => applicationId))));
    facts.updatesLogged.on((updates) => this.ring('logs', updates.keys()));
    facts.webhookUpdatesLogged.on(({ applicationId }) => this.ring('logs', [applicationId]));
    facts.webhooksEdited.on(({ applicationId }) => this.ring('webhooks', [applicationId]));
    facts.applicationDeleted.on(({ applicationId }) => {
      this.ring('keys');
      this.ring('webhooks', [applicationId]);
    });
    facts.keyRevoked.on(() => this.ring('keys'));
    facts.jobRequested.on(() => this.ring('jobs'));
    facts.jobAdvanced.on(() => this.ring('jobs'));
    facts.eventRedacted.on(({ isOwn }) => void (isOwn && this.ring('redactions')));
    facts.cancellationsStored.on(() => this.ring('cancellations'));
    facts.deliveriesReleased.on(() => this.ring('deliveries'));
  }

  /** Whether hints are heard at present. */
  get isListening(): boolean {
    return this.#isListening;
  }

  start(): void {
    if (this.#deps.redis !== undefined) void this.#connect(this.#deps.redis);
  }

  /** Tells the others, soon, when they can be reached. */
  ring(topic: Topic, ids: Iterable<string> = []): void {
    if (!this.#isListening || this.#isClosed) return;
    const gathered = this.#hints.get(topic) ?? new Set();
    this.#hints.set(topic, gathered);
    for (const id of ids) gathered.add(id);
    if (gathered.size > MAX_IDS) this.#hints = new Map([['everything', new Set()]]);
    this.#gather();
  }

  /** Says what is left to be said, that what this instance had is for the others now among it, and hangs up. */
  async close(): Promise<void> {
    this.ring('deliveries');
    this.#isClosed = true;
    this.#cancelReconnect?.();
    this.#cancelGathering?.();
    await new Promise<void>((resolve) => {
      const giveUp = this.#deps.clock.after(LAST_WORD_MS, resolve);
      void Promise.resolve(this.#sending)
        .then(() => this.#send())
        .then(giveUp)
        .then(resolve);
    });
    this.#isListening = false;
    this.#connection?.destroy();
  }

  /** One message at a time: what is rung meanwhile goes with the next. */
  #gather(): void {
    if (this.#sending || this.#cancelGathering || this.#isClosed) return;
    this.#cancelGathering = this.#deps.clock.after(GATHER_MS, () => {
      this.#cancelGathering = undefined;
      this.#sending = this.#send().finally(() => {
        this.#sending = undefined;
        if (this.#hints.size > 0) this.#gather();
      });
    });
  }

  async #send(): Promise<void> {
    const hints = this.#hints;
    this.#hints = new Map();
    if (hints.size === 0 || !this.#isListening) return;
    const said = Object.fromEntries([...hints].map(([topic, ids]) => [topic, [...ids]]));
    // Whatever goes wrong here breaks the connection as well, and the others poll.
    await this.#connection?.publish(CHANNEL, JSON.stringify({ from: this.#deps.instanceId, said })).catch(() => {});
  }

  async #connect(redis: RedisUrl): Promise<void> {
    const connection = connectionTo(redis);
    this.#connection = connection;
    const broken = (error: Error) => this.#broken(redis, connection, error);
    connection.on('error', broken);
    try {
      await connection.connect();
      await connection.subscribe(CHANNEL, (message) => this.#hear(message));
    } catch (error) {
      return broken(error as Error);
    }
    if (this.#connection !== connection || this.#isClosed) return connection.destroy();
    this.#isListening = true;
    this.#deps.log.info({}, 'doorbell.connected');
    this.#isAwaySaid = false;
    this.#deps.facts.changedElsewhere.emit({ topic: 'everything', ids: [] }); // of what happened before nobody told
  }

  /** May be called several times for one connection: as an event, and by what it fails. */
  #broken(redis: RedisUrl, connection: Connection, error: Error): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#isListening = false;
    this.#hints.clear();
    connection.destroy();
    if (this.#isClosed) return;
    if (!this.#isAwaySaid) this.#deps.log.warn({ error: error.message }, 'doorbell.away');
    this.#isAwaySaid = true;
    this.#cancelReconnect = this.#deps.clock.after(RECONNECT_MS, () => void this.#connect(redis));
  }

  #hear(message: string): void {
    const { instanceId, facts } = this.#deps;
    const { from, said } = parse(message);
    if (from === instanceId) return;
    for (const topic of TOPICS) {
      const ids: unknown = said[topic];
      if (Array.isArray(ids)) facts.changedElsewhere.emit({ topic, ids: ids.slice(0, MAX_IDS).map(String) });
    }
  }
}

function connectionTo({ url, tls }: RedisUrl) {
  const { hostname } = new URL(url);
  const { ca, cert, key, rejectUnauthorized, minVersion } = tls ?? {};
  const encrypted = tls && {
    tls: true as const,
    ...(isIP(hostname.replace(/^\[|\]$/g, '')) === 0 && { servername: hostname }),
    ...{ ca, cert, key, rejectUnauthorized, minVersion },
  };
  return createClient({
    url,
    RESP: 3, // publishes and listens on one connection
    disableOfflineQueue: true,
    pingInterval: PING_MS,
    socket: { ...encrypted, connectTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SILENCE_MS, reconnectStrategy: false },
  });
}

/** Others may use the channel: what is no hint says nothing. */
function parse(message: string): { from?: unknown; said: Readonly<Record<string, unknown>> } {
  try {
    const { from, said } = JSON.parse(message) ?? {};
    return { from, said: said ?? {} };
  } catch {
    return { said: {} };
  }
}

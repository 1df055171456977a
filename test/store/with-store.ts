import { randomBytes } from 'node:crypto';
import { Applications } from '../../src/applications/applications';
import { AttemptTrigger } from '../../src/attempts/attempt';
import { systemClock } from '../../src/clock';
import { readConfig } from '../../src/config';
import { createDatabase } from '../../src/data-source';
import type { Delivery } from '../../src/deliveries/delivery';
import type { Finished } from '../../src/delivery/attempt';
import { judge, settleBatch, type Verdict } from '../../src/delivery/completion/settle';
import type { Job } from '../../src/delivery/job';
import { bodyOf, STANDARD_BODY } from '../../src/delivery/request/body';
import type { Exchange } from '../../src/delivery/transport/exchange';
import { type AppendRequest, append, type Batch, type NewEvent } from '../../src/events/append';
import type { Event } from '../../src/events/event';
import { OperationalEvents } from '../../src/events/operational-events';
import { Facts } from '../../src/facts';
import { newInstanceId } from '../../src/ids';
import { silentLog } from '../../src/log';
import { AddressPolicy } from '../../src/net/address-policy';
import type { Database, Tx } from '../../src/store/database';
import type { Patience } from '../../src/store/mysql-pool';
import { openHeaders, sealedHeaders } from '../../src/webhooks/own-headers';
import { Seal } from '../../src/webhooks/seal';
import type { Webhook } from '../../src/webhooks/webhook';
import { type LiveWebhook, WebhookCache } from '../../src/webhooks/webhook-cache';
import { type WebhookSettings } from '../../src/webhooks/webhook-input';
import { Webhooks } from '../../src/webhooks/webhooks';
import type { MakeDatabase } from '../support/databases';
import { testEnvironment } from '../support/with-hub';

/** A row of `deliveries`, as far as the tests look. */
export interface DeliveryRow {
  readonly id: string;
  readonly status: string;
  readonly attempt_count: number;
  readonly owner: string | null;
  readonly due_at: number | null;
  readonly next_trigger: string | null;
  readonly completed_at: number | null;
}

/** The stages that write, over a fresh database and without a hub around them. */
export class Store {
  readonly database: Database;
  readonly directory: WebhookCache;
  readonly applications: Applications;
  readonly webhooks: Webhooks;
  /** Who "this instance" is. */
  readonly instanceId = newInstanceId();

  constructor(
    readonly url: string,
    patience?: Patience,
  ) {
    this.database = openable(url, patience);
    const seal = new Seal(randomBytes(32));
    const { database } = this;
    const facts = new Facts();
    this.directory = new WebhookCache({
      database,
      seal,
      config: { ...readConfig({}), retrySchedule: [1_000, 2_000] },
      compilePayloadQuery: noPayloadQueries,
      clock: systemClock,
      log: silentLog,
      facts,
    });
    this.applications = new Applications({ database, clock: systemClock, facts });
    this.webhooks = new Webhooks({
      database,
      config: { ...readConfig({}), webhooksPerApplication: 1_000 },
      operationalEvents: this.operationalEvents,
      clock: systemClock,
      seal,
      headerSealing: { open: (webhook) => openHeaders(seal, webhook), toStore: (id, headers) => sealedHeaders(seal, id, headers) },
      compilePayloadQuery: noPayloadQueries,
      policy: new AddressPolicy([]),
      verifier: { verify: async () => ({ allowedRatePerMinute: null }) },
      cache: this.directory,
      facts,
    });
  }

  async application(): Promise<string> {
    return (await this.applications.create({ name: 'shop' })).id;
  }

  async webhook(applicationId: string, settings: Omit<WebhookSettings, 'url'> = {}): Promise<Webhook> {
    return (await this.webhooks.create(applicationId, { url: 'https://example.com/hook', ...settings })).webhook;
  }

  /** Stores events in one transaction, their deliveries owned by `owner`. */
  async append(requests: readonly AppendRequest[], owner = this.instanceId, wrap = (tx: Tx) => tx): Promise<Batch> {
    return this.database.transaction((tx) => append(wrap(tx), requests, this.directory, { ownerFor: () => owner }));
  }

  /** `count` events of one application; returns them with their deliveries. */
  async publish(applicationId: string, count: number, owner = this.instanceId): Promise<Batch> {
    return this.append(
      [{ applicationId, events: Array.from({ length: count }, (_, no) => newEvent({ payloadText: `{"no":${no}}` })) }],
      owner,
    );
  }

  async settle(verdicts: readonly Verdict[], instanceId = this.instanceId, wrap = (tx: Tx) => tx) {
    const database = { transaction: <T>(work: (tx: Tx) => Promise<T>) => this.database.transaction((tx) => work(wrap(tx))) };
    return settleBatch(database, this.#operationalEvents(database), verdicts, instanceId);
  }

  get operationalEvents(): OperationalEvents {
    return this.#operationalEvents(this.database);
  }

  #operationalEvents(database: Pick<Database, 'transaction'>): OperationalEvents {
    const { directory } = this;
    return new OperationalEvents({ database: database as Database, clock: systemClock, directory, facts: new Facts() });
  }

  rows<Row>(sql: string, parameters: readonly unknown[] = []): Promise<Row[]> {
    return this.database.read.query<Row>(sql, parameters);
  }

  async execute(sql: string, parameters: readonly unknown[] = []): Promise<number> {
    return this.database.transaction((tx) => tx.execute(sql, parameters));
  }

  async delivery(id: string): Promise<DeliveryRow> {
    const [row] = await this.rows<DeliveryRow>('SELECT * FROM deliveries WHERE id = ?', [id]);
    if (row === undefined) throw new Error(`expected a delivery ${id}`);
    return row;
  }

  async count(table: string): Promise<number> {
    return Number((await this.rows<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`))[0]?.n);
  }

  async live(webhookId: string): Promise<LiveWebhook> {
    const webhook = await this.directory.find(webhookId);
    if (webhook === undefined) throw new Error(`expected a webhook ${webhookId}`);
    return webhook;
  }

  /** What an attempt at each delivery of a batch came to; `exchangeFor` may differ by index. */
  async verdicts({ deliveries, stored }: Batch, exchangeFor: (index: number) => Partial<Exchange> = () => ({})): Promise<Verdict[]> {
    return Promise.all(
      deliveries.map(async (delivery, index) => {
        const event = stored.find(
          ({ sequence, applicationId }) => sequence === delivery.eventSequence && applicationId === delivery.applicationId,
        );
        if (event === undefined) throw new Error('expected the event of the delivery in the batch');
        return judge(await this.#finished(delivery, event, exchangeFor(index)), 0);
      }),
    );
  }

  async #finished(delivery: Delivery, event: Event, exchange: Partial<Exchange>): Promise<Finished> {
    const webhook = await this.live(delivery.webhookId);
    return {
      job: {
        deliveryId: delivery.id,
        event,
        attemptCount: 0,
        manualAttempts: 0,
        trigger: AttemptTrigger.FIRST,
        automaticDueAt: null,
        body: null,
        createdAt: delivery.createdAt.getTime(),
        weight: 0,
      },
      body: { key: STANDARD_BODY, bytes: bodyOf(event) },
      webhook,
      request: { url: webhook.url, headers: [], body: '', timeoutMs: 1_000 },
      exchange: { ...SUCCESS, ...exchange },
      startedAt: Date.now(),
    };
  }
}

/** The same verdict for the attempt after so many others. */
export function afterAttempts(verdict: Verdict, attemptCount: number): Verdict {
  const job: Job = { ...verdict.finished.job, attemptCount };
  return { ...verdict, finished: { ...verdict.finished, job } };
}

const noPayloadQueries = () => {
  throw new Error('expected no payload query here');
};

const SUCCESS: Exchange = {
  outcome: 'SUCCESS',
  statusCode: 204,
  error: null,
  responseHeaders: [],
  responseBody: '',
  responseTruncated: false,
  durationMs: 5,
};

export const FAILURE = { outcome: 'HTTP_ERROR', statusCode: 500, error: 'the receiver answered 500' } as const satisfies Partial<Exchange>;

export function newEvent(overrides: Partial<NewEvent> = {}): NewEvent {
  return { type: 'order.created', payloadText: '{}', idempotencyKey: null, orderingKey: null, occurredAt: null, ...overrides };
}

export function openable(url: string, patience?: Patience): Database {
  return createDatabase(readConfig(testEnvironment(url)).databaseUrl, silentLog, patience && { patience });
}

export async function withStore(makeDatabase: MakeDatabase, work: (store: Store) => Promise<void>): Promise<void> {
  const { url } = await makeDatabase();
  const store = new Store(url);
  await store.database.open();
  try {
    await store.database.migrate();
    await work(store);
  } finally {
    await store.database.close();
  }
}

/** A transaction whose statements that match `pattern` fail. */
export function failingAt(pattern: RegExp): (tx: Tx) => Tx {
  const fail = (sql: string) => {
    if (pattern.test(sql)) throw new Error(`injected at ${sql.slice(0, 40)}`);
  };
  return (tx) => ({
    ...tx,
    query: async (sql, parameters) => {
      fail(sql);
      return tx.query(sql, parameters);
    },
    execute: async (sql, parameters) => {
      fail(sql);
      return tx.execute(sql, parameters);
    },
    insert: async (table, columns, rows) => {
      fail(`INSERT INTO ${table}`);
      return tx.insert(table, columns, rows);
    },
  });
}

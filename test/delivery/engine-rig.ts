import { DeliveryStatus } from '../../src/deliveries/delivery';
import type { Finished } from '../../src/delivery/attempt';
import { JobLoader } from '../../src/delivery/claim/load-jobs';
import { OrderedClaimer } from '../../src/delivery/claim/ordered-claimer';
import { Poller } from '../../src/delivery/claim/poller';
import { Releaser } from '../../src/delivery/claim/releaser';
import { judge } from '../../src/delivery/completion/settle';
import { Dispatcher } from '../../src/delivery/dispatcher';
import type { Job } from '../../src/delivery/job';
import { bodyOf, STANDARD_BODY } from '../../src/delivery/request/body';
import type { Exchange } from '../../src/delivery/transport/exchange';
import { Events } from '../../src/events/events';
import { Facts } from '../../src/facts';
import { applicationIdOf, newInstanceId } from '../../src/ids';
import { silentLog } from '../../src/log';
import type { Database, Tx } from '../../src/store/database';
import { Ordering } from '../../src/webhooks/webhook';
import type { WebhookSettings } from '../../src/webhooks/webhook-input';
import { failingAt, newEvent, type Store } from '../store/with-store';
import { FakeClock } from '../support/fake-clock';
import { until } from '../support/until';
import { SUCCESS, turns } from './parts';

interface Request {
  readonly job: Job;
  end(exchange: Exchange): void;
}

interface Options {
  readonly instanceId?: string;
  /** Only deliveries of ordered webhooks are looked for, and only when a test says so. */
  readonly isPolling?: boolean;
}

/** What claims and sends, over a real database; a test answers the requests, moves the clock and makes the database fail. */
export class EngineRig {
  readonly clock = new FakeClock();
  readonly facts = new Facts();
  readonly sent: Request[] = [];
  readonly finished: Finished[] = [];
  /** Statements that match it fail. */
  failing: RegExp | undefined;
  /** The most that one statement of a transaction has read. */
  mostRows = 0;
  /** Called before a transaction begins. */
  beforeTransaction: () => Promise<unknown> = async () => {};
  isLeaseHeld = true;
  readonly instanceId: string;
  /** As the engine sees it. */
  readonly database: Database;
  readonly dispatcher: Dispatcher;
  readonly orderedClaimer: OrderedClaimer;
  readonly poller: Poller;
  readonly releaser: Releaser;
  readonly #store: Store;
  /** Of statements and transactions under way. */
  #open = 0;

  constructor(store: Store, { instanceId = store.instanceId, isPolling = false }: Options = {}) {
    this.#store = store;
    this.instanceId = instanceId;
    const database = this.#watched();
    this.database = database;
    const { clock, facts, finished, sent } = this;
    const shared = { instanceId, database, clock, log: silentLog, facts };
    const membership = { isLeaseHeld: () => this.isLeaseHeld, fleet: { instances: 1, place: 0 } };
    const webhooks = {
      find: (id: string) => this.#counted(() => store.directory.find(id)),
      fetch: (id: string) => this.#counted(() => store.directory.fetch(id)),
    };
    const releaser = new Releaser(shared);
    this.releaser = releaser;
    const attempter = {
      attempt: (job: Job, webhook: Finished['webhook'], { timeoutMs }: { timeoutMs: number }) =>
        new Promise<Finished>((resolve) => {
          const request = { url: webhook.url, headers: [], body: '', timeoutMs };
          const body = { key: STANDARD_BODY, bytes: bodyOf(job.event) };
          sent.push({ job, end: (exchange) => resolve({ job, webhook, request, exchange, body, startedAt: clock.now() }) });
        }),
    };
    const completer = { add: (one: Finished) => finished.push(one) > 0 };
    this.dispatcher = new Dispatcher({ ...shared, random: () => 0, attempter, completer, releaser, membership });
    const loader = new JobLoader({ ...shared, events: new Events(database), releaser });
    this.orderedClaimer = new OrderedClaimer({ ...shared, webhooks, loader, releaser, membership, dispatcher: this.dispatcher });
    this.poller = new Poller({
      ...shared,
      facts: isPolling ? facts : new Facts(),
      webhooks,
      loader,
      dispatcher: this.dispatcher,
      orderedClaimer: this.orderedClaimer,
    });
  }

  /** The sequences of what was sent, in order. */
  get sentSequences(): number[] {
    return this.sent.map(({ job }) => job.event.sequence);
  }

  /** Looks at an ordered webhook. */
  async look(webhookId: string): Promise<void> {
    this.orderedClaimer.look(webhookId);
    await this.quiet();
  }

  /** Time passes. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await this.quiet();
  }

  /** The request of this sequence that was made last ends, and is not written down yet. */
  async end(sequence: number, exchange = SUCCESS): Promise<void> {
    const request = this.sent.findLast(({ job }) => job.event.sequence === sequence);
    if (request === undefined) throw new Error(`expected a request of ${sequence}, got ${this.sentSequences.join(', ')}`);
    request.end(exchange);
    await turns(2);
  }

  /** What has ended is written down; failures are to be tried again after the webhook's first delay. */
  async settle(): Promise<void> {
    const verdicts = this.finished.splice(0).map((finished) => judge(finished, 0));
    if (verdicts.length === 0) return this.quiet();
    await this.#store.settle(verdicts, this.instanceId);
    this.facts.attemptsSettled.emit({ verdicts, released: verdicts, durationMs: 0 });
    await this.quiet();
  }

  async complete(sequence: number, exchange = SUCCESS): Promise<void> {
    await this.end(sequence, exchange);
    await this.settle();
  }

  /** Answers everything with a success until nothing more is sent. */
  async drain(): Promise<void> {
    for (let done = 0; done < this.sent.length; ) {
      for (const request of this.sent.slice(done)) request.end(SUCCESS);
      done = this.sent.length;
      await turns(2);
      await this.settle();
    }
  }

  /** What waits for a retry is due at once. */
  async comeDue(webhookId: string): Promise<void> {
    await this.#store.execute(
      `UPDATE deliveries SET due_at = ${this.#store.database.dialect.now} - 1 WHERE webhook_id = ? AND owner = '' AND due_at > 0`,
      [webhookId],
    );
  }

  /** Changes a webhook, which is told. */
  async change(webhookId: string, settings: WebhookSettings & { isPaused?: boolean }): Promise<void> {
    const { isPaused, ...changes } = settings;
    if (Object.keys(changes).length > 0) await this.#store.webhooks.update(webhookId, changes);
    if (isPaused === true) await this.#store.webhooks.pause(webhookId);
    if (isPaused === false) await this.#store.webhooks.resume(webhookId);
    await this.tellWebhooks(webhookId);
  }

  async delete(webhookId: string): Promise<void> {
    await this.#store.webhooks.delete(webhookId);
    await this.tellWebhooks(webhookId);
  }

  async tellWebhooks(webhookId: string): Promise<void> {
    const applicationId = applicationIdOf(webhookId);
    this.facts.webhooksChanged.emit({ applicationId, snapshot: await this.#store.directory.refresh(applicationId) });
    await this.quiet();
  }

  /** Resolves when nothing is under way but requests. */
  async quiet(): Promise<void> {
    let calm = 0;
    await until(
      async () => {
        await turns(3);
        calm = this.#open === 0 ? calm + 1 : 0;
        return calm >= 3;
      },
      { description: 'nothing to be under way' },
    );
  }

  async stop(): Promise<void> {
    await Promise.all([this.poller.stop(), this.orderedClaimer.stop()]);
    const stopped = this.dispatcher.stop();
    for (const request of this.sent) request.end(SUCCESS);
    await until(() => this.clock.advanceAsync(5).then(() => this.dispatcher.inFlight === 0), { description: 'requests to end' });
    await stopped;
    await this.settle();
    await this.orderedClaimer.release();
    await this.releaser.drain();
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    this.#open++;
    try {
      return await work();
    } finally {
      this.#open--;
    }
  }

  #counting(tx: Tx): Tx {
    const query = async <Row>(sql: string, parameters?: readonly unknown[]) => {
      const rows = await tx.query<Row>(sql, parameters);
      this.mostRows = Math.max(this.mostRows, rows.length);
      return rows;
    };
    return { ...tx, query };
  }

  #watched(): Database {
    const { database } = this.#store;
    const wrap = (tx: Tx) => this.#counting(this.failing ? failingAt(this.failing)(tx) : tx);
    const fail = (sql: string) => {
      if (this.failing?.test(sql)) throw new Error(`injected at ${sql.slice(0, 40)}`);
    };
    const read = {
      ...database.read,
      query: (sql: string, parameters?: readonly unknown[]) =>
        this.#counted(async () => {
          fail(sql);
          return database.read.query(sql, parameters);
        }),
    };
    const transaction = <T>(work: (tx: Tx) => Promise<T>) =>
      this.#counted(async () => {
        await this.beforeTransaction();
        return database.transaction((tx) => work(wrap(tx)));
      });
    return { dialect: database.dialect, read, transaction } as unknown as Database;
  }
}

/** Stores one event a key, in order, with deliveries that wait in the database; returns their ids by webhook. */
export async function storeKeyed(store: Store, applicationId: string, keys: readonly (string | null)[]): Promise<string[]> {
  const events = keys.map((orderingKey) => newEvent({ orderingKey }));
  const { deliveries } = await store.append([{ applicationId, events }], '');
  return deliveries.map(({ id }) => id);
}

/** The rows of another instance that is alive. */
export async function anotherInstance(store: Store): Promise<string> {
  const id = newInstanceId();
  const { now } = store.database.dialect;
  await store.execute(
    `INSERT INTO instances (id, host, pid, started_at, heartbeat_at, version) VALUES (?, 'other', 1, ${now}, ${now}, '1')`,
    [id],
  );
  return id;
}

export const isOpen = ({ status }: { status: string }) => status === DeliveryStatus.PENDING || status === DeliveryStatus.RETRYING;

/** A webhook that keeps an order, with the rig that sends to it. */
export async function ordered(store: Store, ordering: Ordering, options: Options = {}, settings: Partial<WebhookSettings> = {}) {
  const applicationId = await store.application();
  const { id: webhookId } = await store.webhook(applicationId, { ordering, ...settings });
  const rig = new EngineRig(store, options);
  return { applicationId, webhookId, rig };
}

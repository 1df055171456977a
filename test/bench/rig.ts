import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import type { Database } from '../../src/store/database';
import { cpuMicroseconds, peakMegabytes } from './cpu';
import { type BenchDatabase, type DatabaseKind, type Databases, openBeside } from './databases';
import { Helper } from './helper';
import { headerIn } from './http-request';
import { HubUnderTest } from './hub-under-test';
import { Ledger, problemsOf } from './ledger';
import type { Posted, Poster } from './processes/poster';
import type { Received, ReceiverKind, Receivers } from './processes/receivers';
import { type Published, Publisher } from './publisher';
import type { Spent } from './table';

/** Requests that a webhook of the bench may have under way. */
export const WEBHOOK_CONCURRENCY = 50;
/** Of the bare poster: measured once, the fastest one is the baseline. */
const POSTER_CONNECTIONS = [10, 25, 50, 100];
/** Nothing new for so long: what is missing is lost. */
const QUIET_MS = 15_000;
const SETTLED_MS = 60_000;
/** Of every webhook, in base64. */
/** As random as a hub asks for, and the same in every process. */
export const SECRET = createHash('sha256').update('bench').digest('base64');
export const PAYLOAD_BYTES = 1_024;

export interface World {
  readonly databases: Databases;
  readonly isQuick: boolean;
  readonly receiver: ReceiverKind;
  readonly profileFolder: string | undefined;
  /** Everything that is to be ended with the bench, however it ends. */
  readonly open: Set<() => Promise<void>>;
  posterConnections?: Promise<number>;
}

export interface BenchApplication {
  readonly id: string;
  readonly key: string;
  readonly webhooks: readonly BenchWebhook[];
}

export interface BenchWebhook {
  readonly id: string;
  readonly path: string;
}

/** What a run of publishing brought. */
export interface Delivered extends Published {
  /** When the first byte of the last delivery reached its receiver. */
  readonly lastAt: number;
  readonly perSecond: number;
  readonly spent: Spent;
}

/** A hub on a fresh database with receivers, a bare poster, and a ledger of all that is published. */
export class Rig {
  readonly world: World;
  readonly database: BenchDatabase;
  readonly receivers = new Helper<Receivers>('receivers');
  readonly poster = new Helper<Poster>('poster');
  readonly ledger = new Ledger();
  readonly #own = new Set<() => Promise<void>>();
  #hub: HubUnderTest | undefined;
  #beside: Database | undefined;
  #ports: number[] = [];
  #posted = 0;
  #isPosterWarm: Promise<void> | undefined;

  constructor(world: World, database: BenchDatabase) {
    this.world = world;
    this.database = database;
  }

  get hub(): HubUnderTest {
    if (!this.#hub) throw new Error('the hub is not running');
    return this.#hub;
  }

  async startHub(): Promise<void> {
    this.#hub = await HubUnderTest.start({ databaseUrl: this.database.url, profileFolder: this.world.profileFolder });
  }

  async stopHub(): Promise<void> {
    await this.#hub?.stop();
    this.#hub = undefined;
  }

  get peakMegabytes(): number {
    return peakMegabytes(this.hub.pid);
  }

  async end(): Promise<void> {
    // The receivers first: a hub that stops waits for those that hang.
    await Promise.all([...[...this.#own].map((close) => close()), this.receivers.end(), this.poster.end()]);
    await this.stopHub();
    await this.#beside?.close();
    await this.database.drop();
  }

  /** Ends with the rig. */
  also<T>(thing: T, close: (thing: T) => Promise<void>): T {
    this.#own.add(() => close(thing));
    return thing;
  }

  async beside(): Promise<Database> {
    this.#beside ??= await openBeside(this.database.url);
    return this.#beside;
  }

  /** Origins of receivers that answer. */
  async origins(count: number): Promise<string[]> {
    if (this.#ports.length < count)
      this.#ports.push(...(await this.receivers.ask('listen', { count: count - this.#ports.length, kind: this.world.receiver })));
    return this.#ports.slice(0, count).map(originOf);
  }

  async hangingOrigins(count: number): Promise<string[]> {
    return (await this.receivers.ask('listen', { count, kind: 'hanging' })).map(originOf);
  }

  /** An application with a key of its own and a webhook to each URL. */
  async application(urls: readonly string[], input: Record<string, unknown> = {}): Promise<BenchApplication> {
    const { applicationCreate } = await this.hub.ask<{ applicationCreate: { application: { id: string } } }>(
      'mutation { applicationCreate(input: { name: "bench" }) { application { id } userErrors { message } } }',
      {},
    );
    const { id } = applicationCreate.application;
    const { apiKeyCreate } = await this.hub.ask<{ apiKeyCreate: { token: string } }>(
      'mutation ($id: ID!) { apiKeyCreate(input: { applicationId: $id, name: "bench" }) { token userErrors { message } } }',
      { id },
    );
    const application = { id, key: apiKeyCreate.token };
    const webhooks: BenchWebhook[] = [];
    for (const url of urls) webhooks.push(await this.webhook(application, url, input));
    return { ...application, webhooks };
  }

  async webhook({ key }: Pick<BenchApplication, 'key'>, url: string, input: Record<string, unknown> = {}): Promise<BenchWebhook> {
    const { webhookCreate } = await this.hub.ask<{ webhookCreate: { webhook: { id: string } } }>(
      'mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id } userErrors { field message } } }',
      { input: { url, secret: `whsec_${SECRET}`, maxConcurrency: WEBHOOK_CONCURRENCY, ...input } },
      key,
    );
    return { id: webhookCreate.webhook.id, path: new URL(url).pathname };
  }

  publisher({ key }: BenchApplication, connections: number): Publisher {
    return this.also(new Publisher({ url: this.hub.url, key, connections }), (publisher) => publisher.close());
  }

  /** Publishes, and waits until all has come and is written down. */
  async deliver(application: BenchApplication, publish: () => Promise<Published>): Promise<Delivered> {
    const before = this.#usage();
    const published = await publish();
    this.expect(application, published.ids);
    await this.arrived();
    await this.settled(application.webhooks);
    const lastAt = await this.lastOf(application.webhooks, published.ids);
    const deliveries = published.ids.length * application.webhooks.length;
    return {
      ...published,
      lastAt,
      perSecond: (deliveries * 1e3) / (lastAt - published.startedAt),
      spent: this.#spentSince(before, deliveries),
    };
  }

  /** Tells, when it is called, what each of so many events has cost since now. */
  metering(): (events: number) => Spent {
    const before = this.#usage();
    return (events) => this.#spentSince(before, events);
  }

  expect({ webhooks }: Pick<BenchApplication, 'webhooks'>, ids: readonly string[]): void {
    for (const { path } of webhooks) this.ledger.expect(path, ids);
  }

  /** Waits for all that the ledger expects. */
  async arrived(): Promise<void> {
    await this.receivers.ask('arrived', { total: this.ledger.expected, quietMs: QUIET_MS });
  }

  /** Waits until nothing of these webhooks is under way in the database. */
  async settled(webhooks: readonly BenchWebhook[]): Promise<void> {
    const { read } = await this.beside();
    const givesUpAt = Date.now() + SETTLED_MS;
    const sql = `SELECT COUNT(*) AS n FROM deliveries WHERE owner IS NOT NULL AND webhook_id IN (${webhooks.map(() => '?').join()})`;
    const ids = webhooks.map(({ id }) => id);
    while (Date.now() < givesUpAt) {
      const [row] = await read.query<{ n: number }>(sql, ids);
      if (Number(row?.n) === 0) return;
      await pause(20);
    }
  }

  async lastOf(webhooks: readonly BenchWebhook[], ids: readonly string[]): Promise<number> {
    const { firstBytes } = await this.receivers.ask('received', undefined);
    let last = 0;
    for (const { path } of webhooks) for (const id of ids) last = Math.max(last, firstBytes.get(path)?.get(id) ?? 0);
    return last;
  }

  /** The bare baseline: the same bodies, signed and posted without a hub; a second. */
  async postBare(urls: readonly string[], events: number): Promise<number> {
    this.#isPosterWarm ??= this.#warmPoster();
    await this.#isPosterWarm;
    this.world.posterConnections ??= this.#findPosterConnections();
    return this.#post(urls, events, await this.world.posterConnections);
  }

  /** The poster and the receivers run compiled code when it counts. */
  async #warmPoster(): Promise<void> {
    const [origin] = await this.origins(1);
    for (let round = 0; round < 3; round++) await this.#post([`${origin}/`], 4_000, WEBHOOK_CONCURRENCY);
  }

  async #findPosterConnections(): Promise<number> {
    const [origin] = await this.origins(1);
    const events = this.world.isQuick ? 10_000 : 30_000;
    let best = { connections: 0, perSecond: 0 };
    for (const connections of POSTER_CONNECTIONS) {
      const perSecond = await this.#post([`${origin}/`], events, connections);
      if (perSecond > best.perSecond) best = { connections, perSecond };
    }
    return best.connections;
  }

  async #post(urls: readonly string[], events: number, connections: number): Promise<number> {
    const webhooks = urls.map((url, index) => {
      const { origin } = new URL(url);
      const path = `/bare/${++this.#posted}/${index}`;
      return { id: '', path, url: origin + path };
    });
    const share =
      urls.length === 1 ? connections : Math.max(1, Math.round(connections / new Set(urls.map((url) => new URL(url).origin)).size));
    const posted: Posted = await this.poster.ask('post', {
      urls: webhooks.map(({ url }) => url),
      events,
      bytes: PAYLOAD_BYTES,
      connections: share,
      secret: SECRET,
    });
    this.expect({ webhooks }, posted.ids);
    await this.arrived();
    const lastAt = await this.lastOf(webhooks, posted.ids);
    return (events * urls.length * 1e3) / (lastAt - posted.startedAt);
  }

  /** What is wrong with this run, if anything: the ledger, the signatures, what the database says of these webhooks. */
  async problems(webhooks: readonly BenchWebhook[], stored = 0): Promise<string[]> {
    const received = await this.receivers.ask('received', undefined);
    const { firstBytes, repeated, nameless } = received;
    const problems = problemsOf(this.ledger.compare({ ids: firstBytes, repeated, nameless }));
    const forged = received.samples.filter((sample) => !isSigned(sample)).length;
    if (forged > 0) problems.push(`${forged} of ${received.samples.length} signatures are wrong`);
    return [...problems, ...(await this.#statusProblems(webhooks, received, stored))];
  }

  async #statusProblems(webhooks: readonly BenchWebhook[], { firstBytes }: Received, stored: number): Promise<string[]> {
    const { read } = await this.beside();
    const rows = await read.query<{ status: string; n: number }>(
      `SELECT status, COUNT(*) AS n FROM deliveries WHERE webhook_id IN (${webhooks.map(() => '?').join()}) GROUP BY status`,
      webhooks.map(({ id }) => id),
    );
    const expected = stored + webhooks.reduce((sum, { path }) => sum + (firstBytes.get(path)?.size ?? 0), 0);
    const isRight =
      expected === 0 ? rows.length === 0 : rows.length === 1 && rows[0]?.status === 'SUCCEEDED' && Number(rows[0].n) === expected;
    if (isRight) return [];
    return [
      `expected ${expected} deliveries SUCCEEDED in the database, got ${rows.map(({ status, n }) => `${n} ${status}`).join(', ') || 'none'}`,
    ];
  }

  #usage(): { hub: number; database: number } {
    const { serverPid } = this.database;
    return { hub: this.#hub ? cpuMicroseconds(this.#hub.pid) : 0, database: serverPid === null ? 0 : cpuMicroseconds(serverPid) };
  }

  #spentSince(before: { hub: number; database: number }, events: number): Spent {
    const now = this.#usage();
    return {
      hubMicroseconds: (now.hub - before.hub) / events,
      databaseMicroseconds: this.database.serverPid === null ? null : (now.database - before.database) / events,
    };
  }
}

function originOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function isSigned({ head, body }: { head: string; body: string }): boolean {
  const headers = Object.fromEntries(
    ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, headerIn(head, name) ?? '']),
  );
  try {
    new Webhook(SECRET).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

/** A rig whose hub serves; all of it is ended afterwards. */
export async function withRig<T>(world: World, kind: DatabaseKind, work: (rig: Rig) => Promise<T>): Promise<T> {
  const rig = new Rig(world, await world.databases.make(kind));
  const end = () => rig.end();
  world.open.add(end);
  try {
    await rig.startHub();
    return await work(rig);
  } finally {
    world.open.delete(end);
    await rig.end();
  }
}

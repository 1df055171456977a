import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Build } from '../support/hub-process';
import { type Mariadb, startMariadb } from '../support/mariadb';
import { Redis } from '../support/redis';
import { ADMIN_KEY } from '../support/with-hub';
import { Caller } from './caller';
import { APPLICATIONS, type ApplicationName, ROLES, USUAL_INPUT } from './cast';
import type { Facts, WatchedWebhook, Watcher } from './facts';
import { Faults } from './faults';
import { Fleet } from './fleet';
import { audit, type Balance } from './ledger';
import { countInstances, countUnsettled, countUpdates, type Head, readHeads, readStored } from './observation';
import { Operator } from './operator';
import { Publisher } from './publisher';
import { seededRandom } from './random';
import { Receivers } from './receivers';
import { describeFault, type Plan, planFaults } from './schedule';
import { readingEvents, readingUpdates, Subscriber } from './subscribers';

export interface Options extends Plan {
  readonly build: Build;
  /** Tells what goes on, a line at a time. */
  readonly say: (line: string) => void;
  /** How long everything may take to come to its end when nothing is broken any more. */
  readonly drainMs: number;
}

export interface Report {
  readonly facts: Facts;
  readonly balance: Balance;
  /** What the hubs that still run have logged. */
  readonly logs: readonly string[];
}

interface Tenant {
  readonly name: ApplicationName;
  readonly id: string;
  readonly key: string;
}

const PUBLISHERS_PER_TENANT = 5;
const NUMBERS_PER_PUBLISHER = 1_000_000;
/** Publishing goes on when all is mended: whatever still stands in the way of it shows. */
const AFTERMATH_MS = 2_000;
const LOOK_MS = 500;
/** Hubs tell of webhooks that have recovered a moment after the last delivery: so many looks in a row must find nothing new. */
const QUIET_LOOKS = 4;

export const anySeed = (): number => randomInt(1, 1_000_000);

/** Sets everything up, breaks it as planned, mends it, waits until all has come to its end, and does the sums. */
export async function runChaos(options: Options): Promise<Report> {
  const mariadb = await startMariadb();
  const redis = options.withRedis ? await Redis.start() : undefined;
  const receivers = await Receivers.listen(seededRandom(options.seed + 1));
  let fleet: Fleet | undefined;
  try {
    const { build, instances } = options;
    fleet = await Fleet.launch({ build, databaseUrl: mariadb.url, databasePort: mariadb.port, redisUrl: redis?.url, instances });
    return await new Run(options, { mariadb, redis, receivers, fleet }).play();
  } finally {
    await fleet?.end();
    await receivers.close();
    await redis?.stop();
    await mariadb.stop();
  }
}

interface Stage {
  readonly mariadb: Mariadb;
  readonly redis: Redis | undefined;
  readonly receivers: Receivers;
  readonly fleet: Fleet;
}

class Run {
  readonly #options: Options;
  readonly #stage: Stage;
  readonly #faults: Faults;
  readonly #complaints: string[] = [];
  #webhooks: WatchedWebhook[] = [];
  #publishers: Publisher[] = [];
  #operators: Operator[] = [];
  #subscribers: { applicationId: string; subscriber: Subscriber<number>; wants: Watcher['wants'] }[] = [];
  #updateSubscribers: { applicationId: string; subscriber: Subscriber<string> }[] = [];

  constructor(options: Options, stage: Stage) {
    this.#options = options;
    this.#stage = stage;
    this.#faults = new Faults(stage, options.say);
  }

  async play(): Promise<Report> {
    const { say } = this.#options;
    const schedule = planFaults(this.#options);
    for (const fault of schedule) say(describeFault(fault));
    await this.#setUp();
    say('--- chaos');
    const operating = Promise.all(this.#operators.map((operator) => operator.run()));
    const subscribers = [...this.#subscribers, ...this.#updateSubscribers].map(({ subscriber }) => subscriber);
    const working = [...this.#publishers, ...subscribers].map((worker) => worker.run());
    const end = pause(this.#options.seconds * 1_000);
    await this.#faults.run(schedule);
    await end;
    say('--- everything is mended');
    this.#heal();
    await pause(AFTERMATH_MS);
    for (const worker of [...this.#publishers, ...this.#operators]) worker.stop();
    await operating;
    await this.#drain();
    for (const subscriber of subscribers) subscriber.stop();
    await Promise.all(working);
    const facts = await this.#facts();
    return { facts, balance: audit(facts), logs: this.#stage.fleet.slots.map(({ log }) => log) };
  }

  #caller(key: string, salt: number): Caller {
    const { fleet } = this.#stage;
    const complain = (problem: string) => void this.#complaints.push(problem);
    return new Caller({ urls: () => fleet.urls, key, random: seededRandom(this.#options.seed + salt), complain });
  }

  async #setUp(): Promise<void> {
    const admin = this.#caller(ADMIN_KEY, 2);
    const tenants = await Promise.all(APPLICATIONS.map((name) => createTenant(admin, name)));
    for (const role of ROLES) {
      const tenant = tenants.find(({ name }) => name === role.application);
      if (tenant) this.#webhooks.push(await this.#createWebhook(admin, tenant, role));
    }
    for (const [index, tenant] of tenants.entries()) this.#employ(tenant, 10 * (index + 1));
    const random = seededRandom(this.#options.seed + 3);
    const urlOf = ({ name }: WatchedWebhook, moves: number) => this.#stage.receivers.url(name, moves);
    this.#operators.push(new Operator({ admin, webhooks: this.#webhooks, random, urlOf }));
  }

  async #createWebhook(admin: Caller, { id: applicationId }: Tenant, role: (typeof ROLES)[number]): Promise<WatchedWebhook> {
    const { receivers } = this.#stage;
    const { name, ordering, isHopeless, wants, input } = role;
    receivers.add(name, role);
    const url = receivers.url(name);
    const { webhookCreate } = await admin.insist<{
      webhookCreate: { webhook: { id: string } | null; signingSecret: string; userErrors: object[] };
    }>(
      'mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id } signingSecret userErrors { field message } } }',
      { input: { ...USUAL_INPUT, applicationId, url, ordering, ...input } },
    );
    if (webhookCreate.webhook === null) throw new Error(`webhookCreate was refused: ${JSON.stringify(webhookCreate.userErrors)}`);
    receivers.trust(name, webhookCreate.signingSecret);
    return { id: webhookCreate.webhook.id, applicationId, name, ordering, isHopeless, wants };
  }

  #employ({ name, id: applicationId, key }: Tenant, salt: number): void {
    const { fleet } = this.#stage;
    const complain = (problem: string) => void this.#complaints.push(problem);
    for (let index = 0; index < PUBLISHERS_PER_TENANT; index++) {
      const random = seededRandom(this.#options.seed + salt + index);
      const firstNo = (salt + index) * NUMBERS_PER_PUBLISHER;
      this.#publishers.push(new Publisher({ applicationId, caller: this.#caller(key, salt + index), random, firstNo, complain }));
    }
    const common = { key, urls: () => fleet.urls, complain };
    for (const [index, transport] of (['WebSocket', 'SSE'] as const).entries()) {
      const random = seededRandom(this.#options.seed + salt + 5 + index);
      const named = (what: string) => ({ ...common, random, transport, name: `${name}, ${what}, ${transport}` });
      this.#watch(applicationId, new Subscriber({ ...named('all events'), reading: readingEvents(applicationId, null) }), () => true);
      this.#watch(applicationId, new Subscriber({ ...named('order.*'), reading: readingEvents(applicationId, ['order.*']) }), ({ type }) =>
        type.startsWith('order.'),
      );
      this.#updateSubscribers.push({
        applicationId,
        subscriber: new Subscriber({ ...named('updates'), reading: readingUpdates(applicationId) }),
      });
    }
  }

  #watch(applicationId: string, subscriber: Subscriber<number>, wants: Watcher['wants']): void {
    this.#subscribers.push({ applicationId, subscriber, wants });
  }

  #heal(): void {
    this.#stage.receivers.heal();
    for (const { proxy } of this.#stage.fleet.slots) proxy.heal();
  }

  /** Waits until nothing is left to be done, in vain at most for as long as that may take. */
  async #drain(): Promise<void> {
    const { drainMs, say } = this.#options;
    const since = performance.now();
    let left = '';
    for (let quiet = 0, last = ''; performance.now() - since < drainMs; await pause(LOOK_MS)) {
      const heads = await readHeads(this.#stage.mariadb.url);
      left = await this.#left(heads);
      quiet = left === '' && JSON.stringify(heads) === last ? quiet + 1 : 0;
      last = JSON.stringify(heads);
      if (quiet === QUIET_LOOKS) return say(`--- all came to its end in ${((performance.now() - since) / 1_000).toFixed(1)} s`);
    }
    say(`--- after ${drainMs / 1_000} s still left: ${left}`);
  }

  async #left(heads: readonly Head[]): Promise<string> {
    const { mariadb, receivers, fleet } = this.#stage;
    const updates = await countUpdates(mariadb.url);
    const behind = [
      ...this.#subscribers.filter(({ applicationId, subscriber: { seen }, wants }) =>
        heads.some(
          (head) => head.applicationId === applicationId && head.sequence > (seen.at(-1) ?? 0) && wants({ type: head.type, total: 0 }),
        ),
      ),
      ...this.#updateSubscribers.filter(({ applicationId, subscriber: { seen } }) => seen.length < (updates.get(applicationId) ?? 0)),
    ].length;
    const counts = {
      'publishes without an answer': this.#publishers.filter(({ isDone }) => !isDone).length,
      'deliveries or jobs not settled': await countUnsettled(mariadb.url),
      'requests open': receivers.open,
      'subscribers behind': behind,
      'dead instances registered': (await countInstances(mariadb.url)) - fleet.slots.length,
    };
    return Object.entries(counts)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => `${count} ${what}`)
      .join(', ');
  }

  /** Every hub is asked about every key that was revoked. */
  async #takenKeys(): Promise<string[]> {
    const taken: string[] = [];
    for (const key of this.#operators.flatMap(({ revoked }) => revoked))
      for (const [slot, url] of this.#stage.fleet.urls.entries())
        if (await takes(url, key)) taken.push(`the one that ends in ${key.slice(-4)}, by instance ${slot}`);
    return taken;
  }

  async #facts(): Promise<Facts> {
    const { mariadb, receivers, fleet } = this.#stage;
    return {
      ...(await readStored(mariadb.url)),
      webhooks: this.#webhooks,
      publications: this.#publishers.flatMap(({ publications }) => publications),
      receipts: receivers.receipts,
      watchers: this.#subscribers.map(({ applicationId, subscriber: { name, connections, seen }, wants }) => ({
        name,
        applicationId,
        after: 0,
        connections,
        seen,
        wants,
      })),
      updateWatchers: this.#updateSubscribers.map(({ applicationId, subscriber: { name, connections, seen } }) => ({
        name,
        applicationId,
        connections,
        seen,
      })),
      troubles: this.#faults.troubles,
      moves: this.#operators.flatMap(({ moves }) => moves),
      takenKeys: await this.#takenKeys(),
      exits: [...fleet.exits],
      memory: await fleet.memory(),
      complaints: this.#complaints,
      fleet: fleet.slots.length,
    };
  }
}

/** Whether a hub takes a key. */
async function takes(url: string, key: string): Promise<boolean> {
  const caller = new Caller({ urls: () => [url], key, random: () => 0, complain: () => {} });
  return typeof (await caller.call('{ viewer { admin } }', {})) === 'object';
}

async function createTenant(admin: Caller, name: ApplicationName): Promise<Tenant> {
  const { applicationCreate } = await admin.insist<{ applicationCreate: { application: { id: string } } }>(
    'mutation ($name: String!) { applicationCreate(input: { name: $name }) { application { id } userErrors { message } } }',
    { name },
  );
  const { id } = applicationCreate.application;
  const { apiKeyCreate } = await admin.insist<{ apiKeyCreate: { token: string } }>(
    'mutation ($id: ID!) { apiKeyCreate(input: { applicationId: $id, name: "chaos" }) { token userErrors { message } } }',
    { id },
  );
  return { name, id, key: apiKeyCreate.token };
}

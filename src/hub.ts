import { Api } from './api/api';
import { payloadQueryCompiler } from './api/payload-queries';
import { createSchema } from './api/schema';
import type { OpenStreams } from './api/server';
import { Tenancy } from './applications/tenancy';
import { AuditLog } from './audit/audit-log';
import { byNobody } from './audit/gathering';
import { type Clock, systemClock } from './clock';
import { type Config, ConfigError } from './config';
import type { Core } from './core';
import { createDatabase } from './data-source';
import { Delivery } from './delivery/delivery';
import { Shaper } from './delivery/request/shaper';
import { Outbound } from './delivery/transport/outbound';
import { EventStore } from './events/event-store';
import { GroupCommitter } from './events/group-committer';
import { Facts } from './facts';
import { Health } from './health/health';
import { Housekeeping } from './housekeeping/housekeeping';
import { newInstanceId } from './ids';
import { Live } from './live/live';
import { Notifier } from './live/notifier';
import type { Log } from './log';
import type { Siblings } from './observe/metrics';
import { Observability } from './observe/observability';
import { Tester } from './probes/tester';
import { Verifier } from './probes/verifier';
import { Replay } from './replay/replay';
import { Slices } from './slices';
import { VERSION } from './version';
import { HeaderSealing } from './webhooks/header-sealing';
import { SecretKey } from './webhooks/secret-key';
import { WebhookCache } from './webhooks/webhook-cache';
import { Webhooks } from './webhooks/webhooks';

export interface HubOptions {
  readonly config: Config;
  readonly log: Log;
  readonly clock?: Clock;
  /** From 0 up to 1. */
  readonly random?: () => number;
  /** The processes that share its port, where there are any. */
  readonly siblings?: Siblings;
}

export interface Started {
  /** e.g. `http://127.0.0.1:4000` */
  readonly url: string;
  /** Where `/metrics` is, if not there. */
  readonly metricsUrl: string | undefined;
  /** A key that was generated for the first start, to be shown now or never. */
  readonly generatedAdminKey: string | undefined;
  /** Why LIVEHOOK_ADMIN_KEY lets nobody in, where it does not. */
  readonly adminKeyProblem: string | undefined;
}

/** What is held in memory for those who watch. */
export interface LiveStatus extends OpenStreams {
  readonly followers: number;
  /** Entries of the logs that are kept for followers close behind. */
  readonly keptEntries: number;
}

/** The composition root: makes the modules in the order of the flow, starts them in it and stops them in reverse. */
export class Hub {
  readonly #core: Core;
  readonly #secretKey: SecretKey;
  readonly #tenancy: Tenancy;
  readonly #audit: AuditLog;
  readonly #outbound: Outbound;
  readonly #headerSealing: HeaderSealing;
  readonly #cache: WebhookCache;
  readonly #eventStore: EventStore;
  readonly #delivery: Delivery;
  readonly #committer: GroupCommitter;
  readonly #health: Health;
  readonly #replay: Replay;
  readonly #live: Live;
  readonly #notifier: Notifier;
  readonly #housekeeping: Housekeeping;
  readonly #observability: Observability;
  readonly #api: Api;
  #stopped: Promise<void> | undefined;

  constructor({ config, log, clock = systemClock, random = Math.random, siblings }: HubOptions) {
    const database = createDatabase(config.databaseUrl, log, { clock });
    const [instanceId, userAgent, facts] = [newInstanceId(), `Livehook/${VERSION}`, new Facts()];
    const core: Core = { instanceId, config, database, clock, log, random, userAgent, facts };
    const [secretKey, shaper, slices, schema] = [new SecretKey(config), new Shaper(), new Slices(), createSchema()];
    const { seal } = secretKey;
    const compilePayloadQuery = payloadQueryCompiler(schema);

    const outbound = new Outbound(core);
    const tenancy = new Tenancy(core);
    const audit = new AuditLog(core);
    const cache = new WebhookCache({ ...core, seal, compilePayloadQuery });
    const eventStore = new EventStore({ ...core, cache });
    const headerSealing = new HeaderSealing({ ...core, seal });
    const verifier = new Verifier({ ...core, origin: config.origin, sender: outbound });
    const { events, types: eventTypes, operational: operationalEvents } = eventStore;
    const { policy } = outbound;
    const webhooks = new Webhooks({ ...core, seal, cache, headerSealing, operationalEvents, verifier, policy, compilePayloadQuery });
    const delivery = new Delivery({ ...core, webhooks: cache, events, sender: outbound, shaper, operationalEvents });
    const committer = new GroupCommitter({ ...core, directory: cache, delivery, slices });
    const health = new Health({ ...core, webhooks, operationalEvents });
    const replay = new Replay({ ...core, webhooks: cache, events, delivery });
    const tester = new Tester({ ...core, webhooks: cache, eventTypes, sender: outbound, shaper });
    const live = new Live({ ...core, events, jobs: replay.jobs });
    const observability = new Observability({ ...core, webhooks: cache, delivery, committer, live, siblings });
    const edge = { schema, secretKey, compilePayloadQuery, tenancy, audit, webhooks, eventStore, tester, jobs: replay.jobs };
    this.#api = new Api({ ...core, ...edge, delivery, shaper, live, observability, slices });
    this.#housekeeping = new Housekeeping(core);
    this.#notifier = new Notifier({ ...core, redis: config.redisUrl });
    this.#core = core;
    this.#secretKey = secretKey;
    this.#outbound = outbound;
    this.#tenancy = tenancy;
    this.#audit = audit;
    this.#cache = cache;
    this.#eventStore = eventStore;
    this.#headerSealing = headerSealing;
    this.#delivery = delivery;
    this.#committer = committer;
    this.#health = health;
    this.#replay = replay;
    this.#live = live;
    this.#observability = observability;
  }

  /** Migrates, takes up what was left, and serves. */
  async start(): Promise<Started> {
    const { log, instanceId } = this.#core;
    await this.#openDatabase();
    const { generatedAdminKey, adminKeyProblem } = await this.#ensureAdminKey();
    await this.#delivery.join();
    await this.#headerSealing.start();
    await this.#health.start({ isAlone: this.#delivery.isAlone });
    this.#tenancy.start();
    this.#audit.start();
    this.#cache.start();
    this.#eventStore.start();
    this.#observability.start();
    this.#delivery.start();
    this.#replay.start();
    this.#live.start();
    this.#housekeeping.start();
    this.#notifier.start();
    const url = await this.#listen();
    log.info({ url, instanceId, version: VERSION }, 'hub.started');
    return { url, metricsUrl: this.#api.metricsUrl, generatedAdminKey, adminKeyProblem };
  }

  /** Without a port all that has been started ends in good order. */
  async #listen(): Promise<string> {
    try {
      return await this.#api.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Drains: answers what came, ends what is in flight, writes it down, releases the rest for others. */
  stop(): Promise<void> {
    this.#stopped ??= this.#drain();
    return this.#stopped;
  }

  /** Where `/metrics` is when it has a port of its own, once that is open. */
  get metricsUrl(): string | undefined {
    return this.#api.metricsUrl;
  }

  get live(): LiveStatus {
    const { followers, keptEntries } = this.#live;
    return { ...this.#api.open, followers, keptEntries };
  }

  /** What `/metrics` says of this process alone. */
  ownMetrics(): Promise<string> {
    return this.#observability.metrics.own();
  }

  async #openDatabase(): Promise<void> {
    const { database, log } = this.#core;
    await database.open({ asHub: true });
    try {
      const migrations = await database.migrate();
      if (migrations.length > 0) log.info({ migrations }, 'database.migrated');
      await this.#secretKey.settle(database.read);
      await database.eraseTraces(); // of what was redacted right before a crash
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  /** Without any admin key that lets somebody in nobody could make one over the API: better not to serve than to seem fine. */
  async #ensureAdminKey(): Promise<Pick<Started, 'generatedAdminKey' | 'adminKeyProblem'>> {
    const { config, log, database } = this.#core;
    const findings = await this.#tenancy.apiKeys.ensureAdminKey(config.adminKey);
    const { generated, problem, isLockedOut = false, created = [], retired = [] } = findings;
    for (const id of created) await this.#audit.done(byNobody('key.created', null, id));
    for (const id of retired) await this.#audit.done(byNobody('key.revoked', null, id));
    if (problem !== undefined) log.error({ problem }, 'admin_key.not_valid');
    if (problem === undefined || !isLockedOut) return { generatedAdminKey: generated, adminKeyProblem: problem };
    await database.close();
    throw new ConfigError([`LIVEHOOK_ADMIN_KEY: ${problem} (there is none: make one with livehook keys create)`]);
  }

  async #drain(): Promise<void> {
    const { database, log } = this.#core;
    log.info({ inFlight: this.#delivery.statistics.inFlight }, 'hub.stopping');
    await this.#api.stop();
    await Promise.all([this.#live.stop(), this.#eventStore.stop(), this.#cache.stop(), this.#headerSealing.stop()]);
    await Promise.all([this.#replay.stop(), this.#housekeeping.stop()]);
    await this.#delivery.stop();
    await this.#committer.stop();
    await this.#health.stop();
    await this.#observability.stop();
    await this.#tenancy.stop();
    await this.#audit.stop();
    await this.#delivery.leave();
    await this.#notifier.close();
    await this.#outbound.stop();
    await this.#api.close();
    await database.close();
    log.info({}, 'hub.stopped');
  }
}

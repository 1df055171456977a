import { KeyLimits } from './api/key-limits';
import { MetricsServer } from './api/metrics-access';
import { payloadQueryCompiler } from './api/payload-queries';
import { createSchema } from './api/schema';
import { ApiServer, type OpenStreams, type Readiness, TIMEOUTS } from './api/server';
import { Unsent } from './api/unsent';
import { ApiKeys } from './applications/api-keys';
import { Applications } from './applications/applications';
import { LastUses } from './applications/last-uses';
import { Attempts, testBodyKey } from './attempts/attempts';
import { type Counted, Stats } from './attempts/stats';
import { AuditLog } from './audit/audit-log';
import { byNobody } from './audit/gathering';
import { readAudit } from './audit/read-audit';
import { type Clock, SECOND, systemClock } from './clock';
import { type Config, ConfigError } from './config';
import { Deliveries } from './deliveries/deliveries';
import { type LoggedUpdate, readUpdates } from './deliveries/update-log';
import type { Verdict } from './delivery/completion/settle';
import { Delivery } from './delivery/delivery';
import { bodyId, readBodies, readBody } from './delivery/request/bodies';
import { forgetStandardBody } from './delivery/request/body';
import { Shaper } from './delivery/request/shaper';
import { OAuthSender } from './delivery/transport/http/oauth';
import { Sender } from './delivery/transport/http/sender';
import type { AppendedEvent, AppendRequest } from './events/append';
import type { Event } from './events/event';
import { EventTypes } from './events/event-types';
import { Events } from './events/events';
import { GroupCommitter } from './events/group-committer';
import { OperationalEvents } from './events/operational-events';
import { Redactions } from './events/redactions';
import { SchemaValidator } from './events/schema-validator';
import { Facts } from './facts';
import { FilterHealth, readCostlyFilters } from './health/filter-health';
import { HealthMonitor } from './health/health-monitor';
import { Remover } from './housekeeping/remover';
import { Retention } from './housekeeping/retention';
import { applicationIdOf, newInstanceId, sequenceOf } from './ids';
import { Notifier, type Topic } from './live/doorbell';
import { JobWatch } from './live/job-watch';
import { LiveLog } from './live/live-log';
import { Poll } from './live/poll';
import type { Log } from './log';
import { AddressPolicy } from './net/address-policy';
import { systemLookup } from './net/system-lookup';
import { parseTargetUrl } from './net/target-url';
import { Backlog } from './observe/backlog';
import { Metrics, type Reading, type Siblings } from './observe/metrics';
import { Observer } from './observe/observer';
import type { Tracing } from './observe/tracing';
import { Tester } from './probes/tester';
import { Verifier } from './probes/verifier';
import { Replayer } from './replay/replayer';
import type { RetryJob } from './replay/retry-job';
import { RetryJobs } from './replay/retry-jobs';
import { Slices } from './slices';
import { Database } from './store/database';
import { readHead } from './store/heads';
import { VERSION } from './version';
import { WakeableLoop } from './wakeable-loop';
import { HeaderSealing } from './webhooks/header-sealing';
import { closeAllCircuits, readHealth } from './webhooks/health';
import { orderProblem } from './webhooks/order-health';
import type { CompilePayloadQuery } from './webhooks/payload-query';
import { sealFor } from './webhooks/secret-key';
import { Ordering } from './webhooks/webhook';
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

/** Which webhooks fail is read whole, and after an outage that may be all of them. */
const HEALTH_MS = 5 * SECOND;

/** What is held in memory for those who watch. */
export interface LiveStatus extends OpenStreams {
  readonly followers: number;
  /** Entries of the logs that are kept for followers close behind. */
  readonly keptEntries: number;
}

/** The composition root: makes the stages and hands each what it needs, in the order of the flow. */
export class Hub {
  readonly #config: Config;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #instanceId = newInstanceId();
  readonly #database: Database;
  readonly #apiKeys: ApiKeys;
  readonly #audit: AuditLog;
  readonly #lastUses: LastUses;
  readonly #directory: WebhookCache;
  readonly #headerSealing: HeaderSealing;
  readonly #appender: GroupCommitter;
  readonly #facts = new Facts();
  readonly #delivery: Delivery;
  readonly #sender: Sender;
  /** What tenants' requests go through. */
  readonly #authorized: OAuthSender;
  readonly #health: HealthMonitor;
  readonly #filterHealth: FilterHealth;
  readonly #stats: Stats;
  readonly #poll: Poll;
  readonly #doorbell: Notifier;
  readonly #healthRounds: WakeableLoop;
  readonly #remover: Remover;
  readonly #replayer: Replayer;
  readonly #jobWatch: JobWatch<RetryJob>;
  readonly #retention: Retention;
  readonly #redactions: Redactions;
  readonly #schemas: SchemaValidator;
  readonly #eventLog: LiveLog<Event>;
  readonly #updateLog: LiveLog<LoggedUpdate>;
  readonly #unsent: Unsent;
  readonly #api: ApiServer;
  readonly #backlog: Backlog;
  readonly #metrics: Metrics;
  readonly #metricsServer: MetricsServer | undefined;
  #metricsUrl: string | undefined;
  #tracing: Tracing | undefined;
  #compilePayloadQuery: CompilePayloadQuery = () => {
    throw new Error('the schema is made in start()');
  };
  #stopped: Promise<void> | undefined;

  constructor({ config, log, clock = systemClock, random = Math.random, siblings }: HubOptions) {
    this.#config = config;
    this.#log = log;
    this.#clock = clock;
    const instanceId = this.#instanceId;
    const database = new Database(config.databaseUrl, log);
    const seal = sealFor(config);
    this.#headerSealing = new HeaderSealing({ database, seal, clock, log });
    const slices = new Slices();
    const policy = new AddressPolicy(config.allowedTargets, { denied: config.deniedTargets, ports: config.allowedPorts });
    this.#database = database;

    this.#doorbell = new Notifier({
      instanceId,
      redis: config.redisUrl,
      clock,
      log,
      heard: (topic, ids) =>
        void this.#heard(topic, ids).catch((error: Error) => log.warn({ topic, error: error.message }, 'doorbell.look_failed')), // the poll looks, too
    });

    const events = new Events(database);
    const attempts = new Attempts(database);
    this.#schemas = new SchemaValidator({ clock, log });
    const eventTypes = new EventTypes({
      database,
      clock,
      schemas: this.#schemas,
      follow: (applicationId) => this.#directory.know(applicationId),
      changed: (applicationId) => this.#doorbell.ring('webhooks', [applicationId]),
    });
    this.#eventLog = new LiveLog<Event>(
      {
        after: (applicationId, sequence, most) => events.after(applicationId, sequence, most),
        head: (applicationId) => readHead(database, applicationId, 'event'),
      },
      (event) => 500 + 2 * event.payloadText.length,
    );
    this.#updateLog = new LiveLog<LoggedUpdate>(
      {
        after: (applicationId, sequence, most) => readUpdates(database.read, applicationId, sequence, most),
        head: (applicationId) => readHead(database, applicationId, 'update'),
      },
      ({ attempt }) => 1_000 + (attempt ? 2_000 + 2 * (attempt.responseBody?.length ?? 0) : 0),
    );
    const facts = this.#facts;
    facts.updatesLogged.on((updates) => {
      for (const [applicationId, entries] of updates) this.#updateLog.announce(applicationId, entries);
      this.#doorbell.ring('logs', updates.keys());
    });
    facts.eventsStored.on(({ batch, durationMs }) => {
      const added = byApplication(batch.stored);
      for (const [applicationId, entries] of added) this.#eventLog.announce(applicationId, entries);
      this.#doorbell.ring('logs', added.keys());
      facts.updatesLogged.emit(batch.updates);
      observer.committed(batch, durationMs);
      if (batch.unmatched.length > 0) this.#filterHealth.missed(batch.unmatched);
    });
    facts.deliveriesReleased.on(() => this.#doorbell.ring('deliveries'));
    facts.cancellationsStored.on(() => this.#doorbell.ring('cancellations'));
    const announceUpdates = (updates: ReadonlyMap<string, LoggedUpdate[]>) => facts.updatesLogged.emit(updates);

    this.#directory = new WebhookCache({
      database,
      seal,
      defaultRetryDelaysMs: config.retrySchedule,
      origin: config.origin,
      isVerificationRequired: config.requireVerification,
      compilePayloadQuery: (document) => this.#compilePayloadQuery(document),
      changed: (applicationId, snapshot) => {
        eventTypes.forget(applicationId);
        facts.webhooksChanged.emit({ applicationId, snapshot });
      },
    });
    const userAgent = `Livehook/${VERSION}`;
    const verifier = new Verifier({ clock, userAgent, origin: config.origin, send: (request) => this.#authorized.send(request) });
    /** As it is stored, whatever is in memory. */
    const fetchWebhook = (webhookId: string) => this.#directory.fetch(webhookId);
    const operationalEvents = new OperationalEvents({ database, clock, directory: this.#directory, facts });
    const webhooks = new Webhooks({
      operationalEvents,
      database,
      maxPerApplication: config.webhooksPerApplication,
      clock,
      seal,
      headerSealing: this.#headerSealing,
      compilePayloadQuery: (document) => this.#compilePayloadQuery(document),
      verify: (candidate) => verifier.verify(candidate),
      isVerificationRequired: config.requireVerification,
      signingKeys: async (webhookId) => (await fetchWebhook(webhookId))?.signingKeys ?? [],
      target: (url) => parseTargetUrl(url, { allowHttp: config.allowHttp, policy }),
      changed: async (applicationId) => {
        this.#doorbell.ring('webhooks', [applicationId]);
        await this.#directory.refresh(applicationId);
        this.#health.webhookChanged();
        facts.deliveriesDue.emit({});
      },
    });

    const metrics = new Metrics(() => this.#reading(), siblings);
    this.#metrics = metrics;
    const observer = new Observer({ metrics, log, tracing: () => this.#tracing });
    this.#backlog = new Backlog({
      database,
      clock,
      isSentAtOnce: async (webhookId) => {
        const webhook = await this.#directory.find(webhookId);
        return webhook?.isSending === true && webhook.ordering === Ordering.NONE;
      },
    });

    this.#health = new HealthMonitor({
      database,
      clock,
      log,
      operationalEvents,
      disableAfterMs: config.disableAfterMs,
      disable: (webhookId, version, why, told) => webhooks.disable(webhookId, version, why, told),
    });
    this.#filterHealth = new FilterHealth({ database, clock, log });
    this.#stats = new Stats({ instanceId, database, clock, log });

    const shaper = new Shaper();
    this.#sender = new Sender({
      policy,
      clock,
      log,
      lookup: systemLookup({ clock, servers: config.dnsServers }),
      proxy: config.egressProxy,
    });
    this.#authorized = new OAuthSender({ clock, userAgent, send: (request) => this.#sender.send(request) });
    facts.attemptsSettled.on(({ verdicts, released, durationMs }) => {
      if (verdicts.length > 0) observer.attempted(verdicts, durationMs);
      this.#health.attempted(verdicts);
      this.#stats.add(verdicts.map(countedOf));
      this.#replayer.settled(released.map(({ finished }) => finished.job.deliveryId));
    });
    facts.circuitChanged.on(({ webhook, change }) => this.#health.circuitChanged(webhook, change));
    this.#delivery = new Delivery({
      instanceId,
      userAgent,
      database,
      clock,
      log,
      random,
      webhooks: this.#directory,
      events,
      sender: this.#authorized,
      shaper,
      operationalEvents,
      facts,
    });
    this.#appender = new GroupCommitter({
      database,
      directory: this.#directory,
      clock,
      log,
      reserve: () => this.#delivery.reserve(),
      slices,
      facts,
    });

    this.#audit = new AuditLog({ database, clock, log, refused: (reason) => metrics.keyRefused(reason) });
    this.#lastUses = new LastUses({ database, clock, log });
    this.#apiKeys = new ApiKeys({
      database,
      clock,
      log,
      revoked: () => this.#doorbell.ring('keys'),
      used: (apiKeyId) => this.#lastUses.note(apiKeyId),
      refused: (reason, apiKey, address) => this.#audit.refused(reason, apiKey, address),
    });
    const applications = new Applications({
      database,
      clock,
      deleted: (applicationId) => {
        this.#apiKeys.forget();
        this.#remover.look();
        this.#doorbell.ring('keys');
        this.#doorbell.ring('webhooks', [applicationId]);
        void this.#directory.refresh(applicationId).catch(() => {}); // the poll sees the change as well
      },
    });
    const deliveries = new Deliveries({
      database,
      clock,
      instanceId,
      facts,
    });
    const jobChanged = (job: RetryJob) => {
      this.#jobWatch.changed(job);
      this.#doorbell.ring('jobs');
    };
    const retryJobs = new RetryJobs({
      database,
      clock,
      webhooksOf: (applicationId) => this.#directory.refresh(applicationId),
      findEvents: (applicationId, sequences) => events.bySequences(applicationId, sequences),
      changed: (job) => {
        jobChanged(job);
        this.#replayer.look();
      },
    });
    this.#jobWatch = new JobWatch((ids) => retryJobs.byIds(ids));
    this.#replayer = new Replayer({
      instanceId,
      database,
      clock,
      log,
      findWebhook: (webhookId) => this.#directory.find(webhookId),
      withdraw: (deliveryIds) => this.#delivery.withdraw(deliveryIds),
      release: (deliveryIds) => this.#delivery.release(deliveryIds),
      announce: announceUpdates,
      due: (webhookId) => facts.deliveriesDue.emit({ webhookId }),
      changed: jobChanged,
    });
    this.#remover = new Remover({ database, clock, log });
    this.#retention = new Retention({ database, clock, log, defaultRetentionMs: config.retention });
    this.#redactions = new Redactions({
      redacted: () => this.#doorbell.ring('redactions'),
      database,
      clock,
      announce: announceUpdates,
      forget: ({ applicationId, sequence, at }) => {
        facts.eventRedacted.emit({ applicationId, sequence, at });
        this.#eventLog.visit(applicationId, (event) => {
          if (event.sequence !== sequence) return;
          event.redact(at);
          forgetStandardBody(event);
          shaper.forget(event);
        });
        this.#updateLog.visit(applicationId, ({ deliveryId, attempt }) => {
          if (attempt && sequenceOf(deliveryId) === sequence) Object.assign(attempt, { responseBody: null, responseHeaders: [] });
        });
      },
    });
    this.#poll = new Poll({
      database,
      clock,
      log,
      logs: { event: this.#eventLog, update: this.#updateLog },
      alsoEachRound: async () => {
        await this.#redactions.followOthers();
        await this.#directory.refreshChanged();
        await this.#delivery.followCancellations();
        await this.#jobWatch.look();
      },
    });
    this.#healthRounds = new WakeableLoop({
      clock,
      everyMs: HEALTH_MS,
      round: () => this.#health.refresh(),
      failed: ({ message }) => log.warn({ error: message }, 'health.failed'),
    });
    const metricsAccess = { metrics: () => metrics.exposition(), token: config.metricsToken };
    this.#metricsServer = config.metricsPort === undefined ? undefined : new MetricsServer(metricsAccess, TIMEOUTS);
    this.#unsent = new Unsent(config.unsentBytes);
    this.#api = new ApiServer({
      log,
      readiness: () => this.#readiness(),
      metrics: this.#metricsServer ? undefined : metricsAccess,
      isSecure: config.publicUrl?.startsWith('https:') ?? false,
      mostConnections: config.connections,
      trustedProxies: config.trustedProxies ?? [],
      introspection: config.introspection,
      services: {
        applications,
        apiKeys: this.#apiKeys,
        lastUses: this.#lastUses,
        audit: this.#audit,
        readAudit: async (applicationId, selection, page) => {
          await this.#audit.flush();
          return readAudit(database.read, applicationId, selection, page);
        },
        keyLimits: new KeyLimits(clock, config),
        unsent: this.#unsent,
        budgetExceeded: (reason) => metrics.budgetExceeded(reason),
        webhooks,
        events,
        eventTypes,
        redactions: this.#redactions,
        appender: { append: (request) => this.#append(request) },
        refused: (code, events) => observer.refused(code, events),
        deliveries,
        retryJobs,
        jobWatch: this.#jobWatch,
        attempts,
        stats: this.#stats,
        storedHealth: (webhookIds) => readHealth(database.read, webhookIds),
        costlyFilters: (webhookIds) => readCostlyFilters(database.read, webhookIds),
        caution: (webhookId, version) => this.#delivery.throttling(webhookId, version),
        compilePayloadQuery: (document) => this.#compilePayloadQuery(document),
        shaper,
        tester: new Tester({
          database,
          clock,
          userAgent,
          send: (request) => this.#authorized.send(request),
          shaper,
          findWebhook: fetchWebhook,
          findType: (applicationId, name) => eventTypes.find(applicationId, name),
        }),
        testBody: (attempt) => readBody(database.read, applicationIdOf(attempt.id), 0, testBodyKey(attempt.id)),
        fixedBody: async (delivery) => {
          const bodies = await readBodies(database.read, delivery.applicationId, [delivery.eventSequence]);
          return bodies.get(bodyId(delivery.eventSequence, delivery.bodyKey ?? '')) ?? null;
        },
        orderProblem: (webhook) => orderProblem(database.read, webhook),
        eventLog: this.#eventLog,
        updateLog: this.#updateLog,
        clock,
        isVerificationRequired: config.requireVerification,
        slices,
        defaultRetrySchedule: config.retrySchedule.map((delayMs) => Math.round(delayMs / SECOND)),
      },
    });
  }

  /** Migrates, takes up what was left, and serves. */
  async start(): Promise<Started> {
    const { adminKey, host, port } = this.#config;
    await this.#database.open();
    const applied = await this.#database.migrate();
    if (applied.length > 0) this.#log.info({ migrations: applied }, 'database.migrated');
    await this.#database.eraseTraces(); // of what was redacted right before a crash
    const schema = await createSchema();
    this.#compilePayloadQuery = payloadQueryCompiler(schema);
    const findings = await this.#apiKeys.ensureAdminKey(adminKey);
    const { generated: generatedAdminKey, problem: adminKeyProblem, isLockedOut = false, created = [], retired = [] } = findings;
    for (const id of created) await this.#audit.done(byNobody('key.created', null, id));
    for (const id of retired) await this.#audit.done(byNobody('key.revoked', null, id));
    if (adminKeyProblem !== undefined) await this.#reportAdminKey(adminKeyProblem, isLockedOut);
    await this.#delivery.join();
    await this.#headerSealing.start();
    if (this.#delivery.isAlone) await this.#database.transaction(closeAllCircuits);
    await this.#health.refresh();
    this.#stats.start();
    this.#delivery.start();
    this.#poll.start();
    this.#doorbell.start();
    if (this.#database.dialect.supportsManyInstances) this.#healthRounds.start();
    this.#remover.start();
    this.#replayer.start();
    this.#retention.start();
    this.#lastUses.start();
    this.#audit.start();
    this.#tracing = this.#startTracing();
    const url = await this.#api.start(schema, host, port);
    this.#metricsUrl = await this.#metricsServer?.start(host, this.#config.metricsPort ?? 0);
    this.#log.info({ url, instanceId: this.#instanceId, version: VERSION }, 'hub.started');
    return { url, metricsUrl: this.#metricsUrl, generatedAdminKey, adminKeyProblem };
  }

  /** Without any other admin key nobody could make one over the API: better not to serve than to seem fine. */
  async #reportAdminKey(problem: string, isLockedOut: boolean): Promise<void> {
    this.#log.error({ problem }, 'admin_key.not_valid');
    if (!isLockedOut) return;
    await this.#database.close();
    throw new ConfigError([`LIVEHOOK_ADMIN_KEY: ${problem} (there is none: make one with livehook keys create)`]);
  }

  /** Where `/metrics` is when it has a port of its own, once that is open. */
  get metricsUrl(): string | undefined {
    return this.#metricsUrl;
  }

  get live(): LiveStatus {
    const logs = [this.#eventLog, this.#updateLog];
    return {
      ...this.#api.open,
      followers: logs.reduce((sum, log) => sum + log.followers, 0),
      keptEntries: logs.reduce((sum, log) => sum + log.kept, 0),
    };
  }

  /** What `/metrics` says of this process alone. */
  ownMetrics(): Promise<string> {
    return this.#metrics.own();
  }

  /** Drains: answers what came, ends what is in flight, writes it down, releases the rest for others. */
  stop(): Promise<void> {
    this.#stopped ??= this.#drain();
    return this.#stopped;
  }

  async #drain(): Promise<void> {
    this.#log.info({ inFlight: this.#delivery.statistics.inFlight }, 'hub.stopping');
    await this.#api.stop();
    await this.#schemas.stop();
    this.#eventLog.close();
    this.#updateLog.close();
    this.#jobWatch.close();
    this.#apiKeys.close();
    await Promise.all([
      this.#poll.stop(),
      this.#headerSealing.stop(),
      this.#healthRounds.stop(),
      this.#remover.stop(),
      this.#replayer.stop(),
      this.#retention.stop(),
    ]);
    await this.#delivery.stop();
    await this.#health.drain();
    await this.#appender.stop();
    await this.#filterHealth.drain();
    await this.#stats.stop();
    await this.#lastUses.stop();
    await this.#audit.stop();
    await this.#delivery.leave();
    this.#doorbell.ring('deliveries'); // what was released is for the others now
    await this.#doorbell.close();
    await this.#tracing?.stop();
    await this.#sender.close();
    await this.#metricsServer?.stop();
    await this.#database.close();
    this.#log.info({}, 'hub.stopped');
  }

  #append(request: AppendRequest): Promise<readonly AppendedEvent[]> {
    const append = (traced: AppendRequest) => this.#appender.append(traced);
    return this.#tracing ? this.#tracing.publish(request, append) : append(request);
  }

  /** Without a collector OpenTelemetry is not even loaded. */
  #startTracing(): Tracing | undefined {
    const { otlpEndpoint: endpoint, otlpHeaders: headers = {}, traceRatio: ratio } = this.#config;
    if (endpoint === undefined) return undefined;
    const { Tracing: Started } = require('./observe/tracing') as typeof import('./observe/tracing');
    return new Started({ instanceId: this.#instanceId, clock: this.#clock, log: this.#log, endpoint, headers, ratio });
  }

  async #reading(): Promise<Reading> {
    const { sockets: webSockets, eventStreams, followers } = this.live;
    const { inFlight, queued, bytes, settleWaiting, instances, isLeaseHeld, leaseAgeMs } = this.#delivery.statistics;
    return {
      ...(await this.#backlog.read()),
      inFlight,
      queued,
      bytes,
      settleWaiting,
      publishesPending: this.#appender.pendingEvents,
      webSockets,
      eventStreams,
      followers,
      unsentBytes: this.#unsent.bytes,
      instances,
      isLeaseHeld,
      leaseAgeSeconds: leaseAgeMs / SECOND,
    };
  }

  /** Another instance has changed something. What is looked at here the poll would find as well, a little later. */
  async #heard(topic: Topic, ids: readonly string[]): Promise<void> {
    switch (topic) {
      case 'logs':
        return this.#poll.look(ids);
      case 'webhooks':
        await this.#directory.refreshChanged(ids);
        return this.#facts.deliveriesDue.emit({});
      case 'keys':
        return this.#apiKeys.forget();
      case 'jobs':
        this.#replayer.look();
        return this.#jobWatch.look();
      case 'cancellations':
        return this.#delivery.followCancellations();
      case 'redactions':
        return this.#redactions.followOthers();
      case 'deliveries':
        return this.#facts.deliveriesDue.emit({});
      case 'everything':
        this.#apiKeys.forget();
        this.#poll.now();
        return this.#facts.deliveriesDue.emit({});
    }
  }

  async #readiness(): Promise<Readiness> {
    try {
      const isMigrated = await this.#database.isMigrated();
      return { isReady: isMigrated, database: 'reachable', migrations: isMigrated ? 'applied' : 'missing' };
    } catch {
      return { isReady: false, database: 'unreachable', migrations: 'unknown' };
    }
  }
}

function countedOf({ finished: { webhook, exchange } }: Verdict): Counted {
  return { webhookId: webhook.id, isSuccess: exchange.outcome === 'SUCCESS', durationMs: exchange.durationMs };
}

function byApplication(events: readonly Event[]): Map<string, Event[]> {
  const groups = new Map<string, Event[]>();
  for (const event of events) {
    const group = groups.get(event.applicationId);
    if (group) group.push(event);
    else groups.set(event.applicationId, [event]);
  }
  return groups;
}

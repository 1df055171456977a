import type { GraphQLSchema } from 'graphql';
import type { Tenancy } from '../applications/tenancy';
import { Attempts, testBodyKey } from '../attempts/attempts';
import type { AuditLog } from '../audit/audit-log';
import { readAudit } from '../audit/read-audit';
import { SECOND } from '../clock';
import type { Core } from '../core';
import { Deliveries } from '../deliveries/deliveries';
import { unfinishedOfApplication, unfinishedOfWebhook } from '../deliveries/unfinished';
import type { Delivery } from '../delivery/delivery';
import { owners } from '../delivery/instances/owners';
import { listInstances } from '../delivery/instances/roll';
import { bodyId, readBodies, readBody } from '../delivery/request/bodies';
import type { Shaper } from '../delivery/request/shaper';
import type { EventStore } from '../events/event-store';
import { Publisher } from '../events/publisher';
import { listEvents } from '../events/search';
import { applicationIdOf, isId } from '../ids';
import type { Live } from '../live/live';
import type { Observability } from '../observe/observability';
import type { Tester } from '../probes/tester';
import type { RetryJobs } from '../replay/retry-jobs';
import type { Slices } from '../slices';
import { readCostlyFilters } from '../webhooks/costly-filter';
import { readHealth } from '../webhooks/health';
import { orderProblem } from '../webhooks/order-health';
import type { CompilePayloadQuery } from '../webhooks/payload-query';
import type { SecretKey } from '../webhooks/secret-key';
import { readHealthHistory } from '../webhooks/update-log';
import type { Webhooks } from '../webhooks/webhooks';
import { CrossOrigin } from './cross-origin';
import { KeyLimits } from './key-limits';
import { MetricsServer } from './metrics-access';
import { ApiServer, type OpenStreams, type Readiness, TIMEOUTS } from './server';
import type { Services } from './services';
import { Unsent } from './unsent';

interface Deps extends Core {
  readonly schema: GraphQLSchema;
  readonly tenancy: Tenancy;
  readonly audit: AuditLog;
  readonly webhooks: Webhooks;
  readonly secretKey: SecretKey;
  readonly eventStore: EventStore;
  readonly delivery: Delivery;
  readonly shaper: Shaper;
  readonly tester: Tester;
  readonly jobs: RetryJobs;
  readonly live: Live;
  readonly observability: Observability;
  readonly slices: Slices;
  readonly compilePayloadQuery: CompilePayloadQuery;
}

/** The edge: one port for GraphQL, the pages and the probes; another for metrics where that is wanted. */
export class Api {
  readonly #deps: Deps;
  readonly #server: ApiServer;
  readonly #metrics: MetricsServer | undefined;
  #metricsUrl: string | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { config, log, observability } = deps;
    const unsent = new Unsent(config.unsentBytes);
    const metricsAccess = { metrics: () => observability.metrics.exposition(), token: config.metricsToken };
    this.#metrics = config.metricsPort === undefined ? undefined : new MetricsServer(metricsAccess, TIMEOUTS);
    this.#server = new ApiServer({
      log,
      readiness: () => this.#readiness(),
      metrics: this.#metrics ? undefined : metricsAccess,
      isSecure: config.publicUrl?.startsWith('https:') ?? false,
      mostConnections: config.connections,
      trustedProxies: config.trustedProxies ?? [],
      introspection: config.introspection,
      crossOrigin: new CrossOrigin({ origins: config.corsOrigins, publicUrl: config.publicUrl }),
      services: servicesOf(deps, unsent),
    });
    observability.countStreams(() => ({ ...this.#server.open, unsentBytes: unsent.bytes }));
  }

  get open(): OpenStreams {
    return this.#server.open;
  }

  /** Where `/metrics` is when it has a port of its own, once that is open. */
  get metricsUrl(): string | undefined {
    return this.#metricsUrl;
  }

  /** Listens and returns the address, e.g. `http://127.0.0.1:4000`. */
  async start(): Promise<string> {
    const { schema, config } = this.#deps;
    const url = await this.#server.start(schema, config.host, config.port);
    this.#metricsUrl = await this.#metrics?.start(config.host, config.metricsPort ?? 0);
    return url;
  }

  /** Answers what came, and takes nothing more. */
  stop(): Promise<void> {
    return this.#server.stop();
  }

  /** Metrics are told to the end. */
  async close(): Promise<void> {
    await this.#metrics?.stop();
  }

  async #readiness(): Promise<Readiness> {
    const { database, secretKey, log } = this.#deps;
    try {
      const isMigrated = await database.isMigrated();
      const isFitting = await secretKey.fits(database.read, log);
      return {
        isReady: isMigrated && isFitting,
        database: 'reachable',
        migrations: isMigrated ? 'applied' : 'missing',
        secretKey: isFitting ? 'fitting' : 'not fitting',
      };
    } catch {
      return { isReady: false, database: 'unreachable', migrations: 'unknown', secretKey: 'unknown' };
    }
  }
}

function servicesOf({ tenancy, audit, eventStore, delivery, live, observability, jobs, ...deps }: Deps, unsent: Unsent): Services {
  const { config, clock, database, webhooks, shaper, tester, slices, compilePayloadQuery } = deps;
  return {
    applications: tenancy.applications,
    apiKeys: tenancy.apiKeys,
    lastUses: tenancy.lastUses,
    keyLimits: new KeyLimits(clock, config),
    unsent,
    budgetExceeded: (reason) => observability.metrics.budgetExceeded(reason),
    audit,
    readAudit: async (applicationId, selection, page, allowance) => {
      await audit.flush();
      return readAudit(database.read, applicationId, selection, page, allowance);
    },
    webhooks,
    events: eventStore.events,
    listEvents: (...request) => listEvents(database.read, ...request),
    eventTypes: eventStore.types,
    redactions: eventStore.redactions,
    publisher: new Publisher({ clock, slices, eventTypes: eventStore.types, appender: observability }),
    refused: (code, events) => observability.refused(code, events),
    deliveries: new Deliveries(deps),
    retryJobs: jobs,
    jobWatch: live.jobWatch,
    attempts: new Attempts(database),
    stats: observability.stats,
    unfinished: async (ownerId) =>
      isId('app', ownerId)
        ? unfinishedOfApplication(database, ownerId)
        : unfinishedOfWebhook(database, ownerId, ['', ...(await owners(database.read))]),
    instances: () => listInstances(database.read),
    storedHealth: (webhookIds) => readHealth(database.read, webhookIds),
    costlyFilters: (webhookIds) => readCostlyFilters(database.read, webhookIds),
    caution: (webhookId, version) => delivery.throttling(webhookId, version),
    compilePayloadQuery,
    shaper,
    tester,
    testBody: (attempt) => readBody(database.read, applicationIdOf(attempt.id), 0, testBodyKey(attempt.id)),
    fixedBody: async ({ applicationId, eventSequence, bodyKey }) => {
      const bodies = await readBodies(database.read, applicationId, [eventSequence]);
      return bodies.get(bodyId(eventSequence, bodyKey ?? '')) ?? null;
    },
    sign: (webhookId, eventId, body) => delivery.sign(webhookId, eventId, body),
    orderProblem: (webhook) => orderProblem(database.read, webhook),
    eventLog: live.eventLog,
    updateLog: live.updateLog,
    webhookLog: live.webhookLog,
    healthHistory: (webhookId, page) => readHealthHistory(database.read, webhookId, page),
    clock,
    isVerificationRequired: config.requireVerification,
    slices,
    defaultRetrySchedule: config.retrySchedule.map((delayMs) => Math.round(delayMs / SECOND)),
  };
}

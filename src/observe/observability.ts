import { Stats } from '../attempts/stats';
import { SECOND } from '../clock';
import type { Core } from '../core';
import type { DeliveryStatistics } from '../delivery/delivery';
import type { AppendedEvent, AppendRequest } from '../events/append';
import type { GroupCommitter } from '../events/group-committer';
import { Ordering } from '../webhooks/webhook';
import type { WebhookCache } from '../webhooks/webhook-cache';
import { Backlog } from './backlog';
import { Metrics, type Siblings } from './metrics';
import { Observer } from './observer';
import type { Tracing } from './tracing';

interface Deps extends Core {
  readonly webhooks: WebhookCache;
  readonly delivery: { readonly statistics: DeliveryStatistics };
  readonly committer: GroupCommitter;
  readonly live: { readonly followers: number };
  /** The processes that share its port, where there are any. */
  readonly siblings: Siblings | undefined;
}

/** What clients hold open, as far as metrics tell of it. */
interface OpenStreams {
  readonly sockets: number;
  readonly eventStreams: number;
  readonly unsentBytes: number;
}

/** What operators see: metrics, log lines, traces; and the statistics that tenants see. */
export class Observability {
  readonly metrics: Metrics;
  readonly stats: Stats;
  readonly #deps: Deps;
  readonly #observer: Observer;
  readonly #tracing: Tracing | undefined;
  readonly #backlog: Backlog;
  #open: () => OpenStreams = () => ({ sockets: 0, eventStreams: 0, unsentBytes: 0 });

  constructor(deps: Deps) {
    this.#deps = deps;
    const { facts, webhooks, siblings } = deps;
    this.#tracing = tracingFor(deps);
    this.stats = new Stats(deps);
    this.metrics = new Metrics(() => this.#reading(), siblings);
    this.#observer = new Observer({ ...deps, metrics: this.metrics, tracing: this.#tracing });
    this.#backlog = new Backlog({
      ...deps,
      isSentAtOnce: async (webhookId) => {
        const webhook = await webhooks.find(webhookId);
        return webhook?.isSending === true && webhook.ordering === Ordering.NONE;
      },
    });
    facts.keyRefused.on(({ reason }) => this.metrics.keyRefused(reason));
  }

  /** Called by the server, with how to count what they hold open. */
  countStreams(open: () => OpenStreams): void {
    this.#open = open;
  }

  /** Events of a publish were not stored: the code that was answered. */
  refused(code: string, events: number): void {
    this.#observer.refused(code, events);
  }

  /** Appends, as a step of the publisher's trace where there is one. */
  append(request: AppendRequest): Promise<readonly AppendedEvent[]> {
    const append = (traced: AppendRequest) => this.#deps.committer.append(traced);
    return this.#tracing ? this.#tracing.publish(request, append) : append(request);
  }

  start(): void {
    this.stats.start();
  }

  async stop(): Promise<void> {
    await this.stats.stop();
    await this.#tracing?.stop();
  }

  async #reading() {
    const { delivery, committer, live } = this.#deps;
    const { leaseAgeMs, ...statistics } = delivery.statistics;
    const { sockets: webSockets, eventStreams, unsentBytes } = this.#open();
    const waiting = { publishesPending: committer.pendingEvents, followers: live.followers };
    return {
      ...(await this.#backlog.read()),
      ...statistics,
      ...waiting,
      webSockets,
      eventStreams,
      unsentBytes,
      leaseAgeSeconds: leaseAgeMs / SECOND,
    };
  }
}

/** Without a collector OpenTelemetry is not even loaded. */
function tracingFor({ config, ...core }: Core): Tracing | undefined {
  const { otlpEndpoint: endpoint, otlpHeaders: headers = {}, traceRatio: ratio, serviceName, resourceAttributes = {} } = config;
  if (endpoint === undefined) return undefined;
  const { Tracing: Started } = require('./tracing') as typeof import('./tracing');
  const attributes = {
    'service.name': 'livehook',
    ...resourceAttributes,
    ...(serviceName !== undefined && { 'service.name': serviceName }),
  };
  return new Started({ ...core, endpoint, headers, ratio, attributes });
}
